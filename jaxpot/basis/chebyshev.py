"""Chebyshev series on an interval: smooth functions of a distance as one matrix product.

A series sum_k c_k T_k(t) of 48 terms, written out term by term, is slow in XLA on CPUs: every term is computed again
from the first, and compiling takes seconds. Products do better. With k = 8 a + b,

    T_{8a+b} = 2 T_{8a} T_b - T_{|8a-b|}

so that the products T_{8a} T_b span the same polynomials, and only T_0 .. T_8 and T_16, T_24, ... are recurrences.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxpot.basis.polynomials import chebyshev_terms
from jaxpot.core.fusion import materialised
from jaxpot.errors import DataError
from jaxpot.typing import Array

_STEP = 8
_LENGTHS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 128, 192, 256)
_TOLERANCE = 1e-13


def product_series(function: Callable[[np.ndarray], np.ndarray], end: float) -> np.ndarray:
    """Coefficients (P, N) in the products of `products` of the shortest series that reproduces functions to rounding.

    Args:
        function: NumPy, distances (n,) -> values (n, N); analytic on [0, end].
        end: A.

    Raises:
        DataError: 256 terms do not reach 1e-13 of the largest value.

    References:
        L. N. Trefethen, Approximation Theory and Approximation Practice (2013), chapters 3 and 8.
    """
    probe = np.linspace(0.0, end, 733)
    expected = function(probe)
    scale = np.abs(expected).max()
    for length in _LENGTHS:
        series = series_of(function, end, length)
        reached = np.abs(np.asarray(_evaluate(probe, end, length)) @ series - expected).max() / scale
        if reached <= _TOLERANCE:
            return series
    raise DataError(
        f"a radial function on [0, {end:.6g}] A is too sharp for {_LENGTHS[-1]} Chebyshev polynomials: "
        f"error {reached:.1e}, expected {_TOLERANCE:.1e}; is the width of the atoms far smaller than the cutoff?"
    )


def series_of(function: Callable[[np.ndarray], np.ndarray], end: float, length: int) -> np.ndarray:
    """The same for a length that is given; nothing is checked."""
    angles = np.pi * (np.arange(2 * length) + 0.5) / (2 * length)
    values = function(0.5 * end * (np.cos(angles) + 1.0))
    coefficients = np.cos(np.arange(length)[:, None] * angles) @ values / length
    coefficients[0] *= 0.5
    return to_products(coefficients)


def products(r: Array, end: float, length: int, factor: Array) -> Array:
    """factor T_{8a}(t) T_b(t), t = 2 r / end - 1 in [-1, 1], for a < length / 8 and b < 8, b faster: (..., length)."""
    t = r * (2.0 / end) - 1.0
    low = _recurrence(t, t, _STEP + 1)
    high = _recurrence(t, low.pop(), length // _STEP)
    # XLA would compute both recurrences anew for every product.
    low, high = (materialised(jnp.stack(terms, axis=-1)) for terms in ([factor * term for term in low], high))
    return (high[..., :, None] * low[..., None, :]).reshape(*r.shape, length)


def to_products(coefficients: np.ndarray) -> np.ndarray:
    """Chebyshev coefficients (P, N) as coefficients in the products."""
    return _in_products(len(coefficients)).T @ coefficients


def from_products(series: np.ndarray) -> np.ndarray:
    """Coefficients (P, N) in the products as Chebyshev coefficients."""
    return np.linalg.solve(_in_products(len(series)).T, series)


def _recurrence(t, first, count):
    """T_0, T_1, ... of an argument `first`: `count` arrays shaped like t."""
    return chebyshev_terms(first, jnp.ones_like(t), count)


def _in_products(length):
    """T_k (rows) as sums of products (columns)."""
    table = np.zeros((length, length))
    table[:_STEP, :_STEP] = np.eye(_STEP)
    for k in range(_STEP, length):
        a, b = divmod(k, _STEP)
        if b:
            table[k] = -table[_STEP * a - b]
            table[k, k] += 2.0
        else:
            table[k, k] = 1.0
    return table


def _evaluate(r, end, length):
    angle = np.arccos(np.clip(2.0 * r / end - 1.0, -1.0, 1.0))[:, None]
    k = np.arange(length)
    return np.cos((k // _STEP * _STEP) * angle) * np.cos((k % _STEP) * angle)
