"""Inputs of networks for a whole data set, computed once: descriptor vectors and their derivatives.

The positions of the training set do not move. With vectors G_i and derivatives dG_i/dr_ik at hand an epoch is a few
matrix products, where differentiating the energy through the descriptor twice takes twenty to fifty times as long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.chunks import cut
from jaxpot.core.graph import connect_rows
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import Node, pytree
from jaxpot.core.structure import Structure
from jaxpot.descriptors.base import Descriptor
from jaxpot.fitting.networks.descent import Loss
from jaxpot.typing import ArrayField

_ROWS = 8  # atoms whose derivatives are computed at once


@pytree
class NetworkInputs(Node):
    """Inputs of one network in a batch: R vectors that q neighbours change each; spare ones have weight 0."""

    vectors: jax.Array  # (R, d), shifted and mixed
    slopes: jax.Array  # (R, q, 3, d) 1/A, their derivatives by the neighbours' positions, mixed likewise
    others: jax.Array  # (R, q), atom of the batch that each neighbour is
    centers: jax.Array  # (R,), atom whose energy it adds to
    frames: jax.Array  # (R,), frame of the batch
    bonds: jax.Array  # (R, q, 3) A, vectors to the neighbours
    weights: jax.Array  # (R,)
    weight_slopes: jax.Array | None  # (R, q, 3) 1/A; None where weights are 1


@pytree
class Batch(Node):
    """B frames with A atoms together, their targets, and 1 / sigma of these: 0 where there is no target."""

    inputs: tuple
    energies: ArrayField  # (B,) eV/atom
    forces: ArrayField  # (A, 3) eV/A
    stresses: ArrayField  # (B, 3, 3) eV/A^3
    energy_weights: ArrayField  # (B,)
    force_weights: ArrayField  # (A,)
    stress_weights: ArrayField  # (B,)
    per_atom: ArrayField  # (B,), 1 / atoms
    per_volume: ArrayField  # (B,) 1/A^3


@pytree
class HessianBatch(Node):
    """Frames with A atoms together and products of their Hessians with displacements."""

    inputs: tuple
    tangents: tuple  # of each network: derivatives of vectors, slopes, weights and their slopes along the displacements
    products: jax.Array  # (A, 3) eV/A
    weights: jax.Array  # (A,), 1 / sigma; 0 for spare atoms


@dataclass(frozen=True)
class FrameInputs:
    """Inputs of one network in one frame: the arrays of `NetworkInputs`, of vectors with a weight only."""

    vectors: np.ndarray
    slopes: np.ndarray
    weights: np.ndarray
    weight_slopes: np.ndarray | None
    others: np.ndarray
    centers: np.ndarray
    bonds: np.ndarray
    tangents: tuple | None = None  # of the first four along a displacement of the atoms


def frame_inputs(
    descriptor: Descriptor, structure: Structure, neighbors: Neighbors, dtype: np.dtype | type,
    vector: np.ndarray | None = None,
) -> FrameInputs:
    """`FrameInputs` of a prepared frame.

    Args:
        descriptor: of the network; atoms that it does not describe have no inputs.
        structure, neighbors: of the frame.
        dtype: of the slopes, which are most of the memory.
        vector: (n, 3) A, displacements of the atoms; given, the tangents along them are computed, too.
    """
    arguments = descriptor, structure, neighbors
    if vector is None:
        arrays, tangents = _rows(*arguments), None
    else:
        along = np.zeros(structure.positions.shape)
        along[: len(vector)] = vector
        arrays, tangents = _rows_and_tangents(*arguments, along)
    weights, places, bonds = (np.asarray(arrays[k]) for k in (2, 4, 5))
    rows, which = np.nonzero(weights)  # atoms, and which of their vectors
    places = places[which]  # (R, q)
    filled = places < np.asarray(neighbors.counts)[rows, None]
    centers = np.asarray(neighbors.centers)[rows]
    others = np.where(filled, np.asarray(neighbors.others)[rows[:, None], places], centers[:, None])

    def kept(arrays):
        """Vectors, slopes, weights and their slopes, without what empty places add."""
        vectors, slopes, weights, weight_slopes = (np.asarray(a)[rows, which] for a in arrays[:4])
        slopes = np.where(filled[..., None, None], slopes, 0.0).astype(dtype)
        weight_slopes = np.where(filled[..., None], weight_slopes, 0.0)
        return vectors, slopes, weights, None if descriptor.one_vector else weight_slopes

    bonds = np.where(filled[..., None], bonds[rows[:, None], places], 0.0)
    vectors, slopes, weights, weight_slopes = kept(arrays)
    along_vector = None if tangents is None else kept(tangents)
    return FrameInputs(vectors, slopes, weights, weight_slopes, others, centers, bonds, along_vector)


@jax.jit
def _rows(descriptor, structure, neighbors):
    """Vectors (n, m, d), slopes (n, m, q, 3, d), weights (n, m), their slopes, places (m, q), bonds (n, K, 3)."""
    def chunk(_, rows):
        graph = connect_rows(structure, neighbors, rows)
        environments = graph.environments().first(width)
        vectors, weights, places, changes, weight_changes = jax.vmap(descriptor.jacobian)(environments)
        weights = jnp.where(graph.real[:, None], weights, 0.0)
        return None, (vectors, changes, weights, weight_changes, environments.vectors, places)

    rows, width = neighbors.others.shape[0], neighbors.places(descriptor.cutoff)
    count = -(-rows // _ROWS)
    _, chunks = jax.lax.scan(chunk, None, cut(neighbors, count, _ROWS))
    *chunks, bonds, places = jax.tree.map(lambda a: a.reshape(count * _ROWS, *a.shape[2:])[:rows], chunks)
    return *chunks, places[0], bonds


@jax.jit
def _rows_and_tangents(descriptor, structure, neighbors, vector):
    def rows(positions):
        *arrays, places, bonds = _rows(descriptor, structure.moved(positions), neighbors)
        return tuple(arrays), (places, bonds)

    arrays, tangents, (places, bonds) = jax.jvp(rows, (structure.positions,), (vector,), has_aux=True)
    return (*arrays, places, bonds), tangents


def predicted(energies_of: Sequence[Callable], batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Energies (B,) eV/atom, forces (A, 3) and stresses (B, 3, 3) that networks predict for a batch.

    Args:
        energies_of: for each network, a function from a vector (d,) to an energy () eV.
        batch: `Batch`.
    """
    energies, forces = jnp.zeros_like(batch.energies), jnp.zeros_like(batch.forces)
    virials = jnp.zeros_like(batch.stresses)
    for function, inputs in zip(energies_of, batch.inputs, strict=True):
        values, gradients = jax.vmap(jax.value_and_grad(function))(inputs.vectors)
        pulls = jnp.einsum("rkxd,rd->rkx", inputs.slopes, gradients * inputs.weights[:, None])  # dE_i / dr_ik
        if inputs.weight_slopes is not None:
            pulls = pulls + inputs.weight_slopes * values[:, None, None]
        energies = energies.at[inputs.frames].add(values * inputs.weights)
        forces = forces.at[inputs.others].add(-pulls).at[inputs.centers].add(pulls.sum(1))
        virials = virials.at[inputs.frames].add(jnp.einsum("rkx,rky->rxy", inputs.bonds, pulls))
    return energies * batch.per_atom, forces, virials * batch.per_volume[:, None, None]


