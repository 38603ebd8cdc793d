import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpot.basis.cutoffs import cosine, inside, switch


def derivative(function, order):
    for _ in range(order):
        function = jax.grad(function)
    return function


def test_inside_keeps_every_derivative_finite_beyond_the_cutoff():
    def energy(r):
        mask, safe = inside(r, 3.0)
        return jnp.sum(jnp.where(mask, jnp.exp(1.0 / (safe - 3.0)) / safe**4, 0.0))

    r = jnp.array([2.0, 3.0, 3.5, 1e6])
    third = jax.jacfwd(jax.jacfwd(jax.grad(energy)))(r)
    assert np.isfinite(third).all()
    assert (np.asarray(third)[1:] == 0).all()


def test_inside_knows_pairs_that_do_not_interact():
    mask, safe = inside(jnp.array([1.0, 2.0]), jnp.array([0.0, 3.0]))
    assert mask.tolist() == [False, True]
    assert (np.asarray(safe) > 0).all()


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_switch_has_three_continuous_derivatives(order):
    d = jax.vmap(derivative(lambda r: switch(r, 4.0, 5.0), order))
    ends = jnp.array([4.0 - 1e-9, 4.0, 4.0 + 1e-9, 5.0 - 1e-9, 5.0, 5.0 + 1e-9])
    assert np.abs(np.asarray(d(ends))).max() < 1e-5  # the fourth derivative is 840 there
    middle = jax.vmap(derivative(lambda r: switch(r, 4.0, 5.0), order))(jnp.array([4.3]))
    assert np.abs(np.asarray(middle)).max() > 0.1


def test_the_switch_falls_from_one_to_zero():
    r = np.linspace(3.5, 5.5, 201)
    s = np.asarray(switch(jnp.asarray(r), 4.0, 5.0))
    assert (s[r <= 4.0] == 1).all()
    assert (s[r >= 5.0] == 0).all()
    assert (np.diff(s) <= 0).all()
    assert switch(4.5, 4.0, 5.0) == pytest.approx(0.5, abs=1e-15)


def test_what_is_inside():
    mask, safe = inside(jnp.array([0.1, 2.9, 3.0, 7.0]), 3.0)
    assert mask.tolist() == [True, True, False, False] and safe.tolist() == [0.1, 2.9, 1.5, 1.5]
    mask, safe = inside(jnp.array([1.0, 2.0, 1.0]), jnp.array([0.0, 3.0, 0.5]))
    assert mask.tolist() == [False, True, False] and safe.tolist() == [1.0, 2.0, 0.25]


def test_the_switch_is_the_polynomial():
    t = np.linspace(0.0, 1.0, 11)
    expected = 1 - (35 * t**4 - 84 * t**5 + 70 * t**6 - 20 * t**7)
    np.testing.assert_allclose(switch(jnp.asarray(2.0 + 3.0 * t), 2.0, 5.0), expected, rtol=0, atol=2e-14)


def test_half_a_cosine():
    r = jnp.array([0.5, 2.5, 3.0, 3.25, 3.5, 4.0])
    found = cosine(r, 4.0, 1.5)
    expected = np.where(np.asarray(r) < 2.5, 1.0, (1 + np.cos(np.pi * (np.asarray(r) - 2.5) / 1.5)) / 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)
    assert cosine(r, 4.0, 0.0).tolist() == [1.0] * 6
    slope = jax.vmap(jax.grad(lambda r: cosine(r, 4.0, 1.5)))(r)
    sine = np.where(np.asarray(r) < 2.5, 0.0, -np.pi / 3 * np.sin(np.pi * (np.asarray(r) - 2.5) / 1.5))
    np.testing.assert_allclose(slope, sine, rtol=0, atol=1e-14)
