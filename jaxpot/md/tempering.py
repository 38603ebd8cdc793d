"""Parallel tempering: replicas at a ladder of temperatures, whose neighbours exchange them now and then."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.numbers import as_positive, as_whole
from jaxpot.errors import DataError
from jaxpot.md import lists as neighbour_lists
from jaxpot.md.dynamics import Dynamics, Ramp
from jaxpot.md.many import Replicas, framed, simulated, spread
from jaxpot.md.observers import Observer
from jaxpot.md.replicas import Part, numbers_of
from jaxpot.md.state import State
from jaxpot.typing import AnyArray, Array, FilePath, PyTree, StructureLike
from jaxpot.units import kB


@dataclass(frozen=True)
class Tempering:
    """Result of `temper`.

    Attributes:
        states: the last one of each replica.
        observers: of each replica those given, and its trajectory.
        temperatures: (R,) K, the ladder.
        order: (attempts + 1, R) int, which replica is at each temperature: at first, and after each attempt.
        energies: (attempts, R) eV, potential energy of the replica at each temperature, before each attempt; with a
            pressure, energy + pressure volume.
        attempted, accepted: (R - 1,) int, of the exchanges between each temperature and the next.
        seconds: time of the steps.
        steps: how many each replica has done in this call.
        stopped: why an observer has ended them before the last step; None: it has not.
    """

    states: tuple[State, ...]
    observers: tuple[tuple[Observer, ...], ...]
    temperatures: np.ndarray
    order: np.ndarray
    energies: np.ndarray
    attempted: np.ndarray
    accepted: np.ndarray
    seconds: float
    steps: int
    stopped: str | None = None

    @property
    def acceptance(self) -> np.ndarray:
        """(R - 1,) accepted share of the attempts between each temperature and the next; NaN without attempts."""
        return np.where(self.attempted > 0, self.accepted / np.maximum(self.attempted, 1), np.nan)


def temper(
    dynamics: Dynamics,
    structures: StructureLike | State | Sequence[StructureLike | State],
    steps: int,
    temperatures: Sequence[float],
    every: int = 100,
    observers: Sequence[Sequence[Observer]] = (),
    trajectory: FilePath | None = None,
    checkpoint: FilePath | None = None,
    key: int | Sequence[int | Array] = 0,
    progress: Callable[..., object] | None = None,
    skin: float | None = None,
    wide_skin: float = neighbour_lists.WIDE_SKIN,
) -> Tempering:
    """Simulate replicas at a ladder of temperatures, which neighbours on it exchange.

    Every `every` steps, neighbours i and j of every other pair of the ladder exchange their temperatures with the
    probability

    min(1, exp((1 / kB T_i - 1 / kB T_j) (E_i - E_j)))

    and velocities are multiplied by sqrt(T_new / T_old). With a pressure E is energy + pressure volume. Replicas keep
    their number, and so do their observers and files: `order` says where each was. Pairs 0-1, 2-3, ... and
    1-2, 3-4, ... take turns. Nose-Hoover chains keep their velocities, whose distribution does not depend on the
    temperature; the conserved quantity jumps there, and nowhere else.

        ladder = jp.md.temper(langevin, structure, 100000, [300.0, 360.0, 430.0, 520.0], every=50)
        ladder.acceptance, ladder.energies.mean(0)
        climbed = [ladder.states[k] for k in ladder.order[-1]]  # by temperature: `structures` of a call that goes on

    Args:
        dynamics: an ensemble with a thermostat; its temperature is replaced.
        structures: one for all, or a list of one for each replica, as of `run_many`.
        steps: how many.
        temperatures: K, ascending, at least two; replica k begins at the k-th.
        every: steps between two attempts.
        observers, trajectory, checkpoint, key, progress, skin, wide_skin: as of `run_many`; exchanges have random
            numbers of their own.

    Returns:
        `Tempering`.

    Raises:
        DataError: an ensemble without a thermostat, no ladder; else as `run_many`.
        SimulationError: as `run_many`.

    References:
        R. H. Swendsen, J.-S. Wang, Phys. Rev. Lett. 57, 2607 (1986).
        Y. Sugita, Y. Okamoto, Chem. Phys. Lett. 314, 141 (1999), equations 14 to 16.
    """
    ladder = _ladder(dynamics, temperatures)
    ensembles = [dynamics.replace(temperature=t) for t in ladder]
    ensembles, starts, keys = spread(ensembles, structures, key)
    with_frames = framed(observers, trajectory, len(starts))
    exchange = Exchange(ensembles, as_whole(every, "every", 1, 10**12), jax.random.fold_in(keys[0], len(keys)))
    replicas, clock, stopped = simulated(
        ensembles, starts, keys, steps, with_frames, checkpoint, [None] * len(starts), progress, (skin, wide_skin),
        exchange,
    )
    return Tempering(
        replicas.states(), with_frames, np.array(ladder), np.array(exchange.orders), exchange.table,
        exchange.attempted, exchange.accepted, clock.seconds, clock.step - clock.first, stopped,
    )


def _ladder(dynamics, temperatures):
    """Temperatures as numbers, checked."""
    if not isinstance(dynamics, Dynamics):
        raise DataError(f"dynamics: expected one ensemble of jaxpot.md, got {type(dynamics).__name__}")
    if not hasattr(dynamics, "temperature"):
        raise DataError(
            f"dynamics: {type(dynamics).__name__} has no thermostat, and replicas exchange temperatures: use Langevin, "
            "VelocityRescaling, NoseHoover or CellRescaling"
        )
    if isinstance(getattr(dynamics, "pressure", None), Ramp):
        raise DataError("dynamics: a pressure that changes has no equilibrium to exchange in: give a number")
    ladder = [as_positive(t, "temperatures", "positive numbers of kelvin") for t in temperatures]
    if len(ladder) < 2 or any(b <= a for a, b in zip(ladder, ladder[1:], strict=False)):
        raise DataError(f"temperatures: expected at least two, each above the one before, got {ladder}")
    return ladder


def swapped(
    order: np.ndarray, energies: np.ndarray, temperatures: np.ndarray, first: int, chances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Order of replicas after attempts to exchange pairs (first, first + 1), (first + 2, first + 3), ... of the ladder.

    Accepted where chance < exp((1 / kB T_i - 1 / kB T_j) (E_i - E_j)).

    Args:
        order: (R,) int, the replica at each temperature.
        energies: (R,) eV, of the replica at each temperature.
        temperatures: (R,) K.
        first: 0 or 1.
        chances: (R - 1,), uniform in [0, 1), one for each pair of neighbours.

    Returns:
        The new order (R,), and which pairs were exchanged (R - 1,) bool.
    """
    order, accepted = np.array(order), np.zeros(len(order) - 1, bool)
    for i in range(first, len(order) - 1, 2):
        exponent = (1.0 / temperatures[i] - 1.0 / temperatures[i + 1]) * (energies[i] - energies[i + 1]) / kB
        if exponent >= 0.0 or chances[i] < np.exp(exponent):
            order[i], order[i + 1] = order[i + 1], order[i]
            accepted[i] = True
    return order, accepted


