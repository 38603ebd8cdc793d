"""Neighbour lists for dynamics: a wide one made on the host, and a short one pruned from it inside jit.

Rows of the short list are short, so that energies are cheap; it is outgrown after some ten steps and pruned anew, where
the wide list still holds every pair that it must. Only when the wide list is outgrown does the host search again.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import checked_neighbors
from jaxpot.core import linalg
from jaxpot.core.graph import connect
from jaxpot.core.neighbors import Neighbors, round_capacity
from jaxpot.core.precision import product
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.potentials.base import Potential
from jaxpot.typing import Array

WIDE_SKIN = 2.0  # A, of the wide list
_SLACK = 2  # places more than the first structure needs


@pytree
class Lists(Node):
    """A wide list and a short one of the same atoms.

    needed: () int, the largest number of neighbours of a row when the short list was pruned: more than its capacity if
    it does not hold them; inner_needed: the same for the first places of rows, one for each shorter cutoff.
    """

    wide: Neighbors
    short: Neighbors
    needed: jax.Array
    inner_needed: jax.Array
    skin: float = static()

    @property
    def sound(self) -> Array:
        """() bool: the short list holds every pair within its radius."""
        places = jnp.array([count for _, count in self.short.inner], self.inner_needed.dtype)
        return (self.needed <= self.short.capacity) & jnp.all(self.inner_needed <= places)

    def covers(self, structure: Structure, extent: float | Array) -> Array:
        """Whether the short list serves this structure; () bool."""
        return self.short.covers(structure, extent)

    def may_prune(self, structure: Structure) -> Array:
        """Whether the wide list holds every pair that a short one of this structure must; () bool."""
        return self.wide.covers(structure, self.wide.cutoff + self.skin)

    def pruned(self, structure: Structure) -> "Lists":
        """Prune the short list anew for a structure."""
        return prune(self.wide, structure, self.skin, self.short.capacity, self.short.inner)


@dataclass(frozen=True)
class Room:
    """Capacities of lists: programs are compiled for them, so they grow seldom, and in steps that other runs share.

    wide, short: places of a row; inner: (cutoff, first places of the short rows that hold all within it).
    """

    wide: int
    short: int
    inner: tuple

    @classmethod
    def of(cls, lists: Lists) -> Self:
        """Capacities of existing lists."""
        return cls(lists.wide.capacity, lists.short.capacity, lists.short.inner)

    def grown(self, most: int, lists: Lists) -> "Room":
        """Capacities raised to 1.2 times the present need wherever that exceeds them; when one row overflows, others
        are about to.

        Args:
            most: needed in a row of the wide list.
            lists: `Lists` that say what the short one needs.
        """
        inner = tuple(
            (cutoff, max(places, _enough(needed)))
            for (cutoff, places), needed in zip(self.inner, lists.inner_needed.tolist(), strict=True)
        )
        short = max(self.short, _enough(int(lists.needed)))
        return Room(max(self.wide, _enough(most)), short, tuple((c, min(short, n)) for c, n in inner))

    @classmethod
    def of_all(cls, rooms: "Collection[Room]") -> Self:
        """Capacities that several lists of one potential can share."""
        inner = zip(*(room.inner for room in rooms), strict=True)
        return cls(
            max(room.wide for room in rooms), max(room.short for room in rooms),
            tuple((same[0][0], max(places for _, places in same)) for same in inner),
        )


def _roomy(count):
    return round_capacity(max(count + _SLACK, int(1.1 * count)))


def _enough(count):
    """Smallest of 3, 4, 6, 8, 12, 16, ... that is at least a fifth above a count."""
    power = 2 ** math.ceil(math.log2(max(4, 1.2 * count)))
    return power * 3 // 4 if 1.2 * count <= power * 3 // 4 else power


def build(
    potential: Potential, structure: Structure, skin: float, wide_skin: float = WIDE_SKIN,
    outgrown: Lists | None = None, room: Room | None = None,
) -> Lists:
    """Lists of a structure, made on the host.

    Args:
        potential, structure: concrete.
        skin, wide_skin: A.
        outgrown: `Lists` that these are to follow: rows stay as long, so that programs fit, unless one is too short.
        room: capacities at the least, in the place of those.

    Returns:
        `Lists`.
    """
    wide = wide_list(potential, structure, wide_skin)
    most = int(np.max(wide.counts, initial=0))
    if room is not None:
        room = replace(room, wide=room.wide if most <= room.wide else _enough(most))
    elif outgrown is None:
        start = checked_neighbors(potential, structure, skin=skin)
        short = _roomy(int(np.max(start.counts, initial=0)))
        room = Room(_roomy(most), short, tuple((cutoff, min(short, _roomy(places))) for cutoff, places in start.inner))
    else:
        room = Room.of(outgrown)
        if most > room.wide or not bool(outgrown.sound):
            room = room.grown(most, outgrown)
    while True:
        lists = prune(jax.device_put(wide.in_rows_of(room.wide)), structure, skin, room.short, room.inner)
        if bool(lists.sound):
            return lists
        room = room.grown(most, lists)


def wide_list(potential: Potential, structure: Structure, wide_skin: float) -> Neighbors:
    """`Neighbors` within cutoff + wide_skin; only the short list needs to know how many are within shorter cutoffs."""
    found = checked_neighbors(potential, structure, skin=wide_skin)
    return found.replace(inner=(), inner_reach=found.inner_reach[:0])


@partial(jax.jit, static_argnames=("skin", "capacity", "inner"))
def prune(wide: Neighbors, structure: Structure, skin: float, capacity: int, inner: tuple) -> Lists:
    """`Lists` with the pairs of a wide list that are within its cutoff + skin now; pure."""
    structure = jax.tree.map(jax.lax.stop_gradient, structure)
    graph = connect(structure, wide)
    radius = wide.cutoff + skin
    inside = graph.filled & (graph.distances <= radius)
    place, counts = _places(inside, graph.distances, [cutoff + skin for cutoff, _ in inner], capacity)
    # Which column of the wide list is in each place of the short one; comparing all with all takes 50 times as long.
    rows = jnp.arange(place.shape[0])[:, None]
    column = jax.lax.broadcasted_iota(jnp.int32, place.shape, 1)
    order = jnp.zeros((place.shape[0], capacity), jnp.int32).at[rows, place].set(column, mode="drop")
    empty = jnp.arange(capacity)[None] >= counts[:, None]
    others = jnp.where(empty, wide.centers[:, None], jnp.take_along_axis(wide.others, order, 1))
    shifts = jnp.where(empty[None], 0, jnp.take_along_axis(wide.shifts, order[None], 2))
    distances = jnp.where(empty, jnp.inf, jnp.take_along_axis(graph.distances, order, 1))
    column = jnp.arange(capacity)
    inner_reach = [jnp.min(jnp.where(column >= n, distances, jnp.inf), initial=radius) for _, n in inner]
    inner_needed = [jnp.max(jnp.sum(distances <= cutoff + skin, axis=1), initial=0) for cutoff, _ in inner]
    dtype = structure.positions.dtype
    short = Neighbors(
        centers=wide.centers, others=others, shifts=shifts.astype(wide.shifts.dtype),
        counts=jnp.minimum(counts, capacity).astype(wide.counts.dtype), real=wide.real,
        reach=jnp.asarray(radius, dtype), positions=structure.positions, cell=structure.cell,
        inverse=_inverse(structure), atoms=wide.atoms, inner_reach=jnp.array(inner_reach, dtype),
        plans=wide.plans, cutoff=wide.cutoff, skin=skin, pbc=wide.pbc, inner=inner,
    )
    return Lists(
        wide, short, jnp.max(jnp.where(wide.real, counts, 0), initial=0).astype(jnp.int32),
        jnp.array(inner_needed, jnp.int32), skin,
    )


def _places(inside, distances, cutoffs, capacity):
    """Places of the neighbours in short rows, those within shorter cutoffs first; `capacity` for none, and counts."""
    place, counts = jnp.full(inside.shape, capacity), jnp.zeros(inside.shape[:1], jnp.int32)
    for cutoff in (*cutoffs, jnp.inf):
        near = inside & (distances <= cutoff)
        rank = jnp.cumsum(near, axis=1, dtype=jnp.int32)
        place = jnp.where(near, counts[:, None] + rank - 1, place)
        inside, counts = inside & ~near, counts + rank[:, -1]
    return place, counts


def _inverse(structure: Structure) -> Array:
    """Pseudo-inverse of the periodic rows of the cell, as a list keeps it."""
    periodic = np.flatnonzero(structure.pbc)
    found = jnp.zeros((3, 3), structure.cell.dtype)
    if len(periodic) == 0:
        return found
    if len(periodic) == 3:
        return linalg.inverse(structure.cell)
    rows = structure.cell[periodic]
    return found.at[:, periodic].set(linalg.solve(product(rows, rows.T), rows).T)
