"""Lengths that recipes measure by: of a bond, and the shortest distances of the data."""

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


def _nearest(structure, listed):
    rows = np.flatnonzero(np.asarray(listed.counts) > 0)
    first = np.asarray(listed.others)[rows, 0]
    shifts = np.asarray(listed.shifts)[:, rows, 0].T @ np.asarray(structure.cell)
    positions = np.asarray(structure.positions)
    return np.linalg.norm(positions[first] + shifts - positions[np.asarray(listed.centers)[rows]], axis=1)


def shortest_distances(dataset: Dataset, reach: float) -> dict[tuple[int, int], float]:
    """Atomic numbers of two elements, ascending -> shortest distance of such atoms, A; `reach` if none is shorter."""
    shortest = {(a, b): float(reach) for a in dataset.species for b in dataset.species if a <= b}
    for frame in dataset:
        structure, listed = frame.structure, find_neighbors(frame.structure, reach)
        centers, others = np.asarray(listed.centers), np.asarray(listed.others)
        positions, numbers = np.asarray(structure.positions), np.asarray(structure.numbers)
        moved = positions[others] + np.moveaxis(np.asarray(listed.shifts), 0, -1) @ np.asarray(structure.cell)
        distances = np.linalg.norm(moved - positions[centers][:, None], axis=-1)
        filled = np.arange(others.shape[1]) < np.asarray(listed.counts)[:, None]
        first, second = np.broadcast_arrays(numbers[centers][:, None], numbers[others])
        lower, upper = np.minimum(first, second), np.maximum(first, second)
        for (a, b), known in shortest.items():
            here = distances[filled & (lower == a) & (upper == b)]
            shortest[a, b] = min(known, float(here.min(initial=np.inf)))
    return shortest
