"""The entries of a property card's document (`card.json`): plain numbers, lists and words from results.

`numbers_of` makes the numbers, `about` what stands around them under `meta`; both only read what was computed.
"""

import numpy as np

from jaxpot import units
from jaxpot.core.elements import symbol
from jaxpot.core.symmetry import space_group
from jaxpot.report.crystal import formula, lattice

ROOM = 300.0  # K, the temperature of the card's thermal numbers

UNITS = {
    "a0_A": "A", "e_coh_eV": "eV/atom", "bulk_GPa": "GPa", "elastic_GPa": "GPa", "phonons_THz": "THz", "gamma": "1",
    "alpha_1_per_K": "1/K", "heat_capacity": "kB/atom", "vacancy_eV": "eV", "surface_J_per_m2": "J/m^2",
}
DEFINITIONS = {
    "a0_A": "first axis of the conventional cell at the minimum of the energy, without zero-point motion",
    "e_coh_eV": "energy of isolated atoms of the same potential minus energy of the crystal, per atom; null where its "
    "reference energies are from least squares, of no atom",
    "bulk_GPa": "Hill average of the static elastic constants; exact for cubic crystals. That of "
    "meta.equation_of_state, where the cell keeps its shape, is their Voigt average",
    "elastic_GPa": "second derivatives of the energy by strain with relaxed ions; c11, c12, ...: those that the Laue "
    "class leaves independent (and c66 = (c11 - c12) / 2 of hexagonal and trigonal ones), in the axes of ANSI/IEEE "
    "Std 176-1987, whose rows in the axes of the file are meta.elastic_axes.rotation; voigt: all of them, order xx yy "
    "zz yz xz xy, in the axes of the file, those of meta.structure.cell_A",
    "phonons_THz": "frequencies at the special points of the Brillouin zone; imaginary ones are negative",
    "gamma": "modes: -d ln(frequency) / d ln(volume), in the order of phonons_THz, null for the acoustic "
    "modes at Gamma, which have none; thermodynamic_300K: their average, weighted by heat capacity",
    "alpha_1_per_K": "linear thermal expansion (mean of the three axes) at 300 K, quasi-harmonic",
    "heat_capacity": "at constant pressure and 300 K, quasi-harmonic, per atom",
    "vacancy_eV": "static formation energy of a vacancy, atoms relaxed at fixed cell, images 12 A away or more; the "
    "lowest of the crystal's sites; null for compounds, where it depends on chemical potentials",
    "surface_J_per_m2": "static energies of relaxed surfaces without reconstructions, by Miller indices of the "
    "conventional cell",
    "sd": "standard deviation of the value, of the shape of the value; null without a posterior. To first order in "
    "what is uncertain of the potential: its parameters, and what its sparse points do not see near this crystal",
}


def numbers_of(results, special, cohesive):
    """The numbers of a card by their keys in the document; None for what the crystal has not got.

    Args:
        results: name -> result, as `property_card` collects them.
        special: name -> wave vector, in the order of the tables.
        cohesive: eV/atom, or None.
    """
    thermal = _thermal(results)
    return {
        "a0_A": lattice(results["crystal"])["a"],
        "e_coh_eV": cohesive,
        "bulk_GPa": _bulk(results),
        "elastic_GPa": _elastic(results.get("elastic")),
        "phonons_THz": _by_point(special, results.get("phonons"), "frequencies", units.THz),
        "gamma": _gamma(special, results, _at_room(thermal, "gamma")),
        "alpha_1_per_K": _at_room(thermal, "alpha_1_per_K"),
        "heat_capacity": _at_room(thermal, "heat_capacity_p_kB_per_atom"),
        "vacancy_eV": float(results["vacancy"].energy) if "vacancy" in results else None,
        "surface_J_per_m2": _surfaces(results.get("surfaces")),
    }


def with_deviations(numbers, deviations):
    """The entries of the document: each number with its standard deviation, None where it has none, and its unit."""
    return {
        key: {"value": value, "sd": None if value is None else deviations.get(key), "unit": UNITS[key]}
        for key, value in numbers.items()
    }


