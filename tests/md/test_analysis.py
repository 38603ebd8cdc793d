"""Curves of trajectories against independent routes: sums by hand, known diffusion, known frequencies, the observers."""

from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry.rdf import get_rdf
from ase.io import write

import jaxpot as jp
from jaxpot.errors import DataError, FormatError
from jaxpot.md.curves import diffusion, displacements, first_minimum, mean_square
from jaxpot.md.frames import Frames
from jaxpot.units import THz, cm2_per_s, fs, ps


def langevin(epsilon):
    crystal = jp.Structure.of(bulk("KCl", "rocksalt", a=5.87, cubic=True))
    return crystal, jp.md.Langevin(jp.potentials.LennardJones(epsilon, 2.6, 4.5), 2.0 * fs, 300.0, 0.02 / fs)


@pytest.fixture(scope="module")
def salt(tmp_path_factory):
    """Rock salt of a soft pair potential, as both kinds of file and by the observers."""
    folder = tmp_path_factory.mktemp("salt")
    crystal, dynamics = langevin(0.1)
    observers = [jp.md.RadialDistribution(4, 6.0, 60), jp.md.MeanSquareDisplacement(4), jp.md.VelocityAutocorrelation(4)]
    files = [jp.md.Trajectory(folder / "frames.xyz", 4), jp.md.NetCDFTrajectory(folder / "frames.nc", 4)]
    jp.md.run(dynamics, crystal, 480, [*observers, *files], key=1)
    return folder, observers


@pytest.mark.parametrize("name, digits", [("frames.xyz", 1e-5), ("frames.nc", 1e-4)])
def test_observers_and_files_of_one_run_agree(salt, name, digits):
    folder, (pairs, moved, seen) = salt
    whole = jp.md.analyse(str(folder / name), cutoff=6.0, bins=60)
    assert whole.frames == 121 and whole.elements == ("Cl", "K") and whole.interval == pytest.approx(8 * fs)
    one, two = jp.md.read_frames(str(folder / "frames.xyz")), jp.md.read_frames(str(folder / name))
    np.testing.assert_allclose(one.velocities, two.velocities, atol=1e-6)
    np.testing.assert_allclose(one.times, two.times, rtol=1e-9)
    assert "vdos" not in whole.notes
    for key, curve in pairs.distribution().partial.items():  # a pair may fall on the other side of an edge
        np.testing.assert_allclose(whole.pairs.partial[key], curve, atol=0.03)
    np.testing.assert_allclose(whole.pairs.total, pairs.curve()[1], atol=0.03)
    np.testing.assert_allclose(whole.displacement.total, moved.curve()[1], atol=digits)
    np.testing.assert_allclose(whole.displacement.by_element["K"], moved.displacement().by_element["K"], atol=digits)
    np.testing.assert_allclose(whole.spectrum.total, seen.density_of_states()[1], atol=digits / THz)
    coefficient, error = moved.diffusion()
    assert whole.diffusion["all"].coefficient == pytest.approx(coefficient, abs=1e-3 * error + 1e-7)
    assert set(whole.diffusion) == {"all", "K", "Cl"} and "not come far" in whole.notes["diffusion"][0]
    assert whole.spectrum.by_element["K"].sum() + whole.spectrum.by_element["Cl"].sum() == pytest.approx(
        whole.spectrum.total.sum(), rel=0.05
    )


def test_pairs_are_those_that_ase_counts():
    """Of a rattled crystal whose cell is thicker than the range: every pair once."""
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(3)
    atoms.rattle(0.15, seed=2)
    whole = jp.md.analyse([atoms], cutoff=6.0, bins=30)
    np.testing.assert_allclose(whole.pairs.total, get_rdf(atoms, 6.0, 30)[0], rtol=1e-9, atol=1e-12)
    distances = atoms.get_all_distances(mic=True)
    na, cl = (np.flatnonzero(atoms.symbols == name) for name in ("Na", "Cl"))
    counts, edges = np.histogram(distances[np.ix_(na, cl)], 30, (0.0, 6.0))
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    expected = counts * atoms.get_volume() / (len(na) * len(cl) * shells)
    np.testing.assert_allclose(whole.pairs.partial["Na-Cl"], expected, rtol=1e-9)
    assert whole.coordination["Na-Cl"][0] == pytest.approx(6.0) and whole.coordination["Cl-Cl"][0] == pytest.approx(12.0)
    assert whole.coordination["Na-Cl"][1] == pytest.approx(3.9, abs=0.3)  # the middle of a gap
    near = jp.md.analyse([atoms], cutoff=6.0, bins=30, coordination_cutoff=5.2)
    assert near.coordination["Na-Cl"] == ((distances[np.ix_(na, cl)] < 5.2).sum() / len(na), 5.2)


