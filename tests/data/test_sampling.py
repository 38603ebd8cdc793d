"""Data drawn from a potential: its labels, the size of the disturbance, and what is refused."""

import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.potentials import Constants

SILICON = bulk("Si", cubic=True, a=5.43)


@pytest.fixture(scope="module")
def oracle():
    return jp.potentials.StillingerWeber.silicon()


def test_labels_are_those_of_the_potential(oracle):
    drawn = jp.draw_dataset(oracle, SILICON, count=7, seed=3)
    assert len(drawn) == 7 and drawn.e0 == {14: 0.0}
    assert drawn.config_types == {"rattled 0.02 A": 3, "rattled 0.08 A": 2, "rattled 0.2 A": 2}
    for frame in drawn:
        found = jp.evaluate(oracle, frame.structure)
        assert frame.energy == pytest.approx(float(found.energy), abs=1e-10)
        np.testing.assert_allclose(frame.forces, found.forces, atol=1e-10)
        np.testing.assert_allclose(frame.stress, found.stress, atol=1e-12)


def test_free_atoms_have_the_energy_of_the_potential(oracle):
    drawn = jp.draw_dataset(oracle + Constants({"Si": -3.5}), SILICON, count=2)
    assert drawn.e0 == {14: -3.5}


def test_a_seed_repeats_its_frames(oracle):
    one, same, other = (jp.draw_dataset(oracle, SILICON, count=2, seed=seed)[1].structure.positions for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3


def test_strains_and_displacements_have_the_size_asked_for(oracle):
    cell = np.asarray(SILICON.cell)
    drawn = jp.draw_dataset(oracle, SILICON, count=200, strain=0.02, displacements=(0.01, 0.1))
    strains = np.array([np.linalg.solve(cell, frame.structure.cell) - np.eye(3) for frame in drawn])
    np.testing.assert_allclose(strains, strains.transpose(0, 2, 1), atol=1e-12)
    spread = strains.std(axis=0)
    np.testing.assert_allclose(spread, 0.02, rtol=0.25)  # of 200 draws: five times their own deviation
    for k, amplitude in enumerate((0.01, 0.1)):
        moved = [f.structure.positions - SILICON.positions @ (np.eye(3) + e) for f, e in zip(drawn, strains, strict=True)]
        assert np.std(moved[k::2]) == pytest.approx(amplitude, rel=0.07)


def test_one_amplitude_and_no_strain(oracle):
    drawn = jp.draw_dataset(oracle, SILICON, count=2, strain=0.0, displacements=0.05)
    assert drawn.config_types == {"rattled 0.05 A": 2}
    np.testing.assert_array_equal(drawn[0].structure.cell, SILICON.cell)


def test_a_cluster_has_no_stress(oracle):
    cluster = bulk("Si", cubic=True, a=5.43)
    cluster.pbc = False
    drawn = jp.draw_dataset(oracle, cluster, count=2)
    assert drawn[0].stress is None and drawn[0].forces is not None


@pytest.mark.parametrize(("change", "message"), [
    ({"potential": "sw-silicon"}, "expected a jaxpot potential"),
    ({"crystal": "diamond:Si"}, "crystal: expected"),
    ({"crystal": bulk("Cu")}, "knows Si"),
    ({"count": 0}, "count: expected a whole number"),
    ({"count": 2.5}, "count: expected a whole number"),
    ({"seed": -1}, "seed: expected a whole number"),
    ({"strain": -0.01}, "strain: expected a number from 0"),
    ({"strain": 3}, "strain: expected a number from 0"),
    ({"strain": "much"}, "strain: expected a number from 0"),
    ({"displacements": ()}, "displacements: expected one or several lengths"),
    ({"displacements": (0.1, -0.1)}, "displacements: expected one or several lengths"),
    ({"displacements": (0.1, np.nan)}, "displacements: expected one or several lengths"),
    ({"displacements": ["far"]}, "displacements: expected one or several lengths"),
    ({"strain": 0.0, "displacements": (0.0, 0.1)}, "many equal frames"),
])
def test_wrong_arguments_are_refused(oracle, change, message):
    with pytest.raises(jp.errors.DataError, match=message):
        jp.draw_dataset(**({"potential": oracle, "crystal": SILICON, "count": 2} | change))
