"""Functions of one variable: the derivatives of the rule are those of the function itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpot.basis.one_variable import of_one_variable

WEIGHTS = [np.random.default_rng(k).normal(size=shape) for k, shape in enumerate(((3, 4), (4, 5)))]
PLACES = np.linspace(1.0, 2.0, 7)


def network(parameters, r):
    first, second = parameters
    return jax.nn.silu(jnp.sin(r[:, None] * np.arange(1.0, 4.0)) @ first) @ second


def summed(function, parameters, r):
    return jnp.sum(jnp.sin(function(parameters, r)))


def by_rule(parameters, r):
    return of_one_variable(network, parameters, r)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_by_places(order):
    results = []
    for function in (by_rule, network):
        derivative = lambda x, function=function: summed(function, WEIGHTS, PLACES + x)  # noqa: E731
        for k in range(order):
            derivative = (jax.grad, jax.jacfwd)[k % 2](derivative)
        results.append(float(derivative(0.1)))
    assert results[0] == pytest.approx(results[1], rel=1e-12)


def test_derivatives_by_parameters_of_derivatives_by_places():
    results = []
    for function in (by_rule, network):
        slope = jax.grad(summed, argnums=2)
        loss = lambda w, function=function, slope=slope: jnp.sum(slope(function, w, PLACES) ** 2)  # noqa: E731
        results.append(jax.grad(loss)(WEIGHTS))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


def test_rows_are_mapped():
    mapped = jax.vmap(lambda r: by_rule(WEIGHTS, r))(np.stack([PLACES, PLACES + 0.5]))
    np.testing.assert_allclose(mapped[1], network(WEIGHTS, PLACES + 0.5), rtol=1e-14)
