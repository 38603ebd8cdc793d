"""The atomic cluster expansion as a descriptor: two routes to each of its derivatives, and what is refused."""

import ase.build
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.basis.radial_bases import NAMES, RadialBasis, orthonormal_coefficients, radial_functions, smoothness
from jaxpot.core.graph import Environment
from jaxpot.descriptors import ClusterExpansion
from jaxpot.descriptors.base import Descriptor
from jaxpot.descriptors.component_sets import components_by_orders, smooth_scales
from jaxpot.errors import DataError

BASES = (RadialBasis("ChebExpCos", 1.5, 4.0, 0.3, 1.4, 0.3), RadialBasis("ChebExpCos", 2.5, 4.2))


def environment(count=6, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 3))
    vectors *= (rng.uniform(1.2, 4.1, count) / np.linalg.norm(vectors, axis=1))[:, None]
    x, y, z = map(jnp.asarray, vectors.T)
    numbers = jnp.asarray(rng.choice([73, 74], count))
    return Environment(x, y, z, jnp.asarray(np.linalg.norm(vectors, axis=1)), numbers, jnp.asarray(73))


def expansion(**changes):
    components = components_by_orders(2, [3, 2, 1], [0, 2, 1])
    table = np.random.default_rng(1).normal(size=(2, 2, 3, 3))
    scales = smooth_scales(components, 1.0, 6.0)
    settings = {"species": ("Ta", "W"), "components": components, "bases": BASES, "coefficients": table, "scales": scales}
    return ClusterExpansion(**settings | {"centers": ("Ta",), "core": ((30.0, 1.0), (20.0, 0.8))} | changes)


def test_jacobian_by_two_routes():
    descriptor, here = expansion(), environment()
    both = jax.jit(lambda here: (descriptor.jacobian(here), Descriptor.jacobian(descriptor, here)))  # in one program
    for mine, plain in zip(*both(here), strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-10, atol=1e-12)


def test_projection_is_that_of_the_vector():
    descriptor, here = expansion(), environment(seed=2)
    weights = jnp.asarray(np.random.default_rng(3).normal(size=descriptor.dimension))
    np.testing.assert_allclose(
        descriptor.projected(here, weights), descriptor.instances(here)[0][0] @ weights, rtol=1e-12
    )


@pytest.mark.parametrize("changes", [
    {}, {"components": components_by_orders(2, [3], [0]), "core": None, "scales": None},
    pytest.param(
        {"components": components_by_orders(2, [2, 1, 1, 1], [0, 2, 1, 1]), "scales": None}, marks=pytest.mark.thorough
    ),
    pytest.param(
        {"components": ((((0, 1, 1),) * 6, 0), (((0, 1, 2), (1, 1, 1), (1, 2, 1)), 0)), "scales": None},
        marks=pytest.mark.thorough,
    ),
])
def test_projections_are_those_of_the_vectors(changes):
    """Values and slopes by all places and directions, of many atoms and of one."""
    descriptor = expansion(**changes)
    many = jax.tree.map(lambda *arrays: jnp.stack(arrays), *(environment(seed=seed) for seed in range(3)))
    directions = jnp.asarray(np.random.default_rng(4).normal(size=(2, descriptor.dimension)))

    def values(project, x, directions):
        def of_one(x, here):
            distances = jnp.sqrt(x * x + here.y * here.y + here.z * here.z)
            return jnp.sin(project(here.replace(x=x, distances=distances), directions))

        return jax.vmap(of_one)(x, many)

    def slopes(project):
        total = jax.value_and_grad(lambda *some: values(project, *some).sum(), (0, 1))
        return jax.jit(total)(many.x, directions)

    some = slopes(descriptor.projections), slopes(lambda here, rows: rows @ descriptor.instances(here)[0][0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12), *some)
    here, most = environment(), len(descriptor.components)
    vector = descriptor.instances(here)[0][0]
    for count in (most, 2):
        np.testing.assert_allclose(
            descriptor.projections(here, directions[:, :count]),
            np.concatenate([directions[:, :count] @ vector[:count], vector[count:]]), rtol=1e-11, atol=1e-12,
        )
    single = jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == float else a, environment())
    assert descriptor.projections(single, directions).dtype == jnp.float32


@pytest.mark.parametrize("name", NAMES)
def test_radial_functions_end_where_they_say(name):
    basis = RadialBasis(name, 2.0, 4.0)
    r = jnp.asarray([0.5, 2.0, 3.9999, 4.0, 4.5])
    values = radial_functions((basis,), 4, jnp.zeros(5, int), r)
    assert values.shape == (4, 5) and np.abs(values[:, 3:]).max() == 0.0
    assert (np.abs(values[:, 2]).max() < 1e-3) == (smoothness(basis) >= 0)
    slopes = jax.vmap(jax.grad(lambda s: radial_functions((basis,), 4, jnp.zeros(1, int), s[None]).sum()))(r)
    assert np.isfinite(slopes).all()


