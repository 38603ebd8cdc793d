"""The standard deviations on a property card: each entry's, in the shape of its value."""

import warnings
from functools import partial

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
from jaxpot.properties.thermal import thermal_expansion
from jaxpot.report.crystal import isolated_atom, lattice
from jaxpot.uncertainty.processes import gaussian_terms
from jaxpot.uncertainty.propagation import propagate, shape_response
from jaxpot.uncertainty.widening import widened, widened_near


def card_deviations(posterior, crystal, values, results, special, room, mesh, say):
    """Standard deviations of the entries of a card.

    Args:
        posterior: `Posterior` whose mean the card is of.
        crystal: the relaxed primitive cell.
        values: key -> value of the entry, None where it does not exist.
        results: what the values come from; of it, elastic constants, vacancy and surfaces.
        special: name -> wave vector, in the order of the tables.
        room: K.
        mesh: as for `thermal_expansion`.
        say: called with a few words before each step.

    Returns:
        key -> what has the shape of the value, None where there is none.
    """
    check_posterior(posterior)
    defects = _defects(results)
    say("error bars: what the sparse points do not see")
    if gaussian_terms(posterior) is not None:
        posterior = widened_near(posterior, crystal)
        if defects:
            posterior = widened(posterior, [own.structure for own in defects.values()])
    say("error bars: the shape of the crystal")
    response = shape_response(posterior, crystal)

    def bars(what, function):
        say(f"error bars: {what}")
        try:
            return propagate(posterior, function, crystal, response).std
        except ConvergenceError as error:  # of the crystal strained by a thousandth, at its limit of stability
            warnings.warn(f"no error bars of the {what}: {error}", JaxpotWarning, stacklevel=2)
            return None

    q = np.array(list(special.values()))
    found = {
        "a0_A": float(bars("lattice constant", lambda p, x: jnp.asarray(lattice(x)["a"]))),
    }
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
        named = bars("elastic constants", lambda p, x: _elastic(elastic_constants(p, x, axes=axes), elastic))
    if named is not None:
        found["elastic_GPa"] = {
            name: np.asarray(sd).tolist() if name == "voigt" else float(sd) for name, sd in named.items()
        }
        found["bulk_GPa"] = found["elastic_GPa"]["bulk_hill"]
    frequencies = np.asarray(bars("phonons", lambda p, x: phonons(p, x, q).frequencies)) / units.THz
    for row, zeros in zip(frequencies, zero_modes(q), strict=True):
        row[:zeros] = 0.0  # the acoustic sum rule holds whatever the parameters are
    found["phonons_THz"] = _by_point(special, frequencies)
    thermal = None
    if values["alpha_1_per_K"] is not None:
        expand = partial(thermal_expansion, temperatures=[room], mesh=(mesh,) * 3, differences=True)
        thermal = bars("thermal properties", lambda p, x: _thermal(expand(p, x)))
    if thermal is not None:
        found["alpha_1_per_K"] = float(thermal["alpha"])
        found["heat_capacity"] = float(thermal["heat_capacity"]) / units.kB / len(crystal)
    if values["gamma"] is not None:
        modes = bars("Grueneisen parameters", lambda p, x: gruneisen(p, x, q, differences=True).gamma)
        found["gamma"] = {
            "modes": None if modes is None else _by_point(special, np.asarray(modes)),
            "thermodynamic_300K": None if thermal is None else float(thermal["gamma"]),
        }
    return found


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


def _thermal(result):
    return {"alpha": result.alpha[0], "heat_capacity": result.heat_capacity_p[0], "gamma": result.gamma[0]}


def _by_point(special, table):
    return {
        name: [float(x) if np.isfinite(x) else None for x in row] for name, row in zip(special, table, strict=True)
    }


def _defects(results):
    """Name -> `ExcessEnergy`: "vacancy", and the faces."""
    return ({"vacancy": results["vacancy"]} if "vacancy" in results else {}) | results.get("surfaces", {})
