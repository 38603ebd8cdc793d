"""The descriptor of NEP by plain sums with Legendre polynomials and Gaunt's integrals; what is refused."""

import math

import numpy as np
import pytest
from environments import environment
from scipy.special import sph_harm_y

from jaxpot.basis.moment_invariants import COUPLINGS
from jaxpot.descriptors import NeuroevolutionDescriptor
from jaxpot.errors import DataError
from jaxpot.readouts import ElementNetworks

RNG = np.random.default_rng(3)
RADIAL, ANGULAR = RNG.normal(size=(2, 2, 3, 4)), RNG.normal(size=(2, 2, 2, 5))
RADII, SHORTER = (5.0, 4.0), (3.9, 3.5)
ELEMENTS = ("Ti", "O")
# (l l' l''; 0 0 0) from tables.
ZEROS = {"222": -math.sqrt(2 / 35), "112": math.sqrt(2 / 15), "123": -math.sqrt(3 / 35), "233": math.sqrt(4 / 105),
         "134": math.sqrt(4 / 63)}


def surroundings(count=7):
    vectors = RNG.normal(size=(count, 3))
    vectors *= (RNG.uniform(1.5, 5.2, count) / np.linalg.norm(vectors, axis=1))[:, None]
    return vectors, RNG.choice(ELEMENTS, count), "O"


def functions(coefficients, radii, r, other, center):
    """g_n(r), written down."""
    i, j = ELEMENTS.index(center), ELEMENTS.index(other)
    cutoff = 0.5 * (radii[i] + radii[j])
    if r >= cutoff:
        return np.zeros(coefficients.shape[2])
    x = 2.0 * (r / cutoff - 1.0) ** 2 - 1.0
    terms = [0.5 * (math.cos(k * math.acos(x)) + 1.0) for k in range(coefficients.shape[3])]
    return coefficients[i, j] @ terms * (0.5 + 0.5 * math.cos(math.pi * r / cutoff))


def three_degrees(name, strengths, units):
    """Sum over m of 3j symbols times three moments: the mean over the sphere of the product of three densities."""
    degrees = [int(n) for n in name]
    # Gauss-Legendre by equal angles, exact for polynomials of degree 15.
    z, w = np.polynomial.legendre.leggauss(9)
    phi = 2.0 * np.pi * np.arange(17) / 17
    s = np.sqrt(1.0 - z * z)
    points = np.stack([np.outer(s, np.cos(phi)), np.outer(s, np.sin(phi)), np.outer(z, np.ones(17))], -1).reshape(-1, 3)
    weights = np.repeat(w, 17) * 2.0 * np.pi / 17
    product = np.ones(len(points))
    for n in degrees:
        legendre = np.polynomial.legendre.Legendre.basis(n)(points @ units.T)  # addition theorem
        product = product * (legendre @ strengths) * (2 * n + 1) / (4.0 * np.pi)
    gaunt = math.sqrt(math.prod(2 * n + 1 for n in degrees) / (4.0 * np.pi)) * ZEROS[name]
    return weights @ product / gaunt


def written_down(vectors, others, center, l_max, couplings):
    r = np.linalg.norm(vectors, axis=1)
    units = vectors / r[:, None]
    pairs = list(zip(r, others, strict=True))
    radial = sum(functions(RADIAL, RADII, *pair, center) for pair in pairs)
    g = np.array([functions(ANGULAR, SHORTER, *pair, center) for pair in pairs])  # (K, N)
    parts = [radial]
    cosines = units @ units.T
    for n in range(1, l_max + 1):
        legendre = np.polynomial.legendre.Legendre.basis(n)(cosines)
        parts.append((2 * n + 1) / (4.0 * np.pi) * np.einsum("jn,kn,jk->n", g, g, legendre))
    for name in couplings:
        if name == "1111":
            parts.append(7.0 / 15.0 * parts[1] ** 2)
        else:
            parts.append(np.array([three_degrees(name, strengths, units) for strengths in g.T]))
    return np.concatenate(parts)


@pytest.mark.parametrize("l_max, couplings", [(0, ()), (1, ("1111",)), (4, COUPLINGS), (8, ("222", "134"))])
def test_plain_sums(l_max, couplings):
    surrounded = surroundings()
    descriptor = NeuroevolutionDescriptor(RADIAL, ANGULAR, ELEMENTS, RADII, SHORTER, l_max, couplings)
    vectors, weights = descriptor.instances(environment(*surrounded))
    expected = written_down(*surrounded, l_max, couplings)
    assert vectors.shape == (1, descriptor.dimension) and weights.shape == (1,)
    np.testing.assert_allclose(vectors[0], expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


def test_four_moments_of_degree_one():
    """7/15 is the sum over L of squared 3j symbols, as couplings of two pairs to the same L."""
    vectors, others, center = surroundings()
    g = np.array([
        functions(ANGULAR, SHORTER, r, other, center)[0]
        for r, other in zip(np.linalg.norm(vectors, axis=1), others, strict=True)
    ])
    theta = np.arccos(vectors[:, 2] / np.linalg.norm(vectors, axis=1))
    phi = np.arctan2(vectors[:, 1], vectors[:, 0])
    square = sum(abs(np.sum(g * sph_harm_y(1, m, theta, phi))) ** 2 for m in (-1, 0, 1))
    descriptor = NeuroevolutionDescriptor(RADIAL, ANGULAR, ELEMENTS, RADII, SHORTER, 1, ("1111",))
    vector = descriptor.instances(environment(vectors, others, center))[0][0]
    assert vector[3] == pytest.approx(square, rel=1e-12)
    assert vector[5] == pytest.approx((1.0 / 3.0 + 2.0 / 15.0) * square**2, rel=1e-12)


def test_the_element_of_the_atom_is_the_last_component():
    descriptor = NeuroevolutionDescriptor(RADIAL, ANGULAR, ELEMENTS, RADII, SHORTER, with_element=True)
    for center, place in (("Ti", 0.0), ("O", 1.0)):
        vectors, _ = descriptor.instances(environment([[0.0, 0.0, 2.0]], ["O"], center))
        assert vectors[0, -1] == place and vectors.shape == (1, 3 + 2 * 4 + 1)


def test_what_is_refused():
    def made(**changes):
        given = {"radial": RADIAL, "angular": ANGULAR, "species": ELEMENTS, "radial_cutoffs": 5.0, "angular_cutoffs": 4.0}
        return NeuroevolutionDescriptor(**(given | changes))

    assert made().kinks == (4.0, 5.0) and made(radial_cutoffs=RADII).kinks == (4.0, 4.5, 5.0)
    for changes, message in (
        ({"species": ("Ti",)}, r"radial: expected an array \(1, 1, N, B\), got \(2, 2, 3, 4\)"),
        ({"angular_cutoffs": (1.0, 2.0, 3.0)}, "angular_cutoffs: expected one for each of 2 elements, or one; got 3"),
        ({"radial_cutoffs": -1.0}, "radial_cutoffs: expected a positive length"),
        ({"l_max": 9}, "l_max: expected a whole number from 0 to 8"),
        ({"couplings": ("1111", "222")}, "couplings: expected some of 222, 1111"),
        ({"l_max": 1, "couplings": ("222",)}, "couplings: expected degrees up to l_max = 1, got 222"),
    ):
        with pytest.raises(DataError, match=message):
            made(**changes)
    with pytest.raises(DataError, match=r"expected kernels \(S, d, H\)"):
        ElementNetworks(np.zeros((2, 3, 4)), np.zeros((2, 4)), np.zeros((2, 4)), 0.0, np.zeros(4))
