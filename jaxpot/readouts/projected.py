"""Energies of descriptors that are projected on a direction sooner than they are differentiated."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.core.graph import Environment
from jaxpot.descriptors.base import Descriptor


@jax.custom_jvp
def projected_energy(descriptor: Descriptor, readout: Any, environment: Environment) -> jax.Array:
    """E of an environment, () eV, for a readout of the one vector x that a descriptor makes of it.

    dE = (dE/dx) . dx is the change of the projection of x on the fixed vector dE/dx: `Descriptor.projected` knows that
    without the change of x.

    Args:
        descriptor: one with `projects`.
        readout: a `Readout`.
        environment: of an atom.
    """
    return readout.energy(*descriptor.instances(environment))


@projected_energy.defjvp
def _projected_jvp(primals, tangents):
    (descriptor, readout, environment), (turned, changed, moved) = primals, tangents
    vectors, weights = descriptor.instances(environment)
    slopes = jax.grad(lambda x: readout.energy(x, jnp.ones_like(weights)))(vectors)[0]

    def projection(seen_by, x, y, z, distances):
        return seen_by.projected(environment.replace(x=x, y=y, z=z, distances=distances), slopes)

    places = ("x", "y", "z", "distances")
    _, change = jax.jvp(
        projection,
        (descriptor, *(getattr(environment, name) for name in places)),
        (turned, *(getattr(moved, name) for name in places)),
    )
    value, by_readout = jax.jvp(lambda one: one.energy(vectors, weights), (readout,), (changed,))
    return value, change + by_readout
