"""Short lists pruned from wide ones hold what a search on the host finds, and rows grow in steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.core.graph import connect
from jaxpot.md import lists
from jaxpot.md.lists import Room, _enough, _inverse, _places, _roomy, build, prune, wide_list

SKIN, EXTENT = 0.4, 3.6
INNER = ((2.0, 3), (2.5, 4))
PAIRS = jp.potentials.LennardJones(0.01, 2.0, EXTENT)


def crystal(seed=0, scale=0.15):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(scale, seed=seed)
    return jp.Structure.of(atoms)


def pairs(structure, listed):
    """(i, j, distance in 1e-6 A), sorted."""
    graph = connect(structure, listed)
    filled = np.asarray(graph.filled)
    i = np.broadcast_to(np.asarray(listed.centers)[:, None], filled.shape)
    found = zip(*(a[filled].tolist() for a in (i, np.asarray(listed.others), np.asarray(graph.distances))), strict=True)
    return sorted((i, j, round(d * 1e6)) for i, j, d in found)


@pytest.fixture(scope="module")
def wide():
    return jax.device_put(wide_list(PAIRS, crystal(), 2.0))


def test_a_wide_list(wide):
    assert wide.radius == EXTENT + 2.0 and wide.inner == () and wide.inner_reach.shape == (0,)
    terms = wide_list(jp.load("sw-silicon") + jp.potentials.ZBL(1.0, 1.8), crystal(), 1.0)
    assert terms.inner == () and terms.inner_reach.shape == (0,)
    assert pairs(crystal(), wide) == pairs(crystal(), jp.neighbors(crystal(), EXTENT, 2.0))


def test_a_short_list_holds_what_the_host_finds(wide):
    later = crystal(1)
    found = prune(wide, later, SKIN, 20, INNER)
    graph, short = connect(later, jp.neighbors(later, EXTENT, SKIN)), found.short
    within = np.asarray(graph.filled) & (np.asarray(graph.distances) <= EXTENT + SKIN)
    expected = sorted(round(d * 1e6) for d in np.asarray(graph.distances)[within])
    assert sorted(d for _, _, d in pairs(later, short)) == expected
    counts = within.sum(1)
    order = np.argsort(np.asarray(short.centers))
    np.testing.assert_array_equal(np.asarray(short.counts)[order], counts[np.argsort(np.asarray(graph.centers))])
    assert int(found.needed) == counts.max() and bool(found.sound)
    assert (short.cutoff, short.skin, short.capacity, short.inner) == (EXTENT, SKIN, 20, INNER)
    assert float(short.reach) == pytest.approx(EXTENT + SKIN)
    np.testing.assert_array_equal(short.positions, later.positions)
    np.testing.assert_allclose(short.inverse, np.linalg.inv(later.cell), atol=1e-12)

    distances = np.where(np.asarray(connect(later, short).filled), np.asarray(connect(later, short).distances), np.inf)
    for k, (cutoff, count) in enumerate(INNER):
        near = (distances <= cutoff + SKIN).sum(1)
        assert int(found.inner_needed[k]) == near.max()
        beyond = min(distances[:, count:].min(), EXTENT + SKIN)
        assert float(short.inner_reach[k]) == pytest.approx(beyond)
        for row, n in zip(distances, near, strict=True):
            assert row[:n].max(initial=0.0) <= cutoff + SKIN < row[n:].min()
    empty = np.arange(20) >= np.asarray(short.counts)[:, None]
    assert (np.asarray(short.others) == np.asarray(short.centers)[:, None])[empty].all()
    assert not np.asarray(short.shifts)[:, empty].any()
    assert bool(found.covers(later, EXTENT)) and not bool(found.covers(crystal(2), EXTENT))
    assert bool(found.may_prune(later)) and not bool(found.may_prune(crystal(2, 1.0)))
    again = found.pruned(crystal())
    assert (again.short.capacity, again.short.inner, again.skin) == (20, INNER, SKIN)
    assert pairs(crystal(), again.short) == pairs(crystal(), prune(wide, crystal(), SKIN, 20, INNER).short)


def test_rows_that_are_too_short_are_known(wide):
    full = prune(wide, crystal(1), SKIN, 20, INNER)
    for needed, inner, sound in ((20, (3, 4), True), (21, (3, 4), False), (20, (4, 4), False), (20, (3, 5), False)):
        assert bool(full.replace(needed=jnp.array(needed), inner_needed=jnp.array(inner)).sound) is sound
    most = int(full.needed)
    cut = prune(wide, crystal(1), SKIN, most - 1, ())
    assert not bool(cut.sound) and int(cut.needed) == most and int(cut.short.counts.max()) == most - 1


def test_may_prune_wants_what_a_new_short_list_holds(wide):
    """reach - 2 moved >= cutoff + skin; the reach of the wide list is 5.8 A or less."""
    found = prune(wide, crystal(), SKIN, 20, INNER)
    room = (float(wide.reach) - EXTENT - SKIN) / 2
    for far, serves in ((0.99 * room, True), (1.01 * room, False)):
        shift = np.zeros((8, 3))
        shift[:2, 0] = far, -far
        assert bool(found.may_prune(crystal().moved(crystal().positions + shift))) is serves


def test_build_follows_what_was_outgrown():
    first = build(PAIRS, crystal(), SKIN)
    most = int(np.max(np.asarray(first.wide.counts)))
    short = int(np.max(jp.neighbors(crystal(), EXTENT, SKIN).counts))
    assert (first.wide.capacity, first.short.capacity) == (_roomy(most), _roomy(short))
    assert bool(first.sound) and first.wide.skin == lists.WIDE_SKIN and first.short.skin == first.skin == SKIN
    assert build(PAIRS, crystal(), SKIN, 1.0).wide.skin == 1.0
    assert Room.of(build(PAIRS, crystal(1), SKIN, outgrown=first)) == Room.of(first)
    tight = crystal().strained(-0.2 * np.eye(3))
    grown = build(PAIRS, tight, SKIN, outgrown=first)
    needed = int(np.max(np.asarray(grown.wide.counts)))
    assert bool(grown.sound) and grown.wide.capacity == _enough(needed) > first.wide.capacity
    assert grown.short.capacity >= int(grown.needed) > first.short.capacity


def test_rooms_grow_by_a_fifth_where_they_must():
    class Needs:
        needed, inner_needed = np.array(30), np.array([3, 40])

    room = Room(100, 20, ((2.0, 8), (2.5, 9)))
    assert room.grown(50, Needs) == Room(100, 48, ((2.0, 8), (2.5, 48)))
    assert room.grown(101, Needs).wide == 128
    Needs.needed = np.array(3)
    assert room.grown(0, Needs) == Room(100, 20, ((2.0, 8), (2.5, 20)))


def test_steps_of_rows():
    assert [_enough(n) for n in (0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 13, 14, 20, 40)] == [
        3, 3, 3, 4, 6, 6, 8, 12, 12, 16, 16, 24, 24, 48,
    ]
    assert [_roomy(n) for n in (0, 2, 3, 6, 7, 18, 19, 20, 21, 40, 60, 100)] == [
        4, 4, 8, 8, 12, 20, 24, 24, 24, 44, 72, 112,
    ]


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, True, False), (False, False, False)])
def test_the_inverse_of_the_periodic_rows(pbc):
    cell = np.array([[4.0, 0.3, 0.1], [0.2, 5.0, -0.4], [0.6, 0.0, 6.0]])
    inverse = np.asarray(_inverse(jp.Structure(np.zeros((1, 3)), cell, [14], pbc=pbc)))
    expected = np.zeros((3, 3))
    if any(pbc):
        expected[:, np.array(pbc)] = np.linalg.pinv(cell[np.array(pbc)])
    np.testing.assert_allclose(inverse, expected, atol=1e-14)


def test_places_of_the_nearest_come_first():
    distances = jnp.array([[3.0, 1.0, 4.0, 2.0], [9.0, 9.0, 1.5, 1.0]])
    place, counts = _places(distances < 9.0, distances, [1.2, 2.5], 7)
    assert place.tolist() == [[2, 0, 3, 1], [7, 7, 1, 0]] and counts.tolist() == [4, 2]
