"""Structures and molecules of pymatgen wherever a structure is taken: by a stand-in, and by pymatgen itself."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.errors import DataError, FormatError
from jaxpot.io import read, read_atoms, structure_from_spec

A = 5.43
CELL = 0.5 * A * (1.0 - np.eye(3))
POSITIONS = np.array([[0.0, 0.0, 0.0], [A / 4] * 3])
SILICON = jp.load("sw-silicon")


def stand_in(species, **more):
    """An object with pymatgen's attributes: `species` of the whole."""
    lattice = SimpleNamespace(matrix=CELL, pbc=(True, True, True))
    return SimpleNamespace(**{"cart_coords": POSITIONS, "species": species, "lattice": lattice} | more)


def sited(*compositions):
    """The same with a composition for each site, as disordered structures have them."""
    whole = stand_in(None, sites=[SimpleNamespace(species=dict(each)) for each in compositions])
    del whole.species
    return whole


ELEMENT = SimpleNamespace(symbol="Si")
SAME = {
    "symbols": stand_in(["Si", "Si"]),
    "elements": stand_in([ELEMENT, ELEMENT]),
    "ions": stand_in([SimpleNamespace(symbol="Si", oxi_state=4, name="Si")] * 2),
    "sites": sited([("Si", 1)], [("Si", 1.0)]),
    "an old lattice": stand_in(["Si", "Si"], lattice=SimpleNamespace(matrix=CELL)),
    "properties of sites": stand_in(["Si", "Si"], site_properties={"velocities": [[1, 0, 0]] * 2, "magmom": [1, -1]}),
}


@pytest.mark.parametrize("name", SAME)
def test_a_stand_in_is_the_crystal_that_it_stands_for(name):
    structure, expected = jp.Structure.of(SAME[name]), jp.Structure.of(bulk("Si", a=A))
    np.testing.assert_allclose(structure.positions, expected.positions)
    np.testing.assert_allclose(structure.cell, expected.cell)
    np.testing.assert_allclose(structure.masses, expected.masses)
    assert structure.symbols == ["Si", "Si"] and structure.pbc == (True, True, True)


def test_molecules_and_slabs_have_their_own_periodicity():
    molecule = stand_in(["O", "H"])
    del molecule.lattice
    assert jp.Structure.of(molecule).pbc == (False, False, False)
    slab = stand_in(["Si", "Si"], lattice=SimpleNamespace(matrix=CELL, pbc=(True, True, False)))
    assert jp.Structure.of(slab).pbc == (True, True, False)


def test_isotopes_keep_their_mass():
    heavy = stand_in(["D", SimpleNamespace(symbol="H", name="T")])
    assert jp.Structure.of(heavy).symbols == ["H", "H"]
    np.testing.assert_allclose(jp.Structure.of(heavy).masses, [2.0141, 3.0160], atol=1e-4)


