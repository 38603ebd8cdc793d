"""Training: what is seen is what the potential has, the same to the last bit after an interruption, and refusals."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.data.padded_frames import prepare_frames
from jaxpot.data.targets import Sigmas
from jaxpot.descriptors import Bond, SymmetryFunctions
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.fitting.networks import descent
from jaxpot.fitting.networks import train as training
from jaxpot.fitting.networks.batching import batches, hessian_batches
from jaxpot.fitting.networks.last_layer import last_layer_posterior
from jaxpot.fitting.networks.precomputed import frame_inputs, hessian_products, predicted
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.fitting.networks.train import train
from jaxpot.potentials import Described
from jaxpot.readouts import MLP, Neural

TINY = NetworkRecipe(
    cutoff=1.6, radial=3, angular=2, hidden=(6,), epochs=4, batch=3, sigmas=Sigmas(0.01, 0.1, 0.01), validation=0.25,
    rate=0.01, members=1,
)


@pytest.fixture(scope="module")
def data():
    oracle = jp.potentials.StillingerWeber.silicon()
    crystal = jp.Structure([[0, 0, 0], [1.36, 1.36, 1.36]], 2.72 * (1 - np.eye(3)), ["Si", "Si"]).repeated((2, 1, 1))
    return jp.draw_dataset(oracle, crystal, 12, displacements=(0.1,))


@pytest.fixture(scope="module")
def trained(data):
    return train(data, TINY, test=data[:3], seed=1)


ATOMS = [SymmetryFunctions.automatic((6, 14), 3.2, 2, 1, z) for z in (6, 14)]
BONDS = [Bond(3.2, (6, 14), pair, 2, 1, 1) for pair in ((6, 6), (6, 14), (14, 6), (14, 14))]


def several_kinds(descriptors):
    """A network for each descriptor, and frames of several sizes."""
    terms = []
    for k, descriptor in enumerate(descriptors):
        rng = np.random.default_rng(k)
        width = descriptor.dimension
        readout = Neural(MLP.random(k, width, (5,)), rng.normal(size=width), rng.uniform(0.5, 1.0, width), -1.0, 0.3)
        terms.append(Described(descriptor, readout, (6, 14)))
    rng = np.random.default_rng(3)
    cell = jp.Structure([[0, 0, 0], [1.1, 1.2, 1.15]], 2.2 * (1 - np.eye(3)), ["Si", "C"])
    frames = []
    for times in ((1, 1, 1), (2, 1, 1), (2, 2, 1)):
        larger = cell.repeated(times)
        frames.append(larger.moved(larger.positions + 0.05 * rng.normal(size=larger.positions.shape)))
    return terms, frames


def test_inputs_that_see_next_to_nothing_are_not_scaled_up():
    """Angular functions of dimers see a third atom just inside the cutoff, once: it says nothing that can be learnt."""
    rng, frames = np.random.default_rng(0), []
    for k in range(8):
        places = np.array([[0.0, 0.0, 0.0], [1.2 + 0.05 * k, 0.0, 0.0], [0.0, TINY.cutoff - 1e-6 if k == 3 else 9.0, 0.0]])
        frames.append(jp.Frame(jp.Structure(places, np.eye(3), ["Si"] * 3, pbc=False), -1.0, rng.normal(size=(3, 3))))
    fitted = train(jp.Dataset.of(frames), replace(TINY, epochs=2), seed=1)
    readout = next(t.readout for t in fitted.potential.terms if isinstance(t, Described))
    assert np.max(readout.factor) < 1e7


@pytest.mark.thorough
@pytest.mark.parametrize("descriptors", [ATOMS, BONDS], ids=["atoms", "bonds"])
def test_what_is_seen_gives_the_numbers_of_the_potential(descriptors):
    terms, structures = several_kinds(descriptors)
    potential = sum(terms[1:], terms[0])
    found = [jp.evaluate(potential, s) for s in structures]
    frames = [
        jp.Frame(s, float(v.energy), np.asarray(v.forces), np.asarray(v.stress))
        for s, v in zip(structures, found, strict=True)
    ]
    prepared = prepare_frames([f.structure for f in frames], potential.cutoff)
    described = [[frame_inputs(t.descriptor, *p, np.float64) for p in prepared] for t in terms]
    targets = [f.energy for f in frames], [f.forces for f in frames], [f.stress for f in frames]
    scalings = [(np.asarray(t.readout.shift), np.diag(t.readout.factor)) for t in terms]
    made = batches([[2, 0], [1]], described, frames, targets, Sigmas(0.1, 0.2, 0.3), scalings, np.float64)
    functions = [
        lambda x, own=t.readout: own.offset + own.scale * own.network(x) for t in terms
    ]
    for batch in made:
        energies, forces, stresses = predicted(functions, batch)
        np.testing.assert_allclose(energies, batch.energies, atol=1e-13)
        np.testing.assert_allclose(forces, batch.forces, atol=1e-12)
        np.testing.assert_allclose(stresses, batch.stresses, atol=1e-13)
    assert np.count_nonzero(made[0].energy_weights) == 2 and np.count_nonzero(made[1].force_weights) == 4
    assert made[1].energy_weights[0] == pytest.approx(10.0)


def test_training_lowers_the_errors_and_reports_them(data, trained):
    later = train(data, replace(TINY, epochs=60, rate=0.02), seed=1)
    first, last = trained.history[0], later.history[-1]
    assert last[1] < 0.3 * first[1] and last[3] < 0.6 * first[3]
    assert later.train.errors()["all"]["forces"]["mae"] < 0.6 * trained.train.errors()["all"]["forces"]["mae"]
    assert trained.test.errors()["all"]["energy"]["count"] == 3
    readout = later.potential.terms[0].readout
    assert len(readout.lower) == readout.dimension and jp.extrapolations(later.potential, data[0].structure) == []


def test_errors_of_the_loop_are_those_of_the_potential(data):
    recipe = replace(TINY, epochs=1, validation=0.0, batch=20)
    found = train(data, recipe, seed=2)
    errors = found.train.errors()["all"]
    assert found.history[-1][2] == pytest.approx(errors["energy"]["mae"], rel=1e-4)
    assert found.history[-1][3] == pytest.approx(errors["forces"]["mae"], rel=1e-4)


@pytest.fixture(scope="module")
def several(data):
    return train(data, replace(TINY, members=3), seed=1)


def test_members_are_trained_together_and_averaged(data, several):
    structure = data[0].structure
    single = [float(jp.energy(several.committee[k], structure)) for k in range(3)]
    assert len(several.committee) == 3 and np.ptp(single) > 1e-3
    assert float(jp.energy(several.potential, structure)) == pytest.approx(np.mean(single), rel=1e-12)
    listed = jp.neighbors(structure, several.potential.cutoff)
    shared = several.committee.map(lambda p: jp.energy(p, structure, listed))
    np.testing.assert_allclose(shared, single, rtol=1e-12)


def test_bars_of_networks_are_the_spread_of_their_members(data, several):
    structure = data[0].structure
    found, bars = jp.evaluate(several.committee, structure), jp.std(several.posterior, structure)
    for name in ("energy", "energies", "forces", "stress"):
        spread = np.asarray(getattr(found, name)).std(0, ddof=1)
        np.testing.assert_allclose(getattr(bars.epistemic, name), spread, rtol=1e-8, atol=1e-12)
    strained = structure.strained(jnp.zeros((3, 3)).at[0, 1].set(0.05))

    def change(potential):
        return jp.energy(potential, strained) - jp.energy(potential, structure)

    found = jp.propagate(several.posterior, change)
    single = [float(change(several.committee[k])) for k in range(3)]
    assert float(found.std) == pytest.approx(np.std(single, ddof=1), rel=1e-8)


@pytest.mark.thorough
def test_bars_of_networks_are_calibrated_on_the_validation_frames(data, several):
    assert len(several.validation) == 3
    with pytest.raises(DataError, match="four frames"):
        jp.calibrate(several, data)
    found = train(data, replace(TINY, members=2, validation=0.4), seed=1)
    calibration = jp.calibrate(found, data)
    own = [data[k] for k in found.validation]
    bars = jp.std_many(calibration.apply(found.posterior), [f.structure for f in own])
    off = [np.asarray(jp.forces(found.potential, f.structure)) - f.forces for f in own]
    inside = [np.abs(d) < 1.645 * b.total.forces for d, b in zip(off, bars, strict=True)]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.02)
    single = train(data, replace(TINY, epochs=1), seed=1, predictions=False)
    with pytest.raises(DataError, match="a calibration needs error bars"):
        jp.calibrate(single, data)


@pytest.mark.slow  # trainings without each fold; of the command in the second tier
def test_bars_of_networks_are_calibrated_on_folds_that_no_network_has_seen(data, tmp_path, monkeypatch):
    recipe = replace(TINY, epochs=2, folds=3)
    path = tmp_path / "training.checkpoint"

    def killed(self):
        if len(self.names) == 2:  # batches of a fold, three of the whole
            raise KeyboardInterrupt
        keep(self)

    keep = descent.Descent._keep
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(descent.Descent, "_keep", killed)
        train(data, recipe, seed=1, predictions=False, checkpoint=path, keep_folds=True)
    said = []
    found = train(data, recipe, seed=1, predictions=False, checkpoint=path, keep_folds=True, progress=said.append)
    assert "going on from epoch 2" in said and not list(tmp_path.iterdir())
    parts = found.left_out()
    assert sorted(np.concatenate([members for members, _ in parts])) == list(range(len(data)))
    # Other labels of a fold do not matter to the networks that have not seen it, and do to the others.
    frames = [replace(f, forces=2.0 * f.forces) if k in parts[1][0] else f for k, f in enumerate(data)]
    changed = train(replace(data, frames=tuple(frames)), recipe, seed=1, predictions=False, keep_folds=True)
    same = [
        all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))
        for (_, one), (_, other) in zip(parts, changed.folds, strict=True)
    ]
    assert same == [False, True, False]
    assert jp.calibrate(found, data).count["energy"] == len(data)
    with pytest.raises(DataError, match="3 folds of 2 frames"):
        train(data[:2], recipe, keep_folds=True)


@pytest.mark.thorough
def test_bars_of_a_single_network_are_those_of_its_last_layer(data, trained):
    """The precision less that of the data, by derivatives of what is predicted, is a multiple of the unit matrix."""
    posterior = trained.posterior
    assert posterior.parameters == tuple(f"terms[0].readout.network.{name}[1]" for name in ("kernels", "biases"))
    rows = []
    for k in set(range(len(data))) - set(trained.validation):
        frame = data[k]
        listed = jp.neighbors(frame.structure, trained.potential.cutoff)
        slopes = jax.jacfwd(lambda theta, s=frame.structure, n=listed: jp.evaluate(posterior.with_parameters(theta), s, n))(
            posterior.mean
        )
        sigma = posterior.sigmas
        rows.append(np.asarray(slopes.energy)[None] / sigma["energy"] / np.sqrt(len(frame)))
        rows.append(np.asarray(slopes.forces).reshape(-1, 7) / sigma["forces"])
        rows.append(np.asarray(slopes.stress)[np.triu_indices(3)] / sigma["stress"])
    rows = np.concatenate(rows)
    factor = np.asarray(posterior.factor)
    prior = np.linalg.inv(factor @ factor.T) - rows.T @ rows
    np.testing.assert_allclose(prior, prior[0, 0] * np.eye(7), atol=1e-6 * prior[0, 0])
    assert prior[0, 0] > 0.0
    found = jp.std(posterior, data[0].structure)
    assert (found.parametric.forces > 0.0).all() and found.noise.forces[0, 0] == pytest.approx(sigma["forces"])


def test_last_layers_that_are_not_linear_have_no_bars(data, several):
    with pytest.raises(DataError, match="whose last layer is linear"):
        last_layer_posterior(several.potential, data)
    with pytest.raises(DataError, match="has no network whose last layer is linear"):
        last_layer_posterior(jp.potentials.StillingerWeber.silicon(), data)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "descriptors", [pytest.param(ATOMS, marks=pytest.mark.slow, id="atoms"), pytest.param(BONDS, id="bonds")]
)
def test_products_with_hessians_are_those_of_the_potential(descriptors):
    terms, (_, four, eight) = several_kinds(descriptors)
    structures = [four, four.moved(four.positions[::-1]), eight]  # one size twice: its program is there
    potential = sum(terms[1:], terms[0])
    rng = np.random.default_rng(5)
    targets = [
        (np.asarray(jp.hessian_vector_product(potential, s, u)), 0.5)
        for s, u in ((s, rng.normal(size=s.positions.shape)) for s in structures)
    ]
    described = [
        [
            frame_inputs(t.descriptor, *pair, np.float64, rng.normal(size=s.positions.shape))
            for s, pair in zip(structures, prepare_frames(structures, potential.cutoff), strict=True)
        ]
        for rng, t in ((np.random.default_rng(5), t) for t in terms)
    ]
    scalings = [(np.asarray(t.readout.shift), np.diag(t.readout.factor)) for t in terms]
    made = hessian_batches([[2, 0], [1], []], described, structures, targets, scalings, np.float64)
    functions = [lambda x, own=t.readout: own.offset + own.scale * own.network(x) for t in terms]
    for batch in made:
        np.testing.assert_allclose(hessian_products(functions, batch), batch.products, atol=1e-11)
    assert np.abs(made[0].products).max() > 0.1 and not made[2].weights.any()


@pytest.mark.thorough
def test_products_with_hessians_can_be_trained_on(data):
    oracle = jp.potentials.StillingerWeber.silicon()
    rng = np.random.default_rng(0)
    targets = []
    for k in range(3):
        structure, vector = data[k].structure, rng.normal(size=(4, 3))
        product = np.asarray(jp.hessian_vector_product(oracle, structure, vector))
        targets.append(jp.HessianProduct(structure, vector, product, 0.2))

    def error(found):
        differences = [jp.hessian_vector_product(found.potential, t.structure, t.vector) - t.product for t in targets]
        return float(np.mean(np.square(differences)))

    recipe = replace(TINY, epochs=60, rate=0.02, patience=100)
    without, found = (train(data, recipe, seed=1, predictions=False, curvatures=c) for c in ((), targets))
    assert error(found) < 0.5 * error(without)
    with pytest.raises(DataError, match="expected HessianProducts, got StrainCurvature"):
        train(data, TINY, curvatures=[jp.StrainCurvature(data[0].structure, np.eye(3), np.eye(3), 1.0, 1.0)])


@pytest.mark.parametrize("after", [1, 3])
def test_after_an_interruption_it_is_the_same_to_the_last_bit(data, trained, tmp_path, monkeypatch, after):
    path = tmp_path / "training.checkpoint"
    monkeypatch.setattr(descent, "_EVERY", -1.0)
    keep = descent.Descent._keep

    def killed(self):
        keep(self)
        if self.epoch == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(descent.Descent, "_keep", killed)
        train(data, TINY, test=data[:3], seed=1, checkpoint=path)
    said = []
    found = train(data, TINY, test=data[:3], seed=1, checkpoint=path, progress=said.append)
    assert f"going on from epoch {after}" in said and not path.exists()
    for one, other in zip(jax.tree.leaves(found.potential), jax.tree.leaves(trained.potential), strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.history == trained.history


def test_the_checkpoint_of_another_training_is_refused(data, tmp_path, monkeypatch):
    path = tmp_path / "training.checkpoint"
    monkeypatch.setattr(descent, "_EVERY", -1.0)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(training, "discard", _interrupt)
        train(data, TINY, seed=1, checkpoint=path)
    with pytest.raises(DataError, match="checkpoint of something else"):
        train(data, TINY, seed=2, checkpoint=path)


def _interrupt(file):
    raise KeyboardInterrupt


def test_fine_tuning_begins_where_it_was_and_freezes_layers(data, trained):
    gentle = replace(TINY, rate=1e-12, epochs=1)
    structure = data[0].structure
    found = train(data, gentle, start=trained, seed=5)
    assert float(jp.energy(found.potential, structure)) == pytest.approx(
        float(jp.energy(trained.potential, structure)), rel=1e-6
    )
    found = train(data, replace(TINY, epochs=2), start=trained.potential, frozen=(0,), seed=5)
    before, after = (f.potential.terms[0].readout.network for f in (trained, found))
    np.testing.assert_allclose(after.kernels[0], before.kernels[0], rtol=1e-5)  # single precision
    assert np.abs(after.kernels[1] - before.kernels[1]).max() > 1e-3


def test_several_members_go_on_each_from_its_own(data):
    two = replace(TINY, members=2)
    several = train(data, two, seed=1)
    found = train(data, replace(two, rate=1e-12, epochs=1), start=several, seed=5)
    for k in range(2):
        values = [float(jp.energy(f.committee[k], data[0].structure)) for f in (several, found)]
        assert values[1] == pytest.approx(values[0], rel=1e-6)
    with pytest.raises(DataError, match="start has 2 networks for an element, but members=1"):
        train(data, TINY, start=several)
    with pytest.raises(DataError, match="frozen: expected a whole number from 0 to 1"):
        train(data, two, start=several, frozen=(7,))


@pytest.mark.thorough
def test_networks_of_bonds_are_trained(data):
    recipe = replace(TINY, reads="bonds", radial=4, epochs=60, rate=0.02)
    found = train(data, recipe, seed=1)
    assert isinstance(found.potential.terms[0].descriptor, Bond) and found.posterior is not None
    assert found.history[-1][1] < 0.3 * found.history[0][1]
    again = train(data, replace(recipe, epochs=1, rate=1e-12), start=found, seed=1)
    assert float(jp.energy(again.potential, data[0].structure)) == pytest.approx(
        float(jp.energy(found.potential, data[0].structure)), rel=1e-6
    )
    with pytest.raises(DataError, match="reads: expected atoms, bonds or hops"):
        replace(TINY, reads="pairs")


def test_bonds_that_no_frame_has_cannot_be_trained():
    dimer = jp.Structure([[0, 0, 0], [1.7, 0, 0]], np.zeros((3, 3)), ["Si", "C"], pbc=False)
    frames = [jp.Frame(dimer.moved(dimer.positions * s), energy=s, forces=np.zeros((2, 3))) for s in (0.9, 1.0, 1.1)]
    with pytest.raises(DataError, match=r"Bond\(C-C, .* sees nothing in any frame"):
        train(jp.Dataset.of(frames, {"Si": 0.0, "C": 0.0}), replace(TINY, reads="bonds"))


def test_products_of_other_elements_are_refused(data):
    carbon = jp.Structure(data[0].structure.positions, data[0].structure.cell, ["C"] * 4)
    target = jp.HessianProduct(carbon, np.ones((4, 3)), np.ones((4, 3)), 1.0)
    with pytest.raises(DataError, match="curvatures: a target contains C, the training set Si"):
        train(data, TINY, curvatures=[target])


def test_a_baseline_is_added(data):
    baseline = jp.potentials.ZBL(1.5, 2.6)
    found = train(data, TINY, baseline=baseline, seed=1)
    assert any(type(term).__name__ == "ZBL" for term in found.potential.terms)
    errors = found.train.errors()["all"]
    assert np.isfinite(errors["energy"]["mae"])


def test_a_loss_that_is_not_a_number_names_the_frames(data):
    with pytest.raises(ConvergenceError, match=r"epoch \d+, in the batch of frames \d") as caught:
        train(data, replace(TINY, rate=1e30, epochs=5), seed=1)
    assert np.isfinite(float(jp.energy(caught.value.best, data[0].structure)))


@pytest.mark.parametrize(
    "change, said",
    [
        ({"epochs": 0}, "epochs"), ({"rate": -1.0}, "rate"), ({"validation": 1.0}, "validation"),
        ({"average": -0.1}, "average"), ({"members": 0}, "members"), ({"batch": 1.5}, "batch"),
        ({"radial": 0}, "radial"), ({"activation": "sine"}, "activation: expected one of"),
    ],
)
def test_what_cannot_be_trained(data, change, said):
    with pytest.raises(DataError, match=said):
        train(data, replace(TINY, **change))


def test_other_wrong_arguments(data, trained):
    with pytest.raises(DataError, match="gap: expected one of neural networks"):
        train(data, "gap")
    with pytest.raises(DataError, match="expected what was trained, a potential"):
        train(data, TINY, start=[])
    with pytest.raises(DataError, match="expected a Dataset"):
        train(list(data), TINY)


def test_networks_of_flax_can_be_read(data):
    """Any callable pytree is a network: a module of nnx, too."""
    from flax import nnx

    class Module(nnx.Module):
        def __init__(self, width, rngs):
            self.first, self.last = nnx.Linear(width, 4, rngs=rngs), nnx.Linear(4, 1, rngs=rngs)

        def __call__(self, x):
            return self.last(jnp.tanh(self.first(x)))[0]

    descriptor = SymmetryFunctions.automatic(None, 3.4, 3, 2)
    width = descriptor.dimension
    network = Module(width, nnx.Rngs(0))
    potential = Described(descriptor, Neural(network, np.zeros(width), np.ones(width)), ("Si",))
    structure = data[0].structure
    own = MLP(
        (network.first.kernel[...], network.last.kernel[...]), (network.first.bias[...], network.last.bias[...]),
        ("tanh", "identity"),
    )
    found, expected = (
        jp.evaluate(Described(descriptor, Neural(n, np.zeros(width), np.ones(width)), ("Si",)), structure)
        for n in (network, own)
    )
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-6)
    assert np.abs(jp.forces(potential, structure)).max() > 1e-3
