"""Moments of whitened rows against a QR factorisation; the evidence against the Gaussian density itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.fitting.linear.columns import Columns
from jaxpot.fitting.linear.hyperparameters import by_cross_validation, by_evidence, columns
from jaxpot.fitting.linear.moments import Accumulator, covariance_factor, log_evidence, posterior, unwhiten, whiten


def problem(rows=700, seed=0):
    """Rows linear in the weights of two terms with nearly singular covariances, and noisy targets."""
    rng = np.random.default_rng(seed)
    x = [np.sort(rng.uniform(0, 3, size=m)) for m in (12, 9)]
    at = rng.uniform(0, 3, size=(2, rows))
    kernels = [lambda a, b, length=length: np.exp(-0.5 * ((a[:, None] - b) / length) ** 2) for length in (1.0, 0.7)]
    covariances = [k(p, p) for k, p in zip(kernels, x, strict=True)]
    design = np.concatenate([k(a, p) for k, a, p in zip(kernels, at, x, strict=True)], axis=1)
    sigmas = rng.uniform(0.05, 0.2, size=rows)
    targets = np.sin(2 * at[0]) + at[1] ** 2 + sigmas * rng.normal(size=rows)
    return design, targets, sigmas, covariances


@pytest.fixture(scope="module")
def parts():
    design, targets, sigmas, covariances = problem()
    factors = [covariance_factor(c)[0] for c in covariances]
    accumulator = Accumulator(factors)
    cut = 150
    for part in (slice(0, 40), slice(40, cut)):  # in pieces, to blocks of another size
        accumulator.add(("energy", 0), design[part], targets[part], sigmas[part])
    accumulator.add(("forces", 0), design[cut:], targets[cut:], sigmas[cut:])
    return design, targets, sigmas, covariances, factors, accumulator.finish()


def test_the_weights_are_those_of_a_qr_factorisation(parts):
    design, targets, sigmas, covariances, factors, moments = parts
    by_kind = {kind: part for (kind, _), part in moments.items()}
    found = jnp.concatenate(unwhiten(posterior(by_kind, {"energy": 1.0, "forces": 1.0}).mean, factors))
    prior = np.zeros((21, 21))
    prior[:12, :12], prior[12:, 12:] = np.asarray(factors[0]).T, np.asarray(factors[1]).T
    stacked = np.concatenate([design / sigmas[:, None], prior])
    expected = np.linalg.lstsq(stacked, np.concatenate([targets / sigmas, np.zeros(21)]), rcond=None)[0]
    np.testing.assert_allclose(design @ found, design @ expected, atol=1e-9)


def test_the_evidence_is_the_density_of_the_targets(parts):
    design, targets, sigmas, covariances, factors, moments = parts
    noise, scales = {"energy": 1.7, "forces": 0.6}, (0.8, 1.3)
    by_kind = {kind: part for (kind, _), part in moments.items()}
    found = log_evidence(by_kind, noise, columns(scales, [12, 9]))
    white = np.asarray(whiten(design, factors)) * np.repeat(scales, [12, 9])
    own = sigmas * np.where(np.arange(len(sigmas)) < 150, noise["energy"], noise["forces"])
    covariance = white @ white.T + np.diag(own**2)
    sign, logarithm = np.linalg.slogdet(covariance)
    expected = -0.5 * (logarithm + targets @ np.linalg.solve(covariance, targets) + len(own) * np.log(2 * np.pi))
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_the_gradient_of_the_evidence_is_that_of_differences(parts):
    *_, moments = parts
    by_kind = {kind: part for (kind, _), part in moments.items()}

    def value(logs):
        noise = {"energy": jnp.exp(logs[0]), "forces": jnp.exp(logs[1])}
        return log_evidence(by_kind, noise, columns(jnp.exp(logs[2:]), [12, 9]))

    at, step = jnp.array([0.3, -0.2, 0.1, -0.4]), 1e-5
    expected = [(value(at + step * e) - value(at - step * e)) / (2 * step) for e in np.eye(4)]
    np.testing.assert_allclose(jax.grad(value)(at), expected, rtol=1e-6)


def test_rounding_is_met_with_jitter_that_is_reported():
    points = np.repeat(np.linspace(0, 1, 5), 3)[:, None]  # each three times
    covariance = np.asarray(jp.kernels.SquaredExponential(1.0).matrix(points, points))
    factor, jitter = covariance_factor(covariance, jitter=1e-18)
    assert 1e-18 < jitter <= 1e-8
    np.testing.assert_allclose(factor @ factor.T, covariance, atol=2 * jitter + 1e-14)
    with pytest.raises(jp.errors.DataError, match="singular"):
        covariance_factor(-np.eye(3) + 2.0 * np.diag([1.0, 2.0, 2.0]) - 3.0 * np.ones((3, 3)) + 3.0 * np.eye(3))


def folds(noise, seed=0, assumed=0.1):
    """Moments of four folds whose targets have this noise, where another is assumed."""
    design, _, _, covariances = problem(seed=seed)
    factors = [covariance_factor(c)[0] for c in covariances]
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.linalg.solve(np.asarray(f).T, rng.normal(size=len(f))) for f in factors])
    targets = design @ truth + noise * rng.normal(size=len(design))
    accumulator = Accumulator(factors)
    for fold in range(4):
        accumulator.add(("forces", fold), design[fold::4], targets[fold::4], assumed)
    return accumulator.finish()


def test_the_evidence_finds_the_noise():
    chosen = by_evidence(folds(0.8), [12, 9])
    assert chosen.noise["forces"] == pytest.approx(8.0, rel=0.1)


def test_cross_validation_finds_more_noise_where_there_is_more():
    quiet, loud = (by_cross_validation(folds(noise), [12, 9]) for noise in (0.01, 3.0))
    assert loud.noise["forces"] > quiet.noise["forces"]
    assert loud.scales[0] == quiet.scales[0] == 1.0
    with pytest.raises(jp.errors.DataError, match="2 folds"):
        by_cross_validation({key: part for key, part in folds(0.1).items() if key[1] == 0}, [12, 9])


def test_labels_without_noise_do_not_drive_the_sigmas_away():
    exact = by_cross_validation(folds(0.0, assumed=1e-7), [12, 9])
    assert exact.noise == {"forces": 1.0} and exact.scales == (1.0, 1.0)


@pytest.mark.parametrize("choose", [by_evidence, by_cross_validation])
def test_blocks_that_share_a_scale_have_one(choose):
    """Three blocks of weights of other sizes, of which the first and the last share a scale."""
    rng = np.random.default_rng(0)
    design, sizes = rng.normal(size=(24, 21)), np.repeat([1.0, 0.03, 30.0], [12, 4, 5])
    targets = design @ (sizes * rng.normal(size=21)) + 0.5 * rng.normal(size=24)
    accumulator = Accumulator([np.eye(21)])
    for fold in range(4):
        accumulator.add(("forces", fold), design[fold::4], targets[fold::4], 0.5)
    moments = accumulator.finish()
    free, tied = (choose(moments, [12, 4, 5], shared=shared) for shared in (None, [0, 1, 0]))
    assert free.scales[2] >= 4.0 * free.scales[0] and tied.scales[2] == tied.scales[0] > tied.scales[1]
    assert free.value < tied.value


def test_terms_of_one_name_share_the_scales_of_their_blocks():
    factors = [np.eye(5), np.eye(3), np.eye(5), np.eye(1)]
    parts = Columns(factors, 0, [(2, 3), None, (2, 3), None], [True, False, True, False], ["ace", None, "ace", "constant"])
    assert parts.shared == [0, 1, 2, 0, 1, 3]
