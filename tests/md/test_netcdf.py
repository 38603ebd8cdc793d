"""Binary trajectories: other programs read what was simulated, and nothing that stops a run leaves them damaged."""

import os
import resource
from contextlib import contextmanager

import ase.units
import numpy as np
import pytest
from ase.build import bulk
from ase.io import read
from scipy.io import netcdf_file

import jaxpot as jp
from jaxpot.errors import DataError
from jaxpot.md import host
from jaxpot.md.netcdf import standard_cell
from jaxpot.units import GPa, fs

FORCE = ase.units.kcal / ase.units.mol  # eV/A


@pytest.fixture(scope="module")
def silicon():
    return jp.load("sw-silicon")


@pytest.fixture(scope="module")
def dynamics(silicon):
    return jp.md.NVE(silicon, 1.0 * fs)


def crystal(left_handed=False):
    """Primitive cells of the fcc lattice, in an orientation of no symmetry."""
    atoms = bulk("Si").repeat((2, 2, 1))
    atoms.rotate(33.0, (1, 2, 3), rotate_cell=True)
    if left_handed:
        atoms.cell = atoms.cell[[1, 0, 2]]
    assert (np.linalg.det(atoms.cell) < 0.0) == left_handed
    return atoms


@pytest.fixture(scope="module", params=[False, True], ids=["right-handed", "left-handed"])
def written(request, dynamics, tmp_path_factory):
    """Both files of one run, and its last state."""
    folder = tmp_path_factory.mktemp("frames")
    text, binary = jp.md.Trajectory(folder / "frames.xyz", 5), jp.md.NetCDFTrajectory(folder / "frames.nc", 5)
    found = jp.md.run(dynamics, crystal(request.param), 20, [text, binary], temperature=600.0, key=1)
    return folder, found.state


def variables(path):
    with netcdf_file(path, mmap=False) as file:
        return {name: variable.data.copy() for name, variable in file.variables.items()}


def test_scipy_reads_the_convention(written):
    folder, state = written
    with netcdf_file(folder / "frames.nc", mmap=False) as file:
        assert file.version_byte == 2 and file.Conventions == b"AMBER" and file.ConventionVersion == b"1.0"
        assert file.program == b"jaxpot" and file.programVersion
        assert file.dimensions == {
            "frame": None, "spatial": 3, "atom": 8, "cell_spatial": 3, "cell_angular": 3, "label": 5
        }
        units = {name: variable.units.decode() for name, variable in file.variables.items() if "units" in dir(variable)}
        kinds = {name: variable.typecode() for name, variable in file.variables.items()}
    assert units == {
        "time": "picosecond", "cell_lengths": "angstrom", "cell_angles": "degree", "coordinates": "angstrom",
        "velocities": "angstrom/picosecond", "forces": "kilocalorie/mole/angstrom",
    }
    assert [kinds[name] for name in units] == ["d", "d", "d", "f", "f", "f"]
    found = variables(folder / "frames.nc")
    assert found["spatial"].tobytes() == b"xyz" and found["cell_spatial"].tobytes() == b"abc"
    assert found["cell_angular"].tobytes() == b"alphabeta gamma"
    np.testing.assert_array_equal(found["atom_types"], 14)
    np.testing.assert_allclose(found["time"], 0.005 * np.arange(5), rtol=1e-12)
    _, _, turn = standard_cell(state.structure.cell, state.structure.pbc)
    assert np.linalg.det(turn) == pytest.approx(1.0)
    per_ps = 1000.0 * ase.units.fs
    for name, expected in {
        "coordinates": state.structure.positions, "velocities": state.velocities * per_ps, "forces": state.forces / FORCE
    }.items():
        np.testing.assert_allclose(found[name][-1], expected @ turn, rtol=3e-7, atol=1e-6, err_msg=name)


def test_netcdf4_reads_the_same(written):
    netcdf4 = pytest.importorskip("netCDF4")
    folder, _ = written
    with netcdf4.Dataset(folder / "frames.nc") as file:
        assert file.data_model == "NETCDF3_64BIT_OFFSET" and len(file.dimensions["frame"]) == 5
        assert file.dimensions["frame"].isunlimited()
        for name, expected in variables(folder / "frames.nc").items():
            np.testing.assert_array_equal(np.asarray(file[name][:]), expected, err_msg=name)


