"""Harmonic thermodynamics of a crystal: sums over phonons on a mesh of wave vectors."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import check_potential
from jaxpot.core.precision import concrete
from jaxpot.core.pytree import Node, pytree
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.properties.modes import (
    check_stable,
    mode_energy,
    mode_entropy,
    mode_free_energy,
    mode_heat_capacity,
    zero_modes,
)
from jaxpot.properties.phonons import dynamical_matrix, mesh_points
from jaxpot.properties.trace_functions import mesh_average
from jaxpot.typing import AnyArray, Array, ArrayLike, Mesh, StructureLike


@pytree
class Harmonic(Node):
    """At temperatures (t,) K, per cell: free_energy and energy (t,) eV, entropy and heat_capacity (t,) eV/K.

    The static energy of the crystal is not included; the zero-point energy is.
    """

    temperatures: jax.Array
    free_energy: jax.Array
    energy: jax.Array
    entropy: jax.Array
    heat_capacity: jax.Array

    def plot(self) -> Any:
        """A matplotlib figure."""
        from jaxpot.report.plots import plot_harmonic

        return plot_harmonic(self)


def harmonic(
    potential: Potential,
    structure: StructureLike,
    temperatures: ArrayLike,
    mesh: Mesh = (12, 12, 12),
    supercell: Sequence[int] | None = None,
) -> Harmonic:
    """Free energy, energy, entropy and heat capacity of the harmonic crystal.

    F = sum_q w_q tr f(D(q)),  f(w2) = hbar w / 2 + kT log(1 - exp(-hbar w / kT))

    as traces, so that derivatives are finite where bands touch; the rigid translations at Gamma are left out.

    Args:
        temperatures: (t,) K, not negative.
        mesh: Gamma-centred mesh of wave vectors.
        supercell: deprecated, see `dynamical_matrix`.

    Raises:
        ConvergenceError: imaginary modes; the message names the wave vector.
    """
    check_potential(potential)
    structure = Structure.of(structure)
    temperatures = check_temperatures(temperatures)
    q, weights = mesh_points(structure, mesh, potential.mirrors)
    exclude = zero_modes(q)
    matrices = dynamical_matrix(potential, structure, q, supercell)
    require_real_modes(matrices, q, exclude)
    values = _averages(matrices, jnp.asarray(weights), temperatures, jnp.asarray(exclude))
    return Harmonic(temperatures, *values)


def check_temperatures(temperatures: ArrayLike) -> Array:
    """Temperatures as a (t,) array of finite numbers that are not negative."""
    given = np.atleast_1d(np.asarray(temperatures, float))
    if given.ndim != 1 or not np.isfinite(given).all() or (given < 0).any():
        raise DataError(f"temperatures must be finite and not negative, in K; got {given}")
    return jnp.asarray(given)


def require_real_modes(matrices: Array, q: AnyArray, exclude: AnyArray) -> None:
    """A typed error for imaginary modes, where the matrices are concrete."""
    values = concrete(matrices)
    if values is not None:
        # A wave vector that fills an array up (`few_shapes`) is the last one again.
        q = np.asarray(q)
        new = np.append(True, (q[1:] != q[:-1]).any(axis=1))
        check_stable(np.linalg.eigvalsh(values[new]), q[new], np.asarray(exclude)[new])


@jax.jit
def _averages(matrices, weights, temperatures, exclude):
    def at(temperature):
        return tuple(
            mesh_average(f, matrices, weights, temperature, exclude=exclude)
            for f in (mode_free_energy, mode_energy, mode_entropy, mode_heat_capacity)
        )

    return jax.lax.map(at, temperatures)
