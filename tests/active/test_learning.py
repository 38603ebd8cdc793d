"""Learning on the fly: it asks where it does not know, learns what it is told, and loses nothing."""

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones as ASELennardJones

import jaxpot as jp
from jaxpot.data.targets import Sigmas
from jaxpot.potentials import NequIP
from jaxpot.units import fs

SOAP = {
    "descriptor": "soap", "cutoff": 3.6, "transition_width": 0.6, "n_max": 4, "l_max": 3, "atom_sigma": 0.5, "zeta": 3,
    "sparse_points": 40,
}
PAIR = {"descriptor": "distance_2b", "cutoff": 3.6, "theta": 0.5, "sparse_points": 6, "sparse_method": "uniform"}
RECIPE = jp.fitting.Recipe((SOAP, PAIR), Sigmas(0.0005, 0.02), choice="fixed", units="A")
STEPS = 900


def warming(potential):
    return jp.md.Langevin(potential, 2.0 * fs, jp.md.Ramp(100.0, 1500.0, STEPS), 0.05 / fs)


@pytest.fixture(scope="module")
def oracle():
    return jp.potentials.StillingerWeber.silicon()


@pytest.fixture(scope="module")
def cell():
    return jp.Structure.of(bulk("Si", a=5.431)).repeated((2, 2, 2))


@pytest.fixture(scope="module")
def few(oracle, cell):
    return jp.draw_dataset(oracle, cell, 4, 0, strain=0.005, displacements=0.02)


def learned(few, oracle, cell, **options):
    given = {"recipe": RECIPE, "budget": 4, "every": 20} | options
    return jp.learn_on_the_fly(few, oracle, cell, warming, STEPS, **given)


