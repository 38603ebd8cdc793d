"""Double precision by default, and the border between traced and concrete values."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.errors import DataError, PrecisionError
from jaxpot.typing import AnyArray, Array, PyTree

product = partial(jnp.matmul, precision="highest")  # accelerators round factors in float32 to 10 bits otherwise

_MANY = 8  # numbers that are not single by chance
_REMEDY = 'put `import jax; jax.config.update("jax_enable_x64", True)` before the first array is made'


def as_float(value: Any, name: str = "value", finite: bool = True) -> Array:
    """`value` as a floating JAX array: float64, or float32 where it already is float32.

    Raises:
        PrecisionError: x64 is off and `value` is not float32: JAX would round it without a word.
        DataError: not numbers, or not finite.
    """
    array: AnyArray
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating):
        array = value
    else:
        array = host_float(value, name)
    if array.dtype == np.float64 and not isinstance(array, jax.Array) and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise PrecisionError(
            f"{name} is given in double precision, but JAX has x64 switched off and would round it to "
            f"float32. To keep double precision, {_REMEDY}; for single precision pass float32 arrays."
        )
    if finite and not isinstance(array, jax.core.Tracer):
        bad = ~np.isfinite(np.asarray(array))
        if bad.any():
            raise DataError(f"{name}: {int(bad.sum())} of {bad.size} numbers are not finite")
    return to_device(array)


def host_float(value: Any, name: str) -> np.ndarray:
    """A copy of `value` as a NumPy array: float64, or float32 where it already is float32."""
    try:
        array = np.asarray(value)
        return array.astype(np.float32 if array.dtype == np.float32 else np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: expected numbers, got {value!r}") from error


def to_device(array: AnyArray) -> Array:
    """A NumPy array as a JAX array, concrete under `jit` too.

    `jnp.asarray` would compile a small program for every new shape.
    """
    if isinstance(array, jax.Array):
        return array
    with jax.ensure_compile_time_eval():
        return jax.device_put(array)


def is_traced(*trees: PyTree) -> bool:
    """Whether any array in the trees is a tracer (we are under jit, grad or vmap)."""
    return any(isinstance(leaf, jax.core.Tracer) for tree in trees for leaf in jax.tree.leaves(tree))


def concrete(array: Any) -> np.ndarray | None:
    """The NumPy value of an array, also while it is being differentiated; None under jit or vmap."""
    if isinstance(array, jax.core.Tracer):
        array = jax.lax.stop_gradient(array)
    return None if isinstance(array, jax.core.Tracer) else np.asarray(array)


def is_unknown(*trees: PyTree) -> bool:
    """Whether any array in the trees has no value yet: under jit or vmap, not under grad."""
    return any(concrete(leaf) is None for tree in trees for leaf in jax.tree.leaves(tree))


def holds_single(tree: PyTree) -> bool:
    """Whether an array of a concrete tree, of eight numbers or more, has those of single precision: as trained networks
    have, which are evaluated in double all the same.
    """
    def is_single(leaf):
        numbers = np.asarray(leaf)
        if numbers.dtype.kind != "f" or numbers.size < _MANY:
            return False
        some = numbers.astype(np.float32)
        # Few bits are those of zeros, ones and tables of round numbers.
        return bool((some == numbers).all() and (some.astype(np.float16) != numbers).mean() > 0.5)

    return any(map(is_single, jax.tree.leaves(tree)))


def require_concrete(array: Any, what: str, remedy: str) -> np.ndarray:
    """Like `concrete`, with a typed error that says what to do instead."""
    value = concrete(array)
    if value is None:
        raise DataError(f"{what} must be known when the function is traced, but it is traced itself: {remedy}")
    return value
