"""The coordinates in which crystals are relaxed and strained, and the list that serves them.

A crystal is described relative to a reference by a symmetric strain and by displacements that are made
before it: r = (r0 + u)(1 + strain), cell = cell0 (1 + strain). In these coordinates rotations are gone, and
the displacements keep their meaning when the cell changes.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import check_distances, check_potential, checked_neighbors
from jaxpot.core import linalg
from jaxpot.core.few_shapes import rounded
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.precision import concrete, to_device
from jaxpot.core.structure import Structure
from jaxpot.core.symmetry import space_group
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.potentials.base import Potential
from jaxpot.properties.rigid import rigid_motions
from jaxpot.typing import AnyArray, Array, DTypeLike, PyTree, StructureLike

# Voigt order xx yy zz yz xz xy; engineering shear strains, so each unit strain is symmetric.
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def voigt_basis(dtype: DTypeLike = np.float64) -> np.ndarray:
    """Unit strains (6, 3, 3): e_4 = 1 is strain_yz = strain_zy = 1/2."""
    basis = np.zeros((6, 3, 3), dtype)
    for k, (i, j) in enumerate(VOIGT):
        basis[k, i, j] += 0.5
        basis[k, j, i] += 0.5
    return basis


def free_strains(structure: Structure, cell: bool | Sequence[bool]) -> np.ndarray:
    """The strains of a free cell, (s, 3, 3): symmetric, orthogonal to each other, and of periodic directions only.

    Args:
        structure: concrete.
        cell: False: none; True: all that stretch no open direction; six booleans: these, in Voigt's order.

    Raises:
        DataError: something else, a structure without periods, or strains that stretch an open direction.
    """
    chosen = np.asarray(cell)
    if chosen.dtype != bool and not (chosen.dtype.kind in "iu" and np.isin(chosen, (0, 1)).all()):
        raise DataError(f"cell: expected True, False or six booleans (xx, yy, zz, yz, xz, xy), got {cell!r}")
    if chosen.shape not in ((), (6,)):
        raise DataError(f"cell: expected True, False or six booleans (xx, yy, zz, yz, xz, xy), got {cell!r}")
    basis = voigt_basis()
    if not chosen.any():
        return basis[:0]
    if not any(structure.pbc):
        raise DataError(
            f"a free cell needs a structure that is periodic along one axis at least, got pbc={structure.pbc}: leave "
            "out cell=True"
        )
    axes = np.linalg.qr(np.asarray(structure.cell)[list(structure.pbc)].T)[0]
    inside = axes @ axes.T
    closed = np.abs(inside @ basis @ inside - basis).max(axis=(1, 2)) < 1e-10
    if chosen.ndim:
        chosen = chosen.astype(bool)
        if (chosen & ~closed).any():
            raise DataError(
                f"cell: some of the strains {cell!r} stretch a direction that is open (pbc={structure.pbc}): take "
                "cell=True, which leaves it as it is"
            )
        return basis[chosen]
    p = axes.shape[1]
    if closed.sum() == p * (p + 1) // 2:
        return basis[closed]
    pairs = [0.5 * (np.outer(a, b) + np.outer(b, a)) for i, a in enumerate(axes.T) for b in axes.T[i:]]
    return np.array(pairs)


def deform(structure: Structure, strain: AnyArray, displacements: AnyArray) -> Structure:
    """The structure with r = (r0 + u)(1 + strain), cell = cell0 (1 + strain)."""
    return structure.moved(structure.positions + displacements).strained(strain)


def crystal(
    potential: Potential, structure: StructureLike, skin: float = 0.6, what: str = "this property"
) -> tuple[Structure, Neighbors]:
    """Potential, structure and a list with room for strains, checked to be a crystal with concrete values."""
    check_potential(potential)
    structure = Structure.of(structure)
    if not all(structure.pbc):
        raise DataError(f"{what} needs a crystal, periodic along all three axes; got pbc={structure.pbc}")
    return structure, checked_list(potential, structure, skin)


def checked_list(potential: Potential, structure: Structure, skin: float) -> Neighbors:
    """A list of a structure that is matter, periodic or not."""
    listed = checked_neighbors(potential, structure, skin=skin)
    check_distances(structure, listed, refuse=True)
    return listed


def frozen(tree: PyTree) -> PyTree:
    """The tree with concrete values, also while it is being differentiated; a typed error under jit."""
    def value(leaf):
        found = concrete(leaf)
        if found is None:
            raise DataError(
                "this iterates on the host and cannot run under jit or vmap; jax.grad, jax.jvp and jax.vjp "
                "with respect to the potential do work"
            )
        return to_device(found)

    return jax.tree.map(value, tree)


def symmetric_coordinates(structure: Structure, mirrors: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Strains (s, 3, 3) and displacements (k, n, 3) that keep the symmetry of a structure; NumPy.

    Orthonormal, and without rigid motions. No strains of what is open along an axis: its cell is held.

    Args:
        mirrors: see `Potential.mirrors`.
    """
    n = len(structure)
    with jax.ensure_compile_time_eval():  # the structure is known, also under jit over the potential
        structure = frozen(structure)
        group = space_group(structure, mirrors=mirrors)
        rigid = np.concatenate(rigid_motions(structure)).reshape(-1, 3 * n)
        still = (np.eye(3 * n) - np.linalg.pinv(rigid) @ rigid).reshape(3 * n, n, 3)
        strains = voigt_basis()[: 6 * all(structure.pbc)]
        return _invariant(strains, group.symmetrize_tensor), _invariant(still, group.symmetrize_vectors)