@pytest.fixture(scope="module")
def found(few, oracle, cell, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learning") / "run"
    return learned(few, oracle, cell, folder=folder), folder


@pytest.mark.thorough
def test_it_knows_hot_crystals_better_for_what_it_asked(found, few, oracle, cell):
    result, _ = found
    assert len(result.log) == 4 and len(result.dataset) == 8 and not result.finished
    assert all(entry["signal"] > result.threshold for entry in result.log)
    hot = jp.draw_dataset(oracle, cell, 6, 9, strain=0.01, displacements=0.12)
    before = jp.fit(few, RECIPE, jitter=1e-8, predictions=False).potential

    def off(potential):
        return np.sqrt(np.mean([(jp.forces(potential, f.structure) - f.forces) ** 2 for f in hot]))

    assert off(result.potential) < 0.5 * off(before)


def test_what_it_logs_is_what_was_off(found, few, oracle, cell):
    result, folder = found
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert lines == list(result.log)
    first = result.dataset[len(few)]
    before = jp.fit(few, RECIPE, jitter=1e-8, predictions=False).potential
    wrong = np.asarray(jp.forces(before, first.structure)) - first.forces
    assert lines[0]["force_rmse_eV_per_A"] == pytest.approx(np.sqrt(np.mean(wrong**2)), rel=1e-6)
    np.testing.assert_allclose(first.forces, jp.forces(oracle, first.structure), rtol=1e-12, atol=1e-14)
    assert [entry["step"] for entry in lines] == sorted(entry["step"] for entry in lines)


def test_the_frames_can_be_read_by_others(found, few):
    result, folder = found
    again = jp.read_dataset(folder / "labels.xyz", e0={"Si": 0.0})
    for frame, expected in zip(again, result.dataset.frames[len(few) :], strict=True):
        np.testing.assert_array_equal(frame.structure.positions, expected.structure.positions)
        np.testing.assert_array_equal(frame.forces, expected.forces)
        np.testing.assert_allclose(frame.stress, expected.stress, rtol=1e-14)
        assert frame.energy == expected.energy and frame.config_type == expected.config_type


def test_the_potential_in_the_folder_is_the_last_one(found):
    result, folder = found
    kept = jp.load(folder / "model.posterior")
    np.testing.assert_array_equal(kept.potential.terms[1].readout.weights, result.potential.terms[1].readout.weights)


def test_it_goes_on_from_the_state_of_another_run(few, oracle, cell):
    """With its velocities and its atoms that do not move; digests do not fail on the key of its random numbers."""
    begin = warming(oracle).init(cell, 300.0, key=3, fixed=[0, 5])
    end = jp.md.run(warming(oracle), begin, 20).state
    result = jp.learn_on_the_fly(few, oracle, end, warming, 20, recipe=RECIPE, threshold=1e3)
    assert result.finished and not result.log
    fixed = ~np.asarray(end.free)
    np.testing.assert_array_equal(result.state.free, end.free)
    np.testing.assert_array_equal(result.state.structure.positions[fixed], end.structure.positions[fixed])
    short = jp.learn_on_the_fly(few, oracle, end, lambda p: jp.md.NVE(p, 1e-9 * fs), 1, recipe=RECIPE, threshold=1e3)
    np.testing.assert_allclose(short.state.velocities, end.velocities, rtol=1e-6, atol=1e-9)


class Failing(Calculator):
    """A calculator that fails at one label, as those of quantum mechanics do; otherwise the oracle, bit by bit."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, oracle, at):
        super().__init__()
        self.oracle, self.left, self.asked = oracle, at, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.left, self.asked = self.left - 1, self.asked + 1
        if self.left < 0:
            raise RuntimeError("the SCF does not converge")
        found = jp.evaluate(self.oracle, jp.Structure.of(atoms))
        stress = np.asarray(found.stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        self.results = {"energy": float(found.energy), "forces": np.asarray(found.forces), "stress": stress}


@pytest.mark.parametrize("at", [0, 2])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(at, found, few, oracle, cell, tmp_path):
    result, _ = found
    with pytest.raises(RuntimeError, match="SCF"):
        learned(few, Failing(oracle, at), cell, folder=tmp_path)
    assert len(list((tmp_path / "labels").iterdir())) == at
    said = []
    again = learned(few, oracle, cell, folder=tmp_path, progress=said.append)
    assert said[0].startswith("goes on")
    assert again.log == result.log
    for frame, expected in zip(again.dataset, result.dataset, strict=True):
        np.testing.assert_array_equal(frame.structure.positions, expected.structure.positions)
    done = learned(few, None, cell, folder=tmp_path)  # nothing is left to ask
    assert done.log == result.log


def test_a_label_that_was_written_is_not_asked_for_again(found, few, oracle, cell, tmp_path, monkeypatch):
    def die(self, dataset):
        raise KeyboardInterrupt

    from jaxpot.active import learner

    whole, count = learner._Learner._fit, iter(range(100))
    monkeypatch.setattr(learner._Learner, "_fit", lambda self: whole(self) if next(count) < 2 else die(self, None))
    with pytest.raises(KeyboardInterrupt):
        learned(few, oracle, cell, folder=tmp_path)
    monkeypatch.setattr(learner._Learner, "_fit", whole)
    source = Failing(oracle, 100)
    again = learned(few, source, cell, folder=tmp_path)
    assert source.asked == 2 and len(again.log) == 4


def test_grades_may_ask_too(few, oracle, cell):
    result = learned(few, oracle, cell, signal="grade", budget=1)
    assert len(result.log) == 1 and result.log[0]["signal"] > result.threshold == 2.0


def test_a_run_without_questions_ends(few, oracle, cell):
    result = jp.learn_on_the_fly(few, oracle, cell, warming, 100, recipe=RECIPE, threshold=10.0)
    assert result.finished and not result.log and int(result.state.step) == 100


def test_an_observer_ends_a_run(found, cell):
    result, _ = found
    watch = jp.md.SiteDeviation(result.posterior, 10, 1e-9)
    run = jp.md.run(warming(result.potential), cell, 100, [watch], key=1)
    assert int(run.state.step) == 10 and "above 1e-09" in run.stopped
    table = watch.table
    assert table["step"].tolist() == [0, 10] and (table["largest"] > 1e-9).all()
    expected = np.sqrt(np.asarray(jp.variance(result.posterior, run.state.structure).sites))
    # A small difference of covariances, by two factorisations of a matrix as near singular as rounding allows.
    assert table["largest"][-1] == pytest.approx(expected.max(), rel=1e-5) and table["atom"][-1] == expected.argmax()


def test_labels_of_potentials_and_calculators(oracle, cell):
    moved = cell.moved(cell.positions + 0.05 * np.random.default_rng(0).normal(size=(16, 3)))
    own, other = jp.label(moved, oracle), jp.label(moved, jp.ase_calculator(oracle))
    assert own.energy == pytest.approx(other.energy, abs=1e-10)
    np.testing.assert_allclose(own.stress, other.stress, atol=1e-12)
    dimer = jp.Structure([[0, 0, 0], [0, 0, 1.2]], np.zeros((3, 3)), ["Ar", "Ar"], pbc=False)
    assert jp.label(dimer, ASELennardJones(rc=4.0)).stress is None
    with pytest.raises(jp.JaxpotError, match="calculator or a potential, got str"):
        jp.label(cell, "vasp")


def test_random_structures_keep_their_distance():
    found = jp.random_structures(["Si"] * 6, 20.0, 5, 1.9, seed=3)
    assert len(found) == 5
    for structure in found:
        assert 0.8 * 120.0 <= float(structure.volume) <= 1.2 * 120.0
        assert not np.asarray(jp.neighbors(structure, 1.9).counts).any()
    again = jp.random_structures(["Si"] * 6, 20.0, 5, 1.9, seed=3)
    np.testing.assert_array_equal(again[4].positions, found[4].positions)
    with pytest.raises(jp.JaxpotError, match="more volume"):
        jp.random_structures(["Si"] * 6, 5.0, 1, 2.5)


@pytest.mark.thorough
def test_of_a_pool_the_strange_ones_are_chosen_and_none_twice(found, few, cell):
    result, _ = found
    strange = jp.random_structures(["Si"] * 8, 20.0, 2, 2.0, seed=1)
    pool = [few[0].structure, strange[0], few[1].structure, strange[0], strange[1]]
    assert sorted(jp.select_batch(result.posterior, pool, 2)) in ([1, 4], [3, 4])


@pytest.fixture(scope="module")
def pool(few):
    strange = jp.random_structures(["Si"] * 8, 20.0, 3, 2.0, seed=1)
    return [few[0].structure, strange[0], few[1].structure, *strange[1:]]


@pytest.fixture(scope="module")
def searched(few, oracle, pool, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool") / "run"
    return jp.learn_from_pool(few, oracle, pool, recipe=RECIPE, budget=3, batch=2, folder=folder), folder


@pytest.mark.thorough
def test_a_pool_is_learned_where_it_is_strange(searched, few, oracle, pool):
    result, folder = searched
    asked = [int(entry["candidate"]) for entry in result.log]
    assert sorted(asked) == [1, 3, 4] and not result.finished and result.state is None
    assert [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] == list(result.log)
    before = jp.fit(few, RECIPE, jitter=1e-8, predictions=False).potential
    truth = np.asarray(jp.forces(oracle, pool[asked[0]]))
    wrong = np.sqrt(np.mean((np.asarray(jp.forces(before, pool[asked[0]])) - truth) ** 2))
    assert result.log[0]["force_rmse_eV_per_A"] == pytest.approx(wrong, rel=1e-6)
    left = np.sqrt(np.mean((np.asarray(jp.forces(result.potential, pool[asked[0]])) - truth) ** 2))
    assert left < 0.5 * wrong


@pytest.mark.thorough
@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_interrupted_search_goes_on_as_if_nothing_had_happened(at, searched, few, oracle, pool, tmp_path):
    given = {"recipe": RECIPE, "budget": 3, "batch": 2, "folder": tmp_path}
    with pytest.raises(RuntimeError, match="SCF"):
        jp.learn_from_pool(few, Failing(oracle, at), pool, **given)
    source = Failing(oracle, 100)
    again = jp.learn_from_pool(few, source, pool, **given)
    assert source.asked == 3 - at and again.log == searched[0].log
    weights = [found.potential.terms[1].readout.weights for found in (again, searched[0])]
    np.testing.assert_array_equal(*weights)


def test_what_a_pool_refuses(searched, few, oracle, cell, pool):
    _, folder = searched
    with pytest.raises(jp.JaxpotError, match="folder of another run"):
        jp.learn_from_pool(few, oracle, pool, recipe=RECIPE, budget=4, batch=2, folder=folder)
    with pytest.raises(jp.JaxpotError, match="folder of another run"):
        learned(few, oracle, cell, folder=folder)
    with pytest.raises(jp.JaxpotError, match="at least one structure"):
        jp.learn_from_pool(few, oracle, [])


@pytest.fixture(scope="module")
def network_options(few):
    """A published model of several hops, as it were: off, and with another zero of energy."""
    model = NequIP.random(1, ("Si",), 3.6, (4,), 2, 4, (4,), 6.0)
    recipe = jp.NetworkRecipe(
        reads="hops", members=2, epochs=2, batch=2, validation=0.25, rate=1e-3, loss="huber", optimiser="muon"
    )
    return {"model": model, "recipe": recipe, "budget": 1}


@pytest.mark.slow  # three trainings
def test_a_network_of_several_hops_asks_by_its_last_layer_and_goes_on(few, oracle, cell, network_options, tmp_path):
    """One network is trained, whatever the recipe's members; an interruption changes nothing."""
    whole = learned(few, oracle, cell, **network_options)
    assert len(whole.log) == 1 and whole.log[0]["signal"] > whole.threshold
    with pytest.raises(RuntimeError, match="SCF"):
        learned(few, Failing(oracle, 0), cell, **network_options, folder=tmp_path)
    again = learned(few, oracle, cell, **network_options, folder=tmp_path)
    assert again.log == whole.log
    np.testing.assert_array_equal(jp.forces(again.potential, cell), jp.forces(whole.potential, cell))


@pytest.mark.slow
def test_a_pool_is_learned_by_a_network_of_several_hops(few, oracle, pool, network_options):
    found = jp.learn_from_pool(few, oracle, pool[:4], batch=1, **network_options)
    assert len(found.log) == 1 and len(found.dataset) == len(few) + 1


def test_other_dynamics_are_another_run(found, few, oracle, cell):
    _, folder = found
    with pytest.raises(jp.JaxpotError, match="other dynamics"):
        jp.learn_on_the_fly(
            few, oracle, cell, lambda p: warming(p).replace(time_step=1.0 * fs), STEPS, recipe=RECIPE, budget=4,
            every=20, folder=folder,
        )


def test_what_is_refused(few, oracle, cell, found, tmp_path):
    _, folder = found
    for options, message in (
        ({"signal": "hunch"}, "expected one of deviation, grade"),
        ({"budget": 0}, "budget"),
        ({"threshold": -1.0}, "threshold"),
        ({"folder": folder, "seed": 5}, "folder of another run"),
        ({"model": oracle}, "begins with nothing"),
        ({"recipe": oracle}, "got a StillingerWeber"),
        ({"recipe": "fine-tuning", "model": oracle}, "model: .* has no last layer"),
    ):
        with pytest.raises(jp.JaxpotError, match=message):
            learned(few, oracle, cell, **options)
    with pytest.raises(jp.JaxpotError, match="expected a Dataset"):
        learned(list(few), oracle, cell)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "00000.frame").write_text("")
    with pytest.raises(jp.JaxpotError, match="holds labels but no"):
        learned(few, oracle, cell, folder=tmp_path)


