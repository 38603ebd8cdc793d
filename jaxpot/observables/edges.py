"""Sums over the edges of a graph, chunk by chunk: what forces, stress and virials are made of.

A model whose energy depends on the vectors r_ik between neighbours alone is known by dE/dr_ik. A local potential gives
these in one pass over the rows of the list, a model of several hops in one pass for each hop, backwards, and any other
in one piece. An `EdgeSum` says what is summed of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.core.chunks import scan_chunks
from jaxpot.core.devices import sharing, sum_shares
from jaxpot.core.graph import Graph, connect, connect_rows
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.structure import Structure
from jaxpot.observables.rows import chunks, in_space, row_gradients
from jaxpot.potentials import message_passing
from jaxpot.potentials.base import Potential, addends, cast
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.typing import Array, PyTree


@dataclass(frozen=True)
class EdgeSum:
    """Sums over rows.

    Args:
        zero: a tree of arrays, where the sums begin.
        add: (sums, graph of a chunk, site energies (rows,), dE/dr_ik by component (rows, K)) -> (sums, left): what is
            left of a chunk is stacked over chunks.
        total: (sums, stacked left) -> a tree of arrays that are sums over all rows.
    """

    zero: Any
    add: Callable
    total: Callable = lambda sums, left: sums


@dataclass(frozen=True)
class Part:
    """A part of a potential that is computed in its own way: factor * potential; `place` among its addends."""

    factor: Any
    potential: Potential
    place: int | None = None

    @property
    def whole(self) -> Potential:
        """factor * potential."""
        one = isinstance(self.factor, float) and self.factor == 1.0
        return self.potential if one else self.factor * self.potential


def parts(potential: Potential) -> list[Part]:
    """Parts that add up to a potential: what is local together and first, then each other addend."""
    if potential.local:
        return [Part(1.0, potential)]
    pairs = list(enumerate(addends(potential)))
    local = [Part(f, t).whole for _, (f, t) in pairs if t.local]
    others = [Part(f, t, place) for place, (f, t) in pairs if not t.local]
    return ([Part(1.0, sum(local[1:], local[0]))] if local else []) + others


def seen_by(term: Potential, neighbors: Neighbors) -> Neighbors:
    """The list in rows that are as short as a part allows; the terms of a local one shorten their own."""
    if term.local:
        return neighbors
    extent = term.extent()
    return neighbors.first(neighbors.places(term.cutoff)) if isinstance(extent, float | int) else neighbors


def sum_over_edges(
    make: Callable[..., EdgeSum],
    parts: Sequence[Part],
    structure: Structure,
    neighbors: Neighbors,
    *arguments: Array,
) -> PyTree:
    """Sums over all edges of parts of a potential that depend on these alone.

    Args:
        make: (structure, pairwise, *arguments) -> `EdgeSum`; pairwise: see `Potential.pairwise`.
        parts: `Part`s, one at least.

    Returns:
        What `total` of the accumulator returns.
    """
    sums = []
    for part in parts:
        term = part.potential
        if sharing() > 1 and term.has_hops:  # written hop by hop, so that devices have their rows of each
            term = term.by_hops(structure, seen_by(term, neighbors))
        route = _of_sites if term.local else _of_hops if isinstance(term, MessagePassing) else _of_graph
        of_part = route(make, term, structure, seen_by(term, neighbors), *arguments)
        sums.append(jax.tree.map(partial(jnp.multiply, part.factor), of_part))
    return added(sums)


def added(trees: Sequence[PyTree]) -> PyTree:
    """The sum of trees of arrays, one at least."""
    return jax.tree.map(lambda first, *others: sum(others, first), *trees)


def _of_sites(make, potential, structure, neighbors, *arguments):
    """Of a local potential: one pass over the rows."""
    def share(rows, potential, structure, neighbors, *arguments):
        accumulator = make(structure, potential.pairwise, *arguments)

        def chunk(sums, rows):
            return accumulator.add(sums, *row_gradients(potential, structure, neighbors, rows))

        return accumulator.total(*scan_chunks(chunk, accumulator.zero, rows, neighbors.filled))

    return sum_shares(share, _counted(potential, neighbors), potential, structure, neighbors, *arguments)


def _counted(potential, neighbors):
    """Rows in chunks, those real that have an energy."""
    return chunks(potential, neighbors if neighbors.counted is None else neighbors.replace(real=neighbors.counted))


def _of_hops(make, potential, structure, neighbors, *arguments):
    """Of a model of several hops: forward by atoms, then one pass over the rows for each layer, backwards."""
    potential = cast(potential, structure.positions.dtype)
    rows = chunks(potential, neighbors)
    counted = _counted(potential, neighbors)
    states = message_passing.atom_states(potential, structure, neighbors, rows, shared=True)
    whole, slopes = None, None
    for layer in reversed(range(len(states))):
        def share(rows, potential, structure, neighbors, state, slopes, *arguments, layer=layer):
            accumulator = make(structure, False, *arguments)

            def chunk(carry, rows):
                sums, back = carry
                graph = connect_rows(structure, neighbors, rows)
                site, (*along, by_distance), step = message_passing.pulled_layer(potential, layer, graph, state, slopes)
                sums, left = accumulator.add(sums, graph, *in_space(graph, site, (*along, by_distance)))
                return (sums, jax.tree.map(jnp.add, back, step)), left

            zeros = (accumulator.zero, jax.tree.map(jnp.zeros_like, state))
            start = zeros if slopes is None else _after(zeros, slopes)
            (sums, back), left = scan_chunks(chunk, start, rows, neighbors.filled)
            return accumulator.total(sums, left), back

        taken = counted if whole is None else rows
        sums, slopes = sum_shares(share, taken, potential, structure, neighbors, states[layer], slopes, *arguments)
        whole = sums if whole is None else jax.tree.map(jnp.add, whole, sums)
    return whole


def _after(zeros, before):
    """Zeros that XLA cannot make until `before` is known: those of all layers, made at once, would stay in memory."""
    zero = 0.0 * jax.lax.stop_gradient(jax.tree.leaves(before)[0].ravel()[0])
    return jax.tree.map(lambda a: a + zero.astype(a.dtype), zeros)


def _of_graph(make, potential, structure, neighbors, *arguments):
    """Of any other: all rows at once, the structure in the graph without positions and cell."""
    potential = cast(potential, structure.positions.dtype)
    graph = without_places(connect(structure, neighbors))

    def energies(x, y, z, r):
        return jnp.where(graph.real, potential.site_energies(graph.replace(x=x, y=y, z=z, distances=r)), 0.0)

    site, pull = jax.vjp(energies, graph.x, graph.y, graph.z, graph.distances)
    accumulator = make(structure, False, *arguments)
    sums, left = accumulator.add(accumulator.zero, graph, *in_space(graph, site, pull(jnp.ones_like(site))))
    return accumulator.total(sums, jax.tree.map(lambda a: a[None], left))


def without_places(graph: Graph) -> Graph:
    """The graph with NaN for positions and cell of its structure: a model that reads them gives no plausible number."""
    structure = graph.structure
    nowhere = jnp.full_like(structure.positions, jnp.nan), jnp.full_like(structure.cell, jnp.nan)
    return graph.replace(structure=structure.moved(*nowhere))


def forces_and_strains(structure: Structure, pairwise: bool, with_stress: Array) -> EdgeSum:
    """Energy (), site energies (n,), forces (n, 3) and dE/dstrain (3, 3), NaN unless asked for.

    F_i = sum_k (dE/dr_ik - dE/dr_ki),  dE/dstrain = sum_ik r_ik (x) dE/dr_ik
    """
    n = len(structure)

    def add(forces, graph, site, gradient):
        gradient = jnp.stack(gradient)

        def strained(gradient):
            vectors = jnp.stack([graph.x, graph.y, graph.z])
            return jnp.einsum("amk,bmk->mab", vectors, gradient, precision="highest").sum(0)

        def nothing(gradient):
            return jnp.full((3, 3), jnp.nan, gradient.dtype)

        virial = jax.lax.cond(with_stress, strained, nothing, gradient)
        # What a pair leaves at its other end is in that atom's own row, too; adding it here is slow.
        forces = forces if pairwise else forces.at[graph.others].add(-jnp.moveaxis(gradient, 0, -1))
        at_center = (2.0 if pairwise else 1.0) * gradient.sum(2).T
        forces = forces.at[graph.centers].add(jnp.where(graph.real[:, None], at_center, 0.0))
        return forces, (site, graph.centers, virial)

    def total(forces, left):
        site, centers, virial = left
        site = site.reshape(-1)
        energies = jnp.zeros(n, forces.dtype).at[centers.reshape(-1)].add(site)
        return site.sum(), energies, forces, virial.sum(0)

    return EdgeSum(jnp.zeros((n, 3), structure.positions.dtype), add, total)


def atom_virials(structure: Structure, pairwise: bool) -> EdgeSum:
    """W_i = -sum_k r_ik (x) dE/dr_ik, (n, 3, 3)."""
    def add(virials, graph, site, gradient):
        outer = jnp.einsum("amk,bmk->mab", jnp.stack([graph.x, graph.y, graph.z]), jnp.stack(gradient))
        return virials.at[graph.centers].add(-outer), None

    return EdgeSum(jnp.zeros((len(structure), 3, 3), structure.positions.dtype), add)
