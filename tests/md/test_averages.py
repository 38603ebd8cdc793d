"""Error bars of correlated series: noise of known correlation, and how often the bars hold the truth."""

import numpy as np
import pytest

import jaxpot as jp
from jaxpot.errors import DataError
from jaxpot.md.averages import statistical_inefficiency

T_QUANTILE = {5: 1.11, 10: 1.05, 20: 1.026}  # Student's 84.13 % over the normal one, by degrees of freedom


def noise(seed, count, memory):
    """AR(1): x_k = memory x_(k-1) + e_k from its stationary distribution; variance 1 and mean 0."""
    e = np.random.default_rng(seed).normal(size=count) * np.sqrt(1.0 - memory**2)
    x = np.empty(count)
    x[0] = e[0] / np.sqrt(1.0 - memory**2)
    for k in range(1, count):
        x[k] = memory * x[k - 1] + e[k]
    return x


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_error_of_a_mean_is_the_known_one(memory):
    """(1 + a) / (1 - a) values tell as much as one."""
    values, expected = noise(1, 40_000, memory), (1.0 + memory) / (1.0 - memory)
    assert statistical_inefficiency(values) == pytest.approx(expected, rel=0.1)
    assert jp.md.block_average(values).error == pytest.approx(np.sqrt(expected / len(values)), rel=0.2)


@pytest.mark.parametrize("memory", [0.0, 0.6, 0.9])
def test_bars_hold_the_truth_as_often_as_they_should(memory):
    within, told = [], 0
    for seed in range(300):
        average = jp.md.block_average(noise(seed, 1000, memory))
        if average.error is not None:
            wide = np.interp(average.blocks - 1, list(T_QUANTILE), list(T_QUANTILE.values()))
            within.append(abs(average.mean) < wide * average.error)
            told += 1
    assert told > 0.95 * 300
    assert np.mean(within) == pytest.approx(0.683, abs=0.08)  # three standard errors of 300 draws


def test_a_drift_in_the_beginning_is_left_out():
    starts = []
    for seed in range(40):
        values = noise(seed, 1000, 0.5) + 8.0 * np.exp(-np.arange(1000) / 40.0)
        start = jp.md.equilibrated_from(values)
        starts.append(start)
        assert abs(jp.md.block_average(values, start).mean) < 0.3
    assert 80 < np.median(starts) < 250  # 40 ln 8 = 83: where the drift is one standard deviation
    assert np.median([jp.md.equilibrated_from(noise(seed, 1000, 0.5)) for seed in range(40)]) < 60


def test_too_short_to_tell():
    assert jp.md.equilibrated_from(np.linspace(0.0, 1.0, 200)) is None  # drifts to its end
    assert jp.md.equilibrated_from([1.0, 2.0, 3.0]) is None
    short = jp.md.block_average(noise(0, 40, 0.95))
    assert short.error is None and short.blocks == 0 and "unknown" in str(short)
    constant = jp.md.block_average(np.full(50, 3.0))
    assert constant.error == 0.0 and constant.inefficiency == 1.0 and jp.md.equilibrated_from(np.full(50, 3.0)) == 0


@pytest.mark.parametrize("values", [[], [1.0, np.nan], np.zeros((3, 3)), ["a"]])
def test_what_is_no_series_is_refused(values):
    for function in (jp.md.block_average, jp.md.equilibrated_from):
        with pytest.raises(DataError, match="values: expected"):
            function(values)


def test_a_start_beyond_the_end_is_refused():
    with pytest.raises(DataError, match="start"):
        jp.md.block_average([1.0, 2.0], start=2)
