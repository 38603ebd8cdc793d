"""Functions of columns: mapped, differentiated in every order, and by the constants that columns share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpot.core.lanes import in_lanes

RNG = np.random.default_rng(0)
MATRIX = jnp.asarray(RNG.normal(size=(4, 3)))
MANY, OTHER = jnp.asarray(RNG.normal(size=(2, 5, 3)))


def function(constants, a, b):
    """Columns of products, in two arrays."""
    inner = constants[0] @ (a * b[::-1])
    return jnp.sin(inner), jnp.concatenate([a * inner[:3], b])


def in_columns(matrix, a, b):
    return jnp.concatenate(in_lanes(function, (matrix,), a, b))


def plain(matrix, a, b):
    return jnp.concatenate(function((matrix,), a, b))


TRANSFORMS = {
    "value": lambda f: f,
    "slopes": lambda f: jax.jacrev(f, (0, 1, 2)),
    "forwards": lambda f: jax.jacfwd(f, (1, 2)),
    "curvature": lambda f: jax.hessian(lambda *some: jnp.sum(f(*some) ** 2), (1, 2)),
    "along": lambda f: lambda m, a, b: jax.jvp(lambda a: jax.grad(lambda a: jnp.sum(f(m, a, b) ** 3))(a), (a,), (b,))[1],
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_derivatives(name):
    """Of one, of many, and of many whose constants differ."""
    some = [TRANSFORMS[name](f) for f in (in_columns, plain)]
    cases = [(MATRIX, MANY[0], OTHER[0])], [(None, 0, 0), (None, 1, None), (0, 0, None)]
    for arrays in cases[0]:
        _compare(*(jax.jit(f)(*arrays) for f in some))
    for axes in cases[1]:
        arrays = (
            MATRIX if axes[0] is None else jnp.stack([MATRIX * k for k in range(5)]),
            MANY.T if axes[1] else MANY, OTHER if axes[2] == 0 else OTHER[0],
        )
        _compare(*(jax.jit(jax.vmap(f, axes))(*arrays) for f in some))


def test_slopes_of_a_sum_over_many():
    totals = [
        jax.jit(jax.grad(lambda m, a, b, f=f: jnp.sum(jax.vmap(f, (None, 0, 0))(m, a, b) ** 2), (0, 1, 2)))
        for f in (in_columns, plain)
    ]
    _compare(*(total(MATRIX, MANY, OTHER) for total in totals))


def _compare(some, others):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11), some, others)
def test_slopes_through_a_mapped_function_that_was_jitted():
    """The function is kept from one trace to the next: none may hold what belonged to an earlier one."""
    slopes = []
    for f in (in_columns, plain):
        mapped = jax.jit(jax.vmap(f, (None, 0, 0)))
        mapped(MATRIX, MANY, OTHER)
        slopes.append(jax.grad(lambda m, a, b, mapped=mapped: jnp.sum(mapped(m, a, b) ** 2), (0, 1, 2)))
    _compare(*(slope(MATRIX, MANY, OTHER) for slope in slopes))
