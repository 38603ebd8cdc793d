"""Potentials of several hops are trained by evaluating padded batches of frames."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import MODELS, equivariant

import jaxpot as jp
from jaxpot.data.targets import Sigmas, fit_targets
from jaxpot.errors import DataError, PrecisionError
from jaxpot.fitting.networks.beginnings import copies, moving
from jaxpot.fitting.networks.descent import MEASURES, _loss, optimiser
from jaxpot.fitting.networks.evaluated import frame_batches, product_batches
from jaxpot.fitting.networks.evaluated_loss import EvaluatedLoss
from jaxpot.fitting.networks.replay import with_replay

TRUTH = MODELS["two hops with angles"][0]()
CRYSTAL = MODELS["two hops with angles"][1]
GOLD = jp.Structure(CRYSTAL.positions, CRYSTAL.cell, ["Au", "Au"])
CLUSTER = jp.Structure(CRYSTAL.positions, np.zeros((3, 3)), CRYSTAL.numbers, pbc=False)


def recipe(members=1, **options):
    given = {"epochs": 150, "batch": 4, "rate": 0.02, "validation": 0.2, "patience": 200, "average": 0.9} | options
    return jp.NetworkRecipe(members=members, sigmas=Sigmas(0.001, 0.02, 0.001), **given)


def disturbed(seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: np.asarray(a) * (1.0 + 0.2 * rng.normal(size=np.shape(a))), TRUTH)


@pytest.fixture(scope="module")
def data():
    large, small = CRYSTAL.repeated((2, 1, 1)), CRYSTAL
    frames = [*jp.draw_dataset(TRUTH, large, 10, 0), *jp.draw_dataset(TRUTH, small, 5, 1)]
    return jp.Dataset.of(frames, e0=dict.fromkeys(np.unique(CRYSTAL.numbers).tolist(), 0.0))


@pytest.fixture(scope="module")
def trained(data):
    return jp.train(data, recipe(members=3), start=[disturbed(k) for k in range(3)])


def test_a_batch_is_what_each_frame_is_alone(data):
    """Energies, forces and stresses; and the gradient of the loss by the parameters, by differences."""
    frames, potential = [0, 12, 3], disturbed(7)
    targets = fit_targets(data, None)
    batch, spare = frame_batches([frames, []], data, targets, recipe().sigmas, potential.cutoff, np.float64)
    energies, forces, stresses = EvaluatedLoss().predict((potential,), batch)
    size = len(forces) // 3
    for n, k in enumerate(frames):
        alone = jp.evaluate(potential, data[k].structure)
        count = len(data[k])
        assert float(energies[n]) == pytest.approx(float(alone.energy) / count, rel=1e-12)
        np.testing.assert_allclose(forces[n * size : n * size + count], alone.forces, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(stresses[n], alone.stress, rtol=1e-9, atol=1e-14)
        assert not np.any(forces[n * size + count : (n + 1) * size])
    assert not any(np.any(a) for a in (spare.energy_weights, spare.force_weights, spare.stress_weights))

    check_gradient(potential, lambda potential: _loss(EvaluatedLoss(), (potential,), batch))


def check_gradient(potential, loss):
    """Gradient of a loss by the parameters against differences of its values."""
    direction = jax.tree.map(lambda a: np.random.default_rng(2).normal(size=np.shape(a)) * np.asarray(a), potential)
    slopes = jax.grad(loss)(potential)
    along = sum(np.vdot(a, b) for a, b in zip(jax.tree.leaves(slopes), jax.tree.leaves(direction), strict=True))
    h = 1e-5
    values = [float(loss(jax.tree.map(lambda a, d, s=s: a + s * d, potential, direction))) for s in (h, -h)]
    assert along == pytest.approx((values[0] - values[1]) / (2.0 * h), rel=1e-6)


def products(count, sigma=0.05):
    """Products of the Hessian of the truth with random displacements, of two sizes of crystals."""
    random, targets = np.random.default_rng(5), []
    for k in range(count):
        structure = CRYSTAL.repeated((1 + k % 2, 1, 1))
        vector = 0.05 * random.normal(size=(len(structure), 3))
        targets.append(jp.HessianProduct(structure, vector, jp.hessian_vector_product(TRUTH, structure, vector), sigma))
    return targets


def test_products_of_hessians_are_trained_on(data):
    targets, potential = products(3), disturbed(7)
    batch, _ = product_batches([[0, 1], [2]], targets, TRUTH, potential.cutoff, np.float64)
    assert np.abs(batch.products).max() < 1e-12  # nothing is left beside the truth
    batch, spare = product_batches([[0, 1], [2]], targets, None, potential.cutoff, np.float64)
    values = np.asarray(EvaluatedLoss().hessian_products((potential,), batch)).reshape(2, -1, 3)
    for value, target in zip(values, targets, strict=False):
        alone = jp.hessian_vector_product(potential, target.structure, target.vector)
        np.testing.assert_allclose(value[: len(alone)], alone, rtol=1e-8, atol=1e-10)
    assert np.count_nonzero(spare.weights) == len(targets[2].structure)

    def loss(potential):
        off = EvaluatedLoss().hessian_products((potential,), batch) - batch.products
        return (batch.weights[:, None] ** 2 * off**2).sum()

    check_gradient(potential, loss)


@pytest.mark.slow  # two trainings; the test above it is of the gradient
def test_products_of_hessians_bring_those_of_the_potential_closer(data):
    targets = products(3)

    def error(trained):
        return np.abs(jp.hessian_vector_product(trained, targets[0].structure, targets[0].vector) - targets[0].product)

    forces_alone, with_products = (
        jp.train(data[:4], recipe(epochs=60), start=disturbed(0), curvatures=some).potential for some in ([], targets)
    )
    assert error(with_products).mean() < error(forces_alone).mean()


def test_it_learns_what_has_made_the_data(trained, data):
    before = np.mean([np.abs(jp.forces(disturbed(0), frame.structure) - frame.forces).mean() for frame in data[:4]])
    after = np.mean([np.abs(jp.forces(trained.potential, frame.structure) - frame.forces).mean() for frame in data[:4]])
    assert after < 0.1 * before
    assert trained.history[0][1] > 20.0 * trained.history[-1][1]


def test_members_are_a_committee_with_bars(trained, data):
    assert len(trained.committee) == 3
    structure = data[0].structure
    forces = np.stack([jp.forces(trained.committee[k], structure) for k in range(3)])
    np.testing.assert_allclose(jp.forces(trained.potential, structure), forces.mean(0), rtol=1e-9, atol=1e-10)
    bars = jp.std(trained.posterior, structure)
    np.testing.assert_allclose(bars.parametric.forces, forces.std(0, ddof=1), rtol=1e-6, atol=1e-9)
    assert len(trained.left_out()) == 1


@pytest.mark.slow
def test_members_in_turn_are_those_all_at_once(data, monkeypatch):
    """The first on CPUs, the second elsewhere."""
    some, short = data[:4], recipe(members=2, epochs=2)
    in_turn = jp.train(some, short, start=[disturbed(0), disturbed(1)], predictions=False)
    monkeypatch.setattr(EvaluatedLoss, "apart", False)
    at_once = jp.train(some, short, start=[disturbed(0), disturbed(1)], predictions=False)
    np.testing.assert_allclose(in_turn.history, at_once.history, rtol=1e-3)  # single precision


@pytest.mark.slow  # of the other trainings in the first tier
def test_it_goes_on_after_an_interruption(data, tmp_path, monkeypatch):
    from jaxpot.fitting.networks import descent

    short = recipe(epochs=4)
    whole = jp.train(data, short, start=disturbed(1))
    monkeypatch.setattr(descent, "_EVERY", 0.0)
    path = tmp_path / "training.partial"

    def stop(text):
        if path.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(descent, "_SAY", 0.0)
    with pytest.raises(KeyboardInterrupt):
        jp.train(data, short, start=disturbed(1), checkpoint=path, progress=stop)
    again = jp.train(data, short, start=disturbed(1), checkpoint=path)
    for one, other in zip(jax.tree.leaves(whole.potential), jax.tree.leaves(again.potential), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not path.exists() and whole.posterior is None


@pytest.mark.parametrize(("start", "options", "says"), [
    ([TRUTH, TRUTH], {}, "2 potentials, but members=1"),
    (["two hops"], {}, "expected what was trained, a potential, or a list"),
    ([], {}, "expected what was trained"),
    (TRUTH, {"frozen": (0,)}, "no array of the start is called 0"),
    (jp.potentials.StillingerWeber.silicon(), {}, "does not know all elements"),
    (MODELS["charges in a crystal"][0](), {}, "prepares a plan"),
    (TRUTH, {"keep_folds": True}, "members=2 or more"),
])
def test_what_cannot_be_trained_is_refused(start, options, says, data):
    with pytest.raises(DataError, match=says):
        jp.train(data, recipe(), start=start, **options)


def test_what_single_precision_would_ruin_is_not_trained():
    made_of, crystal = MODELS["gap, soap"]
    truth = made_of()
    data = jp.Dataset.of(list(jp.draw_dataset(truth, crystal, 4, 0)), e0={14: 0.0})
    with pytest.raises(PrecisionError, match="again with the new data"):
        jp.train(data, recipe(), start=truth)


def test_kinds_of_periodicity_are_trained_apart(data):
    frame = data[0]
    slab = jp.Structure(frame.structure.positions, frame.structure.cell, frame.structure.numbers, pbc=(True, True, False))
    mixed = data.with_frames([type(frame)(slab, energy=0.0)])
    with pytest.raises(DataError, match="different periodicity"):
        jp.train(mixed, recipe(), start=TRUTH)


def test_what_was_trained_as_a_whole_is_no_start_but_its_members_are(trained, data):
    with pytest.raises(DataError, match=r"committee\[k\].terms\[0\]"):
        jp.train(data, recipe(members=3), start=trained)
    members = [trained.committee[k].terms[0] for k in range(3)]
    again = jp.train(data, recipe(members=3, epochs=2, rate=1e-5), start=members)
    assert again.history[0][1] < 0.2 * trained.history[0][1]


def test_a_checkpoint_knows_what_is_no_array(data):
    """Number of hops, cutoffs and functions are static: they stand in the text of a tree, not among its leaves."""
    from jaxpot.fitting.networks.descent import identity

    shorter = TRUTH.replace(cutoff=0.9 * TRUTH.cutoff)
    texts = [identity(data, recipe(), None, [model], 0) for model in (TRUTH, disturbed(0), shorter)]
    assert len(set(texts)) == 3
    assert identity(data, recipe(), None, [TRUTH], 0) == texts[0]

    def model():
        return jax.tree_util.Partial(lambda x: x)

    assert identity(data, recipe(), None, [model()], 0) == identity(data, recipe(), None, [model()], 0)


# Networks from nothing, and models that were trained elsewhere ------------------------------------------------------


@pytest.mark.slow
def test_recipes_of_hops_begin_with_random_networks(data):
    small = recipe(2, epochs=3, reads="hops", channels=(4, 2), hops=1, radial=3, hidden=(4,), cutoff=1.4)
    result = jp.train(data, small)
    network = result.committee[0].terms[0]
    assert network.hops == 1 and network.interactions[0].channels == (4,) and network.cutoff < 1.5 * 2.6
    assert len(result.committee) == 2 and result.posterior is not None and len(result.history) == 3
    alone = jp.train(data[:4], replace(small, members=1, epochs=1))
    assert alone.posterior.parameters == ("terms[0].readout",)
    assert jax.tree.structure(small.unfitted(data).terms[0]) == jax.tree.structure(0.5 * network)


def test_a_recipe_of_schnet_trains_one(data):
    small = replace(
        jp.read_recipe("schnet"), epochs=15, batch=4, rate=0.02, members=1, channels=(4,), hops=2, radial=4, hidden=(4,),
        cutoff=1.4,
    )
    result = jp.train(data, small, predictions=False)
    network = result.potential.terms[0]
    assert isinstance(network, jp.potentials.SchNet) and network.hops == 2 and network.embedding.shape == (1, 4)
    first, last = (result.history[k][1] for k in (0, -1))
    assert last < 0.3 * first


@pytest.mark.slow  # that of schnet stands for it
def test_a_recipe_of_mace_trains_one(data):
    small = recipe(
        epochs=15, reads="hops", architecture="mace", channels=(2,), hops=1, radial=3, hidden=(3,), cutoff=1.4
    )
    result = jp.train(data, small, predictions=False)
    network = result.potential.terms[0]
    assert isinstance(network, jp.potentials.MACE) and network.hops == 1 and network.embedding.shape == (1, 2)
    first, last = (result.history[k][1] for k in (0, -1))
    assert last < 0.3 * first


def test_a_published_model_counts_energies_from_its_own_zero(data):
    (element,) = data.species
    frames = [replace(f, energy=f.energy + 0.7 * len(f)) for f in data]
    shifted = jp.Dataset.of(frames, e0={element: 0.0})
    result = jp.train(shifted, recipe(2, epochs=2, rate=1e-4), start=TRUTH, pretrained=True, frozen=["mixing"])
    assert result.e0[element] == pytest.approx(0.7, abs=0.02) and "the start leaves" in result.e0_origin
    first, second = (result.committee[k].terms[0] for k in range(2))
    assert not np.array_equal(first.weights, second.weights)  # copies are a hundredth apart
    ratio = np.asarray(first.weights) / np.asarray(TRUTH.weights)
    assert 1e-4 < np.abs(ratio - 1.0).max() < 0.06
    assert np.abs(np.asarray(first.mixing) / np.asarray(copies(TRUTH, 2, 0)[0].mixing) - 1.0).max() < 1e-6  # frozen
    assert np.abs(result.posterior.factor).max() > 0.0


@pytest.mark.slow
def test_replay_keeps_what_a_published_model_says_of_other_structures(data):
    """Beside data that say otherwise; from the zero of energy of these, and without a part in errors and stopping."""
    (element,) = data.species
    others = [frame.structure for frame in jp.draw_dataset(TRUTH, CRYSTAL.strained(-0.06 * np.eye(3)), 6, 5)]
    published, how = disturbed(1), {"pretrained": True, "predictions": False}
    seen = with_replay(replace(data, e0={element: 0.5}), others, [published], None)
    assert [frame.config_type for frame in seen[len(data) :]] == ["replay"] * 6 and seen.e0 == {element: 0.5}
    expected = jp.evaluate(published, others[0])
    assert seen[len(data)].energy == pytest.approx(float(expected.energy) + 0.5 * len(others[0]), abs=1e-9)
    np.testing.assert_allclose(seen[len(data)].stress, expected.stress, atol=1e-12)

    short = recipe(epochs=30, patience=100)
    alone, kept = (jp.train(data, short, start=published, replay=r, **how) for r in ((), others))
    assert kept.validation == alone.validation and kept.e0 == alone.e0

    def forgotten(result):
        forces = [jp.forces(result.potential, s) - jp.forces(published, s) for s in others]
        return np.sqrt(np.mean(np.square(forces)))

    assert forgotten(kept) < 0.7 * forgotten(alone)


def test_steps_are_in_units_of_what_they_change():
    units = moving(TRUTH, ["depth"], relative=True)
    assert units.depth == 0.0 and units.mixing == pytest.approx(np.sqrt(np.mean(np.asarray(TRUTH.mixing) ** 2)))
    assert moving(TRUTH, []).mixing == 1.0


def test_numbers_that_cancel_stay():
    """The radial functions of an ACE: coefficients of a million, whose sums are of size 1."""
    expansion = MODELS["ace, two elements"][0]()
    for relative in (True, False):
        units = moving(expansion, [], relative)
        described = next(term for term in getattr(units, "terms", (units,)) if hasattr(term, "descriptor"))
        assert described.descriptor.coefficients == (0.0 if relative else 1.0) and described.readout.weights > 0.0
    one, other = copies(expansion, 2, seed=0)
    first, second = (
        next(term for term in getattr(copy, "terms", (copy,)) if hasattr(term, "descriptor")) for copy in (one, other)
    )
    np.testing.assert_array_equal(first.descriptor.coefficients, second.descriptor.coefficients)
    assert not np.array_equal(first.readout.weights, second.readout.weights)


def test_energies_of_elements_take_small_steps():
    """e0 is in their place, and a step of one moves the energies of all frames."""
    network = MODELS["nequip, two elements, without parity"][0]()
    network = network.replace(shift=network.shift + 5.0)
    for relative in (True, False):
        units = moving(network, [], relative)
        assert units.shift == 0.01 and units.readout > 0.1
    assert moving(network, ["shift"]).shift == 0.0


def test_the_loss_of_huber_is_linear_where_errors_are_large():
    errors = jnp.array([-3.0, -0.5, 0.0, 1.0, 10.0])
    np.testing.assert_allclose(MEASURES["huber"](errors), [5.0, 0.25, 0.0, 1.0, 19.0])
    np.testing.assert_allclose(jax.vmap(jax.grad(MEASURES["huber"]))(errors), [-2.0, -1.0, 0.0, 2.0, 2.0])


def test_steps_of_muon_have_singular_values_that_are_alike():
    random = np.random.default_rng(0)
    weights = {"matrix": jnp.array(random.normal(size=(6, 4))), "row": jnp.ones(4), "none": jnp.zeros((0, 4))}
    gradient = jax.tree.map(lambda a: jnp.array(random.normal(size=a.shape) * 3.0 ** -np.arange(a.shape[-1])), weights)
    descent = optimiser("muon", 0.01, 100)
    change, _ = descent.update(gradient, descent.init(weights), weights)
    values = np.linalg.svd(change["matrix"], compute_uv=False)
    assert values.max() < 2.0 * values.min() and np.sum(change["matrix"] * gradient["matrix"]) < 0.0
    assert np.sqrt(np.mean(np.square(change["matrix"]))) == pytest.approx(0.2 * 0.01, rel=0.3)
    first = np.asarray(change["row"] * -np.sign(gradient["row"]))  # Adam's, with Nesterov's momentum
    assert 0.01 < first.min() and np.ptp(first) < 1e-6
    assert change["none"].shape == (0, 4)


@pytest.mark.slow  # two trainings; the test above it is of the function
def test_frames_far_off_count_less_in_the_loss_of_huber(data):
    """One frame with labels that are wrong: training by squares follows it, that by Huber's loss hardly."""
    random = np.random.default_rng(0)
    frames = [replace(f, forces=f.forces + (k == 2) * random.normal(size=f.forces.shape)) for k, f in enumerate(data[:8])]
    spoiled = jp.Dataset.of(frames, e0=data.e0)
    errors = {}
    for loss in MEASURES:
        small = recipe(epochs=60, validation=0.0, loss=loss)
        trained = jp.train(spoiled, small, start=disturbed(1), predictions=False).potential
        errors[loss] = np.mean([np.abs(jp.forces(trained, f.structure) - f.forces).mean() for f in data[8:]])
    assert errors["huber"] < 0.7 * errors["squared"]


@pytest.mark.parametrize(("options", "message"), [
    ({"start": TRUTH, "frozen": ["mix"]}, "no array of the start is called 'mix'; they begin with depth, mixing, weights"),
    ({"start": TRUTH, "frozen": ["mixing", "weights", "depth"]}, "nothing is left to be trained"),
    ({"pretrained": True}, "pretrained is for the start from a potential that reads no descriptor"),
    ({"frozen": ["mixing"]}, "of networks expected numbers of layers"),
    ({"start": TRUTH, "replay": [CRYSTAL]}, "replay keeps what a published model knew"),
    ({"start": TRUTH, "pretrained": True, "replay": [CLUSTER]}, "expected structures of the periodicity of the data"),
    ({"start": equivariant("Cu"), "pretrained": True, "replay": [GOLD]}, "replay: the start does not know Au"),
])
def test_what_cannot_be_fine_tuned(data, options, message):
    with pytest.raises(DataError, match=message):
        jp.train(data, recipe(epochs=1), **options)
