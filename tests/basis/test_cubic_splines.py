"""Cubic splines on any knots: SciPy's between the knots, straight lines beyond them."""

import jax
import numpy as np
import pytest
from scipy.interpolate import CubicSpline as Reference

from jaxpot.basis.cubic_splines import CubicSpline, cubic_values
from jaxpot.errors import DataError

KNOTS, VALUES = np.array([0.5, 1.0, 2.0, 2.3, 3.2]), np.array([9.0, 3.0, 1.0, 1.4, 0.2])


@pytest.mark.parametrize("slopes", [None, [-7.0, 2.0]])
def test_scipy(slopes):
    spline = CubicSpline(KNOTS, VALUES, slopes)
    ends = "natural" if slopes is None else ((1, slopes[0]), (1, slopes[1]))
    reference = Reference(KNOTS, VALUES, bc_type=ends)
    x = np.linspace(0.5, 3.2, 57)
    value = jax.vmap(lambda x: cubic_values((spline,), 0, x))
    np.testing.assert_allclose(value(x), reference(x), atol=1e-13)
    slope = jax.vmap(jax.grad(lambda x: cubic_values((spline,), 0, x)))
    np.testing.assert_allclose(slope(x), reference(x, 1), atol=1e-12)
    for end, outside in ((0.5, np.array([-1.0, 0.2])), (3.2, np.array([3.3, 9.0]))):
        expected = reference(end) + (outside - end) * reference(end, 1)
        np.testing.assert_allclose(value(outside), expected, atol=1e-12)


def test_one_of_several():
    two = CubicSpline([0.0, 1.0], [1.0, 3.0])
    splines = (CubicSpline(KNOTS, VALUES), two)
    found = cubic_values(splines, np.array([0, 1, 0, 1], np.int32), np.array([2.3, 0.5, 0.5, 2.0]))
    np.testing.assert_allclose(found, [1.4, 2.0, 9.0, 5.0], atol=1e-14)


@pytest.mark.parametrize("knots, values", [([1.0], [1.0]), ([0.0, 1.0], [1.0]), ([0.0, 0.0, 1.0], [1.0, 2.0, 3.0])])
def test_impossible_tables(knots, values):
    with pytest.raises(DataError, match="knots"):
        CubicSpline(knots, values)
