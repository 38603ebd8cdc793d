"""The noise of energies beside that of forces, for the covariance: found again where the fit was told another."""

import numpy as np
import pytest

from jaxpot.errors import DataError
from jaxpot.fitting.linear.label_noise import label_noise, without
from jaxpot.fitting.linear.moments import Accumulator, posterior, solution, weighted

COUNT, PARTS = 12, 4
TRUE, TOLD = 0.01, 0.16  # sigma of energies


@pytest.fixture(scope="module")
def left_out():
    """Parts of data with energies sixteen times as good as the fit is told, beside many noisy forces."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=COUNT)
    accumulator = Accumulator([np.eye(COUNT)])
    for part in range(PARTS):
        rows = rng.normal(size=(30, COUNT))
        accumulator.add(("energy", part), rows, rows @ weights + TRUE * rng.normal(size=30), TOLD)
        rows = 0.3 * rng.normal(size=(200, COUNT))
        accumulator.add(("forces", part), rows, rows @ weights + 0.1 * rng.normal(size=200), 0.1)
    moments = accumulator.finish()
    whole = {kind: sum((moments[kind, k] for k in range(1, PARTS)), moments[kind, 0]) for kind in ("energy", "forces")}
    return whole, [{kind: moments[kind, k] for kind in whole} for k in range(PARTS)]


def chosen(left_out, noise):
    whole, held = left_out
    column = np.ones(COUNT)
    return label_noise(whole, [(part, without(whole, part, noise, column)) for part in held], noise, column)


def test_the_noise_of_energies_is_found_beside_that_of_forces(left_out):
    whole, held = left_out
    factors = chosen(left_out, {"energy": 1.0, "forces": 1.0})
    # The temperature, error over deviation of forces, is not 1: both kinds of noise go with it.
    column, noise = np.ones(COUNT), {"energy": 1.0, "forces": 1.0}
    ratios = []
    for part in held:
        fit = without(whole, part, noise, column)
        spread = np.trace(fit.covariance() @ part["forces"].gram) / part["forces"].count
        ratios.append(np.sqrt(part["forces"].residual(fit.mean) / spread))
    assert factors["forces"] == 1.0
    expected = TRUE / TOLD / np.median(ratios)
    assert 0.4 < factors["energy"] / expected < 2.5  # in factors of 2


def test_what_was_told_does_not_matter(left_out):
    from_above = chosen(left_out, {"energy": 1.0, "forces": 1.0})
    from_below = chosen(left_out, {"energy": 2.0**-8, "forces": 1.0})
    assert from_below["energy"] * 2.0**-8 == pytest.approx(from_above["energy"], rel=1.1)


def test_crystals_at_rest_do_not_count(left_out):
    """A part whose forces are zero by symmetry: its error over its deviation of forces is no number."""
    whole, held = left_out
    accumulator = Accumulator([np.eye(COUNT)])
    accumulator.add(("forces", 0), np.zeros((30, COUNT)), np.zeros(30), 0.1)
    at_rest = accumulator.finish()["forces", 0]
    noise = {"energy": 1.0, "forces": 1.0}
    assert chosen((whole, [*held, {"forces": at_rest}]), noise) == chosen(left_out, noise)
    none = {"energy": whole["energy"], "forces": at_rest}
    assert chosen((none, [{"energy": held[0]["energy"], "forces": at_rest}]), noise) == noise


def test_labels_are_not_taken_for_more_exact_than_rounding_allows():
    """Energies without any noise: the factor falls until rounding would hide the prior, whose precision is 1."""
    rng, weights = np.random.default_rng(1), np.ones(COUNT)
    accumulator = Accumulator([np.eye(COUNT)])
    for part in range(PARTS):
        rows = 100.0 * rng.normal(size=(30, COUNT))
        accumulator.add(("energy", part), rows, rows @ weights, 0.016)
        rows = 0.1 * rng.normal(size=(40, COUNT))
        accumulator.add(("forces", part), rows, rows @ weights + 0.1 * rng.normal(size=40), 0.1)
    moments = accumulator.finish()
    whole = {kind: sum((moments[kind, k] for k in range(1, PARTS)), moments[kind, 0]) for kind in ("energy", "forces")}
    held = [{kind: moments[kind, k] for kind in whole} for k in range(PARTS)]
    factor = chosen((whole, held), {"energy": 1.0, "forces": 1.0})["energy"]
    assert factor < 1.0
    precision = whole["energy"].gram.diagonal().max() / factor**2
    assert 1e-4 < np.finfo(float).eps * precision <= 1e-3


def test_without_forces_nothing_changes(left_out):
    whole, held = left_out
    energies, noise = {"energy": whole["energy"]}, {"energy": 1.0}
    parts = [({"energy": part["energy"]}, posterior(energies, noise)) for part in held]
    assert label_noise(energies, parts, noise, np.ones(COUNT)) == {"energy": 1.0}


def test_rounding_of_the_whole_may_hide_the_prior():
    """Rows of size 10^8 in few directions: sums of all but some rows are off by more than the prior's precision, 1."""
    rng = np.random.default_rng(1)
    accumulator = Accumulator([np.eye(COUNT)])
    directions = rng.normal(size=(3, COUNT))
    for part in range(PARTS):
        rows = 3e7 * rng.normal(size=(40, 3)) @ directions
        accumulator.add(("energy", part), rows, rows.sum(1), 1.0)
    moments = accumulator.finish()
    whole = {"energy": sum((moments["energy", k] for k in range(1, PARTS)), moments["energy", 0])}
    held, column = {"energy": moments["energy", 0]}, np.ones(COUNT)
    with pytest.raises(DataError, match="rounding hides the prior"):
        solution(*weighted({"energy": whole["energy"] - held["energy"]}, {"energy": 1.0}), column)
    told = []
    fit = without(whole, held, {"energy": 1.0}, column, told.append)
    assert len(told) == 1 and told[0].startswith("the fit without 40 labels has a prior 1")
    np.testing.assert_allclose(directions @ fit.mean, directions.sum(1), rtol=1e-6)
    assert np.isfinite(fit.variances()).all()