def test_a_cell_thinner_than_the_range_counts_images():
    one = jp.md.analyse([bulk("Cu", a=3.63)], cutoff=5.5, bins=55)
    many = jp.md.analyse([bulk("Cu", a=3.63, cubic=True).repeat(4)], cutoff=5.5, bins=55)
    np.testing.assert_allclose(one.pairs.total, many.pairs.total, rtol=1e-9)
    assert "own images" in one.notes["rdf"][0] and "rdf" not in many.notes
    assert one.coordination["Cu-Cu"][0] == pytest.approx(12.0)


def test_first_minima():
    r = np.linspace(0.05, 7.95, 159)
    liquid = 1.0 - np.exp(-((r / 2.3) ** 8)) * 1.0 + 1.5 * np.exp(-((r - 2.7) ** 2) / 0.1) - 0.4 * np.exp(-((r - 3.7) ** 2) / 0.2)
    noisy = liquid + np.random.default_rng(0).normal(size=len(r)) * 0.03
    assert first_minimum(r, liquid) == pytest.approx(3.7, abs=0.1)
    assert first_minimum(r, noisy) == pytest.approx(3.7, abs=0.25)
    assert first_minimum(r, np.ones_like(r)) is None  # a gas


def random_walk(seed, steps=2000, atoms=60, width=0.1):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=(steps, atoms, 3)) * width, axis=0)


def test_mean_square_displacements_by_hand():
    paths = random_walk(0, 40, 5)
    direct = [np.mean(np.sum((paths[lag:] - paths[: len(paths) - lag]) ** 2, axis=2)) for lag in range(40)]
    np.testing.assert_allclose(mean_square(paths + 1000.0), direct, rtol=1e-9, atol=1e-9)


def test_diffusion_of_random_walks_is_known_and_so_is_its_error():
    """D = width^2 / (2 dt); an error of 5 blocks holds the truth in 63 % of the runs (Student's distribution)."""
    known, within = 0.1**2 / 2.0, []
    for seed in range(60):
        walk = diffusion(random_walk(seed, 1000, 20), 1.0)
        within.append(abs(walk.coefficient - known) < walk.error)
        assert walk.coefficient == pytest.approx(known, rel=0.3)
    assert np.mean(within) == pytest.approx(0.63, abs=0.19)


def test_a_langevin_gas_diffuses_as_einstein_says():
    """D = kB T / (m friction), less the motion of the centre of mass, of atoms that do not see each other."""
    crystal, dynamics = langevin(0.0)
    gas = dynamics.replace(time_step=16 * fs)
    moved = jp.md.MeanSquareDisplacement(10)
    with pytest.warns(jp.errors.JaxpotWarning, match="time step"):
        jp.md.run(gas, crystal, 10_000, [moved], key=2)
    masses, paths = np.asarray(crystal.masses), moved.paths()
    for z in (17, 19):
        here = np.asarray(crystal.numbers) == z
        walk = diffusion(paths[:, here], moved.interval)
        known = jp.units.kB * 300.0 / 0.02 * fs * (1.0 / masses[here][0] - 1.0 / masses.sum())
        assert abs(walk.coefficient - known) < 4 * walk.error and walk.error < 0.25 * known
        assert walk.linear
    assert known / cm2_per_s == pytest.approx(2.8e-5, rel=0.1)


def trajectory(wrap, cells=None, interval=10.0):
    """A random walk of two elements in a sheared cell, as atoms of ASE."""
    cell = np.array([[8.0, 0.0, 0.0], [2.0, 9.0, 0.0], [0.5, -1.0, 10.0]])
    places = random_walk(3, 130, 12) + np.random.default_rng(1).uniform(0, 8, (12, 3))
    frames = []
    for k, positions in enumerate(places):
        atoms = Atoms("Li6O6", positions=positions, cell=cell, pbc=True)
        if cells is not None:
            atoms.set_cell(cell * cells[k], scale_atoms=True)
        if wrap:
            atoms.wrap()
        atoms.info["time_fs"] = interval * k
        frames.append(atoms)
    return frames


