"""A run that is interrupted goes on from a file as if nothing had happened, to the last bit."""

import hashlib
import os
from collections.abc import Sequence
from typing import Any, Self

import jax
import numpy as np

from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.save import load_tree, save_tree
from jaxpot.core.versions import versions
from jaxpot.errors import DataError
from jaxpot.md.lists import Lists, wide_list
from jaxpot.md.observers import Observer
from jaxpot.md.state import State
from jaxpot.potentials.base import Potential
from jaxpot.typing import AnyArray, FilePath, PyTree


@pytree(name="MDCheckpoint", former=("jaxpot.md.checkpoint:Checkpoint",))
class Checkpoint(Node):
    """State, short list, where the wide list was made, and what observers have kept.

    Sums depend in their last digits on the order of neighbours: the list itself is kept, not made anew.
    """

    state: State
    short: Neighbors
    wide_positions: jax.Array
    wide_cell: jax.Array
    wide_skin: float
    wide_capacity: int
    needed: jax.Array
    inner_needed: jax.Array
    marks: tuple
    target: AnyArray
    run: str = static()

    @classmethod
    def of(cls, state: State, lists: Lists, observers: Sequence[Observer], target: int, run: str) -> Self:
        """Checkpoint of the present state of a run; state and lists may be stacks of those of replicas."""
        marks = tuple(observer.mark() for observer in observers)
        return cls(
            state, lists.short, lists.wide.positions, lists.wide.cell, lists.wide.skin, lists.wide.others.shape[-1],
            lists.needed, lists.inner_needed, marks, np.asarray(target), run,
        )

    def lists(self, potential: Potential) -> Lists:
        """The lists as they were."""
        there = self.state.structure.moved(self.wide_positions, self.wide_cell)
        wide = wide_list(potential, there, float(self.wide_skin))
        wide = jax.device_put(wide.in_rows_of(int(self.wide_capacity)))
        return Lists(wide, self.short, self.needed, self.inner_needed, self.short.skin)


@pytree(name="MDReplicasCheckpoint")
class ReplicasCheckpoint(Node):
    """States and lists of many replicas, in the parts in which they are advanced, and what observers have kept.

    parts: of each part the stacked state, the stacked short lists, and what the wide ones follow from, as in
    `Checkpoint`.
    """

    parts: tuple
    marks: tuple
    target: AnyArray
    run: str = static()


@pytree(name="MDClaim", former=("jaxpot.md.checkpoint:Claim",))
class Claim(Node):
    """In the place of the first checkpoint, while the files of a run are being created: they belong to it."""

    run: str = static()


def identity(dynamics: PyTree, start: PyTree, observers: Sequence[Observer], settings: Sequence) -> str:
    """A digest of what a run follows from: the same run has the same.

    Args:
        dynamics: an ensemble, or a tree of what many consist of.
        start: a tree of arrays: what the first state is made of.
        observers: those of the run.
        settings: further plain numbers and words.
    """
    found = hashlib.sha256()
    leaves, form = jax.tree.flatten((dynamics, start))
    looks = [observer.settings() for observer in observers]
    found.update(repr((str(form), looks, settings, sorted(versions().items()))).encode())
    for leaf in leaves:
        array = np.asarray(leaf)
        found.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return found.hexdigest()


def save(checkpoint: Checkpoint | ReplicasCheckpoint | Claim, path: FilePath) -> None:
    """Write it, atomically."""
    save_tree(checkpoint, path)


def load(path: FilePath, run: str) -> Any:
    """The `Checkpoint` or `ReplicasCheckpoint` of this run, or its `Claim`; None where there is no file.

    Raises:
        DataError: that of another run.
        FormatError: a damaged file, or none of these.
    """
    if not os.path.lexists(path):
        return None
    found = load_tree(path, on_host=True)  # rows and ends of files are double in runs of single precision, too
    if not isinstance(found, Checkpoint | ReplicasCheckpoint | Claim):
        raise DataError(f"{path}: expected a checkpoint of a simulation, found a {type(found).__name__}")
    if found.run != run:
        raise DataError(
            f"{path} is the checkpoint of another run (another potential, start, seed, number of steps, ensemble, "
            "observers or version): remove it or choose another name"
        )
    return found
