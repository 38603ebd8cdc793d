"""Masks: trees like a value with True for some of its arrays, such as those that an energy is linear in."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.typing import Array, PyTree


def mask_of(tree: Any, *names: str) -> Any:
    """Tree like another: True for the arrays of these names ("weights", "network.kernels[2]"), False for others."""
    return jax.tree_util.tree_map_with_path(lambda path, _: jax.tree_util.keystr(path).lstrip(".") in names, tree)


def masked(tree: PyTree, mask: PyTree) -> list[Array]:
    """Arrays of a tree where a mask is True, in the order of `jax.tree.leaves`."""
    return [leaf for leaf, one in zip(jax.tree.leaves(tree), jax.tree.leaves(mask), strict=True) if one]


def with_masked(tree: Any, mask: PyTree, arrays: Sequence[Array]) -> Any:
    """The tree with other arrays where a mask is True."""
    new = iter(arrays)
    leaves, structure = jax.tree.flatten(tree)
    changed = [next(new) if one else leaf for leaf, one in zip(leaves, jax.tree.leaves(mask), strict=True)]
    return jax.tree.unflatten(structure, changed)


def slopes_by_masked(function: Callable[[Any], Array], tree: Any, mask: PyTree) -> Array:
    """Derivatives of a number by all arrays where a mask is True, (M,), one array after the other.

    Args:
        function: of a tree like the one given, to ().
    """
    slopes = jax.grad(lambda arrays: function(with_masked(tree, mask, arrays)))(masked(tree, mask))
    return jnp.concatenate([jnp.ravel(slope) for slope in slopes])
