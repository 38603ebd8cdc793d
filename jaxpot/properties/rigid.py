"""Rigid motions: the displacements of a structure that cost no energy, whatever the potential."""


import jax.numpy as jnp
import numpy as np

from jaxpot.core.precision import is_traced, require_concrete
from jaxpot.core.structure import Structure
from jaxpot.typing import AnyArray, ArrayLike

# Of the motion of the outermost atom, root mean square: a rotation that moves the atoms by less is none (about the axis
# of a linear molecule), and atoms that it moves by less are held.
_STILL = 1e-3


def rigid_motions(structure: Structure, fixed: ArrayLike = ()) -> tuple[AnyArray, AnyArray]:
    """Translations and rotations that keep the energy, and fixed atoms where they are.

    All three translations; rotations of what is open along all axes (none of an atom, two of a linear molecule, else
    three) and, of what is periodic along one axis, about that axis. With fixed atoms, the combinations that leave them
    in place: rotations about one or about the line through several.

    Args:
        structure: `Structure`; it may be differentiated, but not traced.
        fixed: indices of atoms that do not move.

    Returns:
        Translations (t, n, 3) and rotations (r, n, 3), linearly independent, the latter about the centre of mass; in
        NumPy unless the structure is traced.
    """
    remedy = "call it outside of jit, or with a structure that is known"
    positions = require_concrete(structure.positions, "the structure", remedy)
    masses = require_concrete(structure.masses, "the masses", remedy)
    cell = require_concrete(structure.cell, "the cell", remedy)
    axes = _axes(cell, structure.pbc)
    n, fixed = len(masses), np.asarray(fixed, int)
    if n == 0:
        return np.zeros((0, 0, 3)), np.zeros((0, 0, 3))
    size = max(float(np.linalg.norm(positions - np.average(positions, 0, masses), axis=1).max()), 1e-30)
    known = shifts, turns = _fields(np, positions, masses, axes / size)
    if is_traced(structure):
        known = _fields(jnp, structure.positions, structure.masses, axes / size)
    moved = np.setdiff1d(np.arange(n), fixed)
    if not len(fixed):
        independent, _ = _split(_weighted(turns, masses, moved))
        return known[0], _combined(independent, known[1])
    fields = np.concatenate([shifts, turns])
    _, still = _split(fields[:, fixed].reshape(len(fields), 3 * len(fixed)))
    independent, _ = _split(_weighted(np.tensordot(still, fields, 1), masses, moved))
    combinations = independent @ still
    turns = _combined(combinations[:, :3], known[0]) + _combined(combinations[:, 3:], known[1])
    return turns[:0], turns


def _combined(weights, fields):
    xp = jnp if is_traced(fields) else np
    return xp.tensordot(weights.astype(fields.dtype), fields, 1)


def _axes(cell, pbc):
    """Axes of rotation (a, 3) under which a structure of these periods is the same."""
    if not any(pbc):
        return np.eye(3)
    if sum(pbc) > 1:
        return np.zeros((0, 3))
    along = cell[list(pbc)]
    return along / np.linalg.norm(along)


def _fields(xp, positions, masses, axes):
    """Translations (3, n, 3), and rotations about axes through the centre of mass (a, n, 3)."""
    shifts = xp.broadcast_to(xp.eye(3, dtype=positions.dtype)[:, None], (3, *positions.shape))
    arms = positions - (masses @ positions) / masses.sum()
    return shifts, xp.cross(xp.asarray(axes, dtype=positions.dtype)[:, None], arms[None])


def _weighted(fields, masses, moved):
    weights = np.sqrt(masses / masses.max())
    return (fields * weights[:, None])[:, moved].reshape(len(fields), 3 * len(moved))


def _split(rows):
    """Combinations of rows (p, N) that are not zero, and those that are: (k, p) and (p - k, p), orthonormal."""
    if not rows.size:
        return np.zeros((0, len(rows))), np.eye(len(rows))
    left, size, _ = np.linalg.svd(rows)
    size = np.concatenate([size, np.zeros(len(rows) - len(size))])
    moves = size > _STILL * np.sqrt(rows.shape[1] / 3.0)
    return left.T[moves], left.T[~moves]
