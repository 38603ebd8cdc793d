"""Parts of the data that fits are repeated without, for a calibration of error bars."""

from collections.abc import Sequence

import numpy as np

from jaxpot.core.elements import name_species
from jaxpot.data.clusters import frame_clusters
from jaxpot.data.dataset import Dataset
from jaxpot.errors import DataError

Parts = list[tuple[np.ndarray, Dataset]]


def folds_of(dataset: Dataset, count: int, seed: int) -> Parts:
    """Pairs (numbers of the frames of a fold, the data without them).

    Raises:
        DataError: fewer frames than folds, or an element that is in one fold only.
    """
    if len(dataset) < count:
        raise DataError(f"keep_folds: {count} folds need as many frames, got {len(dataset)}: give more, or keep none")
    parts = without_each(dataset, dataset.folds(count, seed))
    for _, rest in parts:
        missing = set(dataset.species) - set(rest.species)
        if missing:
            raise DataError(f"keep_folds: {name_species(missing)} is in one fold only: more such frames are needed")
    return parts


def clusters_of(dataset: Dataset, count: int) -> Parts:
    """Likewise, of clusters of frames that look alike, those without which all elements are still in the data."""
    parts = without_each(dataset, frame_clusters(dataset, count))
    return [(members, rest) for members, rest in parts if rest.species == dataset.species]


def without_each(dataset: Dataset, parts: Sequence[np.ndarray]) -> Parts:
    """Pairs (numbers of frames, the data without them)."""
    return [(members, dataset[np.setdiff1d(np.arange(len(dataset)), members)]) for members in parts]
