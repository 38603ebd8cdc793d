"""Thermal expansion: the quasi-harmonic crystal, its cell at each temperature, and what follows.

At every temperature the free energy F(e, T) = E(e) + F_vib(e, T), under a pressure the free enthalpy F + p V, is
minimised over the strains e that keep the crystal's symmetry, with the ions at the minimum of the static energy. All
derivatives are exact (up to d2F/de de, fourth derivatives of the energy); for potentials that are not smooth enough
F_vib is replaced by the polynomial through strains between their kinks, or wider than these.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.core.pytree import Node, pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.properties.coordinates import crystal
from jaxpot.properties.gruneisen import STEP
from jaxpot.properties.harmonic import check_temperatures
from jaxpot.properties.kinks import ANALYTIC, step_between_kinks
from jaxpot.properties.quasi_harmonic import QuasiHarmonic
from jaxpot.properties.second_order import Route
from jaxpot.typing import ArrayLike, Mesh, Number, StructureLike

METHODS = ("free_energy", "gruneisen", "gruneisen_v0")
_FINE_STEP = 5e-4  # strain of the differences for smooth potentials
_SMALLER = (2e-3, 5e-4)  # strains of the differences for others, where wider ones meet a kink


@pytree
class ThermalExpansion(Node):
    """The quasi-harmonic crystal at temperatures (t,) K.

    cells (t, 3, 3) A; volumes (t,) A^3; alpha (t,) 1/K, a third of the volume expansion; alpha_tensor
    (t, 3, 3) 1/K; bulk (t,) isothermal, eV/A^3; heat_capacity_v and _p (t,) eV/K per cell; gamma (t,) the
    thermodynamic Grueneisen parameter 3 alpha V B / C_v (NaN at 0 K, where C_v vanishes).
    """

    temperatures: jax.Array
    cells: jax.Array
    volumes: jax.Array
    alpha: jax.Array
    alpha_tensor: jax.Array
    bulk: jax.Array
    heat_capacity_v: jax.Array
    heat_capacity_p: jax.Array
    gamma: jax.Array
    method: str = static(default="free_energy")

    def plot(self) -> Any:
        """A matplotlib figure."""
        from jaxpot.report.plots import plot_thermal

        return plot_thermal(self)


def thermal_expansion(
    potential: Potential,
    structure: StructureLike,
    temperatures: ArrayLike,
    mesh: Mesh = (8, 8, 8),
    method: str = "free_energy",
    callback: Callable[..., object] | None = None,
    differences: bool = False,
    pressure: Number = 0.0,
    way: Route | None = None,
) -> ThermalExpansion:
    """Thermal expansion, isothermal bulk modulus and heat capacities in the quasi-harmonic approximation.

    alpha = dn/dT = -(d2F/de de)^-1 d2F/de dT  at the minimum of F(e, T), or, equivalently there,
    alpha_k = (C^-1)_kl sum_modes c_v gamma_l / V.  Under a pressure F is the free enthalpy F + p V.

    Args:
        potential, structure: a crystal relaxed at the pressure (see `relax`), concrete or differentiated.
        temperatures: (t,) K.
        mesh: Gamma-centred mesh of wave vectors.
        method: "free_energy" (mixed derivative of F); "gruneisen" (mode Grueneisen parameters and stiffness
            at V(T)); "gruneisen_v0" (the same at the static cell with the static stiffness: first order).
        callback: called with (number of temperatures done, all).
        differences: interpolate the dynamical matrices between strains, as is done for rough potentials, for smooth
            ones, too, between strains so small that results agree to 1e-5: programs that compile in a fraction of the
            time.
        pressure: eV/A^3 (multiply by `units.GPa`).
        way: a `Route` of this crystal with a skin of 0.4 A; by default made here.

    Returns:
        `ThermalExpansion`, differentiable with respect to the potential.

    Raises:
        ConvergenceError: imaginary modes, or no minimum of the free energy (the crystal melts first).

    References:
        D. C. Wallace, Thermodynamics of Crystals (1972), chapters 1 and 5.
        A. Togo, L. Chaput, I. Tanaka, G. Hug, Phys. Rev. B 81, 174301 (2010).
    """
    if method not in METHODS:
        raise DataError(f"method {method!r} is not known; expected one of {', '.join(METHODS)}")
    temperatures = check_temperatures(temperatures)
    structure, _ = crystal(potential, structure, what="thermal expansion")
    smooth, step = potential.smoothness >= ANALYTIC, _FINE_STEP
    if not smooth:
        what = f"the vibrational free energy is interpolated over strains of up to +-{2 * STEP}"
        step = step_between_kinks(potential, structure, (STEP, *_SMALLER), 2.0, what, stacklevel=2)
    model = QuasiHarmonic(potential, structure, mesh, smooth and not differences, step, pressure, way)
    now = model.start
    rows: list[tuple] = []
    for k, temperature in enumerate(temperatures):
        jets = None
        if method != "gruneisen_v0":
            now, jets = model.minimum(model.foreseen(now, rows, temperatures[: k + 1]), temperature)
        if model.traced:
            rows.append(model.traced_row(now, temperature, method))
        else:
            rows.append(model.row(now, temperature, method, jets))
        if callback:
            callback(k + 1, len(temperatures))
    columns = [jnp.stack(column) for column in zip(*rows, strict=True)]
    return ThermalExpansion(temperatures, *columns, method=method)  # type: ignore[misc, arg-type]  # eight columns
