"""Force constants between the atoms of a cell and those of others."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.neighbors import Neighbors
from jaxpot.core.precision import require_concrete
from jaxpot.core.pytree import Node, pytree
from jaxpot.core.structure import Structure
from jaxpot.properties.site_hessians import SiteHessians
from jaxpot.typing import AnyArray, Array, ArrayLike

_FAR = 1_000_000  # cells; the number that stands for three integers up to this is below 2^63

@pytree
class ForceConstants(Node):
    """values (nR, n, 3, n, 3) eV/A^2: d2E / du_a(0) du_b(R); cells (nR, 3) integers R; masses (n,) amu."""

    values: jax.Array
    cells: AnyArray
    masses: jax.Array

    def fourier(self, q: ArrayLike) -> jax.Array:
        """sum_R Phi_ab(R) exp(2 pi i q.R) for fractional q (..., 3): (..., 3n, 3n) complex eV/A^2."""
        q = jnp.asarray(q, self.values.dtype)
        phase = jnp.exp(2j * jnp.pi * (q @ self.cells.T.astype(self.values.dtype)))
        n = 3 * self.masses.shape[0]
        return (phase @ self.values.reshape(-1, n * n)).reshape(*q.shape[:-1], n, n)

    def dynamical_matrix(self, q: ArrayLike) -> jax.Array:
        """D(q) for fractional q (..., 3): (..., 3n, 3n) complex, 1/time^2 in internal units."""
        return mass_weighted(self.fourier(q), self.masses)

    def __add__(self, other: "ForceConstants") -> "ForceConstants":
        """The sum, concrete: cells of both."""
        cells, index = np.unique(np.concatenate([self.cells, other.cells]), axis=0, return_inverse=True)
        values = jnp.concatenate([self.values, other.values])
        summed = jnp.zeros((len(cells), *values.shape[1:]), values.dtype).at[index.ravel()].add(values)
        return ForceConstants(summed, jnp.asarray(cells), self.masses)


def mass_weighted(matrices: Array, masses: Array) -> jax.Array:
    """Hermitian matrices (..., 3n, 3n) divided by sqrt(m_a m_b)."""
    weight = jnp.repeat(1.0 / jnp.sqrt(masses), 3)
    matrices = matrices * weight[:, None] * weight
    return 0.5 * (matrices + jnp.conj(jnp.swapaxes(matrices, -1, -2)))


def cell_index(listed: Neighbors) -> tuple[np.ndarray, np.ndarray]:
    """Lattice vectors R that couple, (nR, 3), and where each pair of a row belongs, (m, K+1, K+1); NumPy.

    Ascending, and with each R stands -R: cells[-1 - k] = -cells[k], R = 0 in the middle.
    """
    shifts = require_concrete(listed.shifts, "the neighbour list", "build it outside of jit").astype(np.int64)
    filled = np.arange(listed.capacity) < np.asarray(listed.counts)[:, None]
    shifts = np.where(filled, shifts, 0).transpose(1, 2, 0)  # (m, K, 3)
    shifts = np.concatenate([shifts, np.zeros_like(shifts[:, :1])], axis=1)  # the centre, last
    between = shifts[:, None, :, :] - shifts[:, :, None, :]  # R of l as seen from k
    furthest = int(np.abs(between).max(initial=0))
    if furthest > _FAR:
        cells, index = np.unique(between.reshape(-1, 3), axis=0, return_inverse=True)
    else:  # one number for three integers sorts as they do, and in a third of the time
        base = 2 * furthest + 1
        keys, index = np.unique((between + furthest) @ [base * base, base, 1], return_inverse=True)
        cells = np.stack([keys // base**2, keys // base % base, keys % base], axis=1) - furthest
    return cells.astype(np.int32), index.reshape(between.shape[:3]).astype(np.int32)


def fold(sites: SiteHessians, masses: Array, cells: AnyArray, index: AnyArray) -> ForceConstants:
    """Sum site Hessians into force constants between cells.

    Args:
        cells, index: see `cell_index`.
    """
    n = masses.shape[0]
    full = sites.with_center
    owners = jnp.concatenate([sites.others, sites.centers[:, None]], axis=1)
    out = jnp.zeros((cells.shape[0], n, n, 3, 3), full.dtype)
    out = out.at[index, owners[:, :, None], owners[:, None, :]].add(full.transpose(0, 1, 3, 2, 4))
    return ForceConstants(out.transpose(0, 1, 3, 2, 4), cells, masses)


@pytree
class NearestImages(Node):
    """Positions of the atoms of a supercell as seen from the home cell: pairs belong to their nearest images.

    cells (nR, 3) integers; index (images, choices) cells of the choices; share (images, choices, n, n): several images
    at the same distance have equal shares.
    """

    cells: AnyArray
    index: AnyArray
    share: AnyArray


def cells_of(repeats: Sequence[int]) -> np.ndarray:
    """Cells of a supercell, (r1 r2 r3, 3) integers, in the order of `Structure.repeated`."""
    return np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), -1).reshape(-1, 3)


def nearest_images(structure: Structure, repeats: Sequence[int]) -> NearestImages:
    """`NearestImages` of a concrete structure, in a supercell of `repeats` (three integers); NumPy."""
    cell, positions = (
        np.asarray(require_concrete(array, name, "call it outside of jit"))
        for name, array in (("the cell", structure.cell), ("positions", structure.positions))
    )
    images = cells_of(repeats)
    offsets = np.stack(np.meshgrid(*[[-2, -1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3) * np.asarray(repeats)
    candidates = images[:, None] + offsets[None]  # (image, choice, 3)
    between = positions[None, :] - positions[:, None]  # (a, b, 3)
    length = np.linalg.norm((candidates @ cell)[:, :, None, None] + between, axis=-1)
    nearest = length < length.min(1, keepdims=True) + 1e-5
    share = nearest / nearest.sum(1, keepdims=True)
    chosen = nearest.any(axis=(0, 2, 3))
    candidates, share = candidates[:, chosen], share[:, chosen]
    cells, index = np.unique(candidates.reshape(-1, 3), axis=0, return_inverse=True)
    return NearestImages(cells.astype(np.int32), index.reshape(candidates.shape[:2]).astype(np.int32), share)


def of_images(blocks: Array, images: NearestImages, masses: Array) -> ForceConstants:
    """Force constants from second derivatives in a supercell.

    Args:
        blocks: (images, n, 3, n, 3): d2E / du_a(home cell) du_b(image).
    """
    def add(out, choice):
        index, share = choice
        return out.at[index].add(blocks * share.astype(blocks.dtype)[:, :, None, :, None]), None

    zeros = jnp.zeros((len(images.cells), *blocks.shape[1:]), blocks.dtype)
    choices = jnp.moveaxis(jnp.asarray(images.index), 1, 0), jnp.moveaxis(jnp.asarray(images.share), 1, 0)
    return ForceConstants(jax.lax.scan(add, zeros, choices)[0], images.cells, masses)
