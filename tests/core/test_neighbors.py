"""Neighbour lists are exact in any cell, and know when they have been outgrown."""

import jax.numpy as jnp
import numpy as np
import pytest
from image_sum import image_pairs, random_case

from jaxpot.core.graph import connect
from jaxpot.core.neighbors import neighbors
from jaxpot.core.structure import Structure
from jaxpot.errors import CapacityError, GeometryError, ResourceError


def listed_pairs(structure, listed, cutoff):
    """Keys (i, j, shift) and vectors of the pairs of a list within the cutoff, in NumPy."""
    filled = (np.arange(listed.capacity) < np.asarray(listed.counts)[:, None]) & np.asarray(listed.real)[:, None]
    row, k = np.nonzero(filled)
    i, j = np.asarray(listed.centers)[row], np.asarray(listed.others)[row, k]
    shifts = np.asarray(listed.shifts)[:, row, k].T.astype(int)
    positions = np.asarray(structure.positions)
    vectors = positions[j] - positions[i] + shifts @ np.asarray(structure.cell)
    keep = np.linalg.norm(vectors, axis=1) < cutoff
    return np.column_stack([i, j, shifts])[keep], vectors[keep]


def check_case(rng):
    positions, cell, pbc, cutoff = random_case(rng)
    keys, vectors = image_pairs(positions, cell, pbc, cutoff)
    if len(vectors) and np.linalg.norm(vectors, axis=1).min() < 1e-3:
        return
    structure = Structure(positions, cell, np.full(len(positions), 14), pbc=pbc)
    found, found_vectors = listed_pairs(structure, neighbors(structure, cutoff), cutoff)
    assert len(found) == len(keys)
    order, found_order = np.lexsort(keys.T), np.lexsort(found.T)
    np.testing.assert_array_equal(found[found_order], keys[order])
    atol = 1e-11 * max(1.0, np.abs(positions).max(initial=0.0))
    np.testing.assert_allclose(found_vectors[found_order], vectors[order], atol=atol)


def test_random_cells_agree_with_the_image_sum():
    rng = np.random.default_rng(1)
    for _ in range(300):
        check_case(rng)


@pytest.mark.slow
def test_many_random_cells_agree_with_the_image_sum():
    rng = np.random.default_rng(2)
    for _ in range(20000):
        check_case(rng)


def silicon(a=5.43):
    cell = a / 2 * (1 - np.eye(3))
    return Structure(np.array([[0, 0, 0], [a / 4] * 3]), cell, [14, 14])


def test_rows_are_sorted_and_empty_places_distinct():
    graph = connect(silicon(), neighbors(silicon(), 4.0, capacity=40))
    r = np.asarray(graph.distances)
    assert (np.diff(r, axis=1) > -1e-12).all()
    assert (np.diff(r[:, 16:], axis=1) > 1e-3).all() and r[:, 16:].min() > 4.0


def test_reach_is_the_nearest_pair_left_out():
    listed = neighbors(silicon(), 2.5)
    assert listed.reach == pytest.approx(2.7)  # the search ends 0.2 A beyond, and finds nothing there
    listed = neighbors(silicon(), 3.7)
    assert listed.reach == pytest.approx(5.43 / np.sqrt(2))


@pytest.mark.parametrize("skin, moved, valid", [(0.0, 0.001, True), (0.4, 0.19, True), (0.2, 0.3, False)])
def test_covers_follows_displacements(skin, moved, valid):
    s = silicon()
    listed = neighbors(s, 3.8, skin)  # the second shell is at 3.84
    displaced = s.moved(s.positions + jnp.array([[moved, 0, 0], [-moved, 0, 0]]))
    assert bool(listed.covers(displaced, 3.8)) is valid


def test_covers_ignores_rigid_motion_and_follows_the_cell():
    s = silicon()
    listed = neighbors(s, 3.7, 0.3)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    assert listed.covers(s.moved(s.positions + 5.0), 3.7)
    assert listed.covers(s.moved(s.positions @ rotation, s.cell @ rotation), 3.7)
    assert listed.covers(s.strained(0.05 * jnp.eye(3)), 3.7)
    assert listed.covers(s.strained(-0.05 * jnp.eye(3)), 3.7)
    assert not listed.covers(s.strained(-0.15 * jnp.eye(3)), 3.7)


def test_covers_is_false_for_nan():
    s = silicon()
    listed = neighbors(s, 3.7, 0.3)
    assert not listed.covers(s.moved(s.positions.at[0, 0].set(jnp.nan)), 3.7)


def test_covers_is_never_wrong_on_random_walks():
    """A pair that has come within the range unlisted always makes the list invalid."""
    rng = np.random.default_rng(3)
    seen = 0
    for _ in range(60):
        fractional, cutoff = rng.random((8, 3)), 3.0
        cell = np.diag(rng.uniform(5.0, 6.0, 3)) + np.tril(rng.uniform(-2, 2, (3, 3)), -1)
        s = Structure(fractional @ cell, cell, np.full(8, 14))
        try:
            listed = neighbors(s, cutoff, 0.1)
        except GeometryError:
            continue
        later = s.strained(rng.normal(scale=0.02, size=(3, 3)))
        later = later.moved(later.positions + rng.normal(scale=0.05, size=(8, 3)))
        known = set(map(tuple, listed_pairs(s, listed, 9.0)[0]))
        now = set(map(tuple, image_pairs(np.asarray(later.positions), np.asarray(later.cell), s.pbc, cutoff)[0]))
        if not now <= known:
            seen += 1
            assert not listed.covers(later, cutoff)
    assert seen > 5


def test_refusals():
    s = silicon()
    with pytest.raises(GeometryError, match="no volume"):
        neighbors(Structure(s.positions, np.ones((3, 3)), [14, 14]), 3.0)
    with pytest.raises(GeometryError, match="atoms 0 .* and 1"):
        neighbors(Structure(np.zeros((2, 3)), s.cell, [14, 14]), 3.0)
    with pytest.raises(CapacityError, match="at least"):
        neighbors(s, 4.0, capacity=3)
    with pytest.raises(ResourceError, match="units"):
        neighbors(Structure(s.positions * 1e-3, s.cell * 1e-3, [14, 14]), 4.0)
    with pytest.raises(ResourceError, match="A long"):
        neighbors(Structure(s.positions, s.cell, [14, 14]), 1e30)


@pytest.mark.parametrize("pbc", [(False, False, False), (True, False, False), (True, True, False), (True, True, True)])
@pytest.mark.parametrize("far", [1.0, 1e6])
def test_structures_and_ranges_of_any_size(pbc, far):
    """The builder divides cells into parts and looks for images: too many of these ended or hung the process."""
    s = Structure([[0, 0, 0], [0.9 * far, 0, 0], [0.9 * far, 2, 0]], np.diag([10 * far, 50, 60]), [14] * 3, pbc=pbc)
    listed = neighbors(s, 5.0)
    assert listed.counts.tolist() == ([2, 2, 2] if far == 1.0 else [0, 1, 1])
    assert not np.asarray(listed.shifts).any()
    if not any(pbc):
        assert neighbors(s, 1e30).counts.tolist() == [2, 2, 2]
