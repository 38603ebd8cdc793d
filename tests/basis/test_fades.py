"""Cutoff functions by name against their formulas, their slopes, and how smooth they end."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxpot.basis.fades import SMOOTHNESS, _half_cosine, fade, fade_and_slope, kinks

CUTOFF = 5.0
FORMULAS = {  # of t, and their slopes
    "cosine": (lambda t: 0.5 + 0.5 * np.cos(np.pi * t), lambda t: -0.5 * np.pi * np.sin(np.pi * t)),
    "exponential": (
        lambda t: np.exp(1 - 1 / (1 - t**2)), lambda t: -2 * t / (1 - t**2) ** 2 * np.exp(1 - 1 / (1 - t**2)),
    ),
    "poly1": (lambda t: 1 - t**2 * (3 - 2 * t), lambda t: -6 * t * (1 - t)),
    "poly2": (lambda t: 1 - t**3 * (10 - 15 * t + 6 * t**2), lambda t: -30 * t**2 * (1 - t) ** 2),
    "poly3": (
        lambda t: 1 - t**4 * (35 - 84 * t + 70 * t**2 - 20 * t**3), lambda t: -140 * t**3 * (1 - t) ** 3,
    ),
    "poly4": (
        lambda t: 1 - t**5 * (126 - 420 * t + 540 * t**2 - 315 * t**3 + 70 * t**4), lambda t: -630 * t**4 * (1 - t) ** 4,
    ),
}
R = np.array([0.4, 1.3, 2.2, 3.9, 4.95])


@pytest.mark.parametrize("inner", [0.0, 0.3])
@pytest.mark.parametrize("name", FORMULAS)
def test_values_and_slopes(name, inner):
    value, slope = FORMULAS[name]
    t = np.clip((R / CUTOFF - inner) / (1 - inner), 0.0, 1.0)
    expected = value(t), np.where(t > 0.0, slope(t) / (2 * R * CUTOFF * (1 - inner)), 0.0)
    found = fade_and_slope(name, jnp.asarray(R**2), CUTOFF, inner)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(fade(name, jnp.asarray(R**2), CUTOFF, inner), found[0])
    beyond = fade_and_slope(name, jnp.array([CUTOFF**2, 1.01 * CUTOFF**2, 1e6]), CUTOFF, inner)
    assert np.abs(np.asarray(beyond[0])).max() < 1e-30
    assert not np.asarray(beyond[1])[1:].any()


@pytest.mark.parametrize("name, at_zero", [("tanh", 1.0), ("tanh-1", math.tanh(1.0))])
def test_hyperbolic_tangents(name, at_zero):
    expected = (np.tanh(1 - R / CUTOFF) / at_zero) ** 3
    np.testing.assert_allclose(fade(name, jnp.asarray(R**2), CUTOFF, 0.3), expected, rtol=1e-13)
    assert fade(name, jnp.array([25.0, 36.0]), CUTOFF).tolist() == [0.0, 0.0]


def test_a_hard_end():
    assert fade("hard", jnp.array([0.1, 24.9, 25.0, 25.1]), CUTOFF).tolist() == [1.0, 1.0, 0.0, 0.0]


def test_the_polynomial_in_place_of_a_cosine():
    r = np.linspace(0.01, CUTOFF, 400)
    value = fade("cosine", jnp.asarray(r**2), CUTOFF)
    np.testing.assert_allclose(value, np.cos(0.5 * np.pi * r / CUTOFF) ** 2, rtol=0, atol=9e-16)
    assert len(_half_cosine()) == 10 and isinstance(_half_cosine(), tuple)


@pytest.mark.parametrize("name", sorted(set(SMOOTHNESS) - {"hard", "exponential"}))
def test_derivatives_that_are_continuous(name):
    """Near the end a function is a power of the distance to it, one more than the derivatives that are continuous."""
    near, nearer = fade(name, jnp.array([4.9**2, 4.95**2]), CUTOFF, 0.3).tolist()
    assert round(math.log2(near / nearer)) == SMOOTHNESS[name] + 1
    assert SMOOTHNESS["hard"] == -1 and SMOOTHNESS["exponential"] > 9


def test_where_derivatives_jump():
    assert kinks("exponential", CUTOFF) == () and kinks("exponential", CUTOFF, 0.2) == (1.0, CUTOFF)
    assert kinks("poly2", CUTOFF) == (CUTOFF,) and kinks("poly2", CUTOFF, 0.2) == (1.0, CUTOFF)
    for name in ("hard", "tanh", "tanh-1"):
        assert kinks(name, CUTOFF, 0.2) == (CUTOFF,)
