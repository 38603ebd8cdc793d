"""Sums over pairs in blocks of neighbours: each pair once, however many there are."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiers import thorough_but

from jaxpot.basis.fades import SMOOTHNESS, fade, fade_and_slope
from jaxpot.descriptors.pair_sums import PairSums, pair_sums

RADIAL, ANGULAR = ((0.03, 0.0), (0.06, 0.0), (0.05, 1.2)), ((1.0, -1.0), (2.0, 1.0), (16.0, -1.0), (2.5, 0.5))


def one_by_one(what, vectors, first, second):
    found = np.zeros((len(RADIAL), len(ANGULAR)))
    for j in range(len(first)):
        for k in range(j):
            r, s, t = (math.sqrt(v @ v) for v in (vectors[j], vectors[k], vectors[j] - vectors[k]))
            pair = first[j] * first[k] if what.alike else first[j] * second[k] + second[j] * first[k]
            pair *= float(fade(what.fade[0], t * t, *what.fade[1:])) if what.narrow else 1.0
            lengths = (r, s, t) if what.narrow else (r, s)
            radial = [math.exp(-eta * sum((x - shift) ** 2 for x in lengths)) for eta, shift in RADIAL]
            cosine = vectors[j] @ vectors[k] / (r * s)
            found += pair * np.outer(radial, [2.0 * (0.5 + 0.5 * sign * cosine) ** zeta for zeta, sign in ANGULAR])
    return found


@pytest.mark.parametrize("count", thorough_but([1, 5], [1, 5, 13, 40], [13]))
@pytest.mark.parametrize(("narrow", "alike"), [(True, True), (True, False), (False, True), (False, False)])
def test_each_pair_counts_once(count, narrow, alike):
    what = PairSums(narrow, alike, ("poly2", 4.5, 0.1), RADIAL, ANGULAR)
    rng = np.random.default_rng(count)
    vectors = rng.normal(size=(count, 3)) * 1.5
    first, second = rng.uniform(0.1, 1.0, (2, count))
    second = first if alike else second
    r = np.linalg.norm(vectors, axis=1)
    units = jnp.asarray(vectors.T / r)
    found = pair_sums(what, units, jnp.asarray(r), jnp.asarray(first), jnp.asarray(second))
    np.testing.assert_allclose(found, one_by_one(what, vectors, first, second), rtol=1e-12, atol=1e-14)
    if count == 13:
        small = [jnp.asarray(a, np.float32) for a in (units, r, first, second)]
        assert pair_sums(what, *small).dtype == np.float32
        along = [jnp.asarray(rng.normal(size=a.shape)) for a in (units, r, first)]

        def moved(step):
            d_units, d_r, d_first = (step * a for a in along)
            other = first + d_first if alike else jnp.asarray(second)
            return jnp.sum(jnp.tanh(pair_sums(what, units + d_units, r + d_r, first + d_first, other)))

        slope, curvature = jax.grad(moved)(0.0), jax.grad(jax.grad(moved))(0.0)
        h = 1e-5
        np.testing.assert_allclose(slope, (moved(h) - moved(-h)) / (2 * h), rtol=1e-6)
        np.testing.assert_allclose(curvature, (jax.grad(moved)(h) - jax.grad(moved)(-h)) / (2 * h), rtol=1e-6)


@pytest.mark.parametrize("inner", [0.0, 0.3])
@pytest.mark.parametrize("name", SMOOTHNESS)
def test_slopes_are_derivatives(name, inner):
    square = jnp.asarray([0.3, 4.0, 9.0, 15.9, 16.0, 17.0])
    value, slope = fade_and_slope(name, square, 4.0, inner)
    np.testing.assert_array_equal(value, fade(name, square, 4.0, inner))
    away = np.array([True] * 4 + [False, True])
    expected = jax.vmap(jax.grad(lambda s: fade(name, s, 4.0, inner)))(square)
    np.testing.assert_allclose(np.asarray(slope)[away], expected[away], rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("name", ["cosine", "poly2"])
def test_empty_places_far_away_are_harmless_in_single_precision(name):
    """Squares of distances of 0.01 A are differences of large numbers: rounding makes some of them negative."""
    what = PairSums(True, True, (name, 25.0, 0.0), RADIAL, ANGULAR)
    rng = np.random.default_rng(0)
    units = rng.normal(size=(3, 20))
    units = np.hstack([units / np.linalg.norm(units, axis=0), np.tile([[1.0], [0.0], [0.0]], 20)])
    r = np.concatenate([rng.uniform(3.0, 24.0, 20), 25.35 + 0.01 * np.arange(20)])
    units, r, weights = (jnp.asarray(a, np.float32) for a in (units, r, r < 25.0))
    value, slope = jax.value_and_grad(lambda r: jnp.sum(pair_sums(what, units, r, weights, weights)))(r)
    assert jnp.isfinite(value) and jnp.isfinite(slope).all()
