"""Several potentials of one form, and the parameters in which they differ."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxpot.core.precision import is_traced
from jaxpot.core.pytree import Node, put, pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential, parameter_names
from jaxpot.readouts.network import Averaged
from jaxpot.typing import Array, PyTree


@pytree
class Committee(Node):
    """Several potentials of one form that differ in some parameters only: those have an axis in front.

    `jp.evaluate` takes a committee as it takes a potential, with an axis of members in front of what it returns: what
    does not depend on the parameters that differ is computed once. `map(function)` does the same for any function, not
    quite as fast.

    Args:
        potential: with the arrays of all members, stacked.
        mask: for each array of the potential, in the order of `jax.tree.leaves`, whether it is stacked; or
            the names of those that are.
    """

    potential: Potential
    mask: tuple = static()

    former_fields = {"parameters": "mask"}  # of files

    def __post_init__(self):
        put(self, "mask", mask_named(self.potential, self.mask))

    @classmethod
    def upgraded(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fields of a file, where the mask may be the names of the arrays."""
        return {**values, "mask": mask_named(values["potential"], values["mask"])}

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the arrays that are stacked, as `jaxpot.potentials.base.parameter_names` gives them."""
        return names_masked(self.potential, self.mask)

    def __len__(self) -> int:
        return len(jax.tree.leaves(self.potential)[self.mask.index(True)])

    def __getitem__(self, k: int) -> Potential:
        """The k-th potential."""
        return jax.tree.map(lambda axis, leaf: leaf if axis is None else leaf[k], self.axes, self.potential,
                            is_leaf=lambda x: x is None)

    @property
    def axes(self) -> PyTree:
        """A tree like the potential: 0 for the arrays that are stacked, None for the others."""
        return stacked_axes(self.potential, self.mask)

    @property
    def widest(self) -> Potential:
        """Member with the longest range; the first one if ranges are traced."""
        if is_traced(self) or isinstance(self.potential.extent(), float | int):
            return self[0]
        with jax.ensure_compile_time_eval():  # a committee that is known is so under jit over the structure, too
            return max((self[k] for k in range(len(self))), key=lambda member: float(member.extent()))

    def map(self, function: Callable[[Potential], PyTree]) -> PyTree:
        """function(potential) of all potentials, as jax.vmap stacks them: pure functions, lists given."""
        return jax.vmap(function, in_axes=(self.axes,))(self.potential)


def averaged_members(potential: Potential) -> tuple[Committee, tuple[bool, ...]] | None:
    """`Committee` of the networks that a potential averages, and the mask of the weights that it averages them with.

    None where it averages none, or here more of them than there.
    """
    def is_averaged(node):
        return isinstance(node, Averaged)

    nodes = jax.tree.leaves(potential, is_leaf=is_averaged)
    if len({len(node.weights) for node in nodes if is_averaged(node)}) != 1:
        return None
    stacked = jax.tree.map(lambda node: node.networks if is_averaged(node) else node, potential, is_leaf=is_averaged)
    members: list[bool] = []
    weights: list[bool] = []
    for node in nodes:
        count = len(jax.tree.leaves(node.networks)) if is_averaged(node) else 0
        members += [True] * count if count else [False]
        weights += [False] * count + [count > 0]  # the networks come first
    return Committee(stacked, tuple(members)), tuple(weights)


def named_leaves(tree: PyTree) -> dict[str, Array]:
    """Name -> array of all parameters."""
    return dict(zip(parameter_names(tree), jax.tree.leaves(tree), strict=True))


def stacked_axes(potential: PyTree, mask: Sequence[bool]) -> PyTree:
    """Tree like the potential with 0 for the arrays that a mask is True for, and None for the others."""
    return jax.tree.unflatten(jax.tree.structure(potential), [0 if one else None for one in mask])


def mask_named(potential: PyTree, names: Sequence[bool | str]) -> tuple[bool, ...]:
    """Mask of the arrays that have these names: a tuple of bool in the order of `jax.tree.leaves`.

    A mask in the place of the names is returned as it is.

    Raises:
        DataError: a name that no array has, or a mask of another length.
    """
    known = parameter_names(potential)
    if all(isinstance(one, bool) for one in names):
        if len(names) != len(known):
            raise DataError(f"mask: expected one for each of {len(known)} arrays, got {len(names)}")
        return tuple(bool(one) for one in names)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DataError(f"there is no parameter {unknown[0]!r}; {potential!r} has {', '.join(known)}")
    return tuple(name in names for name in known)


def names_masked(potential: PyTree, mask: Sequence[bool]) -> tuple[str, ...]:
    """Names of the arrays that a mask is True for, in the order of `jax.tree.leaves`."""
    return tuple(name for name, one in zip(parameter_names(potential), mask, strict=True) if one)
