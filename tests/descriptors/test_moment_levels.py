"""Scalars of an MTP of a level: as many as in published files, the same functions, by explicit contractions, independent."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.core.graph import Environment
from jaxpot.descriptors import MomentTensors
from jaxpot.descriptors.moment_levels import moments_of_level, orthonormal_polynomials
from jaxpot.errors import DataError

CUTOFF, SHORTEST = 5.0, 1.8


def of_level(level):
    basis = moments_of_level(level)
    radial = orthonormal_polynomials(basis.functions, basis.functions + 1, SHORTEST, CUTOFF)[None, None]
    return MomentTensors(
        radial, (29,), CUTOFF, SHORTEST, (CUTOFF - SHORTEST) ** -2, basis.basic, basis.products, basis.scalars
    )


def vectors_of(descriptor, count):
    """Vectors in surroundings by chance."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 15, 3))
    r = rng.uniform(2.0, 4.9, (count, 15))
    x *= (r / np.linalg.norm(x, axis=-1))[..., None]
    numbers = jnp.full((count, 15), 29)
    environments = Environment(*map(jnp.asarray, np.moveaxis(x, -1, 0)), jnp.asarray(r), numbers, numbers[:, 0])
    vectors = np.asarray(jax.jit(jax.vmap(lambda e: descriptor.instances(e)[0][0]))(environments))
    return vectors / np.sqrt((vectors**2).mean(0)), x, r


@pytest.mark.parametrize(("level", "scalars", "basic"), [
    (2, 1, 1), (4, 2, 1), (6, 5, 5), (8, 9, 11), (10, 16, 25), (12, 29, 46), (14, 52, 81), (16, 92, 130), (18, 163, 201),
    (20, 288, 295), pytest.param(24, 864, 581, marks=pytest.mark.thorough),
])
def test_counts_of_untrained_files(level, scalars, basic):
    basis = moments_of_level(level)
    assert (len(basis.scalars), len(basis.basic)) == (scalars, basic)
    assert basis.functions == (level - 2) // 4 + 1 and max(basis.orders) <= 4
    assert list(basis.orders) == sorted(basis.orders)


def test_contractions_by_outer_products():
    found, x, r = vectors_of(of_level(10), 5)
    basis = moments_of_level(10)
    t = (2.0 * r - SHORTEST - CUTOFF) / (CUTOFF - SHORTEST)
    table = orthonormal_polynomials(3, 4, SHORTEST, CUTOFF)
    f = np.stack([np.polynomial.chebyshev.chebval(t, row) for row in table]) * ((CUTOFF - r) / (CUTOFF - SHORTEST)) ** 2
    u = x / r[..., None]
    vector, matrix = np.einsum("mnk,nka->mna", f, u), np.einsum("nk,nka,nkb->nab", f[0], u, u)
    cubic = np.einsum("nk,nka,nkb,nkc->nabc", f[0], u, u, u)
    scalar = f.sum(-1)
    expected = [
        scalar[0], scalar[1], scalar[2], scalar[0] ** 2, scalar[0] * scalar[1], np.einsum("na,na->n", vector[0], vector[0]),
        np.einsum("na,na->n", vector[0], vector[1]), np.einsum("nab,nab->n", matrix, matrix),
        np.einsum("nabc,nabc->n", cubic, cubic), np.einsum("na,nab,nb->n", vector[0], matrix, vector[0]),
    ]
    count = np.bincount(basis.orders)
    assert count[1] == 3 and count[2] == 6
    found = found / found[0]
    for values in expected:
        assert np.abs(found - (values / values[0])[:, None]).max(0).min() < 1e-10


@pytest.mark.thorough
def test_scalars_are_independent():
    assert np.linalg.matrix_rank(vectors_of(of_level(12), 80)[0], tol=1e-8) == 29


@pytest.mark.data
@pytest.mark.thorough
@pytest.mark.parametrize(("level", "name"), [
    (8, "cubic_08_Cu"), (10, "noncubic_10_Cu"), (16, "cubic_16_Cu"), (20, "cubic_20_Cu"),
])
def test_functions_of_published_files(level, name):
    """From level 16 on some scalars depend on others (Cayley and Hamilton), in the files as here."""
    path = Path(os.environ["JAXPOT_DATA"]) / "models" / "mtp" / f"{name}.mtp"
    theirs = jp.load(path, species=("Cu",)).terms[0].descriptor
    basis = moments_of_level(level)
    ours = theirs.replace(basic=basis.basic, products=basis.products, scalars=basis.scalars)
    first, second = (vectors_of(d, 2 * len(basis.scalars) + 20)[0] for d in (ours, theirs))
    for a, b in ((first, second), (second, first)):
        assert np.abs(a @ np.linalg.lstsq(a, b, rcond=1e-13)[0] - b).max() < 1e-10


@pytest.mark.parametrize("level", [0, 7, 26, 8.0])
def test_levels_that_are_none(level):
    with pytest.raises(DataError, match="an even number from 2 to 24"):
        moments_of_level(level)


def test_radial_functions_need_as_many_polynomials():
    with pytest.raises(DataError, match="at least 4"):
        orthonormal_polynomials(4, 3, SHORTEST, CUTOFF)
