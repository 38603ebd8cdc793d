"""Sums over neighbours of radial functions and harmonics, by functions that are quick to make: two matrix products.

Y_lm is a polynomial of z times a power of x + i y. The functions of a direction here are

    T_j(z) Re (x + i y)^m,  T_j(z) Im (x + i y)^m,   j + m <= L

with Chebyshev polynomials T: as many as harmonics, each one product. Sums over neighbours of their products with
radial functions are one matrix product for an atom; the harmonics are combinations of few of the sums.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.harmonics import legendre_table
from jaxpot.core.fusion import materialised, rows
from jaxpot.typing import Array


@lru_cache(maxsize=32)
def places(degree: int) -> tuple[tuple[int, int, int], ...]:
    """(m, part, j) of each function of a direction up to L: part is 0 for the real part, 1 for the imaginary one."""
    return tuple(
        (m, part, j) for m in range(degree + 1) for part in range(2 if m else 1) for j in range(degree + 1 - m)
    )


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def polynomials(degree: int, x: Array, y: Array, z: Array) -> Array:
    """The functions of directions, ((L + 1)^2, K), in the order of `places`.

    Args:
        degree: L.
        x, y, z: components of unit vectors, (K,).
    """
    chebyshev, powers = _factors(degree, x, y, z)
    chebyshev = rows(chebyshev)
    return jnp.concatenate([
        chebyshev[: degree + 1 - m] * powers[m][part] if m else chebyshev
        for m in range(degree + 1) for part in range(2 if m else 1)
    ])


@polynomials.defjvp
def _polynomials_jvp(degree, vectors, changes):
    """Written out: reverse mode then reads each slope once, and not along the recurrences."""
    (x, y, z), (dx, dy, dz) = vectors, changes
    chebyshev, powers = _factors(degree, x, y, z)
    second = _chebyshev_second(degree, z)
    by_z = [None, *(float(j) * second[j - 1] * dz for j in range(1, degree + 1))]
    by_plane = [None] + [
        (
            float(m) * (powers[m - 1][0] * dx - powers[m - 1][1] * dy),
            float(m) * (powers[m - 1][1] * dx + powers[m - 1][0] * dy),
        )
        for m in range(1, degree + 1)
    ]
    moved = []
    for m, part, j in places(degree):
        terms = [by_z[j] * powers[m][part]] if j else []
        terms += [chebyshev[j] * by_plane[m][part]] if m else []
        moved.append(sum(terms[1:], start=terms[0]) if terms else jnp.zeros_like(dz))
    return polynomials(degree, x, y, z), rows(moved)


def _factors(degree, x, y, z):
    """T_j(z), and real and imaginary part of (x + i y)^m."""
    one, none = jnp.ones_like(z), jnp.zeros_like(z)
    chebyshev, powers = [one, z], [(one, none), (x, y)]
    for _ in range(degree - 1):
        chebyshev.append(materialised(2.0 * z * chebyshev[-1] - chebyshev[-2], z))
        a, b = powers[-1]
        powers.append((materialised(x * a - y * b, x), materialised(x * b + y * a, x)))
    return chebyshev[: degree + 1], powers[: degree + 1]


def _chebyshev_second(degree, z):
    """U_j(z): the derivative of T_j is j U_j-1."""
    second = [jnp.ones_like(z), 2.0 * z]
    for _ in range(degree - 1):
        second.append(materialised(2.0 * z * second[-1] - second[-2], z))
    return second[:degree]


@lru_cache(maxsize=32)
def harmonic_tables(degree: int) -> tuple[np.ndarray, ...]:
    """For each m, (L + 1 - m, L + 1 - m) by l and j: real parts of sqrt(4 pi) Y_lm of `places` are sums over j.

    Y_lm is complex and has the phase (-1)^m; the same table makes the imaginary parts.
    """
    table = legendre_table(degree)
    results = []
    for m in range(degree + 1):
        columns = [ell * (ell + 1) // 2 + m for ell in range(m, degree + 1)]
        phase = np.sqrt(4.0 * np.pi) * (1.0 if m == 0 else np.sqrt(0.5) * (-1.0) ** m)
        results.append(phase * table[: degree + 1 - m, columns].T)
    return tuple(results)
