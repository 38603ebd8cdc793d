"""Rows of a neighbour list in chunks, and the derivatives of site energies by the vectors of a chunk."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.chunks import chunk_shape, cut
from jaxpot.core.devices import sharing
from jaxpot.core.graph import Graph, connect_rows, knows
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.structure import Structure
from jaxpot.potentials.base import Potential, cast
from jaxpot.potentials.terms import chunk_gradients
from jaxpot.typing import Array


def poison(potential: Potential, structure: Structure, neighbors: Neighbors) -> jax.Array:
    """() 1.0, or NaN where the list has been outgrown or an element is unknown."""
    good = neighbors.covers(structure, potential.extent()) & knows(potential.species, structure.numbers)
    return jnp.where(good, 1.0, jnp.nan).astype(structure.positions.dtype)


def nan_if_any(array: jax.Array) -> jax.Array:
    """() 1.0, or NaN if any element of `array` is NaN.

    Multiply every result by it, so that one NaN invalidates them all.
    """
    return jnp.where(jnp.isnan(jnp.sum(array)), jnp.nan, 1.0).astype(array.dtype)


def chunks(potential: Potential, neighbors: Neighbors) -> tuple[jax.Array, ...]:
    """The rows of a list in chunks, as many for each of the devices that share them."""
    rows, devices = neighbors.others.shape[0], sharing()
    count, _ = chunk_shape(rows, neighbors.capacity, potential.chunk_elements)
    count = -(-count // devices) * devices
    return cut(neighbors, count, max(1, -(-rows // count)))


def row_gradients(
    potential: Potential, structure: Structure, neighbors: Neighbors, rows: tuple[Array, ...]
) -> tuple[Graph, Array, tuple[Array, ...]]:
    """Graph of a chunk, site energies (rows,), and dE_i/dr_ik by component, each (rows, K)."""
    potential = cast(potential, structure.positions.dtype)
    graph = connect_rows(structure, neighbors, rows)
    return graph, *in_space(graph, *chunk_gradients(potential, graph.environments(), neighbors))


def in_space(graph: Graph, site: Array, gradient: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
    """Site energies, and their derivatives by the components of the vectors to the neighbours, of real rows only.

    Args:
        gradient: derivatives by x, y, z and, where these are held, by the distance, each (rows, K).
    """
    gx, gy, gz, gr = gradient
    keep = graph.filled & graph.real[:, None]
    along = gr / graph.distances
    gradient = tuple(
        jnp.where(keep, g + along * r, 0.0)
        for g, r in ((gx, graph.x), (gy, graph.y), (gz, graph.z))
    )
    return jnp.where(graph.real, site, 0.0), gradient


def stripped(array: jax.Array, n: int) -> jax.Array:
    """The first n entries, without padding."""
    # Slicing an array on the device would compile a small program for every n.
    return array if array.shape[0] == n else jnp.asarray(np.asarray(array)[:n])
