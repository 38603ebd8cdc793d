"""Potentials with sums over all atoms (`potentials.shared_sums`) on several devices, each with its part of the rows."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxpot.core.devices import sum_shares
from jaxpot.core.graph import connect_rows
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.structure import Structure
from jaxpot.observables.edges import Part, seen_by
from jaxpot.observables.rows import chunks
from jaxpot.potentials.base import cast
from jaxpot.potentials.shared_sums import pulls_of_sites, pulls_through_sums
from jaxpot.typing import Array


def of_shared_sums(part: Part, structure: Structure, neighbors: Neighbors) -> tuple[Array, Array, Array, Array]:
    """Energy (), site energies (n,), forces (n, 3) and dE/dstrain (3, 3) of a part that is a `SharedSums`."""
    term = cast(part.potential, structure.positions.dtype)
    listed = seen_by(term, neighbors)
    share = chunks(term, listed), term, structure, listed, neighbors.plan(part.place)
    sums = sum_shares(_sums, *share)
    value, sites, near, strain, slopes = sum_shares(_of_sites, *share, sums)
    forces, strained = sum_shares(_through_sums, *share, slopes)
    return jax.tree.map(partial(jnp.multiply, part.factor), (value, sites, near + forces, strain + strained))


def _sums(rows, term, structure, listed, plan):
    graph = _graph_of(rows, structure, listed, plan)
    return term.sums(graph, _atoms_of(graph))


def _of_sites(rows, term, structure, listed, plan, sums):
    real = _graph_of(rows, structure, listed, plan).real
    return pulls_of_sites(term, lambda now: _graph_of(rows, now, listed, plan), structure, real, sums)


def _through_sums(rows, term, structure, listed, plan, slopes):
    counted = _atoms_of(_graph_of(rows, structure, listed, plan))
    return pulls_through_sums(term, lambda now: _graph_of(rows, now, listed, plan), structure, counted, slopes)


def _graph_of(rows, structure, listed, plan):
    """The graph of a device's chunks of rows."""
    return connect_rows(structure, listed, tuple(array.reshape(-1, *array.shape[2:]) for array in rows), plan)


def _atoms_of(graph):
    """(n,) bool: atoms that have a row here."""
    return jnp.zeros(graph.n_atoms, bool).at[graph.centers].max(graph.real)
