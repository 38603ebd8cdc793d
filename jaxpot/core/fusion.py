"""Barriers to XLA's fusion, where it would cost more than it saves, and layouts that it keeps."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxpot.typing import Array


def materialised(x: Array, like: Array | None = None) -> Array:
    """Return `x` unchanged, but make XLA compute it once and store it, instead of again in every loop that reads it.

    XLA never recomputes divisions, so x is divided by a one that it cannot prove to be one: NaN where `like`, x by
    default, is NaN. `like` is best an array that the loop reads anyway.
    """
    return x / jnp.where(jnp.isnan(jax.lax.stop_gradient(x if like is None else like)), jnp.nan, jnp.ones_like(x))


def rows(vectors: Sequence[Array]) -> Array:
    """Stack vectors (n,) as (m, n).

    Under `vmap` they are side by side in memory, where `jnp.stack` would put the atoms between them.
    """
    return jnp.concatenate(vectors).reshape(len(vectors), -1)
