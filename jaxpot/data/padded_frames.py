"""Frames made ready for compiled programs: padded alike, with neighbour lists of few different shapes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from jaxpot.checks import round_atoms
from jaxpot.core.neighbors import Neighbors, find_neighbors
from jaxpot.core.structure import Structure
from jaxpot.potentials.base import Potential
from jaxpot.potentials.terms import inner_cutoffs

_COMMON = 256  # atoms; rows without an atom cost next to nothing (`design_rows` leaves them out)
_MOST_WIDTHS = 3
_PROGRAM = 2e5  # neighbours whose rows take about as long as one more program takes to compile


@dataclass(frozen=True, eq=False)
class Prepared(Sequence):
    """Structures made ready once, for all that looks at them: a sequence of pairs (padded structure, neighbours).

    Attributes:
        structures: as they were given.
        cutoff, inner: A, of the lists, see `prepare_frames`.
        pairs: in the order of the structures.
    """

    structures: tuple[Structure, ...]
    cutoff: float
    inner: tuple[float, ...]
    pairs: tuple[tuple[Structure, Neighbors], ...]

    @classmethod
    def for_potential(cls, structures: Sequence[Structure], potential: Potential) -> "Prepared":
        """Structures with the lists that a potential evaluates fastest."""
        return cls.within(structures, potential.cutoff, inner_cutoffs(potential))

    @classmethod
    def within(cls, structures: Sequence[Structure], cutoff: float, inner: tuple[float, ...] = ()) -> "Prepared":
        """Structures with lists of a cutoff, A, and of shorter ones."""
        return cls(tuple(structures), cutoff, inner, tuple(prepare_frames(structures, cutoff, inner)))

    def serving(self, potential: Potential) -> "Prepared":
        """Same structures with the lists of a potential: `self` where it asks for the same ones."""
        if (potential.cutoff, inner_cutoffs(potential)) == (self.cutoff, self.inner):
            return self
        return Prepared.for_potential(self.structures, potential)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, k: Any) -> Any:
        return self.pairs[k]


def prepare_frames(
    structures: Sequence[Structure], cutoff: float, inner: tuple[float, ...] = ()
) -> list[tuple[Structure, Neighbors]]:
    """Pairs (padded structure, neighbours), in the order given, that few programs serve.

    Structures are padded to the largest up to 256 atoms, larger ones to powers of two; for each of these sizes, the
    rows of the lists have one of at most three widths.

    Args:
        structures: `Structure`s with NumPy arrays.
        cutoff: A.
        inner: shorter cutoffs of terms, see `neighbors`.
    """
    common = max((len(s) for s in structures if len(s) <= _COMMON), default=0)
    by_size = defaultdict(list)
    for k, structure in enumerate(structures):
        by_size[common if len(structure) <= _COMMON else round_atoms(len(structure))].append(k)
    ready: list[Any] = [None] * len(structures)
    for size, members in by_size.items():
        padded = [structures[k].padded(size) for k in members]
        lists = [find_neighbors(s, cutoff, rows=size, inner=inner) for s in padded]
        capacities = [listed.capacity for listed in lists]
        chosen = _widths(capacities, [len(structures[k]) for k in members])
        for width in sorted(set(chosen)):
            alike = [i for i, chosen_width in enumerate(chosen) if chosen_width == width]
            places = [max(lists[i].inner[c][1] for i in alike) for c in range(len(inner))]
            for i in alike:
                listed = _widened(lists[i], width, places)
                ready[members[i]] = (padded[i], listed)
    return ready


def _widths(capacities, atoms):
    """Width for each list, not below its capacity: the work of all rows and of compiling is least."""
    present = sorted(set(capacities))
    largest = present[-1]
    best = None
    for count in range(min(_MOST_WIDTHS, len(present))):
        for others in combinations(present[:-1], count):
            ladder = np.array([*others, largest])
            chosen = ladder[np.searchsorted(ladder, capacities)]
            cost = float(np.dot(chosen, atoms)) + _PROGRAM * len(ladder)
            if best is None or cost < best[0]:
                best = cost, chosen
    return [int(width) for width in best[1]]


def _widened(listed, width, places):
    """List with rows of another width, and more first places for short-ranged terms."""
    spare = width - listed.capacity
    fill = np.repeat(listed.centers[:, None], spare, axis=1)
    return listed.replace(
        others=np.concatenate([listed.others, fill], axis=1),
        shifts=np.concatenate([listed.shifts, np.zeros((3, len(fill), spare), listed.shifts.dtype)], axis=2),
        inner=tuple((cutoff, count) for (cutoff, _), count in zip(listed.inner, places, strict=True)),
    )
