"""Real spherical harmonics as a matrix product."""

import math
from functools import lru_cache

import jax.numpy as jnp
import numpy as np

from jaxpot.typing import Array

LARGEST_DEGREE = 20  # where the series has lost four digits (5e-12)
_ROOT2 = math.sqrt(2.0)


def real_harmonics(l_max: int, x: Array, y: Array, z: Array) -> list[Array]:
    """Y_lm of unit vectors, orthonormal on the sphere, for l = 0 .. l_max and m = -l .. l.

    With x + i y = sin(theta) e^{i phi} and the normalised associated Legendre functions P_lm with a factor
    sin^m(theta) taken out, so that they are polynomials of z,

        Y_l0 = P_l0(z),  Y_l,m = sqrt(2) P_lm(z) Re (x + i y)^m,  Y_l,-m = sqrt(2) P_lm(z) Im (x + i y)^m

    without the phase (-1)^m. The polynomials are Chebyshev series, all of them one matrix product: written out, their
    recurrences are a program of a thousand operations, whose derivatives XLA takes minutes to compile.

    Args:
        l_max: highest degree.
        x, y, z: components of unit vectors, arrays (K,).

    Returns:
        A list over l of arrays (K, 2 l + 1), m = -1 ... -l, 0, 1 ... l.

    References:
        W. H. Press et al., Numerical Recipes, 3rd edition (2007), section 6.7.
    """
    chebyshev = [jnp.ones_like(z), z]
    real, imaginary = [jnp.ones_like(z), x], [jnp.zeros_like(z), y]  # (x + i y)^m
    for _ in range(l_max - 1):
        chebyshev.append(2.0 * z * chebyshev[-1] - chebyshev[-2])
        a, b = real[-1], imaginary[-1]
        real.append(x * a - y * b)
        imaginary.append(x * b + y * a)
    table = jnp.asarray(legendre_table(l_max), z.dtype)
    polynomials = jnp.matmul(jnp.stack(chebyshev[: l_max + 1], axis=-1), table, precision="highest")
    parts = jnp.split(polynomials, np.cumsum(np.arange(1, l_max + 1)), axis=-1)
    # The products with unit matrices are made once: else XLA repeats the recurrences wherever a power is used.
    unit = jnp.eye(l_max + 1, dtype=z.dtype)
    cosines, sines = (
        jnp.matmul(jnp.stack(part[: l_max + 1], axis=-1), unit, precision="highest") for part in (real, imaginary)
    )
    rows = [parts[0]]
    for n in range(1, l_max + 1):
        part = parts[n]  # (K, n + 1)
        negative = part[..., 1:] * sines[..., 1 : n + 1]
        rows.append(jnp.concatenate([negative, part * cosines[..., : n + 1]], axis=-1))
    return rows


@lru_cache(maxsize=32)
def legendre_table(l_max: int) -> np.ndarray:
    """Chebyshev coefficients (l_max + 1, N) of P_lm(z), sqrt(2) included, for m = 0 .. l; m runs faster."""
    angles = np.pi * (np.arange(l_max + 1) + 0.5) / (l_max + 1)
    z = np.cos(angles)
    legendre = {}
    diagonal = math.sqrt(1.0 / (4.0 * math.pi))
    for m in range(l_max + 1):
        if m:
            diagonal *= math.sqrt((2 * m + 1) / (2 * m))
        legendre[m, m] = np.full_like(z, diagonal * (_ROOT2 if m else 1.0))
        for n in range(m + 1, l_max + 1):
            a = math.sqrt((4 * n * n - 1) / (n * n - m * m))
            b = a * math.sqrt(((n - 1) ** 2 - m * m) / (4 * (n - 1) ** 2 - 1)) if n > m + 1 else 0.0
            legendre[n, m] = a * z * legendre[n - 1, m] - b * legendre.get((n - 2, m), 0.0)
    values = np.stack([legendre[n, m] for n in range(l_max + 1) for m in range(n + 1)], axis=-1)
    table = 2.0 / (l_max + 1) * np.cos(np.arange(l_max + 1)[:, None] * angles) @ values
    table[0] *= 0.5
    return table