def test_atoms_that_a_cell_takes_along_do_not_move():
    rng, moves = np.random.default_rng(0), np.random.default_rng(1).normal(size=(9, 5, 3)) * 0.1
    boxes = 8.0 * np.eye(3) + rng.normal(size=(10, 3, 3)) * 0.3
    steps = moves @ np.linalg.inv(0.5 * (boxes[1:] + boxes[:-1]))
    places = rng.uniform(size=(5, 3)) + np.concatenate([np.zeros((1, 5, 3)), np.cumsum(steps, axis=0)])
    expected = np.concatenate([np.zeros((1, 5, 3)), np.cumsum(moves, axis=0)])
    for wrapped in (places, places % 1.0):
        np.testing.assert_allclose(displacements(wrapped @ boxes, boxes, (True,) * 3, True), expected, atol=1e-12)


def test_the_observer_of_a_cell_that_changes_agrees():
    frames, moved = Frames.of(trajectory(False, 1.0 + 0.05 * np.sin(np.arange(130) / 3.0))), jp.md.MeanSquareDisplacement(1)
    run = SimpleNamespace(time_step=10 * fs)
    structures = [
        jp.Structure(positions, cell, frames.numbers) for positions, cell in zip(frames.positions, frames.cells, strict=True)
    ]
    moved.begin(run, SimpleNamespace(structure=structures[0]))
    for structure in structures:
        moved.look(run, SimpleNamespace(structure=structure))
    again = jp.md.MeanSquareDisplacement(1)
    again.go_on(moved.mark())
    whole = jp.md.analyse(structures, interval=10 * fs)
    np.testing.assert_allclose(again.curve()[1], whole.displacement.total, rtol=1e-12)
    assert set(whole.diffusion) == {"all", "Li", "O"}
    assert again.diffusion()[0] == pytest.approx(whole.diffusion["all"].coefficient)


@pytest.mark.parametrize("breathing", [False, True])
def test_wrapped_trajectories_are_unwrapped(breathing):
    """Also of a cell that changes: what it takes its atoms along is no diffusion."""
    cells = 1.0 + 0.05 * np.sin(np.arange(130) / 3.0) if breathing else None
    plain, wrapped = (jp.md.analyse(trajectory(wrap, cells)) for wrap in (False, True))
    np.testing.assert_allclose(wrapped.displacement.total, plain.displacement.total, rtol=1e-9, atol=1e-9)
    still = jp.md.analyse(trajectory(False)).displacement.total
    np.testing.assert_allclose(plain.displacement.total[:60], still[:60], rtol=0.06)
    assert Frames.of(trajectory(True)).jumps() == (True, None) and Frames.of(trajectory(False)).jumps() == (False, None)
    boxes = np.broadcast_to(8.0 * np.eye(3), (10, 3, 3))
    anywhere = Frames(np.random.default_rng(0).uniform(0, 8, (10, 4, 3)), boxes, np.full(4, 18), np.full(4, 39.9), (True,) * 3)
    assert anywhere.jumps()[0] and "cannot be told" in anywhere.jumps()[1]


def test_what_is_unwrapped_and_moves_far_is_left_as_it_is():
    frames = Frames.of(trajectory(False)[::60])
    far = Frames(frames.positions + 7.3 * np.arange(3)[:, None, None], frames.cells, frames.numbers, frames.masses, frames.pbc)
    assert not far.jumps()[0] and "more than half of the cell" in far.jumps()[1]


def test_the_spectrum_of_an_oscillator_is_at_its_frequency():
    """Two elements, each with its own frequency, of the velocities of independent oscillators."""
    times, rng = np.arange(1500) * 4.0 * fs, np.random.default_rng(0)
    frequencies = np.array([4.0] * 4 + [11.0] * 4) * THz
    phases = rng.uniform(0, 2 * np.pi, (8, 3))
    angle = 2 * np.pi * frequencies[:, None] * times[:, None, None] + phases
    site, amplitude = rng.uniform(0, 20, (8, 3)), 0.02
    positions, velocities = site + amplitude * np.sin(angle), amplitude * 2 * np.pi * frequencies[:, None] * np.cos(angle)
    atoms = Atoms("O4H4", cell=20.0 * np.eye(3), pbc=True)
    frames = Frames(
        positions, np.broadcast_to(20.0 * np.eye(3), (1500, 3, 3)), atoms.numbers, atoms.get_masses(), (True,) * 3,
        velocities, times,
    )
    whole = jp.md.analyse(frames, cutoff=1.0)
    assert not whole.diffusion and "straight line: all (r² = 0." in whole.notes["diffusion"][0]
    seen = whole.spectrum
    for name, expected in (("O", 4.0), ("H", 11.0)):
        assert seen.frequencies[np.argmax(seen.by_element[name])] / THz == pytest.approx(expected, abs=0.15)
    assert seen.total.sum() * seen.frequencies[1] == pytest.approx(1.0)
    slow = jp.md.analyse(frames[::25])
    assert "folded" in slow.notes["vdos"][0] and "5 THz" in slow.notes["vdos"][0]
    assert "vdos" not in jp.md.analyse(frames[::5]).notes  # half of what frames resolve


