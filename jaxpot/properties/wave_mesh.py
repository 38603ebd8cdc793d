"""Dynamical matrices on a mesh of wave vectors from the columns that symmetry does not relate, and between its points.

Force constants Phi_ab(R) of models of several hops fade long before the reach of the model ends. D(q) on a mesh of
N1 x N2 x N3 wave vectors makes them in a supercell of as many cells, and these make D(q) anywhere:

    Phi(R) = 1/N sum_q D(q) exp(-2 pi i q.R),    D(q) = sum_R Phi(R) exp(2 pi i q.R)

exact at the points of the mesh. Few columns of these D(q) are computed, the others follow by symmetry
(`properties.wave_orbits`).

References:
    K. Parlinski, Z. Q. Li, Y. Kawazoe, Phys. Rev. Lett. 78, 4063 (1997).
"""

import warnings
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.core.symmetry import full_mesh, space_group
from jaxpot.errors import JaxpotWarning
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.properties.coordinates import frozen
from jaxpot.properties.force_constants import ForceConstants, NearestImages, cells_of, nearest_images, of_images
from jaxpot.properties.lattice_waves import responses
from jaxpot.properties.wave_orbits import WaveOrbits, wave_orbits
from jaxpot.typing import Array

_TOLERANCE = 5e-4  # of the largest element: about 0.002 THz of the highest modes of silicon
_MOST_COLUMNS = 800
_FIRST_THICKNESS = 4.0  # cutoffs, of the supercell of the first mesh that is tried
_PROBES = 3  # displacements by which errors are measured


@pytree
class WaveMesh(Node):
    """A mesh (m, 3) of wave vectors, fractional, the columns of D that make all of D on it, and its supercell."""

    mesh: jax.Array
    orbits: WaveOrbits
    images: NearestImages
    repeats: tuple = static()

    def columns(self, potential: MessagePassing, structure: Structure, listed: Neighbors) -> Array:
        """Compute the columns, (c, n, 3) complex eV/A^2, of a structure that has the symmetry."""
        q, waves = jnp.asarray(self.orbits.q), jnp.asarray(self.orbits.waves)
        return responses(potential, structure, listed, q, waves, jnp.zeros((len(q), 3, 3))).changes

    def force_constants(self, columns: Array, masses: Array) -> ForceConstants:
        """Force constants to the nearest images in the supercell of the mesh."""
        matrices, n = self.orbits.matrices(columns), len(masses)
        cells = cells_of(self.repeats)
        phase = jnp.exp(-2j * jnp.pi * self.mesh @ cells.T) / len(cells)
        values = jnp.einsum("mR,mab->Rab", phase, matrices).real
        return of_images(values.reshape(-1, n, 3, n, 3), self.images, masses)


def wave_mesh(
    structure: Structure, repeats: Sequence[int], mirrors: bool = True, symmetry: bool = True
) -> WaveMesh:
    """`WaveMesh` of a crystal; made on the host.

    Args:
        structure: concrete, or differentiated.
        repeats: three integers, points of the mesh along the reciprocal vectors.
        mirrors: see `Potential.mirrors`.
        symmetry: whether that of the structure is used; strains that break it must not meet it.
    """
    with jax.ensure_compile_time_eval():  # the structure is known, also under jit over the potential
        structure = frozen(structure)
        group = space_group(structure, mirrors=mirrors)
    points = tuple(int(r) for r in repeats)
    return WaveMesh(
        jax.device_put(full_mesh(points)[0]), wave_orbits(group, points, symmetry), nearest_images(structure, points),
        points,
    )


