"""CIF files that say more than ASE's reader keeps: each is read for what it says, or refused with the sites by name."""

import gzip

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

import jaxpot as jp
from jaxpot.errors import FormatError
from jaxpot.io import read, read_atoms, structure_from_spec

CELL = "".join(f"_cell_length_{x} {{a}}\n" for x in "abc") + "".join(f"_cell_angle_{x} 90\n" for x in ("alpha", "beta", "gamma"))
TYPED = "_atom_site_label _atom_site_type_symbol _atom_site_fract_x _atom_site_fract_y _atom_site_fract_z"
LABELLED = TYPED.replace(" _atom_site_type_symbol", "")


def cif(*sites, columns=TYPED, group=225, a=3.6, more=""):
    table = "\n".join(["loop_", *columns.split(), *sites])
    return f"data_tiny\n{CELL.format(a=a)}_symmetry_Int_Tables_number {group}\n{more}{table}\n"


@pytest.fixture
def file(tmp_path):
    """A CIF file of a text."""
    def make(text, name="tiny.cif"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


OCCUPIED = f"{TYPED} _atom_site_occupancy"
ROCKSALT = ("Na1 Na 0 0 0", "Cl1 Cl 0.5 0.5 0.5")
FULL = {
    "as it is": cif(*ROCKSALT, a=5.64),
    "occupied fully": cif("Na1 Na+ 0 0 0 1.0", "Cl1 Cl1- 0.5 0.5 0.5 1.0(1)", columns=OCCUPIED, a=5.64),
    "occupancy not given": cif("Na1 Na 0 0 0 .", "Cl1 Cl 0.5 0.5 0.5 ?", columns=OCCUPIED, a=5.64),
    "symbols in capitals": cif("A NA 0 0 0", "B CL 0.5 0.5 0.5", a=5.64),
    "labels only": cif("Na1 0 0 0", "ClA 0.5 0.5 0.5", columns=LABELLED, a=5.64),
    "a formula": cif(*ROCKSALT, a=5.64, more="_chemical_formula_sum 'Na Cl'\n"),
}


@pytest.mark.parametrize("name", FULL)
def test_ordered_crystals_are_read(name, file):
    (structure,) = read(file(FULL[name]))
    assert structure.symbols == 4 * ["Na"] + 4 * ["Cl"]
    assert float(structure.volume) == pytest.approx(5.64**3)


WRONG = {
    "two elements on a site": (
        cif("Cu1 Cu 0 0 0 0.5", "Ni1 Ni 0 0 0 0.5", columns=OCCUPIED), r"Cu1 \(Cu 0\.5\), Ni1 \(Ni 0\.5\).*ordered supercell",
    ),
    "a site that is sometimes empty": (cif("Cu1 Cu 0 0 0 0.9", columns=OCCUPIED), r"occupied in part: Cu1 \(Cu 0\.9\)"),
    "a site that is never occupied": (cif("Cu1 Cu 0 0 0 1", "O1 O 0.5 0.5 0.5 0", columns=OCCUPIED), r"O1 \(O 0\)"),
    "an occupancy that is a word": (cif("Cu1 Cu 0 0 0 full", columns=OCCUPIED), r"Cu1 \(Cu 'full'\)"),
    "two elements at one place": (cif("Cu1 Cu 0 0 0", "Ni1 Ni 0 0 0"), r"Ni1: at the place of another site"),
    "a site listed twice": (cif("Cu1 Cu 0 0 0", "Cu2 Cu 0 0 0"), r"Cu2: at the place of another site.*listed twice"),
    "a copy listed, too": (cif("Cu1 Cu 0 0 0", "Cu2 Cu 0.5 0.5 0"), r"Cu2: at the place of .* a symmetry copy.*P 1"),
    "two sites that nearly coincide": (cif("Cu1 Cu 0 0 0", "Cu2 Cu 0.01 0 0", group=1), r"Cu1 and Cu2 are 0\.036 A apart"),
    "copies that do not merge": (cif("Cu1 Cu 0 0 0.005"), r"two copies of Cu1 are 0\.0255 A apart.*all digits"),
    "a dummy": (cif("Cu1 Cu 0 0 0", "X1 X 0.5 0.5 0.5"), r"site X1: 'X' does not say which element"),
    "a vacancy": (cif("Cu1 Cu 0 0 0", "V Vac 0.5 0.5 0.5"), r"site V: 'Vac' does not say which element"),
    "an unknown symbol": (cif("Cu1 Cu 0 0 0", "M1 ? 0.5 0.5 0.5"), r"site M1: '\?' does not say which element"),
    "a label that may be two elements": (cif("CA1 0 0 0", columns=LABELLED), r"'CA1' does not say which.*_type_symbol"),
    "a label that is silicon or sulfur": (cif("SI1 0 0 0", columns=LABELLED), r"'SI1' does not say which"),
    "a dummy by its flag": (
        cif("Cu1 Cu 0 0 0 d", "O1 O 0.5 0.5 0.5 dum", columns=f"{TYPED} _atom_site_calc_flag"), r"dummy sites .*O1",
    ),
    "attached hydrogen": (
        cif("O1 O 0 0 0 2", columns=f"{TYPED} _atom_site_attached_hydrogens"), r"hydrogen attached to O1 has no sites",
    ),
    "hydrogen in the formula only": (
        cif("O1 O 0 0 0", more="_chemical_formula_sum 'H2 O'\n"), r"hydrogen is in the formula .*H2 O.* has no site",
    ),
    "a row that is too long": (cif("Cu1 Cu 0 0 0", "Cu2 Cu 0.5 0.5 0.5 1"), r"rows or columns .* cannot be read"),
    "no cell": (cif(*ROCKSALT).replace("_cell_length_a", "_cell_length_d"), r"fractions of a cell"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_ase_would_drop_or_make_up_is_refused(name, file):
    text, message = WRONG[name]
    with pytest.raises(FormatError, match=f"tiny.cif: (block tiny: )?.*{message}"):
        read(file(text))


@pytest.mark.data
def test_the_published_example_names_its_sites_and_the_way_out():
    import os

    path = os.path.join(os.environ["JAXPOT_DATA"], "structures", "cu_ni_half_occupied.cif")
    with pytest.raises(FormatError, match=r"Cu1 \(Cu 0\.5\), Ni1 \(Ni 0\.5\); .*ordered supercell"):
        structure_from_spec(path)
    quartz = read(path.replace("cu_ni_half_occupied", "quartz"))[0]
    assert sorted(quartz.symbols) == 6 * ["O"] + 3 * ["Si"]


@pytest.mark.parametrize(("symbol", "mass"), [("D", 2.0141), ("T", 3.0160)])
def test_heavy_hydrogen_keeps_its_mass(symbol, mass, file):
    sites = (f"{symbol}1 {symbol} 0.25 0.25 0.25", "Li1 Li 0 0 0")
    (structure,) = read(file(cif(*sites, a=4.0)))
    assert structure.symbols == 8 * ["H"] + 4 * ["Li"]
    np.testing.assert_allclose(structure.masses[:8], mass, atol=1e-4)
    assert float(structure.masses[-1]) == pytest.approx(6.94)
    if symbol == "D":
        (labelled,) = read(file(cif("D1 0.25 0.25 0.25", columns=LABELLED, a=4.0)))
        np.testing.assert_allclose(labelled.masses, mass, atol=1e-4)


def test_only_the_chosen_block_has_to_be_in_order(file, tmp_path):
    good, bad = FULL["as it is"], WRONG["two elements on a site"][0]
    path = file(good + bad + cif("Cu1 Cu 0 0 0"))
    assert len(read(path, 0)[0]) == 8 and len(read(path, "-1")[0]) == 4 and len(read(path, "::2")) == 2
    assert len(structure_from_spec(f"{path}@2")[0]) == 4
    with pytest.raises(FormatError, match="Ni1"):
        read(path)
    with pytest.raises(FormatError, match="no structure of index 7"):
        read(path, 7)
    with gzip.open(tmp_path / "packed.cif.gz", "wt") as packed:
        packed.write(good)
    assert len(read(tmp_path / "packed.cif.gz")[0]) == 8


def test_what_ase_writes_is_read_as_it_was(tmp_path):
    write(tmp_path / "si.cif", bulk("Si", cubic=True))
    (atoms,) = read_atoms(tmp_path / "si.cif")
    np.testing.assert_allclose(atoms.get_all_distances(mic=True), bulk("Si", cubic=True).get_all_distances(mic=True), atol=1e-6)


def test_cartesian_sites_without_a_cell_are_a_molecule(file):
    columns = LABELLED.replace("fract", "Cartn")
    (structure,) = read(file("data_water\nloop_\n" + "\n".join(columns.split()) + "\nO 0 0 0\nH1 0.76 0.59 0\nH2 -0.76 0.59 0\n"))
    assert structure.symbols == ["O", "H", "H"] and not any(structure.pbc)


PDB = "ATOM  {:5d}  {:<3s} ALA A   1    {:8.3f}{:8.3f}{:8.3f}{:6.2f}  0.00          {:>2s}\n"


def test_alternative_locations_of_pdb_files_are_refused(tmp_path):
    path = tmp_path / "half.pdb"
    atoms = [(1, "C", 0.0, 0.0, 0.0, 1.0, "C"), (2, "O", 1.2, 0.0, 0.0, 0.6, "O"), (3, "O", 1.1, 0.4, 0.0, 0.4, "O")]
    path.write_text("".join(PDB.format(*row) for row in atoms))
    with pytest.raises(FormatError, match=r"structure 0: atoms .* in part .*1 \(O 0\.6\), 2 \(O 0\.4\)"):
        read(path)
    path.write_text("".join(PDB.format(*row[:5], 0.0, row[6]) for row in atoms[:2]))  # not filled in
    assert len(read(path)[0]) == 2


def test_dummy_atoms_are_refused_wherever_they_come_from(tmp_path):
    (tmp_path / "x.xyz").write_text("2\n\nSi 0 0 0\nX 0 0 2\n")
    with pytest.raises(FormatError, match=r"x.xyz: structure 0: atoms without an element \(X\): 1; remove"):
        read(tmp_path / "x.xyz")
    with pytest.raises(jp.errors.DataError, match="atoms without an element"):
        jp.energy(jp.load("sw-silicon"), read_atoms(tmp_path / "x.xyz")[0])
