"""Neighbour lists are exact in any cell, and know when they have been outgrown."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from image_sum import image_pairs, random_case

from jaxpot.core.graph import connect
from jaxpot.core.neighbors import _refuse_too_long, neighbors, periodic_cell, round_capacity
from jaxpot.core.structure import Structure
from jaxpot.errors import CapacityError, DataError, GeometryError, ResourceError


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


def test_lengths_of_rows_are_on_a_ladder():
    """Steps of 4, then 8, then 16 and more: about a sixteenth of what there is."""
    counts = (0, 1, 4, 5, 64, 65, 128, 129, 256, 257, 511, 512, 513, 770, 1020, 1024, 1025)
    expected = [4, 4, 4, 8, 64, 72, 128, 144, 256, 272, 512, 512, 544, 816, 1056, 1024, 1088]
    assert [round_capacity(count) for count in counts] == expected


def test_rows_and_places_that_are_asked_for():
    s = silicon()
    listed = neighbors(s, 4.0, 0.2, capacity=18, rows=5)
    assert listed.capacity == 18 and listed.real.tolist() == [True, True, False, False, False]
    assert listed.centers.tolist() == [0, 1, 1, 1, 1] and listed.counts.tolist() == [16] * 5
    assert (np.asarray(listed.others)[:, 16:] == np.asarray(listed.centers)[:, None]).all()
    assert not np.asarray(listed.shifts)[:, :, 16:].any() and listed.shifts.dtype == np.int8
    np.testing.assert_array_equal(listed.others[1], listed.others[4])
    assert neighbors(s, 4.0).skin == 0.0 and listed.skin == 0.2 and listed.radius == 4.2 and listed.places(1.0) == 18 and listed.pbc == (True,) * 3
    assert neighbors(s, 4.0).real.tolist() == [True, True] and neighbors(s, 4.0, capacity=16, rows=2).capacity == 16
    with pytest.raises(CapacityError, match="at least 16"):
        neighbors(s, 4.0, capacity=15)
    with pytest.raises(CapacityError, match="1 rows .* 2 atoms"):
        neighbors(s, 4.0, rows=1)
    padded = neighbors(Structure([[0.0, 0, 0]] * 2, s.cell, [0, 0]), 4.0)
    assert padded.real.tolist() == [False] and padded.counts.tolist() == [0] and padded.capacity == 4
    assert padded.atoms.tolist() == [False, False]
    assert neighbors(Structure(np.zeros((0, 3)), s.cell, []), 4.0).real.shape == (0,)


def test_rows_follow_the_elements():
    s = Structure(np.arange(12.0).reshape(4, 3), 20 * np.eye(3), [14, 0, 6, 14])
    listed = neighbors(s, 6.0)
    assert listed.centers.tolist() == [2, 0, 3] and listed.atoms.tolist() == [True, False, True, True]
    assert [listed.others[k, :n].tolist() for k, n in enumerate(listed.counts.tolist())] == [[3], [], [2]]


def test_the_same_list_in_other_rows():
    listed = neighbors(silicon(), 4.0)
    longer = listed.in_rows_of(19)
    assert longer.others.shape == (2, 19) and longer.shifts.shape == (3, 2, 19)
    np.testing.assert_array_equal(longer.others[:, :16], listed.others[:, :16])
    np.testing.assert_array_equal(longer.shifts[:, :, :16], listed.shifts[:, :, :16])
    assert (longer.others[:, 16:] == [[0], [1]]).all() and not longer.shifts[:, :, 16:].any()
    assert longer.others.dtype == np.int32 and longer.shifts.dtype == np.int8
    back = longer.in_rows_of(16)
    np.testing.assert_array_equal(back.others, listed.others[:, :16])
    np.testing.assert_array_equal(back.shifts, listed.shifts[:, :, :16])
    with pytest.raises(CapacityError, match="capacity is 15 .* 16"):
        longer.in_rows_of(15)


@pytest.mark.parametrize("cells, dtype", [(127, np.int8), (128, np.int16), (32767, np.int16), (32768, np.int32)])
def test_images_far_away_are_counted_in_larger_integers(cells, dtype):
    s = Structure([[0.0, 0, 0], [4.0 * cells - 2.0, 0, 0]], 4 * np.eye(3), [14, 14])
    listed = neighbors(s, 2.5)
    assert listed.shifts.dtype == dtype and listed.counts.tolist() == [2, 2]
    assert np.asarray(connect(s, listed).distances)[:, :2] == pytest.approx(2.0)


def test_shorter_cutoffs_have_the_first_places():
    s = silicon()  # 4 neighbours at 2.351, 12 at 3.840, 12 at 4.502 A
    listed = neighbors(s, 4.2, 0.2, inner=(2.1, 2.2, 3.7))
    assert listed.inner == ((2.1, 4), (2.2, 4), (3.7, 16)) and listed.capacity == 16
    assert listed.inner_reach == pytest.approx([3.840, 3.840, 4.502], abs=1e-3)
    assert [listed.places(c) for c in (1.0, 2.2, 2.3, 3.7, 3.8)] == [4, 4, 16, 16, 16]
    wide = neighbors(s, 4.8, inner=(3.85, 2.3405, 2.3425))
    assert [places for _, places in wide.inner] == [16, 4, 4]
    assert neighbors(s, 4.8, inner=(3.835, 3.825)).inner == ((3.835, 16), (3.825, 4))  # shells 0.01 A beyond count
    assert neighbors(s, 4.8, inner=(1.0,)).inner == ((1.0, 4),)
    assert neighbors(s, 4.8, capacity=30, inner=(4.7,)).inner == ((4.7, 28),)
    rattled = Structure(np.random.default_rng(0).uniform(0, 6, (20, 3)), 6 * np.eye(3), [14] * 20)
    listed = neighbors(rattled, 4.0, inner=(2.0, 3.0))
    r = np.asarray(connect(rattled, listed).distances)
    r = np.where(np.arange(r.shape[1]) < np.asarray(listed.counts)[:, None], r, np.inf)
    for (_, places), reach in zip(listed.inner, listed.inner_reach, strict=True):
        assert reach == pytest.approx(r[:, places:].min(initial=4.01), abs=1e-12)
    third = np.eye(3)[:1] * np.array([[1.0], [-1.0]])  # closer by twice of this

    def covers(cutoff, by):
        return bool(neighbors(s, 4.8, inner=(cutoff,)).covers(s.moved(s.positions + by * third), 2.0))

    for cutoff, reach in ((2.5, 3.8396), (4.0, 4.5024)):
        assert covers(cutoff, (reach - cutoff) / 2 - 0.01) and not covers(cutoff, (reach - cutoff) / 2 + 0.01)
        for stretch, valid in ((1.001, True), (0.999, False)):
            thin = s.strained((stretch * cutoff / reach - 1.0) * jnp.eye(3))
            assert bool(neighbors(s, 4.8, inner=(cutoff,)).covers(thin, 2.0)) is valid


def test_a_list_ends_beyond_its_cutoff():
    """By 0.01 A: the next shell of a crystal may sit at the cutoff. 0.2 A farther is looked for the first pair left out."""
    bond = 5.43 * 3**0.5 / 4
    assert neighbors(silicon(), bond - 0.009).counts.tolist() == [4, 4]
    assert neighbors(silicon(), bond - 0.011).counts.tolist() == [0, 0]
    assert neighbors(silicon(), bond - 0.011).reach == pytest.approx(bond)
    assert neighbors(silicon(), bond - 0.19).reach == pytest.approx(bond)
    assert neighbors(silicon(), bond - 0.21).reach == pytest.approx(bond - 0.01)


def test_covers_counts_atoms_and_moves_exactly():
    s = silicon()
    listed = neighbors(s, 3.8, 0.4)
    room = (float(listed.reach) - 3.8) / 2
    for by, valid in ((0.999 * room, True), (1.001 * room, False)):
        moved = s.moved(s.positions + by * jnp.array([[0.6, 0.8, 0], [-0.6, -0.8, 0]]))
        assert bool(listed.covers(moved, 3.8)) is valid
        assert bool(jax.jit(lambda x, listed=listed: listed.covers(x, 3.8))(moved)) is valid
    for stretch, valid in ((1.001, True), (0.999, False)):
        thin = s.strained((stretch * 3.8 / float(listed.reach) - 1.0) * jnp.diag(jnp.array([0.0, 1.0, 0.0])))
        assert bool(listed.covers(thin, 3.8)) is valid
    assert not listed.covers(Structure(s.positions, s.cell, [14, 0]), 3.0)
    alone = Structure([[0.0, 0, 0]], s.cell, [14])
    assert neighbors(alone, 3.0).covers(alone.moved(alone.positions + 5.0), 3.0)
    hydrogen = Structure(s.positions, s.cell, [1, 1])
    assert neighbors(hydrogen, 3.0).counts.tolist() == [4, 4] and neighbors(hydrogen, 3.0).covers(hydrogen, 3.0)
    padded = Structure([[0.0, 0, 0], [9.0, 9, 9], [1.4, 1.4, 1.4]], s.cell, [14, 0, 14])
    listed = neighbors(padded, 3.0)
    assert listed.covers(padded.moved(padded.positions.at[1].set(0.0)), 3.0)  # padding may go anywhere


@pytest.mark.parametrize("cutoff, skin", [(None, 0.0), (np.nan, 0.0), (np.inf, 0.0), (-1.0, 0.0), (3.0, -0.1), (3.0, np.nan)])
def test_ranges_that_are_refused(cutoff, skin):
    with pytest.raises(DataError, match="cutoff and skin must be finite"):
        neighbors(silicon(), cutoff, skin)


def test_a_range_of_nothing():
    assert neighbors(silicon(), 0.0).counts.tolist() == [0, 0]


@pytest.mark.parametrize("pbc, expected", [
    ((False, False, False), 30000**2 * (10 / 30) ** 3), ((False, True, False), 30000**2 * 10 / 30 * (10 / 30) ** 2),
    ((True, False, True), 30000**2 * 3.15 * 25 / 30**2 * 10 / 30), ((True, True, True), 30000**2 * 4.19 * 125 / 30**3),
])
def test_lists_that_no_memory_holds(pbc, expected):
    """Of 30,000 atoms in 30 A along each axis, with a range of 5 A: a length, an area or a ball over the volume."""
    volume = 30.0 ** sum(pbc)
    open_axes = ~np.array(pbc)
    count = 30000 * (4e8 / expected) ** 0.5
    _refuse_too_long(int(0.999 * count), np.full(3, 30.0), open_axes, volume, 5.0)
    with pytest.raises(ResourceError, match=rf"a list of about 4\.0e\+08 .* limit of 4e\+08.*{'A' if any(pbc) else 'atoms'}"):
        _refuse_too_long(int(1.002 * count), np.full(3, 30.0), open_axes, volume, 5.0)
    _refuse_too_long(2, np.full(3, 0.9e12), open_axes, 1e36, 0.9e12 if not all(pbc) else 5.0)
    for heights, search in (([1.0, 1.1e12, 1.0], 5.0), ([1.0] * 3, 1.1e12)):
        with pytest.raises(ResourceError, match="A long"):
            _refuse_too_long(1, np.array(heights), open_axes, 1e36, search)


def test_open_axes_are_normal_to_the_others():
    cell = np.array([[3.0, 0, 0], [1.0, 2.0, 0], [7.0, 8.0, 9.0]])
    whole = periodic_cell(cell, (True, True, False))
    np.testing.assert_allclose(whole[:2], cell[:2])
    np.testing.assert_allclose(np.abs(whole[2]), [0, 0, 1], atol=1e-12)
    np.testing.assert_array_equal(periodic_cell(cell, (True,) * 3), cell)
    np.testing.assert_array_equal(periodic_cell(cell, (False,) * 3), np.eye(3))
    listed = neighbors(Structure([[0.0, 0, 0]], cell, [14], pbc=(True, True, False)), 2.0)
    np.testing.assert_allclose(listed.inverse[:, :2], np.linalg.pinv(cell[:2]), atol=1e-14)
    assert not np.asarray(listed.inverse)[:, 2].any()


def test_a_cell_that_is_nearly_flat():
    flat = np.array([[1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 3e-10]])
    assert neighbors(Structure([[0.0, 0, 0]], 1e10 * flat, [14]), 1.0).counts.tolist() == [0]
    with pytest.raises(GeometryError, match="no volume"):
        neighbors(Structure([[0.0, 0, 0]], 1e10 * flat * [1, 1, 0.3], [14]), 1.0)


def test_atoms_at_one_point():
    """From 1e-4 A on they are two."""
    box = 20 * np.eye(3)
    assert neighbors(Structure([[0.0, 0, 0], [1.01e-4, 0, 0]], box, [14, 14]), 3.0).counts.tolist() == [1, 1]
    with pytest.raises(GeometryError, match=r"atoms (0 \(Si\) and 2 \(C\)|2 \(C\) and 0 \(Si\)) are 9.90e-05 A apart: "):
        neighbors(Structure([[0.0, 0, 0], [5, 5, 5], [9.9e-5, 0, 0]], box, [14, 14, 6]), 3.0)
    with pytest.raises(GeometryError, match=r"image \[-?1, 0, 0\]"):
        neighbors(Structure([[0.0, 0, 0], [20.0, 0, 0]], box, [14, 14]), 3.0)


def test_atoms_too_many_cells_away():
    """Images are counted in 32 bits: farther away they would be counted wrong without a word."""
    for far, refused in ((2**29 - 1, False), (2**29, True), (4e9, True)):
        s = Structure([[0.0, 0, 0], [2.0 + 4 * far, 0, 0]], 4 * np.eye(3), [14, 14])
        if refused:
            with pytest.raises(GeometryError, match=rf"an atom is {far:.1e} cells away".replace("+", r"\+")):
                neighbors(s, 2.5)
        else:
            assert np.asarray(connect(s, neighbors(s, 2.5)).distances)[:, :2] == pytest.approx(2.0)


def test_a_range_longer_than_all_there_is():
    """Along open axes nothing is farther than the atoms are; along periodic ones images are."""
    chain = Structure([[0.0, 0, 0], [0.5, 1.0, 0]], np.diag([2.0, 9, 9]), [14, 14], pbc=(True, False, False))
    listed = neighbors(chain, 8.5)
    assert listed.counts.tolist() == [8 + 8, 8 + 8]
    pair = Structure([[0.0, 0, 0], [2.0, 0, 0]], np.eye(3), [14, 14], pbc=False)
    assert neighbors(pair, 1e6).counts.tolist() == [1, 1] and neighbors(pair, 1e6).reach == pytest.approx(1e6 + 0.2)
    lonely = Structure([[0.0, 0, 0]], 6e11 * np.eye(3), [14])
    assert neighbors(lonely, 3.0).counts.tolist() == [0]
    with pytest.raises(ResourceError, match="1.1e.12 A long"):
        neighbors(Structure([[0.0, 0, 0]], 1.1e12 * np.eye(3), [14]), 3.0)
