"""Clusters of frames: disjoint, complete, and of frames that are alike."""

import ase
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.data.clusters import frame_clusters


def labelled(structure, name):
    """Atoms with an energy and a name; what the energy is does not matter."""
    atoms = ase.Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True)
    atoms.info |= {"energy": -4.0 * len(atoms), "config_type": name}
    return atoms


@pytest.fixture(scope="module")
def frames():
    """Twelve crystals as they are, twelve that are compressed, six that lack an atom; in turns."""
    a, rng = 5.431, np.random.default_rng(0)
    crystal = jp.Structure([[0, 0, 0], [a / 4] * 3], a / 2 * (1.0 - np.eye(3)), ["Si", "Si"]).repeated((2, 2, 2))
    lacking = jp.Structure(crystal.positions[1:], crystal.cell, crystal.numbers[1:])
    kinds = {"plain": crystal, "compressed": crystal.strained(-0.06 * np.eye(3)), "vacancy": lacking}
    made = []
    for k in range(12):
        for name in list(kinds)[: 3 if k < 6 else 2]:
            moved = kinds[name].moved(kinds[name].positions + rng.normal(scale=0.03, size=kinds[name].positions.shape))
            made.append(labelled(moved, name))
    return jp.Dataset.of(made, forces=None, stress=None)


def test_clusters_cover_all_frames_once(frames):
    for count in (2, 4, 5):
        clusters = frame_clusters(frames, count)
        assert len(clusters) == count
        np.testing.assert_array_equal(np.sort(np.concatenate(clusters)), np.arange(len(frames)))


def test_frames_of_a_cluster_are_alike(frames):
    names = np.array([frame.config_type for frame in frames])
    first, second = frame_clusters(frames, 2)
    compressed = [np.mean(names[part] == "compressed") for part in (first, second)]
    assert sorted(compressed) == [0.0, 1.0]
    purest = max(np.mean(names[part] == "vacancy") for part in frame_clusters(frames, 3))
    assert purest == 1.0


def test_turned_and_enlarged_cells_are_the_same(frames):
    structure = frames[0].structure
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turned = jp.Structure(structure.positions @ turn, structure.cell @ turn, structure.numbers)
    both = jp.Dataset.of([
        *(labelled(frame.structure, frame.config_type) for frame in frames),
        labelled(turned.repeated((1, 2, 1)), "larger"),
    ], forces=None, stress=None)
    for part in frame_clusters(both, 4):
        assert (0 in part) == (len(frames) in part)


def test_small_sets_have_fewer_clusters(frames):
    assert sorted(len(part) for part in frame_clusters(frames[:9], 4)) == [4, 5]
    assert frame_clusters(frames[:7], 4) == []
