"""Frames that are nearly the same: duplicates, and neighbours on a path along which labels can be compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jaxpot.core.neighbors import periodic_cell
from jaxpot.data.frame import Frame

_FEW = 8  # atoms that are compared first


@dataclass(frozen=True, eq=False)
class SimilarPair:
    """Two frames with the same atoms in the same order.

    Args:
        first, second: their indices.
        strain: (3, 3) from the first to the second, referred to the cell half way; not symmetrised.
        shifts: (n, 3) A, how the atoms move beyond that strain and beyond a common translation.
    """

    first: int
    second: int
    strain: np.ndarray
    shifts: np.ndarray


def similar_pairs(
    frames: Sequence[Frame], indices: Iterable[int], most_strain: float, most_shift: float
) -> list[SimilarPair]:
    """Pairs of frames that differ by a small strain and small movements of the atoms.

    Atoms may sit in other periodic images. What is the same but for a rotation or for the order of the atoms is not
    recognised.

    Args:
        frames: sequence of `Frame`.
        indices: of those that are compared.
        most_strain: largest norm of the symmetric part of the strain, and of the rotation that comes with it.
        most_shift: A, largest distance that an atom may move.

    Returns:
        list of `SimilarPair`.
    """
    kinds: dict = {}
    for k in indices:
        kinds.setdefault((frames[k].numbers.tobytes(), frames[k].structure.pbc), []).append(k)
    return [
        pair for group in kinds.values() if len(group) > 1
        for pair in _alike(frames, np.array(group), most_strain, most_shift)
    ]


def _alike(frames, group, most_strain, most_shift):
    pbc = np.array(frames[group[0]].structure.pbc)
    cells = np.array([periodic_cell(frames[k].structure.cell, pbc) for k in group])
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cells), axis=1)
    fractional = np.array([frames[k].structure.positions for k in group]) @ np.linalg.inv(cells)
    relative = fractional - fractional[:, :1]  # a common translation, be it by strain, does not count
    apart = 2.1 * most_shift  # A, two atoms that move by most_shift in opposite directions

    def difference(a, b):
        return b - a - np.where(pbc, np.round(b - a), 0.0)

    # A number that changes little where atoms move little: only frames in a window of it need to be compared.
    mark = np.cos(2.0 * np.pi * relative[:, 1:_FEW]).sum((1, 2))
    window = 2.0 * np.pi * 3 * (relative[:, 1:_FEW].shape[1]) * apart / heights.min()
    order = np.argsort(mark, kind="stable")
    ends = np.searchsorted(mark[order], mark[order] + window, side="right")

    for k, end in enumerate(ends):
        i, others = order[k], order[k + 1 : end]
        for atoms in (slice(1, 2), slice(1, _FEW)):  # most pairs are told apart by the first of them
            gaps = np.abs(difference(relative[i, atoms], relative[others, atoms])) * heights[i]
            others = others[(gaps <= apart).all((1, 2))]
        if not len(others):
            continue
        middle = 0.5 * (cells[i] + cells[others])
        strains = np.linalg.solve(middle, cells[others] - cells[i])
        turned = np.swapaxes(strains, 1, 2)
        near = np.maximum(*(np.linalg.norm(strains + s * turned, axis=(1, 2)) for s in (1, -1))) <= 2 * most_strain
        for j, strain, cell in zip(others[near], strains[near], middle[near], strict=True):
            shifts = difference(relative[i], relative[j]) @ cell
            shifts = shifts - shifts.mean(0)
            if np.linalg.norm(shifts, axis=1).max() <= most_shift:
                yield SimilarPair(int(group[i]), int(group[j]), strain, shifts)