def about(potential, model, results, special, deviations):
    """Description of model and crystal: the parts of `meta` that follow from results.

    Args:
        model: {"name": ..., "source": ...}, or None.
        deviations: of the card, with those of lattice and volume under "structure".
    """
    return {
        "model": _model(potential, model),
        "structure": _structure(results["crystal"]) | {"sd": deviations.get("structure")},
        "elastic_axes": _elastic_axes(results.get("elastic")),
        "special_points": {key: [float(x) for x in q] for key, q in special.items()},
        "equation_of_state": _equation_of_state(results),
        "thermal": _thermal(results),
    }


def _by_point(special, result, attribute, unit=1.0):
    if result is None:
        return None
    table = result[attribute] / unit
    return {name: [_finite(x) for x in row] for name, row in zip(special, table, strict=True)}


def _at_room(thermal, name):
    """A column of the thermal properties at 300 K; None where the crystal does not get that warm."""
    if thermal is None or ROOM not in thermal["temperature_K"]:
        return None
    return thermal[name][thermal["temperature_K"].index(ROOM)]


def _gamma(special, results, at_room):
    modes = _by_point(special, results.get("modes"), "gamma")
    if modes is None:
        return None
    return {"modes": modes, "thermodynamic_300K": at_room}


def _bulk(results):
    if "elastic" in results:
        return float(results["elastic"].bulk_hill) / units.GPa
    return float(results["equation_of_state"].bulk) / units.GPa if "equation_of_state" in results else None


def _elastic(result):
    if result is None:
        return None
    voigt = np.asarray(result.voigt) / units.GPa
    values = {name: float(value) / units.GPa for name, value in result.independent.items()}
    if result.laue_class[:2] in ("-3", "6/"):
        values["c66"] = float(result.standard.c66) / units.GPa  # not independent, but in every table
    values |= {name: float(getattr(result, name)) / units.GPa for name in ("bulk_hill", "shear_hill")}
    values["young_hill"] = float(result.young) / units.GPa
    return {name: float(value) for name, value in values.items()} | {"voigt": voigt.tolist()}


def _elastic_axes(result):
    """Axes of the named constants: rows X, Y, Z in the Cartesian axes of the file."""
    if result is None:
        return None
    return {
        "laue_class": result.laue_class,
        "standard": "ANSI/IEEE Std 176-1987",
        "rotation": np.asarray(result.rotation).tolist(),
    }


def _surfaces(results):
    return results and {name: float(surface.energy) / units.J_per_m2 for name, surface in results.items()}


def _equation_of_state(results):
    result, atoms = results.get("equation_of_state"), len(results["crystal"])
    return result and {
        "volume_per_atom_A3": float(result.volume) / atoms,
        "bulk_GPa": float(result.bulk) / units.GPa,
        "bulk_derivative": float(result.bulk_derivative),
    }


def _thermal(results):
    result, atoms = results.get("thermal"), len(results["crystal"])
    if result is None:
        return None
    columns = {
        "temperature_K": result.temperatures,
        "volume_per_atom_A3": np.asarray(result.volumes) / atoms,
        "alpha_1_per_K": result.alpha,
        "bulk_GPa": np.asarray(result.bulk) / units.GPa,
        "heat_capacity_v_kB_per_atom": np.asarray(result.heat_capacity_v) / units.kB / atoms,
        "heat_capacity_p_kB_per_atom": np.asarray(result.heat_capacity_p) / units.kB / atoms,
        "gamma": result.gamma,
    }
    return {name: [_finite(x) for x in np.asarray(column)] for name, column in columns.items()}


def _finite(x):
    return float(x) if np.isfinite(x) else None


def _model(potential, given):
    species = potential.species
    about = {
        "name": type(potential).__name__,
        "class": type(potential).__name__,
        "elements": None if species is None else [symbol(z) for z in species],
        "cutoff_A": float(potential.cutoff),
        "smoothness": int(potential.smoothness),
    }
    return about | (given or {})


def _structure(crystal):
    group = space_group(crystal, 1e-4)
    return {
        "formula": formula(crystal),
        "atoms": len(crystal),
        "spacegroup": f"{group.international} ({group.number})",
        "lattice": lattice(crystal),
        "volume_per_atom_A3": float(crystal.volume) / len(crystal),
        "cell_A": np.asarray(crystal.cell).tolist(),
        "fractional": np.asarray(crystal.fractional).tolist(),
        "symbols": crystal.symbols,
    }