class Exchange:
    """Attempts to exchange temperatures, their random numbers, and what has come of them so far.

    Args:
        ladder: ensembles, one for each temperature.
        every: steps between two attempts.
        key: of `jax.random`.
    """

    def __init__(self, ladder: Sequence[Dynamics], every: int, key: Array) -> None:
        self.ladder, self.every, self.key = list(ladder), every, key
        self.temperatures = np.array([float(own.temperature) for own in ladder])  # type: ignore[attr-defined]
        self.orders = [np.arange(len(ladder))]
        self.energies: list[np.ndarray] = []
        self.attempted = np.zeros(len(ladder) - 1, int)
        self.accepted = np.zeros(len(ladder) - 1, int)

    files: tuple = ()

    def settings(self) -> tuple:
        """Description in words and numbers, for the digest of a run."""
        return ("Exchange", self.every)

    @property
    def table(self) -> np.ndarray:
        """(attempts, R) eV, by temperature."""
        return np.array(self.energies, float).reshape(-1, len(self.ladder))

    def ensembles(self) -> list[Dynamics]:
        """The ensemble of each replica now."""
        return [self.ladder[place] for place in np.argsort(self.orders[-1])]

    def act(self, replicas: Replicas) -> None:
        """Attempt exchanges, and give the replicas their new ensembles and velocities."""
        old, order = self.ensembles(), self.orders[-1]
        states = [jax.device_get((p.state.energy, p.state.structure.cell)) for p in replicas.parts]
        energies, cells = (np.concatenate(arrays)[order] for arrays in zip(*states, strict=True))
        if self.ladder[0].barostat:
            energies = energies + float(self.ladder[0].pressure) * np.abs(np.linalg.det(cells))  # type: ignore[attr-defined]
        self.key, key = jax.random.split(self.key)
        chances = np.asarray(jax.random.uniform(key, (len(order) - 1,)))
        first = len(self.energies) % 2 if len(order) > 2 else 0
        order, accepted = swapped(order, energies, self.temperatures, first, chances)
        self.orders.append(order)
        self.energies.append(energies)
        self.attempted[first::2] += 1
        self.accepted += accepted
        replicas.ensembles = self.ensembles()
        scales = np.sqrt([
            float(new.temperature) / float(before.temperature)  # type: ignore[attr-defined]
            for new, before in zip(replicas.ensembles, old, strict=True)
        ])
        size = len(replicas.parts[0])
        replicas.parts = [
            _tempered(part, numbers_of(replicas.ensembles[k : k + size]), scales[k : k + size])
            for k, part in zip(range(0, len(scales), size), replicas.parts, strict=True)
        ]

    def mark(self) -> dict[str, Any]:
        """A tree of arrays for a checkpoint."""
        return {
            "key": np.asarray(jax.random.key_data(self.key)), "orders": np.array(self.orders), "energies": self.table,
            "attempted": self.attempted.copy(), "accepted": self.accepted.copy(),
        }

    def go_on(self, mark: dict[str, Any]) -> None:
        """Restore what a checkpoint has kept."""
        self.key = jax.random.wrap_key_data(jnp.asarray(mark["key"]))
        self.orders, self.energies = list(np.asarray(mark["orders"])), list(np.asarray(mark["energies"]))
        self.attempted, self.accepted = np.array(mark["attempted"]), np.array(mark["accepted"])


@jax.jit
def _tempered(part: Part, numbers: PyTree, scales: AnyArray) -> Part:
    """Replicas with the numbers of new ensembles, and velocities times a number each; what that adds is exchanged."""
    def one(state, scale):
        after = state.replace(velocities=(scale * state.velocities).astype(state.velocities.dtype))
        return after.replace(exchanged=state.exchanged + after.kinetic_energy - state.kinetic_energy)

    return part.replace(numbers=numbers, state=jax.vmap(one)(part.state, scales))
