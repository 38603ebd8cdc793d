"""Surfaces: what it costs to cut a crystal along a plane."""

from collections.abc import Callable, Sequence
from functools import reduce
from math import gcd

import numpy as np

from jaxpot.core.numbers import as_positive
from jaxpot.core.symmetry import space_group
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.properties.coordinates import crystal as checked_crystal
from jaxpot.properties.coordinates import frozen
from jaxpot.properties.excess import Arrangement, ExcessEnergy, Relaxed, excess_energy
from jaxpot.typing import StructureLike

_TOLERANCE = 1e-4  # A; atoms closer than this along the normal are in one plane


def surface_energy(
    potential: Potential,
    structure: StructureLike,
    miller: Sequence[int],
    thickness: float = 15.0,
    relaxed: bool = True,
    rattle: float = 0.01,
    fmax: float = 1e-4,
    steps: int | None = None,
    callback: Callable[..., object] | None = None,
) -> ExcessEnergy:
    """Surface energy, static, at the crystal's own cell, of the smallest periodic cell: without reconstructions.

    gamma = (E(slab) - N E(crystal)) / (2 A)

    for a slab of N cells, open on both sides. It is cut where planes of atoms are furthest apart, and holds whole
    cells: where its two faces differ, as (111) of zincblende, this is the mean of both.

    Args:
        potential: any.
        structure: a crystal at its minimum.
        miller: (h, k, l), or (h, k, i, l) of a hexagonal lattice, of the conventional cell (as spglib chooses it).
        thickness: A, of the slab at least: the faces must not see each other.
        relaxed, rattle, fmax, steps, callback: as for `vacancy_energy`.

    Returns:
        `ExcessEnergy` in eV/A^2, differentiable with respect to the potential and the crystal, to first order.

    Raises:
        DataError: not Miller indices.
        ConvergenceError: the atoms do not come to rest.

    References:
        W. Sun, G. Ceder, Surf. Sci. 617, 53 (2013) (cells of slabs).
        V. Fiorentini, M. Methfessel, J. Phys. Condens. Matter 8, 6525 (1996) (the energy of the crystal to use).
    """
    structure, _ = checked_crystal(potential, structure, what="a surface")
    indices = _indices(miller)
    slab = _slab(frozen(structure), indices, as_positive(thickness, "thickness"))
    relaxation = Relaxed(f"the surface {tuple(miller)}", (0.0,), rattle, fmax, steps, callback) if relaxed else None
    return excess_energy(potential, structure, slab, None, relaxation)


def _indices(miller):
    """Three coprime integers."""
    given = np.asarray(miller)
    if given.shape not in ((3,), (4,)) or given.dtype.kind not in "iu" or not given.any():
        raise DataError(f"miller: expected three whole numbers, or four of a hexagonal lattice, got {miller!r}")
    if len(given) == 4:
        if given[:3].sum():
            raise DataError(f"miller: of (h, k, i, l), h + k + i must be 0, got {miller!r}")
        given = given[[0, 1, 3]]
    return given // np.gcd.reduce(given)


def _slab(structure, indices, thickness):
    """The `Arrangement` of a slab whose third vector is open."""
    cell, fractional = np.asarray(structure.cell), np.asarray(structure.fractional)
    normal = _in_cell(space_group(structure, _TOLERANCE).conventional, indices)
    spacing = 1.0 / np.linalg.norm(np.linalg.inv(cell) @ normal)
    first, second, out = _lattice(cell, normal)
    layers = max(1, int(np.ceil(thickness / spacing - 1e-9)))
    # Heights in units of the spacing; the cut is in the middle of the widest gap.
    heights = fractional @ normal
    cut = _widest_gap(heights, _TOLERANCE / spacing)
    lowest = -np.floor(heights - cut)
    shifts = (lowest[None, :, None] + np.arange(layers)[:, None, None]) * out
    return Arrangement(
        np.tile(np.arange(len(structure)), layers), shifts.reshape(-1, 3), np.array([first, second, layers * out]),
        np.zeros((layers * len(structure), 3)), cells=layers, pbc=(True, True, False),
    )


def _in_cell(conventional, indices):
    """Indices (h, k, l) of the same planes for the lattice vectors of the cell itself, coprime.

    The row of indices is what the plane's normal (a reciprocal vector) gives with each lattice vector.
    """
    there = np.linalg.solve(conventional, indices)
    scaled = there * round(abs(np.linalg.det(conventional)) * 24)  # integers, whatever the centring
    whole = np.round(scaled).astype(int)
    if np.abs(scaled - whole).max() > 1e-3:
        raise DataError("the cell does not fit the conventional cell: give the primitive cell")
    return whole // reduce(gcd, map(int, whole))


def _lattice(cell, normal):
    """Two short lattice vectors in the plane and one from a plane to the next, integers; the three span the lattice."""
    reach = int(np.abs(normal).max()) + 1
    while True:
        grid = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
        grid = grid[np.argsort(np.round(np.linalg.norm(grid @ cell, axis=1), 6), kind="stable")]
        flat, up = grid[grid @ normal == 0][1:], grid[grid @ normal == 1]
        for second in flat[1:]:
            if len(up) and abs(round(np.linalg.det(np.array([flat[0], second, up[0]])))) == 1:
                return flat[0], second, up[0]
        reach += 1


def _widest_gap(heights, tolerance):
    """The middle of the widest gap between planes; heights have the period 1."""
    inside = np.sort(heights - np.floor(heights))
    gaps = np.diff(np.append(inside, inside[0] + 1.0))
    k = int(np.flatnonzero(gaps > gaps.max() - tolerance)[0])
    return inside[k] + 0.5 * gaps[k]
