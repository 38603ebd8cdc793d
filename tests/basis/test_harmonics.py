"""Spherical harmonics against the addition theorem and the sphere itself."""

import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss, legval

from jaxpot.basis.harmonics import LARGEST_DEGREE, real_harmonics


def directions(count):
    vectors = np.random.default_rng(0).normal(size=(count, 3))
    vectors[:2] = [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(("l_max", "tolerance"), [(0, 1e-15), (1, 1e-15), (8, 1e-13), (LARGEST_DEGREE, 1e-10)])
def test_addition_theorem(l_max, tolerance):
    """sum_m Y_lm(u) Y_lm(v) = (2 l + 1) / 4 pi P_l(u . v), the poles included."""
    u = directions(40)
    found = real_harmonics(l_max, *u.T)
    assert len(found) == l_max + 1
    for degree, harmonics in enumerate(found):
        assert harmonics.shape == (40, 2 * degree + 1)
        expected = (2 * degree + 1) / (4.0 * np.pi) * legval(u @ u.T, [0.0] * degree + [1.0])
        np.testing.assert_allclose(harmonics @ harmonics.T, expected, atol=tolerance)


def test_orthonormal_and_in_order():
    z, weights = leggauss(10)
    phi = np.arange(20) * np.pi / 10
    sine = np.sqrt(1.0 - z * z)[:, None]
    x, y, z = ((sine * np.cos(phi)).ravel(), (sine * np.sin(phi)).ravel(), np.repeat(z, 20))
    all_of_them = np.concatenate(real_harmonics(6, x, y, z), axis=1)
    overlaps = all_of_them.T @ (np.repeat(weights, 20)[:, None] * np.pi / 10 * all_of_them)
    np.testing.assert_allclose(overlaps, np.eye(49), atol=1e-13)
    root = np.sqrt(3.0 / (4.0 * np.pi))
    np.testing.assert_allclose(all_of_them[:, 1:4], root * np.stack([y, z, x], axis=1), atol=1e-15)
