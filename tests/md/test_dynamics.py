"""Ensembles against what they must sample, trajectories against themselves after an interruption."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from ase.io import read
from tiers import thorough_but

import jaxpot as jp
from jaxpot.errors import DataError, GeometryError, SimulationError
from jaxpot.md.loop import advance
from jaxpot.units import GPa, fs, kB

ENSEMBLES = {
    "NVE": lambda p: jp.md.NVE(p, 1.0 * fs),
    "Langevin": lambda p: jp.md.Langevin(p, 1.0 * fs, 500.0, 0.02 / fs),
    "rescaling": lambda p: jp.md.VelocityRescaling(p, 1.0 * fs, 500.0, 50 * fs),
    "Nose-Hoover": lambda p: jp.md.NoseHoover(p, 1.0 * fs, 500.0, 50 * fs),
    "cell": lambda p: jp.md.CellRescaling(p, 1.0 * fs, 500.0, 0.0, 50 * fs, 200 * fs, 0.01 / GPa),
}


@pytest.fixture(scope="module")
def silicon():
    return jp.load("sw-silicon")


@pytest.fixture(scope="module")
def crystal():
    return bulk("Si", cubic=True)


@pytest.fixture(params=ENSEMBLES)
def dynamics(request, silicon):
    return ENSEMBLES[request.param](silicon)


def test_the_conserved_quantity_is_conserved(dynamics, crystal):
    """To second order in the time step: a quarter of the error with half of it."""
    spread = []
    for factor in (2.0, 1.0):
        own = dynamics.replace(time_step=factor * dynamics.time_step)
        thermo = jp.md.Thermo(every=2)
        steps = int(400 / factor)
        start = own.init(crystal, temperature=600.0, key=3)
        jp.md.run(own, start, steps, [thermo])
        kept = thermo.table["conserved_eV"] / len(crystal)
        assert np.abs(kept - kept[0]).max() < 3e-3
        spread.append(np.std(kept[len(kept) // 4 :]))
    assert spread[1] < 1e-3
    if isinstance(dynamics, jp.md.NVE | jp.md.NoseHoover):
        assert 2.5 < spread[0] / spread[1] < 6.0


def test_an_interrupted_run_ends_in_the_same_bits(dynamics, crystal, tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    class Interruption(jp.md.Observer):
        """Not part of the run: raises once."""

        armed = True

        def look(self, dynamics, state):
            if int(state.step) == 130 and Interruption.armed:
                Interruption.armed = False
                raise Stop

    def results(folder):
        folder.mkdir()
        monkeypatch.chdir(folder)
        Interruption.armed = folder.name == "stopped"
        observers = lambda: [jp.md.Thermo(7, "thermo.txt"), jp.md.MeanSquareDisplacement(10), Interruption(26)]  # noqa: E731
        once = lambda: jp.md.run(dynamics, crystal, 203, observers(), "frames.xyz", "run.checkpoint", key=5, temperature=400.0)  # noqa: E731
        if folder.name == "stopped":
            from jaxpot.md import host

            with monkeypatch.context() as patch:
                patch.setattr(host, "_EVERY", 0.0)
                with pytest.raises(Stop):
                    once()
            assert (folder / "run.checkpoint").exists()
        found = once()
        assert not (folder / "run.checkpoint").exists()
        return found, (folder / "thermo.txt").read_text(), (folder / "frames.xyz").read_text()

    whole, stopped = results(tmp_path / "whole"), results(tmp_path / "stopped")
    assert whole[1] == stopped[1] and whole[2] == stopped[2]
    for one, two in zip(jax.tree.leaves(whole[0].state), jax.tree.leaves(stopped[0].state), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(whole[0].observers[1].rows, stopped[0].observers[1].rows)
    frames = read(tmp_path / "whole" / "frames.xyz", ":")
    assert len(frames) == 3 and frames[1].info["step"] == 100
    kinetic = frames[0].get_kinetic_energy()
    assert kinetic == pytest.approx(whole[0].observers[0].table["kinetic_eV"][0], rel=1e-6)


def ideal_gas(n=20, volume=3000.0):
    """Atoms that do not see each other."""
    potential = jp.potentials.LennardJones(0.0, 0.1, 0.5)
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[:n] * volume ** (1 / 3) / 3
    return potential, jp.Structure(grid + rng.uniform(0, 0.5, (n, 3)), volume ** (1 / 3) * np.eye(3), [18] * n)


@pytest.mark.parametrize("name", thorough_but(["Langevin"], ["Langevin", "rescaling"]))
def test_kinetic_energy_has_its_canonical_distribution(name):
    potential, gas = ideal_gas()
    dynamics = ENSEMBLES[name](potential).replace(time_step=20 * fs)
    thermo = jp.md.Thermo(every=10)
    with pytest.warns(jp.errors.JaxpotWarning, match="time step"):
        jp.md.run(dynamics, gas, 10_000, [thermo], key=1, skin=12.0, wide_skin=20.0)
    degrees = 3 * len(gas) - 3
    kinetic = thermo.table["kinetic_eV"][10:] / (kB * 500.0)
    # A gamma distribution of shape degrees / 2.
    assert np.mean(kinetic) == pytest.approx(degrees / 2, rel=0.025)
    assert np.var(kinetic) == pytest.approx(degrees / 2, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [False, True])
def test_the_volume_of_an_ideal_gas_has_its_distribution(shape):
    """The mean of P V / kT: N - 1 atoms press on the cell (the centre of mass is at rest), and one more for V dV / V."""
    potential, gas = ideal_gas()
    n, pressure, temperature = len(gas), 2e-4, 500.0
    dynamics = jp.md.CellRescaling(
        potential, 20 * fs, temperature, pressure, 50 * fs, 1000 * fs, 1.0 / pressure, shape=shape
    )
    thermo = jp.md.Thermo(every=10)
    with pytest.warns(jp.errors.JaxpotWarning, match="time step"):
        jp.md.run(dynamics, gas, 20_000, [thermo], key=2, skin=12.0, wide_skin=20.0)
    volumes = thermo.table["volume_A3"][50:] * pressure / (kB * temperature)
    blocks = volumes[: len(volumes) // 10 * 10].reshape(10, -1).mean(1)
    error = blocks.std(ddof=1) / 10**0.5
    expected = n  # (n - 1) + 1
    assert abs(volumes.mean() - expected) < 4 * error + 0.01 * expected, (volumes.mean(), error)
    assert np.var(volumes) == pytest.approx(expected, rel=0.3)


def test_fixed_atoms_stay_and_others_have_the_temperature(silicon, crystal):
    dynamics = ENSEMBLES["Langevin"](silicon)
    start = dynamics.init(crystal, fixed=[0, 3], key=1)
    found = jp.md.run(dynamics, start, 50).state
    moved = np.linalg.norm(np.asarray(found.structure.positions) - crystal.positions, axis=1)
    assert (moved[[0, 3]] == 0.0).all() and (np.delete(moved, [0, 3]) > 0.0).all()
    assert float(found.degrees_of_freedom) == 18.0


@pytest.mark.thorough
def test_temperatures_follow_a_ramp(silicon, crystal):
    dynamics = jp.md.VelocityRescaling(silicon, 1.0 * fs, jp.md.Ramp(100.0, 900.0, 400), 10 * fs)
    thermo = jp.md.Thermo(every=1)
    jp.md.run(dynamics, crystal.repeat(2), 400, [thermo], key=1)
    temperature = thermo.table["temperature_K"]
    assert temperature[:40].mean() < 250.0 and 700.0 < temperature[-40:].mean() < 1100.0


def test_replicas_run_together(silicon, crystal):
    """One program for several starts, and each ends where it ends alone."""
    dynamics = ENSEMBLES["NVE"](silicon)
    starts = [dynamics.init(crystal, temperature=300.0, key=k) for k in range(3)]
    listed = jp.neighbors(crystal, silicon.cutoff, skin=1.0)
    many = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)

    def ten(state):
        return jax.lax.fori_loop(0, 10, lambda _, s: dynamics.step(s, listed), state)

    together = jax.jit(jax.vmap(ten))(many)
    for k, start in enumerate(starts):
        np.testing.assert_allclose(together.structure.positions[k], ten(start).structure.positions, atol=1e-12)


def test_lists_are_made_anew_and_make_no_difference(silicon, crystal):
    """A hot liquid: with small skins many lists, with none of them the same forces."""
    dynamics = ENSEMBLES["rescaling"](silicon).replace(temperature=3000.0)
    found = jp.md.run(dynamics, crystal, 300, key=4, skin=0.2, wide_skin=0.5).state
    np.testing.assert_allclose(found.forces, jp.forces(silicon, found.structure), atol=1e-10)
    assert np.abs(np.asarray(found.structure.positions) - crystal.positions).max() > 0.25  # half the skin


def test_the_stress_is_there_where_somebody_looks(dynamics, crystal):
    """Steps without a barostat compute none."""
    thermo = jp.md.Thermo(every=8)
    found = jp.md.run(dynamics, crystal, 20, [thermo], temperature=900.0, key=2).state
    np.testing.assert_allclose(found.stress, jp.stress(dynamics.potential, found.structure), rtol=1e-9, atol=1e-12)
    assert np.isfinite(thermo.table["pressure_GPa"]).all()


@pytest.mark.thorough
def test_a_wide_list_says_nothing_of_shorter_cutoffs(silicon):
    """Terms of different range: how many pairs the shorter one has changes with every list, programs must not."""
    gas = bulk("Si", a=6.5, cubic=True)
    dynamics = ENSEMBLES["rescaling"](silicon + jp.potentials.ZBL(1.0, 1.8)).replace(temperature=4000.0)
    before = advance._cache_size()
    jp.md.run(dynamics, gas, 400, key=4, skin=0.4, wide_skin=0.9)
    assert advance._cache_size() - before <= 2


@pytest.mark.slow
def test_few_programs_are_compiled(silicon, crystal):
    dynamics = ENSEMBLES["cell"](silicon).replace(temperature=2500.0, pressure=jp.md.Ramp(0.0, 0.15, 200))
    before = advance._cache_size()
    found = jp.md.run(dynamics, crystal, 500, key=1)
    assert float(found.state.structure.volume) < 0.9 * crystal.get_volume()
    assert advance._cache_size() - before <= 4


def test_a_run_that_breaks_names_the_atoms_and_keeps_the_last_good_state(silicon, crystal):
    hot = ENSEMBLES["NVE"](silicon).replace(time_step=30 * fs)
    with pytest.warns(jp.errors.JaxpotWarning, match="time step"):
        start = hot.init(crystal, temperature=3e6, key=1)
    with pytest.raises(SimulationError, match="time step") as caught:
        jp.md.run(hot, start, 200)
    assert np.isfinite(np.asarray(caught.value.state.forces)).all()
    assert np.isfinite(np.asarray(caught.value.state.stress)).all()


def test_one_atom_moves_but_has_no_temperature():
    copper, atom = jp.load("cleri-rosato-copper"), bulk("Cu")
    for dynamics in (jp.md.NVE(copper, fs), jp.md.Langevin(copper, fs, 300.0, 0.01 / fs)):
        with pytest.raises(DataError, match="one atom has no temperature.*repeat the cell"):
            dynamics.init(atom, temperature=300.0)
    velocities = np.array([[0.01, 0.0, 0.0]])
    free = jp.md.NVE(copper, fs).init(atom, velocities=velocities)
    found = jp.md.run(jp.md.NVE(copper, fs), free, 10).state
    np.testing.assert_allclose(found.structure.positions, 10 * fs * velocities, atol=1e-12)
    with pytest.raises(DataError, match="one atom has no temperature"):
        jp.md.VelocityRescaling(copper, fs, 300.0, 100 * fs).adopt(free)
    pair = bulk("Cu") * (2, 1, 1)
    held = jp.md.Langevin(copper, fs, 300.0, 0.01 / fs).init(pair, fixed=[0])  # a wall that takes the momentum
    assert float(held.temperature) == pytest.approx(300.0)


def test_a_run_whose_list_cannot_be_made_ends_with_its_last_good_state(silicon, crystal, monkeypatch):
    from jaxpot.md import lists

    dynamics, made = ENSEMBLES["rescaling"](silicon).replace(temperature=3000.0), []
    wide_list = lists.wide_list

    def once(*arguments):
        if made:
            raise GeometryError("the cell has collapsed")
        return made.append(0) or wide_list(*arguments)

    monkeypatch.setattr(lists, "wide_list", once)
    with pytest.raises(SimulationError, match=r"(?s)atoms \d \(Si.*the cell has collapsed") as caught:
        jp.md.run(dynamics, crystal, 300, key=4, skin=0.2, wide_skin=0.5)
    assert isinstance(caught.value.__cause__, GeometryError)
    assert np.isfinite(np.asarray(caught.value.state.stress)).all()


def test_a_checkpoint_of_another_run_is_refused(silicon, crystal, tmp_path):
    class Stop(Exception):
        pass

    class Interruption(jp.md.Observer):
        def look(self, dynamics, state):
            if int(state.step):
                raise Stop

    path, dynamics = str(tmp_path / "run.checkpoint"), ENSEMBLES["NVE"](silicon)

    def once(start=crystal, steps=20, observers=(), **settings):
        return jp.md.run(dynamics, start, steps, observers, checkpoint=path, **{"temperature": 300.0, **settings})

    with pytest.raises(Stop):
        once(observers=[Interruption(10)])
    rattled = crystal.copy()
    rattled.rattle(0.01)
    for changed in ({"start": rattled}, {"steps": 30}, {"key": 7}, {"temperature": 900.0}, {"observers": []}):
        with pytest.raises(DataError, match="another run"):
            once(**{"observers": [Interruption(10)], **changed})


def test_single_precision_loses_no_step_of_atoms(silicon):
    """20,000 small steps of atoms that fly freely: rounding each ends 0.017 A off."""
    start = np.float32([[21.0, 0, 0], [0, 25.0, 0], [0, 0, 29.0]])
    velocities = np.float32([[1.7e-3, 2e-5, 0], [0, -1.3e-3, 1e-4], [3e-6, 0, 1.1e-3]])
    far = jp.Structure(start, np.float32(np.eye(3)), ["Si"] * 3, pbc=False)
    dynamics = jp.md.NVE(silicon, fs)
    state = jp.md.run(dynamics, dynamics.init(far, velocities=velocities), 20000).state
    expected = np.float64(start) + 20000 * np.float64(np.float32(fs)) * np.float64(velocities)
    np.testing.assert_allclose(state.structure.positions, expected, rtol=0, atol=2e-6)


@pytest.mark.thorough
def test_single_precision_stays_single(dynamics, crystal):
    def rounded(tree):
        return jax.tree.map(lambda a: a.astype(np.float32) if a.dtype == np.float64 else a, tree)

    double = dynamics.init(crystal, 600.0)
    assert double.lost == {}
    start = dynamics.adopt(rounded(double))
    assert set(start.lost) == {"positions", "velocities"}
    for state in (dynamics.init(rounded(jp.Structure.of(crystal)), 600.0), start):
        end = jp.md.run(dynamics, state, 50).state
        assert not [a for a in jax.tree.leaves(end) if a.dtype == np.float64]
        assert abs(float(dynamics.conserved(end) - dynamics.conserved(state))) / len(crystal) < 3e-3


def test_a_state_goes_from_one_ensemble_to_another(silicon, crystal):
    state = jp.md.run(ENSEMBLES["Langevin"](silicon), crystal, 5).state
    for name in ("Nose-Hoover", "cell", "NVE"):
        state = jp.md.run(ENSEMBLES[name](silicon), state, 5).state
    assert int(state.step) == 20 and np.isfinite(float(state.energy))
    fixed = ENSEMBLES["NVE"](silicon).init(crystal, temperature=10.0, fixed=np.arange(8) == 2)
    assert (np.asarray(fixed.free) == (np.arange(8) != 2)).all()
    with pytest.raises(DataError, match="fixed atoms"):
        jp.md.run(ENSEMBLES["cell"](silicon), fixed, 5)


def test_what_is_refused(silicon, crystal, tmp_path):
    with pytest.raises(DataError, match="temperature"):
        jp.md.Langevin(silicon, 1 * fs, -300.0, 0.01 / fs)
    with pytest.raises(DataError, match="time_step"):
        jp.md.NVE(silicon, 0.0)
    with pytest.raises(DataError, match="temperature .K. or velocities"):
        jp.md.NVE(silicon, 1 * fs).init(crystal)
    cluster = crystal.copy()
    cluster.pbc = False
    with pytest.raises(DataError, match="pressure needs a crystal"):
        ENSEMBLES["cell"](silicon).init(cluster)
    massless = jp.Structure(crystal.positions, crystal.cell.array, [14] * 8, masses=np.zeros(8))
    with pytest.raises(DataError, match="masses"):
        jp.md.NVE(silicon, 1 * fs).init(massless, temperature=10.0)
    with pytest.raises(DataError, match="fixed"):
        jp.md.NVE(silicon, 1 * fs).init(crystal, temperature=10.0, fixed=[8])
    with pytest.raises(DataError, match="fixed"):
        jp.md.NVE(silicon, 1 * fs).init(crystal, temperature=10.0, fixed=[1.5])
    with pytest.raises(DataError, match="velocities"):
        jp.md.NVE(silicon, 1 * fs).init(crystal, velocities=np.zeros((7, 3)))
    with pytest.raises(DataError, match="pressure"):
        ENSEMBLES["cell"](silicon).replace(pressure=float("nan"))
    with pytest.raises(DataError, match="density"):
        jp.md.run(ENSEMBLES["Langevin"](silicon), cluster, 3, [jp.md.RadialDistribution()])
    (tmp_path / "old.xyz").write_text("something of value")
    with pytest.raises(DataError, match="exists"):
        jp.md.run(ENSEMBLES["NVE"](silicon), crystal, 3, temperature=10.0, trajectory=str(tmp_path / "old.xyz"))
    assert (tmp_path / "old.xyz").read_text() == "something of value"
    with pytest.raises(DataError, match="ends with"):
        jp.md.Trajectory("frames.dcd")
    with pytest.raises(DataError, match="expected an ensemble"):
        jp.md.run(silicon, crystal, 3)
