"""A model that is linear in its weights and no Gaussian process is fitted, has bars, and chooses data like one."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from oracle import silicon

import jaxpot as jp
from jaxpot.data.targets import Sigmas, labels_minus
from jaxpot.kernels import DotProduct, SquaredExponential
from jaxpot.readouts import MLP, Averaged, Linear, Neural, SparseGP
from jaxpot.readouts.base import Readout
from jaxpot.uncertainty.site_variance import VariancePotential
from jaxpot.units import fs

RNG = np.random.default_rng(4)
FEATURES = {"descriptor": "soap", "readout": "linear", "cutoff": 3.6, "n_max": 3, "l_max": 2, "atom_sigma": 0.5}
PAIR = {"descriptor": "distance_2b", "cutoff": 3.2, "theta": 0.7, "sparse_points": 5, "sparse_method": "uniform"}
RECIPE = jp.fitting.Recipe((FEATURES,), Sigmas(0.003, 0.05, 0.002), choice="fixed", units="A", folds=2)
MIXED = replace(RECIPE, terms=(FEATURES, PAIR))
SIZE = 5


def mlp(activations=("tanh", "identity"), normalised=False):
    kernels = RNG.normal(size=(SIZE, 3)), RNG.normal(size=(3, 1))
    return MLP(kernels, (RNG.normal(size=3), RNG.normal(size=1)), activations, normalised)


def network(*networks, **options):
    given = networks[0] if networks else mlp(**options)
    if len(networks) > 1:
        given = Averaged(jax.tree.map(lambda *a: jnp.stack(a), *networks))
    return Neural(given, RNG.normal(size=SIZE), RNG.normal(size=SIZE), 0.3, 1.7)


def process(kernel, weights=None):
    return SparseGP(kernel, RNG.normal(size=(4, SIZE)), RNG.normal(size=4), 0.8, weights)


READOUTS = {
    "linear": Linear(RNG.normal(size=SIZE), 0.7),
    "dot products": process(DotProduct(2)),
    "squared exponential, weighted points": process(SquaredExponential(1.3), RNG.uniform(size=4)),
    "network": network(),
    "normalised network": network(normalised=True),
    "mean of networks": network(mlp(), mlp()),
}


@pytest.mark.parametrize("name", READOUTS)
def test_features_are_derivatives_of_the_energy_by_the_weights(name):
    readout = READOUTS[name]
    vectors, weights = RNG.normal(size=(3, SIZE)), RNG.uniform(size=3)
    slopes, weight_slopes = RNG.normal(size=(3, 2, SIZE)), RNG.normal(size=(3, 2))
    np.testing.assert_allclose(
        readout.features(vectors, weights), Readout.features(readout, vectors, weights), rtol=1e-12, atol=1e-13
    )
    assert readout.n_features == len(readout.features(vectors, weights))
    for k in range(2):  # of one instance at a time
        for i in range(3):
            one = np.arange(3) == i
            _, expected = jax.jvp(
                readout.features, (vectors, weights), (one[:, None] * slopes[:, k], one * weight_slopes[:, k])
            )
            values, changes = readout.feature_changes(vectors, weights, slopes, weight_slopes)
            np.testing.assert_allclose(changes[i, k], expected, rtol=1e-11, atol=1e-12)
            np.testing.assert_allclose(values, readout.features(vectors, weights), rtol=1e-12, atol=1e-13)


def test_a_network_with_a_curved_last_layer_has_no_weights():
    assert network(activations=("tanh", "tanh")).weight_mask() is None
    assert network(activations=("tanh", "tanh")).n_features == 0


@pytest.fixture(scope="module")
def data():
    return silicon(6)


@pytest.fixture(scope="module")
def fitted(data):
    return jp.fit(data, RECIPE)


@pytest.fixture(scope="module")
def mixed(data):
    return jp.fit(data, MIXED)


def flat(dataset, columns):
    """Energies, forces and stresses of frames over their sigmas, one after the other."""
    rows = []
    for frame, (energy, forces, stress) in zip(dataset, columns, strict=True):
        rows.append(np.atleast_1d(energy) / (0.003 * np.sqrt(len(frame))))
        rows.append(np.asarray(forces).reshape(3 * len(frame), *np.shape(forces)[2:]) / 0.05)
        rows.append(np.asarray(stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / 0.002)
    return np.concatenate(rows)


def test_the_weights_are_those_of_ridge_regression(fitted, data):
    """By evaluating the potential for each weight alone, and the normal equations."""
    term = fitted.potential.terms[1]
    start = term.replace(readout=Linear.untrained(term.n_features, 1.0))
    columns = []
    for unit in np.eye(term.n_features):
        alone = start.replace(readout=start.readout.replace(weights=jnp.asarray(unit)))
        values = [jp.evaluate(alone, frame.structure) for frame in data]
        columns.append(flat(data, [(v.energy, v.forces, v.stress) for v in values]))
    rows = np.array(columns).T
    targets = flat(data, list(zip(*labels_minus(data, fitted.potential.terms[0]), strict=True)))
    inverse = np.linalg.inv(rows.T @ rows + np.eye(rows.shape[1]))
    np.testing.assert_allclose(term.readout.weights, inverse @ rows.T @ targets, rtol=1e-6, atol=1e-8)
    factor = np.asarray(fitted.posterior.factor)
    np.testing.assert_allclose(factor @ factor.T, inverse, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(fitted.posterior.mean, term.readout.weights, rtol=1e-12)
    assert fitted.posterior.parameters == ("terms[1].readout.weights",) and fitted.jitter == (None,)


@pytest.mark.parametrize("choice", ["evidence", "cross-validation"])
def test_scales_that_were_chosen_keep_the_energy(choice, data):
    fit = jp.fit(data, replace(MIXED, choice=choice))
    frame, posterior = data[0], fit.posterior
    assert fit.deltas != (1.0, 1.0)
    energy = float(jp.energy(fit.potential, frame.structure))
    assert abs(energy - frame.energy) < 0.05 * len(frame)
    assert float(jp.energy(posterior.potential, frame.structure)) == pytest.approx(energy, abs=1e-7)
    # The prior of the weights is N(0, 1) for the delta of the fit: data only take from it.
    width = fit.potential.terms[1].n_features
    assert np.linalg.norm(np.asarray(posterior.factor)[:width], 2) < 1.0 + 1e-9


def test_bars_are_those_of_forward_derivatives(fitted, data):
    from jaxpot.checks import prepare_padded
    from jaxpot.uncertainty.deviations import _spread_of_any

    structure = data[1].structure
    deviations = jp.std(fitted.posterior, structure)
    n, (_, *padded) = prepare_padded(fitted.potential, structure, None)
    spread = _spread_of_any(fitted.posterior, *padded)
    for name in ("energy", "energies", "forces", "stress"):
        expected = np.sqrt((np.asarray(getattr(spread, name)) ** 2).sum(-1))
        expected = expected[:n] if name in ("energies", "forces") else expected
        np.testing.assert_allclose(getattr(deviations.parametric, name), expected, rtol=1e-9)
        assert not np.any(getattr(deviations.residual, name))


@pytest.mark.parametrize("which", ["fitted", "mixed"])
def test_the_variance_of_sites_is_a_potential(which, data, request):
    posterior, structure = request.getfixturevalue(which).posterior, data[1].structure
    sites = jp.variance(posterior, structure)
    assert np.any(np.asarray(sites.residual)) == (which == "mixed")
    deviations = jp.std(posterior, structure)
    np.testing.assert_allclose(sites.sites, deviations.epistemic.energies**2, rtol=1e-6)
    biased = jp.evaluate(VariancePotential.of(posterior), structure)
    np.testing.assert_allclose(biased.energies, sites.sites, rtol=1e-6, atol=2e-12)  # of a prior of 1 eV^2
    traced = jax.jit(lambda p: jp.energy(VariancePotential.of(p), structure))(posterior)
    assert float(traced) == pytest.approx(float(biased.energy), rel=1e-6, abs=2e-11)


def test_d_optimality_grades_what_is_far(fitted, data):
    known = jp.ActiveSet.of(fitted.potential, [frame.structure for frame in data])
    inside = [known.grades(frame.structure).max() for frame in data]
    assert max(inside) <= 1.02 + 1e-6
    squeezed = data[0].structure.strained(-0.08 * np.eye(3))
    assert known.grades(squeezed).max() > 2.0
    with pytest.raises(jp.errors.DataError, match="needs a descriptor with one vector"):
        known.distances(squeezed)


def test_frames_are_selected_by_what_they_tell(fitted, data):
    posterior = fitted.posterior
    candidates = [frame.structure for frame in data[:3]] + [data[0].structure.strained(0.06 * np.eye(3))]
    chosen, nats = jp.select_frames(posterior, None, candidates, 2)
    assert chosen[0] == 3 and nats[0] > nats[1]
    assert jp.select_batch(posterior, candidates, 2) == chosen
    target = jp.propagate(posterior, lambda p: jp.energy(p, candidates[3]))
    chosen, left = jp.select_frames(posterior, target, candidates, 1)
    assert chosen == [3] and left[0] < target.std


def test_a_property_that_is_relaxed_has_a_bar(fitted):
    crystal = jp.relax(fitted.potential, bulk("Si", a=5.43), cell=True).structure
    volume = jp.propagate(fitted.posterior, lambda p, s: s.volume, crystal)
    draws = [jp.relax(p, crystal, cell=True).structure.volume for p in
             (fitted.posterior.at(0.1 * z) for z in np.random.default_rng(0).normal(size=(40, len(fitted.posterior.mean))))]
    assert float(volume.std) == pytest.approx(10.0 * np.std(draws), rel=0.35)


@pytest.mark.thorough
def test_it_learns_on_the_fly(data, tmp_path):
    oracle = jp.potentials.StillingerWeber.silicon()
    start = jp.Structure.of(bulk("Si", a=5.431)).repeated((2, 2, 2))
    few = jp.draw_dataset(oracle, start, 3, 0, strain=0.005, displacements=0.02)

    def warming(potential):
        return jp.md.Langevin(potential, 2.0 * fs, jp.md.Ramp(100.0, 1500.0, 200), 0.05 / fs)

    recipe = replace(RECIPE, terms=(FEATURES | {"n_max": 4, "l_max": 3},))
    posterior = jp.fit(few, recipe).posterior
    known = max(np.sqrt(jp.variance(posterior, frame.structure).sites).max() for frame in few)
    for signal, threshold in (("deviation", 2.0 * known), ("grade", 2.0)):
        learned = jp.learn_on_the_fly(
            few, oracle, start, warming, 200, recipe=recipe, signal=signal, threshold=threshold, budget=2, every=10,
            folder=tmp_path / signal,
        )
        assert len(learned.log) >= 1 and all(entry["signal"] > learned.threshold for entry in learned.log)
        assert jp.load(tmp_path / signal / "model.posterior").parameters == ("terms[1].readout.weights",)


@pytest.mark.thorough
def test_evidence_has_a_gradient(data):
    evidence = jp.fitting.evidence(data, MIXED)
    assert set(evidence.gradient) == {
        "sigma.energy", "sigma.forces", "sigma.stress", "term 1.delta", "term 1.atom_sigma", "term 2.delta",
        "term 2.theta",
    }
    for key in ("delta", "atom_sigma"):
        values = []
        for step in (1e-3, -1e-3):
            tables = (FEATURES | {key: FEATURES.get(key, 1.0) * np.exp(step)}, PAIR)
            options = {"environments": evidence.environments, "gradient": False}
            values.append(jp.fitting.evidence(data, replace(MIXED, terms=tables), **options).value)
        assert evidence.gradient[f"term 1.{key}"] == pytest.approx((values[0] - values[1]) / 2e-3, rel=1e-4)


def test_recipes_say_what_they_do_not_have(tmp_path):
    path = tmp_path / "wrong.toml"
    for line, says in (
        ('readout = "cubic"', "readout: expected one of gaussian process, linear, quadratic, got 'cubic'"),
        ('readout = "linear"\nsparse_points = 5', "soap with the readout 'linear' has no sparse_points"),
        ('readout = "linear"\nzeta = 2', "has no zeta"),
    ):
        path.write_text(f'[[term]]\ndescriptor = "soap"\ncutoff = 2.0\nn_max = 3\nl_max = 2\natom_sigma = 0.3\n{line}\n')
        with pytest.raises(jp.errors.FormatError, match=says):
            jp.read_recipe(path)
    for wrong in (np.zeros((2, 2)), 1.0):
        with pytest.raises(jp.errors.DataError, match="expected weights"):
            Linear(wrong)
