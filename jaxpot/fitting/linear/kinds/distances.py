"""Distances of pairs, and triplets, in recipes."""

from collections.abc import Iterator
from itertools import combinations_with_replacement

import numpy as np

from jaxpot.descriptors import Pair, Triplet
from jaxpot.fitting.linear.kinds.base import Kind, Measures, numbers
from jaxpot.fitting.linear.kinds.transitions import lengths
from jaxpot.fitting.recipe_files import checked_number
from jaxpot.kernels import SquaredExponential


def _pairs(table: dict, measures: Measures) -> Iterator[Pair]:
    for pair in combinations_with_replacement(measures.species, 2):
        yield Pair(elements=pair, **lengths(table, measures.unit))


def _triplets(table: dict, measures: Measures) -> Iterator[Triplet]:
    for centre in measures.species:
        for pair in combinations_with_replacement(measures.species, 2):
            yield Triplet(elements=(centre, *pair), **lengths(table, measures.unit))


def _of_triplets(table: dict, unit: float) -> SquaredExponential:
    # Components are a sum of lengths, a squared difference, and a length.
    theta = np.broadcast_to(np.asarray(table["theta"], float), (3,)) * np.array([unit, unit**2, unit])
    return SquaredExponential(theta)


PAIRS = Kind(
    keys={"transition_width": checked_number, "theta": numbers(1)}, needed=frozenset({"cutoff", "theta"}),
    descriptors=_pairs, kernel=lambda table, unit: SquaredExponential(np.atleast_1d(table["theta"]) * unit),
    of_processes=frozenset({"theta"}),
)
TRIPLETS = Kind(
    keys={"transition_width": checked_number, "theta": numbers(1, 3)}, needed=frozenset({"cutoff", "theta"}),
    descriptors=_triplets, kernel=_of_triplets, of_processes=frozenset({"theta"}),
)
