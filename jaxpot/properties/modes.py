"""Harmonic modes: the thermodynamic functions of one oscillator, and which modes may be counted.

Each function takes the squared angular frequency w2, an eigenvalue of the dynamical matrix, so that
`trace_function` can sum it over modes and differentiate the sum. Derivatives with respect to w2 and T are
those of the formula, by JAX; they are finite down to T = 0 and nothing overflows on the way.
"""

import jax.numpy as jnp
import numpy as np

from jaxpot.core.precision import require_concrete
from jaxpot.errors import ConvergenceError
from jaxpot.typing import AnyArray, Array
from jaxpot.units import THz, hbar, kB

# hbar w / kT above which exp(-hbar w / kT) counts as zero (1e-35), so that nothing overflows as T -> 0.
_COLD = 80.0
# A mode that is left out must have zero frequency: |w2| below this fraction of the largest.
_ZERO = 1e-6


def mode_free_energy(w2: Array, temperature: Array) -> Array:
    """Helmholtz free energy of a harmonic oscillator, F = hbar w / 2 + kT log(1 - exp(-hbar w / kT)).

    Args:
        w2: () squared angular frequency, eV/(A^2 amu), positive; NaN comes back where it is negative.
        temperature: () K, zero or positive.

    Returns:
        () eV; the zero-point energy at T = 0.
    """
    quantum = hbar * jnp.sqrt(w2)
    x, cold = _reduced(quantum, temperature)
    return 0.5 * quantum + jnp.where(cold, 0.0, kB * temperature * _log1mexp(x))


def mode_energy(w2: Array, temperature: Array) -> Array:
    """Internal energy of a harmonic oscillator, E = F + TS = hbar w (1/2 + n), n = 1/(exp(hbar w / kT) - 1).

    Args:
        w2: () squared angular frequency, eV/(A^2 amu), positive.
        temperature: () K, zero or positive.

    Returns:
        () eV.
    """
    quantum = hbar * jnp.sqrt(w2)
    x, cold = _reduced(quantum, temperature)
    return quantum * (0.5 + jnp.where(cold, 0.0, 1.0 / jnp.expm1(x)))


def mode_entropy(w2: Array, temperature: Array) -> Array:
    """Entropy of a harmonic oscillator, S = -dF/dT = k ( x n - log(1 - exp(-x)) ), x = hbar w / kT.

    Args:
        w2: () squared angular frequency, eV/(A^2 amu), positive.
        temperature: () K, zero or positive.

    Returns:
        () eV/K; 0 at T = 0.
    """
    x, cold = _reduced(hbar * jnp.sqrt(w2), temperature)
    return jnp.where(cold, 0.0, kB * (x / jnp.expm1(x) - _log1mexp(x)))


def mode_heat_capacity(w2: Array, temperature: Array) -> Array:
    """Heat capacity of a harmonic oscillator, C = T dS/dT = k ( (x/2) / sinh(x/2) )^2, x = hbar w / kT.

    Args:
        w2: () squared angular frequency, eV/(A^2 amu), positive.
        temperature: () K, zero or positive.

    Returns:
        () eV/K; 0 at T = 0, k at high T.
    """
    x, cold = _reduced(hbar * jnp.sqrt(w2), temperature)
    return jnp.where(cold, 0.0, kB * (0.5 * x / jnp.sinh(0.5 * x)) ** 2)


def _reduced(quantum, temperature):
    """x = quantum / kT and whether it is so large that thermal terms are zero (there x is a harmless 1)."""
    cold = quantum >= _COLD * kB * temperature
    return jnp.where(cold, 1.0, quantum / (kB * jnp.where(cold, 1.0, temperature))), cold


def _log1mexp(x):
    """log(1 - exp(-x)), accurate for small and for large x."""
    return jnp.where(x < 0.7, jnp.log(-jnp.expm1(-x)), jnp.log1p(-jnp.exp(-x)))


