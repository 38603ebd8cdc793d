"""Several potentials of one form, and the parameters in which they differ."""

from collections.abc import Callable, Sequence

import jax

from jaxpot.core.precision import is_traced
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.potentials.base import Potential, parameter_names
from jaxpot.typing import Array, PyTree


@pytree
class Committee(Node):
    """Several potentials of one form that differ in some parameters only: those have an axis in front.

    `jp.evaluate` takes a committee as it takes a potential, with an axis of members in front of what it returns: what
    does not depend on the parameters that differ is computed once. `map(function)` does the same for any function, not
    quite as fast.

    Args:
        potential: with the arrays of all members, stacked.
        parameters: the names of those.
    """

    potential: Potential
    parameters: tuple = static()

    def __len__(self) -> int:
        return len(named_leaves(self.potential)[self.parameters[0]])

    def __getitem__(self, k: int) -> Potential:
        """The k-th potential."""
        return jax.tree.map(lambda axis, leaf: leaf if axis is None else leaf[k], self.axes, self.potential,
                            is_leaf=lambda x: x is None)

    @property
    def axes(self) -> PyTree:
        """A tree like the potential: 0 for the arrays that are stacked, None for the others."""
        return stacked_axes(self.potential, self.parameters)

    @property
    def widest(self) -> Potential:
        """A member that sees as far as any other, as far as that is known."""
        if is_traced(self) or isinstance(self.potential.extent(), float | int):
            return self[0]
        with jax.ensure_compile_time_eval():  # a committee that is known is so under jit over the structure, too
            return max((self[k] for k in range(len(self))), key=lambda member: float(member.extent()))

    def map(self, function: Callable[[Potential], PyTree]) -> PyTree:
        """function(potential) of all potentials, as jax.vmap stacks them: pure functions, lists given."""
        return jax.vmap(function, in_axes=(self.axes,))(self.potential)


def named_leaves(tree: PyTree) -> dict[str, Array]:
    """Name -> array of all parameters."""
    return dict(zip(parameter_names(tree), jax.tree.leaves(tree), strict=True))


def stacked_axes(potential: PyTree, parameters: Sequence[str]) -> PyTree:
    """A tree like the potential with 0 for the parameters named and None for the others."""
    flat, structure = jax.tree_util.tree_flatten_with_path(potential)
    return jax.tree.unflatten(structure, [0 if leaf_name(path) in parameters else None for path, _ in flat])


def leaf_name(path: tuple) -> str:
    return jax.tree_util.keystr(path).lstrip(".")
