"""One verb fits every family of models, and gives what the verb of the family gives."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from ase.build import bulk
from oracle import silicon

import jaxpot as jp
from jaxpot.errors import DataError
from jaxpot.fitting.families import FAMILIES
from jaxpot.fitting.linear.fit import fit_linear

PAIR = {"descriptor": "distance_2b", "cutoff": 3.6, "theta": 0.6, "sparse_points": 8, "sparse_method": "uniform"}
GAP = jp.fitting.Recipe((PAIR,), choice="fixed", units="A")
NETWORKS = jp.NetworkRecipe(cutoff=1.6, radial=3, angular=2, hidden=(4,), epochs=2, batch=3, members=2)


def assert_same_potential(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_recipe_of_a_gap_fits_a_gap():
    found = jp.fit(silicon(4), GAP, test=silicon(2, seed=9), seed=3)
    assert isinstance(found, jp.fitting.Fit) and found.test is not None
    assert_same_potential(found.potential, fit_linear(silicon(4), GAP, seed=3, predictions=False).potential)


def test_a_recipe_of_networks_trains_them():
    found = jp.fit(silicon(6), NETWORKS, seed=2, predictions=False)
    assert isinstance(found, jp.fitting.Trained)
    assert_same_potential(found.potential, jp.train(silicon(6), NETWORKS, seed=2, predictions=False).potential)


def test_the_name_of_a_recipe_of_networks_will_do(monkeypatch):
    asked = []
    monkeypatch.setattr("jaxpot.fitting.families.FAMILIES", tuple(
        replace(family, fit=lambda data, recipe, **options: asked.append((recipe, options))) for family in FAMILIES
    ))
    jp.fit(silicon(4), "behler-parrinello", seed=5)
    assert asked == [(jp.NetworkRecipe(name="behler-parrinello"), {"test": None, "seed": 5, "progress": None})]


def test_a_potential_is_a_formula_whose_parameters_are_fitted():
    first = jp.potentials.Morse(0.5, 1.4, 2.5, 5.0, shift="smooth")
    data = jp.draw_dataset(first.replace(depth=0.6, r0=2.55), jp.Structure.of(bulk("Cu")), 6)
    options = {"free": ["depth", "r0"], "starts": 2, "refined": 1}
    found = jp.fit(data, first, **options)
    assert isinstance(found, jp.fitting.FormFit)
    assert found.parameters["depth"].value == pytest.approx(0.6, rel=1e-5)
    assert_same_potential(found.potential, jp.fit_form(first, data, **options).potential)


@pytest.mark.parametrize(("recipe", "option", "message"), [
    (GAP, "frozen", "a fit of Gaussian approximation potentials and other linear models has no option frozen; it takes baseline, curvatures"),
    (NETWORKS, "jitter", "a fit of neural networks has no option jitter; it takes start, frozen"),
    (jp.potentials.Morse(0.5, 1.4, 2.5, 5.0), "baseline", "a fit of formulas has no option baseline; it takes free"),
])
def test_an_option_of_another_family_is_refused_with_those_that_there_are(recipe, option, message):
    with pytest.raises(DataError, match=message):
        jp.fit(silicon(4), recipe, **{option: None})


def test_what_is_no_recipe_is_refused():
    with pytest.raises(DataError, match="expected the name of one, the path of a file, a Recipe, .* got a dict"):
        jp.fit(silicon(4), {"cutoff": 3.0})


def test_every_family_takes_what_the_verb_hands_to_it():
    for family in FAMILIES:
        family.check_options({"test": None, "seed": 0, "progress": None})
