"""The loop on the host: jitted steps, lists made anew where they are outgrown, observers, checkpoints, progress."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxpot.core.elements import symbol
from jaxpot.core.numbers import as_positive, as_whole
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, JaxpotError, SimulationError
from jaxpot.md import checkpoint as checkpoints
from jaxpot.md import lists as neighbour_lists
from jaxpot.md.dynamics import Dynamics, as_key
from jaxpot.md.host import Clock, begin, drive, look, resumed
from jaxpot.md.lists import Lists
from jaxpot.md.loop import BROKEN, GOING, WIDE, advance
from jaxpot.md.netcdf import NetCDFTrajectory
from jaxpot.md.observers import Observer
from jaxpot.md.scan import refuse_traced
from jaxpot.md.state import State
from jaxpot.md.trajectory import Trajectory
from jaxpot.observables import evaluate
from jaxpot.typing import Array, FilePath, Number, StructureLike
from jaxpot.units import fs

_WRITERS = {(".xyz", ".extxyz"): Trajectory, (".nc", ".netcdf"): NetCDFTrajectory}


@dataclass(frozen=True)
class Run:
    """Result of `run`.

    Attributes:
        state: the last one; `run` takes it to go on.
        observers: those given.
        seconds: time of the steps.
        steps: how many were done in this call.
        stopped: why an observer has ended it before the last step; None: it has not.
    """

    state: State
    observers: tuple
    seconds: float
    steps: int
    stopped: str | None = None


def run(
    dynamics: Dynamics,
    start: StructureLike | State,
    steps: int,
    observers: Sequence[Observer] = (),
    trajectory: Any = None,
    checkpoint: FilePath | None = None,
    key: int | Array = 0,
    temperature: Number | None = None,
    progress: Callable[..., object] | None = None,
    skin: float | None = None,
    wide_skin: float = neighbour_lists.WIDE_SKIN,
) -> Run:
    """Simulate.

    Args:
        dynamics: `NVE`, `Langevin`, `VelocityRescaling`, `NoseHoover` or `CellRescaling`.
        start: `Structure` or `ase.Atoms`, whose velocities are drawn at the temperature of the thermostat, or a `State`
            (`dynamics.init`, or that of an earlier run, whose steps go on being counted).
        steps: how many.
        observers: see `md.observers`.
        trajectory: path of a file of frames, one every 100 steps, in extended XYZ (.xyz, .extxyz) or binary (.nc,
            .netcdf); or a `Trajectory` or `NetCDFTrajectory`.
        checkpoint: path of a file that is written about once a minute, and when the run is interrupted. The same call
            finds it, goes on from there, and ends as if nothing had happened, to the last bit; at the end it is
            removed. Files of observers are cut back to where they were.
        key: of `jax.random`, or a seed; of velocities and thermostats.
        temperature: K, of the first velocities; by default that of the thermostat.
        progress: called with a sentence about once in two seconds.
        skin, wide_skin: A, of the neighbour lists: of speed only. By default the potential's own skin.

    Returns:
        `Run`.

    Raises:
        DataError: wrong arguments, or traced ones (`md.steps` can be differentiated); a checkpoint of another run;
            files that exist.
        SimulationError: numbers that are not finite, atoms that move further in one step than any list reaches; its
            `state` is the last good one.
    """
    if not isinstance(dynamics, Dynamics):
        raise DataError(f"dynamics: expected an ensemble of jaxpot.md, got {type(dynamics).__name__}")
    refuse_traced(dynamics, start, key)
    steps = as_whole(steps, "steps", 0, 10**12)
    skin = dynamics.potential.skin if skin is None else skin
    skins = (as_positive(skin, "skin"), as_positive(wide_skin, "wide_skin"))
    if skins[1] <= skins[0]:
        raise DataError(f"wide_skin must be larger than skin, got {skins[1]:g} and {skins[0]:g}")
    observers = (*observers, *frames_observer(trajectory))
    structure = start.structure if isinstance(start, State) else Structure.of(start)
    claim = None
    if checkpoint is not None:
        begun = start if isinstance(start, State) else (structure, jax.random.key_data(as_key(key)))
        run_is = checkpoints.identity(dynamics, begun, observers, (structure.pbc, steps, temperature, *skins))
        claim = (checkpoint, run_is)
    kept = resumed(claim, observers)
    if kept is None:
        state = dynamics.adopt(start) if isinstance(start, State) else dynamics.init(start, temperature, key)
        target = int(state.step) + steps
        lists = neighbour_lists.build(dynamics.potential, state.structure, *skins)
        begin([(dynamics, state, observers)], claim)
    else:
        state, target = kept.state, int(kept.target)
        lists = kept.lists(dynamics.potential)
    state, lists = jax.device_put((state, lists))
    simulation = Simulation(dynamics, state, lists, observers, skins)
    clock = Clock(int(state.step), target, float(dynamics.time_step), progress)
    stopped = drive(simulation, target, clock, claim, kept is None)
    return Run(simulation.state, observers, clock.seconds, int(simulation.state.step) - clock.first, stopped)


class Simulation:
    """One simulation: `host.Simulated`."""

    def __init__(
        self, dynamics: Dynamics, state: State, lists: Lists, observers: Sequence[Observer],
        skins: tuple[float, float],
    ) -> None:
        self.dynamics, self.state, self.lists, self.observers, self.skins = dynamics, state, lists, observers, skins

    def intervals(self) -> list[int]:
        return [observer.every for observer in self.observers]

    def advanced(self, upto: int) -> tuple[State, Lists]:
        return _steps(self.dynamics, self.state, self.lists, upto, self.skins)

    def take(self, advanced: tuple[State, Lists]) -> None:
        self.state, self.lists = advanced

    def look(self, step: int) -> str | None:
        return look(self.observers, self.dynamics, self.state, step)

    def temperature(self) -> float:
        return float(self.state.temperature)

    def checkpoint(self, target: int, run: str) -> checkpoints.Checkpoint:
        return checkpoints.Checkpoint.of(self.state, self.lists, self.observers, target, run)


def frames_observer(given: Any) -> tuple[Observer, ...]:
    """The observer that writes frames, by the ending of the path."""
    if given is None:
        return ()
    if isinstance(given, Trajectory | NetCDFTrajectory):
        return (given,)
    path = os.fspath(given)
    for endings, writer in _WRITERS.items():
        if path.endswith(endings):
            return (writer(path),)
    raise DataError(f"{path}: expected a name that ends with .xyz or .extxyz (text), or with .nc or .netcdf (binary)")


def _steps(dynamics, state, made, upto, skins):
    """Advance state and lists to a step, making lists anew on the way."""
    stuck = None
    while True:
        found = advance(dynamics, state, made, upto)
        reason = int(found.reason)
        if reason == GOING:
            return found.state, found.lists
        step = int(found.state.step)
        if reason == BROKEN or (reason == WIDE and stuck == step):
            raise broken(dynamics, found.state)
        stuck = step if reason == WIDE else None
        state = found.state
        try:
            made = neighbour_lists.build(dynamics.potential, state.structure, *skins, outgrown=found.lists)
        except JaxpotError as error:  # of a cell that has collapsed, say
            raise broken(dynamics, state, error) from error


def broken(dynamics: Dynamics, state: State, cause: JaxpotError | None = None, who: str = "") -> SimulationError:
    """Error that names the atoms at which a simulation ends, and the refusal there."""
    with suppress(JaxpotError):  # there is no list: the stress stays NaN
        state = state.replace(stress=evaluate(dynamics.potential, state.structure).stress)
    size = np.linalg.norm(np.asarray(state.forces), axis=1)
    speed = np.linalg.norm(np.asarray(state.velocities), axis=1)
    numbers = np.asarray(state.structure.numbers)
    worst = np.argsort(-size)[:3]
    named = ", ".join(f"{k} ({symbol(int(numbers[k]))}, {size[k]:.3g} eV/A)" for k in worst.tolist())
    return SimulationError(
        f"{who}after step {int(state.step)} numbers are not finite, or atoms fly apart: largest forces on atoms "
        f"{named}; fastest atom {int(speed.argmax())} moves {speed.max() * float(dynamics.time_step):.3g} A a step. "
        f"The time step ({float(dynamics.time_step) / fs:.3g} fs) may be too long, the start too far from equilibrium, "
        "or the potential has left what it knows"
        + ("" if cause is None else f". The neighbour list was refused: {cause}"),
        state,
    )
