"""Replicas in one program go where each would go alone, to the last bit where they can; and parallel tempering."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import jaxpot as jp
from jaxpot.basis.cutoffs import inside
from jaxpot.core.pytree import pytree, static
from jaxpot.md import host, many, replicas
from jaxpot.md.lists import Lists, Room, build
from jaxpot.md.replicas import lists_alike, numbers_of, stacked
from jaxpot.md.tempering import Exchange, swapped
from jaxpot.potentials.base import Potential
from jaxpot.units import GPa, fs, kB

ARGON = jp.potentials.LennardJones(0.0104, 3.4, 6.0)
TEMPERATURES = (20.0, 40.0, 60.0, 90.0)
ENSEMBLES = {
    "nve": lambda t: jp.md.NVE(ARGON, 2.0 * fs),
    "langevin": lambda t: jp.md.Langevin(ARGON, 2.0 * fs, t, 0.01 / fs),
    "rescaling": lambda t: jp.md.VelocityRescaling(ARGON, 2.0 * fs, t, 50.0 * fs),
    "nose-hoover": lambda t: jp.md.NoseHoover(ARGON, 2.0 * fs, jp.md.Ramp(t, 1.1 * t, 50), 50.0 * fs),
    "npt": lambda t: jp.md.CellRescaling(ARGON, 2.0 * fs, t, t / 500 * GPa, 50.0 * fs, 100.0 * fs, 0.1 / GPa),
}


REST = ("nve", "rescaling", "nose-hoover")  # a program each


def argon(seed=0, scale=0.1):
    atoms = bulk("Ar", cubic=True)
    atoms.rattle(scale, seed=seed)
    return jp.Structure.of(atoms)


def langevins(temperatures=TEMPERATURES):
    return [ENSEMBLES["langevin"](t) for t in temperatures]


def same_bits(one, other):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True))


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(many, "cores", lambda: 2)


@pytest.mark.parametrize(
    "name", ["langevin", "npt", *(pytest.param(n, marks=pytest.mark.thorough) for n in REST)]
)
def test_each_replica_is_a_run_of_its_own(name, two_cores):
    ensembles = [ENSEMBLES[name](t) for t in TEMPERATURES]
    starts = [argon(k).strained(0.01 * k * np.eye(3)) for k in range(4)]
    tables = [[jp.md.Thermo(30)] for _ in TEMPERATURES]
    together = jp.md.run_many(ensembles, starts, 100, tables, key=7, temperature=list(TEMPERATURES))
    assert together.steps == 100 and together.stopped is None
    for k, (dynamics, start, state) in enumerate(zip(ensembles, starts, together.states, strict=True)):
        thermo = jp.md.Thermo(30)
        alone = jp.md.run(dynamics, start, 100, [thermo], key=7 + k, temperature=TEMPERATURES[k]).state
        np.testing.assert_allclose(state.structure.positions, alone.structure.positions, rtol=0, atol=1e-10)
        np.testing.assert_allclose(state.structure.cell, alone.structure.cell, rtol=0, atol=1e-10)
        np.testing.assert_allclose(state.velocities, alone.velocities, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(state.key, alone.key)
        np.testing.assert_allclose(state.exchanged, alone.exchanged, rtol=0, atol=1e-10)
        for place, value in alone.extra.items():
            np.testing.assert_allclose(state.extra[place], value, rtol=1e-9, atol=1e-10)
        assert int(state.step) == 100
        np.testing.assert_allclose(tables[k][0].rows, thermo.rows, rtol=1e-9, atol=1e-9)
    assert len({float(state.energy) for state in together.states}) == 4


def test_parts_do_not_change_a_bit_and_states_go_on(monkeypatch):
    monkeypatch.setattr(many, "cores", lambda: 1)
    whole = jp.md.run_many(langevins(), argon(), 60, key=3).states
    monkeypatch.setattr(many, "cores", lambda: 3)  # of four replicas two parts of two
    first = jp.md.run_many(langevins(), argon(), 60, key=3).states
    assert same_bits(whole, first)
    second = jp.md.run_many(langevins(), list(first), 40).states
    alone = jp.md.run(langevins()[2], argon(), 100, key=5).state
    np.testing.assert_allclose(second[2].structure.positions, alone.structure.positions, rtol=0, atol=1e-10)


def test_lists_that_are_outgrown_are_made_anew(two_cores):
    """Hot replicas leave a narrow wide list many times, one part more often than the other."""
    temperatures = (5.0, 5.0, 300.0, 400.0)
    skins = {"skin": 0.2, "wide_skin": 0.3}
    built = []
    make = replicas.neighbour_lists.build

    def counted(*arguments, **more):
        built.append(1)
        return make(*arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replicas.neighbour_lists, "build", counted)
        together = jp.md.run_many(langevins(temperatures), argon(), 150, key=1, **skins).states
    assert len(built) > 12
    for k in (1, 3):
        alone = jp.md.run(langevins(temperatures)[k], argon(), 150, key=1 + k, **skins).state
        np.testing.assert_allclose(together[k].structure.positions, alone.structure.positions, rtol=0, atol=1e-9)


def test_lists_of_replicas_have_rows_of_one_length():
    loose, tight = argon(), argon().strained(-0.12 * np.eye(3))
    dynamics = langevins()[0]
    rooms = {Room.of(build(ARGON, s, 0.2, 2.0)) for s in (loose, tight)}
    assert len(rooms) == 2
    alike = lists_alike(dynamics, [loose, tight, loose], (0.2, 2.0), None)
    assert {Room.of(own) for own in alike} == {Room.of_all(rooms)} and all(bool(own.sound) for own in alike)
    small = jax.device_put(stacked(lists_alike(dynamics, [loose, loose], (0.2, 2.0), None)))
    states = [dynamics.init(s, 1.0) for s in (loose, tight)]
    outgrown = jax.tree.map(lambda a: a[1], small)
    new = build(ARGON, tight, 0.2, 2.0, outgrown=outgrown)
    grown: Lists = replicas._with_lists(dynamics, small, 1, new, jax.device_put(stacked(states)), (0.2, 2.0))
    assert grown.wide.others.shape[-1] > small.wide.others.shape[-1]
    for k, structure in enumerate((loose, tight)):
        found = jp.evaluate(ARGON, structure, jax.tree.map(lambda a, k=k: a[k], grown).short)
        assert float(found.energy) == pytest.approx(float(jp.energy(ARGON, structure)), abs=1e-12)


def test_parts_of_a_checkpoint_with_rows_of_other_lengths_become_one():
    """The shorter rows are filled up, the pairs in their order; parts that stay as they are keep their rows."""
    ensembles = langevins()[:2]
    structures = argon(), argon().strained(-0.12 * np.eye(3))
    states = [dynamics.init(s, 1.0) for dynamics, s in zip(ensembles, structures, strict=True)]
    parts = [replicas.parted(ensembles[k : k + 1], states[k : k + 1], (0.2, 2.0), 1)[0] for k in range(2)]
    marks = replicas.marks_of_parts(parts, 10, "a run")
    same = replicas.parts_of_marks(ensembles, marks, 2)
    assert [Room.of(part.lists) for part in same] == [Room.of(part.lists) for part in parts]
    (one,) = replicas.parts_of_marks(ensembles, marks, 1)
    assert Room.of(one.lists) == Room.of_all([Room.of(part.lists) for part in parts]) and len(one) == 2
    for k, (part, structure) in enumerate(zip(parts, structures, strict=True)):
        for name in ("wide", "short"):
            before, after = (jax.tree.map(lambda a, k=k: a[k], getattr(p.lists, name)) for p, k in ((part, 0), (one, k)))
            np.testing.assert_array_equal(before.counts, after.counts)
            np.testing.assert_array_equal(before.others, after.others[:, : before.capacity])
            found = jp.evaluate(ARGON, structure, after)
            assert float(found.energy) == pytest.approx(float(jp.energy(ARGON, structure)), abs=1e-12)


@pytest.mark.thorough
def test_vectorised_replicas_are_the_same(monkeypatch):
    """As on accelerators."""
    ensembles = langevins()
    states = [own.init(argon(), key=k) for k, own in enumerate(ensembles)]
    part = replicas.parted(ensembles, states, (0.2, 2.0), 1)[0]
    mapped = replicas._advance(ensembles[0], part, 80)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert replicas.cores() == 1
    vectorised = jax.jit(replicas._advance.__wrapped__)(ensembles[0], part, 80)
    assert np.asarray(vectorised.state.step).tolist() == [80] * 4
    np.testing.assert_allclose(
        vectorised.state.structure.positions, mapped.state.structure.positions, rtol=0, atol=1e-10
    )


@pytest.mark.thorough
def test_single_precision_in_threads(monkeypatch):
    single = jax.tree.map(lambda a: a.astype(np.float32) if a.dtype == np.float64 else a, argon())
    with jax.enable_x64(False):
        monkeypatch.setattr(many, "cores", lambda: 2)
        together = jp.md.run_many(langevins(), single, 50, key=2).states
        monkeypatch.setattr(many, "cores", lambda: 1)
        assert same_bits(together, jp.md.run_many(langevins(), single, 50, key=2).states)
        alone = jp.md.run(langevins()[3], single, 50, key=5).state
    assert together[3].velocities.dtype == np.float32
    np.testing.assert_allclose(together[3].structure.positions, alone.structure.positions, rtol=0, atol=1e-4)


def test_threads_have_the_precision_of_who_starts_them(monkeypatch):
    """Whether x64 is on is a matter of each thread."""
    monkeypatch.setattr(replicas, "_advance", lambda: jnp.asarray(1.0))
    with ThreadPoolExecutor(2) as pool:
        for double, dtype in ((False, jnp.float32), (True, jnp.float64)):
            with jax.enable_x64(double):
                assert [one.dtype for one in replicas._called(pool, [(), ()])] == [dtype] * 2


# Files and checkpoints.


@pytest.fixture
def often(monkeypatch, two_cores):
    """Checkpoints at every look."""
    monkeypatch.setattr(host, "_EVERY", 0.0)
    monkeypatch.setattr(host, "_SHARE", 1e9)


def watched(folder):
    return [[jp.md.Thermo(20, folder / f"thermo-{k}.txt"), jp.md.MeanSquareDisplacement(20)] for k in range(4)]


def simulated(folder):
    observers = watched(folder)
    found = jp.md.run_many(langevins(), argon(), 240, observers, folder, folder / "run.checkpoint", key=1)
    return found, [observer.rows for watching in observers for observer in watching]


def tempered(folder):
    observers = watched(folder)
    found = jp.md.temper(
        langevins()[0], argon(), 240, TEMPERATURES, 12, observers, folder, folder / "run.checkpoint", key=1
    )
    return found, [observer.rows for watching in observers for observer in watching]


def stopping_at(step, replica):
    look = jp.md.Trajectory.look

    def stop(self, dynamics, state):
        if int(state.step) >= step and self.file.path.endswith(f"{replica:03d}.xyz"):
            raise KeyboardInterrupt
        return look(self, dynamics, state)

    return stop


@pytest.mark.parametrize("simulate", [tempered, pytest.param(simulated, marks=pytest.mark.thorough)])
def test_what_was_interrupted_ends_in_the_same_bits(simulate, tmp_path, often):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    expected, rows = simulate(whole)
    for step in (100, 200):  # at the look of replica 2, after those of 0 and 1
        with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(jp.md.Trajectory, "look", stopping_at(step, 2))
            simulate(cut)
        assert (cut / "run.checkpoint").exists()
    resumed, rows_again = simulate(cut)
    assert 0 < resumed.steps < 240 and not (cut / "run.checkpoint").exists()
    assert same_bits(expected.states, resumed.states) and same_bits(rows, rows_again)
    names = sorted(path.name for path in whole.iterdir())
    assert names == [f"frames-00{k}.xyz" for k in range(4)] + [f"thermo-{k}.txt" for k in range(4)]
    assert all((cut / name).read_bytes() == (whole / name).read_bytes() for name in names)
    if simulate is tempered:
        for field in ("order", "energies", "attempted", "accepted"):
            np.testing.assert_array_equal(getattr(expected, field), getattr(resumed, field))
        assert expected.order.shape == (21, 4) and 0 < expected.accepted.sum() < expected.attempted.sum()
        assert expected.attempted.tolist() == [10, 10, 10]


def test_a_replica_that_breaks_is_named():
    ensembles = [dynamics.replace(time_step=dt * fs) for dynamics, dt in zip(langevins(), (2, 2, 900, 2), strict=True)]
    broken = pytest.raises(jp.errors.SimulationError, match="^replica 2, after")
    with pytest.warns(jp.errors.JaxpotWarning, match="long for an atom"), broken as caught:
        jp.md.run_many(ensembles, argon(), 100, key=1)
    assert np.isfinite(caught.value.state.structure.positions).all()


class Ends(jp.md.Observer):
    def look(self, dynamics, state):
        return "enough" if int(state.step) >= 20 else None


def test_an_observer_of_one_ends_all():
    found = jp.md.run_many(langevins(), argon(), 60, [[], [Ends(20)], [], []])
    assert found.stopped == "replica 1: enough" and {int(state.step) for state in found.states} == {20}


SILICON = jp.Structure.of(bulk("Si"))
SHARED = jp.md.Thermo(10)
REFUSED = {
    "nothing says how many": ((langevins()[0], argon()), {}, "how many replicas"),
    "numbers of replicas": ((langevins(), [argon()] * 3), {}, "4 dynamics, 3 structures"),
    "no replicas": (([], [argon()]), {}, "0 dynamics"),
    "no ensemble": (([ARGON] * 2, argon()), {}, "expected ensembles"),
    "other ensembles": (([langevins()[0], ENSEMBLES["nve"](1.0)], argon()), {"temperature": 3.0}, "share one ensemble"),
    "other potentials": (
        ([langevins()[0], langevins()[0].replace(potential=jp.potentials.LennardJones(0.02, 3.4, 6.0))], argon()), {},
        "share one potential",
    ),
    "other atoms": ((langevins()[0], [argon(), SILICON]), {}, "replica 1 .2 atoms"),
    "other elements": (
        (langevins()[0], [argon(), jp.Structure(argon().positions, argon().cell, [18, 18, 18, 10])]), {}, "same elements",
    ),
    "other steps": (
        (langevins()[:2], [langevins()[0].init(argon()).replace(step=jnp.asarray(k)) for k in (0, 5)]), {}, "steps .0, 5.",
    ),
    "observers in one list": ((langevins(), argon()), {"observers": [jp.md.Thermo()] * 4}, "one for each replica"),
    "too few observers": ((langevins(), argon()), {"observers": [[]] * 3}, "4 lists"),
    "one observer for all": ((langevins(), argon()), {"observers": [[SHARED]] * 4}, "mix"),
    "no folder": ((langevins(), argon()), {"trajectory": "nowhere"}, "folder that exists"),
    "temperatures": ((langevins(), argon()), {"temperature": [1.0, 2.0]}, "4 replicas, got 2"),
    "skins": ((langevins(), argon()), {"skin": 2.0, "wide_skin": 1.0}, "wide_skin must be larger"),
    "a seed": ((langevins(), argon()), {"key": 0.5}, "key"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    (dynamics, structures), more, message = REFUSED[name]
    with pytest.raises(jp.errors.DataError, match=message):
        jp.md.run_many(dynamics, structures, 10, **more)


@pytest.mark.parametrize("dynamics, temperatures, more, message", [
    (ENSEMBLES["nve"](1.0), (1.0, 2.0), {}, "no thermostat"),
    (langevins(), (1.0, 2.0), {}, "one ensemble"),
    (langevins()[0], (1.0,), {}, "at least two"),
    (langevins()[0], (2.0, 1.0), {}, "above the one before"),
    (langevins()[0], (-2.0, 1.0), {}, "positive numbers of kelvin"),
    (langevins()[0], (1.0, 2.0), {"every": 0}, "every"),
    (ENSEMBLES["npt"](9.0).replace(pressure=jp.md.Ramp(0.0, 1.0, 10)), (1.0, 2.0), {}, "pressure that changes"),
])
def test_ladders_that_are_refused(dynamics, temperatures, more, message):
    with pytest.raises(jp.errors.DataError, match=message):
        jp.md.temper(dynamics, argon(), 10, temperatures, **more)


# Exchanges.


@pytest.mark.parametrize("first", [0, 1])
def test_exchanges_are_in_detailed_balance(first):
    """All places of three systems of two energies on a ladder: pi(x) P(x -> y) = pi(y) P(y -> x) for each two."""
    temperatures = np.array([300.0, 450.0, 800.0])
    levels = (0.0, 0.05, 0.11)  # eV, of the systems 0, 1, 2
    orders = list(itertools.permutations(range(3)))

    def weight(order):
        return np.exp(-sum(levels[system] / (kB * t) for system, t in zip(order, temperatures, strict=True)))

    def probability(start, end):
        """Of a step, from the fraction of a fine grid of chances (one pair is tried)."""
        chances = (np.arange(20000) + 0.5) / 20000
        energies = np.array([levels[system] for system in start])
        ends = [tuple(swapped(start, energies, temperatures, first, np.full(2, c))[0].tolist()) for c in chances[::10]]
        return np.mean([one == end for one in ends])

    moves = {(a, b): probability(a, b) for a in orders for b in orders if a != b}
    assert sum(p > 0.0 for p in moves.values()) == 6  # each order has one other that it can become
    for (a, b), p in moves.items():
        assert weight(a) * p == pytest.approx(weight(b) * moves[b, a], abs=1e-3 * max(weight(a), weight(b)))


def test_an_exchange_rescales_velocities_and_keeps_what_is_conserved():
    ladder = langevins((50.0, 70.0))
    states = [own.init(argon(k), key=k) for k, own in enumerate(ladder)]
    states[1] = states[1].replace(energy=states[0].energy - 1.0)  # certain to be exchanged
    parts = replicas.parted(ladder, states, (0.2, 2.0), 1)
    running = many.Replicas(ladder, parts, [(), ()], (0.2, 2.0), None, None)
    exchange = Exchange(ladder, 10, jax.random.key(0))
    before = [float(own.conserved(s)) for own, s in zip(ladder, running.states(), strict=True)]
    exchange.act(running)
    assert [own.temperature for own in running.ensembles] == [70.0, 50.0] and exchange.orders[-1].tolist() == [1, 0]
    np.testing.assert_allclose(running.parts[0].numbers["temperature"], [70.0, 50.0])
    for k, (old, new) in enumerate(zip(states, running.states(), strict=True)):
        factor = np.sqrt((70.0 / 50.0, 50.0 / 70.0)[k])
        np.testing.assert_allclose(new.velocities, factor * old.velocities, rtol=1e-14)
        np.testing.assert_allclose(new.temperature, (70.0, 50.0)[k], rtol=1e-12)
        assert float(running.ensembles[k].conserved(new)) == pytest.approx(before[k], abs=1e-12)
    assert float(numbers_of(running.ensembles)["temperature"][0]) == 70.0


def test_enthalpies_are_exchanged_at_a_pressure():
    ladder = [ENSEMBLES["npt"](50.0).replace(temperature=t, pressure=1.0) for t in (50.0, 70.0)]
    states = [own.init(argon().strained(0.01 * k * np.eye(3)), key=k) for k, own in enumerate(ladder)]
    running = many.Replicas(ladder, replicas.parted(ladder, states, (0.2, 2.0), 1), [(), ()], (0.2, 2.0), None, None)
    exchange = Exchange(ladder, 10, jax.random.key(0))
    exchange.act(running)
    expected = [float(s.energy + s.structure.volume) for s in states]
    np.testing.assert_allclose(exchange.table[0], expected, rtol=1e-13)
    assert exchange.orders[-1].tolist() == [0, 1]  # by energies alone it would have been


@pytree
class Springs(Potential):
    """E = sum over pairs k (r - r0)^2 / 2."""

    strength: float
    length: float
    cutoff: float = static(default=5.0)

    smoothness = -1

    def site_energy(self, environment):
        mask, r = inside(environment.distances, self.cutoff)
        return 0.25 * self.strength * jnp.sum(jnp.where(mask, (r - self.length) ** 2, 0.0))


def test_tempering_samples_what_theory_says():
    """Dimers far from each other: p(r) is r^2 exp(-k (r - r0)^2 / 2 kB T), and energies follow by quadrature."""
    dimers, springs = 6, Springs(0.5, 2.0)
    places = 40.0 * np.arange(dimers)[:, None, None] * [1.0, 0.0, 0.0] + np.array([[0.0, 0, 0], [0.0, 0, 2.0]])
    atoms = Atoms(f"Ar{2 * dimers}", places.reshape(-1, 3), pbc=False)
    dynamics = jp.md.Langevin(springs, 6.0 * fs, 300.0, 0.008 / fs)
    temperatures = np.array([200.0, 300.0, 450.0])
    found = jp.md.temper(dynamics, atoms, 24000, temperatures, 15, key=4, skin=12.0, wide_skin=25.0)
    r = np.linspace(0.01, 4.9, 20001)
    energy = 0.25 * 2 * (r - 2.0) ** 2 * springs.strength
    settled = found.energies[50:]
    for i, t in enumerate(temperatures):
        weight = r**2 * np.exp(-energy / (kB * t))
        expected = dimers * np.sum(weight * energy) / np.sum(weight)
        average = jp.md.block_average(settled[:, i])
        error = max(average.error, settled[:, i].std() / np.sqrt(len(settled)))
        assert abs(average.mean - expected) < 4.0 * error and error < 0.06 * expected, (i, average.mean, expected, error)
    assert (found.acceptance > 0.2).all() and (found.acceptance < 0.95).all()
    visits = np.array([np.mean(found.order == k, axis=0) for k in range(3)])
    assert (visits > 0.1).all()  # every replica was at every temperature
