"""Triangles: how often they count, in which order their sides come, and what they may be made of."""

import itertools

import jax
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.core.graph import connect
from jaxpot.descriptors import Pair, Triangle
from jaxpot.errors import DataError
from jaxpot.kernels import Permuted, SquaredExponential
from jaxpot.potentials import Described
from jaxpot.readouts import SparseGP

SIDES = np.array([2.6, 2.7, 2.8])  # 12, 13, 23; all within the switch
CUTOFF, WIDTH = 3.0, 0.5


def corners(sides=SIDES):
    a, b, c = sides
    x = (a * a + b * b - c * c) / (2 * a)
    return np.array([[0, 0, 0], [a, 0, 0], [x, np.sqrt(b * b - x * x), 0]])


def instances(descriptor, symbols, positions=None):
    """Vectors and weights of a molecule, where these are not zero."""
    positions = corners() if positions is None else positions
    structure = jp.Structure(positions, np.zeros((3, 3)), symbols, pbc=False)
    graph = connect(structure, jp.neighbors(structure, descriptor.cutoff + 1.5))
    vectors, weights = jax.vmap(descriptor.instances)(graph.environments())
    vectors, weights = np.asarray(vectors).reshape(-1, descriptor.dimension), np.asarray(weights).reshape(-1)
    return vectors[weights > 0], weights[weights > 0]


def fade(r):
    return 0.5 + 0.5 * np.cos(np.pi * (r - CUTOFF + WIDTH) / WIDTH)


def test_compact_triangles_count_at_each_corner():
    vectors, weights = instances(Triangle(CUTOFF, WIDTH, ("O", "C", "Si")), ["Si", "O", "C"])
    f = fade(SIDES)
    # The middle of each is first, then the lighter of the others: Si C O, O C Si, C O Si.
    expected = {(2.7, 2.6, 2.8): f[0] * f[1], (2.8, 2.6, 2.7): f[0] * f[2], (2.8, 2.7, 2.6): f[1] * f[2]}
    assert {tuple(v.round(12)) for v in vectors} == set(expected)
    for vector, weight in zip(vectors, weights, strict=True):
        assert weight == pytest.approx(expected[tuple(vector.round(12))], abs=1e-14)


@pytest.mark.parametrize("symbols", list(itertools.permutations(["Si", "O", "C"])))
def test_other_triangles_count_once(symbols):
    vectors, weights = instances(Triangle(CUTOFF, WIDTH, ("O", "C", "Si"), compact=False), symbols)
    place = [symbols.index(s) for s in ("C", "O", "Si")]
    sides = [np.linalg.norm(corners()[place[a]] - corners()[place[b]]) for a, b in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(vectors, [sides] * 3, atol=1e-12)
    one, two, three = fade(SIDES)
    connected = one * two + one * three + two * three - 2 * one * two * three
    assert weights.sum() == pytest.approx(connected, abs=1e-14)


def test_a_chain_is_one_triangle():
    for compact in (True, False):
        vectors, weights = instances(Triangle(CUTOFF, WIDTH, compact=compact), ["Si"] * 3, corners([2.0, 3.5, 2.2]))
        np.testing.assert_allclose(np.sort(vectors), [[2.0, 2.2, 3.5]], atol=1e-12)
        assert weights == pytest.approx([1.0])


def test_elements():
    assert Triangle(3.0, elements=("Si", "C", "Si")).elements == (6, 14, 14)
    for symbols in (["Si", "Si", "Si"], ["C", "C", "Si"], ["C", "Si", "O"]):
        assert not instances(Triangle(CUTOFF, WIDTH, ("C", "Si", "Si")), symbols)[1].size
    assert Triangle(3.0, elements=("C", "C", "Si"), compact=False).permutations == ((0, 1, 2), (0, 2, 1))
    assert len(Triangle(3.0).permutations) == 6


@pytest.mark.parametrize("elements, message", [
    (("C", "C", "Si"), "depends on the order of the atoms"),
    (("C", None, "Si"), "expected three, or None"),
    (("C", "Si"), "expected three"),
])
def test_refused(elements, message):
    with pytest.raises(DataError, match=message):
        Triangle(3.0, elements=elements)


def test_pairs_that_count_once():
    twice, once = (instances(Pair(CUTOFF, WIDTH, once=o), ["Si"] * 3)[1] for o in (False, True))
    np.testing.assert_allclose(once, 0.5 * twice)
    assert once.sum() == pytest.approx(fade(SIDES).sum())


def test_variance_of_pairs_that_count_once():
    """QUIP's `local_gap_variance` is sum_j f^2 R / 2 for them, that of others sum_j f^2 R (found with quippy)."""
    structure = jp.Structure(corners(), np.zeros((3, 3)), ["Si"] * 3, pbc=False)
    found = [
        jp.variance(
            Described(Pair(CUTOFF, WIDTH, once=once), SparseGP(SquaredExponential(1.0), np.array([[2.0]]), [1.0]), ["Si"]),
            structure, correlated=False,
        ).sites
        for once in (False, True)
    ]
    np.testing.assert_allclose(found[1], 0.5 * found[0], rtol=1e-12)


def test_permutations_make_a_group():
    for wrong, message in (([(0, 1, 2), (1, 2, 0)], "a group"), ([(0, 1, 2)] * 2, "each once"), ([(0, 0, 1)], "every one")):
        with pytest.raises(DataError, match=message):
            Permuted(SquaredExponential(1.0), wrong)
