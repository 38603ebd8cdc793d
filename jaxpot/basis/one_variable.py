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
    return _derivatives(function, 0, parameters, r)[0]


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _derivatives(function, order, parameters, r):
    """The function and its derivatives by r up to an order: together, so that what they share is computed once.

    That counts where they are differentiated by parameters: a training does so with values and slopes.
    """
    if order == 0:
        return (function(parameters, r),)
    lower = partial(_derivatives.fun, function, order - 1, parameters)
    values, slopes = jax.jvp(lower, (r,), (jnp.ones_like(r),))
    return *values, slopes[-1]


@partial(_derivatives.defjvp, symbolic_zeros=True)
def _rule(function: Any, order: int, primals: Any, tangents: Any) -> tuple[tuple, tuple]:
    (parameters, r), (by_parameters, by_r) = primals, tangents
    if _is_zero(by_r):
        values = _derivatives(function, order, parameters, r)
        changes = tuple(map(jnp.zeros_like, values))
    else:
        values = _derivatives(function, order + 1, parameters, r)
        changes = tuple(by_r[:, None] * slope for slope in values[1:])
    if not all(map(_is_zero, jax.tree.leaves(by_parameters, is_leaf=_is_zero))):
        along = jax.tree.map(lambda p, t: jnp.zeros_like(p) if _is_zero(t) else t, parameters, by_parameters)
        plain = partial(_derivatives.fun, function, order, r=r)
        more = jax.jvp(lambda p: plain(p), (parameters,), (along,))[1]
        changes = tuple(map(jnp.add, changes, more))
    return values[: order + 1], changes


def _is_zero(tangent):
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)
