"""Densities on the 3-sphere, quadratures there, and means of three channels."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpot.basis.hyperspherical import density
from jaxpot.basis.rotation_rules import rotation_rule, sphere_rule
from jaxpot.basis.triple_correlations import correlations, degree_triples, sum_of_correlations


def second_kind(n, x):
    """U_n(x) = sin((n + 1) t) / sin t, x = cos t."""
    t = np.arccos(np.clip(x, -1.0, 1.0))
    return np.sin((n + 1) * t) / np.sin(t)


def places(count, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 4))
    return points / np.linalg.norm(points, axis=1)[:, None], rng.normal(size=count)


def double_factorial(n):
    return float(np.prod(np.arange(n, 0, -2))) if n > 0 else 1.0


@pytest.mark.parametrize("degree", [3, 7, 9, 12, 14])
def test_means_over_the_sphere(degree):
    points, weights = sphere_rule(degree)
    for powers in itertools.product(range(degree + 1), repeat=3):
        if sum(powers) <= degree:
            even = all(p % 2 == 0 for p in powers)
            over = double_factorial(sum(powers) + 1)
            exact = np.prod([double_factorial(p - 1) for p in powers]) / over if even else 0.0
            assert weights @ np.prod(points ** np.array(powers), axis=1) == pytest.approx(exact, abs=2e-15)


@pytest.mark.parametrize("degree", [2, 9, 18, 24])
def test_means_over_rotations(degree):
    points, weights = rotation_rule(degree)
    assert len(weights) == {18: 360, 24: 780}.get(degree, len(weights))
    rng = np.random.default_rng(1)
    for powers in rng.integers(0, degree, (300, 4)):
        total = powers.sum()
        if total <= degree and total % 2 == 0:
            even = all(p % 2 == 0 for p in powers)
            # sum of squares to the power s, over (4) (6) ... (2 s + 2)
            below = np.prod(np.arange(4, total + 4, 2)) if total else 1.0
            exact = np.prod([double_factorial(p - 1) for p in powers]) / below if even else 0.0
            assert weights @ np.prod(points**powers, axis=1) == pytest.approx(exact, abs=2e-15)


@pytest.mark.parametrize("degree", [0, 1, 2, 5, 8])
def test_channels_are_sums_of_chebyshev_polynomials(degree):
    on_sphere = density(degree)
    points, strengths = places(7)
    sums = on_sphere.sums(*map(jnp.asarray, points.T), jnp.asarray(strengths))
    quadrature, _ = rotation_rule(3 * degree)
    for n, row in enumerate(sums):
        channel = np.concatenate([row @ block for block in on_sphere.on_points[n]])[: len(quadrature)]
        exact = sum(f * second_kind(n, quadrature @ v) for v, f in zip(points, strengths, strict=True))
        np.testing.assert_allclose(channel, exact, atol=2e-12)
    alone = on_sphere.sums(*(jnp.array([x]) for x in (1.0, 0.0, 0.0, 0.0)), jnp.ones(1))
    for row, pole in zip(alone, on_sphere.pole, strict=True):
        np.testing.assert_allclose(row, pole, atol=1e-14)


def of_two_densities(degree=3):
    on_sphere = density(degree)
    both = [places(6, seed) for seed in (0, 1)]
    sums = [row for points, f in both for row in on_sphere.sums(*map(jnp.asarray, points.T), jnp.asarray(f))]
    triples = tuple((a, 4 + b, c) for a, b, c in degree_triples(degree)) + degree_triples(degree)
    return on_sphere, tuple(sums), triples


def test_a_sum_of_correlations_and_its_derivatives():
    on_sphere, sums, triples = of_two_densities()
    c = jnp.asarray(np.random.default_rng(2).normal(size=len(triples)))

    def plain(sums, c):
        return c @ correlations(on_sphere, sums, triples)

    def fast(sums, c):
        return sum_of_correlations(on_sphere, sums, c, triples)

    assert fast(sums, c) == pytest.approx(float(plain(sums, c)), rel=1e-13)
    moved = tuple(jnp.sin(1.0 + jnp.arange(row.size)) for row in sums)

    def derivatives(f):
        """By both arguments, forward over reverse, and forward over forward."""
        along = lambda s: jax.jvp(lambda t: f(t, c), (s,), (moved,))[1]  # noqa: E731
        once = jax.grad(f, (0, 1))(sums, c)
        return once, *(jax.jvp(g, (sums,), (moved,))[1] for g in (lambda s: jax.grad(f)(s, c), along))

    found, exact = (jax.jit(derivatives, static_argnums=0)(f) for f in (fast, plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), found, exact)


def test_the_order_of_components_is_that_of_lammps():
    assert degree_triples(2) == ((0, 0, 0), (1, 0, 1), (1, 1, 2), (2, 0, 2), (2, 2, 2))
    assert [len(degree_triples(n)) for n in (6, 8)] == [30, 55]
