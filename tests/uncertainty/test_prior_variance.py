"""The prior variance of site energies: QUIP's numbers, the formula itself, and what is refused."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from ase import Atoms
from tiers import thorough_but

import jaxpot as jp
from jaxpot.descriptors import Pair, Triangle
from jaxpot.errors import DataError, PrecisionError
from jaxpot.kernels import SquaredExponential
from jaxpot.potentials import ZBL, Constants, Described
from jaxpot.readouts import SparseGP

FILES = Path(__file__).parents[1] / "formats" / "files" / "gap"
REFERENCE = json.loads((FILES / "reference.json").read_text())
VARIANCE = json.loads((FILES / "variance.json").read_text())
PLAIN = jp.load(FILES / "plain.xml")


def structure(name="plain"):
    first = REFERENCE[name][0]
    return jp.Structure(first["positions"], first["cell"], first["symbols"])


@pytest.mark.parametrize("name", thorough_but(["plain"], VARIANCE))
def test_numbers_of_quip(name):
    potential, crystal = jp.load(FILES / f"{name}.xml"), structure(name)
    listed = jp.neighbors(crystal, potential.cutoff)

    def total(positions, regularisation):
        moved = crystal.moved(positions)
        return jp.variance(potential, moved, listed, regularisation=regularisation, correlated=False).sites.sum()

    for expected in VARIANCE[name]:
        regularisation = expected["regularisation"]
        found = jp.variance(potential, crystal, regularisation=regularisation, correlated=False)
        np.testing.assert_allclose(found.sites, expected["variance"], rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.terms.sum(0), found.sites, rtol=1e-14)
        gradient = jax.grad(total)(crystal.positions, regularisation)
        np.testing.assert_allclose(gradient, expected["gradient"], rtol=0, atol=1e-11)


def test_one_vector_an_atom_needs_no_correlations():
    np.testing.assert_allclose(
        jp.variance(PLAIN, structure()).sites, VARIANCE["plain"][0]["variance"], rtol=0, atol=1e-12
    )


def dimer(distance):
    return jp.Structure([[0, 0, 0], [distance, 0, 0], [0, distance, 0]], np.zeros((3, 3)), ["Si"] * 3, pbc=False)


def pairs(points, delta=0.4, factor=1.0):
    readout = SparseGP(SquaredExponential(0.5), np.reshape(points, (-1, 1)), np.ones(len(points)), delta)
    return factor * Described(Pair(5.0, 1.0), readout, ["Si"]) + Constants({"Si": -1.0}) + ZBL(1.0, 1.5)


def test_two_equal_distances_err_together():
    """The corner has two pairs of one length: twice the error, four times the variance, not twice."""
    far = pairs([2.0, 2.5, 9.0])
    corner = dimer(3.6)
    sigma = 1e-4
    x, points = np.array([3.6]), np.array([2.0, 2.5, 9.0])
    k = 0.16 * np.exp(-2.0 * (x - points) ** 2)
    covariance = 0.16 * np.exp(-2.0 * (points[:, None] - points) ** 2) + sigma**2 * np.eye(3)
    one = 0.16 - k @ np.linalg.solve(covariance, k)
    together = jp.variance(far, corner, regularisation=sigma).sites[0]
    apart = jp.variance(far, corner, regularisation=sigma, correlated=False).sites[0]
    assert float(together) == pytest.approx(4 * one + 2 * sigma**2, rel=1e-12)
    assert float(apart) == pytest.approx(2 * one + 2 * sigma**2, rel=1e-12)


def test_none_at_a_sparse_point_and_all_far_away():
    at, far = pairs([3.6, 2.0]), pairs([20.0])
    sigma = 1e-5
    assert float(jp.variance(at, dimer(3.6), regularisation=sigma).sites[0]) < 10 * sigma**2
    assert float(jp.variance(far, dimer(3.6), regularisation=sigma).sites[0]) == pytest.approx(4 * 0.16, rel=1e-6)


def test_terms_scale_with_the_square_of_their_factor():
    once, twice = (jp.variance(pairs([2.0], factor=f), dimer(3.0)).terms for f in (1.0, -2.0))
    assert once.shape == (1, 3)
    np.testing.assert_allclose(twice, 4 * once, rtol=1e-13)
    both = jp.variance(pairs([2.0]) + pairs([2.5], factor=0.5), dimer(3.0))
    assert both.terms.shape == (2, 3) and (both.sites > both.terms).all()


@pytest.mark.thorough
def test_many_vectors_an_atom_are_taken_in_batches(monkeypatch):
    expected = jp.variance(jp.load(FILES / "two.xml"), structure("two")).sites
    monkeypatch.setattr("jaxpot.uncertainty.prior_variance._BATCH", 1)
    jax.clear_caches()
    np.testing.assert_allclose(jp.variance(jp.load(FILES / "two.xml"), structure("two")).sites, expected, rtol=1e-10)


def test_derivatives_by_parameters_and_under_jit():
    corner, potential = dimer(3.0), pairs([2.0, 2.4])
    listed = jp.neighbors(corner, potential.cutoff)

    def total(potential):
        return jp.variance(potential, corner, listed).sites.sum()

    slope = jax.jit(jax.grad(total))(potential).terms[0].potential.readout.delta
    h = 1e-5
    difference = (total(pairs([2.0, 2.4], 0.4 + h)) - total(pairs([2.0, 2.4], 0.4 - h))) / (2 * h)
    assert float(slope) == pytest.approx(float(difference), rel=1e-7)


def test_gradient_of_correlated_vectors():
    corner, potential = dimer(3.0), pairs([2.0, 2.4])
    listed = jp.neighbors(corner, potential.cutoff, 0.1)

    def total(x):
        return jp.variance(potential, corner.moved(corner.positions.at[0, 0].set(x)), listed).sites.sum()

    assert float(jax.grad(total)(0.01)) == pytest.approx(float(total(0.01 + 1e-5) - total(0.01 - 1e-5)) / 2e-5, rel=1e-6)


@pytest.mark.thorough
def test_ase():
    first = REFERENCE["two"][0]
    atoms = Atoms(first["symbols"], first["positions"], cell=first["cell"], pbc=True)
    calculator = jp.ase_calculator(jp.load(FILES / "two.xml"))
    atoms.calc = calculator
    atoms.get_potential_energy()
    assert "local_gap_variance" not in calculator.results
    found = calculator.get_property("local_gap_variance", atoms)
    np.testing.assert_allclose(found, VARIANCE["two"][0]["variance"], rtol=0, atol=1e-12)
    assert calculator.results["energy"] == pytest.approx(first["energy"], abs=1e-8)
    calculator.potential = jp.potentials.StillingerWeber.silicon()
    assert "local_gap_variance" not in calculator.implemented_properties


def test_refused():
    crystal = structure()
    with pytest.raises(DataError, match="has no variance: expected a Gaussian process"):
        jp.variance(jp.potentials.StillingerWeber.silicon(), crystal)
    for wrong in (-1.0, np.nan, np.inf, "x"):
        with pytest.raises(DataError, match="regularisation: expected an energy"):
            jp.variance(PLAIN, crystal, regularisation=wrong)
    corners = Described(Triangle(4.0), SparseGP(SquaredExponential(1.0), np.ones((1, 3)), [1.0]), ["Si"])
    with pytest.raises(DataError, match="instances of Triangle in its variance is not known"):
        jp.variance(corners, dimer(3.0), correlated=False)
    assert np.isfinite(jp.variance(corners, dimer(3.0)).sites).all()
    assert "local_gap_variance" not in jp.ase_calculator(corners).implemented_properties
    same = pairs([2.0, 2.0])
    with pytest.raises(DataError, match="2 sparse points is numerically singular .* larger than 1e-10"):
        jp.variance(same, dimer(3.0), regularisation=1e-10)
    assert np.isfinite(jp.variance(same, dimer(3.0)).sites).all()
    single = jp.Structure(np.zeros((1, 3), np.float32), 5 * np.eye(3, dtype=np.float32), ["Si"])
    with pytest.raises(PrecisionError, match="float64"):
        jp.variance(PLAIN, single)
