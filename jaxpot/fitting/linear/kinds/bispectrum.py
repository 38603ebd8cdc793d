"""The bispectrum (SNAP) in recipes."""

from collections.abc import Iterator

import numpy as np

from jaxpot.descriptors import Bispectrum
from jaxpot.fitting.linear.kinds.base import Kind, Measures, has_weights, too_many, true_or_false, whole_from
from jaxpot.fitting.recipe_files import checked_number
from jaxpot.kernels import DotProduct
from jaxpot.readouts import TRAINABLE

_LEAST_WEIGHT = 0.5  # of the last element in a density of all: elements are told apart by weights from 1 to this


def _descriptors(table: dict, measures: Measures) -> Iterator[Bispectrum]:
    """A density of each element, where there are several, or one of all with different weights."""
    species, count = measures.species, len(measures.species)
    chemflag = count > 1 and table.get("chemflag", table.get("readout") != "quadratic")
    weights = (1.0,) * count if chemflag else tuple(np.linspace(1.0, _LEAST_WEIGHT, count).tolist())
    further = {name: table[name] for name in ("rfac0",) if name in table}

    def of(twojmax, z):
        return Bispectrum(
            species, twojmax, table["cutoff"] * measures.unit, (0.5,) * count, weights, chemflag=chemflag,
            centers=(z,), **further,
        )

    twojmax = table["twojmax"]
    if "max_weights" in table:
        readout = TRAINABLE[table["readout"]]
        while count * readout.untrained(of(twojmax, species[0]).dimension, 1.0).n_features > table["max_weights"]:
            twojmax -= 1
            if twojmax < 1:
                raise too_many(table, count)
    for z in species:
        yield of(twojmax, z)


KIND = Kind(
    keys={
        "twojmax": whole_from(1), "rfac0": checked_number, "zeta": checked_number, "chemflag": true_or_false,
        "max_weights": whole_from(1),
    },
    needed=frozenset({"cutoff", "twojmax"}), descriptors=_descriptors,
    kernel=lambda table, unit: DotProduct(table.get("zeta", 4)), of_processes=frozenset({"zeta"}),
    whole=has_weights,
)
