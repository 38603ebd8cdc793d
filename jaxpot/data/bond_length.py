"""Lengths that recipes measure by: of a bond, of the space that an atom has, and the shortest distances of the data."""

import numpy as np

from jaxpot.core.neighbors import find_neighbors
from jaxpot.data.dataset import Dataset
from jaxpot.errors import DataError


def bond_length(dataset: Dataset) -> float:
    """Median, over all atoms of the data, of the distance to the nearest neighbour, A.

    Raises:
        DataError: no atom has a neighbour within 20 A.
    """
    of_frames = []
    for frame in dataset:
        for reach in (4.0, 8.0, 20.0):
            listed = find_neighbors(frame.structure, reach)
            if (np.asarray(listed.counts) > 0).all() or reach == 20.0:
                break
        of_frames.append(_nearest(frame.structure, listed))
    distances = np.concatenate(of_frames)
    if not len(distances):
        raise DataError("no atom of the data has a neighbour within 20 A: there is no bond length to measure by")
    return float(np.median(distances))


def spacing(dataset: Dataset, bond: float) -> float:
    """Edge of a cube as large as the space that an atom has, A: (4 pi R^3 / 3 N)^(1/3), R three bonds.

    N is the median, over all atoms of the data, of the number of neighbours within R: surfaces and vacuum around them
    hardly count. It is 0.89 bonds in fcc, 0.92 in bcc and 1.15 in diamond, whose neighbours are few and near: within
    the same number of spacings, all have about as many neighbours. At most two bonds, for molecules.

    Args:
        dataset: `Dataset`.
        bond: A, as of `bond_length`.
    """
    reach = 3.0 * bond
    counts = np.concatenate([np.asarray(find_neighbors(frame.structure, reach).counts) for frame in dataset])
    neighbors = max(float(np.median(counts)), 1.0)
    return float(min(reach * (4.0 * np.pi / (3.0 * neighbors)) ** (1.0 / 3.0), 2.0 * bond))


def shortest_distances(dataset: Dataset, reach: float) -> dict[tuple[int, int], float]:
    """Atomic numbers of two elements, ascending -> shortest distance of such atoms, A; `reach` if none is shorter."""
    shortest = {(a, b): float(reach) for a in dataset.species for b in dataset.species if a <= b}
    for frame in dataset:
        structure, listed = frame.structure, find_neighbors(frame.structure, reach)
        distances, numbers = _distances(structure, listed), np.asarray(structure.numbers)
        pairs = np.stack(np.broadcast_arrays(numbers[listed.centers][:, None], numbers[listed.others]))
        lower, upper = pairs.min(0), pairs.max(0)
        for (a, b), known in shortest.items():
            shortest[a, b] = min(known, float(distances[(lower == a) & (upper == b)].min(initial=np.inf)))
    return shortest


def _nearest(structure, listed):
    nearest = _distances(structure, listed).min(axis=1, initial=np.inf)
    return nearest[np.isfinite(nearest)]


def _distances(structure, listed):
    """Distances of the neighbours of each row, (m, K) A; infinite at empty places."""
    positions, others = np.asarray(structure.positions), np.asarray(listed.others)
    images = positions[others] + np.moveaxis(np.asarray(listed.shifts), 0, -1) @ np.asarray(structure.cell)
    distances = np.linalg.norm(images - positions[np.asarray(listed.centers)][:, None], axis=-1)
    return np.where(np.arange(others.shape[1]) < np.asarray(listed.counts)[:, None], distances, np.inf)
