"""A run that is killed, or finds the disk full, loses nothing: the same call goes on, to the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.md import host
from jaxpot.units import fs

# The run: files of every kind, and checkpoints as often as they can be written.
PROGRAM = """
import sys
import jax
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_compilation_cache_dir", sys.argv[3])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
from ase.build import bulk
import jaxpot as jp
from jaxpot.md import host
from jaxpot.units import fs
host._EVERY, host._SHARE, host._PAUSE = 0.02, 0.5, 0.05
folder, steps = sys.argv[1], int(sys.argv[2])
dynamics = jp.md.Langevin(jp.potentials.StillingerWeber.silicon(), 1.0 * fs, 600.0, 0.01 / fs)
watched = [jp.md.Thermo(200, f"{folder}/thermo.txt"), jp.md.MeanSquareDisplacement(500)]
watched.append(jp.md.NetCDFTrajectory(f"{folder}/frames.nc", 400))
print("ready", flush=True)
jp.md.run(dynamics, bulk("Si", cubic=True), steps, watched, f"{folder}/frames.xyz", f"{folder}/run.checkpoint", key=3)
print("done", flush=True)
"""
FILES = ("thermo.txt", "frames.nc", "frames.xyz")


def start(folder, steps, cache):
    command = [sys.executable, "-c", PROGRAM, str(folder), str(steps), str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def campaign(tmp_path, kills, steps):
    """How often the run was killed before its end; its files are compared with those of a run in peace."""
    whole, cut, cache = (tmp_path / name for name in ("whole", "cut", "cache"))
    whole.mkdir()
    cut.mkdir()
    assert start(whole, steps, cache).wait() == 0
    chance, done, killed = random.Random(0), False, 0
    while killed < kills and not done:
        child = start(cut, steps, cache)
        if chance.random() < 0.8:  # the others are killed while they are still starting
            child.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.7))
        child.send_signal(signal.SIGKILL)
        done = "done" in child.stdout.read()
        child.wait()
        killed += 1
    if not done:
        assert start(cut, steps, cache).wait() == 0
    assert contents(cut) == contents(whole)
    assert not (cut / "run.checkpoint").exists()
    return killed


@pytest.mark.thorough
def test_a_run_that_is_killed_twice(tmp_path):
    assert campaign(tmp_path, 2, 20_000) == 2


@pytest.mark.slow
def test_a_run_that_is_killed_two_hundred_times(tmp_path):
    assert campaign(tmp_path, 200, 1_200_000) == 200


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(host, "_EVERY", 0.0)
    monkeypatch.setattr(host, "_SHARE", 1e9)


@pytest.fixture(scope="module")
def dynamics():
    return jp.md.NVE(jp.potentials.LennardJones(0.0104, 3.4, 8.0), 2.0 * fs)


@pytest.fixture(scope="module")
def crystal():
    from ase.build import bulk

    return jp.Structure.of(bulk("Ar", a=5.3, cubic=True)).repeated((2, 2, 2))


def test_a_run_in_single_precision_goes_on(dynamics, crystal, tmp_path, monkeypatch, often):
    single = jax.tree.map(lambda a: a.astype(np.float32) if a.dtype == np.float64 else a, crystal)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    with jax.enable_x64(False):
        simulated(dynamics, single, whole)
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(jp.md.Trajectory, "look", stopping_at(300))
            simulated(dynamics, single, cut)
        assert simulated(dynamics, single, cut).steps < 400
    assert (cut / "frames.xyz").read_bytes() == (whole / "frames.xyz").read_bytes()


def stopping_at(step):
    look = jp.md.Trajectory.look

    def stop(self, dynamics, state):
        if int(state.step) >= step:
            raise KeyboardInterrupt
        return look(self, dynamics, state)

    return stop


def simulated(dynamics, crystal, folder):
    return jp.md.run(
        dynamics, crystal, 400, [jp.md.Thermo(50, folder / "thermo.txt")], jp.md.Trajectory(folder / "frames.xyz", 50),
        folder / "run.checkpoint", 1, 40.0,
    )


def test_a_full_disk_is_said_and_nothing_is_lost(dynamics, crystal, tmp_path, monkeypatch, often):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    simulated(dynamics, crystal, whole)
    room, real = 3 * (whole / "frames.xyz").stat().st_size // 8, open

    class Full:
        """A file on a disk that takes half a frame more, and then no byte."""

        def __init__(self, file):
            self.file = file

        def write(self, text):
            left = room - os.path.getsize(self.file.name)
            self.file.write(text[:left])
            self.file.flush()
            if left < len(text):
                raise OSError(28, "No space left on device")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    from jaxpot.md import files

    def full(path, mode="r", **more):
        file = real(path, mode, **more)
        return Full(file) if "frames.xyz" in str(path) and "a" in mode else file

    monkeypatch.setattr(files, "open", full, raising=False)
    with pytest.raises(jp.JaxpotError, match="frames.xyz cannot be written: No space left"):
        simulated(dynamics, crystal, cut)
    frames = (whole / "frames.xyz").read_bytes()
    assert frames.startswith((cut / "frames.xyz").read_bytes())  # whole frames only
    assert (cut / "frames.xyz").read_text().count("Lattice") == 3
    monkeypatch.undo()
    found = simulated(dynamics, crystal, cut)
    assert found.steps < 400
    assert all((cut / name).read_bytes() == (whole / name).read_bytes() for name in ("frames.xyz", "thermo.txt"))


def test_a_run_killed_while_its_files_are_created_begins_again(dynamics, crystal, tmp_path, monkeypatch, often):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    simulated(dynamics, crystal, whole)

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(host, "remove_files", killed)  # SIGKILL leaves everything as it lies
        patched.setattr(jp.md.Trajectory, "begin", killed)
        simulated(dynamics, crystal, cut)
    assert {path.name for path in cut.iterdir()} == {"thermo.txt", "run.checkpoint"}
    assert simulated(dynamics, crystal, cut).steps == 400
    assert all((cut / name).read_bytes() == (whole / name).read_bytes() for name in ("frames.xyz", "thermo.txt"))


def test_a_run_that_cannot_begin_leaves_no_files(dynamics, crystal, tmp_path, monkeypatch, often):
    (tmp_path / "frames.xyz").write_text("of somebody else")
    with pytest.raises(jp.errors.DataError, match="frames.xyz exists"):
        simulated(dynamics, crystal, tmp_path)
    assert (tmp_path / "frames.xyz").read_text() == "of somebody else"
    assert [path.name for path in tmp_path.iterdir()] == ["frames.xyz"]


def test_a_damaged_checkpoint_is_refused(dynamics, crystal, tmp_path, monkeypatch, often):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(jp.md.Trajectory, "look", stopping_at(250))
        simulated(dynamics, crystal, tmp_path)
    kept = (tmp_path / "run.checkpoint").read_bytes()
    for damaged in (kept[: len(kept) // 2], kept[:-1], kept[:2000] + b"x" + kept[2001:], b""):
        (tmp_path / "run.checkpoint").write_bytes(damaged)
        with pytest.raises(jp.errors.FormatError):
            simulated(dynamics, crystal, tmp_path)
    (tmp_path / "run.checkpoint").write_bytes(kept)
    assert simulated(dynamics, crystal, tmp_path).steps < 400
