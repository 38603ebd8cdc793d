"""The standard deviations on a property card: each entry's, in the shape of its value."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot import units
from jaxpot.errors import ConvergenceError, JaxpotWarning
from jaxpot.observables import energy
from jaxpot.potentials.posterior import check_posterior
from jaxpot.properties.elastic import elastic_constants
from jaxpot.properties.gruneisen import gruneisen
from jaxpot.properties.modes import zero_modes
from jaxpot.properties.phonons import phonons
from jaxpot.report.crystal import isolated_atom, lattice
from jaxpot.report.curve_bars import curve_deviations
from jaxpot.uncertainty.processes import gaussian_terms
from jaxpot.uncertainty.propagation import propagate, shape_response
from jaxpot.uncertainty.widening import widened, widened_near


def card_deviations(posterior, crystal, values, results, special, room, mesh, dos_mesh, say):
    """Standard deviations of the entries of a card, and of the curves in its pictures.

    Args:
        posterior: `Posterior` whose mean the card is of.
        crystal: the relaxed primitive cell.
        values: key -> value of the entry, None where it does not exist.
        results: what the values come from.
        special: name -> wave vector, in the order of the tables.
        room: K.
        mesh, dos_mesh: as for `thermal_expansion` and `phonon_dos`.
        say: called with a few words before each step.

    Returns:
        key -> what has the shape of the value, None where there is none ("structure": of the lattice and the volume);
        `CurveDeviations`.
    """
    check_posterior(posterior)
    defects = _defects(results)
    say("error bars: what the sparse points do not see")
    if gaussian_terms(posterior) is not None:
        posterior = widened_near(posterior, crystal)
        if defects:
            posterior = widened(posterior, [one.structure for one in defects.values()])
    say("error bars: the shape of the crystal")
    response = shape_response(posterior, crystal)

    def spread(what, function):
        say(f"error bars: {what}")
        try:
            return propagate(posterior, function, crystal, response)
        except ConvergenceError as error:  # of the crystal strained by a thousandth, at its limit of stability
            warnings.warn(f"no error bars of the {what}: {error}", JaxpotWarning, stacklevel=2)
            return None

    def bars(what, function):
        result = spread(what, function)
        return None if result is None else result.std

    q = np.array(list(special.values()))
    shape = bars("lattice constants", lambda p, x: jax.tree.map(jnp.asarray, lattice(x) | {"volume": _volume(x)}))
    shape = {name: float(sd) for name, sd in shape.items()}
    found = {"a0_A": shape["a"]}
    found["structure"] = {"volume_per_atom_A3": shape.pop("volume"), "lattice": shape}
    if values["e_coh_eV"] is not None:
        found["e_coh_eV"] = float(bars("cohesive energy", _cohesive))
    if defects:
        named = bars("vacancies and surfaces", lambda p, x: {name: own.at(p, x) for name, own in defects.items()})
        named = {name: float(sd) for name, sd in named.items()}
        found["vacancy_eV"] = named.pop("vacancy", None)
        found["surface_J_per_m2"] = {name: sd / units.J_per_m2 for name, sd in named.items()} or None
    elastic, named = values["elastic_GPa"], None
    if elastic is not None:
        axes = results["elastic"].axes  # names stay with their axes when the crystal is strained
        named = spread("elastic constants", lambda p, x: _elastic(elastic_constants(p, x, axes=axes), elastic))
    voigt = None if named is None else np.asarray(named.slopes["voigt"]) * units.GPa
    if named is not None:
        found["elastic_GPa"] = {
            name: np.asarray(sd).tolist() if name == "voigt" else float(sd) for name, sd in named.std.items()
        }
        found["bulk_GPa"] = found["elastic_GPa"]["bulk_hill"]
    frequencies = np.asarray(bars("phonons", lambda p, x: phonons(p, x, q).frequencies)) / units.THz
    for row, zeros in zip(frequencies, zero_modes(q), strict=True):
        row[:zeros] = 0.0  # the acoustic sum rule holds whatever the parameters are
    found["phonons_THz"] = _by_point(special, frequencies)
    curves = curve_deviations(posterior, crystal, results, room, mesh, dos_mesh, response, voigt, say)
    thermal = None
    if curves.thermal is not None and values["alpha_1_per_K"] is not None:
        at = int(np.flatnonzero(np.asarray(results["thermal"].temperatures) == room)[0])
        thermal = {name: float(column[at]) for name, column in curves.thermal.items()}
        found["alpha_1_per_K"] = thermal["alpha"]
        found["heat_capacity"] = thermal["heat_capacity_p"] / units.kB / len(crystal)
    if values["gamma"] is not None:
        modes = bars("Grueneisen parameters", lambda p, x: gruneisen(p, x, q, differences=True).gamma)
        found["gamma"] = {
            "modes": None if modes is None else _by_point(special, np.asarray(modes)),
            "thermodynamic_300K": None if thermal is None else thermal["gamma"],
        }
    return found, curves


def _volume(structure):
    return structure.volume / len(structure)


def _cohesive(potential, crystal):
    alone = {int(z): energy(potential, isolated_atom(int(z))) for z in set(np.asarray(crystal.numbers).tolist())}
    total = sum(alone[int(z)] for z in np.asarray(crystal.numbers))
    return (total - energy(potential, crystal)) / len(crystal)


def _elastic(result, shown):
    standard = result.standard
    found = {}
    for name in shown:
        if name == "voigt":
            found[name] = result.voigt / units.GPa
        else:
            found[name] = getattr(standard, name.replace("young_hill", "young")) / units.GPa
    return found


def _by_point(special, table):
    return {
        name: [float(x) if np.isfinite(x) else None for x in row] for name, row in zip(special, table, strict=True)
    }


def _defects(results):
    """Name -> `ExcessEnergy`: "vacancy", and the faces."""
    return ({"vacancy": results["vacancy"]} if "vacancy" in results else {}) | results.get("surfaces", {})