def more_coordinates(structure: Structure, moves: np.ndarray) -> np.ndarray:
    """Displacements (k', n, 3) that contain symmetric ones, (k, n, 3), as many as `few_shapes` asks for.

    Those that are added break the symmetry: energies have no slope along them, and ions stay where they are.
    """
    n, count = len(structure), len(moves)
    more = min(rounded(count), 3 * n - 3) - count
    if count == 0 or more <= 0:
        return moves
    known = np.concatenate([np.kron(np.ones((1, n)), np.eye(3)), moves.reshape(count, -1)])
    left = np.linalg.svd(known, full_matrices=True)[2][len(known) :]
    return np.concatenate([moves, left[:more].reshape(-1, n, 3)])


def _invariant(fields, project):
    """An orthonormal basis of what a projection leaves of some fields, (k, ...)."""
    if not len(fields):
        return fields
    kept = np.array([np.asarray(project(f)) for f in fields])
    flat = kept.reshape(len(kept), -1)
    _, size, basis = np.linalg.svd(flat, full_matrices=False)
    return basis[size > 1e-6].reshape(-1, *kept.shape[1:])


def translations(n: int, dtype: DTypeLike = np.float64) -> Array:
    """Projector on uniform displacements of n atoms, (3n, 3n)."""
    return jnp.kron(jnp.full((n, n), 1.0 / n, dtype), jnp.eye(3, dtype=dtype))


def internal_response(force_constants: Array, coupling: Array) -> Array:
    """Displacements of the atoms along strains that keep forces zero: -K^+ L, translations left out, (3n, s)."""
    n = force_constants.shape[0] // 3
    projector = translations(n, force_constants.dtype)
    mean = jnp.trace(force_constants) / force_constants.shape[0]
    stiff = jnp.where(mean == 0, 1.0, mean)  # one atom has no internal coordinates, and no stiffness of them
    return -linalg.solve(force_constants + stiff * projector, coupling - projector @ coupling)


def require_stable(matrix: Array, what: str) -> None:
    """Refuse a concrete symmetric matrix with a negative eigenvalue beyond rounding."""
    values = concrete(matrix)
    if values is None:
        return
    lowest, highest = np.linalg.eigvalsh(values)[[0, -1]]
    if lowest < -1e-6 * abs(highest):
        raise ConvergenceError(
            f"{what} is unstable: lowest curvature {lowest:.3g}, highest {highest:.3g}; "
            "the structure is not a minimum (relax it, or lower its symmetry and relax)"
        )
