"""Thermodynamics of vibrations: of harmonic oscillators alone, and of molecules that form an ideal gas.

References:
    D. A. McQuarrie, Statistical Mechanics (2000), chapters 5, 6 and 8.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.numbers import as_number, as_positive, as_whole
from jaxpot.core.precision import concrete
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.properties.harmonic import Harmonic, check_temperatures
from jaxpot.properties.modes import mode_energy, mode_entropy, mode_free_energy, mode_heat_capacity
from jaxpot.properties.trace_functions import trace_function
from jaxpot.typing import ArrayLike, Number
from jaxpot.units import bar, h, invcm, kB

_ZERO = 1e-10  # of the largest w2: smaller ones are zero
_SHAPES = ("monatomic", "linear", "nonlinear")  # by the number of rotations: 0, 2, 3


@pytree
class IdealGas(Node):
    """An ideal gas at temperatures (t,) K and a pressure () eV/A^3, per molecule.

    energy, enthalpy, gibbs_energy (t,) eV, with the zero-point energy and without the static energy of the molecule;
    entropy and heat_capacity (t,) eV/K, the latter at constant pressure. The entropy is the sum of
    translational_entropy, rotational_entropy, vibrational_entropy (t,) and electronic_entropy ().
    geometry: "monatomic", "linear" or "nonlinear".
    """

    temperatures: jax.Array
    pressure: jax.Array
    energy: jax.Array
    enthalpy: jax.Array
    gibbs_energy: jax.Array
    entropy: jax.Array
    heat_capacity: jax.Array
    translational_entropy: jax.Array
    rotational_entropy: jax.Array
    vibrational_entropy: jax.Array
    electronic_entropy: jax.Array
    geometry: str = static()


def vibrational_harmonic(vibrations: Any, temperatures: ArrayLike, ignore_imaginary: bool = False) -> Harmonic:
    """`Harmonic` of the vibrations, each an oscillator; see `Vibrations.harmonic`."""
    temperatures = check_temperatures(temperatures)
    floor = _floor(vibrations.matrix, ignore_imaginary)
    if not len(vibrations.matrix):
        return Harmonic(temperatures, *[jnp.zeros_like(temperatures)] * 4)
    return Harmonic(temperatures, *_sums(vibrations.matrix, temperatures, floor))


def ideal_gas(
    vibrations: Any,
    temperatures: ArrayLike,
    pressure: Number | None = None,
    symmetry_number: int | None = None,
    spin: float = 0.0,
    ignore_imaginary: bool = False,
) -> IdealGas:
    """Energy, entropy and Gibbs energy of an ideal gas of molecules, from their vibrations.

    U = sum_a e(nu_a) + kT (3/2 + d/2),  H = U + kT,  G = H - T S,  S = S_t + S_r + S_v + k log(2 spin + 1)

    with d = 0, 2 or 3 rotations of an atom, a linear or another molecule (found from its shape), the translations by
    Sackur and Tetrode, and the rotations those of a classical rigid rotor:

        S_t = k ( log( (2 pi m kT / h^2)^(3/2) kT / p ) + 5/2 )
        S_r = k ( log( 8 pi^2 I kT / (sigma h^2) ) + 1 )                                     linear
        S_r = k ( log( (pi I_a I_b I_c)^(1/2) / sigma (8 pi^2 kT / h^2)^(3/2) ) + 3/2 )      otherwise

    Args:
        vibrations: `Vibrations` of a molecule, all of its atoms free.
        temperatures: (t,) K, positive.
        pressure: eV/A^3; by default 1 bar, `units.bar`.
        symmetry_number: sigma, how many rotations leave the molecule as it is: 2 of water, 12 of methane; not needed
            of an atom.
        spin: total electronic spin, 0.5 for each unpaired electron.
        ignore_imaginary: leave out vibrations that are imaginary or zero.

    Returns:
        `IdealGas`, differentiable with respect to potential and molecule.

    Raises:
        DataError: no molecule, or a number that cannot be.
        ConvergenceError: imaginary vibrations.

    References:
        O. Sackur, Ann. Phys. 345, 67 (1913); H. Tetrode, Ann. Phys. 343, 434 (1912).
    """
    structure, turns = vibrations.structure, vibrations.rotations
    if any(structure.pbc) or len(vibrations.free) != len(structure):
        raise DataError(
            f"an ideal gas is made of molecules, open along all axes and with all atoms free; got pbc={structure.pbc}, "
            f"{len(vibrations.free)} of {len(structure)} atoms free: set pbc=False, or take vibrations.harmonic"
        )
    temperatures = check_temperatures(temperatures)
    if not (np.asarray(temperatures) > 0.0).all():
        raise DataError(f"temperatures: those of a gas are positive, got {np.asarray(temperatures).tolist()} K")
    geometry = _SHAPES[max(0, turns - 1)]
    pressure = as_positive(bar if pressure is None else pressure, "pressure", "a positive number in eV/A^3 (units.bar)")
    if symmetry_number is None and turns:
        raise DataError(
            "symmetry_number: expected how many rotations leave the molecule as it is (1 of HCl, 2 of N2 or water, "
            "3 of ammonia, 12 of methane), got None"
        )
    symmetry_number = as_whole(1 if symmetry_number is None else symmetry_number, "symmetry_number", 1, 60)
    spin = as_number(spin, "spin")
    if not (2.0 * spin).is_integer() or spin < 0.0:
        raise DataError(f"spin: expected the total spin, 0.5 for each unpaired electron, got {spin:g}")
    vibrating = vibrational_harmonic(vibrations, temperatures, ignore_imaginary)
    return _gas(vibrating, structure, temperatures, pressure, symmetry_number, spin, turns, geometry)


@partial(jax.jit, static_argnames=("turns", "geometry"))
def _gas(vibrating, structure, temperatures, pressure, symmetry_number, spin, turns, geometry):
    thermal = kB * temperatures
    translational = kB * (
        1.5 * jnp.log(2.0 * jnp.pi * jnp.sum(structure.masses) * thermal / h**2) + jnp.log(thermal / pressure) + 2.5
    )
    rotational = jnp.zeros_like(thermal)
    if turns:
        rotational = kB * (_log_rotor(structure, thermal, turns) - jnp.log(symmetry_number) + 0.5 * turns)
    electronic = kB * jnp.log(2.0 * spin + 1.0)
    energy = vibrating.energy + (1.5 + 0.5 * turns) * thermal
    entropy = translational + rotational + vibrating.entropy + electronic
    return IdealGas(
        temperatures, jnp.asarray(pressure), energy, energy + thermal, energy + thermal - temperatures * entropy,
        entropy, vibrating.heat_capacity + (2.5 + 0.5 * turns) * kB, translational, rotational, vibrating.entropy,
        electronic, geometry=geometry,
    )


def _log_rotor(structure, thermal, turns):
    """log of the classical partition function of a rigid rotor with symmetry number 1, (t,)."""
    arms = structure.positions - (structure.masses @ structure.positions) / jnp.sum(structure.masses)
    moments = jnp.einsum("i,ia,ib->ab", structure.masses, arms, arms)
    inertia = jnp.trace(moments) * jnp.eye(3) - moments
    scale = 8.0 * jnp.pi**2 * thermal / h**2
    if turns == 2:  # two equal moments and a third that is zero
        return jnp.log(0.5 * jnp.trace(inertia) * scale)
    return 0.5 * jnp.log(jnp.pi * jnp.linalg.det(inertia)) + 1.5 * jnp.log(scale)


def _floor(matrix, ignore_imaginary):
    """The w2 below which modes are left out: none, unless imaginary ones are ignored; refused where they are known."""
    values = concrete(matrix)
    if values is None or not len(values):
        return jnp.asarray(0.0 if ignore_imaginary else -jnp.inf)
    w2 = np.linalg.eigvalsh(values)
    floor = _ZERO * np.abs(w2).max()
    if ignore_imaginary:
        return jnp.asarray(floor)
    bad = ~(w2 > floor)
    if bad.any():
        wave = np.sign(w2[0]) * np.sqrt(abs(w2[0])) / (2.0 * np.pi) / invcm
        raise ConvergenceError(
            f"{int(bad.sum())} of {len(w2)} vibrations are imaginary or zero, the lowest "
            f"{abs(wave):.6g}{'i' if wave < 0.0 else ''} 1/cm: harmonic thermodynamics needs a minimum. Relax the "
            "structure (from another start), or leave them out with ignore_imaginary=True"
        )
    return jnp.asarray(-np.inf)


def _above(mode):
    def function(w2, temperature, floor):
        counted = w2 > floor
        return jnp.where(counted, mode(jnp.where(counted, w2, 1.0), temperature), 0.0)

    return function


_FUNCTIONS = tuple(map(_above, (mode_free_energy, mode_energy, mode_entropy, mode_heat_capacity)))


@jax.jit
def _sums(matrix, temperatures, floor):
    def at(temperature):
        return tuple(trace_function(f, matrix, temperature, floor) for f in _FUNCTIONS)

    return jax.lax.map(at, temperatures)