def hessian_products(energies_of: Sequence[Callable], batch: HessianBatch) -> jax.Array:
    """Products of the Hessian of networks with the displacements of a `HessianBatch`, (A, 3) eV/A.

    Along a displacement u the derivative of the forces w J^T g, with J the slopes, g the gradient of a network by its
    vectors x, and w their weights, is w (dJ/du)^T g + w J^T (dg/dx) (J u) + (dw/du) J^T g; that of y dw/dr likewise.
    """
    products = jnp.zeros_like(batch.products)
    for function, inputs, tangents in zip(energies_of, batch.inputs, batch.tangents, strict=True):
        vectors, slopes, weights, weight_slopes = tangents
        (values, gradients), (turned_values, turned) = jax.jvp(
            jax.vmap(jax.value_and_grad(function)), (inputs.vectors,), (vectors,)
        )
        own_weights = inputs.weights[:, None]
        pulls = jnp.einsum("rkxd,rd->rkx", slopes, gradients * own_weights)
        pulls = pulls + jnp.einsum("rkxd,rd->rkx", inputs.slopes, turned * own_weights + gradients * weights[:, None])
        if inputs.weight_slopes is not None:
            pulls = pulls + weight_slopes * values[:, None, None] + inputs.weight_slopes * turned_values[:, None, None]
        products = products.at[inputs.others].add(pulls).at[inputs.centers].add(-pulls.sum(1))
    return products


class PrecomputedLoss(Loss):
    """Loss of networks whose inputs do not change while they are trained.

    Args:
        scales: offset and scale of the output of each network, eV.
    """

    def __init__(self, scales: Sequence[tuple]) -> None:
        self.scales = scales

    def predict(self, networks: tuple, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        return predicted(self._energies(networks), batch)

    def hessian_products(self, networks: tuple, batch: HessianBatch) -> jax.Array:
        return hessian_products(self._energies(networks), batch)

    def _energies(self, networks):
        return [
            lambda x, network=network, offset=offset, scale=scale: offset + scale * network(x)
            for network, (offset, scale) in zip(networks, self.scales, strict=True)
        ]
