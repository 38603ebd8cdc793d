"""Products of y and z, and x times these: on the unit sphere they make all products, as x^2 = 1 - y^2 - z^2."""

from math import comb

import jax.numpy as jnp

from jaxpot.core.fusion import materialised, rows
from jaxpot.typing import Array


def exponents(degree: int) -> list[tuple[int, int]]:
    """(b, c) with b + c = degree, the first falling."""
    return [(b, degree - b) for b in range(degree, -1, -1)]


def monomials(highest: int, y: Array, z: Array) -> list[Array]:
    """y^b z^c in the order of `exponents`, for each degree from 0 on: (degree + 1, K).

    Each degree is stored: XLA would compute the ones before it anew for each.

    Args:
        highest: degree.
        y, z: components, (K,).
    """
    degrees = [jnp.ones_like(y)[None], rows([y, z])]
    for _ in range(2, highest + 1):
        last = degrees[-1]
        degrees.append(materialised(jnp.concatenate([y * last, z * last[-1:]]), y))
    return degrees[: highest + 1]


def on_sphere(a: int, b: int, c: int) -> dict[tuple[int, int, int], int]:
    """x^a y^b z^c of unit vectors as a sum of x^p y^q z^r with p = 0 or 1: {(p, q, r): coefficient}."""
    half, p = divmod(a, 2)
    return {
        (p, b + 2 * k, c + 2 * n): (-1) ** (k + n) * comb(half, k + n) * comb(k + n, k)
        for k in range(half + 1) for n in range(half + 1 - k)
    }
