"""Means of correlated series with their standard errors, and where a run has come to equilibrium.

Errors are those of block averages; what is left out in the beginning is what leaves most independent values.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jaxpot.core.numbers import as_whole
from jaxpot.errors import DataError

_LEAST_BLOCKS = 6  # fewer say little of their own spread
_LEAST_LENGTH = 2.0  # statistical inefficiencies
_LEAST_VALUES = 8
_TRIES = 100  # starts that are compared


@dataclass(frozen=True)
class Average:
    """Mean of a correlated series, with its standard error (`block_average`).

    Attributes:
        mean: of the values from `start` on.
        error: its standard error; None where the series is too short to tell. An interval that holds the true mean
            with 95 % is that of Student's distribution with `blocks - 1` degrees of freedom: 2.6 errors to either side
            of 6 blocks, 2.0 of many.
        start: the first value that counts.
        blocks, block_length: number of blocks, and values in each; 0 and 0 where there is no error.
        inefficiency: how many values tell as much as one that is independent.
    """

    mean: float
    error: float | None
    start: int
    blocks: int
    block_length: int
    inefficiency: float

    def __str__(self) -> str:
        return f"{self.mean:.6g} ± {'unknown' if self.error is None else format(self.error, '.2g')}"


def block_average(values: ArrayLike, start: int = 0) -> Average:
    """The mean of a correlated series, and its standard error from the scatter of block means.

        error^2 = sum_k (b_k - mean of b)^2 / (m (m - 1)),    b_k: means of m blocks of L = (2 N g^2)^(1/3) values

    with the statistical inefficiency g (`statistical_inefficiency`) of the N values. This length balances what
    neighbouring blocks still have in common against the noise of an error from few blocks; where it leaves fewer than 6
    blocks, 6 are taken, if each is still as long as 2 g.

    Args:
        values: (N,) at equal intervals, such as a column of `Thermo.table`.
        start: how many to leave out in front (see `equilibrated_from`).

    Returns:
        `Average`; its `error` is None where a series is too short to tell, N < 12 g. Near this limit bars are short:
        of noise whose g is N / 20, one error to either side holds the true mean in 55 to 60 % of all cases.

    Raises:
        DataError: no such numbers, or none left.

    References:
        H. Flyvbjerg, H. G. Petersen, J. Chem. Phys. 91, 461 (1989).
        R. M. Lee, G. J. Conduit, N. Nemec, P. Lopez Rios, N. D. Drummond, Phys. Rev. E 83, 066706 (2011) (L).
    """
    series = _series(values)
    start = as_whole(start, "start", 0, len(series) - 1)
    series = series[start:]
    count, inefficiency = len(series), statistical_inefficiency(series)
    mean = float(series.mean())
    long = inefficiency == 1.0 or count // _LEAST_BLOCKS >= _LEAST_LENGTH * inefficiency
    if count < _LEAST_VALUES or not long:
        return Average(mean, None, start, 0, 0, inefficiency)
    if _constant(series):
        return Average(mean, 0.0, start, count, 1, inefficiency)
    length = 1 if inefficiency == 1.0 else int(np.ceil((2.0 * count * inefficiency**2) ** (1.0 / 3.0)))
    length = min(length, count // _LEAST_BLOCKS)
    blocks = count // length
    means = series[count - blocks * length :].reshape(blocks, length).mean(1)
    error = float(np.std(means, ddof=1) / np.sqrt(blocks))
    return Average(mean, error, start, blocks, length, inefficiency)


def equilibrated_from(values: ArrayLike) -> int | None:
    """Index of the value from which a series is in equilibrium: where most independent values are left.

    The start that maximises (N - start) / g(start), with g the statistical inefficiency of what is left: while a
    series still drifts its values look correlated. A hundred starts are compared. The rule trades bias for noise: after
    a drift of six standard deviations that decays within a 25th of the series, one error (`block_average`) to either
    side holds the true mean in 50 to 64 % of all cases instead of 68.

    Args:
        values: (N,) at equal intervals.

    Returns:
        int; None where a series is too short to tell: fewer than 8 values, or the best start is in its second half.

    Raises:
        DataError: no such numbers.

    References:
        J. D. Chodera, J. Chem. Theory Comput. 12, 1799 (2016).
    """
    series = _series(values)
    count = len(series)
    if count < _LEAST_VALUES:
        return None
    starts = np.unique(np.linspace(0, count - _LEAST_VALUES // 2, _TRIES).astype(int))
    independent = [(count - start) / statistical_inefficiency(series[start:]) for start in starts]
    best = int(starts[int(np.argmax(independent))])
    return best if best <= count // 2 else None


def statistical_inefficiency(values: ArrayLike) -> float:
    """Statistical inefficiency g >= 1: so many values of a series tell as much of its mean as an independent one.

        g = 1 + 2 sum_t (1 - t / N) C(t),    C(t): autocorrelation, up to where it first falls to zero

    Args:
        values: (N,) at equal intervals.

    Returns:
        float; 1 of a constant.

    References:
        J. D. Chodera, W. C. Swope, J. W. Pitera, C. Seok, K. A. Dill, J. Chem. Theory Comput. 3, 26 (2007).
    """
    series = _series(values)
    count, deviations = len(series), series - series.mean()
    if _constant(series):
        return 1.0
    power = np.abs(np.fft.rfft(deviations, 2 * count)) ** 2
    correlation = np.fft.irfft(power)[:count] / np.arange(count, 0, -1)
    below = np.flatnonzero(correlation <= 0.0)
    lags = np.arange(1, below[0] if len(below) else count)
    share = correlation[lags] / correlation[0]
    return float(max(1.0, 1.0 + 2.0 * np.sum((1.0 - lags / count) * share)))


def _constant(series):
    """Whether values differ by rounding only."""
    return bool(np.ptp(series) <= 1e-12 * np.abs(series).max())


def _series(values):
    try:
        series = np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise DataError(f"values: expected numbers, got {values!r}") from error
    if series.ndim != 1 or not len(series) or not np.isfinite(series).all():
        what = f"shape {series.shape}" if series.ndim != 1 or not len(series) else "some that are not finite"
        raise DataError(f"values: expected a series of finite numbers, shape (N,), got {what}")
    return series
