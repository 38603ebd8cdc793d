"""The equation of state: energy against volume."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import check_distances, checked_neighbors
from jaxpot.core.precision import is_traced
from jaxpot.core.pytree import pytree
from jaxpot.core.structure import Structure
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.observables import evaluate_many
from jaxpot.properties.relax import relax


@pytree
class EquationOfState:
    """volumes (n,) A^3 and energies (n,) eV of the cell; the fitted minimum: volume A^3, energy eV,
    bulk modulus eV/A^3 and its pressure derivative (no unit)."""

    volumes: jax.Array
    energies: jax.Array
    volume: jax.Array
    energy: jax.Array
    bulk: jax.Array
    bulk_derivative: jax.Array

    def curve(self, volumes):
        """The fitted Birch-Murnaghan energy at other volumes, eV."""
        terms = self.volume, self.energy, self.bulk, self.bulk_derivative, volumes
        if not is_traced(terms):  # NumPy: a few numbers are not worth programs
            terms = jax.tree.map(np.asarray, terms)
        volume, energy, bulk, derivative, volumes = terms
        x = (volume / volumes) ** (2.0 / 3.0) - 1.0
        return energy + 9.0 * volume * bulk / 16.0 * (x**3 * derivative + x**2 * (2.0 - 4.0 * x))

    def plot(self):
        """A matplotlib figure of energies and fit."""
        from jaxpot.report.plots import plot_equation_of_state

        return plot_equation_of_state(self)


def equation_of_state(potential, structure, strains=None, relaxed=True):
    """Energy at scaled volumes, fitted by the third-order Birch-Murnaghan form.

    E(V) = E0 + (9 V0 B / 16) [ x^3 B' + x^2 (2 - 4 x) ],  x = (V0/V)^(2/3) - 1

    Args:
        potential, structure: a crystal near its minimum; concrete values.
        strains: linear strains, by default nine from -2 % to +2 %.
        relaxed: relax the atoms at each volume (the shape of the cell is kept).

    Returns:
        `EquationOfState`.

    Raises:
        ConvergenceError: the energies have no minimum within the volumes given.

    References:
        F. Birch, Finite elastic strain of cubic crystals, Phys. Rev. 71, 809 (1947).
    """
    structure = Structure.of(structure)
    strains = np.linspace(-0.02, 0.02, 9) if strains is None else np.asarray(strains, float)
    if strains.size < 5:
        raise DataError(f"a fit of four parameters needs at least 5 strains, got {strains.size}")
    check_distances(structure, checked_neighbors(potential, structure), refuse=True)
    scaled = [structure.strained(s * np.eye(3)) for s in strains]
    results = [relax(potential, s) for s in scaled] if relaxed else evaluate_many(potential, scaled)
    energies = np.array([float(r.energy) for r in results])
    volumes = np.array([float(s.volume) for s in scaled])
    # The form is a cubic in V^(-2/3): linear least squares, then its minimum.
    center = volumes.mean()
    y = (center / volumes) ** (2.0 / 3.0)
    a, b, c, d = np.polyfit(y - 1.0, energies, 3)
    roots = np.roots([3 * a, 2 * b, c])
    roots = [r.real for r in roots if abs(r.imag) < 1e-9 and 6 * a * r.real + 2 * b > 0]
    inside = [r for r in roots if y.min() - 1.0 < r < y.max() - 1.0]
    if not inside:
        raise ConvergenceError(
            f"the energy has no minimum between {volumes.min():.4g} and {volumes.max():.4g} A^3: "
            "relax the cell first, or give wider strains"
        )
    t = inside[0]
    y0 = t + 1.0
    second, third = 6 * a * t + 2 * b, 6 * a
    volume = center * y0**-1.5
    # E = e0 + (second/2)(y-y0)^2 + (third/6)(y-y0)^3 with y - y0 = y0 x.
    bulk = 4.0 * second * y0**2 / (9.0 * volume)
    derivative = 4.0 + 2.0 * third * y0 / (3.0 * second)
    return EquationOfState(
        jnp.asarray(volumes), jnp.asarray(energies), jnp.asarray(volume),
        jnp.asarray(d + c * t + b * t**2 + a * t**3), jnp.asarray(bulk), jnp.asarray(derivative),
    )
