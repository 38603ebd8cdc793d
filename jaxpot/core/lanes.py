"""Functions of columns, many of them side by side: the mapped axis of `vmap` is the last, along which loops run.

A function of the numbers of one atom may read and write them in any order. Mapped by JAX's own rules it would have the
atoms in front, and every such number far from the next atom's. Here its arrays are (rows, atoms): what it does to a row
is one loop over neighbouring numbers, and what it multiplies by a matrix is one product for all atoms. Derivatives of
any order are such functions again.
"""

from collections.abc import Callable
from functools import cache, lru_cache, partial

import jax
import jax.numpy as jnp
from jax.interpreters import ad, batching, mlir

from jaxpot.typing import Array

Function = Callable[..., tuple[Array, ...]]


def in_lanes(function: Function, constants: tuple[Array, ...], *rows: Array) -> tuple[Array, ...]:
    """Call function(constants, *rows), where rows have one column more for each place of the axes that are mapped.

    Args:
        function: of constants and arrays (rows, n), to a tuple of arrays (rows, n); each column of the results depends
            on the same column alone. One that is equal to another makes the same results: a method of an object that is
            kept, not a new closure.
        constants: arrays of any shape that all columns share.
        rows: arrays (rows,), or (rows, ...) with the same further axes.

    Returns:
        Arrays (rows, ...).
    """
    return tuple(_primitive().bind(*constants, *rows, function=function, shared=len(constants)))


@cache
def _primitive():
    """The primitive; made when it is first asked for, since `jax.extend` imports half of JAX."""
    from jax.extend.core import Primitive

    primitive = Primitive("jaxpot_in_lanes")
    primitive.multiple_results = True
    primitive.def_impl(jax.jit(_plain, static_argnames=("function", "shared")))
    primitive.def_abstract_eval(_shapes)
    ad.primitive_jvps[primitive] = _jvp
    ad.primitive_transposes[primitive] = _transpose
    batching.primitive_batchers[primitive] = _batched
    mlir.register_lowering(primitive, mlir.lower_fun(_plain, multiple_results=True))
    return primitive


def _plain(*arrays, function, shared):
    constants, rows = arrays[:shared], arrays[shared:]
    behind = rows[0].shape[1:]
    results = function(constants, *(array.reshape(len(array), -1) for array in rows))
    return [array.reshape(len(array), *behind) for array in results]


def _shapes(*arrays, function, shared):
    key = tuple((array.shape if k < shared else array.shape[:1], array.dtype) for k, array in enumerate(arrays))
    behind = arrays[shared].shape[1:]
    return [jax.core.ShapedArray((rows, *behind), dtype) for rows, dtype in _results(function, shared, key)]


@lru_cache(maxsize=256)
def _results(function, shared, key):
    """Rows and types of the results for one column."""
    constants = tuple(jax.ShapeDtypeStruct(*one) for one in key[:shared])
    rows = (jax.ShapeDtypeStruct((*shape, 1), dtype) for shape, dtype in key[shared:])
    return [(array.shape[0], array.dtype) for array in jax.eval_shape(function, constants, *rows)]


def _batched(arrays, axes, *, function, shared):
    """The mapped axis goes last, unless constants have it too."""
    if any(axis is not None for axis in axes[:shared]):
        results = jax.vmap(partial(_plain, function=function, shared=shared), axes)(*arrays)
        return results, [0] * len(results)
    size = next(array.shape[axis] for array, axis in zip(arrays, axes, strict=True) if axis is not None)
    rows = [
        jnp.broadcast_to(array[..., None], (*array.shape, size)) if axis is None else jnp.moveaxis(array, axis, -1)
        for array, axis in zip(arrays[shared:], axes[shared:], strict=True)
    ]
    results = _primitive().bind(*arrays[:shared], *rows, function=function, shared=shared)
    return results, [array.ndim - 1 for array in results]


def _jvp(primals, tangents, *, function, shared):
    changes = [ad.instantiate_zeros(change) for change in tangents[shared:]]
    values = _primitive().bind(*primals, function=function, shared=shared)
    if all(type(change) is ad.Zero for change in tangents[:shared]):
        return values, _primitive().bind(*primals, *changes, function=_change(function), shared=shared)
    # Sums over columns make slopes by the constants: not a function of columns.
    changes = [*map(ad.instantiate_zeros, tangents[:shared]), *changes]
    plain = partial(_plain, function=function, shared=shared)
    return values, jax.jvp(plain, tuple(primals), tuple(changes))[1]


@lru_cache(maxsize=256)
def _change(function):
    """The function that makes changes of results, of rows and their changes."""
    def change(constants, *both):
        rows, changes = both[: len(both) // 2], both[len(both) // 2 :]
        return jax.jvp(lambda *some: function(constants, *some), rows, changes)[1]

    return change


def _transpose(slopes, *arrays, function, shared):
    rows = arrays[shared:]
    heights = tuple(array.aval.shape[0] if ad.is_undefined_primal(array) else None for array in rows)
    fixed = [array for array in rows if not ad.is_undefined_primal(array)]
    slopes = [ad.instantiate_zeros(slope) for slope in slopes]
    results = iter(_primitive().bind(
        *arrays[:shared], *fixed, *slopes, function=_transposed(function, heights), shared=shared
    ))
    return [None] * shared + [None if height is None else next(results) for height in heights]


@lru_cache(maxsize=256)
def _transposed(function, heights):
    """The function that makes slopes by the rows that it is linear in, which have heights, of the others and slopes."""
    count = heights.count(None)

    def transposed(constants, *arrays):
        fixed, slopes = arrays[:count], arrays[count:]

        def linear(*some):
            others, moved = iter(fixed), iter(some)
            return function(constants, *(next(others) if height is None else next(moved) for height in heights))

        shape, dtype = slopes[0].shape, slopes[0].dtype
        places = (jax.ShapeDtypeStruct((height, shape[1]), dtype) for height in heights if height is not None)
        return jax.linear_transpose(linear, *places)(tuple(slopes))

    return transposed
