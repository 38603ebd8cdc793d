"""Quintic splines fitted to tables: as few knots as a tolerance allows, more of them where the table asks for it.

On the host, in NumPy. Knots begin as a coarse uniform grid; intervals in which a point is missed by more than its
tolerance are halved, until none is or they are as short as the table's steps, and no interval is more than twice as
long as the next. Between these fits the coefficients are a linear least-squares problem.

Published tables are rounded. Knots that follow the rounding would turn it into noise of the higher derivatives, so no
point is followed more closely than that: of a smooth function the sixth differences of a dense table vanish, of
rounding with the deviation s their deviation is sqrt(924) s.
"""

import numpy as np

from jaxpot.basis.quintic_splines import DEGREE, QuinticSpline, centres, design
from jaxpot.errors import DataError

_INTERVALS = 8  # of the coarsest grid
_WINDOW = 101  # points, over which rounding is looked at
_MARGIN = 3.0  # standard deviations of the rounding
_STIFFNESS = 1e-10  # of second differences, beside the mean weight of a coefficient: decides what no point decides


def fit_spline(
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    tolerance: float,
    start: float,
    end: float,
    step: float,
    ends_with_zero: bool = False,
) -> tuple[QuinticSpline, np.ndarray]:
    """The spline with the fewest of these knots that passes all points within tolerance / weight, where one does.

    Args:
        x, y: (m,) points of the table, ascending, from start to end.
        weights: (m,) what a difference counts.
        tolerance: of weighted differences; more where the table's rounding is larger (`rounding`).
        start, end: where the knots begin and end.
        step: of the table, which no interval falls below.
        ends_with_zero: with value and four derivatives at the end.

    Returns:
        `QuinticSpline`; (m,) bool, points that are missed by more: the function has a kink or a jump there.
    """
    levels = int(np.log2(max((end - start) / (_INTERVALS * step), 1.0)))
    finest = (end - start) / (_INTERVALS * 2**levels)
    if len(x) < _INTERVALS + DEGREE:
        raise DataError(f"expected a table of at least {_INTERVALS + DEGREE} points to be followed, got {len(x)}")
    places = np.clip((x - start) / finest, 0.0, _INTERVALS * 2**levels)
    allowed = np.maximum(tolerance, _MARGIN * rounding(y, weights))
    breaks = np.arange(_INTERVALS + 1) * 2**levels
    while True:
        coefficients, fitted = _least_squares(breaks, places, y, weights, ends_with_zero)
        missed = np.abs(fitted - y) * weights > allowed
        intervals = np.unique(np.clip(np.searchsorted(breaks, places[missed], side="right") - 1, 0, len(breaks) - 2))
        split = intervals[np.diff(breaks)[intervals] > 1]
        if not len(split):
            return QuinticSpline(coefficients, start, finest, tuple(breaks.tolist()), ends_with_zero), missed
        breaks = _balanced(_halved(breaks, split))


def rounding(y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """An estimate of the standard deviation of weighted rounding errors about each point of a table, (m,)."""
    rough = np.abs(np.diff(y, 6)) * weights[3:-3] / np.sqrt(924.0)
    places = 3 + np.flatnonzero(rough)  # where rounding makes stairs, many differences vanish, and say nothing
    rough = rough[rough > 0.0]
    if not len(rough):
        return np.zeros_like(y)
    half = _WINDOW // 2
    padded = np.pad(rough, half, mode="reflect" if len(rough) > half else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)
    # The 90th percentile: a kink of the function spoils seven differences, and these are not rounding.
    return np.interp(np.arange(len(y)), places, np.percentile(windows, 90.0, axis=1) / 1.645)


def values_and_slopes(spline: QuinticSpline, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A spline and its derivative between its ends, on the host: two arrays like x."""
    first, values, slopes = design(spline.breaks, (x - spline.start) / spline.step)
    c = np.concatenate([np.asarray(spline.coefficients), np.zeros(DEGREE)])[first[:, None] + np.arange(DEGREE + 1)]
    return np.sum(values * c, axis=1), np.sum(slopes * c, axis=1) / spline.step


def _least_squares(breaks, places, y, weights, ends_with_zero):
    """Coefficients of the spline with these knots, and its values at the points."""
    first, values, _ = design(breaks, places)
    count = len(breaks) - 1 + DEGREE
    columns = first[:, None] + np.arange(DEGREE + 1)
    weighted = values * weights[:, None]
    pairs = (columns[:, :, None] * count + columns[:, None, :]).reshape(-1)
    products = (weighted[:, :, None] * weighted[:, None, :]).reshape(-1)
    matrix = np.bincount(pairs, products, count * count).reshape(count, count)
    right = np.bincount(columns.reshape(-1), (weighted * (weights * y)[:, None]).reshape(-1), count)
    matrix += _STIFFNESS * np.trace(matrix) / count * _bending(breaks)
    kept = count - DEGREE if ends_with_zero else count
    coefficients = np.linalg.solve(matrix[:kept, :kept], right[:kept])
    every = np.concatenate([coefficients, np.zeros(count - kept)])
    return coefficients, np.sum(values * every[columns], axis=1)


def _bending(breaks):
    """The matrix of the sum of squares of second differences of coefficients: zero for straight lines."""
    c = centres(breaks)
    second = np.zeros((len(c) - 2, len(c)))
    rows = np.arange(len(c) - 2)
    low, high = np.diff(c)[:-1], np.diff(c)[1:]
    second[rows, rows], second[rows, rows + 2] = high / (low + high), low / (low + high)
    second[rows, rows + 1] = -1.0
    return second.T @ second


def _halved(breaks, intervals):
    return np.sort(np.concatenate([breaks, (breaks[intervals] + breaks[intervals + 1]) // 2]))


def _balanced(breaks):
    """More breaks, so that no interval is more than twice as long as the next."""
    while True:
        width = np.diff(breaks)
        long = (width > 2 * np.append(width[1:], width[-1])) | (width > 2 * np.append(width[0], width[:-1]))
        if not long.any():
            return breaks
        breaks = _halved(breaks, np.flatnonzero(long))
