"""`Descriptor`: what a model sees of one environment, as weighted vectors."""

import jax.numpy as jnp

from jaxpot.core.elements import atomic_number
from jaxpot.errors import DataError


class Descriptor:
    """Base class. Subclasses are decorated with `@pytree`; what they hold is static.

    Attributes:
        cutoff: A, beyond which a neighbour is not seen.
        species: atomic numbers that it can tell apart or has been made for; None for every element.
        smoothness, kinks: number of continuous derivatives, and where the next one jumps, as of a `Potential`.
        dimension: length d of one vector.
        centers: atomic numbers of the atoms it describes; None for all. Others get the weight 0.
        multiplicity: how many equal instances one vector stands for in QUIP, its weight being that of all of them;
            None where this is not known.
    """

    species = None
    centers = None
    smoothness = 99
    kinks = None
    multiplicity = 1

    def instances(self, environment):
        """Vectors (m, d) and their weights (m,): one for SOAP, pairs or triplets for the others."""
        raise NotImplementedError(type(self).__name__)  # a subclass's duty

    def describes(self, number):
        """() 1.0 where an atom of this number is described, else 0.0."""
        if self.centers is None:
            return 1.0
        return jnp.where(jnp.any(jnp.stack([number == z for z in self.centers])), 1.0, 0.0)


def elements_tuple(elements, count, expected):
    """`count` atomic numbers, with None where every element is meant; None stays None."""
    if elements is None:
        return None
    if isinstance(elements, str) or len(elements) != count:
        raise DataError(f"elements: expected {expected}, got {elements!r}")
    return tuple(None if z is None else atomic_number(z) for z in elements)


def is_one_of(numbers, element):
    """Where atomic numbers are this element; everywhere for None."""
    return numbers > 0 if element is None else numbers == element
