"""Harmonics on the 3-sphere, by products of monomials: how the density of many points there is found degree by degree.

With a = w + i z, b = x + i y of a unit vector (w, x, y, z), and s = |a|^2 - |b|^2, the harmonics of degree n are

    {Re, Im} a^p  {Re, Im} b^q  P_k^(q, p)(s),  p + q + 2 k = n

with Jacobi polynomials P, (n + 1)^2 of them. Sums over points of a product of a function of a and one of b are a matrix
product; so sums of {Re, Im} a^p T_k(s) {Re, Im} b^q come first, with Chebyshev polynomials T, and of these for each p
and q a few are added up: P_k = sum_d c_d T_{k - d}.

References:
    J. Avery, Hyperspherical Harmonics and Generalized Sturmians (2000), chapter 1 (addition theorem).
"""

from dataclasses import dataclass
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev

from jaxpot.basis.rotation_rules import rotation_rule
from jaxpot.core.fusion import materialised, rows
from jaxpot.core.gemm import gemm
from jaxpot.core.precision import product
from jaxpot.typing import Array, DTypeLike

_WHOLE = 800  # points of a rule that are worked on at once: those up to degree 8
_BLOCK = 320  # and of a larger one


@dataclass(frozen=True, eq=False)
class Density:
    """Channels of a density on the 3-sphere at the points of a quadrature: rho_n(u) = sum_k f_k U_n(v_k . u).

    U_n are Chebyshev polynomials of the second kind. With the sums of f_k Y(v_k) over the harmonics Y of a degree,
    whose mean square is one, rho_n(u) = sum_Y Y(u) / (n + 1) of these.

    Attributes:
        degree: the largest n.
        weights: of a quadrature of even polynomials, in blocks of points, (blocks, Q).
        on_points: for each n, Y / (n + 1) at the points, (blocks, (n + 1)^2, Q).
        mixing: c_d of all products, (degree / 2 + 1, A, B), with the norm of the harmonics.
        places: of the harmonics among all products, by degree, (harmonics,).
    """

    degree: int
    weights: np.ndarray
    on_points: tuple
    mixing: np.ndarray
    places: np.ndarray

    def sums(self, w: Array, x: Array, y: Array, z: Array, strengths: Array) -> list[Array]:
        """Sums of f_k Y(v_k), ((n + 1)^2,) for each n.

        Args:
            w, x, y, z: components of unit vectors v_k, (K,).
            strengths: f_k, (K,).
        """
        first, second = _factors(self.degree, w, x, y, z)
        one, other = rows(first), rows([strengths * b for b in second])
        products = gemm(one, other, turn_b=True)
        mixing = jnp.asarray(self.mixing, products.dtype)
        padded = jnp.pad(products, ((len(mixing) - 1, 0), (0, 0)))
        mixed = sum(c * padded[len(mixing) - 1 - d :][: len(first)] for d, c in enumerate(mixing))
        harmonics = mixed.ravel()[self.places]
        ends = np.cumsum([(n + 1) ** 2 for n in range(self.degree + 1)])
        return jnp.split(harmonics, ends[:-1])

    def each(self, w: Array, x: Array, y: Array, z: Array) -> tuple[Array, tuple[Array, Array, Array, Array]]:
        """Y(v_k) of each point, degree by degree, (K, harmonics), and its derivatives by w, x, y, z.

        Args:
            w, x, y, z: components of unit vectors v_k, (K,).
        """
        # Factors of all harmonics as products with constant matrices: sums of few terms, but faster than looking them
        # up. Derivatives of powers and of Chebyshev polynomials are sums of lower ones.
        numbers = _waves(self.degree, 2.0 * (w * w + z * z) - 1.0), *(
            [part for pair in _powers(self.degree, *by) for part in pair if part is not None] for by in ((w, z), (x, y))
        )
        (p, p_), (a, a_w, a_z), (b, b_x, b_y) = (
            jnp.split(product(rows(parts).T, jnp.asarray(picks, w.dtype)), picks.shape[1] // len(self.places), axis=1)
            for parts, picks in zip(numbers, _picks(self), strict=True)
        )
        first, both = p * b, 4.0 * p_ * a * b
        return first * a, (w[:, None] * both + first * a_w, p * a * b_x, p * a * b_y, z[:, None] * both + first * a_z)

    def blocks(self, dtype: DTypeLike) -> tuple[Array, list, list]:
        """Weights (blocks, Q), `on_points`, and the same with the last two axes exchanged."""
        def arrays(given):
            return [jnp.asarray(array, dtype) for array in given]

        columns = arrays(np.ascontiguousarray(y.swapaxes(1, 2)) for y in self.on_points)
        return jnp.asarray(self.weights, dtype), arrays(self.on_points), columns

    @property
    def pole(self) -> list[np.ndarray]:
        """Y at (1, 0, 0, 0), for each n."""
        return [row[0] for row in _harmonics(self.degree, self.mixing, np.array([[1.0, 0.0, 0.0, 0.0]]))]


@lru_cache(maxsize=8)
def density(degree: int) -> Density:
    """`Density` up to a degree, with a quadrature that is exact for products of three channels."""
    points, weights = rotation_rule(3 * degree)
    mixing = _mixing(degree)
    squares = [weights @ row**2 for row in _harmonics(degree, mixing, points)]
    places = _places(degree)
    norms = np.ones(mixing[0].size)
    norms[np.concatenate(places)] = np.sqrt(np.concatenate(squares))
    mixing = mixing / norms.reshape(mixing[0].shape)
    blocks = 1 if len(weights) <= _WHOLE else -(-len(weights) // _BLOCK)
    missing = -len(weights) % blocks
    points = np.concatenate([points, points[:missing]])
    on_points = (row.T / (n + 1) for n, row in enumerate(_harmonics(degree, mixing, points)))
    return Density(
        degree, np.append(weights, np.zeros(missing)).reshape(blocks, -1),
        tuple(np.moveaxis(y.reshape(len(y), blocks, -1), 1, 0).copy() for y in on_points),
        mixing, np.concatenate(places).astype(np.int32),
    )


def _first(degree):
    """(p, part, k) of the functions of a: a part of a^p, times T_k(s)."""
    return [(p, re, k) for p in range(degree + 1) for re in range(1 if p == 0 else 2)
            for k in range((degree - p) // 2 + 1)]


def _second(degree):
    """(q, part) of the functions of b."""
    return [(q, im) for q in range(degree + 1) for im in range(1 if q == 0 else 2)]


def _places(degree):
    """Places of the harmonics of each degree among all products."""
    degrees = np.array([[p + q + 2 * k for q, _ in _second(degree)] for p, _, k in _first(degree)]).ravel()
    return [np.flatnonzero(degrees == n) for n in range(degree + 1)]


def _mixing(degree):
    """Coefficients of T_{k - d} in P_k^(q, p), for d = 0, 1, ..., of each product."""
    first, second = _first(degree), _second(degree)
    mixing = np.zeros((degree // 2 + 1, len(first), len(second)))
    for row, (p, _, k) in enumerate(first):
        for column, (q, _) in enumerate(second):
            if p + q + 2 * k <= degree:
                mixing[: k + 1, row, column] = _jacobi(k, q, p)[::-1]
    return mixing


def _factors(degree, w, x, y, z):
    """The functions of a, and of b, in the order of `_first` and `_second`."""
    waves = _waves(degree, materialised(2.0 * (w * w + z * z) - 1.0))
    powers, others = _powers(degree, w, z), _powers(degree, x, y)
    return (
        [powers[p][re] * waves[k] if k else powers[p][re] for p, re, k in _first(degree)],
        [others[q][im] for q, im in _second(degree)],
    )


@lru_cache(maxsize=8)
def _picks(on_sphere):
    """Matrices that make factors of all harmonics, and their derivatives, of T_k(s), of a^p and of b^q."""
    degree, second = on_sphere.degree, _second(on_sphere.degree)
    polynomials = np.zeros((degree // 2 + 1, len(on_sphere.places)))
    of_a, of_b = np.zeros((2, len(second), len(on_sphere.places)))
    for column, place in enumerate(on_sphere.places):
        row, part = divmod(int(place), len(second))
        p, re, k = _first(degree)[row]
        polynomials[: k + 1, column] = on_sphere.mixing[: k + 1, row, part][::-1]
        of_a[second.index((p, re)), column] = 1.0
        of_b[part, column] = 1.0
    slopes = np.zeros((len(polynomials),) * 2)  # of T_k, by T_0, T_1, ...
    for k in range(1, len(slopes)):
        slopes[:k, k] = chebyshev.chebder(np.eye(k + 1)[k])
    by_re, by_im = np.zeros((2, len(second), len(second)))
    for column, (q, im) in enumerate(second):
        for other, part in enumerate(second):
            if part[0] == q - 1:
                by_re[other, column] = q * (part[1] == im)
                by_im[other, column] = q * (part[1] != im) * (1.0 if im else -1.0)
    return (
        np.concatenate([polynomials, slopes @ polynomials], axis=1),
        *(np.concatenate([picks, by_re @ picks, by_im @ picks], axis=1) for picks in (of_a, of_b)),
    )


def _waves(degree, s):
    """T_0(s), T_1(s), ..., as many as polynomials up to half the degree need."""
    waves = [jnp.ones_like(s), s]
    while len(waves) <= degree // 2:
        waves.append(2.0 * s * waves[-1] - waves[-2])
    return waves[: degree // 2 + 1]


def _powers(degree, re, im):
    """(Re, Im) of (re + i im)^p for p = 0, 1, ..."""
    powers = [(re * 0 + 1.0, None), (re, im)]
    while len(powers) <= degree:
        a, b = powers[-1]
        powers.append((a * re - b * im, a * im + b * re))
    return powers


def _harmonics(degree, mixing, points):
    """Harmonics at points, by NumPy: for each degree (points, (n + 1)^2)."""
    w, x, y, z = points.T
    a, b, s, part = w + 1j * z, x + 1j * y, 2.0 * (w**2 + z**2) - 1.0, (np.real, np.imag)
    second = np.stack([part[im](b**q) for q, im in _second(degree)])
    values = [
        part[re](a**p) * second
        * sum(mixing[d, row][:, None] * chebyshev.chebval(s, np.eye(k + 1)[k - d]) for d in range(k + 1))
        for row, (p, re, k) in enumerate(_first(degree))
    ]
    joined = np.concatenate(values)
    return [joined[places].T for places in _places(degree)]


def _jacobi(k, alpha, beta):
    """Coefficients of T_0, T_1, ... in P_k^(alpha, beta)."""
    nodes = np.cos(np.pi * (np.arange(k + 1) + 0.5) / (k + 1))
    previous, values = np.zeros_like(nodes), np.ones_like(nodes)
    for n in range(1, k + 1):
        c = 2 * n + alpha + beta
        # The usual recurrence of three terms; its first step divides by zero where alpha + beta = 0.
        if n == 1:
            following = 0.5 * (alpha - beta + (alpha + beta + 2) * nodes)
        else:
            following = (
                (c - 1) * (c * (c - 2) * nodes + alpha**2 - beta**2) * values
                - 2 * (n + alpha - 1) * (n + beta - 1) * c * previous
            ) / (2 * n * (n + alpha + beta) * (c - 2))
        previous, values = values, following
    return chebyshev.chebfit(nodes, values, k)
