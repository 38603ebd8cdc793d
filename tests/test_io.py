"""Files and their errors, prototypes against the textbook, special points and band paths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from jaxpot.core.structure import Structure
from jaxpot.core.symmetry import space_group
from jaxpot.errors import DataError, FormatError, GeometryError
from jaxpot.io import BandPath, band_path, labels, read, read_atoms, special_points, structure_from_spec

# Files


@pytest.fixture
def trajectory(tmp_path):
    """Three silicon crystals with results."""
    frames = []
    for k in range(3):
        atoms = bulk("Si").repeat((1, 1, k + 1))
        stress = np.arange(6.0) * 1e-3
        results = {"energy": -4.3 * len(atoms), "forces": np.full((len(atoms), 3), 0.1 * k), "stress": stress}
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    path = tmp_path / "silicon.extxyz"
    write(path, frames)
    return path


def test_reading(trajectory):
    structures = read(trajectory)
    assert [len(s) for s in structures] == [2, 4, 6]
    assert all(isinstance(s, Structure) and s.pbc == (True, True, True) for s in structures)
    assert len(read(trajectory, "-1")) == len(read(trajectory, 1)) == 1
    assert len(read(str(trajectory), "::2")) == 2


def test_labels(trajectory):
    atoms = read_atoms(trajectory)[2]
    found = labels(atoms)
    assert found["energy"] == pytest.approx(-4.3 * 6)
    np.testing.assert_allclose(found["forces"], 0.2)
    np.testing.assert_allclose(found["stress"], 1e-3 * np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]]))
    assert labels(bulk("Si")) == {}
    atoms = bulk("Si")
    atoms.info["virial"] = np.eye(3)
    np.testing.assert_allclose(labels(atoms)["stress"], -np.eye(3) / atoms.get_volume())


BAD_FILES = {
    "empty.xyz": ("", "empty"),
    "cut.xyz": ("3\ncomment\nSi 0 0 0\nSi 0 0 1", "3 atoms are declared, but the file ends after 2"),
    "lattice.extxyz": ('1\nLattice="1 2" Properties=species:S:1:pos:R:3\nSi 0 0 0\n', "Lattice"),
    "element.xyz": ("2\nProperties=species:S:1:pos:R:3\nXx 0 0 0\nSi 1 1 1\n", "Xx"),
    "nan.xyz": ("2\n\nSi 0 0 0\nSi 0 0 nan\n", "structure 0: positions: 1 of 6 numbers are not finite"),
    "POSCAR": ("Si\n1.0\n1 0 0\n0 1 0\n", "damaged or incomplete"),
    "half.cif": ("data_x\n_cell_length_a 3\n", "no structures"),
    "page.html": ("<html></html>", "files of the kind html are not read"),
    "table.json": ('{"a": 1}', "none that ASE recognises"),
    "text.dat": ("hello world\nfoo\n", "cannot read it"),
    "dump.lammpstrj": ("ITEM: TIMESTEP\n0\n", "ncomplete"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_name_the_file_and_the_reason(tmp_path, name):
    content, reason = BAD_FILES[name]
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(FormatError, match=reason) as caught:
        read(path)
    assert name in str(caught.value)


def test_bad_bytes_missing_files_and_frames(tmp_path, trajectory):
    garbage = tmp_path / "garbage.traj"
    garbage.write_bytes(np.random.default_rng(0).bytes(500))
    missing = tmp_path / "none.xyz"
    for path, reason in [(garbage, "not a trajectory of ASE"), (missing, "no such file"), (tmp_path, "this is a folder")]:
        with pytest.raises(FormatError, match=reason):
            read_atoms(path)
    with pytest.raises(FormatError, match="index 7"):
        read(trajectory, 7)


# Prototypes

KNOWN = {  # specification: atoms, space group, nearest-neighbour distance, coordination
    "fcc:Cu:a=3.6": (1, 225, 3.6 / np.sqrt(2), 12),
    "bcc:Fe:a=2.8": (1, 229, 2.8 * np.sqrt(3) / 2, 8),
    "sc:Po:a=3.3": (1, 221, 3.3, 6),
    "hcp:Mg:a=3.2:covera=1.632993161855452": (2, 194, 3.2, 12),
    "hcp:Zn:a=2.66:c=4.95": (2, 194, 2.66, 6),
    "diamond:Si:a=5.43": (2, 227, 5.43 * np.sqrt(3) / 4, 4),
    "rocksalt:NaCl:a=5.64": (2, 225, 2.82, 6),
    "zincblende:GaAs:a=5.65": (2, 216, 5.65 * np.sqrt(3) / 4, 4),
    "zincblende:Ga,As:a=5.65": (2, 216, 5.65 * np.sqrt(3) / 4, 4),
    "wurtzite:ZnS:a=3.82": (4, 186, 3.82 * np.sqrt(3 / 8), 4),
    "wurtzite:ZnO:a=3.25:c=5.2:u=0.37": (4, 186, 0.37 * 5.2, 1),
}


@pytest.mark.parametrize("text", KNOWN)
def test_prototypes_are_those_of_the_textbook(text):
    atoms, number, distance, coordination = KNOWN[text]
    structure, given = structure_from_spec(text)
    assert given
    assert len(structure) == atoms
    assert space_group(structure).number == number
    images = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    others = (np.asarray(structure.positions) + images @ np.asarray(structure.cell)).reshape(-1, 3)
    for position in structure.positions:
        lengths = np.sort(np.linalg.norm(others - position, axis=1))[1:]  # the first is the atom itself
        assert lengths[0] == pytest.approx(distance, rel=1e-6)
        assert np.sum(lengths < distance + 1e-4) == coordination


@pytest.mark.parametrize(
    "text, a, tolerance",
    [
        ("fcc:Cu", 3.61, 0.01),
        ("bcc:Cu", 2.87, 0.03),
        ("hcp:Cu", 2.55, 0.03),
        ("fcc:Fe", 3.6, 0.05),
        ("diamond:Si", 5.43, 0.01),
        ("hcp:Ti", 2.95, 0.01),
        ("rocksalt:NaCl", 5.64, 0.1),
        ("rocksalt:MgO", 4.21, 0.1),
        ("zincblende:SiC", 4.36, 0.1),
        ("zincblende:GaAs", 5.65, 0.1),
        ("wurtzite:ZnS", 3.82, 0.1),
        ("wurtzite:GaN", 3.19, 0.1),
    ],
)
def test_guessed_sizes_are_near_the_measured_ones(text, a, tolerance):
    structure, given = structure_from_spec(text)
    assert not given
    lengths = np.linalg.norm(structure.cell, axis=1)
    conventional = {"bcc": 2 / np.sqrt(3), "hcp": 1.0, "wurtzite": 1.0}.get(text.split(":")[0], np.sqrt(2))
    assert lengths[0] * conventional == pytest.approx(a, rel=tolerance)
    if text == "hcp:Ti":
        assert lengths[2] / lengths[0] == pytest.approx(1.587, abs=0.01)


BAD_SPECS = {
    "fcc": "takes 1 element",
    "fcc:": "takes 1 element",
    "fcc:CuAu": "takes 1 element",
    "rocksalt:Na": "takes 2 elements",
    "fcc:copper": "as chemical symbols",
    "fcc:Qq": "'Qq' is not an element",
    "perovskite:SrTiO3": "prototypes: fcc, bcc",
    "missing.xyz": "no such file",
    "fcc:Cu:b=3": "no option 'b'; it has a",
    "fcc:Cu:c=3": "no option 'c'",
    "fcc:Cu:a=x": "must be a number",
    "fcc:Cu:a=": "must be a number",
    "fcc:Cu:a": "must be a number",
    "fcc:Cu:a=-1": "must be positive",
    "fcc:Cu:a=nan": "must be positive",
    "fcc:Cu:a=3:a=4": "given twice",
    "hcp:Mg:a=3:c=5:covera=1.6": "given twice",
    "hcp:Mg:c=5": "without a",
    "wurtzite:ZnS:u=1.5": "between 0 and 1",
    "fcc:Og": "give it with a=",
    "": "neither a file nor a prototype",
}


@pytest.mark.parametrize("text", BAD_SPECS)
def test_bad_specifications_say_what_exists(text):
    with pytest.raises(DataError, match=BAD_SPECS[text]):
        structure_from_spec(text)


def test_files_as_specifications(tmp_path, trajectory):
    path = tmp_path / "cell.cif"
    write(path, bulk("Si"))
    structure, given = structure_from_spec(str(path))
    assert given and len(structure) == 2
    assert len(structure_from_spec(f"{trajectory}@1")[0]) == 4
    assert len(structure_from_spec(f"{trajectory}@-1")[0]) == 6
    with pytest.raises(DataError, match="holds 3 structures.*@0"):
        structure_from_spec(str(trajectory))
    with pytest.raises(FormatError, match="index"):
        structure_from_spec(f"{trajectory}@9")


# Wave vectors


def cartesian(structure, q):
    return 2 * np.pi * np.asarray(q) @ np.linalg.inv(np.asarray(structure.cell)).T


@pytest.mark.parametrize(
    "text, known",
    [  # |q| in units of 2 pi / a
        ("fcc:Cu:a=3.6", {"X": 1.0, "L": np.sqrt(3) / 2, "K": 3 / np.sqrt(8), "W": np.sqrt(5) / 2}),
        ("diamond:Si:a=5.43", {"X": 1.0, "L": np.sqrt(3) / 2, "K": 3 / np.sqrt(8), "U": 3 / np.sqrt(8)}),
        ("bcc:Fe:a=2.8", {"H": 1.0, "N": np.sqrt(0.5), "P": np.sqrt(0.75)}),
        ("sc:Po:a=3.3", {"X": 0.5, "M": np.sqrt(0.5), "R": np.sqrt(0.75)}),
        ("hcp:Mg:a=3.2:covera=1.6", {"K": 2 / 3, "M": 1 / np.sqrt(3), "A": 0.5 / 1.6}),
        ("wurtzite:ZnS:a=3.8:covera=1.6", {"K": 2 / 3, "M": 1 / np.sqrt(3), "A": 0.5 / 1.6}),
    ],
)
def test_special_points_are_those_of_the_textbook(text, known):
    structure, _ = structure_from_spec(text)
    points = special_points(structure)
    a = float(text.split("a=")[1].split(":")[0])
    np.testing.assert_array_equal(points["Gamma"], 0.0)
    for name, length in known.items():
        q = cartesian(structure, points[name])
        assert np.linalg.norm(q) * a / (2 * np.pi) == pytest.approx(length), name


def first_zone_length(cell, q):
    """Smallest |q + G|."""
    steps = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return np.linalg.norm((q + steps) @ np.linalg.inv(cell).T, axis=1).min()


@pytest.mark.parametrize("lattice", ["fcc", "bcc", "hcp", "tetragonal", "monoclinic"])
def test_special_points_do_not_depend_on_the_choice_of_cell(lattice):
    """Other vectors of the same lattice, turned in space, right- and left-handed: the same points."""
    cells = {
        "fcc": bulk("Cu").cell.array,
        "bcc": bulk("Fe").cell.array,
        "hcp": bulk("Mg").cell.array,
        "tetragonal": np.diag([3.0, 3.0, 4.1]),
        "monoclinic": np.array([[3.0, 0, 0], [0, 4.0, 0], [1.0, 0, 5.2]]),
    }
    cell = cells[lattice]
    expected = {name: first_zone_length(cell, q) for name, q in special_points(_empty(cell)).items()}
    rng = np.random.default_rng(0)
    tried = 0
    while tried < 12:
        change = rng.integers(-1, 2, size=(3, 3))
        if round(abs(np.linalg.det(change))) != 1:
            continue
        tried += 1
        other = change @ cell @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
        here = {name: first_zone_length(other, q) for name, q in special_points(_empty(other)).items()}
        assert here == pytest.approx(expected, rel=1e-6)


def _empty(cell):
    return Atoms("H", cell=cell, pbc=True)


def test_the_standard_path_of_fcc():
    structure, _ = structure_from_spec("fcc:Cu:a=3.6")
    path = band_path(structure, points=120)
    assert isinstance(path, BandPath)
    assert path.labels == ("Γ", "X", "W", "K", "Γ", "L", "U", "W", "L", "K|U", "X")
    assert len(path.labels) == len(path.ticks)
    assert len(path.q_points) == len(path.distances) == pytest.approx(120, abs=8)
    assert path.ticks[1] == pytest.approx(2 * np.pi / 3.6)  # Γ-X
    np.testing.assert_array_equal(path.q_points[0], 0.0)
    points = special_points(structure)
    for tick, label in zip(path.ticks, path.labels, strict=True):  # each special point is there exactly
        names = [name.replace("Γ", "Gamma") for name in label.split("|")]
        found = path.q_points[np.isclose(path.distances, tick)]
        assert len(found) == len(names)
        for name, q in zip(names, found, strict=True):
            np.testing.assert_array_equal(q, points[name])
    # Distances are the lengths of the steps, but for the jump.
    steps = np.linalg.norm(np.diff(cartesian(structure, path.q_points), axis=0), axis=1)
    along = np.diff(path.distances)
    jump = np.argmin(along)
    assert along[jump] == 0.0 and steps[jump] > 0.1
    np.testing.assert_allclose(np.delete(along, jump), np.delete(steps, jump), rtol=1e-9)


def test_paths_of_ones_own():
    silicon = bulk("Si")
    short = band_path(silicon, points=10, path="GX,L")
    assert short.labels == ("Γ", "X|L") and len(short.q_points) == 12
    for same in ("ΓX,L", "GammaX,L"):
        np.testing.assert_array_equal(band_path(silicon, points=10, path=same).q_points, short.q_points)
    named = band_path(silicon, points=10, path=["Gamma", "X", (0.25, 0.25, 0.5)])
    assert named.labels == ("Γ", "X", "(0.25, 0.25, 0.5)")
    explicit = band_path(silicon, points=2, path=np.array([[0, 0, 0], [0.5, 0, 0.5]]))
    np.testing.assert_allclose(explicit.q_points, [[0, 0, 0], [0.25, 0, 0.25], [0.5, 0, 0.5]])


@pytest.mark.parametrize(
    "path, reason",
    [
        ("GZ", "no special point 'Z'; this lattice has Gamma, K, L"),
        ("G", "at least two different"),
        ("", "at least two different"),
        ([], "at least two different"),
        ([(0, 0, 0), (0, 0, 0)], "at least two different"),
        ([(0, 0), (0, 1)], "three finite"),
        ([(0, 0, 0), (0, 0, np.nan)], "three finite"),
    ],
)
def test_bad_paths(path, reason):
    with pytest.raises(DataError, match=reason):
        band_path(bulk("Si"), path=path)


def test_lattices_without_a_zone_or_a_name(monkeypatch):
    with pytest.raises(GeometryError, match="no Brillouin zone"):
        band_path(molecule("H2O"))
    with pytest.raises(GeometryError, match="no Brillouin zone"):
        special_points(Atoms("H", cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]], pbc=True))

    def refuse(*_, **__):
        raise RuntimeError("Failed to recognize lattice")

    monkeypatch.setattr("ase.cell.Cell.bandpath", refuse)
    with pytest.raises(GeometryError, match="fractional wave vectors"):
        band_path(bulk("Si"))
    assert len(band_path(bulk("Si"), path=[(0, 0, 0), (0.5, 0, 0)]).q_points) > 2


def test_slabs_have_planar_zones():
    slab = fcc111("Cu", (1, 1, 3), a=3.6, vacuum=5.0)
    points = special_points(slab)
    a = 3.6 / np.sqrt(2)
    assert set(points) == {"Gamma", "K", "M"}
    assert all(q[2] == 0.0 for q in points.values())
    assert band_path(slab).ticks[1] == pytest.approx(2 * np.pi / a / np.sqrt(3))  # Γ-M


def test_paths_of_differentiated_structures():
    structure, _ = structure_from_spec("fcc:Cu")

    def length(strain):
        return jnp.sum(structure.strained(strain * jnp.eye(3)).cell) * len(
            band_path(structure.strained(strain * jnp.eye(3)), 10).labels
        )

    assert np.isfinite(jax.grad(length)(0.0))
    with pytest.raises(DataError, match="outside of jit"):
        jax.jit(length)(0.0)
