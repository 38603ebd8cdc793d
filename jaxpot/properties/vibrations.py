"""Vibrations of molecules, clusters and slabs: normal modes from the exact Hessian.

In the mass-weighted Hessian of the atoms that are free,

    D = M^-1/2 H M^-1/2 = d2E / dr dr / sqrt(m m'),

the rigid motions span a subspace that is known beforehand. Its complement, with an orthonormal basis B, holds the
vibrations: the eigenvalues of B^T D B are their squared angular frequencies. No vibration is mistaken for a rotation,
and no sum over modes sees those of zero frequency.

References:
    E. B. Wilson, J. C. Decius, P. C. Cross, Molecular Vibrations (1955), chapter 2.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxpot.basis.hermitian import eigh
from jaxpot.checks import check_distances, check_potential, prepare
from jaxpot.core import linalg
from jaxpot.core.precision import is_traced, require_concrete
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, JaxpotWarning
from jaxpot.observables import gradient_and_hessian
from jaxpot.potentials.base import Potential
from jaxpot.properties.harmonic import Harmonic
from jaxpot.properties.kinks import warn_of_narrow
from jaxpot.properties.modes import signed_frequency
from jaxpot.properties.rigid import rigid_motions
from jaxpot.properties.trace_functions import trace_function
from jaxpot.properties.vibration_sums import IdealGas, ideal_gas, vibrational_harmonic
from jaxpot.units import h, hbar

_AT_REST = 0.01  # eV/A


@pytree
class Vibrations(Node):
    """Normal modes of m free atoms: 3m, first `translations`, then `rotations` (both projected out), then vibrations.

    structure: that they belong to, with fixed atoms.
    matrix: (k, k) the mass-weighted Hessian of the vibrations alone, 1/time^2; k = 3m - translations - rotations.
    frequencies: (3m,) ordinary ones, internal units (divide by `units.THz` or `units.invcm`); 0 of rigid motions, then
        ascending, imaginary ones as negative numbers.
    eigenvectors: (3m, 3m) columns, mass-weighted and orthonormal.
    zero_point_energy: () eV, the sum of h nu / 2 over the vibrations that are real.
    free: indices of the free atoms. translations, rotations: how many of the modes are rigid motions.
    """

    structure: Structure
    matrix: jax.Array
    frequencies: jax.Array
    eigenvectors: jax.Array
    zero_point_energy: jax.Array
    free: tuple = static()
    translations: int = static()
    rotations: int = static()

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kind of each mode: "translation", "rotation" or "vibration"."""
        rigid = ("translation",) * self.translations + ("rotation",) * self.rotations
        return rigid + ("vibration",) * len(self.matrix)

    @property
    def energies(self) -> jax.Array:
        """Energies h nu of the vibrations, (k,) eV; negative of imaginary ones."""
        return h * self.frequencies[self.translations + self.rotations :]

    @property
    def modes(self) -> jax.Array:
        """Displacements along each mode, (3m, n, 3), their squares adding up to 1; 0 of fixed atoms."""
        moves = self._cartesian()
        moves = moves / jnp.sqrt(jnp.sum(moves * moves, axis=(1, 2), keepdims=True))
        return jnp.zeros((len(moves), len(self.structure), 3), moves.dtype).at[:, np.array(self.free, int)].set(moves)

    @property
    def reduced_masses(self) -> jax.Array:
        """Reduced masses (3m,) amu, mu = 1 / sum_i e_i^2 / m_i of an eigenvector e: H = mu w^2 along its mode."""
        return 1.0 / jnp.sum(self._cartesian() ** 2, axis=(1, 2))

    def _cartesian(self):
        masses = self.structure.masses[np.array(self.free, int)]
        return self.eigenvectors.T.reshape(-1, len(self.free), 3) / jnp.sqrt(masses)[:, None]

    def harmonic(self, temperatures: ArrayLike, ignore_imaginary: bool = False) -> Harmonic:
        """Thermodynamics of the vibrations as harmonic oscillators, as of an adsorbate (`Harmonic`).

        Args:
            temperatures: (t,) K, not negative.
            ignore_imaginary: leave out modes that are imaginary or zero, as of a saddle point.

        Raises:
            ConvergenceError: imaginary modes, or modes of zero frequency.
        """
        return vibrational_harmonic(self, temperatures, ignore_imaginary)

    def ideal_gas(
        self, temperatures: ArrayLike, pressure: float | None = None, symmetry_number: int | None = None,
        spin: float = 0.0, ignore_imaginary: bool = False,
    ) -> IdealGas:
        """Thermodynamics of an ideal gas of these molecules (`IdealGas`); see `properties.vibration_sums.ideal_gas`."""
        return ideal_gas(self, temperatures, pressure, symmetry_number, spin, ignore_imaginary)


