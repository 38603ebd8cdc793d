"""The loop on the host: jitted steps, lists made anew where they are outgrown, observers, checkpoints, progress."""

import os
import time
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
from jaxpot.md.loop import BROKEN, GOING, WIDE, advance
from jaxpot.md.netcdf import NetCDFTrajectory
from jaxpot.md.observers import Observer
from jaxpot.md.scan import refuse_traced
from jaxpot.md.state import State
from jaxpot.md.trajectory import Trajectory
from jaxpot.observables import evaluate
from jaxpot.typing import Array, FilePath, Number, StructureLike
from jaxpot.units import fs

_EVERY = 60.0  # s between two checkpoints
_SHARE = 0.05  # of the time that writing may take
_PAUSE = 1.0  # s of steps between two looks at the clock, about
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
    observers = (*observers, *_trajectory(trajectory))
    structure = start.structure if isinstance(start, State) else Structure.of(start)
    kept = None
    if checkpoint is not None:
        begun = start if isinstance(start, State) else (structure, jax.random.key_data(as_key(key)))
        run_is = checkpoints.identity(dynamics, begun, observers, (structure.pbc, steps, temperature, *skins))
        kept = checkpoints.load(checkpoint, run_is)
    if isinstance(kept, checkpoints.Claim):  # interrupted before the first checkpoint
        _remove_files(observers)
        kept = None
    if kept is None:
        state = dynamics.adopt(start) if isinstance(start, State) else dynamics.init(start, temperature, key)
        target = int(state.step) + steps
        lists = neighbour_lists.build(dynamics.potential, state.structure, *skins)
        _begin(dynamics, state, observers, None if checkpoint is None else (checkpoint, run_is))
    else:
        state, target = kept.state, int(kept.target)
        lists = kept.lists(dynamics.potential)
        for observer, mark in zip(observers, kept.marks, strict=True):
            observer.go_on(mark)
    state, lists = jax.device_put((state, lists))
    step = int(state.step)
    clock = _Clock(step, target, float(dynamics.time_step), progress)
    keep = None
    if checkpoint is not None:
        keep = _Keeper(checkpoint, observers, target, run_is)
        if kept is None:
            keep.write(state, lists)  # from now on there are files that belong to this run
    settled, stopped = True, None  # observers have seen the state
    try:
        while step < target and stopped is None:
            upto = min([target, clock.limit(), *(_next(observer, step) for observer in observers)])
            stretch = _steps(dynamics, state, lists, upto, skins)
            settled, step, (state, lists) = False, upto, stretch
            stopped = _look(observers, dynamics, state, step)
            settled = True
            clock.tick(state, step)
            if keep is not None:
                keep.now_and_then(state, lists)
    except BaseException:
        if keep is not None and settled:
            keep.write(state, lists)
        raise
    if keep is not None:
        keep.remove()
    return Run(state, observers, clock.seconds, step - clock.first, stopped)


def _trajectory(given):
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


def _begin(dynamics, state, observers, claim):
    """Show the first state to the observers; files they create are those of a run that has claimed them before."""
    files = [file for observer in observers for file in observer.files]
    for file in files:
        file.refuse_old()
    if claim is not None:
        path, run_is = claim
        checkpoints.save(checkpoints.Claim(run_is), path)
    try:
        for observer in observers:
            observer.begin(dynamics, state)
        _look(observers, dynamics, state, int(state.step))
    except BaseException:
        _remove_files(observers)
        if claim is not None:
            os.unlink(claim[0])
        raise


def _remove_files(observers):
    for observer in observers:
        for file in observer.files:
            file.remove()


def _next(observer, step):
    """Next step at which an observer records."""
    return (step // observer.every + 1) * observer.every


def _look(observers, dynamics, state, step):
    """Let all observers look; returns the reason of the first that wants the run to end, or None."""
    said = [observer.look(dynamics, state) for observer in observers if step % observer.every == 0]
    return next((reason for reason in said if reason is not None), None)


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
            raise _broken(dynamics, found.state)
        stuck = step if reason == WIDE else None
        state = found.state
        try:
            made = neighbour_lists.build(dynamics.potential, state.structure, *skins, outgrown=found.lists)
        except JaxpotError as error:  # of a cell that has collapsed, say
            raise _broken(dynamics, state, error) from error


def _broken(dynamics, state, cause=None):
    """Error that names the atoms at which a simulation ends, and the refusal there."""
    with suppress(JaxpotError):  # there is no list: the stress stays NaN
        state = state.replace(stress=evaluate(dynamics.potential, state.structure).stress)
    size = np.linalg.norm(np.asarray(state.forces), axis=1)
    speed = np.linalg.norm(np.asarray(state.velocities), axis=1)
    numbers = np.asarray(state.structure.numbers)
    worst = np.argsort(-size)[:3]
    named = ", ".join(f"{k} ({symbol(int(numbers[k]))}, {size[k]:.3g} eV/A)" for k in worst.tolist())
    return SimulationError(
        f"after step {int(state.step)} numbers are not finite, or atoms fly apart: largest forces on atoms {named}; "
        f"fastest atom {int(speed.argmax())} moves {speed.max() * float(dynamics.time_step):.3g} A a step. The time "
        f"step ({float(dynamics.time_step) / fs:.3g} fs) may be too long, the start too far from equilibrium, or the "
        "potential has left what it knows"
        + ("" if cause is None else f". The neighbour list was refused: {cause}"),
        state,
    )


class _Clock:
    """Number of steps until the next look at the clock, and the sentences about progress."""

    def __init__(self, first, target, time_step, progress):
        self.first, self.target, self.time_step, self.progress = first, target, time_step, progress
        self.start = self.last = self.said = time.monotonic()
        self.step, self.stride, self.rate = first, 10, None

    @property
    def seconds(self):
        return time.monotonic() - self.start

    def limit(self):
        return self.step + self.stride

    def tick(self, state, step):
        now = time.monotonic()
        taken = max(now - self.last, 1e-6)
        if step - self.step >= self.stride:  # otherwise an observer wanted to look earlier
            self.stride = int(np.clip(self.stride * _PAUSE / taken, 0.5 * self.stride, 2.0 * self.stride)) + 1
        self.rate = (step - self.step) / taken
        self.last, self.step = now, step
        if self.progress and (now - self.said > 2.0 or step == self.target):
            self.said = now
            mean = (step - self.first) / max(self.seconds, 1e-6)
            left = (self.target - step) / max(mean, 1e-9)
            self.progress(
                f"step {step} of {self.target}: {float(state.temperature):.0f} K, {mean:.3g} steps/s, "
                f"{mean * 86400.0 * self.time_step / (1e6 * fs):.3g} ns/day, {left:.0f} s left"
            )


class _Keeper:
    """Writes checkpoints, at most as often as their cost allows."""

    def __init__(self, path, observers, target, run_is):
        self.path, self.observers, self.target, self.run_is = os.fspath(path), observers, target, run_is
        self.last, self.pause = time.monotonic(), _EVERY

    def now_and_then(self, state, made):
        if time.monotonic() - self.last >= self.pause:
            self.write(state, made)

    def write(self, state, made):
        begin = time.monotonic()
        made = checkpoints.Checkpoint.of(state, made, self.observers, self.target, self.run_is)
        checkpoints.save(made, self.path)
        self.last = time.monotonic()
        self.pause = max(_EVERY, (self.last - begin) / _SHARE)

    def remove(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
