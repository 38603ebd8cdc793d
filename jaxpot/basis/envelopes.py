"""Envelopes that take radial functions to zero at a cutoff, by the names of the programs that use them."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from jaxpot.errors import DataError
from jaxpot.typing import Array

_LARGEST_POWER = 1000.0
_MOST_TERMS = 64  # that are written out: files may hold any p


class Envelope(NamedTuple):
    """A function that ends at a cutoff.

    Attributes:
        value: (r, cutoff, number) of distances below the cutoff.
        smoothness: how many continuous derivatives it has.
        kinks: (cutoff, number) -> distances at which the next one jumps.
        bounds: cutoff -> the least and the largest number that has a meaning.
    """

    value: Callable[[Array, float, float], Array]
    smoothness: int
    kinks: Callable[[float, float], tuple[float, ...]]
    bounds: Callable[[float], tuple[float, float]]


def polynomial(r: Array, cutoff: float, p: float) -> Array:
    """1 - (p + 1) (p + 2) / 2 x^p + p (p + 2) x^(p + 1) - p (p + 1) / 2 x^(p + 2), x = r / cutoff.

    For a whole p (of up to 64) it is computed as (1 - x)^3 sum_(k < p) (k + 1) (k + 2) / 2 x^k: no digits cancel near
    the cutoff.

    References:
        J. Gasteiger, J. Gross, S. Guennemann, Directional message passing, ICLR (2020), equation 8.
    """
    x = r / cutoff
    if p <= _MOST_TERMS and float(p).is_integer():
        whole, left = int(p), (cutoff - r) / cutoff
        total = jnp.full_like(x, 0.5 * whole * (whole + 1))
        for k in reversed(range(whole - 1)):
            total = total * x + 0.5 * (k + 1) * (k + 2)
        return left * left * left * total
    return 1.0 - x**p * (0.5 * (p + 1) * (p + 2) - x * (p * (p + 2) - x * (0.5 * p * (p + 1))))


def xplor(r: Array, cutoff: float, onset: float) -> Array:
    """1 below the onset, (c^2 - r^2)^2 (c^2 + 2 r^2 - 3 onset^2) / (c^2 - onset^2)^3 above it, c the cutoff.

    References:
        A. T. Brunger, X-PLOR (1992); HOOMD-blue's smoothing of pairs.
    """
    square, end, begin = r * r, cutoff * cutoff, onset * onset
    return jnp.where(
        square > begin, (end - square) ** 2 * (end + 2.0 * square - 3.0 * begin) * (1.0 / (end - begin) ** 3), 1.0
    )


ENVELOPES = {
    "polynomial": Envelope(polynomial, 2, lambda cutoff, p: (cutoff,), lambda cutoff: (1.0, _LARGEST_POWER)),
    "xplor": Envelope(xplor, 1, lambda cutoff, onset: (onset, cutoff), lambda cutoff: (0.0, 0.999 * cutoff)),
}


def check_envelope(envelope: tuple[str, float], cutoff: float) -> None:
    """Raise a DataError unless a name and a number are an envelope for a cutoff."""
    name, number = envelope
    if name not in ENVELOPES:
        raise DataError(f"envelope: expected one of {', '.join(ENVELOPES)}, got {name!r}")
    low, high = ENVELOPES[name].bounds(cutoff)
    if not low <= number <= high:
        raise DataError(f"envelope: expected {name} with a number from {low:g} to {high:g}, got {number!r}")
