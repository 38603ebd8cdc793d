"""The number one for every atom, as a descriptor: what a fit finds of it is a constant energy of each."""

import jax.numpy as jnp

from jaxpot.core.elements import atomic_number
from jaxpot.core.graph import Environment
from jaxpot.core.pytree import put, pytree, static
from jaxpot.descriptors.base import Descriptor, different_elements
from jaxpot.typing import Array


@pytree
class Constant(Descriptor):
    """One vector for an atom, whatever surrounds it: (1,).

    With the readout `Linear` an energy that all atoms of an element have, found by a fit with everything else, where
    that of an isolated atom is not known.

    Args:
        species: elements.
        centers: elements of the atoms that are described; None: all.
    """

    species: tuple = static()
    centers: tuple | None = static(default=None)

    cutoff = 0.0
    dimension = 1
    one_vector = True

    def __post_init__(self):
        put(self, "species", different_elements(self.species))
        if self.centers is not None:
            put(self, "centers", tuple(atomic_number(z) for z in self.centers))

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """The vector (1, 1) and its weight (1,)."""
        dtype = environment.x.dtype
        return jnp.ones((1, 1), dtype), jnp.asarray(self.describes(environment.number), dtype)[None]
