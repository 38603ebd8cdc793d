"""Single steps of each ensemble against their formulas in NumPy, with random numbers and forces made up."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.errors import DataError, JaxpotWarning
from jaxpot.md.dynamics import as_key, thermal_kinetic_energy, value_at
from jaxpot.md.ensembles import rescaled
from jaxpot.md.state import State
from jaxpot.units import GPa, fs, kB

ARGON = jp.potentials.LennardJones(0.0104, 3.4, 8.0)
TIME, T = 1.5 * fs, 400.0
MASSES = np.array([1.0, 30.0, 12.0, 50.0, 7.0])
STEP = 3


def state(fixed=(), seed=0, **extra):
    """Five atoms of different masses with random velocities, forces and stress, after three steps."""
    rng = np.random.default_rng(seed)
    cell = 9.0 * np.eye(3) + rng.uniform(-1, 1, (3, 3))
    structure = jp.Structure(rng.uniform(0, 9, (5, 3)), cell, [18] * 5, masses=MASSES)
    free = ~np.isin(np.arange(5), fixed)
    velocities = np.where(free[:, None], rng.normal(size=(5, 3)) * np.sqrt(kB * 300.0 / MASSES)[:, None], 0.0)
    stress = 0.01 * rng.normal(size=(3, 3))
    return State(
        structure, *map(jnp.asarray, (velocities, rng.normal(size=(5, 3)), -1.5, stress + stress.T, free)),
        jax.random.key_data(jax.random.key(7)), jnp.asarray(STEP), jnp.asarray(0.25), extra, {},
    )


def numbers(now):
    """Positions, velocities, accelerations and masses in NumPy."""
    masses = np.asarray(now.masses)
    accelerations = np.where(np.asarray(now.free)[:, None], np.asarray(now.forces) / masses, 0.0)
    return np.asarray(now.structure.positions), np.asarray(now.velocities), accelerations, masses


def kinetic(velocities, masses):
    return 0.5 * float(np.sum(masses * velocities**2))


def drawn(key, shape):
    """Normal numbers, and the key after them."""
    after, now = jax.random.split(jax.random.wrap_key_data(key))
    return np.asarray(jax.random.normal(now, shape, float)), jax.random.key_data(after)


def same(one, two):
    np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-14)


def test_velocity_verlet():
    now, dynamics = state(), jp.md.NVE(ARGON, TIME)
    x, v, a, m = numbers(now)
    first = dynamics.first(now)
    same(first.velocities, v + 0.5 * TIME * a)
    same(first.structure.positions, x + TIME * (v + 0.5 * TIME * a))
    assert int(first.step) == STEP
    second = dynamics.second(now)
    same(second.velocities, v + 0.5 * TIME * a)
    assert int(second.step) == STEP + 1
    assert dynamics.start(now) == {} and not dynamics.barostat
    same(dynamics.conserved(now), -1.5 + kinetic(v, m) - 0.25)


@pytest.mark.parametrize("fixed", [(), (1,)])
def test_langevin(fixed):
    friction, now = 0.03 / fs, state(fixed)
    x, v, a, m = numbers(now)
    ramp = jp.md.Ramp(T, 2 * T, 10)
    first = jp.md.Langevin(ARGON, TIME, ramp, friction).first(now)
    v = v + 0.5 * TIME * a
    noise, key = drawn(now.key, (5, 3))
    kept = np.exp(-friction * TIME)
    after = kept * v + np.sqrt((1 - kept**2) * kB * 1.3 * T / m) * noise
    if fixed:
        after[list(fixed)] = 0.0
    else:
        after -= np.sum(m * (after - v), 0) / m.sum()
    same(first.velocities, after)
    same(first.structure.positions, x + 0.5 * TIME * v + 0.5 * TIME * after)
    same(first.exchanged, 0.25 + kinetic(after, m) - kinetic(v, m))
    np.testing.assert_array_equal(first.key, key)


@pytest.mark.parametrize("fixed", [(), (1, 2, 4)])
def test_stochastic_velocity_rescaling(fixed):
    now, tau = state(fixed), 40 * fs
    v, m = numbers(now)[1::2]
    after = rescaled(now, jp.md.Ramp(T, 2 * T, 10), tau, TIME)
    degrees = 6 if fixed else 12
    normal, key = drawn(now.key, ())
    key, last = jax.random.split(jax.random.wrap_key_data(key))
    others = 2.0 * float(jax.random.gamma(last, 0.5 * (degrees - 1), dtype=float))
    kept, target = np.exp(-TIME / tau), 0.5 * degrees * kB * 1.3 * T
    before = kinetic(v, m)
    wanted = kept * before + target / degrees * (1 - kept) * (normal**2 + others)
    wanted += 2 * normal * np.sqrt(target * before / degrees * kept * (1 - kept))
    same(kinetic(np.asarray(after.velocities), m), wanted)
    same(after.velocities, v * np.sqrt(wanted / before))
    same(after.exchanged, 0.25 + wanted - before)
    np.testing.assert_array_equal(after.key, jax.random.key_data(key))
    same(thermal_kinetic_energy(now, T), 0.5 * degrees * kB * T)
    whole = jp.md.VelocityRescaling(ARGON, TIME, jp.md.Ramp(T, 2 * T, 10), tau)
    kicked = jp.md.NVE(ARGON, TIME).second(now)
    same(whole.second(now).velocities, rescaled(kicked, 1.4 * T, tau, TIME).velocities)
    still = now.replace(velocities=jnp.zeros((5, 3)))
    assert not np.asarray(rescaled(still, T, tau, TIME).velocities).any()


def chain(v, x, p, m, degrees, kt, masses):
    """Half a step of a Nose-Hoover chain of three (Martyna et al., 1996): velocities, and the chain."""
    root = 1 / (2 - 2 ** (1 / 3))
    p, x = p.copy(), x.copy()
    for part in (root, 1 - 2 * root, root):
        half = 0.5 * TIME * part
        for order in ((2, 1, 0), (0, 1, 2)):
            for k in order:
                drive = 2 * kinetic(v, m) - degrees * kt if k == 0 else masses[k - 1] * p[k - 1] ** 2 - kt
                slow = np.exp(-0.25 * half * p[k + 1]) if k < 2 else 1.0
                p[k] = (p[k] * slow + 0.5 * half * drive / masses[k]) * slow
            if order[0] == 2:
                v = v * np.exp(-half * p[0])
                x = x + half * p
    return v, x, p


def test_nose_hoover():
    tau = 30 * fs
    x, p = np.array([0.3, -0.2, 0.1]), np.array([0.02, -0.03, 0.05])
    now = state(positions=jnp.asarray(x), velocities=jnp.asarray(p))
    dynamics = jp.md.NoseHoover(ARGON, TIME, jp.md.Ramp(T, 2 * T, 10), tau)
    r, v, a, m = numbers(now)
    kt = kB * 1.3 * T
    masses = np.array([12, 1, 1]) * kt * tau**2
    first = dynamics.first(now)
    after, x1, p1 = chain(v, x, p, m, 12, kt, masses)
    same(first.velocities, after + 0.5 * TIME * a)
    same(first.structure.positions, r + TIME * (after + 0.5 * TIME * a))
    same(first.extra["positions"], x1)
    same(first.extra["velocities"], p1)
    same(dynamics.conserved(now), -1.5 + kinetic(v, m) + 0.5 * np.sum(masses * p**2) + kt * (12 * x[0] + x[1] + x[2]))
    constant = jp.md.NoseHoover(ARGON, TIME, 1.3 * T, tau)
    same(constant.second(now).velocities, chain(v + 0.5 * TIME * a, x, p, m, 12, kt, masses)[0])
    assert int(constant.second(now).step) == STEP + 1
    assert {name: leaf.tolist() for name, leaf in dynamics.start(now).items()} == {
        "positions": [0.0, 0.0, 0.0], "velocities": [0.0, 0.0, 0.0],
    }


@pytest.mark.parametrize("shape", [True, False])
def test_stochastic_cell_rescaling(shape):
    now, tau, barostat, ease = state(), 40 * fs, 300 * fs, 0.02 / GPa
    pressure = jp.md.Ramp(1.0 * GPa, 2.0 * GPa, 10)
    dynamics = jp.md.CellRescaling(ARGON, TIME, T, pressure, tau, barostat, ease, shape=shape)
    x, v, a, m = numbers(now)
    cell, stress = np.asarray(now.structure.cell), np.asarray(now.stress)
    volume = abs(np.linalg.det(cell))
    v = v + 0.5 * TIME * a
    x = x + 0.5 * TIME * v
    noise, key = drawn(now.key, (3, 3))
    tensor = np.einsum("ik,ia,ib->ab", m, v, v) / volume - stress
    strain = ease * TIME / (3 * barostat) * (tensor - 1.3 * GPa * np.eye(3))
    strain += np.sqrt(2 * ease * kB * T * TIME / (3 * volume * barostat)) * (noise + noise.T) / 2
    strain = strain if shape else np.trace(strain) / 3 * np.eye(3)
    values, vectors = np.linalg.eigh(strain)
    stretch = vectors @ np.diag(np.exp(values)) @ vectors.T
    shrunk = v @ np.linalg.inv(stretch)
    first = dynamics.first(now)
    same(first.structure.cell, cell @ stretch)
    same(first.velocities, shrunk)
    same(first.structure.positions, x @ stretch + 0.5 * TIME * shrunk)
    same(first.extra["strain"], strain)
    np.testing.assert_array_equal(first.key, key)
    work = kinetic(shrunk, m) - kinetic(v, m) + 0.5 * volume * np.sum(stress * strain)
    work += 1.3 * GPa * (abs(np.linalg.det(cell @ stretch)) - volume)
    same(first.exchanged, 0.25 + work)

    now = now.replace(extra={"strain": jnp.asarray(strain)})
    kicked = jp.md.NVE(ARGON, TIME).second(now)
    expected = rescaled(kicked, T, tau, TIME)
    second = dynamics.second(now)
    same(second.velocities, expected.velocities)
    same(second.exchanged, expected.exchanged + 0.5 * volume * np.sum(stress * strain))
    v = numbers(now)[1]
    same(dynamics.conserved(now), -1.5 + kinetic(v, m) + 1.3 * GPa * volume - 0.25)
    assert dynamics.start(now)["strain"].tolist() == np.zeros((3, 3)).tolist() and dynamics.barostat
    assert jp.md.CellRescaling(ARGON, TIME, T, 0.0, tau, barostat, ease).shape


def test_ramps_end():
    ramp = jp.md.Ramp(100.0, 300.0, 40)
    assert [float(ramp.at(k)) for k in (-9, 0, 10, 40, 50)] == [100.0, 100.0, 150.0, 300.0, 300.0]
    assert float(value_at(ramp, 30)) == 250.0 and value_at(7.0, 30) == 7.0


def small(mass=28.0, pbc=True, count=2):
    return jp.Structure(3.6 * np.arange(3 * count).reshape(count, 3) / 3, 12.0 * np.eye(3), [18] * count, pbc=pbc,
                        masses=np.full(count, mass))


def test_the_longest_time_step_without_a_warning():
    """fs sqrt(amu)."""
    dynamics = jp.md.NVE(ARGON, 1.999 * fs)
    heavier = small(4.0).replace(masses=np.array([4.0, 9.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dynamics.check(heavier)
    dynamics = jp.md.NVE(ARGON, 2.001 * fs)
    with pytest.warns(JaxpotWarning, match="2 fs is long for an atom of 4 amu"):
        dynamics.check(heavier)
    with pytest.warns(JaxpotWarning, match="2 fs is long for an atom of 3.9"):
        dynamics.check(small(3.9))


def test_the_first_state():
    dynamics = jp.md.Langevin(ARGON, TIME, jp.md.Ramp(T, 3 * T, 5), 0.01 / fs)
    begun = dynamics.init(small(count=3), key=4)
    result = jp.evaluate(ARGON, small(count=3))
    same(begun.temperature, T)
    for name in ("energy", "forces", "stress"):
        same(getattr(begun, name), getattr(result, name))
    assert int(begun.step) == 0 and float(begun.exchanged) == 0.0 and begun.lost == {}
    np.testing.assert_array_equal(begun.velocities, dynamics.init(small(count=3), key=jax.random.key(4)).velocities)
    assert (np.asarray(begun.velocities) != np.asarray(dynamics.init(small(count=3)).velocities)).all()
    np.testing.assert_array_equal(dynamics.init(small(count=3)).velocities, dynamics.init(small(count=3), key=0).velocities)
    assert jax.random.key_data(as_key(np.int64(3))).tolist() == jax.random.key_data(jax.random.key(3)).tolist()
    free = jp.md.NVE(ARGON, TIME)
    still = free.init(small(), temperature=0.0)
    assert not np.asarray(still.velocities).any()
    half = free.init(small(count=3), velocities=np.ones((3, 3)), fixed=np.array([False, True, False]))
    assert np.asarray(half.velocities).tolist() == [[1.0] * 3, [0.0] * 3, [1.0] * 3]
    assert np.asarray(free.init(small(count=3), 9.0, fixed=[2, 0]).free).tolist() == [False, True, False]


@pytest.mark.parametrize("start, says", [
    ({"temperature": -1.0}, "temperature: expected"), ({"temperature": np.nan}, "temperature"), ({}, "give a temperature"),
    ({"velocities": np.zeros((2, 2))}, r"velocities: expected shape \(2, 3\)"),
    ({"fixed": [2]}, "fixed: expected numbers of atoms, 0 to 1"), ({"fixed": [-1]}, "fixed: expected numbers"),
    ({"fixed": [0, 2]}, "fixed: expected numbers"), ({"fixed": [-1, 1]}, "fixed: expected numbers"),
    ({"fixed": [0, 1]}, "all atoms are fixed"), ({"fixed": [True, True]}, "all atoms are fixed"),
    ({"fixed": [True]}, "fixed: expected numbers"),
])
def test_starts_that_are_refused(start, says):
    with pytest.raises(DataError, match=says):
        jp.md.NVE(ARGON, TIME).init(small(), **({"temperature": 9.0} if "fixed" in start else {}), **start)


def test_ensembles_that_are_refused():
    cell = (50 * fs, 200 * fs, 0.01 / GPa)
    for pressure in (np.nan, jp.md.Ramp(0.0, np.inf, 5), jp.md.Ramp(np.nan, 0.0, 5)):
        with pytest.raises(DataError, match="pressure"):
            jp.md.CellRescaling(ARGON, TIME, T, pressure, *cell)
    barostat = jp.md.CellRescaling(ARGON, TIME, T, 0.0, *cell)
    for name in ("time_step", "temperature", "time_constant", "barostat_time", "compressibility"):
        for value in (0.0, -1.0):
            with pytest.raises(DataError, match=f"{name}: expected a positive number"):
                barostat.replace(**{name: value})
    for name in ("temperature", "friction"):
        with pytest.raises(DataError, match=f"{name}: expected a positive number"):
            jp.md.Langevin(ARGON, TIME, T, 0.01).replace(**{name: 0.0})
    for ensemble in (jp.md.VelocityRescaling, jp.md.NoseHoover):
        for values in ((0.0, 9.0), (T, 0.0)):
            with pytest.raises(DataError, match="expected a positive number"):
                ensemble(ARGON, TIME, *values)
    with pytest.raises(DataError, match="temperature: expected a positive number"):
        jp.md.NoseHoover(ARGON, TIME, jp.md.Ramp(T, 0.0, 5), 9.0)
    with pytest.raises(DataError, match="fixed atoms"):
        barostat.init(small(), fixed=[0])
    with pytest.raises(DataError, match="three axes"):
        barostat.init(small(pbc=(True, True, False)))


def test_a_whole_step():
    """Velocity Verlet: forces, energy and stress are those of the new positions."""
    dynamics = jp.md.NVE(ARGON, TIME)
    start = dynamics.init(small(count=3), temperature=90.0)
    after = dynamics.step(start)
    moved = dynamics.first(start)
    result = jp.evaluate(ARGON, moved.structure)
    for name in ("energy", "forces", "stress"):
        same(getattr(after, name), getattr(result, name))
    same(after.velocities, moved.velocities + 0.5 * TIME * np.asarray(result.forces) / 28.0)
    assert int(after.step) == 1


def test_a_state_of_another_ensemble_is_adopted():
    free, chained = jp.md.NVE(ARGON, TIME), jp.md.NoseHoover(ARGON, TIME, T, 30 * fs)
    barostat = jp.md.CellRescaling(ARGON, TIME, T, 0.0, 50 * fs, 200 * fs, 0.01 / GPa)
    begun = free.init(small(count=3), temperature=90.0)
    assert set(chained.adopt(begun).extra) == {"positions", "velocities"} and free.adopt(begun).extra == {}
    going = begun.replace(extra={"positions": jnp.ones(3), "velocities": jnp.ones(3)})
    assert chained.adopt(going).extra["positions"].tolist() == [1.0] * 3
    np.testing.assert_array_equal(barostat.adopt(going).extra["strain"], np.zeros((3, 3)))
    with pytest.raises(DataError, match="fixed atoms"):
        barostat.adopt(free.init(small(count=3), temperature=90.0, fixed=[1]))
    with pytest.raises(DataError, match="three axes"):
        barostat.adopt(free.init(small(count=3, pbc=False), temperature=90.0))
    alone = free.init(small(count=1), velocities=np.ones((1, 3)))
    for refused in (lambda: chained.adopt(alone), lambda: free.init(small(count=1), temperature=1.0)):
        with pytest.raises(DataError, match="one atom has no temperature"):
            refused()
