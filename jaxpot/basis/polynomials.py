"""Polynomials by Horner's rule."""

from collections.abc import Sequence

import jax.numpy as jnp

from jaxpot.typing import Array


def horner(coefficients: Sequence[float], u: Array) -> Array:
    """c_0 + c_1 u + c_2 u^2 + ... of each element."""
    value = jnp.full_like(u, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * u + coefficient
    return value
