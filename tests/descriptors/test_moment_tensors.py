"""Moments and contractions, by outer products and sums over axes; monomials; what is refused."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.basis.unit_monomials import exponents, monomials, on_sphere
from jaxpot.core.graph import Environment
from jaxpot.descriptors import MomentTensors
from jaxpot.errors import DataError
from jaxpot.readouts import MLP, Linear, Neural, Quadratic

FILE = Path(__file__).parents[1] / "formats" / "files" / "two_kinds.mtp"
CUTOFF, SHORTEST, SCALING = 4.3, 1.6, 0.08  # of the file


def descriptor():
    return jp.load(FILE, species=("Ta", "W")).terms[0].descriptor


def environment(count=7, seed=0):
    """Neighbours of which one is nearer than the shortest distance of the polynomials, and one beyond the cutoff."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 3))
    lengths = np.append(rng.uniform(1.7, 4.2, count - 2), [1.4, 5.0])
    vectors *= (lengths / np.linalg.norm(vectors, axis=1))[:, None]
    return Environment(
        *map(jnp.asarray, vectors.T), jnp.asarray(lengths), jnp.asarray(rng.choice([73, 74], count)), jnp.asarray(74)
    )


def by_outer_products(env, radial):
    """The components of the file's table, as `files/make.py` says them in words."""
    def moment(m, degree):
        total = 0.0
        for x, y, z, number in zip(env.x, env.y, env.z, env.numbers, strict=True):
            r = float(np.sqrt(x * x + y * y + z * z))
            if r < CUTOFF:
                t = (2.0 * r - SHORTEST - CUTOFF) / (CUTOFF - SHORTEST)
                f = np.polynomial.chebyshev.chebval(t, radial[1, int(number) - 73, m])
                tensor = np.array(1.0)
                for _ in range(degree):
                    tensor = np.multiply.outer(tensor, np.array([x, y, z]) / r)
                total = total + SCALING * (CUTOFF - r) ** 2 * f * tensor
        return total

    count, vector, tensor, other = moment(0, 0), moment(0, 1), moment(0, 2), moment(1, 1)
    return np.array([
        count, moment(1, 0), vector @ vector, vector @ other, np.sum(tensor * tensor), count**2,
        vector @ tensor @ vector, count * (vector @ vector),
    ])


def test_components_by_outer_products():
    some, env = descriptor(), environment()
    (vector,), weights = some.instances(env)
    np.testing.assert_allclose(vector, by_outer_products(env, np.asarray(some.radial)), rtol=1e-13, atol=1e-14)
    assert weights.tolist() == [1.0]


def test_single_precision_stays_single():
    some, env = (jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == jnp.float64 else a, tree)
                 for tree in (descriptor(), environment()))
    (vector,), _ = some.instances(env)
    assert vector.dtype == jnp.float32
    np.testing.assert_allclose(vector, descriptor().instances(environment())[0][0], rtol=1e-4, atol=1e-5)


