"""The equation of state: energy against volume."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import check_distances, checked_neighbors
from jaxpot.core.precision import is_traced
from jaxpot.core.pytree import Node, pytree
from jaxpot.core.structure import Structure
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.observables import evaluate_many
from jaxpot.potentials.base import Potential
from jaxpot.properties.relax import relax
from jaxpot.typing import AnyArray, ArrayLike, StructureLike


@pytree
class EquationOfState(Node):
    """volumes (n,) A^3 and energies (n,) eV of the cell; the fitted minimum: volume A^3, energy eV,
    bulk modulus eV/A^3, its first derivative by pressure (no unit) and its second, A^3/eV."""

    volumes: jax.Array
    energies: jax.Array
    volume: jax.Array
    energy: jax.Array
    bulk: jax.Array
    bulk_derivative: jax.Array
    bulk_second: jax.Array

    def curve(self, volumes: AnyArray | float) -> AnyArray:
        """The fitted Birch-Murnaghan energy at other volumes, eV."""
        terms = self.volume, self.energy, self.bulk, self.bulk_derivative, self.bulk_second, volumes
        if not is_traced(terms):  # NumPy: a few numbers are not worth programs
            terms = jax.tree.map(np.asarray, terms)
        volume, energy, bulk, first, second, volumes = terms
        f = 0.5 * ((volume / volumes) ** (2.0 / 3.0) - 1.0)
        fourth = bulk * second + (first - 4.0) * (first - 3.0) + 35.0 / 9.0
        return energy + 4.5 * volume * bulk * f**2 * (1.0 + (first - 4.0) * f + 0.75 * fourth * f**2)

    def plot(self) -> Any:
        """A matplotlib figure of energies and fit."""
        from jaxpot.report.elastic_plots import plot_equation_of_state

        return plot_equation_of_state(self)


def equation_of_state(
    potential: Potential, structure: StructureLike, strains: ArrayLike | None = None, relaxed: bool = True
) -> EquationOfState:
    """Energy at scaled volumes, fitted by the fourth-order Birch-Murnaghan form.

    E(V) = E0 + (9 V0 B / 2) f^2 [ 1 + (B' - 4) f + (3/4) (B B'' + (B' - 4)(B' - 3) + 35/9) f^2 ],
    f = [ (V0/V)^(2/3) - 1 ] / 2

    The fourth order makes B that of the elastic constants, for cubic crystals; the third leaves it off by a percent
    over these volumes. The shape of the cell is kept: of other crystals, B is the Voigt average.

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
        F. Birch, Finite strain isotherm and velocities for single-crystal and polycrystalline NaCl at high pressures
        and 300 K, J. Geophys. Res. 83, 1257 (1978): the fourth order.
    """
    structure = Structure.of(structure)
    strains = np.linspace(-0.02, 0.02, 9) if strains is None else np.asarray(strains, float)
    if strains.size < 5:
        raise DataError(f"a fit of five parameters needs at least 5 strains, got {strains.size}")
    check_distances(structure, checked_neighbors(potential, structure), refuse=True)
    scaled = [structure.strained(s * np.eye(3)) for s in strains]
    results = [relax(potential, s) for s in scaled] if relaxed else evaluate_many(potential, scaled)
    energies = np.array([float(r.energy) for r in results])
    volumes = np.array([float(s.volume) for s in scaled])
    # The form is a quartic in V^(-2/3): linear least squares, then its minimum.
    center = volumes.mean()
    y = (center / volumes) ** (2.0 / 3.0)
    fit = np.poly1d(np.polyfit(y - 1.0, energies, 4))
    slope, curvature = fit.deriv(), fit.deriv(2)
    minima = [r.real for r in slope.roots if abs(r.imag) < 1e-9 and curvature(r.real) > 0]
    inside = [r for r in minima if y.min() - 1.0 < r < y.max() - 1.0]
    if not inside:
        raise ConvergenceError(
            f"the energy has no minimum between {volumes.min():.4g} and {volumes.max():.4g} A^3: "
            "relax the cell first, or give wider strains"
        )
    t = min(inside, key=fit)
    y0 = t + 1.0
    second, third, fourth = (float(fit.deriv(k)(t)) for k in (2, 3, 4))
    volume = center * y0**-1.5
    # E = e0 + (second/2)(y-y0)^2 + (third/6)(y-y0)^3 + (fourth/24)(y-y0)^4 with y - y0 = 2 y0 f.
    bulk = 4.0 * second * y0**2 / (9.0 * volume)
    first = 4.0 + 2.0 * third * y0 / (3.0 * second)
    bulk_second = (4.0 * fourth * y0**2 / (9.0 * second) - (first - 4.0) * (first - 3.0) - 35.0 / 9.0) / bulk
    return EquationOfState(
        *map(jnp.asarray, (volumes, energies, volume, float(fit(t)), bulk, first, bulk_second))
    )
