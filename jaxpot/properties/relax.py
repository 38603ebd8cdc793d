"""Relaxation of atoms and cell, differentiable with respect to the potential."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import check_distances, checked_neighbors, round_atoms
from jaxpot.core import linalg
from jaxpot.core.precision import is_traced
from jaxpot.core.pytree import pytree, static
from jaxpot.core.structure import Structure
from jaxpot.core.symmetry import space_group
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.observables import Evaluation, energy, evaluate
from jaxpot.properties.coordinates import deform, frozen, voigt_basis

_FEW = 16  # atoms
_SKIN = 0.8  # A
_LONGEST = 0.15  # A; no atom moves further in one step
_FLAT = 1e-8  # of the energy: smaller changes are not looked at
_MEMORY = 40


@pytree
class Relaxation:
    """What `relax` returns.

    structure: the relaxed structure; energy () eV, without the work of the pressure; fmax () the largest
    remaining gradient: of the forces in eV/A and, if the cell was free, of the enthalpy by strain per atom
    in eV; converged: fmax below the target; steps: energy evaluations.
    """

    structure: Structure
    energy: jax.Array
    fmax: float = static()
    converged: bool = static()
    steps: int = static()


def relax(potential, structure, cell=False, pressure=0.0, fmax=1e-6, steps=500, symmetry=True, callback=None):
    """Move atoms (and cell) to the nearest minimum of the enthalpy E + pressure * V, by L-BFGS.

    Differentiable with respect to the potential, and to the fixed cell, by the implicit function theorem:
    where g(z, p) = 0 holds at the minimum, dz/dp = -(dg/dz)^-1 dg/dp, in jvp and vjp (first order).

    Args:
        potential, structure: with concrete values (jax.grad, jvp and vjp are allowed, jit is not).
        cell: whether the cell changes too (a symmetric strain: no rotation).
        pressure: eV/A^3 (multiply by `units.GPa`); needs `cell=True`.
        fmax: eV/A for forces, eV per atom and unit strain for the cell.
        steps: the most energy evaluations.
        symmetry: keep the space group of the start.
        callback: called with (step, energy, fmax) after each evaluation.

    Returns:
        `Relaxation`; look at `.converged`.

    Raises:
        DataError: pressure without a free cell, cell relaxation without full periodicity, under jit.
        GeometryError: atoms within 0.1 A, or lengths in nm.
        ConvergenceError: the energy becomes NaN (atoms collapse).

    References:
        D. C. Liu, J. Nocedal, On the limited memory BFGS method, Math. Program. 45, 503 (1989).
    """
    structure = Structure.of(structure)
    if cell and not all(structure.pbc):
        raise DataError(f"a free cell needs a crystal, periodic along all three axes; got pbc={structure.pbc}")
    if pressure and not cell:
        raise DataError("a pressure acts on the cell: give cell=True as well")
    if not fmax > 0 or steps < 1:
        raise DataError(f"fmax must be positive and steps at least 1, got fmax={fmax}, steps={steps}")
    fixed_potential, fixed = frozen(potential), frozen(structure)
    check_distances(fixed, checked_neighbors(fixed_potential, fixed), refuse=True)
    search = _Search(fixed_potential, fixed, cell, pressure, symmetry)
    strain, displacements, value, residual, count = search.run(fmax, steps, callback)
    if is_traced(potential, structure):
        strain, displacements = _implicit(potential, structure, strain, displacements, cell, pressure)
    relaxed = deform(structure, strain, displacements)
    final = energy(potential, relaxed) if is_traced(potential, structure) else value - pressure * relaxed.volume
    return Relaxation(relaxed, final, fmax=float(residual), converged=bool(residual <= fmax), steps=count)


class _Search:
    """L-BFGS on the host over displacements (n, 3) and, when the cell is free, six strains.

    The strains are scaled by a length so that both kinds of coordinates are about equally stiff.
    """

    def __init__(self, potential, start, cell, pressure, symmetry):
        self.potential, self.start, self.cell, self.pressure = potential, start, cell, pressure
        self.group = space_group(start) if symmetry else None
        self.basis = voigt_basis()
        self.n = len(start)
        self.size = round_atoms(self.n)
        self.length = 2.0 * max(self.n, 1) ** 0.5  # A
        self.listed = None
        self.count = 0

    def split(self, z):
        u = z[: 3 * self.n].reshape(self.n, 3)
        strain = np.tensordot(z[3 * self.n:] / self.length, self.basis, 1) if self.cell else np.zeros((3, 3))
        return strain, u

    def evaluate(self, z):
        """Enthalpy (eV), its gradient by z, and the residual that is compared with fmax."""
        strain, u = self.split(z)
        deformation = np.eye(3) + strain
        if np.linalg.det(deformation) < 0.05:
            return np.inf, np.zeros_like(z), np.inf
        now = self.start.moved(
            jnp.asarray((np.asarray(self.start.positions) + u) @ deformation),
            jnp.asarray(np.asarray(self.start.cell) @ deformation),
        )
        found = self.evaluate_structure(now)
        value, forces, stress = float(found.energy), np.asarray(found.forces), np.asarray(found.stress)
        volume = abs(np.linalg.det(np.asarray(now.cell)))
        if self.group is not None:
            forces = self.group.symmetrize_vectors(forces)
            stress = self.group.symmetrize_tensor(stress)
        by_displacement = -forces @ deformation.T
        gradient = np.zeros_like(z)
        gradient[: 3 * self.n] = by_displacement.ravel()
        residual = np.abs(forces).max(initial=0.0)
        if self.cell:
            pull = volume * (stress + self.pressure * np.eye(3))  # dH/dstrain of the present structure
            by_strain = np.linalg.solve(deformation, pull)
            by_strain = 0.5 * (by_strain + by_strain.T)
            gradient[3 * self.n:] = np.einsum("kij,ij->k", self.basis, by_strain) / self.length
            residual = max(residual, np.abs(pull).max() / self.n)
            value += self.pressure * volume
        self.count += 1
        return value, gradient, residual

    def evaluate_structure(self, now):
        padded = now.padded(self.size)
        extent = self.potential.extent()
        if self.listed is None or not bool(self.listed.covers(padded, extent)):
            # A collapsing trial step may fail here with a typed error, which says what came together.
            listed = checked_neighbors(self.potential, padded, skin=_SKIN, rows=self.size)
            if self.size <= _FEW:  # longer rows cost such a crystal nothing, and all its volumes share a program
                listed = listed.in_rows_of(max(32, 1 << (listed.capacity - 1).bit_length()))
            self.listed = jax.device_put(listed)
        found = jax.device_get(evaluate(self.potential, padded, self.listed))
        return Evaluation(found.energy, found.energies[: self.n], found.forces[: self.n], found.stress)

    def run(self, fmax, steps, callback):
        z = np.zeros(3 * self.n + 6 * self.cell)
        value, gradient, residual = self.evaluate(z)
        if not np.isfinite(value):
            raise ConvergenceError(f"the energy of the starting structure is {value}")
        history, scale = [], 1.0 / 30.0
        while residual > fmax and self.count < steps:
            if callback:
                callback(self.count, value, residual)
            direction = -_two_loops(gradient, history, scale)
            if gradient @ direction >= 0:
                history, direction = [], -scale * gradient
            direction *= min(1.0, _LONGEST / np.abs(direction).max())
            step, accepted = 1.0, None
            while self.count < steps:
                trial = self.evaluate(z + step * direction)
                # Near the minimum the energy is flat to rounding (that of a GAP with large weights is 1e-8 eV): there
                # the gradient decides, as in W. W. Hager, H. Zhang, SIAM J. Optim. 16, 170 (2005), equation 2.5.
                rounding = _FLAT * max(abs(value), 1.0)
                if trial[0] <= value + 1e-4 * step * (gradient @ direction) + rounding and (
                    trial[0] < value - rounding or trial[1] @ direction <= abs(gradient @ direction)
                ):
                    accepted = trial
                    break
                step *= 0.3
                if step < 1e-8:
                    break
            if accepted is None:
                if not history:
                    break
                history = []
                continue
            s, y = step * direction, accepted[1] - gradient
            if s @ y > 1e-14 * np.linalg.norm(s) * np.linalg.norm(y):
                history = [*history[1 - _MEMORY:], (s, y)]
                scale = (s @ y) / (y @ y)
            z = z + s
            value, gradient, residual = accepted
        if callback:
            callback(self.count, value, residual)
        strain, u = self.split(z)
        return jnp.asarray(strain), jnp.asarray(u), value, residual, self.count


def _two_loops(gradient, history, scale):
    """The L-BFGS estimate of (second derivative)^-1 times the gradient."""
    q, weights = gradient.copy(), []
    for s, y in reversed(history):
        a = (s @ q) / (s @ y)
        q -= a * y
        weights.append(a)
    q *= scale
    for (s, y), a in zip(history, reversed(weights), strict=True):
        q += s * (a - (y @ q) / (s @ y))
    return q


def _implicit(potential, structure, strain, displacements, cell, pressure):
    """The minimum as a function of the potential: z - A^+ g(z, p), with A = dg/dz held constant.

    Its value is the minimum (g = 0), its derivative that of the implicit function theorem. Directions
    without stiffness (translations; rotations of molecules) do not move.
    """
    n = len(structure)
    basis = jnp.asarray(voigt_basis() if cell else np.zeros((0, 3, 3)))
    start = jnp.concatenate([displacements.ravel(), jnp.einsum("kij,ij->k", _dual(basis), strain)])
    listed = checked_neighbors(frozen(potential), frozen(deform(structure, strain, displacements)), skin=_SKIN)
    inverse = _inverse_stiffness(start, frozen(potential), frozen(structure), listed, basis, pressure)
    moved = _enthalpy_gradient(start, potential, structure, listed, basis, pressure)
    z = start - inverse @ (moved - jax.lax.stop_gradient(moved))
    return jnp.tensordot(z[3 * n:], basis, 1), z[: 3 * n].reshape(n, 3)


@jax.jit
def _enthalpy_gradient(z, potential, structure, listed, basis, pressure):
    n = len(structure)

    def enthalpy(z):
        now = deform(structure, jnp.tensordot(z[3 * n:], basis, 1), z[: 3 * n].reshape(n, 3))
        work = pressure * now.volume if len(basis) else 0.0
        return energy(potential, now, listed) + work

    return jax.grad(enthalpy)(z)


@jax.jit
def _inverse_stiffness(z, *fixed):
    matrix = jax.jacfwd(_enthalpy_gradient)(z, *fixed)
    values, vectors = linalg.eigh(0.5 * (matrix + matrix.T))
    stiff = jnp.abs(values) > 1e-9 * jnp.max(jnp.abs(values))
    return (vectors * jnp.where(stiff, 1.0 / jnp.where(stiff, values, 1.0), 0.0)) @ vectors.T


def _dual(basis):
    """Strain tensor -> Voigt components: full off-diagonal sums, because shear strains are engineering."""
    weight = jnp.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])[: len(basis)]
    return basis * weight[:, None, None]
