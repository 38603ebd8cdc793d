"""What all dynamics share: a potential, a time step, the start, and one step around one evaluation of the forces.

A step is `first` (up to the new positions), the forces there, and `second`. Between the two a loop can look whether its
neighbour list still serves.
"""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.neighbors import Neighbors
from jaxpot.core.numbers import as_number
from jaxpot.core.precision import is_traced, require_concrete
from jaxpot.core.pytree import Node, pytree
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, JaxpotWarning
from jaxpot.md.state import State, check_masses, maxwell, nothing_lost
from jaxpot.observables import evaluate
from jaxpot.potentials.base import Potential
from jaxpot.typing import AnyArray, Array, ArrayLike, Number, StructureLike
from jaxpot.units import fs, kB


@pytree
class Ramp(Node):
    """A quantity that goes from `start` to `end` in `steps` steps, linearly, and stays there."""

    start: Number
    end: Number
    steps: Number

    def at(self, step: int | AnyArray) -> Array:
        """The value at a step, ()."""
        # Of two whole numbers of 32 bits the quotient would be single, in double precision, too.
        share = jnp.clip(step / (1.0 * self.steps), 0.0, 1.0)
        return self.start + share * (self.end - self.start)


Quantity = Number | Ramp  # plain, traced, or a function of the step


def value_at(quantity: Any, step: int | AnyArray) -> Any:
    """A number, or what a `Ramp` is at a step."""
    return quantity.at(step) if isinstance(quantity, Ramp) else quantity


class Dynamics(Node):
    """Base of all ensembles; subclasses are pytrees with `potential` and `time_step` and define the two halves."""

    potential: Potential
    time_step: Number
    barostat: bool = False  # whether the cell changes and steps read the stress: in a run, others find NaN there
    positive: tuple[str, ...] = ()  # names of further fields that must be positive

    def __post_init__(self):
        for name in ("time_step", *self.positive):
            quantity = getattr(self, name)
            for part in (quantity.start, quantity.end) if isinstance(quantity, Ramp) else (quantity,):
                if not is_traced(part) and not as_number(part, name) > 0.0:
                    raise DataError(f"{name}: expected a positive number{_UNIT.get(name, '')}, got {part}")

    def init(
        self,
        structure: StructureLike,
        temperature: Number | None = None,
        key: int | Array = 0,
        fixed: ArrayLike = (),
        velocities: AnyArray | None = None,
    ) -> State:
        """The `State` to begin with.

        Args:
            structure: `Structure` or `ase.Atoms`.
            temperature: K, of the first velocities (Maxwell's distribution); by default that of the thermostat.
            key: of `jax.random`, or a seed.
            fixed: which atoms never move: their numbers, or n booleans.
            velocities: (n, 3) A per internal unit of time, instead of a temperature.

        Raises:
            DataError: no temperature and no velocities, masses that are not positive, no such atoms; under `jax.jit`
                or `jax.vmap`.
        """
        structure = Structure.of(structure)
        require_concrete(structure.positions, "positions", _OUTSIDE)
        check_masses(structure)
        self.check(structure)
        n = len(structure)
        free = _free(fixed, n)
        self.check_free(free)
        key, key_of_velocities = jax.random.split(as_key(key))
        require_concrete(jax.random.key_data(key), "the key of random numbers", _OUTSIDE)
        if velocities is None:
            start = temperature if temperature is not None else value_at(getattr(self, "temperature", None), 0)
            if start is None:
                raise DataError("give a temperature (K) or velocities to begin with")
            if not as_number(start, "temperature") >= 0.0:
                raise DataError(f"temperature: expected a number of kelvin that is not negative, got {start}")
            if start > 0.0:
                _refuse_lonely(free)
            velocities = maxwell(structure, float(start), key_of_velocities, free)
        if np.shape(velocities) != (n, 3):
            raise DataError(f"velocities: expected shape ({n}, 3), got {np.shape(velocities)}")
        velocities = jnp.where(free[:, None], jnp.asarray(velocities, structure.positions.dtype), 0.0)
        result = evaluate(self.potential, structure)
        zero = jnp.zeros((), structure.positions.dtype)
        state = State(
            structure, velocities, jnp.asarray(result.forces), result.energy, result.stress, jnp.asarray(free),
            jax.random.key_data(key), jnp.zeros((), jnp.int32), zero, {}, nothing_lost(structure.positions),
        )
        return state.replace(extra=self.start(state))

    def adopt(self, state: State) -> State:
        """A state of this or another ensemble, ready to be continued with this one."""
        self.check(state.structure)
        self.check_free(np.asarray(state.free))
        extra = self.start(state)
        if not state.lost:
            state = state.replace(lost=nothing_lost(state.structure.positions))
        return state if set(extra) == set(state.extra) else state.replace(extra=extra)

    def check_free(self, free: AnyArray) -> None:
        """Refuse fixed atoms where the cell changes, and a thermostat of an atom that is alone."""
        if self.barostat and not free.all():
            raise DataError("fixed atoms and a cell that changes contradict each other: use a constant volume")
        if hasattr(self, "temperature"):
            _refuse_lonely(free)

    def check(self, structure: Structure) -> None:
        """Refuse what cannot be simulated; warn of what will not go well."""
        if self.barostat and not all(structure.pbc):
            raise DataError(f"a pressure needs a crystal, periodic along all three axes; got pbc={structure.pbc}")
        lightest = float(np.min(np.asarray(structure.masses)))
        longest = fs * lightest**0.5
        if float(self.time_step) > longest:
            warnings.warn(
                f"a time step of {float(self.time_step) / fs:.3g} fs is long for an atom of {lightest:.4g} amu: energy "
                f"is seldom conserved above {longest / fs:.2g} fs (time steps are given as 1.0 * units.fs)",
                JaxpotWarning, stacklevel=3,
            )

    def start(self, state: State) -> dict[str, Array]:
        """Further variables of the ensemble, a dict."""
        return {}

    def step(self, state: State, neighbors: Neighbors | None = None) -> State:
        """One step; `neighbors` has to serve the positions at its end (see `md.run`, which takes care)."""
        return self.second(self.forces_at(self.first(state), neighbors))

    def forces_at(self, state: State, neighbors: Neighbors | None = None, with_stress: bool = True) -> State:
        """The state with energy, forces and stress of its positions."""
        found = evaluate(self.potential, state.structure, neighbors, with_stress)
        return state.replace(forces=found.forces, energy=found.energy, stress=found.stress)

    def first(self, state: State) -> State:
        """Up to the new positions: half a kick and the drift of velocity Verlet."""
        return state.kicked(0.5 * self.time_step).drifted(self.time_step)

    def second(self, state: State) -> State:
        """The other half of the kick, with the new forces."""
        return state.kicked(0.5 * self.time_step).replace(step=state.step + 1)

    def conserved(self, state: State) -> Array:
        """() eV, what exact time evolution would keep."""
        return state.energy + state.kinetic_energy - state.exchanged


