"""The bispectrum, by Wigner matrices and Clebsch-Gordan coefficients; what is refused."""

import math
from functools import partial

import ase
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.basis.triple_correlations import degree_triples
from jaxpot.core.graph import Environment
from jaxpot.descriptors import Bispectrum
from jaxpot.descriptors.base import Descriptor
from jaxpot.errors import DataError
from jaxpot.readouts import MLP, Linear, Neural, Quadratic

CUTOFF, RFAC0 = 4.2, 0.9


def environment(count=6, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 3))
    vectors *= (rng.uniform(1.5, 4.1, count) / np.linalg.norm(vectors, axis=1))[:, None]
    numbers = jnp.asarray(rng.choice([74, 4], count))
    x, y, z = map(jnp.asarray, vectors.T)
    return Environment(x, y, z, jnp.asarray(np.linalg.norm(vectors, axis=1)), numbers, jnp.asarray(74))


# Independently of the package: Wigner matrices as symmetric powers of a matrix of SU(2), and Racah's formula.


def wigner(n, w, x, y, z):
    """D^j of a rotation, 2 j = n: how monomials s^k t^(n - k) transform."""
    (a, b), (c, d) = (w + 1j * z, y + 1j * x), (-y + 1j * x, w - 1j * z)
    norms = np.sqrt([math.comb(n, k) for k in range(n + 1)])
    columns = []
    for k in range(n + 1):
        column = np.array([1.0 + 0.0j])
        for factor in [(a, c)] * k + [(b, d)] * (n - k):
            column = np.convolve(column, factor)
        columns.append(column[::-1] * norms[k] / norms)
    return np.array(columns).T


