"""Products of a tensor with itself: their number by characters, their span, and their sums written out."""

from functools import cache
from itertools import combinations_with_replacement, permutations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import jaxpot as jp
from jaxpot.basis.coupling import coupling
from jaxpot.basis.harmonics import real_harmonics
from jaxpot.basis.symmetric_products import SymmetricProducts, products_of, symmetric_couplings


def number_by_characters(highest, to, order):
    """How often degree L, of natural parity, occurs in the symmetric power of all parts: the mean of characters of O(3).

    Of a symmetric power they follow from those of powers of the turn (Newton's identities). All are polynomials of the
    cosine of the angle, of which the means over midpoints are exact.
    """
    angles = 2.0 * np.pi * (np.arange(200) + 0.5) / 200
    weights = (1.0 - np.cos(angles)) / 200.0  # measure of turns by an angle

    def character(degree, turns, mirrored):
        total = sum(np.cos(m * turns * angles) for m in range(-degree, degree + 1))
        return total * (-1.0) ** (degree * turns * mirrored)

    def mean(mirrored):
        p = [sum(character(n, turns, mirrored) for n in range(highest + 1)) for turns in (1, 2, 3)]
        power = {1: p[0], 2: (p[0] ** 2 + p[1]) / 2, 3: (p[0] ** 3 + 3 * p[0] * p[1] + 2 * p[2]) / 6}[order]
        return np.sum(weights * power * character(to, 1, mirrored))

    return (mean(0) + mean(1)) / 2


def test_as_many_as_the_characters_say():
    for highest in range(5):
        for to in range(4):
            labels = products_of(highest, to, 3)
            for order in (1, 2, 3):
                count = sum(len(degrees) == order for degrees, _ in labels)
                np.testing.assert_allclose(number_by_characters(highest, to, order), count, atol=1e-9)
            assert len(set(labels)) == len(labels)
    assert [len(products_of(3, to, 3)) for to in (0, 1)] == [13, 16]


def test_they_are_orthogonal_symmetric_and_normed():
    for degrees in [(2,), (1, 3), (2, 2), (2, 2, 2), (1, 1, 2), (1, 2, 2), (1, 2, 3), (3, 3, 3)]:
        for to in range(4):
            tensors = symmetric_couplings(degrees, to)
            axes = list(range(1, tensors.ndim))
            overlaps = np.tensordot(tensors, tensors, (axes, axes))
            np.testing.assert_allclose(overlaps, (2 * to + 1) * np.eye(len(tensors)), atol=1e-12)
            for p in permutations(range(len(degrees))):
                if all(degrees[a] == degrees[b] for a, b in enumerate(p)):
                    turned = tensors.transpose(0, *(1 + k for k in p), tensors.ndim - 1)
                    np.testing.assert_allclose(turned, tensors, atol=1e-12)


@cache
def turned(degree):
    """Matrix D with Y(R v) = D Y(v)."""
    rotation = Rotation.from_euler("zyx", [0.3, 1.1, -0.7]).as_matrix()
    v = np.random.default_rng(degree).normal(size=(40, 3))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    before, after = (np.asarray(real_harmonics(degree, *u.T)[degree]) for u in (v, v @ rotation.T))
    return np.linalg.lstsq(before, after, rcond=None)[0].T


def test_they_turn_with_the_harmonics():
    for degrees, to in [((1, 2, 3), 2), ((2, 2, 2), 0), ((3, 3, 3), 3)]:
        tensors = symmetric_couplings(degrees, to)
        together = np.einsum("nabcd,ia,jb,kc,ld->nijkl", tensors, *(turned(n) for n in (*degrees, to)))
        np.testing.assert_allclose(together, tensors, atol=1e-12)


def test_nothing_is_missing_when_others_are_coupled_first():
    """Products of random parts, the LAST two coupled first, are combinations of those here."""
    rng = np.random.default_rng(0)
    for degrees in combinations_with_replacement(range(4), 3):
        parts = [rng.normal(size=(60, 2 * n + 1)) for n in range(4)]
        first, second, third = degrees
        for to in (0, 1):
            tensors = symmetric_couplings(degrees, to)
            values = np.einsum("nabcd,sa,sb,sc->nsd", tensors, *(parts[n] for n in degrees))
            values = values.reshape(len(tensors), 60 * (2 * to + 1))
            for between in range(abs(second - third), second + third + 1):
                if not abs(first - between) <= to <= first + between:
                    continue
                pair = np.einsum("abc,sa,sb->sc", coupling(second, third, between), parts[second], parts[third])
                other = np.einsum("abc,sa,sb->sc", coupling(first, between, to), parts[first], pair).ravel()
                rest = other - values.T @ np.linalg.lstsq(values.T, other, rcond=None)[0]
                assert np.abs(rest).max() < 1e-10, (degrees, to, between)


@pytest.mark.parametrize(("highest", "outputs", "correlation"), [(3, 1, 3), (2, 2, 3), (1, 0, 2), (1, 1, 1)])
def test_sums_by_horner_are_those_written_out(highest, outputs, correlation):
    products, rng = SymmetricProducts(highest, outputs, correlation), np.random.default_rng(1)
    parts = rng.normal(size=((highest + 1) ** 2, 2))
    weights = [rng.normal(size=(len(labels), 2)) for labels in products.labels]
    sums = products.apply(jnp.asarray(parts), products.spread([jnp.asarray(w) for w in weights]))
    for to, labels in enumerate(products.labels):
        expected = np.zeros((2 * to + 1, 2))
        for channel in range(2):
            for (degrees, number), weight in zip(labels, weights[to], strict=True):
                value = symmetric_couplings(degrees, to)[number]
                for degree in degrees:  # the first axis that is left, each time
                    value = np.tensordot(parts[degree**2 : (degree + 1) ** 2, channel], value, 1)
                expected[:, channel] += weight[channel] * value
        np.testing.assert_allclose(sums[to], expected, atol=1e-11)


def test_products_of_more_factors_are_refused():
    with pytest.raises(jp.errors.DataError, match="correlation: expected 1 to 3 factors of a product, got 4"):
        SymmetricProducts(2, 0, 4)