def test_ase_reads_the_structures_of_the_text(silicon, written):
    pytest.importorskip("netCDF4")
    folder, _ = written
    texts, binaries = read(folder / "frames.xyz", ":"), read(folder / "frames.nc", ":")
    assert len(texts) == len(binaries) == 5
    per_ps = 1000.0 * ase.units.fs
    for text, binary in zip(texts, binaries, strict=True):
        assert binary.get_chemical_symbols() == text.get_chemical_symbols() and binary.pbc.all()
        assert jp.energy(silicon, binary) == pytest.approx(float(jp.energy(silicon, text)), abs=2e-6)
        np.testing.assert_allclose(binary.arrays["forces"] * FORCE, jp.forces(silicon, binary), atol=2e-5)
        assert binary.get_kinetic_energy() / per_ps**2 == pytest.approx(text.get_kinetic_energy(), rel=1e-5)
        np.testing.assert_allclose(
            (text.positions - text.positions[0]) @ text.get_velocities().T,
            (binary.positions - binary.positions[0]) @ binary.get_velocities().T / per_ps, atol=2e-6,
        )


@pytest.mark.parametrize("pbc", [(False,) * 3, (True, True, False), (False, True, True), (False, False, True)])
def test_open_axes_have_no_length(silicon, dynamics, tmp_path, pbc):
    pytest.importorskip("netCDF4")
    atoms = bulk("Si", cubic=True)
    atoms.rotate(20.0, (3, 1, 2), rotate_cell=True)
    atoms.pbc = pbc
    atoms.cell[~atoms.pbc] = 0.0
    jp.md.run(dynamics, atoms, 0, trajectory=tmp_path / "frames.nc", temperature=300.0)
    found = variables(tmp_path / "frames.nc")
    np.testing.assert_allclose(found["cell_lengths"], [np.where(pbc, 5.43, 0.0)])
    np.testing.assert_allclose(found["cell_angles"], 90.0)
    if not any(pbc):
        np.testing.assert_array_equal(found["coordinates"][0], atoms.positions.astype("f4"))
    again = read(tmp_path / "frames.nc")
    assert again.pbc.tolist() == list(pbc)
    assert jp.energy(silicon, again) == pytest.approx(float(jp.energy(silicon, atoms)), abs=2e-6)


def test_a_cell_in_place_is_not_turned():
    cell = np.array([[4.0, 0.0, 0.0], [-1.0, 3.0, 0.0], [0.5, 1.0, 5.0]])
    lengths, angles, turn = standard_cell(cell, (True, True, True))
    np.testing.assert_array_equal(turn, np.eye(3))
    np.testing.assert_allclose([*lengths, *angles], ase.cell.Cell(cell).cellpar())


class Stop(Exception):
    pass


class Interruption(jp.md.Observer):
    """Not part of the run: raises once."""

    armed = False

    def look(self, dynamics, state):
        if int(state.step) == 50 and Interruption.armed:
            Interruption.armed = False
            raise Stop