READOUTS = {
    "linear": lambda d, rng: Linear(rng.normal(size=d), 0.5),
    "quadratic": lambda d, rng: Quadratic(rng.normal(size=d * (d + 3) // 2), 0.5),
    "network": lambda d, rng: Neural(MLP.random(jax.random.key(0), d, (4,)), np.zeros(d), np.ones(d), 0.1, 2.0),
}


@pytest.mark.parametrize("kind", READOUTS)
def test_every_readout(kind):
    """Energies and derivatives by places and by the radial coefficients, the latter by differences."""
    some, env = descriptor(), environment()
    readout = READOUTS[kind](some.dimension, np.random.default_rng(1))

    @jax.jit
    def energy(some, x):
        return readout.energy_of(some, env.replace(x=x, distances=jnp.sqrt(x**2 + env.y**2 + env.z**2)))

    plain = readout.energy(*some.instances(env))
    assert float(energy(some, env.x)) == pytest.approx(float(plain), rel=1e-12)
    by_radial, by_x = jax.grad(energy, (0, 1))(some, env.x)
    change, step = np.random.default_rng(2).normal(size=some.radial.shape), 1e-5
    ends = [float(energy(some.replace(radial=some.radial + s * step * change), env.x)) for s in (1, -1)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float(jnp.sum(by_radial.radial * change)), rel=1e-7)
    move = jnp.sin(jnp.arange(len(env.x)))
    ends = [float(energy(some, env.x + s * step * move)) for s in (1, -1)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float(by_x @ move), rel=1e-7)


def test_monomials():
    y, z = np.random.default_rng(0).normal(size=(2, 5))
    for degree, rows in enumerate(monomials(5, y, z)):
        np.testing.assert_allclose(rows, [y**b * z**c for b, c in exponents(degree)], rtol=1e-13)
        assert len(rows) == degree + 1


@pytest.mark.parametrize("powers", [(0, 2, 1), (1, 0, 3), (2, 1, 0), (5, 0, 1), (8, 0, 0)])
def test_powers_of_x_on_the_sphere(powers):
    point = np.array([0.48, 0.6, 0.64])
    sums = on_sphere(*powers)
    assert all(p < 2 for p, _, _ in sums)
    found = sum(w * np.prod(point ** np.array(exponents)) for exponents, w in sums.items())
    assert found == pytest.approx(np.prod(point ** np.array(powers)), rel=1e-12)


def test_moments_of_a_high_degree():
    """Where sums over neighbours are cut into blocks, and powers of x are high."""
    env = environment().replace(number=jnp.asarray(29))
    basic = ((0, 7, 0, 0), (1, 0, 2, 4), (0, 3, 1, 1), (1, 1, 0, 1))
    some = MomentTensors(**SETTINGS | {"basic": basic, "products": ((0, 2, 3, 4),), "scalars": (0, 1, 2, 3, 4)})
    (vector,), _ = some.instances(env)
    r = np.asarray(env.distances)
    t = (2.0 * r - 5.0) / 3.0
    f = np.where(r < 4.0, (4.0 - r) ** 2, 0.0) * (1.0 + t + 2.0 * t * t - 1.0)
    expected = [np.sum(f * (env.x / r) ** a * (env.y / r) ** b * (env.z / r) ** c) for _, a, b, c in basic]
    np.testing.assert_allclose(vector, [*expected, 3.0 * expected[0] * expected[2]], rtol=1e-12, atol=1e-13)


SETTINGS = {
    "radial": np.ones((1, 1, 2, 3)), "species": ("Cu",), "cutoff": 4.0, "shortest": 1.0, "scaling": 1.0,
    "basic": ((0, 0, 0, 0), (1, 1, 0, 0)), "products": ((0, 1, 1, 2),), "scalars": (0, 2),
}


@pytest.mark.parametrize("changes, message", [
    ({"radial": np.ones((2, 2, 2, 3))}, r"radial: expected \(1, 1, functions, polynomials\) numbers"),
    ({"shortest": 4.0}, "shortest: expected a length below the cutoff"),
    ({"cutoff": -1.0}, "cutoff: expected a positive length"),
    ({"basic": ((2, 0, 0, 0),)}, "basic: expected a function below 2"),
    ({"basic": ((0, 0, 30, 0),)}, "three exponents of a sum up to 20"),
    ({"basic": ((0, 0, 0),)}, "basic: expected a function below 2 and three exponents"),
    ({"products": ((0, 3, 1, 2),)}, "expected factors that are complete before they are used"),
    ({"products": ((0, 1, 1, 2), (2, 2, 1, 3), (0, 0, 1, 2))}, "expected factors that are complete"),
    ({"products": ((0, 1, 1, 1),)}, "expected factors that are complete"),
    ({"products": "0 1 1"}, "products: expected four whole numbers for each addend"),
    ({"products": "0 1 1 x"}, "products: expected four whole numbers for each addend"),
    ({"scalars": (5,)}, "scalars: there is no moment 5"),
    ({"scalars": ()}, "expected one moment and one component"),
])
def test_what_has_no_meaning_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        MomentTensors(**SETTINGS | changes)


def test_moments_without_products():
    """The lowest level: pairs alone."""
    some = MomentTensors(**SETTINGS | {"products": (), "scalars": (0,)})
    (vector,), _ = some.instances(environment().replace(number=jnp.asarray(29)))
    assert vector.shape == (1,) and np.isfinite(vector).all()
