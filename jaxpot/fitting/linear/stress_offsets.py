"""Offsets of the stresses of groups of frames: a pressure for each, fitted with the weights.

Plane waves of a fixed cutoff energy give stresses that lack a nearly constant part, the Pulay stress; the energies and
forces of the same frames do not. With an offset p for the group, the target is stress + p I: one more column.
"""

from collections.abc import Sequence, Sized
from dataclasses import replace
from typing import TypeVar

import numpy as np

from jaxpot.data.dataset import Dataset
from jaxpot.data.targets import Sigmas
from jaxpot.errors import DataError

D = TypeVar("D", Dataset, None)

_PRIOR = 10.0  # eV/A^3, standard deviation of an offset before the data are seen: 1600 GPa, as good as none


def offset_types(wanted: bool | str | Sequence[str], dataset: Dataset, sigmas: Sigmas) -> tuple[str, ...]:
    """Config types whose stresses have an offset: names, one name, or True for all that have stresses.

    Raises:
        DataError: a config type that does not occur or has no stress; stresses are not fitted.
    """
    if not wanted:
        return ()
    if not isinstance(wanted, bool | str | list | tuple | set | frozenset):
        raise DataError(f"stress_offsets: expected names of config types, or True for all, got {wanted!r}")
    have = {frame.config_type for frame in dataset if frame.stress is not None}
    names = sorted(have) if isinstance(wanted, bool) else [wanted] if isinstance(wanted, str) else sorted(set(wanted))
    strange = [name for name in names if name not in have]
    if strange or not names:
        raise DataError(
            f"stress_offsets: no frame with a stress has the config type {', '.join(map(repr, strange))}; there are "
            f"{', '.join(sorted(have)) or 'none'}"
        )
    if sigmas.stress is None:
        raise DataError(
            "stress_offsets: stresses are not fitted; give them a sigma, in the recipe or with --sigma-stress"
        )
    return tuple(names)


def offset_factor(names: Sized) -> np.ndarray:
    """Cholesky factor of the prior precision of the offsets."""
    return np.eye(len(names)) / _PRIOR


def offset_columns(names: Sequence[str], kind: str, config_type: str, count: int) -> np.ndarray:
    """Columns of the offsets in rows of a frame, (count, number of offsets)."""
    columns = np.zeros((count, len(names)))
    if kind == "stress" and config_type in names:
        columns[:3, names.index(config_type)] = 1.0
    return columns


def without_offsets(dataset: D, offsets: dict[str, float]) -> D:
    """Subtract the offsets, config type -> eV/A^3, from the stresses of a data set."""
    if dataset is None or not offsets:
        return dataset
    frames = (
        frame if frame.stress is None or frame.config_type not in offsets
        else replace(frame, stress=frame.stress - offsets[frame.config_type] * np.eye(3))
        for frame in dataset
    )
    return replace(dataset, frames=tuple(frames))
