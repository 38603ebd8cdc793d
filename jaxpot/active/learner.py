"""Dynamics with a potential that asks for labels where it does not know, and learns them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

import jax
import numpy as np

from jaxpot.active.label import label
from jaxpot.active.record import Label, Record, Walk
from jaxpot.active.refits import checked_recipe, refit
from jaxpot.core.numbers import as_positive, as_whole
from jaxpot.core.pytree import form_text
from jaxpot.core.structure import Structure
from jaxpot.data.dataset import Dataset
from jaxpot.data.frame import Frame
from jaxpot.errors import DataError, SimulationError
from jaxpot.fitting.linear.recipe import Recipe
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.md.dynamics import Dynamics
from jaxpot.md.simulation import run
from jaxpot.md.state import State
from jaxpot.md.watch import ExtrapolationGrade, SiteDeviation
from jaxpot.observables import evaluate
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior
from jaxpot.typing import FilePath, PyTree
from jaxpot.uncertainty.extrapolation import ActiveSet

SIGNALS = ("deviation", "grade")
_TIMES, _SHARE = 10.0, 0.99  # the threshold: ten times what this share of the atoms of the first data stays below
_GRADE = 2.0
_FAR = 5.0  # thresholds; beyond, a run goes on from the last state that was known


@dataclass(frozen=True)
class Learned:
    """Outcome of learning: result of `learn_on_the_fly` and `learn_from_pool`.

    Attributes:
        posterior: of the last fit.
        dataset: all frames.
        log: a dict for each label: step, temperature_K, signal, and how far the potential was off in that frame before
            it learned it: energy_error_eV_per_atom, force_rmse_eV_per_A.
        threshold: of the signal; None without dynamics.
        state: of the dynamics at the end; None without.
        finished: whether all steps were done; otherwise the budget of labels was spent.
    """

    posterior: Posterior
    dataset: Dataset
    log: tuple
    threshold: float | None
    state: State | None
    finished: bool

    @property
    def potential(self) -> Potential:
        """Potential of the last fit."""
        return self.posterior.potential


def learn_on_the_fly(
    dataset: Dataset, source: Any, start: Any, dynamics: Callable[[Potential], Dynamics], steps: int, *,
    recipe: Recipe | NetworkRecipe | FilePath = "gap", signal: str = "deviation", threshold: float | None = None,
    budget: int = 50, every: int = 20, model: Potential | None = None, baseline: Potential | None = None,
    folder: FilePath | None = None, seed: int = 0, jitter: float = 1e-8, progress: Callable[..., None] | None = None
) -> Learned:
    """Simulate with a fitted potential, and label and learn what it does not know.

    The run pauses where the largest standard deviation of a site energy, or the largest extrapolation grade, passes a
    threshold: `source` labels the frame, the potential is fitted anew, and the run goes on from there; or, where the
    signal is more than five thresholds or atoms fly apart, from the last state that was known.

    Args:
        dataset: `Dataset` to begin with.
        source: what is taken for the truth: an ASE calculator or a potential.
        start: `Structure` or `ase.Atoms` to simulate, or the `State` of an earlier run, whose velocities and fixed
            atoms stay.
        dynamics: function of a potential that returns an ensemble of `jaxpot.md`, such as
            `lambda p: md.Langevin(p, 1.0 * fs, md.Ramp(300.0, 1500.0, 20000), 0.02 / fs)`.
        steps: how many.
        recipe: as of `fit`: of a model that is linear in its weights, or of networks, of which one is trained; its
            deviations are those of its last layer (`last_layer_posterior`).
        signal: "deviation" or "grade".
        threshold: of the signal: eV, or a grade. By default ten times the deviation that 99 % of the atoms of the
            first data stay below, or a grade of 2.
        budget: labels at most.
        every: steps between two looks.
        model: what every training of networks begins with, a published one of several hops, say (`train`'s `start` with
            `pretrained`).
        baseline: as of `fit`.
        folder: everything is kept there, and the same call goes on from it after an interruption: `labels/`
            (and `labels.xyz`, for others), `log.jsonl`, `model.posterior`; None: nothing is kept. The source may be
            another one then: a calculator that failed is given other settings.
        seed: of fits and first velocities.
        jitter: as of `fit`.
        progress: called with a sentence.

    Returns:
        `Learned`.

    Raises:
        DataError: wrong arguments, the folder of another run. What a calculator raises is its own; nothing is lost.
        SimulationError: atoms fly apart although the signal stays below the threshold.

    References:
        R. Jinnouchi, F. Karsai, G. Kresse, Phys. Rev. B 100, 014105 (2019).
        J. Vandermause et al., npj Comput. Mater. 6, 20 (2020).
    """
    recipe = checked_recipe(dataset, recipe)
    if signal not in SIGNALS:
        raise DataError(f"signal: expected one of {', '.join(SIGNALS)}, got {signal!r}")
    threshold = None if threshold is None else as_positive(threshold, "threshold")
    budget, every = as_whole(budget, "budget", 1, 10**6), as_whole(every, "every", 1, 10**9)
    steps, seed = as_whole(steps, "steps", 1, 10**12), as_whole(seed, "seed", 0, 2**31 - 1)
    structure, moving = _first(start)
    chosen = (recipe, signal, threshold, budget, every, steps, seed, jitter)
    settings = digest(dataset.frames, (structure, moving, baseline, model), chosen)
    say = progress or (lambda text: None)
    learn = refit(recipe, model, baseline, seed, jitter, say)
    learner = _Learner(dataset, source, dynamics, learn, signal, every, Record(folder), say)
    walk = learner.begun(structure, moving, threshold, seed, settings)
    while walk.asked is not None or (int(walk.state.step) < steps and len(learner.labels) < budget):
        walk = learner.explored(walk, steps) if walk.asked is None else learner.answered(walk)
        learner.record.keep_walk(walk)
    log = tuple(label.entry() for label in learner.labels)
    finished = int(walk.state.step) >= steps
    return Learned(learner.posterior, learner.dataset(), log, float(walk.threshold), walk.state, finished)


def errors_of(potential: Potential, frame: Frame) -> dict[str, Any]:
    """Errors of a potential in a frame, for the log."""
    found = evaluate(potential, frame.structure)
    return {
        "energy_error_eV_per_atom": (float(found.energy) - cast(float, frame.energy)) / len(frame),
        "force_rmse_eV_per_A": np.sqrt(np.mean((np.asarray(found.forces) - frame.forces) ** 2)),
    }


def digest(frames: Sequence[Frame], others: PyTree, settings: Any) -> np.ndarray:
    """A digest of what a run follows from: frames, trees of arrays, and plain numbers and words."""
    found = hashlib.sha256(repr((settings, form_text(others))).encode())
    for tree in (*((f.structure, f.energy, f.forces, f.stress) for f in frames), others):
        for leaf in jax.tree.leaves(tree):
            found.update(np.ascontiguousarray(leaf).tobytes())
    return np.frombuffer(found.digest(), np.uint8).astype(np.int32)


def _first(start):
    """Structure to begin with, and the options of `Dynamics.init` for the velocities and fixed atoms of a `State`."""
    if isinstance(start, State):
        return start.structure, {"velocities": np.asarray(start.velocities), "fixed": ~np.asarray(start.free)}
    return Structure.of(start), {}


@dataclass
class _Learner:
    """One learning run as a state machine: `explored` simulates until a label is needed, `answered` obtains it and
    refits. The state between two calls is a `Walk` plus the labels, both on disk.
    """

    first: Dataset
    source: Any
    dynamics: Callable[[Potential], Dynamics]
    learn: Callable[[Dataset], Posterior]
    signal: str
    every: int
    record: Record
    say: Callable[..., None]
    labels: list[Label] = field(init=False)
    posterior: Posterior = field(init=False)

    def dataset(self) -> Dataset:
        """All frames so far."""
        return self.first.with_frames([x.frame(k) for k, x in enumerate(self.labels)])

    def begun(
        self, structure: Structure, moving: dict[str, Any], threshold: float | None, seed: int, settings: Any
    ) -> Walk:
        """The `Walk` to go on from: that of the folder, or a new one."""
        walk = self.record.kept(Walk, settings)
        if walk is not None:
            self.labels, self.posterior = self.record.labels(), self.record.posterior()
            if not np.array_equal(self._ensemble(), np.asarray(walk.ensemble)):
                raise DataError(f"{self.record.folder} is the folder of a run with other dynamics: give another one")
            self.say(f"goes on at step {int(walk.state.step)} with {len(self.labels)} labels")
            return walk
        self.labels = []
        self._fit()
        state = self.dynamics(self.posterior.potential).init(structure, key=seed, **moving)
        threshold = threshold or self._usual()
        self.say(f"a {self.signal} above {threshold:.3g} asks for a label")
        walk = Walk(state, None, 0, threshold, settings, self._ensemble())
        self.record.keep_walk(walk)
        return walk

    def _ensemble(self):
        """A digest of the dynamics, but for their potential."""
        made = self.dynamics(self.posterior.potential)
        own = {f.name: getattr(made, f.name) for f in fields(made) if f.name != "potential"}
        return digest((), own, type(made).__name__)

    def explored(self, walk: Walk, steps: int) -> Walk:
        """On to the next structure that asks for a label, or to the end."""
        dynamics, watch = self.dynamics(self.posterior.potential), self._watch(float(walk.threshold))
        begin = dynamics.forces_at(walk.state)  # those there are of the potential before
        broken = False
        try:
            found = run(dynamics, begin, steps - int(begin.step), [watch])
            state, reason = found.state, found.stopped
        except SimulationError as error:
            state, reason, broken = error.state, watch.look(dynamics, error.state), True
            if reason is None:
                raise
        if reason is None:
            self.say(f"step {int(state.step)} of {steps}: done")
            return walk.replace(state=state)
        self.say(f"step {int(state.step)} of {steps}, {float(state.temperature):.0f} K: {reason}")
        far = broken or watch.table["largest"][-1] > _FAR * float(walk.threshold)
        here = state if not far else (watch.known or begin)
        return walk.replace(state=here, asked=state, labels=len(self.labels))

    def answered(self, walk: Walk) -> Walk:
        """With the label that was asked for, and a potential that has learned it."""
        if len(self.labels) == int(walk.labels):
            asked = cast(State, walk.asked)  # there is one, or this is not called
            frame = label(asked.structure, self.source, origin=f"label {len(self.labels)}")
            signal = self._watch(None).numbers(asked.structure).max()
            self.labels.append(Label.of(
                frame, step=asked.step, temperature_K=asked.temperature, signal=signal,
                **errors_of(self.posterior.potential, frame),
            ))
            self.record.keep_label(self.labels)
            entry = self.labels[-1].entry()
            self.say(f"label {len(self.labels)}: forces were off by {entry['force_rmse_eV_per_A']:.4f} eV/A")
        self._fit()
        return walk.replace(asked=None)

    def _fit(self):
        self.posterior = self.learn(self.dataset())
        self.record.keep_posterior(self.posterior)

    def _usual(self):
        """The threshold, if none is given."""
        if self.signal == "grade":
            return _GRADE
        watch = self._watch(None)
        numbers = np.concatenate([watch.numbers(frame.structure) for frame in self.first])
        return _TIMES * float(np.quantile(numbers, _SHARE))

    def _watch(self, threshold):
        if self.signal == "deviation":
            return SiteDeviation(self.posterior, self.every, threshold)
        known = ActiveSet.of(self.posterior.potential, [frame.structure for frame in self.dataset()])
        return ExtrapolationGrade(known, self.every, threshold)
