"""Many structures in buckets of similar size, so that few programs are compiled."""

from collections.abc import Callable, Sequence
from typing import Any

from jaxpot.checks import check_potential, checked_neighbors, round_atoms
from jaxpot.core.structure import Structure
from jaxpot.potentials.base import Potential
from jaxpot.typing import StructureLike


def in_buckets(function: Callable, potential: Potential, structures: Sequence[StructureLike]) -> list:
    """Map function(padded structure, list, number of atoms) over structures, in few shapes."""
    check_potential(potential)
    given = [Structure.of(s) for s in structures]
    sizes = [len(structure) for structure in given]
    order = sorted(range(len(given)), key=lambda i: sizes[i])
    buckets: dict[int, list[int]] = {}
    for i in order:
        buckets.setdefault(round_atoms(sizes[i]), []).append(i)
    results: list[Any] = [None] * len(given)
    for size, members in buckets.items():
        padded = [given[i].padded(size) for i in members]
        lists = [checked_neighbors(potential, s, rows=size) for s in padded]
        capacity = max(listed.capacity for listed in lists)
        for i, structure, listed in zip(members, padded, lists, strict=True):
            if listed.capacity < capacity:
                listed = checked_neighbors(potential, structure, rows=size, capacity=capacity)
            results[i] = function(structure, listed, sizes[i])
    return results
