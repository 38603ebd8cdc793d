"""What networks see of a data set, computed once: descriptor vectors and their derivatives, in batches of one shape.

The positions of the training set do not move. With vectors G_i and derivatives dG_i/dr_ik at hand an epoch is a few
matrix products, where differentiating the energy through the descriptor twice takes twenty to fifty times as long.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.graph import connect_rows
from jaxpot.core.pytree import pytree
from jaxpot.potentials.base import cut
from jaxpot.potentials.terms import nearest

_ROWS = 8  # atoms whose derivatives are computed at once


@pytree
class Seen:
    """What one network sees of a batch: R atoms of one element with K neighbours; spare ones have weight 0."""

    vectors: jax.Array  # (R, d), shifted and mixed
    slopes: jax.Array  # (R, K, 3, d), their derivatives by the neighbours' positions, mixed likewise, per A
    others: jax.Array  # (R, K), which atom of the batch each neighbour is
    centers: jax.Array  # (R,), which atom it is
    frames: jax.Array  # (R,), which frame of the batch it is in
    ties: jax.Array  # (R, K, 3) A, vectors to the neighbours
    weights: jax.Array  # (R,), 1 or 0


@pytree
class Batch:
    """B frames with A atoms together, their targets, and 1 / sigma of these: 0 where there is no target."""

    seen: tuple
    energies: jax.Array  # (B,) eV/atom
    forces: jax.Array  # (A, 3) eV/A
    stresses: jax.Array  # (B, 3, 3) eV/A^3
    energy_weights: jax.Array  # (B,)
    force_weights: jax.Array  # (A,)
    stress_weights: jax.Array  # (B,)
    per_atom: jax.Array  # (B,), 1 / atoms
    per_volume: jax.Array  # (B,) 1/A^3


@pytree
class Bent:
    """Frames with A atoms together and products of their Hessians with displacements, 0 / sigma where there is none."""

    seen: tuple
    turns: tuple  # of each network: how vectors (R, d) and slopes (R, K, 3, d) change along the displacements
    products: jax.Array  # (A, 3) eV/A
    weights: jax.Array  # (A,), 1 / sigma


@dataclass(frozen=True)
class SeenFrame:
    """One frame as one network sees it: rows of NumPy arrays."""

    vectors: np.ndarray
    slopes: np.ndarray
    others: np.ndarray
    centers: np.ndarray
    ties: np.ndarray
    turns: tuple | None = None  # along a displacement of the atoms


def describe_frame(descriptor, structure, neighbors, dtype, vector=None):
    """`SeenFrame` of a prepared frame: the atoms that the descriptor describes, moved along a vector (n, 3) or not."""
    arguments = descriptor, structure, neighbors
    if vector is None:
        found, turns = _rows(*arguments), None
    else:
        along = np.zeros(structure.positions.shape)
        along[: len(vector)] = vector
        found, turns = _turned(*arguments, along)
    vectors, slopes, ties, weights = map(np.asarray, found)
    rows = np.flatnonzero(weights)
    filled = np.arange(slopes.shape[1]) < np.asarray(neighbors.counts)[rows, None]
    centers = np.asarray(neighbors.centers)[rows]
    others = np.where(filled, np.asarray(neighbors.others)[rows, : slopes.shape[1]], centers[:, None])
    keep = filled[:, :, None]

    def kept(slopes):
        return np.where(keep[..., None], np.asarray(slopes)[rows], 0.0).astype(dtype)

    return SeenFrame(
        vectors[rows], kept(slopes), others, centers, np.where(keep, ties[rows], 0.0),
        None if turns is None else (np.asarray(turns[0])[rows], kept(turns[1])),
    )


@jax.jit
def _rows(descriptor, structure, neighbors):
    def chunk(_, rows):
        graph = connect_rows(structure, neighbors, rows)
        environments = nearest(graph.environments(), places)
        vectors, weights, _, changes, _ = jax.vmap(descriptor.jacobian)(environments)
        ties = jnp.stack([environments.x, environments.y, environments.z], axis=-1)
        return None, (vectors[:, 0], changes[:, 0], ties, jnp.where(graph.real, weights[:, 0], 0.0))

    rows, places = neighbors.others.shape[0], neighbors.places(descriptor.cutoff)
    count = -(-rows // _ROWS)
    _, found = jax.lax.scan(chunk, None, cut(neighbors, count, _ROWS))
    return jax.tree.map(lambda a: a.reshape(count * _ROWS, *a.shape[2:])[:rows], found)


@jax.jit
def _turned(descriptor, structure, neighbors, vector):
    def rows(positions):
        return _rows(descriptor, structure.moved(positions), neighbors)

    return jax.jvp(rows, (structure.positions,), (vector,))


def predicted(energies_of, batch):
    """Energies (B,) eV/atom, forces (A, 3) and stresses (B, 3, 3) of what the networks make of a batch.

    Args:
        energies_of: for each network, a function from a vector (d,) to an energy () eV.
        batch: `Batch`.
    """
    energies, forces = jnp.zeros_like(batch.energies), jnp.zeros_like(batch.forces)
    virials = jnp.zeros_like(batch.stresses)
    for function, seen in zip(energies_of, batch.seen, strict=True):
        values, gradients = jax.vmap(jax.value_and_grad(function))(seen.vectors)
        gradients = gradients * seen.weights[:, None]
        pulls = jnp.einsum("rkxd,rd->rkx", seen.slopes, gradients)  # dE_i / dr_ik
        energies = energies.at[seen.frames].add(values * seen.weights)
        forces = forces.at[seen.others].add(-pulls).at[seen.centers].add(pulls.sum(1))
        virials = virials.at[seen.frames].add(jnp.einsum("rkx,rky->rxy", seen.ties, pulls))
    return energies * batch.per_atom, forces, virials * batch.per_volume[:, None, None]


def bent(energies_of, batch):
    """Products of the Hessian with the displacements, (A, 3) eV/A, of what the networks make of a `Bent` batch.

    Along a displacement u the derivative of the forces J^T g, with J the slopes and g the gradient of the networks by
    their vectors, is (dJ/du)^T g + J^T (dg/dx) (J u).
    """
    products = jnp.zeros_like(batch.products)
    for function, seen, (vectors, slopes) in zip(energies_of, batch.seen, batch.turns, strict=True):
        gradients, turned = jax.jvp(jax.vmap(jax.grad(function)), (seen.vectors,), (vectors,))
        weights = seen.weights[:, None]
        pulls = jnp.einsum("rkxd,rd->rkx", slopes, gradients * weights)
        pulls = pulls + jnp.einsum("rkxd,rd->rkx", seen.slopes, turned * weights)
        products = products.at[seen.others].add(pulls).at[seen.centers].add(-pulls.sum(1))
    return products
