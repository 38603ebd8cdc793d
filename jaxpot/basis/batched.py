"""Radial series and harmonics in few operations: derivatives of any order are matrix products with tables.

For programs that contain many derivatives. Recurrences differentiated twice become thousands of operations, and XLA
compiles each by itself; here no recurrence is differentiated. The values are those of `chebyshev` and `harmonics`.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.chebyshev import from_products, products, to_products
from jaxpot.basis.harmonics import legendre_table
from jaxpot.typing import Array


def series_sum(r: Array, end: float, series: np.ndarray) -> Array:
    """Functions of distances (K,) with the coefficients (P, N) of `product_series`: (K, N)."""

    def values(r):
        return products(r, end, len(series), jnp.ones_like(r)) @ jnp.asarray(series, r.dtype)

    def slope(r):
        derived = _derivative(from_products(series)) * (2.0 / end)
        return series_sum(r, end, to_products(derived))

    return _with_slope(values, slope)(r)


def padded_harmonics(l_max: int, x: Array, y: Array, z: Array) -> Array:
    """Y_lm as in `real_harmonics`, all in one array.

    Returns:
        (K, l_max + 1, 2 l_max + 1), m = -1 ... -l_max, 0, 1 ... l_max; zero where |m| > l.
    """
    along = _polynomials(z, _padded_table(l_max)).reshape(*z.shape, l_max + 1, 2 * l_max + 1)
    return along * _powers(l_max, x, y)[..., None, :]


def _with_slope(values, slope):
    """A function of (K,) with values (K, N), whose derivative is `slope`."""
    function = jax.custom_jvp(values)
    function.defjvp(lambda point, change: (function(*point), slope(*point) * change[0][..., None]))
    return function


def _derivative(series):
    """Chebyshev coefficients (P, N) of the derivatives by t."""
    derived = np.zeros_like(series)
    derived[:-1] = np.polynomial.chebyshev.chebder(series)[: len(series) - 1]
    return derived


def _polynomials(z, table):
    """Chebyshev series (K, N) with coefficients (P, N)."""

    def values(z):
        terms = [jnp.ones_like(z), z]
        for _ in range(len(table) - 2):
            terms.append(2.0 * z * terms[-1] - terms[-2])
        return jnp.stack(terms[: len(table)], axis=-1) @ jnp.asarray(table, z.dtype)

    return _with_slope(values, lambda z: _polynomials(z, _derivative(table)))(z)


@lru_cache(maxsize=32)
def _padded_table(l_max):
    """The table of P_lm(z), with a column for each l and each m of `padded_harmonics`."""
    table, orders = legendre_table(l_max), [*range(1, l_max + 1), *range(l_max + 1)]
    padded = np.zeros((len(table), l_max + 1, len(orders)))
    for degree in range(l_max + 1):
        for place, m in enumerate(orders):
            if m <= degree:
                padded[:, degree, place] = table[:, degree * (degree + 1) // 2 + m]
    return padded.reshape(len(table), -1)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _powers(most, x, y):
    """Im (x + i y)^m, m = 1 .. most, then Re (x + i y)^m, m = 0 .. most: (K, 2 most + 1)."""
    real, imaginary = [jnp.ones_like(x), x], [y]
    for _ in range(most - 1):
        a, b = real[-1], imaginary[-1]
        real.append(x * a - y * b)
        imaginary.append(x * b + y * a)
    powers = jnp.stack(imaginary[:most] + real[: most + 1], axis=-1)
    return powers @ jnp.eye(2 * most + 1, dtype=x.dtype)  # made once: see `harmonics`


@_powers.defjvp
def _powers_jvp(most, point, change):
    powers = _powers(most, *point)
    by_x, by_y = (powers @ jnp.asarray(table, powers.dtype) for table in _power_slopes(most))
    return powers, by_x * change[0][..., None] + by_y * change[1][..., None]


@lru_cache(maxsize=32)
def _power_slopes(most):
    """d (x + i y)^m = m (x + i y)^(m - 1) (dx + i dy): what turns powers into derivatives by x, and by y."""
    by_x, by_y = np.zeros((2, 2 * most + 1, 2 * most + 1))
    for m in range(1, most + 1):
        real, imaginary = most + m, m - 1
        by_x[real - 1, real] = by_y[real - 1, imaginary] = m
        if m > 1:
            by_x[imaginary - 1, imaginary] = m
            by_y[imaginary - 1, real] = -m
    return by_x, by_y
