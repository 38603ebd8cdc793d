"""Frames that stand in the data more than once: unchanged, or turned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxpot import units
from jaxpot.data.frame import Frame
from jaxpot.data.similar_pairs import similar_pairs

_SAME = 1e-4  # A; closer positions are the same
_SAME_STRAIN = 1e-5
_SAME_ENERGY = 1e-4  # eV/atom
_SAME_FORCE = 1e-3  # eV/A
_SAME_STRESS = 0.01  # GPa
_TURNED_ENERGY = 1e-6  # eV/atom; what a rotation does to a converged energy


@dataclass(frozen=True)
class Duplicates:
    """Frames with the same cell, the same atoms and the same positions, but for periodic images or a translation.

    Args:
        sources: of the frames.
        energy, force, stress: how much their labels differ at most, eV/atom, eV/A and GPa; None: not comparable.
    """

    sources: tuple[str, ...]
    energy: float | None
    force: float | None
    stress: float | None

    @property
    def agree(self) -> bool:
        """True if the labels are the same, too."""
        limits = ((self.energy, _SAME_ENERGY), (self.force, _SAME_FORCE), (self.stress, _SAME_STRESS))
        return all(gap is None or gap <= limit for gap, limit in limits)

    def line(self) -> str:
        """Sentence for a person."""
        if self.agree:
            return f"{shortened(self.sources)}: the labels agree"
        gaps = ((self.energy, "eV/atom"), (self.force, "eV/A"), (self.stress, "GPa"))
        differ = ", ".join(f"{gap:.2g} {unit}" for gap, unit in gaps if gap is not None)
        return f"{shortened(self.sources)}: the labels DIFFER by {differ}"


def shortened(names: Sequence[str]) -> str:
    """First names of a list, and the number of those left out."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def find_duplicates(frames: Sequence[Frame], names: Sequence[str]) -> tuple[Duplicates, ...]:
    """Sets of equal frames, a tuple of `Duplicates`; names (for `sources`) one for each frame."""
    sets: list = []
    for pair in similar_pairs(frames, range(len(frames)), _SAME_STRAIN, _SAME):
        # Being the same is taken to be transitive: joined are all sets that the two belong to.
        joined = {pair.first, pair.second}.union(*(s for s in sets if s & {pair.first, pair.second}))
        sets = [s for s in sets if not s & joined] + [joined]
    duplicates = []
    for members in sorted(sorted(s) for s in sets):
        chosen = [frames[k] for k in members]
        duplicates.append(Duplicates(
            tuple(names[k] for k in members),
            _spread([None if f.energy is None else f.energy / len(f) for f in chosen]),
            _spread([f.forces for f in chosen]),
            _spread([None if f.stress is None else f.stress / units.GPa for f in chosen]),
        ))
    return tuple(duplicates)


def _spread(values):
    known = [value for value in values if value is not None]
    return float(np.ptp(known, axis=0).max()) if len(known) > 1 else None


def find_turned(
    frames: Sequence[Frame], names: Sequence[str], duplicates: Sequence[Duplicates]
) -> tuple[tuple[str, ...], ...]:
    """Sets of frames that nothing tells apart which stays the same when a crystal is turned or its atoms reordered.

    That is: elements, energy, volume, lengths of forces and principal stresses. Whether they are the same indeed is
    probable and not certain; frames without forces and stresses are not compared.

    Returns:
        tuple of tuples of names; duplicates are left out but for one of each set.
    """
    known = {name for turned in duplicates for name in turned.sources[1:]}
    kinds: dict = {}
    for k, frame in enumerate(frames):
        if names[k] not in known and frame.energy is not None and not (frame.forces is None and frame.stress is None):
            kind = (np.sort(frame.numbers).tobytes(), frame.forces is None, frame.stress is None)
            kinds.setdefault(kind, []).append((frame.energy / len(frame), k))
    turned = []
    for group in kinds.values():
        group.sort()
        taken = set()
        for i, (energy, first) in enumerate(group):
            if first in taken:
                continue
            same = []
            for other_energy, other in group[i + 1:]:
                if other_energy > energy + _TURNED_ENERGY:
                    break
                if other not in taken and _indistinguishable(frames[first], frames[other]):
                    same.append(other)
            taken.update(same)
            if same:
                turned.append(sorted([first, *same]))
    return tuple(tuple(names[k] for k in members) for members in sorted(turned))


def _indistinguishable(a, b):
    if (a.volume is None) != (b.volume is None) or a.volume and abs(a.volume - b.volume) > 1e-5 * a.volume:
        return False
    if a.forces is not None:
        lengths = [np.sort(np.linalg.norm(f.forces, axis=1)) for f in (a, b)]
        if np.abs(lengths[0] - lengths[1]).max() > _SAME_FORCE:
            return False
    if a.stress is not None:
        principal = [np.linalg.eigvalsh(f.stress) / units.GPa for f in (a, b)]
        return bool(np.abs(principal[0] - principal[1]).max() <= _SAME_STRESS)
    return True
