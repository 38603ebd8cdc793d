"""Choices of sparse points: reproducible, different, and each good at what it is for."""

import numpy as np
import pytest

import jaxpot as jp
from jaxpot.fitting.linear.sparsify import METHODS, choose_points

KERNEL = jp.kernels.SquaredExponential(0.5)


@pytest.fixture(scope="module")
def vectors():
    """A crowd about the origin and ten outliers; each vector twice."""
    rng = np.random.default_rng(0)
    crowd, far = 0.1 * rng.normal(size=(300, 3)), 2.0 + rng.normal(size=(10, 3))
    return np.repeat(np.concatenate([crowd, far]), 2, axis=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_choice_is_reproducible_and_without_repeats(vectors, method):
    first, again, other = (choose_points(vectors, 25, method, kernel=KERNEL, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(first) == 25 == len(np.unique(vectors[first], axis=0))
    assert method == "uniform" or not np.array_equal(first, other)


@pytest.mark.parametrize("method", ["farthest", "leverage", "cur", "uniform"])
def test_outliers_are_found_where_chance_misses_them(vectors, method):
    found = choose_points(vectors, 25, method, kernel=KERNEL, seed=0)
    by_chance = choose_points(vectors, 25, "random", kernel=KERNEL, seed=0)
    assert np.count_nonzero(found >= 600) > np.count_nonzero(by_chance >= 600) + 1


def test_the_farthest_are_farther_apart_than_any_others(vectors):
    def closest(method):
        points = vectors[choose_points(vectors, 25, method, kernel=KERNEL, seed=0)]
        return np.sort(np.linalg.norm(points[:, None] - points, axis=-1), axis=1)[:, 1].min()

    assert closest("farthest") > 2 * max(closest(m) for m in ("random", "cur", "leverage"))


def test_fewer_vectors_than_asked_for_are_all_taken(vectors):
    assert len(choose_points(vectors[:8], 25, "cur", kernel=KERNEL)) == 4


def test_what_cannot_be_chosen_is_refused():
    with pytest.raises(jp.errors.DataError, match="cur, farthest"):
        choose_points(np.zeros((3, 2)), 2, "best")
    with pytest.raises(jp.errors.DataError, match="no vectors"):
        choose_points(np.zeros((0, 2)), 2)