def test_fits_recover_a_potential():
    """A made-up ACE of few components, from energies and forces of few frames."""
    components = components_by_orders(1, [3, 2], [0, 2])
    coefficients = np.eye(3)[None, :, None] * np.ones((1, 3, 3, 1))
    descriptor = ClusterExpansion(("Cu",), components, (RadialBasis("ChebPow", 2.0, 4.0),), coefficients)
    weights = np.random.default_rng(5).normal(size=len(components))
    exact = jp.potentials.Described(descriptor, jp.readouts.Linear(weights))
    frames = []
    for seed in range(4):
        atoms = ase.build.bulk("Cu", cubic=True).repeat((2, 1, 1))
        atoms.rattle(0.2, seed=seed)
        frames.append(atoms)
    results = jp.evaluate_many(exact, frames)
    vectors = np.concatenate([np.ravel(result.forces) for result in results])
    unit = np.eye(len(weights))
    columns = [
        np.concatenate([
            np.ravel(result.forces)
            for result in jp.evaluate_many(jp.potentials.Described(descriptor, jp.readouts.Linear(row)), frames)
        ])
        for row in unit
    ]
    np.testing.assert_allclose(np.linalg.lstsq(np.stack(columns, 1), vectors, rcond=None)[0], weights, rtol=1e-6)


def test_total_degrees_pick_from_all_components():
    radials, degrees, totals = [3, 3, 3], [0, 2, 2], [1, 3, 2]
    every = components_by_orders(2, radials, degrees)
    chosen = [c for c in every if sum(n - 1 + ell for _, n, ell in c[0]) <= totals[len(c[0]) - 1]]
    assert list(components_by_orders(2, radials, degrees, totals)) == chosen and len(chosen) < len(every)


@pytest.mark.parametrize("name, parameter", [("ChebExpCos", -1.0), ("SBessel", 1.0)])
def test_orthonormal_radial_functions(name, parameter):
    basis = RadialBasis(name, parameter, 5.0)
    coefficients = orthonormal_coefficients(basis, 6, 2.0)
    r = np.linspace(2.0, 5.0, 20001)
    values = coefficients @ np.asarray(radial_functions((basis,), 6, jnp.zeros(len(r), int), jnp.asarray(r)))
    overlap = np.trapezoid(values[:, None] * values * r**2, r, axis=-1) / np.trapezoid(r**2, r)
    np.testing.assert_allclose(overlap, np.eye(6), atol=1e-4)
    assert np.triu(coefficients, 1).max() == 0.0 and (np.diag(coefficients) > 0.0).all()
    with pytest.raises(DataError, match="nearly parallel"):
        orthonormal_coefficients(RadialBasis("ChebExpCos", 5.25, 5.0), 15, 2.0)


def test_components_are_checked_beside_other_coefficients():
    with pytest.raises(DataError, match="n from 1 to 1"):
        expansion().replace(coefficients=np.ones((2, 1, 3, 3)))


@pytest.mark.parametrize("changes, message", [
    ({"bases": BASES[:1]}, "one for each of 2 elements"), ({"coefficients": np.zeros((1, 2, 3, 3))}, "coefficients"),
    ({"components": ((((2, 1, 0),), 0),)}, "elements below 2"), ({"components": ((((0, 4, 0),), 0),)}, "n from 1 to 3"),
    ({"components": ((((0, 1, 1),), 0),)}, "l up to 0"), ({"scales": np.ones(2)}, "scales"),
    ({"components": ((((0, 1, 1), (0, 1, 2)), 0),), "scales": None}, "2 to 6 factors"),
    ({"core": ((1.0, 1.0),)}, "core"), ({"bases": (BASES[0], BASES[1]._replace(cutoff=-1.0))}, "cutoff"),
    ({"bases": (BASES[0], BASES[1]._replace(name="Legendre"))}, "ChebPow"),
    ({"bases": (BASES[0], BASES[1]._replace(parameter=-1e-9))}, "from 0.0001 to 500, up to a sign; got -1e-09"),
    ({"bases": (BASES[0], BASES[1]._replace(parameter=-1000.0))}, "from 0.0001 to 500"),
    ({"bases": (BASES[0]._replace(name="ChebPow"), BASES[1]._replace(name="ChebPow", parameter=0.5))}, "from 1 to inf"),
    ({"bases": (BASES[0], BASES[1]._replace(width=9.0))}, "dcut"),
    ({"bases": (BASES[0]._replace(inner_width=1e-320), BASES[1])}, "1e-08 A and more"),
])
def test_numbers_without_a_meaning(changes, message):
    with pytest.raises(DataError, match=message):
        expansion(**changes)
