"""The primitive cell of a crystal, whatever cell it is given in."""

import time

import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.report.crystal import find_volume, lattice, primitive


def test_a_crystal_with_data_of_its_cell_is_described_as_it_is():
    crystal = jp.Structure.of(bulk("Si", cubic=True)).replace(system_data={"field": [0.0, 0.0, 1.0]})
    assert primitive(crystal) is crystal
    assert lattice(crystal)["a"] == pytest.approx(5.43) and lattice(crystal)["gamma"] == pytest.approx(90.0)


def test_a_large_supercell_is_made_small_at_once():
    small = bulk("NaCl", "rocksalt", a=5.64)
    large = bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (6, 6, 6)  # 1,728 atoms, 41,472 operations
    begin = time.monotonic()
    found = primitive(jp.Structure.of(large))
    assert time.monotonic() - begin < 10.0
    assert sorted(found.symbols) == ["Cl", "Na"]
    assert abs(np.linalg.det(found.cell) - small.get_volume()) < 1e-9
    between = found.fractional[1] - found.fractional[0]
    nearest = [np.linalg.norm((between + shift) @ found.cell) for shift in np.array([*np.ndindex(3, 3, 3)]) - 1]
    assert min(nearest) == pytest.approx(2.82, abs=1e-9)


def test_what_has_no_translations_stays_as_it_is():
    atoms = bulk("Si", cubic=True) * (2, 1, 1)
    atoms.rattle(0.05, seed=0)
    structure = jp.Structure.of(atoms)
    assert primitive(structure) is structure


def test_the_lattice_of_a_crystal_with_a_charge_is_that_of_its_cell():
    atoms = bulk("Si", cubic=True)
    charged = jp.Structure.of(atoms).replace(system_data={"total_charge": 1.0})
    found = lattice(charged)
    assert [found[name] for name in ("a", "b", "c")] == pytest.approx([5.43] * 3)
    assert [found[name] for name in ("alpha", "beta", "gamma")] == pytest.approx([90.0] * 3)


def test_the_volume_is_that_of_a_crystal_and_not_of_an_abyss():
    """As of published networks, which have seen no atoms that sit on one another."""
    silicon = jp.potentials.StillingerWeber.silicon()
    abyss = jp.potentials.Morse(500.0, 12.0, 1.25, cutoff=3.0)
    start = jp.Structure.of(bulk("Si", a=5.6))
    both = find_volume(silicon + abyss, start)
    assert float(jp.energy(abyss, start.strained(-0.46 * np.eye(3)))) < -500.0  # far below the crystal
    assert float(both.volume) == pytest.approx(5.43**3 / 4, rel=0.05)
    assert float(find_volume(abyss, start).volume) < 0.25 * 5.43**3 / 4  # with no other minimum that one is taken
