"""Parts of a `SecondOrder`: the second derivatives of one addend of a potential, in the way that suits its reach."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.neighbors import Neighbors
from jaxpot.core.precision import is_traced
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.observables import evaluate_by_strain, hessian_vector_product
from jaxpot.potentials.base import Potential
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.properties import lattice_waves, layer_derivatives
from jaxpot.properties.blocks import ELEMENTS, Blocks, blocks_of_energy
from jaxpot.properties.force_constants import ForceConstants, NearestImages, fold, of_images
from jaxpot.properties.site_hessians import SiteHessians, site_blocks
from jaxpot.properties.wave_mesh import WaveMesh, wave_mesh
from jaxpot.typing import Array


@pytree
class Sites(Node):
    """Part of a local potential."""

    sites: SiteHessians
    cells: jax.Array
    index: jax.Array

    def blocks(self, structure: Structure) -> Blocks:
        return _site_blocks(self.sites, len(structure))

    def matrices(self, structure: Structure, q: Array) -> jax.Array:
        # Two programs: that of the force constants serves any number of wave vectors.
        return _fourier(_fold(self.sites, structure.masses, self.cells, self.index), q)

    def force_constants(self, structure: Structure) -> ForceConstants:
        constants = _fold(self.sites, structure.masses, self.cells, self.index)
        count = len(self.cells) if is_traced(self) else int(np.max(self.index, initial=0)) + 1
        if count == len(self.cells):
            return constants
        # Cells that nothing is added to, see `few_shapes`.
        return constants.replace(values=np.asarray(constants.values)[:count], cells=np.asarray(self.cells)[:count])

    def slopes(self, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
        """dE/dr (n, 3) and dE/dstrain (3, 3), NumPy."""
        gradients, vectors = np.asarray(self.sites.gradients), np.asarray(self.sites.vectors)
        pulls = np.zeros((len(structure), 3))
        np.subtract.at(pulls, np.asarray(self.sites.centers), gradients.sum(1))
        np.add.at(pulls, np.asarray(self.sites.others), gradients)
        return pulls, np.einsum("mka,mkb->ab", vectors, gradients)


@pytree
class OfEnergy(Node):
    """Part whose total energy is differentiated, in the given cell; its subclasses know wave vectors as well."""

    potential: Potential
    listed: Neighbors

    def blocks(self, structure: Structure) -> Blocks:
        return _blocks_of_energy(self.potential, structure, self.listed)

    def slopes(self, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
        """dE/dr (n, 3) and dE/dstrain (3, 3), NumPy."""
        result = evaluate_by_strain(self.potential, structure, self.listed)
        return -np.asarray(result.forces), np.asarray(result.stress)


@pytree
class Waves(OfEnergy):
    """Part of a model of several hops: columns that are carried through the hops (`properties.lattice_waves`)."""

    factor: jax.Array
    hops: MessagePassing
    cells: jax.Array
    index: jax.Array
    near: jax.Array  # which cells the neighbours of an atom are in
    mesh: WaveMesh | None  # between whose points matrices are interpolated
    columns: jax.Array | None  # of this mesh, where they are known already
    repeats: tuple = static()  # of the mesh of wave vectors that exact force constants need

    def blocks(self, structure: Structure) -> Blocks:
        n, dtype = len(structure), structure.cell.dtype
        moves = jnp.concatenate([jnp.eye(3 * n, dtype=dtype).reshape(-1, n, 3), jnp.zeros((9, n, 3), dtype)])
        strains = jnp.concatenate([jnp.zeros((3 * n, 3, 3), dtype), jnp.asarray(ELEMENTS, dtype)])
        response = lattice_waves.responses(
            self.hops, structure, self.listed, jnp.zeros((3 * n + 9, 3), dtype), moves, strains
        )
        return jax.tree.map(partial(jnp.multiply, self.factor), _wave_blocks(response))

    def matrices(self, structure: Structure, q: Array) -> jax.Array:
        if self.mesh is not None:
            return self.force_constants(structure).fourier(q)
        if layer_derivatives.pays(self.hops, structure, self.listed, len(q)):
            matrices = layer_derivatives.wave_matrices(
                self.hops, structure, self.listed, q, self.cells, self.index, self.near
            )
        else:
            matrices = lattice_waves.wave_matrices(self.hops, structure, self.listed, q)
        return self.factor * matrices

    def force_constants(self, structure: Structure) -> ForceConstants:
        """Phi(R) = 1/N sum_q D(q) exp(-2 pi i q.R) over a mesh: without one, of a supercell twice as thick as the
        reach, in which what is left beyond half of it (1e-9 of the largest, or less) is folded back.
        """
        mesh = self.mesh or wave_mesh(structure, self.repeats, self.hops.mirrors)
        columns = mesh.columns(self.hops, structure, self.listed) if self.columns is None else self.columns
        return _constants_of_mesh(mesh, self.factor * columns, structure.masses)


@jax.jit
def _wave_blocks(response):
    """`Blocks` of responses to displacements, then to strains; strains act on what was displaced before."""
    size, pull = 3 * response.changes.shape[1], response.pull
    changes = response.changes.real.reshape(-1, size)
    coupling = changes[size:].T + jnp.einsum("nb,kab->nak", pull, ELEMENTS).reshape(size, -1)
    by_strain = response.virials[size:].reshape(9, 9)
    return Blocks(by_strain, coupling, changes[:size], response.virial.ravel(), pull.reshape(-1))


@pytree
class Images(OfEnergy):
    """Part of any other potential: its Hessian in a supercell."""

    supercell: Neighbors
    images: NearestImages
    repeats: tuple = static()

    def matrices(self, structure: Structure, q: Array) -> jax.Array:
        return self.force_constants(structure).fourier(q)

    def force_constants(self, structure: Structure) -> ForceConstants:
        n, size = len(structure), 3 * len(structure)
        big = structure.repeated(self.repeats)

        def column(k):
            unit = jnp.zeros_like(big.positions).at[k // 3, k % 3].set(1.0)
            return hessian_vector_product(self.potential, big, unit, self.supercell)

        response = jax.lax.map(column, jnp.arange(size)).reshape(n, 3, -1, n, 3)
        return of_images(response.transpose(2, 0, 1, 3, 4), self.images, structure.masses)


_fold = jax.jit(fold)
_fourier = jax.jit(ForceConstants.fourier)
_site_blocks = jax.jit(site_blocks, static_argnums=1)
_blocks_of_energy = jax.jit(blocks_of_energy)


@jax.jit
def _constants_of_mesh(mesh, columns, masses):
    return mesh.force_constants(columns, masses)
