"""What XLA fuses, where it would cost more than it saves."""

import jax
import jax.numpy as jnp

from jaxpot.typing import Array


def kept(x: Array, like: Array | None = None) -> Array:
    """x, to be computed once and stored.

    XLA computes sums and products anew in each loop that reads them, but never divisions: so x is divided by what is
    always 1, which the compiler cannot know: NaN where `like`, x by default, is NaN. `like` is best an array that the
    loop reads anyway.
    """
    return x / jnp.where(jnp.isnan(jax.lax.stop_gradient(x if like is None else like)), jnp.nan, jnp.ones_like(x))