@pytest.mark.thorough
def test_quantum_mechanics_may_be_asked(tmp_path):
    tblite = pytest.importorskip("tblite.ase", reason="tblite has no wheel for every machine")
    edge = 2.2 / np.sqrt(8.0)
    p4 = jp.Structure(edge * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]), np.zeros((3, 3)), ["P"] * 4,
                      pbc=False)
    source = tblite.TBLite(method="GFN1-xTB", verbosity=0)
    rng = np.random.default_rng(0)
    frames = [jp.label(p4.moved(p4.positions + 0.01 * rng.normal(size=(4, 3))), source) for _ in range(8)]
    start = jp.Dataset.of(frames, e0={"P": frames[0].energy / 4 + 1.0}, require=("energy", "forces"))
    recipe = jp.fitting.Recipe((SOAP | {"sparse_points": 24}, PAIR), Sigmas(0.001, 0.02), choice="fixed", units="A")
    result = jp.learn_on_the_fly(
        start, source, p4, lambda p: jp.md.Langevin(p, 1.0 * fs, jp.md.Ramp(100.0, 2000.0, 1000), 0.02 / fs), 1000,
        recipe=recipe, budget=6, folder=tmp_path,
    )
    assert 1 <= len(result.log) <= 6
    hot = [jp.label(p4.moved(p4.positions + 0.07 * rng.normal(size=(4, 3))), source) for _ in range(5)]
    before = jp.fit(start, recipe, jitter=1e-8, predictions=False).potential

    def off(potential):
        return np.sqrt(np.mean([(jp.forces(potential, f.structure) - f.forces) ** 2 for f in hot]))

    assert off(result.potential) < off(before)
