"""The squared exponential kernel with a length for every component."""

import jax.numpy as jnp

from jaxpot.core.precision import as_float, concrete
from jaxpot.core.pytree import pytree
from jaxpot.errors import DataError
from jaxpot.kernels.base import Kernel
from jaxpot.typing import Array, ArrayField


@pytree
class SquaredExponential(Kernel):
    """k(x, y) = exp(-1/2 sum_d ((x_d - y_d) / theta_d)^2): automatic relevance determination.

    Args:
        theta: length of each component (d,), or one for all ().

    References:
        C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), equation 5.1.
    """

    theta: ArrayField

    def __post_init__(self):
        object.__setattr__(self, "theta", as_float(self.theta, "theta"))
        value = concrete(self.theta)
        if value is not None and not (value > 0).all():
            raise DataError(f"theta: expected positive lengths, got {value.min():.6g}")

    def matrix(self, first: Array, second: Array) -> Array:
        # Differences, not |x|^2 - 2 x.y + |y|^2: that cancels where points are close.
        between = (first[:, None, :] - second[None, :, :]) / self.theta
        return jnp.exp(-0.5 * jnp.sum(between * between, axis=-1))

    def diagonal(self, vectors: Array) -> Array:
        return jnp.ones(vectors.shape[:-1], vectors.dtype)
