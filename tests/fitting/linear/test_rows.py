"""Design rows times weights are what the fitted potential says, by the other route."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from tiers import thorough_but

import jaxpot as jp
from jaxpot.core.graph import connect
from jaxpot.data.padded_frames import prepare_frames
from jaxpot.descriptors.base import Descriptor
from jaxpot.fitting.linear.curvatures import HessianProduct, StrainCurvature
from jaxpot.fitting.linear.rows import design_rows, linear_terms
from jaxpot.potentials.terms import inner_cutoffs

SPECIES = ("C", "Si")


def carbide():
    atoms = bulk("SiC", "zincblende", a=4.4, cubic=True)
    atoms.rattle(0.1, seed=3)
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.05 * np.random.default_rng(0).normal(size=(3, 3))), scale_atoms=True)
    return jp.Structure.of(atoms)


def term(descriptor, kernel, dimension, seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(1.5, 3.0, size=(5, dimension))
    points = points / np.linalg.norm(points, axis=1)[:, None] if dimension > 3 else points
    readout = jp.readouts.SparseGP(kernel, points, rng.normal(size=5), 0.7, rng.uniform(0.5, 1.0, size=5))
    return jp.potentials.Described(descriptor, readout, SPECIES)


@pytest.fixture(scope="module")
def potential():
    soap = jp.descriptors.SOAP(3, 2, cutoff=4.0, species=SPECIES, centers=["Si"], compact=True)
    pair = jp.descriptors.Pair(3.0, elements=["C", "Si"])
    triplet = jp.descriptors.Triplet(2.8, elements=["Si", "C", "C"])
    return (
        term(soap, jp.kernels.DotProduct(3), soap.dimension, 0)
        + term(pair, jp.kernels.SquaredExponential(0.8), 1, 1)
        + term(triplet, jp.kernels.SquaredExponential(1.0), 3, 2)
    )


@pytest.fixture(scope="module")
def prepared(potential):
    return prepare_frames([carbide()], potential.cutoff, inner_cutoffs(potential))[0]


def weights_of(potential):
    return jnp.concatenate([t.readout.weights for t in linear_terms(potential)])


def test_rows_times_weights_are_energy_forces_and_stress(potential, prepared):
    rows, weights = design_rows(potential, *prepared), weights_of(potential)
    expected = jp.evaluate(potential, carbide())
    assert rows.energy @ weights == pytest.approx(float(expected.energy), rel=1e-12)
    np.testing.assert_allclose((rows.forces @ weights)[:8], expected.forces, atol=1e-12)
    np.testing.assert_allclose((rows.forces @ weights)[8:], 0.0, atol=0)
    np.testing.assert_allclose(rows.stress @ weights, expected.stress, atol=1e-13)
    assert np.abs(expected.forces).max() > 0.01 and np.abs(expected.stress).max() > 1e-4


def test_what_is_not_linear_is_named():
    with pytest.raises(jp.errors.DataError, match="Stillinger.*baseline"):
        linear_terms(jp.potentials.StillingerWeber.silicon())
    pair = term(jp.descriptors.Pair(3.0), jp.kernels.SquaredExponential(0.8), 1, 1)
    with pytest.raises(jp.errors.DataError, match="factor into delta"):
        linear_terms(0.5 * pair)


OF_TWO = {"species": SPECIES, "centers": ["Si"], "compact": True}


@pytest.mark.parametrize("changes", thorough_but([{"compact": True}], [
    {}, {"compact": True}, {"compact": True, "compact_tolerance": 1e-12}, {"l_max": 0}, OF_TWO,
    {"normalise": False, "covariance_sigma0": 0.3},
], [OF_TWO]))
def test_the_jacobian_of_soap_is_that_of_automatic_differentiation(changes):
    soap = jp.descriptors.SOAP(**{"n_max": 4, "l_max": 3, "cutoff": 4.3, **changes})
    structure = carbide()
    environment = jax.tree.map(
        lambda a: a[5], connect(structure, jp.neighbors(structure, 4.4, capacity=40)).environments()
    )
    for own, general in zip(soap.jacobian(environment), Descriptor.jacobian(soap, environment), strict=True):
        assert own.shape == general.shape
        np.testing.assert_allclose(own, general, atol=2e-15)


def test_frames_share_few_shapes_and_keep_their_neighbours(potential):
    structures = [carbide().repeated((k, 1, 1)) for k in (1, 2, 3, 40)]
    ready = prepare_frames(structures, potential.cutoff, inner_cutoffs(potential))
    assert sorted({len(s) for s, _ in ready}) == [24, 512]
    for structure, (padded, listed) in list(zip(structures, ready, strict=True))[:3]:
        expected = jp.energy(potential, structure)
        assert jp.energy(potential, padded, listed) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.thorough
def test_curvatures_are_those_of_the_potential(potential, prepared):
    a, b = np.diag([1.0, 0.0, 0.0]), np.array([[0.0, 0.3, 0.0], [0.3, 0.5, 0.0], [0.0, 0.0, -0.2]])
    structure, weights = carbide(), weights_of(potential)
    curvature = StrainCurvature(structure, a, b, 0.0, 1.0)
    expected, step = curvature.baseline(potential), 1e-4
    assert (curvature.rows(potential, *prepared) @ weights) == pytest.approx(expected, rel=1e-9)

    def energy(s, t):
        return float(jp.energy(potential, structure.strained(s * a + t * b)))

    by_differences = sum(p * q * energy(p * step, q * step) for p in (1, -1) for q in (1, -1)) / (4 * step**2)
    assert expected[0] == pytest.approx(by_differences, rel=1e-4) and abs(expected[0]) > 1.0
    vector = np.random.default_rng(0).normal(size=(8, 3))
    product = HessianProduct(structure, vector, np.zeros((8, 3)), 0.1)
    np.testing.assert_allclose(
        product.rows(potential, *prepared) @ weights, product.baseline(potential), atol=1e-11
    )
    with pytest.raises(jp.errors.DataError, match="vector"):
        HessianProduct(structure, vector[:3], vector, 0.1)
    with pytest.raises(jp.errors.DataError, match="symmetric"):
        StrainCurvature(structure, np.triu(b), a, 0.0, 1.0)
