"""Cutoff functions by name: how a neighbour fades with its distance. Those of Behler's symmetry functions."""

import math
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.polynomials import horner
from jaxpot.core.fusion import materialised
from jaxpot.typing import Array

# Continuous derivatives at the cutoff, and whether the function has an inner radius.
SMOOTHNESS = {
    "hard": -1, "cosine": 1, "tanh": 2, "tanh-1": 2, "exponential": 99, "poly1": 1, "poly2": 2, "poly3": 3, "poly4": 4,
}
_WITHOUT_INNER = ("hard", "tanh", "tanh-1")
_TANH_1 = math.tanh(1.0)
_DEGREE = 10  # of the polynomial that stands for a cosine: off by 2e-16


def fade(name: str, square: Array, cutoff: float, inner: float = 0.0) -> Array:
    """A cutoff function f of squared distances; 0 beyond the cutoff.

    With t = (r / cutoff - inner) / (1 - inner), clipped to [0, 1]:
        "cosine": (1 + cos(pi t)) / 2
        "exponential": exp(1 - 1 / (1 - t^2))
        "poly1" to "poly4": 1 - t^2 (3 - 2 t), 1 - t^3 (10 - 15 t + 6 t^2), and so on: as many continuous derivatives
    and without an inner radius
        "tanh": tanh(1 - r / cutoff)^3; "tanh-1" the same, divided by its value at r = 0
        "hard": 1

    Args:
        name: one of these.
        square: r^2, A^2, above zero.
        cutoff: A.
        inner: as a part of the cutoff, from 0 to below 1.

    References:
        J. Behler, J. Chem. Phys. 134, 074106 (2011), equations 4 and 5; A. Singraber, J. Behler, C. Dellago, J. Chem.
        Theory Comput. 15, 1827 (2019), for the others.
    """
    u = jnp.minimum(square * (1.0 / cutoff**2), 1.0)
    if name == "cosine" and inner == 0.0:  # without a root and a cosine: pairs of neighbours have many of them
        return _half(u) ** 2
    if name == "hard":
        return jnp.where(u < 1.0, 1.0, 0.0)
    t = jnp.sqrt(u)
    if name in ("tanh", "tanh-1"):
        return (jnp.tanh(1.0 - t) * (1.0 if name == "tanh" else 1.0 / _TANH_1)) ** 3
    t = jnp.clip((t - inner) * (1.0 / (1.0 - inner)), 0.0, 1.0)
    if name == "cosine":
        return 0.5 + 0.5 * jnp.cos(math.pi * t)
    if name == "exponential":
        below = t < 1.0
        return jnp.where(below, jnp.exp(1.0 - 1.0 / (1.0 - jnp.where(below, t * t, 0.0))), 0.0)
    order = int(name[-1])
    # (1 - t)^(n + 1) sum_k C(n + k, k) t^k: no cancellation near the cutoff.
    total = sum(math.comb(order + k, k) * t**k for k in range(order + 1))
    return (1.0 - t) ** (order + 1) * total


def fade_and_slope(name: str, square: Array, cutoff: float, inner: float = 0.0) -> tuple[Array, Array]:
    """f and its derivative by r^2."""
    if name == "cosine" and inner == 0.0:
        u = jnp.minimum(square * (1.0 / cutoff**2), 1.0)
        half = materialised(_half(u))
        return half * half, half * horner(_half_slope(), u) * (2.0 / cutoff**2)
    return jax.jvp(lambda s: fade(name, s, cutoff, inner), (square,), (jnp.ones_like(square),))


def _half(u):
    """cos(pi sqrt(u) / 2)."""
    return horner(_half_cosine(), u) * (1.0 - u)


def kinks(name: str, cutoff: float, inner: float = 0.0) -> tuple[float, ...]:
    """Distances at which a derivative jumps."""
    if name == "exponential" and inner == 0.0:
        return ()
    return (cutoff,) if name in _WITHOUT_INNER or inner == 0.0 else (inner * cutoff, cutoff)


@lru_cache(maxsize=1)
def _half_cosine():
    """Coefficients of q with cos(pi sqrt(u) / 2) = (1 - u) q(u): the factor keeps the end exact."""
    u = 0.5 + 0.5 * np.cos(np.pi * (np.arange(_DEGREE) + 0.5) / _DEGREE)
    q = np.sin(0.5 * np.pi * (1.0 - u) / (1.0 + np.sqrt(u))) / (1.0 - u)
    found = np.polynomial.Chebyshev.fit(u, q, _DEGREE - 1, domain=[0.0, 1.0])
    return tuple(found.convert(kind=np.polynomial.Polynomial).coef.tolist())


@lru_cache(maxsize=1)
def _half_slope():
    """Coefficients of the derivative of (1 - u) q(u)."""
    q = np.polynomial.Polynomial(_half_cosine())
    return tuple((q * np.polynomial.Polynomial([1.0, -1.0])).deriv().coef.tolist())
