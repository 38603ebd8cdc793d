"""Energies: of the whole structure, of each atom, and of many structures."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import check_potential, prepare, prepare_padded
from jaxpot.core.chunks import map_rows
from jaxpot.core.graph import connect
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.structure import Structure
from jaxpot.observables.buckets import in_buckets
from jaxpot.observables.edges import Part, parts, seen_by, without_places
from jaxpot.observables.rows import chunks, poison, stripped
from jaxpot.potentials import message_passing
from jaxpot.potentials.base import Potential, cast
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.potentials.terms import chunk_energies
from jaxpot.typing import AnyArray, Array, Scalar, StructureLike


def energy(potential: Potential, structure: StructureLike, neighbors: Neighbors | None = None) -> Scalar:
    """Total energy, () eV: the sum of the site energies. The root of everything else."""
    check_potential(potential)
    structure = Structure.of(structure)
    structure = structure if len(structure) or neighbors is not None else structure.padded(1)
    return total_energy(*prepare(potential, structure, neighbors))


def site_energies(potential: Potential, structure: StructureLike, neighbors: Neighbors | None = None) -> AnyArray:
    """Energy of each atom, (n,) eV; they add up to `energy`."""
    n, prepared = prepare_padded(potential, structure, neighbors)
    return stripped(_site_energies(*prepared), n)


def energy_many(potential: Potential, structures: Sequence[StructureLike]) -> np.ndarray:
    """Energies of a list of structures, eV, a NumPy array; in buckets as `evaluate_many`, without derivatives."""
    return np.array(in_buckets(lambda s, listed, n: float(total_energy(potential, s, listed)), potential, structures))


@partial(jax.jit, static_argnames="max_blocks")
def _row_energies(potential, structure, neighbors, max_blocks=None):
    """Site energies of rows, and the atoms they belong to: a pair of arrays for each way in which addends are computed.

    To be differentiated: by blocks that are computed again.
    """
    bad = poison(potential, structure, neighbors)
    of_parts = [part_energies(part, structure, neighbors, max_blocks) for part in parts(potential)]
    return [(sites * bad, centers) for sites, centers in of_parts]


def part_energies(
    part: Part, structure: Structure, neighbors: Neighbors, max_blocks: int | None = None
) -> tuple[Array, Array]:
    """Site energies of rows and their atoms, of a `Part`."""
    if part.potential.local:
        return _of_sites(part.potential, structure, neighbors, max_blocks)
    term = cast(part.potential, structure.positions.dtype)
    neighbors, plan = seen_by(term, neighbors), neighbors.plan(part.place)
    if isinstance(term, MessagePassing):
        sites, centers = message_passing.row_energies(term, structure, neighbors, chunks(term, neighbors))
        return part.factor * sites, centers
    graph = connect(structure, neighbors, plan)
    sites = term.site_energies(without_places(graph) if term.edges_only else graph)
    return part.factor * jnp.where(graph.real, sites * graph.sound, 0.0), graph.centers


def _of_sites(potential, structure, neighbors, max_blocks):
    potential = cast(potential, structure.positions.dtype)

    def block(graph, per_chunk):
        def chunk(environments):
            return chunk_energies(potential, environments, neighbors)

        sites = per_chunk(jax.checkpoint(chunk), graph.environments())
        return jnp.where(graph.real, sites * graph.sound, 0.0), graph.centers

    return map_rows(block, potential, structure, neighbors, max_blocks)


@jax.jit
def total_energy(potential: Potential, structure: Structure, neighbors: Neighbors) -> jax.Array:
    """`energy` of prepared arguments."""
    # Few blocks: each adds a whole array of position derivatives when this is differentiated.
    total: Any = sum(jnp.sum(sites) for sites, _ in _row_energies(potential, structure, neighbors, max_blocks=32))
    return total


@jax.jit
def _site_energies(potential, structure, neighbors):
    energies = jnp.zeros(len(structure), structure.positions.dtype)
    for sites, centers in _row_energies(potential, structure, neighbors):
        energies = energies.at[centers].add(sites)
    return energies