def vibrations(potential: Potential, structure: Structure, free: ArrayLike | None = None) -> Vibrations:
    """Normal modes of a molecule, a cluster, a slab, or of some atoms in any structure, at Gamma.

    Differentiable with respect to the potential: zero-point energy and thermodynamics always, as traces; frequencies
    where they are not degenerate, or degenerate by symmetry whatever the potential.

    Args:
        potential, structure: forces should vanish (see `relax`).
        free: atoms that move, indices or one bool for each; the others are fixed. By default all of them.

    Returns:
        `Vibrations`.

    Raises:
        DataError: `free` names no atom, one twice or one that does not exist.
        ResourceError: the Hessian would need more than 4 GB.
    """
    check_potential(potential)
    structure = Structure.of(structure)
    atoms = _atoms(free, len(structure))
    potential, structure, listed = prepare(potential, structure)
    if not is_traced(structure):
        check_distances(structure, refuse=True)
    warn_of_narrow(potential, structure, stacklevel=2)
    gradient, block = gradient_and_hessian(potential, structure, listed, atoms=atoms)
    _warn_unrelaxed(gradient, atoms)
    shifts, turns = rigid_motions(structure, np.setdiff1d(np.arange(len(structure)), atoms))
    masses = structure.masses if is_traced(structure) else np.asarray(structure.masses)
    basis, complement = _spaces(shifts, turns, masses[atoms], atoms)
    matrix, frequencies, vectors, zero_point = _modes(block, masses[atoms], basis, complement)
    return Vibrations(
        structure, matrix, frequencies, vectors, zero_point,
        free=tuple(atoms.tolist()), translations=len(shifts), rotations=len(turns),
    )


def _atoms(free, n):
    if free is None:
        return np.arange(n)
    given = np.asarray(free)
    atoms = np.flatnonzero(given) if given.dtype == bool and given.shape == (n,) else given
    known = atoms.ndim == 1 and atoms.size and atoms.dtype.kind in "iu" and atoms.min() >= 0 and atoms.max() < n
    if not known or len(np.unique(atoms)) != len(atoms):
        raise DataError(f"free: expected different indices of atoms from 0 to {n - 1}, or {n} booleans, got {free!r}")
    return np.sort(atoms)


def _warn_unrelaxed(gradient, atoms):
    if is_traced(gradient):
        return
    largest = np.linalg.norm(np.asarray(gradient)[atoms], axis=1).max(initial=0.0)
    if largest > _AT_REST:
        warnings.warn(
            f"vibrations are asked for of a structure that is not relaxed: the largest force is {largest:.3g} eV/A; "
            "relax it first (jp.relax)",
            JaxpotWarning, stacklevel=3,
        )


def _spaces(shifts, turns, masses, atoms):
    """Orthonormal rows that span the mass-weighted rigid motions (r, 3m), and the other directions (3m - r, 3m)."""
    xp = jnp if is_traced(shifts, turns, masses) else np
    rows = xp.concatenate([shifts, turns])[:, atoms] * xp.sqrt(masses)[:, None]
    r, size = len(rows), 3 * len(atoms)
    rows = _orthonormal(rows.reshape(r, size))
    others = np.eye(size, dtype=rows.dtype)[r:]
    if r in (0, size):
        return rows, others
    others = np.linalg.svd(require_concrete(rows, "the structure", "call it outside of jit"))[2][r:]
    return rows, others if xp is np else _orthonormal(others - (others @ rows.T) @ rows)


def _orthonormal(rows):
    """Rows (r, N) that span the same; the first few, what the first few did."""
    if not len(rows):
        return rows
    if is_traced(rows):
        return linalg.solve_lower(linalg.cholesky(rows @ rows.T), rows)
    return np.linalg.solve(np.linalg.cholesky(rows @ rows.T), rows)


def _zero_point(w2):
    return 0.5 * hbar * jnp.where(w2 > 0.0, jnp.sqrt(jnp.where(w2 > 0.0, w2, 1.0)), 0.0)


@jax.jit
def _modes(block, masses, basis, complement):
    weights, size = jnp.sqrt(masses), 3 * len(masses)
    scaled = (block / weights[:, None, None, None] / weights[:, None]).reshape(size, size)
    matrix = complement @ (0.5 * (scaled + scaled.T)) @ complement.T
    if not len(complement):  # an atom: nothing vibrates
        return matrix, jnp.zeros(size, weights.dtype), basis.T, jnp.zeros((), weights.dtype)
    w2, vectors = eigh(matrix)
    frequencies = jnp.concatenate([jnp.zeros(len(basis), w2.dtype), signed_frequency(w2)])
    rows = jnp.concatenate([basis, vectors.T @ complement])
    return matrix, frequencies, rows.T, trace_function(_zero_point, matrix)
