"""A readout that is quadratic in the vectors of a descriptor."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.masks import mask_of
from jaxpot.core.precision import as_float, product
from jaxpot.core.pytree import put, pytree
from jaxpot.errors import DataError
from jaxpot.readouts.base import Readout
from jaxpot.typing import ArrayField


@pytree
class Quadratic(Readout):
    """E = delta sum_i w_i (beta . x_i + x_i . A x_i / 2) over the weighted vectors x_i of a descriptor; A is symmetric.

    Args:
        weights: beta, (d,), and behind it the upper triangle of A, row by row: (d (d + 3) / 2,) in all; of a fit, with
            the prior N(0, 1).
        delta: standard deviation of the prior for a vector of length 1, () eV.

    References:
        M. A. Wood, A. P. Thompson, J. Chem. Phys. 148, 241721 (2018), equation 8: SNAP with terms of second order.
    """

    weights: ArrayField
    delta: ArrayField = 1.0  # type: ignore[assignment]  # an array, once made

    def __post_init__(self) -> None:
        put(self, "weights", as_float(self.weights, "weights"))
        put(self, "delta", as_float(self.delta, "delta"))
        count = self.weights.size
        if self.weights.ndim != 1 or self.delta.ndim or count != self.dimension * (self.dimension + 3) // 2:
            raise DataError(
                "expected d weights and d (d + 1) / 2 behind them, (d (d + 3) / 2,), and a number delta, got "
                f"{self.weights.shape} and {self.delta.shape}"
            )

    @classmethod
    def untrained(cls, dimension: int, delta: float) -> "Quadratic":
        """Readout before a fit, for vectors of a length: weights that are zero."""
        return cls(np.zeros(dimension * (dimension + 3) // 2), delta)

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return (math.isqrt(8 * self.weights.shape[-1] + 9) - 3) // 2

    @property
    def curvature(self) -> jax.Array:
        """A, (d, d), without delta."""
        rows, columns = np.triu_indices(self.dimension)
        upper = jnp.zeros((self.dimension, self.dimension), self.weights.dtype)
        upper = upper.at[rows, columns].set(self.weights[self.dimension :])
        return upper + jnp.triu(upper, 1).T

    def weight_mask(self) -> Readout:
        return mask_of(self, "weights")

    def energy(self, vectors: jax.Array, weights: jax.Array) -> jax.Array:
        """E of weighted vectors (m, d), (m,): () eV."""
        slopes = self.weights[: self.dimension] + 0.5 * product(vectors, self.curvature)
        return self.delta * product(weights, jnp.sum(vectors * slopes, axis=1))
