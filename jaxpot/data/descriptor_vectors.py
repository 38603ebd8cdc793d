"""Vectors of a descriptor in all environments of a data set: sparse points are chosen from them."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.chunks import chunk_shape, cut
from jaxpot.core.graph import connect_rows
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.structure import Structure
from jaxpot.descriptors.base import Descriptor

_CHUNK = 2560  # neighbours


@jax.jit
def vectors_of(descriptor: Descriptor, structure: Structure, neighbors: Neighbors) -> tuple[jax.Array, jax.Array]:
    """Vectors (rows, m, d) and weights (rows, m) of all rows of a list; those of rows without an atom weigh 0."""

    def chunk(_, rows):
        graph = connect_rows(structure, neighbors, rows)
        vectors, weights = jax.vmap(descriptor.instances)(graph.environments().first(places))
        return None, (vectors, jnp.where(graph.real[:, None], weights, 0.0))

    rows, places = neighbors.others.shape[0], neighbors.places(descriptor.cutoff)
    count, size = chunk_shape(rows, places, _CHUNK)
    _, chunks = jax.lax.scan(chunk, None, cut(neighbors, count, size))
    return jax.tree.map(lambda a: a.reshape(count * size, *a.shape[2:])[:rows], chunks)


def descriptor_vectors(
    descriptor: Descriptor, prepared: Sequence[tuple[Structure, Neighbors]], limit: int | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the instances of a descriptor in many frames, of any weight but zero.

    Args:
        descriptor: a `Descriptor`.
        prepared: pairs (structure, neighbours) of `prepare_frames`.
        limit: keep at most this many of each frame, by chance.
        seed: of that chance.

    Returns:
        Vectors (N, d), and where each of them is, (N, 3): its frame, atom and number among the instances of the
        atom's row; NumPy.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for k, (structure, neighbors) in enumerate(prepared):
        vectors, weights = map(np.asarray, vectors_of(descriptor, structure, neighbors))
        row, instance = np.nonzero(weights)
        if limit is not None and len(row) > limit:
            keep = np.sort(rng.choice(len(row), limit, replace=False))
            row, instance = row[keep], instance[keep]
        atoms = np.asarray(neighbors.centers)[row]
        parts.append((vectors[row, instance], np.stack([np.full(len(row), k), atoms, instance], axis=1)))
    vectors, places = (np.concatenate(column) for column in zip(*parts, strict=True))
    return vectors, places
