"""Vector functions of one variable, such as a network of a distance, whose derivatives cost a factor each.

What JAX derives for f(r) in W components repeats the chain of products behind f for every direction and every order.
Of one variable the derivatives are vectors themselves: df = f'(r) dr, with f', f'', ... computed once. Hessians of
networks with radial weights are made of hundreds of directions.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.typing import Array, PyTree


def of_one_variable(function: Callable[[PyTree, Array], Array], parameters: PyTree, r: Array) -> Array:
    """f(parameters, r_k) for places r (K,), (K, W), differentiable to any order by places and parameters.

    Args:
        function: (parameters, r) -> (K, W), each row of its own place; no other traced value may enter it.
        parameters: a tree of floating arrays.
    """
    return _derivative(function, 0, parameters, r)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _derivative(function, order, parameters, r):
    """The derivative d^order f / dr^order at each place."""
    for _ in range(order):
        function = partial(_slope, function)
    return function(parameters, r)


def _slope(function, parameters, r):
    return jax.jvp(partial(function, parameters), (r,), (jnp.ones_like(r),))[1]


@partial(_derivative.defjvp, symbolic_zeros=True)
def _rule(function: Any, order: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (parameters, r), (by_parameters, by_r) = primals, tangents
    value = _derivative(function, order, parameters, r)
    change = jnp.zeros_like(value)
    if not _is_zero(by_r):
        change = by_r[:, None] * _derivative(function, order + 1, parameters, r)
    if not all(map(_is_zero, jax.tree.leaves(by_parameters, is_leaf=_is_zero))):
        along = jax.tree.map(lambda p, t: jnp.zeros_like(p) if _is_zero(t) else t, parameters, by_parameters)
        plain = partial(_derivative.fun, function, order, r=r)
        change = change + jax.jvp(lambda p: plain(p), (parameters,), (along,))[1]
    return value, change


def _is_zero(tangent):
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)
