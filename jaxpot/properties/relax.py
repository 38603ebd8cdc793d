"""Relaxation of atoms and cell, differentiable with respect to the potential."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import check_distances, check_potential, checked_neighbors
from jaxpot.core import linalg
from jaxpot.core.precision import is_traced
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.observables import energy, evaluate_many_by_strain
from jaxpot.potentials.base import Potential
from jaxpot.properties.coordinates import deform, free_strains, frozen
from jaxpot.properties.search import Search
from jaxpot.typing import Number, StructureLike

_SKIN = 0.8  # A


@pytree
class Relaxation(Node):
    """Structure at rest: result of `relax`.

    structure: the relaxed structure; energy () eV, without the work of the pressure; fmax () the largest
    remaining gradient: of the forces in eV/A and, if the cell was free, of the enthalpy by strain per atom
    in eV; converged: fmax below the target; steps: energy evaluations.
    """

    structure: Structure
    energy: jax.Array
    fmax: float = static()
    converged: bool = static()
    steps: int = static()


def relax(
    potential: Potential,
    structure: StructureLike,
    cell: bool | Sequence[bool] = False,
    pressure: Number = 0.0,
    fmax: float = 1e-6,
    steps: int | None = None,
    symmetry: bool = True,
    callback: Callable[..., object] | None = None,
) -> Relaxation:
    """Move atoms (and cell) to the nearest minimum of the enthalpy E + pressure * V, by preconditioned L-BFGS.

    Differentiable with respect to the potential, and to the fixed cell, by the implicit function theorem:
    where g(z, p) = 0 holds at the minimum, dz/dp = -(dg/dz)^-1 dg/dp, in jvp and vjp (first order).

    Args:
        potential, structure: with concrete values (jax.grad, jvp and vjp are allowed, jit is not).
        cell: whether the cell changes too, by symmetric strains: no rotation. Of slabs and wires only what is periodic
            does, strains in the plane or along the axis. Six booleans name the strains xx, yy, zz, yz, xz, xy that are
            free, as `mask` in ASE.
        pressure: eV/A^3 (multiply by `units.GPa`); needs `cell=True` and a crystal.
        fmax: eV/A for forces, eV per atom and unit strain for the cell.
        steps: the most energy evaluations; by default it goes on until 300 of them have lowered neither energy nor
            gradient.
        symmetry: keep the space group of the start (not where some strains are left out).
        callback: called with (step, energy, fmax) after each evaluation.

    Returns:
        `Relaxation`; look at `.converged`.

    Raises:
        DataError: a free cell of what is open along all axes, a pressure without a free cell or a volume, under jit.
        GeometryError: atoms within 0.1 A, or lengths in nm.
        ConvergenceError: the energy becomes NaN (atoms collapse).

    References:
        D. C. Liu, J. Nocedal, On the limited memory BFGS method, Math. Program. 45, 503 (1989).
        D. Packwood et al., J. Chem. Phys. 144, 164109 (2016), the metric of more than 16 atoms.
    """
    check_potential(potential)
    structure = Structure.of(structure)
    _check_target(fmax, steps)
    fixed_potential, fixed = frozen(potential), frozen(structure)
    strains = free_strains(fixed, cell)
    _check_pressure(structure, strains, cell, pressure)
    check_distances(fixed, checked_neighbors(fixed_potential, fixed), refuse=True)
    search = Search(fixed_potential, fixed, strains, pressure, symmetry and len(strains) in (0, 6))
    return _relaxation(potential, structure, strains, pressure, fmax, search.run(fmax, steps, callback))


def relax_many(
    potential: Potential,
    structures: Sequence[StructureLike],
    cell: bool | Sequence[bool] = False,
    pressure: Number = 0.0,
    fmax: float = 1e-6,
    steps: int | None = None,
    symmetry: bool = True,
    callback: Callable[..., object] | None = None,
) -> list[Relaxation]:
    """Relax many structures, each as `relax` does, side by side: small ones are evaluated in one program.

    Not differentiable; for that relax one by one.

    Args:
        potential, cell, pressure, fmax, steps, symmetry: as of `relax`.
        structures: with concrete values.
        callback: called with (number that are done, all) after each round of evaluations.

    Returns:
        A `Relaxation` for each, in their order; look at `.converged`.

    Raises:
        As `relax`, for the first structure with which something is wrong.
    """
    check_potential(potential)
    _check_target(fmax, steps)
    fixed = frozen(potential)
    given = [frozen(Structure.of(structure)) for structure in structures]
    strains = [free_strains(structure, cell) for structure in given]
    for structure, free in zip(given, strains, strict=True):
        _check_pressure(structure, free, cell, pressure)
        check_distances(structure, checked_neighbors(fixed, structure), refuse=True)
    searches = {
        k: Search(fixed, structure, free, pressure, symmetry and len(free) in (0, 6)).asking(fmax, steps, None)
        for k, (structure, free) in enumerate(zip(given, strains, strict=True))
    }
    asked = {k: next(search) for k, search in searches.items()}
    results: list[Any] = [None] * len(given)
    while asked:
        answers = evaluate_many_by_strain(fixed, list(asked.values()))
        following = {}
        for k, answer in zip(asked, answers, strict=True):
            try:
                result = float(answer.energy), np.asarray(answer.forces), np.asarray(answer.stress)
                following[k] = searches[k].send(result)
            except StopIteration as end:
                results[k] = _relaxation(fixed, given[k], strains[k], pressure, fmax, end.value)
        asked = following
        if callback:
            callback(len(given) - len(asked), len(given))
    return results


def _check_target(fmax, steps):
    if not fmax > 0 or (steps is not None and steps < 1):
        raise DataError(f"fmax must be positive and steps at least 1, got fmax={fmax}, steps={steps}")


def _check_pressure(structure, strains, cell, pressure):
    if pressure and not (len(strains) and all(structure.pbc)):
        raise DataError(
            f"a pressure acts on the cell of a crystal: give cell=True as well, got cell={cell}, pbc={structure.pbc}"
        )


def _relaxation(potential, structure, strains, pressure, fmax, end):
    """`Relaxation` of a structure from the end of its search."""
    strain, displacements, value, residual, count = end
    if is_traced(potential, structure):
        strain, displacements = _implicit(potential, structure, strain, displacements, strains, pressure)
    relaxed = deform(structure, strain, displacements)
    if len(strains) and not all(structure.pbc):  # what stands for an open axis stays, even where it is oblique
        periodic = np.array(structure.pbc)[:, None]
        relaxed = relaxed.moved(relaxed.positions, jnp.where(periodic, relaxed.cell, structure.cell))
    final = energy(potential, relaxed) if is_traced(potential, structure) else value - pressure * relaxed.volume
    return Relaxation(relaxed, final, fmax=float(residual), converged=bool(residual <= fmax), steps=count)


def _implicit(potential, structure, strain, displacements, strains, pressure):
    """The minimum as a function of the potential: z - A^+ g(z, p), with A = dg/dz held constant.

    Its value is the minimum (g = 0), its derivative that of the implicit function theorem. Directions
    without stiffness (translations; rotations of molecules) do not move.
    """
    n = len(structure)
    basis = jnp.asarray(strains)
    amplitudes = np.einsum("kij,ij->k", strains, strain) / np.einsum("kij,kij->k", strains, strains)
    start = jnp.concatenate([displacements.ravel(), jnp.asarray(amplitudes)])
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