def as_key(key: int | Array) -> Array:
    """A key of `jax.random`, of a seed or as it is."""
    return jax.random.key(int(key)) if isinstance(key, int | np.integer) else key


def _free(fixed, n):
    """(n,) bool, which atoms move."""
    given = np.asarray(fixed)
    free = np.ones(n, bool)
    if given.dtype == bool and given.shape == (n,):
        free = ~given
    elif given.size:
        if given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= n:
            raise DataError(f"fixed: expected numbers of atoms, 0 to {n - 1}, or {n} booleans, got {fixed!r}")
        free[given.ravel()] = False
    if not free.any():
        raise DataError("fixed: all atoms are fixed, none can move")
    return free


def _refuse_lonely(free):
    """Refuse a temperature of one atom: the momentum of all is zero, and nothing is left to move."""
    if len(free) == 1 and free.all():
        raise DataError(
            "one atom has no temperature: velocities are drawn without drift of the centre of mass, which leaves it no "
            "degree of freedom; repeat the cell (structure.repeated((4, 4, 4)), --supercell 4 4 4), or give velocities "
            "to an NVE run"
        )


def thermal_kinetic_energy(state: State, temperature: Array) -> Array:
    """() eV, mean kinetic energy at a temperature."""
    return 0.5 * state.degrees_of_freedom * kB * temperature


def draw(state: State, shape: tuple[int, ...]) -> tuple[State, Array]:
    """The state with the next key, and normal random numbers."""
    key, own = jax.random.split(jax.random.wrap_key_data(state.key))
    numbers = jax.random.normal(own, shape, state.velocities.dtype)
    return state.replace(key=jax.random.key_data(key)), numbers


_OUTSIDE = (
    "call dynamics.init outside of jax.jit and jax.vmap, and jp.md.steps, which takes its state, inside (positions by "
    "state.replace(structure=structure.moved(positions)))"
)
_UNIT = {
    "time_step": ", such as 1.0 * units.fs", "temperature": " of kelvin", "time_constant": ", such as 100 * units.fs",
    "friction": ", such as 0.01 / units.fs", "barostat_time": ", such as 1000 * units.fs",
    "compressibility": " of A^3/eV, such as 0.01 / units.GPa",
}
