"""Means of products of three channels of densities on the 3-sphere: the bispectrum, and sums of its components.

A mean over rotations of three Wigner matrices is a product of two Clebsch-Gordan coefficients, so that a component of
the bispectrum is a mean of three channels: by a quadrature, whatever the degrees, a sum over points. A weighted sum of
all components is one cubic polynomial at each point, and its gradient one quadratic polynomial for each channel; then
no component need be formed.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from jaxpot.basis.hyperspherical import Density
from jaxpot.core.fusion import rows
from jaxpot.core.gemm import gemm
from jaxpot.core.precision import product
from jaxpot.typing import Array


@lru_cache(maxsize=8)
def degree_triples(degree: int) -> tuple[tuple[int, int, int], ...]:
    """(n1, n2, n) with n1 >= n2, |n1 - n2| <= n <= n1 + n2, n1 + n2 + n even and n >= n1, in the order of LAMMPS."""
    return tuple(
        (one, two, three) for one in range(degree + 1) for two in range(one + 1)
        for three in range(one - two, min(degree, one + two) + 1, 2) if three >= one
    )


def correlations(on_sphere: Density, sums: Sequence[Array], triples: Sequence[tuple[int, int, int]]) -> Array:
    """Means of products of three channels, (T,).

    Args:
        on_sphere: what makes channels of sums.
        sums: `Density.sums` of one density, or of several, one after the other: as many as there are channels.
        triples: numbers of the channels of each product.
    """
    pairs, thirds, places = _cover(tuple(tuple(sorted(triple)) for triple in triples))

    def block(total, points):
        weights, on_points, _ = points
        channels = _channels(sums, on_points)
        one = rows([channels[i] * channels[j] for i, j in pairs])
        other = rows([weights * channels[k] for k in thirds])
        return total + gemm(one, other, turn_b=True), None

    none = jnp.zeros((len(pairs), len(thirds)), sums[0].dtype)
    return jax.lax.scan(block, none, on_sphere.blocks(none.dtype))[0].ravel()[places]


def correlation_slopes(
    on_sphere: Density, sums: Sequence[Array], triples: Sequence[tuple[int, int, int]]
) -> tuple[list[Array], np.ndarray]:
    """Derivatives of `correlations` by the sums: as those of all different products of two channels by a third.

    Returns:
        For each channel (P, (n + 1)^2): means of products of two others with each of its harmonics Y / (n + 1); and for
        each triple the three places of its derivatives by its channels among all rows of these, (T, 3). A derivative by
        a channel that is there twice is the sum of two such rows.
    """
    count = on_sphere.degree + 1
    pairs, partners, places = _partners(tuple(tuple(sorted(triple)) for triple in triples), len(sums), count)
    weights, on_points, columns = on_sphere.blocks(sums[0].dtype)
    # Harmonics of even degrees and of odd ones: products of two channels have a mean with one kind alone.
    kinds = [jnp.concatenate(columns[parity::2], axis=2) for parity in range(min(2, count))]

    def block(total, points):
        weights, on_points, kinds = points
        channels = _channels(sums, on_points)
        weighted = [weights * channel for channel in channels]
        return [
            so_far + product(rows([weighted[i] * channels[j] for i, j in some]), kind)
            for so_far, some, kind in zip(total, pairs, kinds, strict=False)
        ], None

    none = [
        jnp.zeros((len(some), kind.shape[2]), kind.dtype) for some, kind in zip(pairs, kinds, strict=False)
    ]
    means = jax.lax.scan(block, none, (weights, on_points, kinds))[0]
    slopes = []
    for k, partner in enumerate(partners):
        degree = k % count
        begin = sum((n + 1) ** 2 for n in range(degree % 2, degree, 2))
        slopes.append(means[degree % 2][partner, begin : begin + (degree + 1) ** 2])
    return slopes, places


@partial(jax.custom_jvp, nondiff_argnums=(0, 3))
def sum_of_correlations(on_sphere: Density, sums: tuple[Array, ...], coefficients: Array, triples: tuple) -> Array:
    """sum_t c_t times the mean of the product of three channels, ().

    Args:
        on_sphere, sums, triples: as of `correlations`.
        coefficients: c, (T,).
    """
    # A third of the sums times the slopes by these: a cubic polynomial.
    return _along(sums, _slopes(on_sphere, sums, coefficients, triples)) / 3.0


@partial(sum_of_correlations.defjvp, symbolic_zeros=True)
def _sum_jvp(on_sphere, triples, values, changes):
    (sums, coefficients), (moved, changed) = values, changes
    slopes = _slopes(on_sphere, sums, coefficients, triples)
    pairs = [(slope, by) for slope, by in zip(slopes, moved, strict=True) if not isinstance(by, SymbolicZero)]
    change = _along(*zip(*pairs, strict=True)) if pairs else jnp.zeros((), coefficients.dtype)
    if not isinstance(changed, SymbolicZero):
        change = change + sum_of_correlations(on_sphere, sums, changed, triples)
    return _along(sums, slopes) / 3.0, change


def _along(some, others):
    return sum(jnp.sum(a * b) for a, b in zip(some, others, strict=True))


def _channels(sums, on_points):
    """Channels at the points of a block."""
    return [product(row, on_points[k % len(on_points)]) for k, row in enumerate(sums)]


def _slopes(on_sphere, sums, coefficients, triples):
    """Derivatives of `sum_of_correlations` by the sums."""
    polynomials = _polynomials(triples, coefficients, len(sums))

    def block(total, points):
        weights, on_points, columns = points
        channels = _channels(sums, on_points)
        slopes = [weights * _quadratic(terms, channels) for terms in polynomials]
        return [
            so_far + product(slope, columns[k % len(columns)])
            for k, (so_far, slope) in enumerate(zip(total, slopes, strict=True))
        ], None

    none = [jnp.zeros_like(row) for row in sums]
    return jax.lax.scan(block, none, on_sphere.blocks(none[0].dtype))[0]


def _polynomials(triples, coefficients, count):
    """For each channel, the derivative of the cubic polynomial by it: first channel -> [(second, coefficient)]."""
    members, by_channel = _by_channel(triples, count)
    whole = jnp.append(coefficients, jnp.zeros((), coefficients.dtype))[members].sum(1)
    return [
        {first: [(second, times * whole[u]) for second, u, times in rest] for first, rest in terms.items()}
        for terms in by_channel
    ]


def _quadratic(terms, channels):
    """sum over first, second of channel channel coefficient."""
    return sum(channels[first] * sum(c * channels[second] for second, c in rest) for first, rest in terms.items())


@lru_cache(maxsize=16)
def _by_channel(triples, count):
    """Derivatives of products of three channels.

    Returns:
        The triples of each different product, (U, at most 6), padded with their number; and for each channel
        first -> [(second, number of the product, how often the channel is in it)].
    """
    products, by_channel = defaultdict(list), [defaultdict(list) for _ in range(count)]
    for t, triple in enumerate(triples):
        products[tuple(sorted(triple))].append(t)
    for u, triple in enumerate(products):
        for channel, times in Counter(triple).items():
            first, second = (Counter(triple) - Counter([channel])).elements()
            by_channel[channel][first].append((second, u, times))
    most = max(map(len, products.values()), default=1)
    members = [ts + [len(triples)] * (most - len(ts)) for ts in products.values()]
    return np.array(members, np.int32).reshape(-1, most), tuple(map(dict, by_channel))


@lru_cache(maxsize=16)
def _partners(triples, channels, count):
    """Pairs of channels that third ones are there with.

    Returns:
        The different ones with an even and with an odd sum of degrees; for each channel the places among these of the
        pairs that it is there with; and `places` of `correlation_slopes`.
    """
    pairs, partners = ({}, {}), [{} for _ in range(channels)]
    for triple in triples:
        for k in range(3):
            pair = triple[:k] + triple[k + 1 :]
            kind = pairs[(triple[k] % count) % 2]
            kind.setdefault(pair, len(kind))
            partners[triple[k]].setdefault(pair, len(partners[triple[k]]))
    begins = np.cumsum([0, *map(len, partners)])
    places = [
        [begins[triple[k]] + partners[triple[k]][triple[:k] + triple[k + 1 :]] for k in range(3)] for triple in triples
    ]
    return (
        tuple(map(tuple, pairs)),
        tuple(
            np.array([pairs[(k % count) % 2][pair] for pair in partner], np.int32) for k, partner in enumerate(partners)
        ),
        np.array(places, np.int32).reshape(-1, 3),
    )


@lru_cache(maxsize=16)
def _cover(triples):
    """Few pairs of channels that, each times one of few further channels, make all triples.

    Returns:
        Pairs, further channels, and for each triple its place among pairs x further channels.
    """
    wanted, pairs = set(triples), []
    options = defaultdict(set)
    for triple in wanted:
        for k in range(3):
            options[triple[:k] + triple[k + 1 :]].add(triple)
    while wanted:
        best = max(sorted(options), key=lambda pair: len(options[pair] & wanted))
        pairs.append(best)
        wanted -= options[best]
    at = {}
    for row, pair in enumerate(pairs):
        for triple in options[pair]:
            rest = list(triple)
            for k in pair:
                rest.remove(k)
            at.setdefault(triple, (row, rest[0]))
    thirds = sorted({third for _, third in at.values()})
    places = np.array([at[t][0] * len(thirds) + thirds.index(at[t][1]) for t in triples], np.int32)
    return tuple(pairs), tuple(thirds), places
