"""The state of a simulation, and what follows from it at once: temperature, pressure, first velocities."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.pytree import Node, pytree
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.typing import AnyArray, Array, ArrayLike, Number, Scalar
from jaxpot.units import kB


@pytree
class State(Node):
    """State of a simulation: everything that a step needs and changes.

    structure: positions are not wrapped; velocities: (n, 3) in A per internal unit of time (as ASE's); forces (n, 3)
    eV/A, energy () eV and stress (3, 3) eV/A^3 belong to the positions; free: (n,) bool, which atoms move; key: of the
    random numbers; step: () int; exchanged: () eV, what thermostat and barostat have added so far; extra: variables of
    the ensemble; lost: in single precision what sums of many small changes have lost to rounding so far (n, 3), by name
    of the sum.
    """

    structure: Structure
    velocities: jax.Array
    forces: jax.Array
    energy: jax.Array
    stress: jax.Array
    free: jax.Array
    key: jax.Array
    step: jax.Array
    exchanged: jax.Array
    extra: dict
    lost: dict

    @property
    def masses(self) -> Array:
        """(n, 1) amu."""
        return self.structure.masses[:, None]

    @property
    def kinetic_energy(self) -> Scalar:
        """() eV, sum m v^2 / 2."""
        return 0.5 * jnp.sum(self.masses * self.velocities**2)

    @property
    def degrees_of_freedom(self) -> Scalar:
        """(): three for each atom that moves, less three of the centre of mass where all move."""
        count = jnp.sum(self.free)
        return 3.0 * count - jnp.where(jnp.all(self.free), 3.0, 0.0)

    @property
    def temperature(self) -> Scalar:
        """() K, 2 K / (degrees of freedom kB)."""
        return 2.0 * self.kinetic_energy / (jnp.maximum(self.degrees_of_freedom, 1.0) * kB)

    @property
    def pressure_tensor(self) -> Array:
        """(3, 3) eV/A^3: sum m v v / V - stress; NaN without full periodicity."""
        moving = jnp.einsum("ia,ib->ab", self.masses * self.velocities, self.velocities, precision="highest")
        return moving / self.structure.volume - self.stress

    @property
    def pressure(self) -> Scalar:
        """() eV/A^3, a third of the trace of `pressure_tensor`."""
        return jnp.trace(self.pressure_tensor) / 3.0

    def kicked(self, time: AnyArray | float) -> "State":
        """Velocities after the forces have acted for a time."""
        change = time * jnp.where(self.free[:, None], self.forces / self.masses, 0.0)
        velocities, lost = self._sum("velocities", self.velocities, change)
        return self.replace(velocities=velocities, lost=lost)

    def drifted(self, time: AnyArray | float) -> "State":
        """Positions after a time at these velocities."""
        positions, lost = self._sum("positions", self.structure.positions, time * self.velocities)
        return self.replace(structure=self.structure.moved(positions), lost=lost)

    def _sum(self, name, old, change):
        """Compensated sum: old + change, and the new `lost`.

        In single precision a step of 0.004 A at 20 A is rounded to 1e-6 A, which heats: the sums are compensated
        (W. Kahan, Commun. ACM 8, 40 (1965)).
        """
        if name not in self.lost:
            return old + change, self.lost
        change = change + self.lost[name]
        new = old + change
        return new, {**self.lost, name: change - (new - old)}


def nothing_lost(positions: Array) -> dict[str, Array]:
    """`State.lost` in the beginning."""
    if positions.dtype != jnp.float32:
        return {}
    return {name: jnp.zeros_like(positions) for name in ("positions", "velocities")}


def maxwell(structure: Structure, temperature: Number, key: Array, free: ArrayLike | None = None) -> Array:
    """Velocities of a temperature, (n, 3): normal, without drift of the centre of mass, exactly at the temperature.

    Args:
        structure: `Structure`.
        temperature: K.
        key: of `jax.random`.
        free: (n,) bool; the others get 0.
    """
    n = len(structure)
    free = np.ones(n, bool) if free is None else np.asarray(free)
    masses = np.asarray(structure.masses)[:, None]
    drawn = np.asarray(jax.random.normal(key, (n, 3), structure.positions.dtype)) / np.sqrt(masses)
    drawn = np.where(free[:, None], drawn, 0.0)
    if free.all():
        drawn = without_drift(drawn, masses)
    degrees = 3 * free.sum() - (3 if free.all() else 0)
    now = np.sum(masses * drawn**2)
    if temperature <= 0.0 or now <= 0.0:
        return jnp.zeros_like(structure.positions)
    return jnp.asarray(drawn * np.sqrt(degrees * kB * temperature / now))


def without_drift(velocities: Any, masses: Any) -> Any:
    """Velocities less that of the centre of mass."""
    return velocities - (masses * velocities).sum(0) / masses.sum()


def check_masses(structure: Structure) -> None:
    """Refuse masses that are not positive."""
    masses = np.asarray(structure.masses)
    if not (masses > 0.0).all():
        raise DataError(f"masses: dynamics needs positive ones (amu), got {masses.min():g} for atom {masses.argmin()}")
