"""Products in all four orders: values and derivatives of all kinds beside those of `jnp.matmul`."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpot.core.gemm import gemm

TURNS = list(product((False, True), repeat=2))


def factors(turn_a, turn_b, front=()):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(*front, 4, 3)), rng.normal(size=(*front, 3, 5))
    return jnp.asarray(np.swapaxes(a, -1, -2) if turn_a else a), jnp.asarray(np.swapaxes(b, -1, -2) if turn_b else b)


def by_matmul(a, b, turn_a, turn_b):
    return jnp.matmul(jnp.swapaxes(a, -1, -2) if turn_a else a, jnp.swapaxes(b, -1, -2) if turn_b else b)


@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("front", [(), (2,), (2, 3)])
def test_values_and_slopes(turns, front):
    a, b = factors(*turns, front)
    np.testing.assert_allclose(gemm(a, b, *turns), by_matmul(a, b, *turns), atol=1e-14)

    def of(function):
        return lambda a, b: jnp.sum(jnp.sin(function(a, b, *turns)))

    for own, other in zip(*(jax.grad(of(f), (0, 1))(a, b) for f in (gemm, by_matmul)), strict=True):
        np.testing.assert_allclose(own, other, atol=1e-14)


@pytest.mark.parametrize("turns", TURNS)
def test_derivatives_of_derivatives(turns):
    """Forward over reverse, and reverse over reverse."""
    a, b = factors(*turns)

    def of(function):
        return lambda a: jnp.sum(jnp.sin(function(a, b * jnp.sum(a), *turns)))

    for second in (lambda f: jax.jacfwd(jax.grad(f)), lambda f: jax.jacrev(jax.grad(f))):
        np.testing.assert_allclose(second(of(gemm))(a), second(of(by_matmul))(a), atol=1e-12)


@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0), (1, 2)])
def test_many_at_once(turns, axes):
    a, b = factors(*turns)
    a, b = (
        one if axis is None else jnp.stack([one, 2.0 * one, one * one], axis)
        for one, axis in zip((a, b), axes, strict=True)
    )
    own, other = (jax.vmap(lambda a, b, f=f: f(a, b, *turns), axes)(a, b) for f in (gemm, by_matmul))
    np.testing.assert_allclose(own, other, atol=1e-14)


def test_no_result_is_transposed():
    """That is what it is for: the slopes are products, and nothing is moved afterwards."""
    a, b = factors(True, False)

    def slopes(a, b, slope):
        return jax.vjp(lambda a, b: gemm(a, b, True), a, b)[1](slope)

    def slopes_of_matmul(a, b, slope):
        return jax.vjp(lambda a, b: by_matmul(a, b, True, False), a, b)[1](slope)

    text, other = (str(jax.make_jaxpr(f)(a, b, gemm(a, b, True))) for f in (slopes, slopes_of_matmul))
    assert "transpose" not in text and "transpose" in other