def clebsch_gordan(n1, m1, n2, m2, n, m):
    """<j1 m1 j2 m2 | j m>, all arguments doubled."""
    def f(k):
        return math.factorial(k // 2)

    if m1 + m2 != m or not abs(n1 - n2) <= n <= n1 + n2:
        return 0.0
    total = 0.0
    for k in range(0, n1 + n2 - n + 1, 2):
        terms = (k, n1 + n2 - n - k, n1 - m1 - k, n2 + m2 - k, n - n2 + m1 + k, n - n1 - m2 + k)
        if min(terms) >= 0:
            total += (-1) ** (k // 2) / math.prod(map(f, terms))
    triangle = f(n1 + n2 - n) * f(n1 - n2 + n) * f(-n1 + n2 + n) / f(n1 + n2 + n + 2)
    states = math.prod(f(j + s * q) for j, q in ((n1, m1), (n2, m2), (n, m)) for s in (1, -1))
    return math.sqrt((n + 1) * triangle * states) * total


def coupling(n1, n2, n):
    """(n + 1, n1 + 1, n2 + 1)"""
    return np.array([[[clebsch_gordan(n1, 2 * i - n1, n2, 2 * j - n2, n, 2 * k - n) for j in range(n2 + 1)]
                      for i in range(n1 + 1)] for k in range(n + 1)])


def by_wigner_matrices(env, twojmax, weights):
    matrices = [np.eye(n + 1, dtype=complex) for n in range(twojmax + 1)]
    for x, y, z, number in zip(env.x, env.y, env.z, env.numbers, strict=True):
        r = float(np.sqrt(x * x + y * y + z * z))
        theta = RFAC0 * np.pi * r / CUTOFF
        v = np.append(np.cos(theta), np.sin(theta) * np.array([x, y, z]) / r)
        f = weights[int(number)] * 0.5 * (1.0 + np.cos(np.pi * r / CUTOFF))
        for n in range(twojmax + 1):
            matrices[n] += f * wigner(n, *v)
    components = []
    for n1, n2, n in degree_triples(twojmax):
        c = coupling(n1, n2, n)
        coupled = np.einsum("kab,lcd,ac,bd->kl", c, c, matrices[n1], matrices[n2])
        components.append(np.sum(coupled * matrices[n].conj()))
    return np.array(components)


@pytest.mark.parametrize("twojmax", [1, 4])
def test_components_by_clebsch_gordan_coefficients(twojmax):
    env = environment()
    descriptor = Bispectrum(
        ("W", "Be"), twojmax, CUTOFF, (0.5, 0.5), (1.0, 0.6), RFAC0, bzeroflag=False, bnormflag=False
    )
    (vector,), weights = descriptor.instances(env)
    exact = by_wigner_matrices(env, twojmax, {74: 1.0, 4: 0.6})
    assert np.abs(exact.imag).max() < 1e-13 and weights.tolist() == [1.0]
    np.testing.assert_allclose(vector, exact.real, rtol=1e-12, atol=1e-12)


def test_an_atom_alone_has_no_components():
    far = environment().replace(distances=jnp.full(6, 9.0), x=jnp.full(6, 9.0))
    for options in ({}, {"chemflag": True}, {"chemflag": True, "wselfallflag": True}):
        descriptor = Bispectrum(("W", "Be"), 3, CUTOFF, (0.5, 0.5), (1.0, 0.6), **options)
        np.testing.assert_allclose(descriptor.instances(far)[0], 0.0, atol=1e-13)


@pytest.mark.parametrize("changes", [
    {"chemflag": True},
    *(pytest.param(changes, marks=pytest.mark.thorough) for changes in (
        {"twojmax": 5}, {"twojmax": 1}, {"rmin0": 0.5, "bnormflag": True},
        {"sinner": (1.8, 1.7), "dinner": (0.4, 0.5), "rfac0": 1.1, "switchflag": False},
    )),
], ids=lambda changes: next(iter(changes)))
def test_jacobian_by_two_routes(changes):
    settings = {"twojmax": 3, "rcutfac": CUTOFF, "radii": (0.5, 0.45), "weights": (1.0, 0.6)}
    descriptor, here = Bispectrum(("W", "Be"), **settings | changes), environment()
    here = here.replace(x=here.x.at[5].set(9.0), distances=here.distances.at[5].set(9.0))  # beyond the cutoff
    by_sums, plain = (f(here) for f in (descriptor.jacobian, partial(Descriptor.jacobian, descriptor)))
    for mine, exact in zip(by_sums, plain, strict=True):
        assert mine.shape == exact.shape
        np.testing.assert_allclose(mine, exact, rtol=1e-10, atol=1e-10)


READOUTS = {
    "linear": lambda d, rng: Linear(rng.normal(size=d), 0.5),
    "quadratic": lambda d, rng: Quadratic(rng.normal(size=d * (d + 3) // 2), 0.5),
    "network": lambda d, rng: Neural(MLP.random(jax.random.key(0), d, (4,)), np.zeros(d), np.ones(d), 0.1, 2.0),
}


@pytest.mark.parametrize("kind", READOUTS)
def test_energies_that_form_no_vector(kind):
    """Energies and derivatives by projection are those by the vector."""
    descriptor, env = Bispectrum(("W", "Be"), 3, CUTOFF, (0.5, 0.5), (1.0, 0.6)), environment()
    readout = READOUTS[kind](descriptor.dimension, np.random.default_rng(1))

    def plain(readout, x):
        return readout.energy(*descriptor.instances(env.replace(x=x)))

    def fast(readout, x):
        return readout.energy_of(descriptor, env.replace(x=x))

    assert float(fast(readout, env.x)) == pytest.approx(float(plain(readout, env.x)), rel=1e-12)
    moved = jnp.sin(jnp.arange(len(env.x)))

    def derivatives(f):
        """By the readout and by places, and of the latter once more along a direction."""
        slopes = jax.grad(f, 1)
        return *jax.grad(f, (0, 1))(readout, env.x), jax.jvp(lambda x: slopes(readout, x), (env.x,), (moved,))[1]

    by_projection, by_vector = (jax.jit(derivatives, static_argnums=0)(f) for f in (fast, plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), by_projection, by_vector)


def test_quadratic_readouts():
    readout = Quadratic([1.0, -2.0, 0.5, 3.0, 4.0], 2.0)
    assert readout.dimension == 2 and readout.n_features == 5
    np.testing.assert_array_equal(readout.curvature, [[0.5, 3.0], [3.0, 4.0]])
    x = np.array([[0.3, -0.7]])
    exact = 2.0 * (x[0] @ [1.0, -2.0] + 0.5 * x[0] @ np.array([[0.5, 3.0], [3.0, 4.0]]) @ x[0])
    assert float(readout.energy(jnp.asarray(x), jnp.ones(1))) == pytest.approx(exact, rel=1e-14)
    features = readout.features(jnp.asarray(x), jnp.ones(1))
    assert float(features @ readout.weights) == pytest.approx(exact, rel=1e-14)
    assert Quadratic.untrained(3, 1.0).weights.shape == (9,)
    with pytest.raises(DataError, match=r"d weights and d \(d \+ 1\) / 2 behind"):
        Quadratic(np.zeros(4))


@pytest.mark.parametrize("changes, message", [
    ({"species": ("W", "W")}, "different elements"), ({"twojmax": 15}, "twojmax"), ({"rcutfac": 0.0}, "rcutfac"),
    ({"radii": (0.5,)}, "radii: expected one for each of 2"), ({"radii": (0.5, 0.0)}, "radii above zero"),
    ({"rmin0": 5.0}, "rmin0 from 0"), ({"sinner": (1.0, 1.0)}, "both sinner and dinner"),
    ({"sinner": (1.0, 1.0), "dinner": (0.5, 0.0)}, "dinner: expected numbers above zero"),
])
def test_numbers_without_a_meaning(changes, message):
    settings = {"species": ("W", "Be"), "twojmax": 2, "rcutfac": 4.0, "radii": (0.5, 0.5), "weights": (1.0, 1.0)}
    with pytest.raises(DataError, match=message):
        Bispectrum(**settings | changes)




@pytest.mark.parametrize(("changes", "place"), [({"rmin0": 1.0}, 1.0), ({"rfac0": 1.25}, CUTOFF / 1.25)])
def test_jumps_are_declared(changes, place):
    descriptor = Bispectrum(("W",), 3, CUTOFF, **changes)
    assert descriptor.smoothness == -1 and any(abs(kink - place) < 1e-12 for kink in descriptor.kinks)
    one = environment(1).replace(number=jnp.asarray(74), numbers=jnp.full(1, 74), y=jnp.zeros(1), z=jnp.zeros(1))

    def vector(r):
        return descriptor.instances(one.replace(x=jnp.full(1, r), distances=jnp.full(1, r)))[0]

    assert np.abs(vector(place + 1e-6) - vector(place - 1e-6)).max() > 0.1
    smooth = Bispectrum(("W",), 3, CUTOFF)
    assert smooth.smoothness == 1 and smooth.kinks == (CUTOFF,)


def test_elements_that_a_descriptor_is_not_made_for_are_refused():
    copper = jp.potentials.Described(Bispectrum(("Cu",), 2, CUTOFF), Linear(np.ones(5)))
    assert copper.species == (29,)
    with pytest.raises(DataError, match="Au"):
        jp.evaluate(copper, ase.Atoms("Au2", [[0, 0, 0], [2.5, 0, 0]]))
