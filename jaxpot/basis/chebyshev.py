"""Chebyshev series on an interval: smooth functions of a distance as one matrix product."""

import jax.numpy as jnp
import numpy as np

from jaxpot.errors import DataError

_LENGTHS = (8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64, 80, 96, 128, 192, 256)


def chebyshev_fit(function, end, tolerance=1e-14):
    """Coefficients (P, N) of the shortest series on a ladder that reproduces functions to rounding.

    Args:
        function: NumPy, distances (n,) -> values (n, N); analytic on [0, end].
        end: A.
        tolerance: largest error, relative to the largest value.

    References:
        L. N. Trefethen, Approximation Theory and Approximation Practice (2013), chapters 3 and 8.
    """
    probe = np.linspace(0.0, end, 733)
    expected = function(probe)
    scale = np.abs(expected).max()
    for length in _LENGTHS:
        angles = np.pi * (np.arange(2 * length) + 0.5) / (2 * length)
        values = function(0.5 * end * (np.cos(angles) + 1.0))
        coefficients = np.cos(np.arange(length)[:, None] * angles) @ values / length
        coefficients[0] *= 0.5
        reached = np.abs(_polynomials(probe, end, length) @ coefficients - expected).max() / scale
        if reached <= tolerance:
            return coefficients
    raise DataError(
        f"a radial function on [0, {end:.6g}] A is too sharp for {_LENGTHS[-1]} Chebyshev polynomials: "
        f"error {reached:.1e}, expected {tolerance:.1e}; is the width of the atoms far smaller than the cutoff?"
    )


def chebyshev_polynomials(r, end, length):
    """T_k(2 r / end - 1) for k < length, stacked last: (..., length). r within [0, end]."""
    t = r * (2.0 / end) - 1.0
    terms = [jnp.ones_like(t), t]
    twice = 2.0 * t
    for _ in range(length - 2):
        terms.append(twice * terms[-1] - terms[-2])
    return jnp.stack(terms[:length], axis=-1)


def _polynomials(r, end, length):
    return np.cos(np.arange(length) * np.arccos(np.clip(2.0 * r / end - 1.0, -1.0, 1.0))[:, None])