REFUSED = {
    "a shared site": (sited([("Cu", 0.5), ("Ni", 0.5)], [("Cu", 1)]), r"in part: 0 \(Cu 0\.5, Ni 0\.5\); .*ordered superc"),
    "a site that is partly empty": (sited([("Cu", 1)], [("O", 0.8)]), r"in part: 1 \(O 0\.8\)"),
    "a dummy": (stand_in(["Si", SimpleNamespace(symbol="X")]), r"without an element: 1 \(X\); remove"),
    "no composition": (sited([("Si", 1)], []), r"in part: 1 \(\)"),
    "no cell vectors": (stand_in(["Si", "Si"], lattice=SimpleNamespace(matrix=np.eye(2))), r"cell: expected .*\(3, 3\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_ordered_structure_is_refused(name):
    structure, message = REFUSED[name]
    with pytest.raises(DataError, match=message):
        jp.energy(SILICON, structure)


def test_every_door_takes_them():
    """Each function as it takes an `ase.Atoms`; one crystal, one program."""
    crystal, atoms = SAME["sites"], bulk("Si", a=A)
    assert float(jp.energy(SILICON, crystal)) == pytest.approx(float(jp.energy(SILICON, atoms)), rel=1e-14)
    np.testing.assert_allclose(jp.evaluate_many(SILICON, [crystal])[0].energy, jp.energy(SILICON, atoms), rtol=1e-14)
    assert jp.neighbors(crystal, 3.0).counts.tolist() == [4, 4]
    assert jp.relax(SILICON, crystal).converged
    assert jp.phonons(SILICON, crystal, [0.5, 0.0, 0.5]).frequencies.shape == (6,)
    assert float(jp.elastic_constants(SILICON, crystal).c44) > 0.0
    assert jp.to_ase(crystal).get_chemical_formula() == "Si2"
    assert float(jp.label(crystal, SILICON).energy) == pytest.approx(float(jp.energy(SILICON, atoms)))
    assert len(jp.draw_dataset(SILICON, crystal, count=1)) == 1
    state = jp.md.NVE(SILICON, jp.units.fs).init(crystal, 300.0)
    assert state.structure.symbols == ["Si", "Si"]


# With pymatgen itself --------------------------------------------------------------------------------------


@pytest.fixture
def pymatgen():
    return pytest.importorskip("pymatgen.core", reason="needs pymatgen (the benchmarks extra)")


def test_structures_of_pymatgen(pymatgen):
    crystal = pymatgen.Structure(pymatgen.Lattice(CELL), ["Si4+", "Si"], POSITIONS, coords_are_cartesian=True)
    crystal.add_site_property("velocities", [[0.1, 0, 0]] * 2)
    for each in (crystal, pymatgen.IStructure.from_sites(crystal.sites)):
        structure = jp.Structure.of(each)
        assert structure.symbols == ["Si", "Si"] and structure.pbc == (True, True, True)
        assert float(jp.energy(SILICON, each)) == pytest.approx(float(jp.energy(SILICON, bulk("Si", a=A))), rel=1e-12)
    molecule = pymatgen.Molecule(["O", "D"], [[0, 0, 0], [0, 0, 0.96]])
    structure = jp.Structure.of(molecule)
    assert structure.symbols == ["O", "H"] and not any(structure.pbc)
    np.testing.assert_allclose(structure.masses, [15.999, 2.0141], atol=1e-3)


def test_disorder_and_dummies_of_pymatgen_are_refused(pymatgen):
    lattice = pymatgen.Lattice.cubic(3.6)
    disordered = pymatgen.Structure(lattice, [{"Cu": 0.5, "Ni": 0.5}, "Cu"], [[0, 0, 0], [0.5, 0.5, 0]])
    with pytest.raises(DataError, match=r"in part: 0 \(Cu 0\.5, Ni 0\.5\); .*ordered"):
        jp.Structure.of(disordered)
    dummy = pymatgen.Structure(lattice, [pymatgen.DummySpecies("X"), "Cu"], [[0, 0, 0], [0.5, 0.5, 0]])
    with pytest.raises(DataError, match=r"without an element: 0 \(X\)"):
        jp.Structure.of(dummy)


def test_files_that_ase_does_not_know_are_read_through_pymatgen(pymatgen, tmp_path):
    crystal = pymatgen.Structure(pymatgen.Lattice(CELL), ["Si", "Si"], POSITIONS, coords_are_cartesian=True)
    path = tmp_path / "silicon.json"
    path.write_text(json.dumps(crystal.as_dict()))
    (atoms,) = read_atoms(path, "-1")
    assert atoms.get_chemical_formula() == "Si2" and atoms.pbc.all()
    assert len(structure_from_spec(str(path))[0]) == 2
    with pytest.raises(FormatError, match="none of index 3"):
        read(path, 3)
    path.write_text(json.dumps(pymatgen.Molecule(["O", "H"], [[0, 0, 0], [0, 0, 0.96]]).as_dict()))
    assert read(path)[0].symbols == ["O", "H"] and not any(read(path)[0].pbc)
    path.write_text(json.dumps(pymatgen.Structure(crystal.lattice, [{"Si": 0.5}], [[0, 0, 0]]).as_dict()))
    with pytest.raises(FormatError, match=r"silicon.json: sites are occupied in part: 0 \(Si 0\.5\)"):
        read(path)
    path.write_text("{}")
    with pytest.raises(FormatError, match="none that ASE recognises, and pymatgen cannot read it"):
        read(path)


def test_without_pymatgen_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymatgen.core", None)
    (tmp_path / "silicon.json").write_text("{}")
    with pytest.raises(FormatError, match=r"pymatgen, which knows others, is not installed \(pip install pymatgen\)"):
        read(tmp_path / "silicon.json")
