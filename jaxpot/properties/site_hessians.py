"""Second derivatives of every site energy, computed once: what elastic constants and phonons share.

A site energy depends on the vectors r_k from its atom to its neighbours. Its gradient g_k and Hessian H_kl
in those vectors are all that is needed: a displacement of atoms, with or without a Bloch phase, and a
strain are both linear in r, so their second derivatives are contractions of H (and of g, where the
deformation is not linear). No supercell and no finite displacement.
"""

import jax
import jax.numpy as jnp

from jaxpot.core.graph import Environment, connect
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import Node, pytree
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, ResourceError
from jaxpot.observables import poison
from jaxpot.potentials.base import Potential, cast
from jaxpot.properties.blocks import ELEMENTS, Blocks
from jaxpot.typing import Array

LIMIT = 4e9  # bytes
_BATCH = 16  # sites at once


@pytree
class SiteHessians(Node):
    """Rows as in `Neighbors`: vectors and gradients (m, K, 3), hessians (m, K, 3, K, 3); empty places are zero."""

    vectors: jax.Array  # A
    gradients: jax.Array  # eV/A
    hessians: jax.Array  # eV/A^2
    centers: jax.Array  # (m,)
    others: jax.Array  # (m, K)

    @property
    def with_center(self) -> jax.Array:
        """Hessians in the positions of the neighbours and, last, of the central atom: (m, K+1, 3, K+1, 3)."""
        h = jnp.concatenate([self.hessians, -self.hessians.sum(1, keepdims=True)], axis=1)
        return jnp.concatenate([h, -h.sum(3, keepdims=True)], axis=3)


@jax.jit
def site_hessians(potential: Potential, structure: Structure, neighbors: Neighbors) -> SiteHessians:
    """Gradients and Hessians of all site energies in the neighbour vectors.

    Raises:
        DataError: the potential is not local (`second_order` knows what to do then).
        ResourceError: more than 4 GB.
    """
    if not potential.local:
        raise DataError(f"{potential!r} is not a sum over environments: take jp.second_order")
    rows, capacity = neighbors.others.shape
    size = rows * (3 * capacity) ** 2 * structure.positions.dtype.itemsize
    if size > LIMIT:
        raise ResourceError(f"site Hessians of {rows} atoms with {capacity} neighbours need {size / 1e9:.1f} GB")
    potential = cast(potential.batched(), structure.positions.dtype)
    graph = connect(structure, neighbors)

    def one(row):
        vectors, numbers, number = row

        def energy(r):
            return potential.site_energy(
                Environment(r[0], r[1], r[2], jnp.sqrt(r[0] ** 2 + r[1] ** 2 + r[2] ** 2), numbers, number)
            )

        gradient, product = jax.linearize(jax.grad(energy), vectors)
        units = jnp.eye(3 * capacity, dtype=vectors.dtype).reshape(3 * capacity, 3, capacity)
        return gradient, jax.vmap(product)(units).reshape(3, capacity, 3, capacity)

    vectors = jnp.stack([graph.x, graph.y, graph.z], axis=1)  # (m, 3, K)
    inputs = (vectors, graph.numbers, graph.center_numbers)
    gradients, hessians = jax.vmap(one)(inputs) if rows <= _BATCH else jax.lax.map(one, inputs, batch_size=_BATCH)
    keep = (graph.filled & graph.real[:, None])[:, None, :]
    bad = poison(potential, structure, neighbors)
    pairs = keep[:, :, :, None, None] & keep[:, None, None, :, :]
    return SiteHessians(
        jnp.moveaxis(jnp.where(keep, vectors, 0.0), 1, 2),
        jnp.moveaxis(jnp.where(keep, gradients, 0.0), 1, 2) * bad,
        jnp.transpose(jnp.where(pairs, hessians, 0.0), (0, 2, 1, 4, 3)) * bad,
        graph.centers,
        graph.others,
    )


def site_blocks(sites: SiteHessians, n: int) -> Blocks:
    """Derivatives by the elements of a strain e (9) and displacements of n atoms (3n), with r = (r0 + u)(1 + e)."""
    r, g, h = sites.vectors, sites.gradients, sites.hessians
    basis = jnp.asarray(ELEMENTS, r.dtype)
    along = jnp.einsum("mka,sab->smkb", r, basis)  # dr/de
    pulled = jnp.einsum("mkalb,smlb->smka", h, along)
    by_strain = jnp.einsum("smka,tmka->st", along, pulled)
    # u moves neighbour k's atom along and the centre against; the strain then acts on u as well.
    twisted = pulled + jnp.einsum("mkb,sab->smka", g, basis)
    s = basis.shape[0]
    coupling = jnp.zeros((s, n, 3), r.dtype).at[:, sites.others].add(twisted)
    coupling = coupling.at[:, sites.centers].add(-twisted.sum(2))
    pull = jnp.zeros((n, 3), r.dtype).at[sites.others].add(g).at[sites.centers].add(-g.sum(1))
    slope = jnp.einsum("mka,mkb->ab", r, g).ravel()
    return Blocks(by_strain, coupling.reshape(s, 3 * n).T, displacement_block(sites, n), slope, pull.ravel())


def displacement_block(sites: SiteHessians, n: int) -> Array:
    """d2E/du du of displacements repeated in every cell, (3n, 3n) eV/A^2."""
    full = sites.with_center
    owners = jnp.concatenate([sites.others, sites.centers[:, None]], axis=1)
    out = jnp.zeros((n, n, 3, 3), full.dtype)
    out = out.at[owners[:, :, None], owners[:, None, :]].add(full.transpose(0, 1, 3, 2, 4))
    return out.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)
