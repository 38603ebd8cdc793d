"""The bispectrum (SNAP) in recipes."""

from collections.abc import Iterator

import numpy as np

from jaxpot.descriptors import Bispectrum
from jaxpot.fitting.linear.kinds.base import Kind, Measures, has_weights, too_many, true_or_false, whole_from
from jaxpot.fitting.recipe_files import checked_number
from jaxpot.kernels import DotProduct
from jaxpot.readouts import TRAINABLE

_MOST_DENSITIES = 3  # components grow with the cube: of more elements, those of one density of all say more
_LEAST_WEIGHT = 0.5  # of the last element in a density of all: elements are told apart by weights from 1 to this


def _descriptors(table: dict, measures: Measures) -> Iterator[Bispectrum]:
    for z in measures.species:
        yield _bispectrum(table, measures.species, measures.unit, z)


def _bispectrum(table, species, unit, z):
    """A density of each element, where there are few, or one of all with different weights."""
    count = len(species)
    few = count <= _MOST_DENSITIES and table.get("readout") != "quadratic"
    chemflag = count > 1 and table.get("chemflag", few)
    weights = (1.0,) * count if chemflag else tuple(np.linspace(1.0, _LEAST_WEIGHT, count).tolist())
    further = {name: table[name] for name in ("rfac0",) if name in table}
    return Bispectrum(
        species, table["twojmax"], table["cutoff"] * unit, (0.5,) * count, weights, chemflag=chemflag, centers=(z,),
        **further,
    )


def _with_fewer(table: dict, species: tuple[int, ...]) -> dict:
    """Table of the largest twojmax whose coefficients are few enough."""
    if "max_weights" not in table:
        return table
    readout = TRAINABLE[table["readout"]]
    for twojmax in range(table["twojmax"], 0, -1):
        lower = table | {"twojmax": twojmax}
        dimension = _bispectrum(lower, species, 1.0, species[0]).dimension
        if len(species) * readout.untrained(dimension, 1.0).n_features <= table["max_weights"]:
            return lower
    raise too_many(table, len(species))


KIND = Kind(
    keys={
        "twojmax": whole_from(1), "rfac0": checked_number, "zeta": checked_number, "chemflag": true_or_false,
        "max_weights": whole_from(1),
    },
    needed=frozenset({"cutoff", "twojmax"}), descriptors=_descriptors,
    kernel=lambda table, unit: DotProduct(table.get("zeta", 4)), of_processes=frozenset({"zeta"}),
    whole=has_weights, with_fewer=_with_fewer,
)
