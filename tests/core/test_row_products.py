"""Sums of products of rows by a table: values and derivatives, one at a time and mapped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpot.core.row_products import RowProducts, row_squares

RNG = np.random.default_rng(0)
ENTRIES = 200
FIRST, SECOND = RNG.integers(0, 6, ENTRIES), RNG.integers(0, 6, ENTRIES)
# Sums of no addend, of one, of a few, and of many.
TARGET = np.sort(RNG.choice([0, 2, 3, 5], ENTRIES, p=[0.01, 0.02, 0.07, 0.9]))
FACTORS = RNG.integers(1, 4, ENTRIES)
TABLE = RowProducts(FIRST, SECOND, TARGET, FACTORS, (6, 6, 7))
TENSOR = np.zeros((7, 6, 6))
np.add.at(TENSOR, (TARGET, FIRST, SECOND), FACTORS)


def exact(a, b):
    return jnp.einsum("kij,i...,j...->k...", TENSOR, a, b)


@pytest.mark.parametrize("shape", [(6,), (6, 5)])
def test_values(shape):
    a, b = RNG.normal(size=(2, *shape))
    np.testing.assert_allclose(TABLE(a, b), exact(a, b), rtol=1e-13, atol=1e-13)
    assert TABLE(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)).dtype == jnp.float32


@pytest.mark.parametrize("axes", [(0, 0), (1, 0), (None, 0), (0, None)])
def test_mapped(axes):
    a, b = (RNG.normal(size={None: (6,), 0: (5, 6), 1: (6, 5)}[axis]) for axis in axes)
    np.testing.assert_allclose(jax.vmap(TABLE, axes)(a, b), jax.vmap(exact, axes)(a, b), rtol=1e-13, atol=1e-13)
    slopes = [jax.grad(lambda a, b, f=f: jnp.sum(jnp.sin(jax.vmap(f, axes)(a, b))), (0, 1))(a, b) for f in (TABLE, exact)]
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12), *slopes)


def test_derivatives_of_squares():
    """First and second ones, forwards and backwards."""
    a, along = RNG.normal(size=(2, 6))
    some = [
        (
            f(a), jax.jacfwd(f)(a), jax.jacrev(f)(a), jax.hessian(lambda x, f=f: jnp.sum(f(x) ** 2))(a),
            jax.jvp(lambda x, f=f: jax.jacrev(f)(x), (a,), (along,))[1],
        )
        for f in (lambda x: row_squares(TABLE, x), lambda x: exact(x, x))
    ]
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-11), *some)
