"""A small fit from beginning to end, and what a fit refuses."""

import dataclasses

import numpy as np
import pytest
from oracle import silicon, silicon_frames

import jaxpot as jp

RECIPE = """
units = "A"
[[term]]
descriptor = "soap"
cutoff = 3.77
n_max = 4
l_max = 3
atom_sigma = 0.5
zeta = 2
sparse_points = 40
[[term]]
descriptor = "distance_2b"
cutoff = 3.77
theta = 1.0
sparse_points = 8
sparse_method = "uniform"
[sigma]
energy = 0.001
forces = 0.02
stress = 0.001
[choice]
method = "fixed"
"""
# Second derivatives of it compile soon; those of other terms are looked at in `test_rows.py`.
SHORT = """
units = "A"
[[term]]
descriptor = "distance_2b"
cutoff = 3.77
theta = 0.6
sparse_points = 20
sparse_method = "uniform"
""" + RECIPE[RECIPE.index("[sigma]"):]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(RECIPE)
    return jp.read_recipe(path)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "short.toml"
    path.write_text(SHORT)
    return jp.read_recipe(path)


@pytest.fixture(scope="module")
def fitted(recipe):
    return jp.fit(silicon(), recipe, test=silicon(4, seed=9))


def test_the_fit_is_near_its_oracle_on_frames_it_has_not_seen(fitted):
    errors = fitted.test.errors()["all"]
    spread = np.std(np.concatenate([np.asarray(f.forces).ravel() for f in silicon_frames(4, 9)]))
    assert errors["forces"]["rmse"] < 0.1 * spread
    assert errors["energy"]["mae"] < 0.01
    low, high = errors["energy"]["interval"]
    assert low <= errors["energy"]["mae"] <= high
    assert set(fitted.train.errors()) == {"all", "cold", "hot"}


def test_errors_are_those_of_the_potential(fitted):
    frames = silicon_frames(4, 9)
    found = jp.evaluate_many(fitted.potential, [f.structure for f in frames])
    by_hand = np.mean([abs(float(r.energy) - f.energy) / 8 for r, f in zip(found, frames, strict=True)])
    assert fitted.test.errors()["all"]["energy"]["mae"] == pytest.approx(by_hand, rel=1e-9)


def test_a_fit_can_be_repeated(fitted, recipe):
    again = jp.fit(silicon(), recipe, predictions=False)
    structure = silicon_frames()[3].structure
    assert float(jp.energy(again.potential, structure)) == float(jp.energy(fitted.potential, structure))
    other = jp.fit(silicon(), recipe, seed=1, predictions=False)
    assert float(jp.energy(other.potential, structure)) != float(jp.energy(fitted.potential, structure))


def test_it_is_saved_in_both_formats(fitted, tmp_path):
    structure = silicon_frames()[3].structure
    expected = float(jp.energy(fitted.potential, structure))
    for name in ("fit.xml", "fit.jaxpot"):
        jp.save(fitted.potential, tmp_path / name)
        assert float(jp.energy(jp.load(tmp_path / name), structure)) == pytest.approx(expected, abs=1e-9)


def test_with_the_oracle_as_baseline_nothing_is_left(recipe):
    oracle = jp.potentials.StillingerWeber.silicon()
    found = jp.fit(silicon(), recipe, baseline=oracle)
    assert found.train.errors()["all"]["forces"]["mae"] < 1e-9
    structure = silicon_frames(4, 9)[1].structure
    np.testing.assert_allclose(jp.forces(found.potential, structure), jp.forces(oracle, structure), atol=1e-8)


def test_a_smaller_sigma_of_a_frame_brings_it_nearer(recipe):
    data = silicon()
    loose = jp.fit(data.with_sigmas(energy=0.1), recipe).train
    tight = jp.fit(data.with_sigmas(energy=1e-5), recipe).train
    assert tight.errors()["all"]["energy"]["mae"] < 0.2 * loose.errors()["all"]["energy"]["mae"]


def test_without_a_sigma_stresses_are_not_fitted(recipe, fitted):
    blind = dataclasses.replace(recipe, sigmas=dataclasses.replace(recipe.sigmas, stress=None))
    assert jp.fit(silicon(), blind, predictions=False).sigmas.keys() == {"energy", "forces"}
    assert fitted.sigmas.keys() == {"energy", "forces", "stress"}


@pytest.mark.parametrize("method", ["cross-validation", "evidence"])
def test_a_choice_does_not_make_it_worse(recipe, fitted, method):
    chosen = jp.fit(silicon(), dataclasses.replace(recipe, choice=method, folds=4), test=silicon(4, seed=9))
    assert chosen.choice.tried > 3
    errors, before = (f.test.errors()["all"] for f in (chosen, fitted))
    assert errors["forces"]["rmse"] < 1.2 * before["forces"]["rmse"]


def test_ill_conditioned_data_are_fitted_or_refused(recipe):
    frames = silicon_frames()
    twice = jp.fit(jp.Dataset.of([*frames, *frames], e0={"Si": 0.0}), recipe)
    assert np.isfinite(twice.train.errors()["all"]["energy"]["mae"])
    one = jp.fit(jp.Dataset.of(frames[:1], e0={"Si": 0.0}), recipe)
    assert one.train.errors()["all"]["energy"]["mae"] < 0.01
    constant = [dataclasses.replace(f, energy=-8.0, forces=np.zeros((8, 3)), stress=None) for f in frames]
    flat = jp.fit(jp.Dataset.of(constant, e0={"Si": -1.0}), recipe)
    assert flat.train.errors()["all"]["forces"]["mae"] < 1e-9


