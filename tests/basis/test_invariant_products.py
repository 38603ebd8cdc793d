"""Invariant products by plain sums over real tensors, their number, and that rotations leave them alone."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from jaxpot.basis.invariant_products import (
    Invariant,
    in_couplings,
    invariant_products,
    n_couplings,
    orders_and_couplings,
)
from jaxpot.errors import DataError

A, B, C, D = (1, 0, 1), (1, 0, 2), (2, 0, 1), (2, 1, 1)
EVERY = ((A, A), (A, B), (C, D), (A, A, C), (A, B, C), (C, C, C), (A, A, A, A), (A, B, C, D), (A, B, C, C, D), (C,) * 6)


def all_of(factors):
    return [Invariant(f, k) for f in factors for k in range(n_couplings(f))]


def density(vectors, channel):
    """A_m, m = -l ... l, of points with weights that depend on the channel."""
    r = np.linalg.norm(vectors, axis=1)
    angles = np.arccos(vectors[:, 2] / r), np.arctan2(vectors[:, 1], vectors[:, 0])
    weights = np.exp(-r * (0.3 + 0.2 * channel[2] + 0.1 * channel[1]))
    return {m: np.sum(weights * sph_harm_y(channel[0], m, *angles)) for m in range(-channel[0], channel[0] + 1)}


def parts_of(table, vectors):
    values = [density(vectors, channel)[m] for channel in table.channels for m in range(channel[0] + 1)]
    return jnp.asarray(np.real(values)), jnp.asarray(np.imag(values))


VECTORS = np.random.default_rng(0).normal(size=(7, 3))


def test_products_by_plain_sums():
    invariants = all_of(EVERY)
    table = invariant_products(tuple(invariants))
    parts = parts_of(table, VECTORS)
    expected = []
    for factors, number in invariants:
        orders, u = orders_and_couplings(factors)
        tensors = [density(VECTORS, channel) for channel in factors]
        products = [np.prod([t[m] for t, m in zip(tensors, ms, strict=True)]).real for ms in orders]
        expected.append(u[number] @ products)
    np.testing.assert_allclose(table.each(*parts), expected, rtol=1e-11, atol=1e-13)
    weights = np.random.default_rng(1).normal(size=len(invariants))
    np.testing.assert_allclose(table.weighted_sum(*parts, jnp.asarray(weights)), weights @ expected, rtol=1e-12)


def test_rotations_leave_them_alone():
    table = invariant_products(tuple(all_of(EVERY)))
    here = table.each(*parts_of(table, VECTORS))
    turned = table.each(*parts_of(table, Rotation.random(random_state=3).apply(VECTORS)))
    mirrored = table.each(*parts_of(table, -VECTORS))
    np.testing.assert_allclose(turned, here, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(mirrored, here, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("factors", EVERY)
def test_they_are_as_many_as_characters_say(factors):
    """The number of invariants of equal factors, by the mean of characters over rotations (Molien)."""
    count = {f: factors.count(f) for f in factors}

    def character(degree, angle):
        return np.sum(np.cos(np.arange(-degree, degree + 1) * angle))

    def symmetric(degree, power, angle):
        """Of the symmetric power, by the cycles of permutations (Newton)."""
        h = [1.0]
        for n in range(1, power + 1):
            h.append(sum(character(degree, k * angle) * h[n - k] for k in range(1, n + 1)) / n)
        return h[power]

    angles = (np.arange(200) + 0.5) * np.pi / 200
    values = [np.prod([symmetric(f[0], n, a) for f, n in count.items()]) * (1.0 - np.cos(a)) for a in angles]
    assert n_couplings(factors) == round(np.mean(values))


def test_sums_of_weighted_products_are_differentiated():
    table = invariant_products(tuple(all_of(EVERY)))
    real, imaginary = parts_of(table, VECTORS)
    weights = jnp.asarray(np.random.default_rng(2).normal(size=len(table)))
    by_sum = jax.grad(table.weighted_sum, argnums=(0, 1, 2))(real, imaginary, weights)
    by_each = jax.grad(lambda *a: table.each(*a[:2]) @ a[2], argnums=(0, 1, 2))(real, imaginary, weights)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), by_sum, by_each)


def test_sums_are_taken_apart_into_couplings():
    orders, u = orders_and_couplings((A, A, B, B))
    mixed = np.array([[0.3, -1.0], [2.0, 0.5], [0.1, 0.2]])[: len(u)]
    turned = [tuple(-m for m in ms) for ms in orders]  # complex conjugates
    weights, rest = in_couplings((A, A, B, B), np.array(turned), u.T @ mixed)
    np.testing.assert_allclose(weights, mixed, rtol=1e-12)
    assert rest < 1e-14
    _, rest = in_couplings((A, A), np.array([[0, 0]]), np.ones((1, 1)))
    assert rest > 0.1


def test_what_does_not_exist():
    for wrong in (Invariant((A,), 0), Invariant((A,) * 7, 0), Invariant((A, A), 1), Invariant((A, C), 0)):
        with pytest.raises(DataError, match="2 to 6 factors"):
            invariant_products((wrong,))


def test_orders_add_up_to_zero():
    for factors in EVERY:
        orders, _ = orders_and_couplings(factors)
        assert all(sum(ms) == 0 for ms in orders)
        assert len(set(itertools.chain(orders))) == len(orders)
