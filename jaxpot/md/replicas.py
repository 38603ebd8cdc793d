"""Replicas of one system, in one compiled program: their states and lists stacked, one replica after the other in it.

A replica takes a whole stretch of steps before the next one does: it goes its way, prunes its own short list, and what
it works on is small. XLA runs such a map on one core, so the replicas are cut into as many equal parts as there are
cores, if that divides them, and a thread calls the one program for each part. Measured on CPUs, in us an atom and step
(`benchmarks/replicas.py designs`, 64 replicas of 64 silicon atoms with the time of one core): this 0.69; `jax.vmap` in
the place of the map 1.46, since loops go on until the last replica is done, with a `select` of everything for those
that wait; in each step a `jax.vmap` 0.75 and a map 1.15, both without looking after their lists; one system of as many
atoms 0.85.

Where a mesh with the axis "systems" is set (`core.devices`), one program has all replicas, and each device takes its
share of them in the same way: no threads, and the same bits, until a list needs longer rows. Such rows are given to all
replicas of a part, and sums over longer rows differ by rounding.

On accelerators a step of a small system does not fill the device: there the replicas are under `jax.vmap`, in one part
(tested for its numbers, not measured).
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.devices import each_system
from jaxpot.core.pytree import Node, leaf_fields, pytree
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, JaxpotError
from jaxpot.md import lists as neighbour_lists
from jaxpot.md.checkpoint import Checkpoint
from jaxpot.md.dynamics import Dynamics
from jaxpot.md.lists import Lists, Room
from jaxpot.md.loop import BROKEN, GOING, WIDE, Progress, advance
from jaxpot.md.simulation import broken
from jaxpot.md.state import State
from jaxpot.typing import Array, PyTree


@pytree
class Part(Node):
    """Replicas that are advanced together: an axis of replicas in front of all arrays.

    numbers: fields of their ensembles but the potential, by name.
    """

    numbers: dict
    state: State
    lists: Lists

    def __len__(self) -> int:
        return self.state.step.shape[0]


def cores() -> int:
    """Number of processor cores that this process may use; 1 on accelerators."""
    if jax.default_backend() != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def numbers_of(dynamics: Sequence[Dynamics]) -> PyTree:
    """Fields of ensembles but the potential, stacked: name -> arrays with an axis of replicas in front.

    Raises:
        DataError: ensembles that differ in more than these numbers.
    """
    first = dynamics[0]
    form: Any = jax.tree.structure(first)
    potential = jax.tree.leaves(first.potential)
    for k, other in enumerate(dynamics[1:], 1):
        if jax.tree.structure(other) != form:
            raise DataError(
                f"dynamics: replica {k} has {other!r}, replica 0 {first!r}: replicas share one ensemble and one "
                "potential, and differ in its numbers only (temperature, pressure, time step); simulate others by a "
                "call of their own"
            )
        same = zip(jax.tree.leaves(other.potential), potential, strict=True)
        if other.potential is not first.potential and not all(np.array_equal(a, b) for a, b in same):
            raise DataError(
                f"dynamics: the potentials of replicas 0 and {k} have other parameters: replicas share one potential; "
                "call run_many once for each"
            )
    return stacked([{n: v for n, v in leaf_fields(one).items() if n != "potential"} for one in dynamics])


def stacked(trees: Sequence[PyTree]) -> PyTree:
    """Trees of one form as one, with an axis in front of each array (NumPy)."""
    return jax.tree.map(lambda *arrays: np.stack([np.asarray(a) for a in arrays]), *trees)


def parted(ensembles: Sequence[Dynamics], states: Sequence[State], skins: tuple[float, float], most: int) -> list[Part]:
    """Replicas in equal parts: as many as divide their number, and at most `most`, so that all have one program."""
    lists = lists_alike(ensembles[0], [state.structure for state in states], skins, None)
    return _cut(ensembles, states, lists, len(states) // _number_of_parts(len(states), most))


def _number_of_parts(replicas, most):
    return max(k for k in range(1, most + 1) if replicas % k == 0)


def _cut(ensembles, states, lists, size):
    """Parts of some replicas each."""
    cuts = [slice(k, k + size) for k in range(0, len(states), size)]
    return [
        jax.device_put(Part(numbers_of(ensembles[cut]), stacked(states[cut]), stacked(lists[cut]))) for cut in cuts
    ]


def lists_alike(
    dynamics: Dynamics, structures: Sequence[Structure], skins: tuple[float, float], room: Room | None
) -> list[Lists]:
    """Lists of structures, all with the same capacities.

    Raises:
        DataError: a potential that prepares plans of other shapes for each structure.
    """
    lists = [neighbour_lists.build(dynamics.potential, s, *skins, room=room) for s in structures]
    while len(rooms := {Room.of(own) for own in lists}) > 1:
        room = Room.of_all(rooms)
        lists = [
            own if Room.of(own) == room else neighbour_lists.build(dynamics.potential, s, *skins, room=room)
            for own, s in zip(lists, structures, strict=True)
        ]
    if len({_form(own) for own in lists}) > 1:
        raise DataError(
            f"{dynamics.potential!r} prepares arrays of other shapes for each replica beside the neighbour list, which "
            "cannot be stacked: simulate the replicas one by one, with jp.md.run"
        )
    return lists


def advanced(
    ensembles: Sequence[Dynamics], parts: Sequence[Part], upto: int, skins: tuple[float, float],
    pool: ThreadPoolExecutor | None,
) -> list[Part]:
    """Parts advanced to a step, their lists made anew on the way.

    Args:
        ensembles: of each replica, with one potential; what differs is taken from the parts.
        pool: threads for the parts; None: one after the other.

    Raises:
        SimulationError: a replica whose numbers are not finite; `state` is its last good one.
    """
    dynamics = ensembles[0]
    now, going = list(parts), list(range(len(parts)))
    stuck: dict[int, int | None] = {}  # step of each replica whose wide list was just made anew
    while going:
        results = _called(pool, [(dynamics, now[k], upto) for k in going])
        outgrown = []
        for k, result in zip(going, results, strict=True):
            lists = result.lists
            reasons = np.asarray(result.reason)
            for place in np.flatnonzero(reasons != GOING).tolist():
                replica, one = k * len(now[k]) + place, _taken(result, place)
                step, reason, who = int(one.state.step), int(one.reason), f"replica {replica}, "
                if reason == BROKEN or (reason == WIDE and stuck.get(replica) == step):
                    raise broken(ensembles[replica], one.state, who=who)
                stuck[replica] = step if reason == WIDE else None
                try:
                    new = neighbour_lists.build(dynamics.potential, one.state.structure, *skins, outgrown=one.lists)
                    lists = _with_lists(dynamics, lists, place, new, result.state, skins)
                except JaxpotError as error:  # of a cell that has collapsed, say
                    raise broken(ensembles[replica], one.state, error, who) from error
            now[k] = now[k].replace(state=result.state, lists=lists)
            if (reasons != GOING).any():
                outgrown.append(k)
        going = outgrown
    return now


def _with_lists(dynamics, lists, place, new, state, skins):
    """Stacked lists with new ones for one replica; if these need more room, all are made anew with as much."""
    if _form(new) == _form(_taken(lists, place)):
        return _put(lists, place, new)
    structures = [_taken(state.structure, k) for k in range(state.step.shape[0])]
    room = Room.of_all([Room.of(new), Room.of(_taken(lists, place))])
    return jax.device_put(stacked(lists_alike(dynamics, structures, skins, room)))


def _called(pool, calls):
    """Results of the program for each of some arguments, in threads of the precision of this one."""
    if pool is None or len(calls) == 1:
        return [_advance(*arguments) for arguments in calls]
    double = jax.config.jax_enable_x64

    def call(arguments):
        with jax.enable_x64(double):
            return jax.block_until_ready(_advance(*arguments))

    return list(pool.map(call, calls))


@jax.jit
def _advance(dynamics: Dynamics, part: Part, target: int | Array) -> Progress:
    def advance_all(replicas, dynamics):
        def one(replica, target):
            dtype = replica.state.structure.positions.dtype
            numbers = jax.tree.map(lambda a: a.astype(dtype), replica.numbers)
            return advance(dynamics.replace(**numbers), replica.state, replica.lists, target)

        if jax.default_backend() == "cpu":
            return jax.lax.map(lambda pair: one(*pair), replicas)
        return jax.vmap(one)(*replicas)

    # A target for each: that of the zeros which fill up what devices do not divide is 0, so that they take no step.
    targets = jnp.full(part.state.step.shape, target, part.state.step.dtype)
    return each_system(advance_all, (part, targets), dynamics)


@jax.jit
def _taken(tree, place):
    return jax.tree.map(lambda a: a[place], tree)


@jax.jit
def _put(tree, place, one):
    return jax.tree.map(lambda a, new: a.at[place].set(new), tree, one)


def _form(tree):
    """Form and shapes of a tree: the same in all that are stacked."""
    leaves, form = jax.tree.flatten(tree)
    return form, tuple(leaf.shape for leaf in leaves)


def states_of(parts: Sequence[Part]) -> list[State]:
    """The state of each replica, in NumPy arrays."""
    host = jax.device_get([part.state for part in parts])
    return [jax.tree.map(lambda a, k=k: a[k], state) for state in host for k in range(state.step.shape[0])]


def marks_of_parts(parts: Sequence[Part], target: int, run: str) -> tuple[Checkpoint, ...]:
    """Checkpoints of the parts."""
    return tuple(Checkpoint.of(part.state, part.lists, (), target, run) for part in parts)


def parts_of_marks(ensembles: Sequence[Dynamics], marks: Sequence[Checkpoint], most: int) -> list[Part]:
    """Replicas as they were when a checkpoint was written, in equal parts: `most` at most, whatever theirs were."""
    dynamics = ensembles[0]
    alone = [_slice_of(mark, k) for mark in marks for k in range(np.shape(mark.state.step)[0])]
    lists = [mark.lists(dynamics.potential) for mark in alone]
    states = [mark.state for mark in alone]
    if len(marks) == _number_of_parts(len(alone), most):
        size = len(alone) // len(marks)  # parts may have rows of other lengths each, and keep them
    else:
        lists, size = _in_rows_alike(lists), len(alone) // _number_of_parts(len(alone), most)
    return _cut(ensembles, states, lists, size)


def _in_rows_alike(lists):
    """The same lists in rows of the same length, the pairs in their order."""
    room = Room.of_all({Room.of(one) for one in lists})
    return [
        one.replace(
            wide=one.wide.in_rows_of(room.wide),
            short=one.short.in_rows_of(room.short).replace(inner=room.inner),
        )
        for one in lists
    ]


def _slice_of(mark, k):
    """The checkpoint of one replica."""
    cut: Any = partial(jax.tree.map, lambda a: np.asarray(a)[k])
    names = ("state", "short", "wide_positions", "wide_cell", "needed", "inner_needed")
    return mark.replace(**{name: cut(getattr(mark, name)) for name in names})