def test_what_cannot_be_fitted_is_refused(recipe):
    data = silicon()
    with pytest.raises(jp.errors.DataError, match="expected a Dataset"):
        jp.fit(list(data), recipe)
    with pytest.raises(jp.errors.DataError, match="baseline: expected a potential"):
        jp.fit(data, recipe, baseline="sw-silicon")
    with pytest.raises(jp.errors.DataError, match="test: expected a Dataset, got list"):
        jp.fit(data, recipe, test=[])
    with pytest.raises(jp.errors.DataError, match="jitter: expected a positive number, got 0"):
        jp.fit(data, recipe, jitter=0)
    with pytest.raises(jp.errors.DataError, match="seed: expected a whole number"):
        jp.fit(data, recipe, seed=-1)
    carbon = jp.Structure(np.eye(3), 5.0 * np.eye(3), ["C"] * 3)
    with pytest.raises(jp.errors.DataError, match="curvature 0 contains C, the training set Si"):
        jp.fit(data, recipe, curvatures=[jp.HessianProduct(carbon, np.eye(3), np.eye(3), 0.1)])
    with pytest.raises(jp.errors.DataError, match="expected HessianProduct or StrainCurvature, got str"):
        jp.fit(data, recipe, curvatures=["stiff"])
    with pytest.raises(jp.errors.DataError, match="expected a jaxpot potential"):
        jp.predict(data, data)
    with pytest.raises(jp.errors.DataError, match="4 folds"):
        jp.fit(data[:3], dataclasses.replace(recipe, choice="cross-validation"))
    bare = jp.Dataset.of([jp.Frame(f.structure, stress=f.stress) for f in data], e0={"Si": 0.0}, require=())
    with pytest.raises(jp.errors.DataError, match="nothing to fit"):
        jp.fit(bare, recipe)


@pytest.mark.thorough
def test_curvatures_are_followed_where_they_are_certain(short):
    oracle, structure = jp.potentials.StillingerWeber.silicon(), silicon_frames()[0].structure
    strain = np.diag([1.0, 0.0, 0.0])
    vector = np.random.default_rng(0).normal(size=(8, 3))
    product = np.asarray(jp.hessian_vector_product(oracle, structure, vector))
    targets = [
        jp.HessianProduct(structure, vector, product, 0.0001),
        jp.StrainCurvature(structure, strain, strain, jp.StrainCurvature(
            structure, strain, strain, 0.0, 1.0).baseline(oracle)[0], 0.001),
    ]
    without, following = (jp.fit(silicon(), short, curvatures=c, predictions=False).potential for c in ([], targets))

    def errors(potential):
        return [np.abs(t.baseline(potential) - t.target).max() for t in targets]

    assert all(new < 0.5 * old for new, old in zip(errors(following), errors(without), strict=True))
    over = jp.fit(silicon(), short, curvatures=targets, baseline=oracle, predictions=False).potential
    assert max(errors(over)) < 1e-6


def test_curvatures_take_part_in_every_fold(short):
    structure = silicon_frames()[0].structure
    strain = np.diag([1.0, 0.0, 0.0])
    target = jp.StrainCurvature(structure, strain, strain, 150.0, 0.1)
    crossed = dataclasses.replace(short, choice="cross-validation")
    found = jp.fit(silicon(), crossed, curvatures=[target], predictions=False)
    assert found.choice.noise["strain"] == 1.0
    assert target.baseline(found.potential)[0] == pytest.approx(150.0, abs=20.0)


def test_a_pressure_that_stresses_are_off_by_is_found(recipe):
    data = silicon()
    off = dataclasses.replace(data, frames=tuple(
        f if f.config_type == "cold" else dataclasses.replace(f, stress=f.stress + 0.02 * np.eye(3)) for f in data
    ))
    crossed = dataclasses.replace(recipe, choice="cross-validation")
    true, shifted = (jp.fit(d, crossed, stress_offsets="hot") for d in (data, off))
    assert shifted.stress_offsets["hot"] == pytest.approx(true.stress_offsets["hot"] + 0.02, abs=1e-7)
    assert abs(true.stress_offsets["hot"]) < 0.002
    for own, other in zip(true.train.labels["stress"], shifted.train.labels["stress"], strict=True):
        np.testing.assert_allclose(own, other, atol=1e-7)
    frame = data[0].structure
    np.testing.assert_allclose(jp.stress(true.potential, frame), jp.stress(shifted.potential, frame), atol=1e-7)
    with pytest.raises(jp.errors.DataError, match="no frame with a stress has the config type 'warm'"):
        jp.fit(data, recipe, stress_offsets="warm")
    unweighted = dataclasses.replace(recipe, sigmas=dataclasses.replace(recipe.sigmas, stress=None))
    with pytest.raises(jp.errors.DataError, match="stresses are not fitted"):
        jp.fit(data, unweighted, stress_offsets=True)
