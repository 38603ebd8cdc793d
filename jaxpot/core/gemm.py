"""Matrix products whose derivatives are made in the order in which they are needed.

What JAX derives for a product A^T B is a product and a transposition of its result, which XLA carries out: for the many
small products of a network of several hops that takes as long as everything else. The products here are closed
under differentiation, as BLAS's are: each derivative is one of them.
"""

from functools import cache

import jax
import jax.numpy as jnp
from jax.interpreters import ad, batching, mlir

from jaxpot.typing import Array


def gemm(a: Array, b: Array, turn_a: bool = False, turn_b: bool = False) -> Array:
    """op(a) op(b), where op turns a matrix or does not; further axes in front are the same of both.

    Args:
        a: (..., n, k), or (..., k, n) if it is to be turned.
        b: (..., k, m), or (..., m, k) if it is to be turned.

    Returns:
        (..., n, m).
    """
    return _product().bind(a, b, turn_a=turn_a, turn_b=turn_b)


@cache
def _product():
    """The primitive; made when it is first asked for, since `jax.extend` imports half of JAX."""
    from jax.extend.core import Primitive

    primitive = Primitive("jaxpot_gemm")
    primitive.def_impl(jax.jit(_plain, static_argnames=("turn_a", "turn_b")))
    primitive.def_abstract_eval(
        lambda a, b, *, turn_a, turn_b: jax.core.ShapedArray(
            (*a.shape[:-2], a.shape[-1 if turn_a else -2], b.shape[-2 if turn_b else -1]), a.dtype
        )
    )
    ad.defbilinear(primitive, _by_first, _by_second)
    batching.primitive_batchers[primitive] = _batched
    mlir.register_lowering(primitive, mlir.lower_fun(_plain, multiple_results=False))
    return primitive


def _plain(a, b, *, turn_a, turn_b):
    front = tuple(range(a.ndim - 2))
    contracted = ((a.ndim - 2 if turn_a else a.ndim - 1,), (b.ndim - 1 if turn_b else b.ndim - 2,))
    return jax.lax.dot_general(a, b, (contracted, (front, front)), precision="highest")


def _by_first(slope, a, b, *, turn_a, turn_b):
    return gemm(b, slope, turn_b, True) if turn_a else gemm(slope, b, False, not turn_b)


def _by_second(slope, a, b, *, turn_a, turn_b):
    if turn_b and not turn_a and 4 * slope.size < a.size:
        return gemm(jnp.swapaxes(slope, -1, -2), a)  # to turn what is small is sooner done than to read it turned
    return gemm(slope, a, True, turn_a) if turn_b else gemm(a, slope, not turn_a, False)


def _batched(arrays, axes, *, turn_a, turn_b):
    if None in axes:  # one factor for many: one large product
        one = jax.vmap(lambda a, b: _plain(a, b, turn_a=turn_a, turn_b=turn_b), axes)
        return one(*arrays), 0
    a, b = (jnp.moveaxis(array, axis, 0) for array, axis in zip(arrays, axes, strict=True))
    return gemm(a, b, turn_a, turn_b), 0
