"""One atom's environment from plain arrays, for tests of site energies."""

import jax.numpy as jnp
import numpy as np

from jaxpot.core.elements import atomic_number
from jaxpot.core.graph import Environment


def environment(vectors, others, center):
    """The environment of an atom of element `center` with neighbours `others` at `vectors` (K, 3)."""
    x, y, z = jnp.asarray(vectors, float).reshape(-1, 3).T
    numbers = np.array([atomic_number(s) for s in others], np.int32)
    return Environment(x, y, z, jnp.sqrt(x * x + y * y + z * z), jnp.asarray(numbers),
                       jnp.asarray(atomic_number(center), jnp.int32))


def pair_energy(potential, r, center="Cu", other="Cu"):
    """Site energy of an atom with one neighbour at distance r; traceable in r."""
    zero = jnp.zeros((1,))
    distance = jnp.reshape(r, (1,))
    return potential.site_energy(Environment(
        distance, zero, zero, distance,
        jnp.asarray([atomic_number(other)], jnp.int32), jnp.asarray(atomic_number(center), jnp.int32),
    ))
