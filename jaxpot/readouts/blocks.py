"""Sums over sparse points block by block, with the gradient inside: points that no cache holds are read once."""

import jax
import jax.numpy as jnp

from jaxpot.kernels.base import Kernel
from jaxpot.typing import Array

_FEW = 1 << 19  # elements of points that a cache holds
_ELEMENTS = 3 << 16  # of the points of a block: 1.5 MB


def block_length(points: Array) -> int:
    """Number of points (M, d) in a block, or 0 where all of them are small enough to be read again and again."""
    return 0 if points.size < _FEW else max(1, min(len(points), _ELEMENTS // points.shape[1]))


def direct(kernel: Kernel, points: Array, coefficients: Array, vectors: Array, weights: Array) -> Array:
    """sum_i w_i sum_s c_s k(x_i, x_s) of vectors (m, d), weights (m,), points (M, d), coefficients (M,): ()."""
    return jnp.sum(weights * (kernel.matrix(vectors, points) @ coefficients))


@jax.custom_jvp
def by_blocks(kernel: Kernel, points: Array, coefficients: Array, vectors: Array, weights: Array) -> Array:
    """Evaluate `direct` block by block.

    Its derivatives by vectors and weights are summed in the same pass: reverse mode on its own would store all
    covariances and come back for the points, at half the speed for 50 atoms and 9000 points.
    """
    return _scan(direct, kernel, points, coefficients, vectors, weights)


def _by_blocks_jvp(primals, tangents):
    kernel, points, coefficients, vectors, weights = primals
    with_gradient = jax.value_and_grad(direct, argnums=(3, 4))
    value, slopes = _scan(with_gradient, *primals)
    change = sum(jnp.vdot(slope, _dense(t)) for slope, t in zip(slopes, tangents[3:], strict=True) if not _is_zero(t))
    parameters, moved = primals[:3], tangents[:3]
    if not all(map(_is_zero, jax.tree.leaves(moved, is_leaf=_is_zero))):
        moved = jax.tree.map(_dense, moved, is_leaf=_is_zero)
        change += jax.jvp(lambda *p: direct(*p, vectors, weights), parameters, moved)[1]
    return value, jnp.asarray(change, value.dtype)


by_blocks.defjvp(_by_blocks_jvp, symbolic_zeros=True)


def _scan(function, kernel, points, coefficients, vectors, weights):
    """The sum of a function of blocks of points."""
    step = block_length(points) or len(points)
    count = len(points) // step

    def added(total, start):
        own = (jax.lax.dynamic_slice_in_dim(a, start, step) for a in (points, coefficients))
        return jax.tree.map(jnp.add, total, function(kernel, *own, vectors, weights)), None

    rest = function(kernel, points[count * step :], coefficients[count * step :], vectors, weights)
    return jax.lax.scan(added, rest, step * jnp.arange(count))[0]


def _is_zero(tangent):
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)


def _dense(tangent):
    return jnp.zeros(tangent.shape, tangent.dtype) if _is_zero(tangent) else tangent
