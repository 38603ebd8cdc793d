"""`Descriptor`: what a model sees of one environment, as weighted vectors."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.core.elements import atomic_number
from jaxpot.core.graph import Environment
from jaxpot.core.precision import product
from jaxpot.core.pytree import Node
from jaxpot.errors import DataError
from jaxpot.typing import AnyArray, Array


class Descriptor(Node):
    """Base class. Subclasses are decorated with `@pytree`; what they hold is static.

    Attributes:
        cutoff: A, beyond which a neighbour is not seen.
        species: atomic numbers that it can tell apart or has been made for; None for every element.
        smoothness, kinks: number of continuous derivatives, and where the next one jumps, as of a `Potential`.
        shorter: cutoffs in A that `Environment.within` is asked for.
        dimension: length d of one vector.
        centers: atomic numbers of the atoms it describes; None for all. Others get the weight 0.
        one_vector: whether an atom has one vector, which all its neighbours change.
        multiplicity: how many equal instances one vector stands for in QUIP, its weight being that of all of them;
            None where this is not known.
        projects: whether `projected` is a faster way than by the vectors; for descriptors of one vector.
        selects: whether there are descriptors of some of its components only, `selected`.
        balanced: names of arrays whose large numbers cancel: a small step of one spoils them, so that fine-tuning
            leaves them as they are.
        chunk_elements: at most so many neighbours are evaluated at once.
        jacobian_elements: and of so many the derivatives of the vectors are kept at once.
    """

    cutoff: float
    dimension: int
    species: tuple[int, ...] | None = None
    centers: tuple[int, ...] | None = None
    smoothness: int = 99
    kinks: tuple[float, ...] | None = None
    shorter: tuple[float, ...] = ()
    one_vector: bool = False
    projects: bool = False
    selects: bool = False
    multiplicity: float | None = 1
    balanced: tuple[str, ...] = ()
    chunk_elements: int = 4096
    jacobian_elements: int = 640

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """Vectors (m, d) and their weights (m,): one for SOAP, pairs or triplets for the others."""
        raise NotImplementedError(type(self).__name__)  # a subclass's duty

    def jacobian(self, environment: Environment) -> tuple[Array, Array, Array, Array, Array]:
        """The instances, and how each changes when a neighbour moves.

        Returns:
            Vectors (m, d), weights (m,), the places (m, q) of the neighbours that each instance may depend on, and
            the derivatives by x, y, z of these neighbours: (m, q, 3, d) and (m, q, 3).
        """
        moved = partial(_moved, self, environment)
        vectors, weights = self.instances(environment)
        # Three arrays (m, d, K) and three (m, K).
        change, weight_change = jax.jacfwd(moved, argnums=(0, 1, 2))(environment.x, environment.y, environment.z)
        places = jnp.broadcast_to(jnp.arange(len(environment.x)), (len(weights), len(environment.x)))
        return vectors, weights, places, jnp.stack([c.swapaxes(1, 2) for c in change], 2), jnp.stack(weight_change, 2)

    def projected(self, environment: Environment, coefficients: Array) -> Array:
        """() sum of the weighted vectors times coefficients (d,): a subclass may know a way without the vectors."""
        vectors, weights = self.instances(environment)
        return product(product(weights, vectors), coefficients)

    def selected(self, places: AnyArray) -> "Descriptor":
        """Descriptor of some of the components, by their places."""
        raise NotImplementedError(type(self).__name__)  # a duty of a subclass that selects

    def projections(self, environment: Environment, directions: Array) -> Array:
        """Sums of the weighted vectors times each of few directions (P, p), which all atoms share.

        Where p < d, they are directions of the first p components, and the others follow as they are: (P + d - p,).
        """
        if directions.shape[1] == self.dimension:
            return jnp.stack([self.projected(environment, direction) for direction in directions])
        vectors, weights = self.instances(environment)
        total = product(weights, vectors)
        count = directions.shape[1]
        return jnp.concatenate([product(directions, total[:count]), total[count:]])

    def describes(self, number: Array) -> float | Array:
        """() 1.0 where an atom of this number is described, else 0.0."""
        if self.centers is None:
            return 1.0
        return jnp.where(jnp.any(jnp.stack([number == z for z in self.centers])), 1.0, 0.0)


def _moved(descriptor, environment, x, y, z):
    """Instances when the neighbours are somewhere else."""
    distances = jnp.sqrt(x * x + y * y + z * z)
    return descriptor.instances(environment.replace(x=x, y=y, z=z, distances=distances))


def different_elements(elements: Any) -> tuple[int, ...]:
    """Atomic numbers of one or more elements, each once."""
    numbers = tuple(atomic_number(z) for z in elements)
    if not numbers or len(set(numbers)) != len(numbers):
        raise DataError(f"species: expected different elements, got {tuple(elements)}")
    return numbers


def elements_tuple(elements: Any, count: int, expected: str) -> tuple[int | None, ...] | None:
    """`count` atomic numbers, with None where every element is meant; None stays None."""
    if elements is None:
        return None
    if isinstance(elements, str) or len(elements) != count:
        raise DataError(f"elements: expected {expected}, got {elements!r}")
    return tuple(None if z is None else atomic_number(z) for z in elements)


def is_one_of(numbers: Array, element: int | None) -> Array:
    """Mask of the atomic numbers that are this element; all of them for None."""
    return numbers > 0 if element is None else numbers == element
