"""Lengths of arrays that programs are compiled for: as they are, or from a ladder that many crystals share."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_LADDER = (1, 2, 3, 4, 6, 8, 12, 16)  # and so on: each the double of that two places before
WAVES = 256
_state = {"few": False}


@contextmanager
def few_shapes() -> Iterator[None]:
    """Let computations of this process round lengths up: many small crystals, whose time is that of compiling."""
    before = _state["few"]
    _state["few"] = True
    try:
        yield
    finally:
        _state["few"] = before


def few() -> bool:
    """Whether lengths are rounded up here."""
    return _state["few"]


def rounded(count: int, least: int = 1) -> int:
    """A length for so many entries: `count` itself, or inside `few_shapes` the next of a ladder."""
    if not _state["few"] or count == 0:
        return count
    size = max(count, least)
    step = next((length for length in _LADDER if length >= size), None)
    if step is not None:
        return step
    power = 1 << (size - 1).bit_length()
    return 3 * power // 4 if 3 * power // 4 >= size else power


def rounded_waves(count: int) -> int:
    """A length for so many wave vectors or lattice vectors, which compile more programs than they cost time."""
    return max(WAVES, 1 << (count - 1).bit_length()) if _state["few"] and count else count


def padded_mesh(q: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wave vectors and weights, as many as `rounded_waves` says: the last one again, with weight 0."""
    more = lengthened(q)
    return more, np.concatenate([weights, np.zeros(len(more) - len(q))])


def lengthened(q: np.ndarray) -> np.ndarray:
    """The wave vectors, the last one repeated up to the length that `rounded_waves` gives."""
    more = rounded_waves(len(q)) - len(q)
    return q if more <= 0 else np.concatenate([q, np.repeat(q[-1:], more, axis=0)])
