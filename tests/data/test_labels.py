"""Labels survive the way from a file, whatever their dialect; what is wrong is named with file, frame and key."""

import gzip
import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from jaxpot.core.structure import Structure
from jaxpot.data.dataset import Dataset
from jaxpot.data.read import read_dataset
from jaxpot.errors import DataError, FormatError, JaxpotError
from jaxpot.io.extxyz import key_values, scan

STRESS = np.array([[0.011, 0.004, -0.005], [0.004, 0.012, 0.006], [-0.005, 0.006, -0.013]])
CELL = np.array([[5.1, 0.2, 0.1], [0.3, 5.3, -0.2], [0.1, 0.4, 5.6]])
POSITIONS = np.array([[0.1, 0.2, 0.3], [2.6, 2.7, 1.1 / 3.0]])
FORCES = np.array([[0.1, -0.2, 1.0 / 3.0], [-0.1, 0.2, -1.0 / 3.0]])
VOLUME = np.linalg.det(CELL)


def numbers(array):
    return " ".join(repr(float(x)) for x in np.ravel(array))


def frame(comment='energy=-9.5 stress="{stress}"', forces="forces", n=2, columns=FORCES, pbc="T T T"):
    """Text of one frame of extended XYZ, with all digits."""
    properties = "species:S:1:pos:R:3" + (f":{forces}:R:{np.shape(columns)[1]}" if forces else "")
    comment = comment.replace("{stress}", numbers(STRESS)).replace("{virial}", numbers(-VOLUME * STRESS))
    lines = [str(n), f'Lattice="{numbers(CELL)}" Properties={properties} pbc="{pbc}" {comment}']
    for position, row in zip(POSITIONS, columns, strict=True):
        lines.append(f"Si {numbers(position)} {numbers(row) if forces else ''}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def file(tmp_path):
    """A function that writes texts one after the other into a file, and returns its path."""

    def make(*texts, name="data.xyz"):
        path = tmp_path / name
        path.write_text("".join(texts))
        return path

    return make


def same(found, energy=-9.5, forces=FORCES, stress=STRESS, tolerance=0.0):
    assert found.energy == energy
    np.testing.assert_array_equal(found.forces, forces)
    np.testing.assert_allclose(found.stress, stress, rtol=tolerance, atol=0)
    np.testing.assert_array_equal(found.structure.positions, POSITIONS)
    np.testing.assert_array_equal(found.structure.cell, CELL)
    assert found.structure.pbc == (True, True, True)


# Dialects


def test_every_digit_survives(file):
    data = read_dataset(file(frame(), frame('energy=-1e1 stress="{stress}" config_type=liquid')))
    same(data[0])
    same(data[1], energy=-10.0)
    assert [f.config_type for f in data] == ["default", "liquid"]
    assert data[1].source.endswith("data.xyz, frame 1")


DIALECTS = {
    "ase": ('energy=-9.5 stress="{stress}"', "forces", {}),
    "mace": ('REF_energy=-9.5 REF_stress="{stress}"', "REF_forces",
             {"energy": "REF_energy", "forces": "REF_forces", "stress": "REF_stress"}),
    "quip": ('dft_energy=-9.5 dft_virial="{virial}"', "dft_force",
             {"energy": "dft_energy", "forces": "dft_force", "virial": "dft_virial"}),
    "virial": ('energy=-9.5 virial="{virial}"', "forces", {"virial": "virial"}),
    "both": ('energy=-9.5 virial="{virial}" stress="{stress}"', "forces", {"virial": "virial"}),
    "brackets": ("energy=-9.5 stress=[{stress}]", "forces", {"stress": "stress"}),
    "spaces": ('energy = -9.5 stress = "{stress}"', "forces", {}),
    "free energy": ('free_energy=-9.5 energy=-9.4 stress="{stress}"', "forces", {"energy": "free_energy"}),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects(file, dialect):
    comment, forces, keys = DIALECTS[dialect]
    same(read_dataset(file(frame(comment, forces)), **keys)[0], tolerance=1e-14)


def crystal():
    """Copper in a cell of low symmetry, with six different stress components."""
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell @ [[1.01, 0.03, -0.02], [0.0, 0.98, 0.04], [0.0, 0.0, 1.02]], scale_atoms=True)
    atoms.rattle(0.05, seed=2)
    atoms.calc = EMT()
    atoms.get_forces(), atoms.get_stress()
    return atoms


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz", "a.traj", "a.json", "a.db", "a.xyz.gz"])
def test_formats_of_ase(tmp_path, name):
    atoms = [crystal(), crystal()]
    write(tmp_path / name, atoms)
    found = read_dataset(tmp_path / name)[1]
    assert found.energy == pytest.approx(atoms[1].get_potential_energy(), abs=1e-12)
    np.testing.assert_allclose(found.forces, atoms[1].get_forces(), atol=1e-8)  # ASE writes 8 decimals
    np.testing.assert_allclose(found.stress, atoms[1].get_stress(voigt=False), atol=1e-12)


@pytest.mark.parametrize("kind", ["stress", "virial"])
def test_signs_and_order_are_those_of_the_derivative_of_the_energy(file, kind):
    atoms = crystal()
    stress = atoms.get_stress(voigt=False)
    assert len(np.unique(np.abs(stress).round(4))) == 6
    if kind == "virial":
        atoms.info["virial"] = -atoms.get_volume() * stress
        atoms.calc = SinglePointCalculator(atoms, energy=atoms.get_potential_energy(), forces=atoms.get_forces())
    write(path := file(), atoms)
    found = read_dataset(path, virial="virial" if kind == "virial" else None)[0].stress
    expected = np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            energies = []
            for step in (1e-4, -1e-4):
                deformed = crystal()
                strain = np.zeros((3, 3))
                strain[a, b] = step
                deformed.set_cell(deformed.cell @ (np.eye(3) + strain), scale_atoms=True)
                energies.append(deformed.get_potential_energy())
            expected[a, b] = (energies[0] - energies[1]) / 2e-4 / atoms.get_volume()
    np.testing.assert_allclose(found, expected, atol=2e-7)


def test_stresses_in_the_order_of_voigt(tmp_path):
    atoms = Atoms("Si2", POSITIONS, cell=CELL, pbc=True)
    atoms.info.update(my_stress=STRESS[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], my_energy=-9.5)
    atoms.arrays["my_forces"] = FORCES
    same(Dataset.of([atoms], energy="my_energy", forces="my_forces", stress="my_stress")[0])


def test_labels_are_found_in_all_places_and_must_agree():
    atoms = Atoms("Si2", POSITIONS, cell=CELL, pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-9.5, forces=FORCES, stress=STRESS)
    atoms.info["energy"] = -9.5
    atoms.info["stress"] = STRESS[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    atoms.arrays["forces"] = FORCES.copy()
    same(Dataset.of([atoms])[0])
    atoms.info["energy"] = -9.4
    with pytest.raises(DataError, match=r"frame 0: energy is there twice.*-9.4 \(info\) and -9.5 \(calculator\)"):
        Dataset.of([atoms])
    atoms.info["energy"] = -9.5
    atoms.arrays["forces"][1, 2] += 1e-6
    with pytest.raises(DataError, match="frame 0: forces is there twice"):
        Dataset.of([atoms])


# Virial and stress


def test_stress_and_virial_must_agree(file):
    wrong = frame(f'energy=-9.5 stress="{{stress}}" virial="{numbers(VOLUME * STRESS)}"')
    with pytest.raises(DataError, match="data.xyz, frame 1: stress and virial contradict.*-0.013 eV.*sign is opposite"):
        read_dataset(file(frame(DIALECTS["both"][0]), wrong), virial="virial")
    same(read_dataset(file(frame(), wrong))[1])  # only the stress is read
    kilobar = frame(f'energy=-9.5 stress="{numbers(STRESS / 6.2415e-4)}" virial="{{virial}}"')
    with pytest.raises(DataError, match="contradict each other"):
        read_dataset(file(kilobar), virial="virial")


def test_a_stress_without_a_volume_is_left_out_and_that_is_told(file):
    data = read_dataset(file(frame(), frame(pbc="T T F"), frame(pbc="F F F")))
    assert [f.stress is None for f in data] == [False, True, True]
    assert any("the stress of 2 frames was left out" in note for note in data.notes)
    assert "note: the stress of 2 frames" in str(data.summary())


# What is missing


def test_a_label_that_no_frame_has(file):
    path = file(frame("REF_energy=-9.5", "REF_forces"))
    with pytest.raises(DataError, match="energy='energy'; the keys that are there: REF_energy, REF_forces"):
        read_dataset(path)
    with pytest.raises(DataError, match="forces='forces'"):
        read_dataset(path, energy="REF_energy")
    usual = read_dataset(path, energy="REF_energy", forces=None)
    assert usual[0].stress is None and "keys that were not read: REF_forces" in usual.notes
    for label in ("stress", "virial", "config_type", "sigma_energy"):
        with pytest.raises(DataError, match=f"{label}='{label}'"):
            read_dataset(path, energy="REF_energy", forces=None, **{label: label})


def test_a_label_that_some_frames_lack(file):
    path = file(frame(), frame("name=x"), frame(forces=None))
    with pytest.raises(DataError, match=r"1 of 3 frames have no energy.*data.xyz, frame 1; .*require=\('forces',\)"):
        read_dataset(path)
    with pytest.raises(DataError, match="1 of 3 frames have no forces.*data.xyz, frame 2"):
        read_dataset(path, require=("forces",))
    data = read_dataset(path, require=())
    assert data.summary().labels == {"energy": 2, "forces": 2, "stress": 2}
    with pytest.raises(DataError, match="1 of 3 frames have no stress.*frame 1"):
        read_dataset(path, require=("stress",))
    with pytest.raises(DataError, match="no label at all, the first is .*frame 1"):
        read_dataset(file(frame(), frame("name=x", forces=None)), require=())


def test_isolated_atoms_need_no_forces(file):
    atom = f'1\nLattice="{numbers(20 * np.eye(3))}" Properties=species:S:1:pos:R:3 energy=-0.8\nSi 0 0 0\n'
    data = read_dataset(file(frame(), atom))
    assert data.e0 == {14: -0.8} and len(data) == 1


# What is wrong


BAD_LABELS = {
    "nan energy": (frame("energy=nan"), "frame 1: energy: 1 of 1 numbers are not finite"),
    "inf energy": (frame("energy=-inf"), "frame 1: energy: 1 of 1 numbers are not finite"),
    "text energy": (frame("energy=low"), "frame 1: energy: expected numbers, got 'low'"),
    "fortran energy": (frame("energy=-0.95D+01"), "frame 1: energy: expected numbers"),
    "flag energy": (frame("energy"), "frame 1: energy: expected numbers, got True"),
    "two energies": (frame('energy="-9.5 -9.4"'), "frame 1: energy: expected one number"),
    "nan forces": (frame(columns=[[0, 0, 0], [0, np.nan, 0]]), "frame 1: forces: 1 of 6 numbers are not finite"),
    "two columns": (frame(columns=FORCES[:, :2]), "frame 1: forces: expected .2, 3. numbers"),
    "nan stress": (frame(f'energy=-9.5 stress="nan {numbers(np.zeros(8))}"'), "frame 1: stress: 1 of 6 numbers"),
    "eight numbers": (frame(f'energy=-9.5 stress="{numbers(np.zeros(8))}"'), "data.xyz: ASE cannot read it .*stress"),
}


@pytest.mark.parametrize("what", BAD_LABELS)
def test_bad_labels_name_file_frame_and_key(file, what):
    text, message = BAD_LABELS[what]
    with pytest.raises(JaxpotError, match=message) as caught:
        read_dataset(file(frame(), text))
    assert "data.xyz" in str(caught.value)


ASYMMETRIC = numbers([[0, 1, 0], [0, 0, 0], [0, 0, 0]])
BAD_FILES = {
    "duplicate key": (frame("energy=-9.5 energy=-9.4"), "line 6: frame 1: energy is there twice .'-9.5' and '-9.4'"),
    "duplicate quoted key": (frame('energy=-9.5 "energy"=-9.4'), "line 6: frame 1: energy is there twice"),
    "duplicate column": (frame().replace("forces:R:3", "forces:R:1:forces:R:2"), "frame 1: column forces is there twice"),
    "absurd number of atoms": (frame(n=999999999), "line 9: frame 1: 999999999 atoms are declared, .*ends after 2"),
    "more atoms": (frame(n=3), "frame 1: 3 atoms are declared, but the file ends after 2"),
    "fewer atoms": (frame(n=1), "line 8: frame 2: expected the number of atoms, got 'Si 2.6"),
    "negative number": (frame(n=-2), "line 5: frame 1: expected the number of atoms, got '-2'"),
    "no comment": ("2\n", "frame 1: the file ends before the comment line"),
    "empty line": ("\n" + frame(), "line 6: there is more after an empty line .line 5."),
    "asymmetric stress": (frame(f'energy=-9.5 stress="{ASYMMETRIC}"'), "frame 1: stress: expected a symmetric tensor"),
    "asymmetric virial": (frame(f'energy=-9.5 virial="{ASYMMETRIC}"'), "frame 1: virial: expected a symmetric tensor"),
    "empty value": (frame('comment="" energy=-9.5'), "frame 1: comment is empty, and ASE would take what follows"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_bad_files_are_refused_at_once(file, what):
    text, message = BAD_FILES[what]
    start = time.monotonic()
    with pytest.raises(FormatError, match=message) as caught:
        read_dataset(file(frame(), text))
    assert time.monotonic() - start < 2.0 and "data.xyz" in str(caught.value)


def test_files_that_are_none(file, tmp_path):
    for path in (tmp_path / "absent.xyz", tmp_path, file(""), file("\n\n", name="blank.xyz")):
        with pytest.raises(FormatError, match=path.name):
            read_dataset(path)
    for name, text in (("short.xyz.gz", frame()), ("long.xyz.gz", frame() * 200)):
        (tmp_path / name).write_bytes(gzip.compress(text.encode())[:-20])
        with pytest.raises(FormatError, match=f"{name}: the file cannot be read"):
            read_dataset(tmp_path / name)
    (tmp_path / "binary.xyz").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(FormatError, match="binary.xyz"):
        read_dataset(tmp_path / "binary.xyz")


def test_scanning(file):
    text = frame() + "1\n\nSi 0 0 0\nVEC1 1 0 0\nVEC2 0 1 0\nVEC3 0 0 1\n" + frame() + "\n  \n"
    assert scan(file(text)) == 3
    pairs = key_values(r"""a=1 flag b="2 3" 'k k'={x y} c=[1, 2] d=e=f g = 7 h="say \"no\"" energy=-1""")
    assert pairs == [
        ("a", "1"), ("b", "2 3"), ("k k", "x y"), ("c", "1, 2"), ("d", "e=f"), ("g", "7"), ("h", 'say "no"'),
        ("energy", "-1"),
    ]
    start = time.monotonic()
    for hostile in ('"' * 10**5, "a" * 10**6, '"a ' * 10**5, "a=" * 10**5, "[{" * 10**5, "\\" * 10**5):
        key_values(hostile)
    assert time.monotonic() - start < 2.0


# Several files, some frames


def test_several_files_and_indices(file):
    paths = [file(*(frame(f"energy={-9 - k}") for k in range(5))), file(frame("energy=-20"), name="more.xyz")]
    energies = lambda **kw: [f.energy for f in read_dataset(paths[0], **kw)]  # noqa: E731
    assert [f.energy for f in read_dataset(paths)] == [-9, -10, -11, -12, -13, -20]
    assert energies(index="::2") == [-9, -11, -13] and energies(index=-1) == energies(index="-1") == [-13]
    assert energies(index=slice(1, 3)) == [-10, -11]
    assert [f.source[-7:] for f in read_dataset(str(paths[0]), index="-2:")] == ["frame 3", "frame 4"]
    for index in (5, "-6"):
        with pytest.raises(DataError, match="data.xyz: there is no frame .* among 5"):
            energies(index=index)
    for index in ("a", 1.5, "::0", None, "5:"):
        with pytest.raises(DataError):
            energies(index=index)
    with pytest.raises(DataError, match="more.xyz is given twice"):
        read_dataset([paths[1], paths[0], paths[1]])
    with pytest.raises(DataError, match="got none"):
        read_dataset([])


def test_sigmas_and_config_types_under_other_keys(file):
    path = file(frame("energy=-9.5 group=bulk e_sigma=0.001 f_sigma=0.1 s_sigma=0.01"), frame())
    keys = {"sigma_energy": "e_sigma", "sigma_forces": "f_sigma", "sigma_stress": "s_sigma"}
    data = read_dataset(path, config_type="group", **keys)
    assert data.config_types == {"bulk": 1, "default": 1}
    assert (data[0].sigma_energy, data[0].sigma_forces, data[0].sigma_stress) == (0.001, 0.1, 0.01)
    assert data[1].sigma_energy is None
    with pytest.raises(DataError, match="data.xyz, frame 0: sigma_energy: expected a positive number"):
        read_dataset(file(frame("energy=-9.5 e_sigma=-1")), sigma_energy="e_sigma")


def test_damaged_structures_are_named(file):
    with pytest.raises(JaxpotError, match="data.xyz, frame 1: positions: 1 of 6 numbers are not finite"):
        read_dataset(file(frame(), frame().replace(repr(2.6), "nan")))
    with pytest.raises(DataError, match="energy: expected the name of a key, or None, got 3"):
        read_dataset(file(frame()), energy=3)
    assert Structure.of(read_dataset(file(frame()))[0].structure).symbols == ["Si", "Si"]