def converged_mesh(
    potential: MessagePassing, structure: Structure, listed: Neighbors, waves: int, symmetry: bool = True
) -> tuple[WaveMesh | None, Array | None]:
    """The mesh between whose points D(q) is interpolated with errors of at most 5e-4 of its largest element.

    Errors are measured: three random displacements, at wave vectors as far as can be from the points of the mesh, are
    carried through the hops and compared. Where a first mesh is too coarse, waves along lines tell how fine the next
    one must be. Meshes grow until they agree, or need 800 columns: a warning says then how far off they are.

    Args:
        potential: concrete, like the structure and its list.
        waves: how many wave vectors will be asked for: a mesh with more columns than these have is none.
        symmetry: see `wave_mesh`.

    Returns:
        The mesh and its columns, see `WaveMesh.columns`; None and None where the columns of these wave vectors cost no
        more.
    """
    heights = 1.0 / np.linalg.norm(np.linalg.inv(np.asarray(structure.cell)), axis=0)
    exact = np.maximum(np.ceil(2.0 * potential.reach / heights - 1e-6).astype(int), 1)
    thickness = min(_FIRST_THICKNESS * potential.cutoff, 1.2 * potential.reach)
    repeats = np.maximum(np.ceil(thickness / heights - 1e-6).astype(int), 1)
    budget = 3 * len(structure) * waves
    mesh = wave_mesh(structure, repeats, potential.mirrors, symmetry)
    if len(mesh.orbits.q) + _PROBES > budget:
        return None, None
    columns, error, largest = _columns_and_error(mesh, potential, structure, listed)
    if error >= _TOLERANCE:
        repeats = _repeats_by_lines(potential, structure, listed, heights, repeats, exact, largest)
    while error >= _TOLERANCE and (repeats <= exact).any():
        budget -= len(mesh.orbits.q) + _PROBES
        finer = _largest_mesh(repeats, mesh, min(budget, _MOST_COLUMNS), structure, potential.mirrors, symmetry)
        if finer is None:
            break
        mesh = finer
        columns, error, _ = _columns_and_error(mesh, potential, structure, listed)
        repeats = np.ceil((np.array(mesh.repeats) * heights + heights.min()) / heights - 1e-6).astype(int)
    if error < _TOLERANCE:
        return mesh, columns
    warnings.warn(
        f"{type(potential).__name__}: many wave vectors are interpolated between those of a mesh of {mesh.repeats}, "
        f"with errors of {100.0 * error:.2g} % of the largest force constant, since these fade slowly; "
        "jp.second_order, and few wave vectors at a time, are exact",
        JaxpotWarning, stacklevel=4,
    )
    return mesh, columns


def _columns_and_error(mesh, potential, structure, listed):
    """Columns of a mesh, the largest difference of interpolated and exact ones between its points, over the largest
    element, and this element.
    """
    random = np.random.default_rng(0)
    n, repeats = len(structure), np.array(mesh.repeats)
    q = np.where(repeats > 1, (random.integers(0, repeats, (_PROBES, 3)) + 0.5) / repeats, 0.0)
    moves = _unit_waves(random, _PROBES, n)
    orbits, count = mesh.orbits, len(mesh.orbits.q)
    together = np.concatenate([orbits.q, q]), np.concatenate([orbits.waves, moves]), np.zeros((count + _PROBES, 3, 3))
    columns = responses(potential, structure, listed, *together).changes
    matrices = _fourier(mesh, columns[:count], structure.masses, q)
    between = np.einsum("mxy,my->mx", matrices, moves.reshape(_PROBES, -1))
    largest = np.abs(matrices).max()
    error = np.abs(between - np.asarray(columns[count:]).reshape(_PROBES, -1)).max() / largest
    return columns[:count], float(error), float(largest)


def _largest_mesh(repeats, last, budget, structure, mirrors, symmetry):
    """The mesh of so many points, or else the largest below it and above the last one that the budget of columns has
    room for; None without one.
    """
    while (repeats > last.repeats).any():
        mesh = wave_mesh(structure, repeats, mirrors, symmetry)
        if len(mesh.orbits.q) + _PROBES <= budget:
            return mesh
        repeats = np.maximum(repeats - 1, last.repeats)
    return None


def _repeats_by_lines(potential, structure, listed, heights, repeats, exact, largest):
    """Points of the next mesh, more than of the last one, by how force constants between planes of cells fade.

    Along a line of wave vectors a displacement is answered by sum_L F(L) exp(2 pi i q L); a mesh of N points folds what
    comes from |L| >= N / 2. Axes of one height are taken to be alike: what comes out is measured again.
    """
    random, chosen = np.random.default_rng(1), {}
    for axis, height in enumerate(np.round(heights, 3)):
        count = int(exact[axis])
        if height in chosen or count <= repeats[axis]:
            continue
        q = np.tile(random.uniform(size=3), (count, 1))
        q[:, axis] = np.arange(count) / count
        moves = np.tile(_unit_waves(random, 1, len(structure)), (count, 1, 1))
        columns = np.asarray(responses(potential, structure, listed, q, moves, np.zeros((count, 3, 3))).changes)
        planes = np.abs(np.fft.fft(columns, axis=0)).max(axis=(1, 2)) / (count * largest)
        distance = np.minimum(np.arange(count), count - np.arange(count))
        fine = [points for points in range(1, count + 1) if planes[distance >= 0.5 * points].sum() < _TOLERANCE]
        chosen[height] = min(fine, default=count)
    needed = np.array([chosen.get(height, 0) for height in np.round(heights, 3)])
    return np.maximum(needed, repeats) if (needed > repeats).any() else repeats + 1


def _unit_waves(random, count, atoms):
    """Random displacements of unit length, (count, atoms, 3)."""
    moves = random.normal(size=(count, atoms, 3))
    return moves / np.linalg.norm(moves, axis=(1, 2), keepdims=True)


@jax.jit
def _fourier(mesh, columns, masses, q):
    return mesh.force_constants(columns, masses).fourier(q)

