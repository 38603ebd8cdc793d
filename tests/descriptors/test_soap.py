"""SOAP vectors: invariances, and the two forms with the same scalar products."""

import jax
import numpy as np
import pytest
from environments import environment

from jaxpot.descriptors import SOAP
from jaxpot.errors import DataError

RNG = np.random.default_rng(3)
VECTORS = RNG.normal(scale=1.6, size=(9, 3))
OTHERS = ["Si", "C", "Si", "C", "Si", "Si", "C", "Si", "C"]
FULL = SOAP(4, 3, 4.0, 0.8, species=("Si", "C"))
COMPACT = FULL.replace(compact=True)
ONE = SOAP(3, 0, 4.0, central_weight=0.5)


def vector(soap, vectors=VECTORS, others=OTHERS, center="Si"):
    return np.asarray(soap.instances(environment(vectors, others, center))[0][0])


@pytest.mark.parametrize("soap", [FULL, COMPACT, ONE])
def test_rotations_mirrors_and_permutations(soap):
    turn = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    order = RNG.permutation(9)
    for sign in (1.0, -1.0):
        turned = vector(soap, VECTORS[order] @ (sign * turn), [OTHERS[k] for k in order])
        np.testing.assert_allclose(turned, vector(soap), atol=1e-13)
    assert len(vector(soap)) == soap.dimension
    assert np.linalg.norm(vector(soap)) == pytest.approx(1.0, abs=1e-13)


@pytest.mark.parametrize("soap", [FULL, FULL.replace(l_weight=False), FULL.replace(normalise=False), ONE,
                                  FULL.replace(central_reference_all_species=True)])
def test_compact_vectors_have_the_same_scalar_products(soap):
    other = RNG.normal(scale=1.6, size=(9, 3))
    compact = soap.replace(compact=True)
    full = np.stack([vector(soap), vector(soap, other, center="C")])
    short = np.stack([vector(compact), vector(compact, other, center="C")])
    np.testing.assert_allclose(short @ short.T, full @ full.T, rtol=1e-12)
    np.testing.assert_allclose(soap.replace(compact=True).compress(full), short, atol=1e-12 * np.abs(full).max())


def test_the_compact_space_is_the_same_everywhere():
    """Saved potentials hold compact vectors, so that signs and order of directions must never change."""
    found = vector(COMPACT.replace(compact_tolerance=1e-15))
    assert len(found) == 99
    np.testing.assert_allclose(found[:3], [0.7447687551, 0.0863922509, 0.0050106969], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found[63:66], [0.0269372911, 0.0275342731, -0.0317064741], rtol=0, atol=1e-9)


@pytest.mark.parametrize("soap", [FULL, ONE, SOAP(1, 2, 3.0), SOAP(2, 1, 4.0, species=("C", "Si", "O"))])
def test_expand_undoes_compress(soap):
    compact = soap.replace(compact=True)
    full = vector(soap)[None]
    np.testing.assert_allclose(compact.expand(compact.compress(full)), full, atol=1e-13)
    anything = RNG.normal(size=(4, compact.dimension))
    expanded = compact.expand(anything)
    assert expanded.shape == (4, soap.dimension)
    np.testing.assert_allclose(compact.compress(expanded), anything, atol=1e-13)
    np.testing.assert_allclose(expanded @ expanded.T, anything @ anything.T, rtol=1e-12, atol=1e-12)


def test_a_neighbour_fades_at_the_cutoff_and_is_gone_beyond():
    without = vector(FULL, VECTORS[1:], OTHERS[1:])
    for distance, tolerance in ((4.0 - 1e-7, 1e-12), (4.3, 1e-15)):
        vectors = np.concatenate([[[distance, 0.0, 0.0]], VECTORS[1:]])
        np.testing.assert_allclose(vector(FULL, vectors), without, atol=tolerance)


def test_elements_are_told_apart_and_centers_are_chosen():
    exchanged = ["C" if z == "Si" else "Si" for z in OTHERS]
    assert np.abs(vector(FULL, others=exchanged) - vector(FULL)).max() > 0.01
    weights = [
        float(FULL.replace(centers=("Si",)).instances(environment(VECTORS, OTHERS, z))[1][0]) for z in ("Si", "C")
    ]
    assert weights == [1.0, 0.0]
    assert FULL.species == (14, 6)


def test_without_neighbours_and_central_weight():
    empty = ONE.replace(central_weight=0.0)
    lonely = environment([[9.0, 0, 0]], ["Si"], "Si")
    np.testing.assert_array_equal(empty.instances(lonely)[0][0], np.zeros(empty.dimension))
    slope = jax.jacobian(lambda e: empty.instances(e)[0], allow_int=True)(lonely)
    assert np.isfinite(slope.x).all()


def test_refused():
    for change, message in (
        ({"n_max": 0}, "n_max"), ({"l_max": 2.5}, "l_max"), ({"atom_sigma": -0.5}, "atom_sigma"), ({"cutoff": 0.0}, "cutoff"),
        ({"compact": True, "covariance_sigma0": 0.1}, "covariance_sigma0"),
    ):
        with pytest.raises(DataError, match=message):
            FULL.replace(**change)