def test_what_cannot_be_computed_is_none_with_a_reason():
    frames = trajectory(False)
    cluster = [atoms.copy() for atoms in frames]
    for atoms in cluster:
        atoms.pbc = False
    open_axes = jp.md.analyse(cluster)
    assert open_axes.pairs is None and "needs a density" in open_axes.notes["rdf"][0]
    assert open_axes.displacement is not None and open_axes.diffusion and "no velocities" in open_axes.notes["vdos"][0]
    single = jp.md.analyse(frames[:1])
    assert single.pairs is not None and single.displacement is None and "one frame" in single.notes["msd"][0]
    few = jp.md.analyse(frames[:30])
    assert few.displacement is not None and not few.diffusion and "too few" in few.notes["diffusion"][0]
    for atoms in frames:
        del atoms.info["time_fs"]
    timeless = jp.md.analyse(frames)
    assert timeless.displacement is None and "do not say when" in timeless.notes["msd"][0]
    given = jp.md.analyse(frames, interval=10 * fs)
    assert given.diffusion["all"].coefficient == pytest.approx(0.01 / 20.0 / fs, rel=0.5)
    gaps = jp.md.analyse([*trajectory(False)[:40], *trajectory(False)[60:]])
    assert gaps.displacement is None and "equal intervals" in gaps.notes["msd"][0]


def test_frames_are_left_out_by_number_or_by_time():
    frames = trajectory(False)
    by_number, by_time = jp.md.analyse(frames, start=30), jp.md.analyse(frames, skip=0.3 * ps)
    assert by_number.frames == by_time.frames == 100
    np.testing.assert_array_equal(by_number.displacement.total, by_time.displacement.total)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"start": 130}, "130 frames are to be left out, and there are 130 frames, 1.29 ps: nothing is left"),
        ({"skip": 9 * ps}, "9 ps are to be left out, and there are 130 frames, 1.29 ps"),
        ({"skip": -ps}, "not negative"),
        ({"skip": ps, "start": 3}, "either"),
        ({"cutoff": -1.0}, "cutoff: expected a positive length"),
        ({"bins": 0}, "bins"),
        ({"interval": 0.0}, "interval: expected a positive time"),
        ({"coordination_cutoff": 9.0}, "at most the cutoff"),
        ({"blocks": 1}, "blocks"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises(DataError, match=message):
        jp.md.analyse(trajectory(False), **settings)


def test_frames_of_different_atoms_and_files_that_are_none_are_refused(tmp_path):
    frames = trajectory(False)[:3]
    with pytest.raises(DataError, match="frame 2 has other atoms than frame 0"):
        jp.md.analyse([*frames[:2], frames[2][::-1]])
    with pytest.raises(DataError, match="frames, got none"):
        jp.md.analyse([])
    with pytest.raises(FormatError, match="no such file"):
        jp.md.analyse(str(tmp_path / "none.xyz"))
    with pytest.raises(DataError, match="do not say when"):
        for atoms in frames:
            del atoms.info["time_fs"]
        jp.md.analyse(frames, skip=ps)
    write(tmp_path / "two.xyz", [frames[0], bulk("Cu")])
    with pytest.raises(DataError, match=r"two\.xyz: frame 1 has other atoms"):
        jp.md.analyse(tmp_path / "two.xyz")


def test_files_of_netcdf_that_are_none_or_damaged(salt, tmp_path):
    content = (salt[0] / "frames.nc").read_bytes()
    path = tmp_path / "bad.nc"
    for damaged in (b"", b"CDF\2", content[:100], content[:300], b"\x89HDF\r\n" + content, content[:4] + b"\xff" * 300):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=r"bad\.nc"):
            jp.md.read_frames(path)
    path.write_bytes(content[:-100])  # the last frame is not whole
    assert len(jp.md.read_frames(path)) == 120
    rng = np.random.default_rng(0)
    for _ in range(200):
        garbled = bytearray(content[:6000])
        for place in rng.integers(0, 900, 3):
            garbled[place] = rng.integers(256)
        path.write_bytes(garbled)
        try:
            jp.md.read_frames(path)
        except jp.JaxpotError:
            pass
