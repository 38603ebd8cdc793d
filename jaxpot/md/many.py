"""Many replicas of one system at once: `run_many`, and what they do on the host."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxpot.core.devices import dividing
from jaxpot.core.numbers import as_positive, as_whole
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.md import checkpoint as checkpoints
from jaxpot.md import lists as neighbour_lists
from jaxpot.md.dynamics import Dynamics, as_key
from jaxpot.md.host import Clock, begin, drive, look, resumed
from jaxpot.md.observers import Observer
from jaxpot.md.replicas import Part, advanced, cores, marks_of_parts, numbers_of, parted, parts_of_marks, states_of
from jaxpot.md.scan import refuse_traced
from jaxpot.md.state import State
from jaxpot.md.trajectory import Trajectory
from jaxpot.typing import Array, FilePath, Number, StructureLike


@dataclass(frozen=True)
class ManyRun:
    """Result of `run_many`.

    Attributes:
        states: the last one of each replica.
        observers: of each replica those given, and its trajectory.
        seconds: time of the steps.
        steps: how many each replica has done in this call.
        stopped: why an observer has ended them before the last step; None: it has not.
    """

    states: tuple[State, ...]
    observers: tuple[tuple[Observer, ...], ...]
    seconds: float
    steps: int
    stopped: str | None = None


def run_many(
    dynamics: Dynamics | Sequence[Dynamics],
    structures: StructureLike | State | Sequence[StructureLike | State],
    steps: int,
    observers: Sequence[Sequence[Observer]] = (),
    trajectory: FilePath | None = None,
    checkpoint: FilePath | None = None,
    key: int | Sequence[int | Array] = 0,
    temperature: Number | Sequence[Number] | None = None,
    progress: Callable[..., object] | None = None,
    skin: float | None = None,
    wide_skin: float = neighbour_lists.WIDE_SKIN,
) -> ManyRun:
    """Simulate replicas of one system in one compiled program, each as `run` would with its own seed.

    Each replica has its own temperature, pressure, seed, cell and positions, and all have the same atoms. Positions are
    those of `run` to rounding, until chaos has amplified it (lists of replicas have rows of the same length).

    On CPUs the program takes one replica after the other from one look of an observer to the next, so that what it
    works on stays in the cache, and threads of as many cores as divide the number of replicas have a part of them each.
    That is faster than `jax.vmap` (`md.replicas` has the figures), and an atom of a small replica takes about as long
    as one of a large system on one core. On accelerators replicas are vectorised. Several devices divide the replicas
    among them where a mesh with the axis "systems" is set, any number of them (`jaxpot.core.devices`):

        jax.set_mesh(jax.make_mesh((8,), ("systems",)))

    Numbers are those of one device, to the last bit until a list of neighbours needs longer rows, and checkpoints go on
    with any number of devices and cores.

        hot = [jp.md.Langevin(potential, 1.0 * fs, t, 0.01 / fs) for t in (300.0, 600.0, 900.0)]
        tables = [[jp.md.Thermo(100)] for _ in hot]
        jp.md.run_many(hot, structure, 10000, tables, key=1)
        tables[2][0].table["temperature_K"]

    Args:
        dynamics: one ensemble for all, or one for each replica: these differ in numbers only, and share the potential.
        structures: `Structure`, `ase.Atoms` or `State` (`md.run`) for all, or a list of one for each replica, with the
            same elements in the same order. States are of the same step.
        steps: how many.
        observers: a list of observers for each replica (see `md.observers`); one that ends its replica ends all.
        trajectory: a folder that exists, for frames-000.xyz, frames-001.xyz, ...: a frame every 100 steps. Other
            intervals and formats: a `Trajectory` or `NetCDFTrajectory` among the observers of each replica.
        checkpoint: path of a file, as of `run`: the same call goes on from it and ends in the same bits.
        key: a seed, from which those of the replicas are counted up; or one for each replica.
        temperature: K, of the first velocities, for all or one for each replica; by default that of each thermostat.
        progress: called with a sentence about once in two seconds.
        skin, wide_skin: A, of the neighbour lists: of speed only.

    Returns:
        `ManyRun`.

    Raises:
        DataError: wrong arguments, replicas that cannot share a program, a checkpoint of another run, files that exist.
        SimulationError: as of `run`; it names the replica.
    """
    ensembles, starts, keys = spread(dynamics, structures, key)
    with_frames = framed(observers, trajectory, len(starts))
    first = list(temperature) if isinstance(temperature, list | tuple) else [temperature] * len(starts)
    if len(first) != len(starts):
        raise DataError(f"temperature: expected one, or one for each of {len(starts)} replicas, got {len(first)}")
    replicas, clock, stopped = simulated(
        ensembles, starts, keys, steps, with_frames, checkpoint, first, progress, (skin, wide_skin), None
    )
    return ManyRun(replicas.states(), with_frames, clock.seconds, clock.step - clock.first, stopped)


class Replicas:
    """Replicas on their way: `host.Simulated`.

    Args:
        exchange: what replicas do to each other, with `every`, `act(replicas)`, `mark()` and `go_on(mark)`; None:
            nothing.
    """

    def __init__(
        self, ensembles: Sequence[Dynamics], parts: Sequence[Part], observers: Sequence[Sequence[Observer]],
        skins: tuple[float, float], exchange: Any, pool: ThreadPoolExecutor | None,
    ) -> None:
        self.ensembles, self.parts, self.observers = list(ensembles), list(parts), observers
        self.skins, self.exchange, self.pool = skins, exchange, pool

    def intervals(self) -> list[int]:
        acting = [] if self.exchange is None else [self.exchange]
        return [one.every for one in (*acting, *(o for watching in self.observers for o in watching))]

    def advanced(self, upto: int) -> list[Part]:
        return advanced(self.ensembles, self.parts, upto, self.skins, self.pool)

    def take(self, advanced: list[Part]) -> None:
        self.parts = advanced

    def look(self, step: int) -> str | None:
        reason = None
        if any(step % observer.every == 0 for watching in self.observers for observer in watching):
            scenes = zip(self.ensembles, states_of(self.parts), self.observers, strict=True)
            reasons = [look(watching, dynamics, state, step) for dynamics, state, watching in scenes]
            reason = next((f"replica {k}: {one}" for k, one in enumerate(reasons) if one is not None), None)
        if self.exchange is not None and step % self.exchange.every == 0:
            self.exchange.act(self)
        return reason

    def temperature(self) -> float:
        return float(np.mean([state.temperature for state in states_of(self.parts)]))

    def checkpoint(self, target: int, run: str) -> checkpoints.ReplicasCheckpoint:
        acting = [] if self.exchange is None else [self.exchange]
        marks = tuple(one.mark() for one in (*(o for watching in self.observers for o in watching), *acting))
        return checkpoints.ReplicasCheckpoint(marks_of_parts(self.parts, target, run), marks, np.asarray(target), run)

    def states(self) -> tuple[State, ...]:
        """The state of each replica."""
        return tuple(jax.device_put(states_of(self.parts)))


def simulated(
    ensembles: Sequence[Dynamics], starts: Sequence[Structure | State], keys: Sequence[Array], steps: int,
    observers: Sequence[Sequence[Observer]], checkpoint: FilePath | None, temperatures: Sequence[Any],
    progress: Callable[..., object] | None, skins: tuple[float | None, float], exchange: Any,
) -> tuple[Replicas, Clock, str | None]:
    """Replicas at the end of a simulation, its clock, and why it has ended before its last step.

    Args:
        ensembles, starts, keys, observers, temperatures: of each replica; the last of its first velocities, or None.
        exchange: see `Replicas`.
    """
    refuse_traced(ensembles, starts, keys)
    steps = as_whole(steps, "steps", 0, 10**12)
    alike = (ensembles[0], numbers_of(ensembles))
    _refuse_others([one.structure if isinstance(one, State) else one for one in starts])
    skin = as_positive(ensembles[0].potential.skin if skins[0] is None else skins[0], "skin")
    wide_skin = as_positive(skins[1], "wide_skin")
    if wide_skin <= skin:
        raise DataError(f"wide_skin must be larger than skin, got {wide_skin:g} and {skin:g}")
    looking = [observer for watching in observers for observer in watching]
    if len(set(map(id, looking))) < len(looking):
        raise DataError("observers: one is given to several replicas, whose rows it would mix: make one for each")
    marked = looking if exchange is None else [*looking, exchange]
    claim = None
    if checkpoint is not None:
        start = (list(starts), [jax.random.key_data(one) for one in keys])
        settings = (tuple(map(len, observers)), steps, list(temperatures), skin, wide_skin)
        claim = (checkpoint, checkpoints.identity(alike, start, marked, settings))
    before = resumed(claim, marked)
    if before is None:
        states = [
            ensemble.adopt(one) if isinstance(one, State) else ensemble.init(one, temperature, key)
            for ensemble, one, temperature, key in zip(ensembles, starts, temperatures, keys, strict=True)
        ]
        first = {int(state.step) for state in states}
        if len(first) > 1:
            raise DataError(f"structures: expected states of the same step, got steps {sorted(first)}")
        parts, target = parted(ensembles, states, (skin, wide_skin), _most_parts()), first.pop() + steps
        begin(list(zip(ensembles, states, observers, strict=True)), claim)
    else:
        ensembles = ensembles if exchange is None else exchange.ensembles()
        parts, target = parts_of_marks(ensembles, before.parts, _most_parts()), int(before.target)
    with _threads(len(parts)) as pool:
        replicas = Replicas(ensembles, parts, observers, (skin, wide_skin), exchange, pool)
        first_step = int(np.asarray(parts[0].state.step)[0])
        clock = Clock(first_step, target, float(ensembles[0].time_step), progress, len(starts))
        stopped = drive(replicas, target, clock, claim, before is None)
    return replicas, clock, stopped


def _most_parts():
    """Largest number of parts of replicas: one for each core, or one for all devices that divide them."""
    return cores() if dividing() == 1 else 1


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor | None]:
    """Threads for the parts; None for one part."""
    if count == 1:
        yield None
        return
    with ThreadPoolExecutor(count) as pool:
        yield pool


def spread(
    dynamics: Any, structures: Any, key: Any
) -> tuple[list[Dynamics], list[Structure | State], list[Array]]:
    """Ensembles, starts and keys of each replica, from what was given for all or for each.

    Raises:
        DataError: lists of different lengths, nothing that says how many replicas there are, no ensembles.
    """
    given = {"dynamics": dynamics, "structures": structures, "key": key}
    lengths = {name: len(value) for name, value in given.items() if isinstance(value, list | tuple)}
    if not lengths:
        raise DataError(
            "expected a list that says how many replicas there are: structures=[structure] * 64, or one ensemble or "
            "seed for each; for a single one use jp.md.run"
        )
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        said = ", ".join(f"{count} {name}" for name, count in lengths.items())
        raise DataError(f"expected one entry for each replica in every list, got {said}")
    number = next(iter(lengths.values()))
    ensembles, starts, keys = (
        list(value) if name in lengths else [value] * number for name, value in given.items()
    )
    for one in ensembles:
        if not isinstance(one, Dynamics):
            raise DataError(f"dynamics: expected ensembles of jaxpot.md, got {type(one).__name__}")
    if "key" not in lengths:
        keys = [as_whole(key, "key", -(2**62), 2**62) + k for k in range(number)]
    return ensembles, [one if isinstance(one, State) else Structure.of(one) for one in starts], list(map(as_key, keys))


def framed(
    observers: Sequence[Sequence[Observer]], folder: FilePath | None, number: int
) -> tuple[tuple[Observer, ...], ...]:
    """Observers of each replica, and what writes its frames into a folder, if there is one.

    Raises:
        DataError: lists for another number of replicas, no such folder.
    """
    observers = [()] * number if not len(observers) else observers
    if any(isinstance(one, Observer) for one in observers) or len(observers) != number:
        raise DataError(
            f"observers: expected {number} lists, one for each replica, got {len(observers)} of "
            f"{', '.join(sorted({type(one).__name__ for one in observers}))}: give [[jp.md.Thermo(100)] for _ in "
            f"range({number})]"
        )
    if folder is None:
        return tuple(tuple(watching) for watching in observers)
    if not os.path.isdir(folder):
        raise DataError(f"trajectory: expected a folder that exists, for a file of each replica, got {folder}")
    digits = max(3, len(str(number - 1)))
    paths = [os.path.join(os.fspath(folder), f"frames-{k:0{digits}d}.xyz") for k in range(number)]
    return tuple((*watching, Trajectory(path)) for watching, path in zip(observers, paths, strict=True))


def _refuse_others(structures):
    """Refuse structures that are no replicas of the first."""
    first = structures[0]
    form = lambda one: (jax.tree.structure(one), list(map(np.shape, jax.tree.leaves(one))))  # noqa: E731
    for k, other in enumerate(structures[1:], 1):
        if form(other) != form(first) or not np.array_equal(other.numbers, first.numbers):
            raise DataError(
                f"structures: replica {k} ({len(other)} atoms, pbc={other.pbc}) and replica 0 ({len(first)} atoms, "
                f"pbc={first.pbc}) differ in more than positions and cell: replicas have the same elements in the same "
                "order, the same periodic axes and the same data"
            )
        if other.positions.dtype != first.positions.dtype:
            raise DataError(
                f"structures: replica {k} is in {other.positions.dtype}, replica 0 in {first.positions.dtype}: give "
                "all in the same precision"
            )
