"""Atoms that are too close: which pair, what it may mean, and where it is refused."""

import warnings

import ase.build
import numpy as np
import pytest
from ase import Atoms
from ase.data import covalent_radii

import jaxpot as jp
from jaxpot.core.distances import closest_pair
from jaxpot.core.elements import RADII
from jaxpot.errors import GeometryError, JaxpotWarning

SILICON = jp.load("sw-silicon")
REPULSION = jp.potentials.ZBL(1.0, 2.0)


def structure(atoms):
    return jp.Structure.of(atoms)


def dimer(symbols, distance, box=None):
    return Atoms(symbols, [[0, 0, 0], [distance, 0, 0]], cell=box, pbc=box is not None)


def in_nm(atoms):
    """The same, with lengths in nm."""
    atoms = atoms.copy()
    atoms.set_cell(0.1 * atoms.cell, scale_atoms=False)
    atoms.positions *= 0.1
    return atoms


def test_radii_are_those_of_cordero():
    np.testing.assert_allclose(RADII[1:97], covalent_radii[1:97])
    assert not RADII[97:].any() and len(RADII) == 119


MATTER = {
    "silicon": ase.build.bulk("Si"),
    "one atom in its cell": ase.build.bulk("Cu"),
    "hydrogen": ase.build.molecule("H2"),
    "nitrogen": ase.build.molecule("N2"),
    "benzene": ase.build.molecule("C6H6"),
    "caesium": ase.build.bulk("Cs"),
    "rocksalt": ase.build.bulk("NaCl", "rocksalt", a=5.64),
    "copper at half of its volume": ase.build.bulk("Cu", a=3.61 * 0.5 ** (1 / 3)),
    "sodium at 320 GPa": ase.build.bulk("Na", "sc", a=1.88),
    "a free atom": Atoms("Si"),
    "nothing": Atoms(),
    "an element without a radius": dimer("Og2", 0.3),
}


@pytest.mark.parametrize("name", MATTER)
def test_matter_is_never_too_close(name):
    assert closest_pair(structure(MATTER[name])) is None


def test_the_pair_is_named():
    atoms = ase.build.bulk("Si", cubic=True)
    atoms.positions[5] = atoms.positions[2] + [0.3, 0.0, 0.0]
    pair = closest_pair(structure(atoms))
    assert sorted(pair.atoms) == [2, 5] and pair.symbols == ("Si", "Si") and pair.image == (0, 0, 0)
    assert pair.distance == pytest.approx(0.3) and pair.radii == pytest.approx(2.22)
    assert not pair.tenfold and not pair.crowded
    atoms.positions[5] += atoms.cell[0]
    pair = closest_pair(structure(atoms))
    assert sorted(pair.atoms) == [2, 5] and [abs(k) for k in pair.image] == [1, 0, 0]


NM = {
    "silicon": (ase.build.bulk("Si"), True), "copper": (ase.build.bulk("Cu"), True),
    "argon": (ase.build.bulk("Ar", "fcc", a=5.3), True), "a slab": (ase.build.fcc111("Cu", (2, 2, 3), vacuum=5.0), True),
    "water": (ase.build.molecule("H2O"), True), "hydrogen": (ase.build.molecule("H2"), False),
}


@pytest.mark.parametrize("name", NM)
def test_lengths_in_nm_are_known_by_all_atoms(name):
    atoms, crowded = NM[name]
    pair = closest_pair(structure(in_nm(atoms)))
    assert pair.tenfold and pair.crowded == crowded
    assert closest_pair(structure(atoms)) is None


def test_a_collision_is_none_of_that():
    for atoms in (dimer("Si2", 0.2), dimer("Si2", 0.2, box=(20, 20, 20))):
        pair = closest_pair(structure(atoms))
        assert pair.distance == pytest.approx(0.2) and not pair.crowded
    cell = ase.build.bulk("Si", cubic=True) * (2, 2, 2)
    cell.positions[0] = cell.positions[1] + [0.15, 0, 0]
    assert not closest_pair(structure(cell)).tenfold


def test_an_energy_is_a_number_at_any_distance_with_a_warning():
    for call in (jp.energy, jp.forces, jp.evaluate):
        with pytest.warns(JaxpotWarning, match=r"atoms 0 \(Si\) and 1 \(Si\) are 0\.05 A apart, 0\.023 of the sum"):
            call(REPULSION, dimer("Si2", 0.05))
    with pytest.warns(JaxpotWarning, match="are these lengths in nm"):
        assert np.isfinite(jp.energy(REPULSION, in_nm(ase.build.molecule("H2O"))))
    crystal = ase.build.bulk("Si")  # ASE uses what NumPy 2.5 deprecates
    with warnings.catch_warnings():
        warnings.simplefilter("error", JaxpotWarning)
        jp.evaluate(SILICON, crystal)
        jp.evaluate_many(REPULSION, [dimer("Si2", 0.05)])  # scans go through what is no matter


CLOSE = ase.build.bulk("Si", cubic=True)
CLOSE.positions[1] = CLOSE.positions[0] + [0.01, 0, 0]
PROPERTIES = {
    "relax": lambda atoms: jp.relax(SILICON, atoms),
    "elastic constants": lambda atoms: jp.elastic_constants(SILICON, atoms),
    "phonons": lambda atoms: jp.phonons(SILICON, atoms, [0, 0, 0]),
    "equation of state": lambda atoms: jp.equation_of_state(SILICON, atoms),
    "surface": lambda atoms: jp.surface_energy(SILICON, atoms, (1, 0, 0)),
    "vacancy": lambda atoms: jp.vacancy_energy(SILICON, atoms),
    "thermal expansion": lambda atoms: jp.thermal_expansion(SILICON, atoms, [300.0]),
}


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties_refuse_what_is_no_matter(name):
    with pytest.raises(GeometryError, match=r"atoms \d \(Si\) and \d \(Si\) are 0\.01 A apart.*doubled atoms"):
        PROPERTIES[name](CLOSE)
    with pytest.raises(GeometryError, match=r"in nm\? They are taken for A\. No crystal"):
        PROPERTIES[name](in_nm(ase.build.bulk("Si")))
