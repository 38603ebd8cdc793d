"""Products x^a y^b z^c of the components of vectors, degree by degree."""

import jax.numpy as jnp

from jaxpot.core.fusion import materialised, rows
from jaxpot.typing import Array


def exponents(degree: int) -> list[tuple[int, int, int]]:
    """(a, b, c) with a + b + c = degree: the first falling, and with the same first one, the second."""
    return [(a, b, degree - a - b) for a in range(degree, -1, -1) for b in range(degree - a, -1, -1)]


def monomials(highest: int, x: Array, y: Array, z: Array) -> list[Array]:
    """x^a y^b z^c in the order of `exponents`, for each degree from 0 on: ((d + 1)(d + 2) / 2, K).

    Each degree is stored: XLA would compute the ones before it anew for each.

    Args:
        highest: degree.
        x, y, z: components, (K,).
    """
    degrees = [jnp.ones_like(x)[None], rows([x, y, z])]
    for degree in range(2, highest + 1):
        last = degrees[-1]
        products = jnp.concatenate([x * last, y * last[-degree:], z * last[-1:]])
        degrees.append(materialised(products, x))
    return degrees[: highest + 1]
