"""The small program for SOAP gives its vectors and all their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpot.basis.batched import padded_harmonics, series_sum
from jaxpot.basis.chebyshev import product_series, products
from jaxpot.basis.harmonics import real_harmonics
from jaxpot.core.graph import Environment
from jaxpot.descriptors import SOAP, Pair
from jaxpot.descriptors.batched_soap import BatchedSOAP, batched
from jaxpot.kernels import DotProduct
from jaxpot.potentials import Constants, Described
from jaxpot.readouts import SparseGP

SETTINGS = {
    "one kind": {"n_max": 4, "l_max": 3, "compact": True},
    "two kinds": {"n_max": 3, "l_max": 2, "species": ("Si", "C"), "compact": True},
    "in QUIP's order": {"n_max": 3, "l_max": 4, "species": ("Si", "C"), "central_reference_all_species": True},
    "old weights": {"n_max": 3, "l_max": 1, "l_weight": False, "normalise": False},
}


def vectors(soap, positions):
    numbers = jnp.array([14, 6, 14, 6, 14])
    distances = jnp.sqrt(jnp.sum(positions**2, axis=0))
    found, _ = soap.instances(Environment(*positions, distances, numbers, jnp.asarray(14)))
    return found[0]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_vectors_and_derivatives(name):
    soap = SOAP(cutoff=4.0, **SETTINGS[name])
    small = batched(soap)
    assert type(small) is BatchedSOAP
    positions = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5), scale=1.5))
    along = jnp.asarray(np.random.default_rng(1).normal(size=soap.dimension))

    @jax.jit
    def second(positions):
        def form(soap):
            return jax.value_and_grad(lambda r: along @ vectors(soap, r))

        def slope(soap):
            return jax.jvp(form(soap), (positions,), (jnp.cos(positions),))

        return slope(soap), slope(small)

    for expected, found in zip(*map(jax.tree.leaves, second(positions)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12 * np.abs(expected).max())


def test_derivatives_are_tables():
    r = jnp.linspace(0.1, 3.9, 7)
    series = product_series(lambda r: np.stack([np.exp(-r * r), np.sin(r)], axis=1), 4.0)
    np.testing.assert_allclose(series_sum(r, 4.0, series), products(r, 4.0, len(series), 1.0) @ series, atol=1e-14)
    third = jax.vmap(jax.jacfwd(jax.jacfwd(jax.jacfwd(lambda x: series_sum(x[None], 4.0, series)[0, 1]))))(r)
    np.testing.assert_allclose(third, -np.cos(r), atol=1e-8)  # coefficients grow with the square of their order, thrice


def test_padded_harmonics():
    x, y, z = np.random.default_rng(0).normal(size=(3, 6))
    found = padded_harmonics(3, x, y, z)
    for degree, expected in enumerate(real_harmonics(3, x, y, z)):
        columns = [*range(degree), *range(3, 4 + degree)]
        np.testing.assert_allclose(found[:, degree, columns], expected, atol=1e-14)
        rest = np.delete(found[:, degree], columns, axis=1)
        assert not rest.any()


def test_what_has_no_small_program_stays():
    pair = Pair(3.0, 0.5)
    assert batched(pair) is pair
    flat = SOAP(3, 0, cutoff=4.0)
    assert batched(flat) is flat


def test_potentials_pass_it_on():
    soap = SOAP(3, 2, cutoff=4.0)
    points = np.random.default_rng(0).normal(size=(2, soap.dimension))
    potential = Constants({"Si": 1.0}) + 0.5 * Described(soap, SparseGP(DotProduct(2), points, [1.0, -1.0]), ("Si",))
    small = potential.batched()
    assert type(small.terms[1].potential.descriptor) is BatchedSOAP
    assert small.cutoff == potential.cutoff and small.species == potential.species
