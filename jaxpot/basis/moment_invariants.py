"""Moments of unit vectors: the monomials that harmonics are made of, and invariants of sums of them."""

import math
from functools import lru_cache

import jax.numpy as jnp
import numpy as np

from jaxpot.basis.coupling import coupling
from jaxpot.basis.harmonics import legendre_table
from jaxpot.core.fusion import materialised, rows
from jaxpot.typing import Array

LARGEST_DEGREE = 8
COUPLINGS = ("222", "1111", "112", "123", "233", "134")
_OF_FOUR = 7.0 / 15.0  # sum over L = 0, 2 of (1 1 L; 0 0 0)^2


def monomials(l_max: int, x: Array, y: Array, z: Array) -> Array:
    """z^a and z^a {Re, Im} (x + i y)^m with a + m <= l_max, ((l_max + 1)^2, K), m changing slowest.

    Args:
        l_max: highest degree.
        x, y, z: components of unit vectors, (K,).
    """
    powers = [jnp.ones_like(z), z]
    real, imaginary = [jnp.ones_like(z), x], [jnp.zeros_like(z), y]
    for _ in range(l_max - 1):
        powers.append(materialised(z * powers[-1]))
        a, b = real[-1], imaginary[-1]
        real.append(materialised(x * a - y * b))
        imaginary.append(materialised(x * b + y * a))
    products = list(powers[: l_max + 1])
    for m in range(1, l_max + 1):
        products += [part[m] * power for part in (real, imaginary) for power in powers[: l_max + 1 - m]]
    return rows(products)


def invariants(l_max: int, couplings: tuple[str, ...], moments: Array) -> Array:
    """Invariants of sums of monomials: for l = 1 ... l_max sum_m A_lm^2 with the harmonics A of degree l; then those of
    several degrees, with 3j symbols.

    Args:
        l_max: highest degree.
        couplings: some of `COUPLINGS`.
        moments: (N, (l_max + 1)^2).

    Returns:
        (l_max + the number of couplings, N).

    References:
        A. R. Edmonds, Angular Momentum in Quantum Mechanics (1957), section 3.7.
    """
    ends = [n * n - 1 for n in range(1, l_max + 2)]
    harmonics = jnp.matmul(moments, jnp.asarray(_harmonics(l_max), moments.dtype), precision="highest")
    owner = np.repeat(np.eye(l_max), [2 * n + 1 for n in range(1, l_max + 1)], axis=0)
    squares = jnp.matmul(harmonics * harmonics, jnp.asarray(owner, moments.dtype), precision="highest")
    by_degree = [harmonics[:, a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]
    results = [squares.T]
    for name in couplings:
        if name == "1111":
            results.append(_OF_FOUR * squares[None, :, 0] ** 2)
            continue
        first, second, third = (by_degree[int(n) - 1] for n in name)
        products = (first[:, :, None] * second[:, None, :]).reshape(len(moments), -1)
        table = jnp.asarray(_symbols(name).reshape(products.shape[1], -1), moments.dtype)
        results.append(jnp.sum(jnp.matmul(products, table, precision="highest") * third, axis=1)[None])
    return jnp.concatenate(results)


@lru_cache(maxsize=8)
def _symbols(name):
    """3j symbols, in real harmonics with the sign of (l l' l''; 0 0 0)."""
    degrees = tuple(int(n) for n in name)
    symbols = coupling(*degrees)
    return symbols * np.sign(symbols[degrees] * _three_zeros(*degrees))


def _three_zeros(a, b, c):
    """The sign of (a b c; 0 0 0), of an even sum."""
    return (-1.0) ** ((a + b + c) // 2)


@lru_cache(maxsize=8)
def _harmonics(l_max):
    """Harmonics of degrees 1 ... l_max, m = -1 ... -l, 0, 1 ... l, (columns) by the monomials (rows)."""
    size = (l_max + 1) ** 2
    table = np.zeros((size, size))
    legendre = legendre_table(l_max)
    starts, start = {}, l_max + 1
    for m in range(1, l_max + 1):
        starts[m], start = start, start + 2 * (l_max + 1 - m)
    for n in range(l_max + 1):
        for m in range(n + 1):
            series = np.polynomial.chebyshev.cheb2poly(legendre[:, n * (n + 1) // 2 + m])[: l_max + 1 - m]
            series = np.pad(series, (0, max(0, l_max + 1 - m - len(series))))
            if m == 0:
                table[: l_max + 1, n * n + n] = series
                continue
            count = l_max + 1 - m
            table[starts[m] : starts[m] + count, n * n + n + m] = series
            table[starts[m] + count : starts[m] + 2 * count, n * n + m - 1] = series
    table[np.abs(table) < 1e-14 * math.sqrt(size)] = 0.0
    return table[:, 1:]
