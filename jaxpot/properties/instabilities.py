"""Soft modes of a crystal: displacements that lower its energy, and the phase that they lead to.

A relaxed crystal with imaginary frequencies is a saddle point, held there by its symmetry. Displaced along such a mode,
in a supercell that the wave vector fits, and relaxed in the space group that is left, it comes down to a phase of lower
energy; which may have soft modes of its own.

References:
    W. Cochran, Adv. Phys. 9, 387 (1960).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import jax.numpy as jnp
import numpy as np

from jaxpot.core.precision import to_device
from jaxpot.core.structure import Structure
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.observables import energy
from jaxpot.potentials.base import Potential
from jaxpot.properties.coordinates import frozen
from jaxpot.properties.force_constants import cells_of
from jaxpot.properties.modes import signed_frequency
from jaxpot.properties.relax import relax
from jaxpot.properties.second_order import second_order
from jaxpot.typing import Number, StructureLike
from jaxpot.units import THz

_SOFT = 0.05  # THz; below this a frequency is taken for zero
_DEGENERATE = 1e-6  # of the largest squared frequency
_AMPLITUDE = 0.1  # A, the largest displacement
_ROUNDS = 8
_MOST_ATOMS = 160


@dataclass(frozen=True)
class SoftMode:
    """A mode of imaginary frequency: q (3,) fractional; frequency, internal units, negative; displacements (n, 3) A of
    the atoms of the home cell, the largest 1; others by cos(2 pi q.R), which is 1 or -1.
    """

    q: np.ndarray
    frequency: float
    displacements: np.ndarray

    def displaced(self, structure: Structure, amplitude: float = _AMPLITUDE) -> Structure:
        """The smallest supercell that the mode fits, displaced along it, by at most `amplitude` in A."""
        repeats = tuple(int(r) for r in np.where(np.abs(self.q) > 0.0, 2, 1))
        large = structure.repeated(repeats)
        signs = np.rint(np.cos(2.0 * np.pi * cells_of(repeats) @ self.q))
        moves = amplitude * signs[:, None, None] * self.displacements
        return large.moved(to_device(np.asarray(large.positions) + moves.reshape(-1, 3)))


@dataclass(frozen=True)
class SoftModePath:
    """Crystal without soft modes, and how it was found: energies eV/atom, of the start and after each mode;
    under pressure enthalpies."""

    structure: Structure
    modes: tuple[SoftMode, ...]
    energies: tuple[float, ...]


def soft_modes(potential: Potential, structure: StructureLike) -> list[SoftMode]:
    """Modes of imaginary frequency at Gamma and at the middles of faces, edges and corners of the reciprocal cell.

    There, where each component of q is 0 or 1/2, a cell or two along each axis hold the wave. Of modes of equal
    frequency there is one, along which an atom moves in the direction of a Cartesian axis as far as can be. Ascending.

    Args:
        potential, structure: a relaxed crystal.

    Raises:
        DataError: not a crystal.
    """
    structure = Structure.of(structure)
    if not all(structure.pbc):
        raise DataError(f"soft modes are of crystals, periodic along three axes; got pbc={structure.pbc}")
    points = np.array(list(product((0.0, 0.5), repeat=3)))
    matrices = np.asarray(second_order(potential, structure).dynamical_matrix(points)).real
    weights = 1.0 / np.sqrt(np.repeat(np.asarray(structure.masses), 3))
    modes = []
    for q, matrix in zip(points, matrices, strict=True):
        values, vectors = np.linalg.eigh(matrix)
        frequencies = np.asarray(signed_frequency(jnp.asarray(values)))
        done = 0
        for k in range(len(values)):
            if k < done or frequencies[k] > -_SOFT * THz:
                continue
            done = k + int(np.sum(np.abs(values[k:] - values[k]) < _DEGENERATE * np.abs(values).max()))
            space = vectors[:, k:done]
            mode = space @ space[np.argmax(np.sum(space**2, axis=1))]
            moves = (weights * mode).reshape(-1, 3)
            moves = moves / np.linalg.norm(moves, axis=1).max()
            modes.append(SoftMode(q, float(frequencies[k]), moves))
    # Of modes that symmetry relates, those of the smallest supercell come first.
    return sorted(modes, key=lambda mode: (round(mode.frequency / THz, 6), np.sum(mode.q > 0.0), *-mode.q))


def follow_soft_modes(
    potential: Potential, structure: StructureLike, pressure: Number = 0.0,
    callback: Callable[[str], object] | None = None,
) -> SoftModePath:
    """Displace a crystal along its softest mode and relax it, until it has none.

    Args:
        potential: any; of one with features that are narrower than atoms move, `Potential.rounded` is used, which the
            first sentence of `callback` says.
        structure: a crystal; it is relaxed first, cell and all, in its space group.
        pressure: eV/A^3.
        callback: called with a sentence after each step.

    Returns:
        `SoftModePath`.

    Raises:
        ConvergenceError: a relaxation does not converge, a cell of more than 160 atoms would be needed, or eight modes
            were not enough.
    """
    say = callback or (lambda text: None)
    if potential.narrow:
        say(f"{potential.narrow}: wider ones are used (potential.rounded())")
        potential = potential.rounded()
    now = _relaxed(potential, Structure.of(structure), pressure)
    modes: list[SoftMode] = []
    energies: list[float] = []
    for _ in range(_ROUNDS + 1):
        enthalpy = float(energy(potential, now)) + (float(pressure) * float(now.volume) if pressure else 0.0)
        energies.append(enthalpy / len(now))
        if modes:
            say(f"{len(now)} atoms: {1e3 * (energies[-1] - energies[-2]):.4g} meV/atom")
        soft = soft_modes(potential, now)
        if not soft:
            return SoftModePath(now, tuple(modes), tuple(energies))
        if len(modes) == _ROUNDS:
            break
        chosen = soft[0]
        say(f"a mode of {chosen.frequency / THz:.3g} THz at q = ({', '.join(f'{x:g}' for x in chosen.q)})")
        displaced = chosen.displaced(now)
        if len(displaced) > _MOST_ATOMS:
            raise ConvergenceError(f"the next soft mode needs a cell of {len(displaced)} atoms (at most {_MOST_ATOMS})")
        now = _relaxed(potential, displaced, pressure)
        modes.append(chosen)
    raise ConvergenceError(f"there are soft modes after {_ROUNDS} were followed")


def _relaxed(potential, structure, pressure):
    result = relax(potential, frozen(structure), cell=True, pressure=pressure)
    if not result.converged:
        raise ConvergenceError(
            f"the crystal of {len(structure)} atoms did not relax: after {result.steps} steps the largest gradient is "
            f"{result.fmax:.3g} eV/A"
        )
    return result.structure