def signed_frequency(w2: Array) -> Array:
    """Ordinary frequency sign(w2) sqrt(|w2|) / 2 pi of squared angular ones: imaginary ones as negative numbers."""
    size = jnp.abs(w2)
    root = jnp.where(size > 0, jnp.sqrt(jnp.where(size > 0, size, 1.0)), 0.0)  # no infinite slope at zero
    return jnp.sign(w2) * root / (2.0 * jnp.pi)


def zero_modes(q_points: AnyArray) -> np.ndarray:
    """Number of modes of zero frequency at each q: the 3 translations at Gamma and its lattice images.

    Args:
        q_points: (nq, 3) fractional wave vectors, concrete.

    Returns:
        (nq,) integers, 3 or 0, for the argument `exclude`.
    """
    q_points = np.asarray(q_points)
    return np.where(np.all(np.abs(q_points - np.round(q_points)) < 1e-10, axis=-1), 3, 0)


def check_stable(w2: AnyArray, q_points: AnyArray, exclude: int | AnyArray = 0, tolerance: float = 1e-10) -> None:
    """Refuse spectra that have no harmonic thermodynamics: imaginary modes, and zero modes that are counted.

    Args:
        w2: (nq, N) squared angular frequencies in ascending order, concrete.
        q_points: (nq, 3) fractional, to name the place.
        exclude: integer or (nq,), zero modes left out at each q.
        tolerance: w2 within this fraction of the largest counts as zero.

    Raises:
        ConvergenceError: an imaginary or an uncounted zero mode, with its q and frequency.
    """
    known = [require_concrete(a, "a spectrum", "look at it outside of jit") for a in (w2, q_points)]
    w2, q_points = map(np.atleast_2d, known)
    scale = np.abs(w2).max(initial=0.0)
    exclude = np.broadcast_to(np.asarray(exclude), w2.shape[:1])
    excluded = np.arange(w2.shape[1]) < exclude[:, None]
    # The lowest of all: a crystal with imaginary modes away from Gamma is reported at its worst.
    unstable = np.where(excluded, w2 < -_ZERO * scale, w2 < -tolerance * scale) | ~np.isfinite(w2)
    if unstable.any():
        depth = np.where(np.isfinite(w2), w2, -np.inf)
        where = np.unravel_index(np.argmin(np.where(unstable, depth, np.inf)), w2.shape)
        raise ConvergenceError(
            f"the crystal is dynamically unstable: {int(unstable.sum())} of {w2.size} modes are imaginary, "
            f"the worst at q = {_point(q_points[where[0]])} with {_frequency(w2[where])}. Harmonic "
            "thermodynamics needs real frequencies: relax the structure, or take the stable phase or volume"
        )
    zero = ~excluded & (np.abs(w2) <= tolerance * scale)
    if zero.any():
        row = int(np.argwhere(zero)[0, 0])
        raise ConvergenceError(
            f"{int(zero.sum())} modes of zero frequency would be counted, the first at q = "
            f"{_point(q_points[row])}: a free energy diverges there. Leave out the translations at Gamma "
            "with exclude=zero_modes(q_points)"
        )
    wrong = excluded & (np.abs(w2) > _ZERO * scale)
    if wrong.any():
        where = tuple(np.argwhere(wrong)[0])
        raise ConvergenceError(
            f"a mode to be left out at q = {_point(q_points[where[0]])} has {_frequency(w2[where])}, not "
            "zero: either q is not Gamma, or the dynamical matrix breaks the acoustic sum rule"
        )


def _point(q):
    return "(" + ", ".join(f"{x:.6g}" for x in q) + ")"


def _frequency(w2):
    if not np.isfinite(w2):
        return "a frequency that is not a number"
    thz = float(np.sqrt(abs(w2))) / (2.0 * np.pi) / THz
    return f"{thz:.6g}i THz" if w2 < 0 else f"{thz:.6g} THz"
