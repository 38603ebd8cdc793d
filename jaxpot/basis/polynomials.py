"""Polynomials by Horner's rule, and Chebyshev polynomials by their recurrence."""

from collections.abc import Sequence

import jax.numpy as jnp

from jaxpot.typing import Array


def horner(coefficients: Sequence[float], u: Array) -> Array:
    """c_0 + c_1 u + c_2 u^2 + ... of each element."""
    value = jnp.full_like(u, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * u + coefficient
    return value


def chebyshev_terms(t: Array, factor: Array, count: int) -> list[Array]:
    """factor T_0(t), factor T_1(t), ...: `count` arrays shaped like t."""
    terms = [factor, factor * t]
    for _ in range(count - 2):
        terms.append(2.0 * t * terms[-1] - terms[-2])
    return terms[:count]
