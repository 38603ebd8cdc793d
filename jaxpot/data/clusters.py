"""Clusters of frames that look alike: what a test of extrapolation leaves out together."""

from collections.abc import Sequence

import numpy as np

from jaxpot.core.neighbors import find_pairs
from jaxpot.data.bond_length import bond_length
from jaxpot.data.dataset import Dataset
from jaxpot.data.frame import Frame

_NEAREST, _REACH, _STEP, _WIDTH = 0.6, 2.2, 0.05, 0.08  # of the shells of distances, in bond lengths
_FEWEST = 4  # frames of a cluster


def frame_clusters(dataset: Dataset, count: int = 4) -> list[np.ndarray]:
    """Index arrays of disjoint parts that cover all frames, each of frames that are alike; none of fewer than eight.

    Frames are described by their mean radial distribution functions, one for each two elements. The largest part is
    divided again and again, across the direction in which it varies most, at the widest gap that leaves a quarter of
    it on either side: a fit to all the others has to extrapolate to each (leave-one-cluster-out cross-validation).

    Args:
        dataset: `Dataset`.
        count: of clusters, two or more; fewer, if they would have fewer than four frames.

    References:
        B. Meredig et al., Mol. Syst. Des. Eng. 3, 819 (2018) (leave-one-cluster-out cross-validation).
    """
    vectors = _distributions(list(dataset), bond_length(dataset), dataset.species)
    parts = [np.arange(len(dataset))]
    while len(parts) < count:
        largest = max(range(len(parts)), key=lambda k: len(parts[k]))
        members = parts[largest]
        if len(members) < 2 * _FEWEST:
            break
        parts[largest : largest + 1] = _cut(members, _along_principal_axis(vectors[members]))
    return parts if len(parts) > 1 else []


def _cut(members, coordinates):
    """Two parts of a cluster, divided at the widest gap in the middle half of the coordinates."""
    order = np.argsort(coordinates, kind="stable")
    least = max(_FEWEST, len(order) // 4)
    gaps = np.diff(coordinates[order])[least - 1 : len(order) - least]
    place = least + int(gaps.argmax())
    return [np.sort(members[order[:place]]), np.sort(members[order[place:]])]


def _distributions(frames: Sequence[Frame], bond: float, species: Sequence[int]) -> np.ndarray:
    """Mean number of neighbours of each kind about each shell, (F, pairs of elements * shells)."""
    shells = np.arange(_NEAREST, _REACH, _STEP)
    vectors = []
    for frame in frames:
        structure = frame.structure
        numbers = np.asarray(structure.numbers)
        centers, others, _, distances = find_pairs(
            np.asarray(structure.positions), np.asarray(structure.cell), structure.pbc, _REACH * bond
        )
        scaled = distances / bond
        vector = np.zeros((len(species), len(species), len(shells)))
        for i, first in enumerate(species):
            for j, second in enumerate(species):
                r = scaled[(numbers[centers] == first) & (numbers[others] == second)]
                near = np.exp(-0.5 * ((r[:, None] - shells) / _WIDTH) ** 2) / np.maximum(r, _NEAREST)[:, None] ** 2
                vector[i, j] = near.sum(0) / len(frame)
        vectors.append(vector.ravel())
    return np.stack(vectors)


def _along_principal_axis(vectors):
    """Coordinates along the direction of the largest variance, (N,); its sign is that of its largest component."""
    centred = vectors - vectors.mean(0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    return centred @ axis * np.sign(axis[np.abs(axis).argmax()])
