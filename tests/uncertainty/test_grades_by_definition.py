"""Grades of moment tensors, of NEP and of nonlinear ACE are those of the definition; posteriors leave a baseline alone."""

from itertools import combinations

import numpy as np
import pytest
from models import FILES, MODELS, rocksalt

import jaxpot as jp
from jaxpot.fitting.networks.last_layer import last_layer_posterior

pytestmark = pytest.mark.slow


def disturbed(crystal, size, seed):
    return crystal.moved(crystal.positions + size * np.random.default_rng(seed).normal(size=(len(crystal), 3)))


@pytest.fixture(scope="module")
def moments():
    return jp.load(FILES / "two_kinds.mtp", species=("Ta", "W")).terms[0]


def basis_functions(term, structure):
    """Site energies with one coefficient 1 and all others 0, (n, M)."""
    units = np.eye(len(term.readout.weights))
    terms = [term.replace(readout=term.readout.replace(weights=unit)) for unit in units]
    return np.stack([np.asarray(jp.evaluate(one, structure).energies) for one in terms], axis=1)


def test_grades_of_moment_tensors_are_those_of_the_set_of_the_largest_volume(moments):
    """E. V. Podryabinkin, A. V. Shapeev, Comput. Mater. Sci. 140, 171 (2017): the best of all sets, tried one by one."""
    crystal = rocksalt(5.2, ["Ta", "W"]).repeated((2, 1, 1))
    structures = [disturbed(crystal, 0.2, seed) for seed in range(3)]
    rows = np.concatenate([basis_functions(moments, one) for one in structures])
    best = max(combinations(range(12), 8), key=lambda some: abs(np.linalg.det(rows[list(some)])))
    known = jp.ActiveSet.of(moments, structures)
    assert sorted(4 * frame + atom for frame, atom in known.places) == list(best)
    strange = disturbed(crystal.strained(-0.1 * np.eye(3)), 0.2, 9)
    shares = basis_functions(moments, strange) @ np.linalg.inv(rows[list(best)])
    np.testing.assert_allclose(known.grades(strange), np.abs(shares).max(axis=1), rtol=1e-7)
    assert known.grades(strange).max() > 1.5


@pytest.mark.parametrize("name, least", [("nep, two elements", 1.04), ("ace, an element, embedded", 1.5)])
def test_models_that_are_not_linear_in_all_have_grades(name, least):
    """The neurons of the one are saturated, so that few of its features change."""
    make, crystal, *_ = MODELS[name]
    structures = [disturbed(crystal.repeated((2, 1, 1)), 0.1, seed) for seed in range(8)]
    known = jp.ActiveSet.of(make(), structures)
    assert max(known.grades(one).max() for one in structures) < 1.03
    assert known.grades(crystal.strained(-0.1 * np.eye(3))).max() > least


def test_weights_of_a_baseline_are_known(moments):
    beside = moments.replace(readout=moments.readout.replace(weights=2.0 * moments.readout.weights))
    crystal = rocksalt(5.2, ["Ta", "W"])
    data = jp.draw_dataset(moments + beside, crystal, 6, displacements=(0.05, 0.1))
    found = last_layer_posterior(moments + beside, data, baseline=beside)
    assert found.parameters == ("terms[0].readout.weights",)
    assert len(last_layer_posterior(moments + beside, data).parameters) == 2
