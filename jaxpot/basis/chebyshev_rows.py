"""A few Chebyshev polynomials of many numbers as the rows of a matrix."""

import jax.numpy as jnp

from jaxpot.core.fusion import materialised, rows
from jaxpot.typing import Array


def chebyshev_rows(x: Array, count: int, factor: Array) -> Array:
    """factor T_k(x) for k < count, (count, K).

    T_2k = 2 T_k^2 - 1 and T_2k+1 = 2 T_k T_k+1 - x: few steps from first to last.

    Args:
        x: (K,), from -1 to 1.
        count: one or more.
        factor: (K,).
    """
    x = materialised(x)
    terms = [jnp.ones_like(x), x]
    for k in range(2, count):
        half = k // 2
        terms.append(2.0 * terms[half] * terms[k - half] - terms[k % 2])
    factor = materialised(factor)
    return rows([factor * term for term in terms[:count]])


def folded(coefficients: Array) -> Array:
    """Coefficients of T_k, (..., B), with which they give the same sum as the given ones of (T_k + 1) / 2."""
    halves = 0.5 * coefficients
    return halves.at[..., 0].add(jnp.sum(halves, axis=-1))
