"""The loop on the host that all simulations share: observers, clock, checkpoints, and what an interruption leaves."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from jaxpot.md import checkpoint as checkpoints
from jaxpot.md.dynamics import Dynamics
from jaxpot.md.observers import Observer
from jaxpot.md.state import State
from jaxpot.typing import FilePath, PyTree
from jaxpot.units import fs

_EVERY = 60.0  # s between two checkpoints
_SHARE = 0.05  # of the time that writing may take
_PAUSE = 1.0  # s of steps between two looks at the clock, about

Scene = tuple[Dynamics, State, Sequence[Observer]]  # a simulation, and who looks at it
Claim = tuple[FilePath, str]  # path of the checkpoint, and the digest of the run that it belongs to


class Simulated(Protocol):
    """One simulation, or many that go in step: `drive` takes them on."""

    def intervals(self) -> list[int]:
        """Numbers of steps between two looks, of all who look."""

    def advanced(self, upto: int) -> PyTree:
        """The state at a step, without touching that of now."""

    def take(self, advanced: PyTree) -> None:
        """Make an advanced state that of now."""

    def look(self, step: int) -> str | None:
        """Let all look whose turn it is; the reason of the first that wants to end, or None."""

    def temperature(self) -> float:
        """K, for sentences about progress."""

    def checkpoint(self, target: int, run: str) -> Any:
        """A tree from which this goes on."""


def resumed(claim: Claim | None, observers: Sequence[Any]) -> Any:
    """The checkpoint that a run goes on from, its observers put back to where they were; None: it begins.

    Raises:
        DataError: the checkpoint of another run; files of observers that are gone.
    """
    kept = None if claim is None else checkpoints.load(*claim)
    if isinstance(kept, checkpoints.Claim):  # interrupted before the first checkpoint
        remove_files(observers)
        return None
    if kept is not None:
        for observer, mark in zip(observers, kept.marks, strict=True):
            observer.go_on(mark)
    return kept


def drive(simulated: Simulated, target: int, clock: "Clock", claim: Claim | None, new: bool) -> str | None:
    """Take a simulation to a step; returns why an observer has ended it before, or None.

    Args:
        claim: `Claim`; None: without checkpoints.
        new: whether it begins, and does not go on from a checkpoint.

    Raises:
        SimulationError: it breaks. Then, and when it is interrupted, the last state that observers have seen is in the
            checkpoint.
    """
    keeper = None if claim is None else _Keeper(claim, simulated, target)
    if keeper is not None and new:
        keeper.write()  # from now on there are files that belong to this run
    step, settled, stopped = clock.first, True, None  # settled: observers have seen the state
    try:
        while step < target and stopped is None:
            upto = min([target, clock.limit(), *(_next(every, step) for every in simulated.intervals())])
            advanced = simulated.advanced(upto)
            settled, step = False, upto
            simulated.take(advanced)
            stopped = simulated.look(step)
            settled = True
            clock.tick(simulated.temperature, step)
            if keeper is not None:
                keeper.now_and_then()
    except BaseException:
        if keeper is not None and settled:
            keeper.write()
        raise
    if keeper is not None:
        keeper.remove()
    return stopped


def begin(scenes: Sequence[Scene], claim: Claim | None) -> None:
    """Show the first states to the observers; files they create are those of a run that has claimed them before.

    Args:
        scenes: `Scene`s.
        claim: `Claim`; None: without checkpoints.

    Raises:
        DataError: files that exist. Then nothing is left behind.
    """
    observers = [observer for _, _, watching in scenes for observer in watching]
    files = [file for observer in observers for file in observer.files]
    for file in files:
        file.refuse_old()
    if claim is not None:
        path, run_is = claim
        checkpoints.save(checkpoints.Claim(run_is), path)
    try:
        for dynamics, state, watching in scenes:
            for observer in watching:
                observer.begin(dynamics, state)
            look(watching, dynamics, state, int(state.step))
    except BaseException:
        remove_files(observers)
        if claim is not None:
            os.unlink(claim[0])
        raise


def remove_files(observers: Sequence[Observer]) -> None:
    """Remove the files of observers, of a run that never began."""
    for observer in observers:
        for file in observer.files:
            file.remove()


def _next(every, step):
    """Next step at which an observer records."""
    return (step // every + 1) * every


def look(observers: Sequence[Observer], dynamics: Dynamics, state: State, step: int) -> str | None:
    """Let all observers look; returns the reason of the first that wants the run to end, or None."""
    said = [observer.look(dynamics, state) for observer in observers if step % observer.every == 0]
    return next((reason for reason in said if reason is not None), None)


class Clock:
    """Number of steps until the next look at the clock, and the sentences about progress."""

    def __init__(
        self, first: int, target: int, time_step: float, progress: Callable[..., object] | None, replicas: int = 1
    ) -> None:
        self.replicas = replicas
        self.first, self.target, self.time_step, self.progress = first, target, time_step, progress
        self.start = self.last = self.said = time.monotonic()
        self.step, self.stride = first, 10

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return time.monotonic() - self.start

    def limit(self) -> int:
        """Step of the next look."""
        return self.step + self.stride

    def tick(self, temperature: Callable[[], float], step: int) -> None:
        """Look at the clock at a step, and tell of the progress now and then."""
        now = time.monotonic()
        taken = max(now - self.last, 1e-6)
        if step - self.step >= self.stride:  # otherwise an observer wanted to look earlier
            self.stride = int(np.clip(self.stride * _PAUSE / taken, 0.5 * self.stride, 2.0 * self.stride)) + 1
        self.last, self.step = now, step
        if self.progress and (now - self.said > 2.0 or step == self.target):
            self.said = now
            mean = (step - self.first) / max(self.seconds, 1e-6)
            left = (self.target - step) / max(mean, 1e-9)
            self.progress(
                f"step {step} of {self.target}: {temperature():.0f} K, {mean:.3g} steps/s, "
                f"{self.replicas * mean * 86400.0 * self.time_step / (1e6 * fs):.3g} ns/day, {left:.0f} s left"
            )


class _Keeper:
    """Writes checkpoints, at most as often as their cost allows."""

    def __init__(self, claim, simulated, target):
        self.path, self.run = os.fspath(claim[0]), claim[1]
        self.simulated, self.target = simulated, target
        self.last, self.pause = time.monotonic(), _EVERY

    def now_and_then(self):
        """Write if it is time to."""
        if time.monotonic() - self.last >= self.pause:
            self.write()

    def write(self):
        """Write the present state."""
        begin = time.monotonic()
        checkpoints.save(self.simulated.checkpoint(self.target, self.run), self.path)
        self.last = time.monotonic()
        self.pause = max(_EVERY, (self.last - begin) / _SHARE)

    def remove(self):
        """Remove the file of a run that has ended."""
        if os.path.exists(self.path):
            os.unlink(self.path)
