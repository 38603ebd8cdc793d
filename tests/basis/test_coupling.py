"""Couplings against rotations of harmonics, integrals of three of them, products of vectors, and published tables."""

import json
import os
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss
from scipy.spatial.transform import Rotation

from jaxpot.basis.coupling import clebsch_gordan, coupling
from jaxpot.basis.harmonics import real_harmonics

TABLES = Path(os.environ.get("JAXPOT_DATA", "")) / "models" / "e3nn-tables" / "wigner3j_and_spherical_harmonics.json"
TRIPLES = [t for t in product(range(5), repeat=3) if abs(t[0] - t[1]) <= t[2] <= t[0] + t[1]]


@cache
def turned(degree):
    """Matrix D with Y(R v) = D Y(v), from harmonics of some directions."""
    rotation = Rotation.from_euler("zyx", [0.3, 1.1, -0.7]).as_matrix()
    v = np.random.default_rng(degree).normal(size=(40, 3))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    before, after = (np.asarray(real_harmonics(degree, *u.T)[degree]) for u in (v, v @ rotation.T))
    return np.linalg.lstsq(before, after, rcond=None)[0].T


def test_turns_with_the_harmonics():
    for triple in TRIPLES:
        symbols = coupling(*triple)
        together = np.einsum("abc,ia,jb,kc->ijk", symbols, *(turned(n) for n in triple))
        np.testing.assert_allclose(together, symbols, atol=1e-12)
        overlaps = np.einsum("abc,abd->cd", symbols, symbols)  # of the orders of the third: a unit matrix, sum C^2 = 1
        np.testing.assert_allclose(overlaps, np.eye(len(overlaps)) / len(overlaps), atol=1e-14)


def test_integrals_of_three_harmonics_go_with_them():
    """Even sums of degrees: C is the integral of Y1 Y2 Y3 over the sphere, but for its length and sign."""
    z, weights = leggauss(10)
    phi = np.arange(24) * np.pi / 12
    sine = np.sqrt(1.0 - z * z)[:, None]
    x, y, z = (sine * np.cos(phi)).ravel(), (sine * np.sin(phi)).ravel(), np.repeat(z, 24)
    harmonics = [np.asarray(h) for h in real_harmonics(4, x, y, z)]
    for triple in (t for t in TRIPLES if sum(t) % 2 == 0):
        integrals = np.einsum("p,pa,pb,pc->abc", np.repeat(weights, 24), *(harmonics[n] for n in triple), optimize=True)
        overlap = np.sum(integrals * coupling(*triple)) / np.linalg.norm(integrals)
        assert abs(overlap) == pytest.approx(1.0, abs=1e-12), triple


def test_vectors():
    """(1, 1) -> 0 is a scalar product, (1, 1) -> 1 a vector product; orders are y, z, x."""
    a, b = np.random.default_rng(0).normal(size=(2, 3))
    places = [1, 2, 0]
    dot = np.einsum("abc,a,b->c", coupling(1, 1, 0), a[places], b[places])
    np.testing.assert_allclose(dot, [a @ b / np.sqrt(3.0)], atol=1e-14)
    cross = np.einsum("abc,a,b->c", coupling(1, 1, 1), a[places], b[places])
    np.testing.assert_allclose(cross, np.cross(a, b)[places] / np.sqrt(6.0), atol=1e-14)


def test_clebsch_gordan():
    assert clebsch_gordan(1, 0, 1, 0, 2, 0) == pytest.approx(np.sqrt(2.0 / 3.0))
    assert clebsch_gordan(1, 1, 1, -1, 0, 0) == pytest.approx(np.sqrt(1.0 / 3.0))
    assert clebsch_gordan(2, 1, 1, 0, 2, 1) == pytest.approx(np.sqrt(1.0 / 6.0))
    assert clebsch_gordan(1, 1, 1, 1, 2, 1) == 0.0


def test_what_does_not_couple():
    with pytest.raises(ValueError, match="1, 1 do not couple to 3"):
        coupling(1, 1, 3)


@pytest.mark.data
def test_signs_and_numbers_of_e3nn():
    table = json.loads(TABLES.read_text())["wigner_3j"]
    for key, values in table.items():
        triple = tuple(map(int, key.split(",")))
        places = [[*range(n - 1, -1, -1), *range(n, 2 * n + 1)] for n in triple]
        np.testing.assert_allclose(coupling(*triple), np.array(values)[np.ix_(*places)], atol=1e-14)
