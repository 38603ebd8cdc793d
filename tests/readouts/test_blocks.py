"""Sums over sparse points block by block: what the direct sum is, and all derivatives of it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiers import thorough_but

from jaxpot.kernels import DotProduct, SquaredExponential
from jaxpot.readouts import blocks
from jaxpot.readouts.blocks import block_length, by_blocks, direct

KERNELS = {
    "dot product": DotProduct(4),
    "squared exponential": SquaredExponential(jnp.array([0.7, 1.1, 0.9, 1.3, 0.8])),
    "sum": DotProduct(2) + SquaredExponential(jnp.asarray(1.2)),
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "_FEW", 0)
    monkeypatch.setattr(blocks, "_ELEMENTS", 20)  # four points


def arguments(kernel, count):
    rng = np.random.default_rng(count)
    points, vectors = (jnp.asarray(rng.normal(size=(n, 5))) for n in (count, 3))
    return kernel, points, jnp.asarray(rng.normal(size=count)), vectors, jnp.asarray(rng.uniform(0.5, 1.0, 3))


def same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("count", thorough_but([11], [3, 8, 11]))
def test_value_and_derivatives_by_everything_are_those_of_the_direct_sum(kernel, count):
    given = arguments(kernel, count)
    same(by_blocks(*given), direct(*given))
    every = tuple(range(5))
    same(*(jax.grad(f, argnums=every)(*given) for f in (by_blocks, direct)))
    same(*(jax.hessian(f, argnums=(2, 3, 4))(*given) for f in (by_blocks, direct)))
    # Third derivatives along a line, by vectors and coefficients at once.
    def along(f, t):
        kernel, points, coefficients, vectors, weights = given
        return f(kernel, points, coefficients + t, jnp.sin(t) + vectors, weights)

    same(*(jax.grad(jax.grad(jax.grad(partial(along, f))))(0.3) for f in (by_blocks, direct)))


def test_many_environments_at_once():
    kernel, points, coefficients, vectors, weights = arguments(KERNELS["dot product"], 11)
    many = jnp.stack([vectors, 0.5 * vectors, -vectors])
    same(*(jax.vmap(jax.value_and_grad(lambda v, f=f: f(kernel, points, coefficients, v, weights)))(many)
           for f in (by_blocks, direct)))


def test_no_covariances_are_stored_for_first_derivatives():
    given = arguments(KERNELS["dot product"], 11)
    program = jax.make_jaxpr(jax.grad(by_blocks, argnums=3))(*given)
    shapes = {v.aval.shape for equation in program.eqns for v in equation.outvars}
    assert (3, 11) not in shapes and not any(len(shape) == 3 for shape in shapes)


def test_length_of_blocks(monkeypatch):
    assert block_length(jnp.zeros((100, 5))) == 4
    assert block_length(jnp.zeros((100, 50))) == 1
    assert block_length(jnp.zeros((3, 5))) == 3
    monkeypatch.setattr(blocks, "_FEW", 1000)
    assert block_length(jnp.zeros((3, 5))) == 0
