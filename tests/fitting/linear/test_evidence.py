"""The gradient of the evidence is that of differences of the evidence of other recipes."""

from dataclasses import replace

import numpy as np
import pytest
from oracle import silicon
from tiers import thorough_but

import jaxpot as jp
from jaxpot.data.targets import Sigmas

SOAP = {
    "descriptor": "soap", "cutoff": 3.2, "n_max": 3, "l_max": 2, "atom_sigma": 0.5, "zeta": 2, "sparse_points": 12,
    "sparse_method": "random",
}
PAIR = {"descriptor": "distance_2b", "cutoff": 3.2, "theta": 0.7, "sparse_points": 5, "sparse_method": "uniform"}
RECIPE = jp.fitting.Recipe((SOAP, PAIR), Sigmas(0.003, 0.05, 0.002), units="A")


JITTER = 1e-6  # with less, rounding of the vectors (1e-15) grows to 1e-6 of the gradient: 9e-7 with 1e-8


@pytest.fixture(scope="module")
def found():
    return jp.fitting.evidence(silicon(4), RECIPE, jitter=JITTER)


def changed(name, factor):
    place, _, key = name.partition(".")
    if place == "sigma":
        return replace(RECIPE, sigmas=replace(RECIPE.sigmas, **{key: getattr(RECIPE.sigmas, key) * factor}))
    tables = list(RECIPE.terms)
    k = int(place.split()[-1]) - 1
    tables[k] = tables[k] | {key: tables[k].get(key, 1.0) * factor}
    return replace(RECIPE, terms=tuple(tables))


HYPERPARAMETERS = ["sigma.stress", "term 1.delta", "term 1.zeta", "term 1.atom_sigma", "term 2.theta"]


@pytest.mark.parametrize("name", thorough_but(["term 1.delta"], HYPERPARAMETERS, HYPERPARAMETERS))
def test_the_gradient_is_that_of_differences(found, name):
    assert len(found.gradient) == 8
    def slope(step):
        values = []
        for log in (step, -step):
            options = {"environments": found.environments, "jitter": JITTER, "gradient": False}
            values.append(jp.fitting.evidence(silicon(4), changed(name, np.exp(log)), **options).value)
        return (values[0] - values[1]) / (2.0 * step)

    expected = (4.0 * slope(1e-3) - slope(2e-3)) / 3.0
    assert found.gradient[name] == pytest.approx(expected, rel=1e-6)


def test_what_cannot_be_done_is_refused():
    with pytest.raises(jp.errors.DataError, match="expected a Dataset"):
        jp.fitting.evidence([], RECIPE)
    with pytest.raises(jp.errors.DataError, match="environments: expected those of 2 terms"):
        jp.fitting.evidence(silicon(4), RECIPE, environments=())
