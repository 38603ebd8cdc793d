"""Last layers of networks of several hops: features, rows of the design matrix, posteriors, and what is made of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from models import MODELS

import jaxpot as jp
from jaxpot.checks import prepare
from jaxpot.core.masks import masked, with_masked
from jaxpot.errors import DataError
from jaxpot.fitting.linear.rows import design_rows
from jaxpot.fitting.networks.last_layer import last_layer_posterior
from jaxpot.md.watch import SiteDeviation
from jaxpot.uncertainty.linear_terms import site_features
from jaxpot.uncertainty.site_variance import VariancePotential

NETWORK = MODELS["nequip, two elements, without parity"][0]()
CRYSTAL = MODELS["schnet, two elements"][1]


@pytest.fixture(scope="module")
def data():
    frames = jp.draw_dataset(NETWORK, CRYSTAL.repeated((2, 1, 1)), 6, 0)
    return jp.Dataset.of([*frames], e0=dict.fromkeys(np.unique(CRYSTAL.numbers).tolist(), 0.0))


@pytest.fixture(scope="module")
def posterior(data):
    return last_layer_posterior(NETWORK, data)


@pytest.mark.parametrize("name", [
    "nequip, two elements, without parity", "mace, two elements", "schnet, two elements", "dtnn, two elements",
])
def test_rows_are_derivatives_of_energy_forces_and_stress_by_the_weights(name):
    """By differences in a weight, of which all three are linear functions."""
    potential = MODELS[name][0]()
    structure = CRYSTAL.moved(CRYSTAL.positions + 0.1 * np.random.default_rng(0).normal(size=(len(CRYSTAL), 3)))
    prepared = prepare(potential, structure, None)
    rows = design_rows(*prepared)
    features = site_features((potential,), *prepared[1:])
    np.testing.assert_allclose(features.sum(0), rows.energy, rtol=1e-10, atol=1e-12)
    mask = potential.weight_mask()
    weights, shapes = ravel_pytree(masked(potential, mask))
    assert len(weights) == potential.n_features == features.shape[1]
    first = jp.evaluate(potential, structure)
    for k in (0, len(weights) - 1):
        other = jp.evaluate(with_masked(potential, mask, shapes(weights.at[k].add(1.0))), structure)
        assert float(other.energy - first.energy) == pytest.approx(float(rows.energy[k]), rel=1e-9, abs=1e-12)
        np.testing.assert_allclose(other.energies - first.energies, features[:, k], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(other.forces - first.forces, rows.forces[..., k], rtol=1e-8, atol=1e-11)
        np.testing.assert_allclose(other.stress - first.stress, rows.stress[..., k], rtol=1e-8, atol=1e-13)


def test_the_posterior_is_that_of_the_last_layer(posterior, data):
    assert posterior.parameters == ("readout",)
    bars = jp.std(posterior, data[0].structure)
    h = 1e-4  # forces along the columns of the factor, by differences
    columns = []
    for k in range(posterior.factor.shape[1]):
        unit = np.zeros(posterior.factor.shape[1])
        unit[k] = h
        ahead, behind = (jp.evaluate(posterior.at(jnp.asarray(s * unit)), data[0].structure) for s in (1.0, -1.0))
        columns.append(jax.tree.map(lambda a, b: (np.asarray(a) - np.asarray(b)) / (2.0 * h), ahead, behind))
    for name in ("energy", "energies", "forces", "stress"):
        summed = np.sqrt(sum(getattr(column, name) ** 2 for column in columns))
        np.testing.assert_allclose(getattr(bars.parametric, name), summed, rtol=1e-6, atol=1e-10)


def test_variances_of_sites_watch_dynamics(posterior, data):
    structure = data[0].structure
    variance = jp.variance(posterior, structure)
    np.testing.assert_allclose(
        np.sqrt(variance.sites), jp.std(posterior, structure).parametric.energies, rtol=1e-9, atol=1e-12
    )
    watch = SiteDeviation(posterior)
    np.testing.assert_allclose(watch.numbers(structure), np.sqrt(variance.sites), rtol=1e-9, atol=1e-12)
    biased = NETWORK - 0.5 * VariancePotential.of(posterior)
    h, place = 1e-4, np.zeros((len(structure), 3))
    place[1, 2] = h
    ahead, behind = (float(jp.energy(biased, structure.moved(structure.positions + s * place))) for s in (1.0, -1.0))
    assert float(jp.forces(biased, structure)[1, 2]) == pytest.approx((behind - ahead) / (2.0 * h), rel=1e-5, abs=1e-7)


def test_environments_are_graded_and_frames_weighed(posterior, data):
    active = jp.ActiveSet.of(NETWORK, [frame.structure for frame in data])
    assert max(active.grades(frame.structure).max() for frame in data) < 1.03
    assert active.grades(CRYSTAL.strained(-0.2 * np.eye(3))).max() > 1.5
    candidates = [data[0].structure, CRYSTAL.strained(-0.2 * np.eye(3))]
    assert jp.select_frames(posterior, None, candidates, 1)[0] == [1]


def test_a_potential_without_last_layer_is_refused(data):
    with pytest.raises(DataError, match="no network whose last layer is linear"):
        last_layer_posterior(MODELS["chgnet, two elements"][0](), data)
