"""A readout that is linear in the vectors of a descriptor."""

import jax
import numpy as np

from jaxpot.core.graph import Environment
from jaxpot.core.masks import mask_of
from jaxpot.core.precision import as_float, product
from jaxpot.core.pytree import put, pytree
from jaxpot.descriptors.base import Descriptor
from jaxpot.errors import DataError
from jaxpot.readouts.base import Readout
from jaxpot.typing import AnyArray, ArrayField


@pytree
class Linear(Readout):
    """E = delta sum_i w_i beta . x_i over the weighted vectors x_i of a descriptor.

    Args:
        weights: beta, (d,); of a fit, with the prior N(0, 1).
        delta: standard deviation of the prior for a vector of length 1, () eV; or of each component, (d,).

    References:
        A. P. Thompson et al., J. Comput. Phys. 285, 316 (2015), equation 12: energies linear in the components of a
        descriptor.
    """

    weights: ArrayField
    delta: ArrayField = 1.0  # type: ignore[assignment]  # an array, once made

    def __post_init__(self) -> None:
        put(self, "weights", as_float(self.weights, "weights"))
        put(self, "delta", as_float(self.delta, "delta"))
        if self.weights.ndim != 1 or self.delta.shape not in ((), self.weights.shape):
            raise DataError(
                f"expected weights (d,) and delta, a number or (d,); got {self.weights.shape} and {self.delta.shape}"
            )

    @classmethod
    def untrained(cls, dimension: int, delta: AnyArray | float) -> "Linear":
        """Readout before a fit: weights that are zero."""
        return cls(np.zeros(dimension), delta)

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return len(self.weights)

    def weight_mask(self) -> Readout:
        return mask_of(self, "weights")

    def energy(self, vectors: jax.Array, weights: jax.Array) -> jax.Array:
        """E of weighted vectors (m, d), (m,): () eV."""
        return product(product(weights, vectors), self.delta * self.weights)

    def energy_of(self, descriptor: Descriptor, environment: Environment) -> jax.Array:
        return descriptor.projections(environment, (self.delta * self.weights)[None])[0]