@pytest.mark.parametrize("damage", ["none", "half a frame more", "a frame that is not counted", "a frame that is not there"])
def test_an_interrupted_run_writes_the_same_bytes(silicon, tmp_path, monkeypatch, damage):
    """Frames and the cell's changes; the checkpoint is from before the last frame."""
    npt = jp.md.CellRescaling(silicon, 1.0 * fs, 500.0, 0.0, 50 * fs, 200 * fs, 0.01 / GPa, shape=True)

    def once(name):
        observers = [jp.md.NetCDFTrajectory(tmp_path / f"{name}.nc", 10), Interruption(10)]
        return jp.md.run(npt, crystal(), 73, observers, checkpoint=tmp_path / f"{name}.checkpoint", key=5, temperature=400.0)

    once("whole")
    whole, path = (tmp_path / "whole.nc").read_bytes(), tmp_path / "stopped.nc"
    with monkeypatch.context() as patch:
        patch.setattr(host, "_EVERY", 0.0)
        patch.setattr(host, "_SHARE", 1e9)  # a checkpoint at every look
        Interruption.armed = True
        with pytest.raises(Stop):
            once("stopped")
    assert len(variables(path)["time"]) == 6
    size = os.path.getsize(path)
    frame = (len(whole) - size) // 2  # 8 frames are in the whole file
    with open(path, "r+b") as file:
        if damage == "half a frame more":
            file.truncate(size - frame // 2)
        elif damage == "a frame that is not counted":
            file.seek(4)
            file.write((5).to_bytes(4, "big"))
        elif damage == "a frame that is not there":
            file.truncate(size - frame)
    once("stopped")
    assert path.read_bytes() == whole
    assert len(np.unique(variables(path)["cell_lengths"][:, 0])) == 8


@pytest.fixture
def argon():
    """Dynamics and a state of eight atoms, for nothing but to be written."""
    dynamics = jp.md.NVE(jp.potentials.LennardJones(0.01, 3.4, 8.0), 2.0 * fs)
    return dynamics, dynamics.init(bulk("Ar", cubic=True, a=5.3).repeat((2, 1, 1)), temperature=50.0, key=2)


def frames(trajectory, argon, steps):
    dynamics, state = argon
    for step in steps:
        trajectory.look(dynamics, state.replace(step=np.asarray(step)))


def test_readers_see_whole_frames_only(argon, tmp_path, monkeypatch):
    path = tmp_path / "frames.nc"
    trajectory = jp.md.NetCDFTrajectory(path)
    trajectory.begin(*argon)
    assert len(variables(path)["time"]) == 0
    frames(trajectory, argon, [0, 100])
    mark, whole = trajectory.mark(), path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(type(trajectory), "_count", lambda self, count: None)  # killed before
        frames(trajectory, argon, [200])
    assert len(path.read_bytes()) > len(whole) and len(variables(path)["time"]) == 2
    again = jp.md.NetCDFTrajectory(path)
    again.go_on(mark)
    assert path.read_bytes() == whole
    frames(again, argon, [200])
    np.testing.assert_allclose(variables(path)["time"], [0.0, 0.2, 0.4])
    again.go_on(mark)
    assert path.read_bytes() == whole


@contextmanager
def full_disk(size):
    """No file grows beyond this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_no_half_of_anything(argon, tmp_path):
    path = tmp_path / "frames.nc"
    trajectory = jp.md.NetCDFTrajectory(path)
    with full_disk(100), pytest.raises(DataError, match="cannot be written"):
        trajectory.begin(*argon)
    assert not path.exists()
    trajectory.begin(*argon)
    frames(trajectory, argon, [0])
    before = path.read_bytes()
    with full_disk(len(before) + 100), pytest.raises(DataError, match="cannot be written"):
        frames(trajectory, argon, [100])
    assert path.read_bytes() == before
    frames(trajectory, argon, [100])
    assert len(variables(path)["time"]) == 2


def test_what_is_refused(argon, tmp_path):
    dynamics, state = argon
    with pytest.raises(DataError, match="ends with .nc"):
        jp.md.NetCDFTrajectory("frames.xyz")
    with pytest.raises(DataError, match=r"\.xyz.*\.nc"):
        jp.md.run(dynamics, state, 0, trajectory="frames.dcd")
    path = tmp_path / "frames.nc"
    path.write_text("something of value")
    with pytest.raises(DataError, match="exists"):
        jp.md.run(dynamics, state, 0, trajectory=path)
    assert path.read_text() == "something of value"
    with pytest.raises(DataError, match="cannot be written"):
        jp.md.run(dynamics, state, 0, trajectory=tmp_path / "no folder" / "frames.netcdf")
    path.unlink()
    trajectory = jp.md.NetCDFTrajectory(path)
    trajectory.begin(*argon)
    frames(trajectory, argon, [0, 100])
    mark, whole = trajectory.mark(), path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DataError, match="missing or shorter"):
        jp.md.NetCDFTrajectory(path).go_on(mark)
    assert path.read_bytes() == whole[:-1]
    path.unlink()
    with pytest.raises(DataError, match="missing or shorter"):
        jp.md.NetCDFTrajectory(path).go_on(mark)
    with pytest.raises(DataError, match="cannot be written"):
        frames(trajectory, argon, [200])
    assert not path.exists()
    with pytest.raises(DataError, match="missing or shorter"):
        jp.md.Trajectory(tmp_path / "frames.xyz").go_on({"end": 1})
