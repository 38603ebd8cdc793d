"""How an interaction ends: masks that no derivative trips over, and smooth switches."""

import math

import jax.numpy as jnp

from jaxpot.typing import Array


def inside(r: Array, cutoff: float | Array) -> tuple[Array, Array]:
    """Mask of the distances that count, and distances at which any formula may be evaluated.

    Neighbours outside contribute nothing, but a formula is evaluated for all of them, and derivatives of
    `where(mask, f(r), 0)` are NaN if f is singular in the branch that is not taken. So r is replaced first:

        mask, r = inside(env.distances, cutoff)
        energy = jnp.sum(jnp.where(mask, formula(r), 0.0))

    Args:
        r: distances, A.
        cutoff: A; a number, or an array with the cutoff of each distance (0: no interaction).

    Returns:
        mask: r < cutoff.
        safe: r inside, half the cutoff elsewhere (1 A where the cutoff is 0); its gradient is zero there.
    """
    mask = r < cutoff
    return mask, jnp.where(mask, r, jnp.where(cutoff > 0.0, 0.5 * cutoff, 1.0))


def switch(r: Array, onset: float | Array, end: float | Array) -> Array:
    """A polynomial that falls from 1 at `onset` to 0 at `end`, with three continuous derivatives everywhere.

    With t = (r - onset) / (end - onset) clipped to [0, 1],

        s(t) = 1 - (35 t^4 - 84 t^5 + 70 t^6 - 20 t^7) = (1 - t)^4 (1 + 4 t + 10 t^2 + 20 t^3),

    computed in the second form: the first cancels near the end, where a square root may stand outside.

    Derivation: s' shall vanish to third order at both ends, so s' = -c t^3 (1 - t)^3; the fall is 1 when
    1/c = B(4, 4) = 3! 3! / 7! = 1/140, and integration gives the polynomial. The fourth derivative jumps.

    Args:
        r: distances, A.
        onset, end: A, onset < end.
    """
    t = jnp.clip((r - onset) / (end - onset), 0.0, 1.0)
    u = jnp.clip((end - r) / (end - onset), 0.0, 1.0)
    return u * u * u * u * (1.0 + t * (4.0 + t * (10.0 + 20.0 * t)))


def cosine(r: Array, cutoff: float | Array, width: float | Array) -> Array:
    """1 up to cutoff - width, then half a cosine down to 0 at the cutoff: C1, the second derivative jumps at both ends.

    f = [1 + cos(pi (r - cutoff + width) / width)] / 2.

    Args:
        r: distances below the cutoff, A.
        cutoff, width: A; width 0: no switch.
    """
    if width == 0.0:
        return jnp.ones_like(r)
    t = (r - (cutoff - width)) * (1.0 / width)
    return jnp.where(t > 0.0, 0.5 + 0.5 * jnp.cos(math.pi * jnp.maximum(t, 0.0)), 1.0)
