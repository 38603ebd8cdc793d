"""Symmetry functions against explicit sums over neighbours and pairs of them."""

import itertools
import math

import jax
import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.core.graph import connect
from jaxpot.descriptors import Angular, Radial, SymmetryFunctions
from jaxpot.errors import DataError

SHAPES = itertools.product(((0.03, 0.0), (0.06, 0.0), (0.05, 1.2)), ((1, -1), (2, 1), (4.0, -1.0), (2.5, 0.5)))
FUNCTIONS = (
    Radial(0.03, 4.0, 5.0, "Si"), Radial(0.1, 0.0, 5.0), Radial(0.1, 1.0, 4.0, "C", True),
    *(
        function
        for (eta, shift), (zeta, sign) in SHAPES
        for function in (
            Angular(eta, zeta, sign, 4.6, shift, ("Si", "C")),
            Angular(eta, zeta, sign, 4.2, shift, None, False),
            Angular(eta, zeta, sign, 4.2, shift, ("Si", "Si"), True, True),
        )
    ),
)
CORES = {
    "cosine": lambda t: 0.5 * (1.0 + math.cos(math.pi * t)),
    "exponential": lambda t: math.exp(1.0 - 1.0 / (1.0 - t * t)),
    "poly1": lambda t: 1.0 - t**2 * (3.0 - 2.0 * t),
    "poly2": lambda t: 1.0 - t**3 * (10.0 - 15.0 * t + 6.0 * t * t),
    "poly3": lambda t: 1.0 - t**4 * (35.0 - 84.0 * t + 70.0 * t**2 - 20.0 * t**3),
    "poly4": lambda t: 1.0 - t**5 * (126.0 - 420.0 * t + 540.0 * t**2 - 315.0 * t**3 + 70.0 * t**4),
}


def fade(name, inner, r, cutoff):
    if r >= cutoff:
        return 0.0
    if name in ("tanh", "tanh-1"):
        return (math.tanh(1.0 - r / cutoff) / (1.0 if name == "tanh" else math.tanh(1.0))) ** 3
    return 1.0 if name == "hard" else CORES[name](max((r / cutoff - inner) / (1.0 - inner), 0.0))


def explicit(functions, name, inner, vectors, numbers):
    """The definitions, written down."""
    r, found = np.linalg.norm(vectors, axis=1), []
    for q in functions:
        def f(r, q=q):
            return fade(name, inner, r, q.cutoff)

        if isinstance(q, Radial):
            near = [(r, z) for r, z in zip(r, numbers, strict=True) if q.element in (None, z)]
            found.append(sum((z if q.weighted else 1) * math.exp(-q.eta * (r - q.shift) ** 2) * f(r) for r, z in near))
            continue
        total = 0.0
        for j, k in itertools.combinations(range(len(r)), 2):
            if q.elements is not None and tuple(sorted((numbers[j], numbers[k]))) != q.elements:
                continue
            cosine, across = vectors[j] @ vectors[k] / (r[j] * r[k]), np.linalg.norm(vectors[j] - vectors[k])
            sides = (r[j], r[k], across) if q.narrow else (r[j], r[k])
            term = 2.0 ** (1 - q.zeta) * max(1.0 + q.sign * cosine, 0.0) ** q.zeta
            for side in sides:
                term *= math.exp(-q.eta * (side - q.shift) ** 2) * f(side)
            total += term * (numbers[j] * numbers[k] if q.weighted else 1)
        found.append(total)
    return np.array(found)


@pytest.fixture(scope="module")
def carbide():
    atoms = bulk("SiC", "zincblende", a=4.7, cubic=True)
    atoms.rattle(0.1, seed=1)
    return jp.Structure.of(atoms)


@pytest.mark.parametrize(
    "name, inner", [("cosine", 0.0), ("cosine", 0.4), ("poly3", 0.1), ("tanh", 0.0), ("exponential", 0.2)]
)
def test_sums_over_neighbours_and_pairs(carbide, name, inner):
    descriptor = SymmetryFunctions(FUNCTIONS, name, inner)
    environments = connect(carbide, jp.neighbors(carbide, descriptor.cutoff, 0.2)).environments()
    found = np.asarray(jax.jit(jax.vmap(lambda e: descriptor.instances(e)[0][0]))(environments))
    for atom in (0, 5):
        vectors = np.stack([np.asarray(getattr(environments, axis)[atom]) for axis in "xyz"], axis=1)
        near = np.linalg.norm(vectors, axis=1) < descriptor.cutoff
        expected = explicit(descriptor.functions, name, inner, vectors[near], np.asarray(environments.numbers[atom])[near])
        np.testing.assert_allclose(found[atom], expected, rtol=1e-12, atol=1e-14)


def test_jacobian_is_the_derivative(carbide):
    descriptor = SymmetryFunctions(FUNCTIONS[:8], "poly2")
    listed = jp.neighbors(carbide, descriptor.cutoff)
    first = jax.tree.map(lambda a: a[0], connect(carbide, listed).environments())
    vectors, _, places, changes, _ = jax.jit(descriptor.jacobian)(first)
    step, k = 1e-5, int(places[0, 3])
    moved = []
    for sign in (1.0, -1.0):
        y = first.y.at[k].add(sign * step)
        r = jax.numpy.sqrt(first.x**2 + y**2 + first.z**2)
        moved.append(descriptor.instances(first.replace(y=y, distances=r))[0][0])
    np.testing.assert_allclose(changes[0, 3, 1], (moved[0] - moved[1]) / (2.0 * step), atol=1e-8)
    assert vectors.shape == (1, descriptor.dimension)


def test_automatic_sets_tell_elements_apart():
    one, two = (SymmetryFunctions.automatic(species, 5.0, 4, 2, nearest=2.0) for species in (None, ("Si", "C")))
    assert one.dimension == 4 + 12 and two.dimension == 2 * 4 + 3 * 12
    assert one.species is None and two.species == (6, 14)
    assert [f.shift for f in one.functions if isinstance(f, Radial)] == pytest.approx([2.0, 2.75, 3.5, 4.25])
    with pytest.raises(DataError, match="nearest"):
        SymmetryFunctions.automatic(None, 5.0, nearest=5.0)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (((),), "at least one"), (((3.0,),), "expected Radial and Angular"), (((Radial(-1.0, 0.0, 5.0),),), "eta"),
        (((Radial(1.0, 0.0, -5.0),),), "cutoff"), (((Angular(1.0, 0.5, 1.0, 5.0),),), "zeta"),
        (((Angular(1.0, 1.0, 2.0, 5.0),),), "lambda"), (((Angular(1.0, 1.0, 1.0, 5.0, 0.0, ("Si",)),),), "expected two"),
        (((Radial(1.0, 0.0, 5.0),), "sine"), "fade"), (((Radial(1.0, 0.0, 5.0),), "cosine", 1.0), "inner"),
    ],
)
def test_what_has_no_meaning_is_refused(arguments, said):
    with pytest.raises(DataError, match=said):
        SymmetryFunctions(*arguments)
