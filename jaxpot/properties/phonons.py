"""Phonons: the dynamical matrix at any wave vector, from the primitive cell.

The second derivatives of the site energies are summed into force constants Phi_ab(R) between atom a of the
home cell and atom b of cell R; every wave vector is then one small sum:

    D_ab(q) = sum_R Phi_ab(R) exp(2 pi i q.R) / sqrt(m_a m_b)

with q in units of the reciprocal lattice vectors (fractional, held fixed under strain) and R the integers
of the lattice vector. Eigenvalues are the squared angular frequencies. No supercell, no displacement; for
potentials that are not local the force constants come from Hessian-vector products in a supercell.

References:
    A. A. Maradudin, E. W. Montroll, G. H. Weiss, Theory of Lattice Dynamics in the Harmonic Approximation
    (1963), equations 2.1.36-2.1.49.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot import io
from jaxpot.basis.hermitian import eigh
from jaxpot.checks import checked_neighbors
from jaxpot.core.precision import host_float, is_traced, require_concrete
from jaxpot.core.pytree import pytree, static
from jaxpot.core.structure import Structure
from jaxpot.core.symmetry import full_mesh, reduced_mesh
from jaxpot.errors import DataError
from jaxpot.observables import hessian_vector_product
from jaxpot.properties.coordinates import crystal
from jaxpot.properties.modes import signed_frequency
from jaxpot.properties.site_hessians import _with_center, list_skin, site_hessians, warn_unrelaxed


@pytree
class ForceConstants:
    """values (nR, n, 3, n, 3) eV/A^2: d2E / du_a(0) du_b(R); cells (nR, 3) integers R; masses (n,) amu."""

    values: jax.Array
    cells: jax.Array
    masses: jax.Array

    def dynamical_matrix(self, q):
        """D(q) for fractional q (..., 3): (..., 3n, 3n) complex, 1/time^2 in internal units."""
        q = jnp.asarray(q, self.values.dtype)
        phase = jnp.exp(2j * jnp.pi * (q @ self.cells.T.astype(self.values.dtype)))
        weight = 1.0 / jnp.sqrt(self.masses)
        scaled = self.values * weight[None, :, None, None, None] * weight[None, None, None, :, None]
        n = 3 * self.masses.shape[0]
        matrix = (phase @ scaled.reshape(-1, n * n)).reshape(*q.shape[:-1], n, n)
        return 0.5 * (matrix + jnp.conj(jnp.swapaxes(matrix, -1, -2)))


@pytree
class Phonons:
    """q (..., 3) fractional; frequencies (..., 3n) ascending, imaginary ones as negative numbers, internal
    units (divide by `units.THz`); eigenvectors (..., 3n, 3n), columns, mass-weighted and orthonormal, with
    phases of lattice vectors (exp(2 pi i q.R), not of positions)."""

    q: jax.Array
    frequencies: jax.Array
    eigenvectors: jax.Array


@pytree
class PhononBands:
    """Frequencies (nq, 3n) along a path: q (nq, 3), distances (nq,) 1/A, ticks and labels of special points."""

    q: jax.Array
    distances: jax.Array
    frequencies: jax.Array
    ticks: tuple = static()
    labels: tuple = static()

    def plot(self):
        """A matplotlib figure."""
        from jaxpot.report.plots import plot_bands

        return plot_bands(self)


@pytree
class PhononDos:
    """Density of states: density (m,) modes per unit frequency and cell (integrates to 3n) at frequencies (m,).

    width: () standard deviation of the Gaussians that it is made of.
    """

    frequencies: jax.Array
    density: jax.Array
    width: jax.Array

    def plot(self):
        """A matplotlib figure."""
        from jaxpot.report.plots import plot_dos

        return plot_dos(self)


def force_constants(potential, structure, supercell=None):
    """Force constants of a crystal.

    Args:
        potential, structure: a crystal; forces should vanish (see `relax`).
        supercell: three integers: use Hessian-vector products in that supercell instead of the site
            Hessians of the cell. Needed for potentials that are not local; exact at the wave vectors that
            are commensurate with it, and everywhere when it is twice as thick as the interaction.

    Returns:
        `ForceConstants`.
    """
    structure, listed = crystal(potential, structure, skin=list_skin(potential), what="a phonon")
    if supercell is None:
        if not potential.local:
            raise DataError(
                f"{potential!r} is not a sum over sites: give `supercell`, three integers, "
                "at least twice as thick as the interaction reaches"
            )
        sites = site_hessians(potential, structure, listed)
        warn_unrelaxed(sites, structure, "phonons are", stacklevel=3)
        return _fold(sites, structure.masses, *cell_index(listed))
    return _from_supercell(potential, structure, np.asarray(supercell, int))


def cell_index(listed):
    """The lattice vectors R that couple, (nR, 3), and where each pair of a row belongs, (m, K+1, K+1); NumPy."""
    shifts = require_concrete(listed.shifts, "the neighbour list", "build it outside of jit").astype(np.int64)
    filled = np.arange(listed.capacity) < np.asarray(listed.counts)[:, None]
    shifts = np.where(filled, shifts, 0).transpose(1, 2, 0)  # (m, K, 3)
    shifts = np.concatenate([shifts, np.zeros_like(shifts[:, :1])], axis=1)  # the centre, last
    between = shifts[:, None, :, :] - shifts[:, :, None, :]  # R of l as seen from k
    cells, index = np.unique(between.reshape(-1, 3), axis=0, return_inverse=True)
    return cells.astype(np.int32), index.reshape(between.shape[:3]).astype(np.int32)


def fold(sites, masses, cells, index):
    """Sum site Hessians into force constants between cells."""
    n = masses.shape[0]
    full = _with_center(sites.hessians)
    owners = jnp.concatenate([sites.others, sites.centers[:, None]], axis=1)
    out = jnp.zeros((cells.shape[0], n, n, 3, 3), full.dtype)
    out = out.at[index, owners[:, :, None], owners[:, None, :]].add(full.transpose(0, 1, 3, 2, 4))
    return ForceConstants(out.transpose(0, 1, 3, 2, 4), cells, masses)


_fold = jax.jit(fold)


@jax.jit
def wave_matrices(sites, masses, topology, q):
    """D(q), (nq, 3n, 3n), of site Hessians and what `cell_index` returns."""
    return fold(sites, masses, *topology).dynamical_matrix(q)


def _from_supercell(potential, structure, repeats):
    """Force constants from the response of a supercell to displacements of the home cell's atoms.

    Pairs are assigned to their nearest image; several at the same distance share the force constant.
    """
    n = len(structure)
    big = structure.repeated(repeats)
    listed = jax.device_put(checked_neighbors(potential, big))
    columns = []
    for a in range(n):
        for axis in range(3):
            unit = jnp.zeros((len(big), 3), structure.cell.dtype).at[a, axis].set(1.0)
            columns.append(hessian_vector_product(potential, big, unit, listed))
    response = jnp.stack(columns).reshape(n, 3, -1, n, 3)  # (a, axis, image, b, axis)
    cell = np.asarray(require_concrete(structure.cell, "the cell", "call it outside of jit"))
    positions = np.asarray(require_concrete(structure.positions, "positions", "call it outside of jit"))
    images = np.stack(np.meshgrid(*[np.arange(r) for r in repeats], indexing="ij"), -1).reshape(-1, 3)
    offsets = np.stack(np.meshgrid(*[[-2, -1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3) * repeats
    candidates = images[:, None] + offsets[None]  # (image, choice, 3)
    between = positions[None, :] - positions[:, None]  # (a, b, 3)
    length = np.linalg.norm((candidates @ cell)[:, :, None, None] + between, axis=-1)
    nearest = length < length.min(1, keepdims=True) + 1e-5
    share = nearest / nearest.sum(1, keepdims=True)  # (image, choice, a, b)
    cells, index = np.unique(candidates.reshape(-1, 3), axis=0, return_inverse=True)
    index = index.reshape(candidates.shape[:2])
    out = jnp.zeros((len(cells), n, n, 3, 3), structure.cell.dtype)
    blocks = response.transpose(2, 0, 3, 1, 4)  # (image, a, b, axis, axis)
    for choice in range(index.shape[1]):
        weight = share[:, choice]
        if weight.any():
            out = out.at[index[:, choice]].add(blocks * weight[..., None, None])
    return ForceConstants(out.transpose(0, 1, 3, 2, 4), jnp.asarray(cells), structure.masses)


def dynamical_matrix(potential, structure, q, supercell=None):
    """The mass-weighted dynamical matrix D(q), (..., 3n, 3n) complex, internal units.

    Args:
        q: (..., 3) fractional wave vectors.
        supercell: see `force_constants`.
    """
    return _matrices(force_constants(potential, structure, supercell), _wave_vectors(q))


def phonons(potential, structure, q, supercell=None):
    """Frequencies and eigenvectors at wave vectors q (..., 3), fractional (`Phonons`).

    Frequencies are ordinary ones (not angular): `result.frequencies / jp.units.THz`. They are differentiable
    with respect to the potential where they are not degenerate, or degenerate by symmetry whatever the potential.
    """
    q = _wave_vectors(q)
    return _solve(force_constants(potential, structure, supercell), q)


@jax.jit
def _matrices(constants, q):
    return constants.dynamical_matrix(q)


@jax.jit
def _solve(constants, q):
    return Phonons(q, *frequencies_of(constants.dynamical_matrix(q)))


def frequencies_of(matrix):
    """Signed frequencies nu = sign(w2) sqrt(|w2|) / 2 pi, ascending, and eigenvectors."""
    size = matrix.shape[-1]
    w2, vectors = jax.vmap(eigh)(matrix.reshape(-1, size, size))
    return signed_frequency(w2.reshape(matrix.shape[:-1])), vectors.reshape(matrix.shape)


def phonon_bands(potential, structure, path=None, points=100, supercell=None):
    """Frequencies along a path through the Brillouin zone (`PhononBands`).

    Args:
        path: labels such as "GXWKGL" or "GX,UL", a list of fractional points, or None for the standard
            path of the lattice (W. Setyawan, S. Curtarolo, Comput. Mater. Sci. 49, 299 (2010)).
        points: how many in all.
    """
    structure = Structure.of(structure)
    route = io.band_path(structure, points=points, path=path)
    found = phonons(potential, structure, route.q_points, supercell)
    return PhononBands(
        found.q, jnp.asarray(route.distances), found.frequencies,
        ticks=tuple(float(t) for t in route.ticks), labels=tuple(route.labels),
    )


def phonon_dos(potential, structure, mesh=(20, 20, 20), frequencies=None, width=None, supercell=None):
    """Phonon density of states on a symmetry-reduced mesh, with Gaussian broadening (`PhononDos`).

    Args:
        mesh: points along the three reciprocal vectors.
        frequencies: where to evaluate it, internal units; by default 401 points over all modes. With these and a
            width the density is differentiable.
        width: standard deviation of the Gaussians, internal units; by default 1 % of the largest frequency.
    """
    structure = Structure.of(structure)
    q, weights = reduced_mesh(structure, mesh)
    found = phonons(potential, structure, q, supercell).frequencies
    low, top = jnp.min(found), jnp.max(found)  # traced, under jit over the potential
    width = 0.01 * top if width is None else width
    if frequencies is None:
        frequencies = jnp.linspace(jnp.minimum(0.0, low - 3 * width), top + 4 * width, 401)
    density = _histogram(found, jnp.asarray(weights), frequencies, width)
    return PhononDos(jnp.asarray(frequencies), density, jnp.asarray(width))


@jax.jit
def _histogram(found, weights, frequencies, width):
    def one(x):
        shape = jnp.exp(-0.5 * ((x - found) / width) ** 2) / (width * jnp.sqrt(2.0 * jnp.pi))
        return jnp.sum(weights[:, None] * shape)

    return jax.lax.map(one, frequencies, batch_size=64)


def mesh_points(structure, mesh, symmetry=True):
    """Wave vectors and weights of a mesh (a number or three), reduced by symmetry unless told not to."""
    mesh = (mesh,) * 3 if np.ndim(mesh) == 0 else tuple(int(m) for m in mesh)
    if len(mesh) != 3 or min(mesh) < 1:
        raise DataError(f"mesh: expected three positive integers, got {mesh}")
    return reduced_mesh(structure, mesh) if symmetry else full_mesh(mesh)


def _wave_vectors(q):
    q = jnp.asarray(q, float) if is_traced(q) else host_float(q, "q")
    if q.shape[-1:] != (3,):
        raise DataError(f"q: expected fractional wave vectors of shape (..., 3), got {q.shape}")
    return q
