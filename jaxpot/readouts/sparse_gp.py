"""The mean, and the prior residual variance, of a sparse Gaussian process."""

import jax
import jax.numpy as jnp

from jaxpot.core.precision import as_float
from jaxpot.core.pytree import pytree
from jaxpot.errors import DataError
from jaxpot.kernels.base import Kernel


@pytree
class SparseGP:
    """A Gaussian process expressed in sparse points.

    E = sum_i w_i sum_s alpha_s delta^2 k(x_i, x_s)

    over the weighted vectors x_i of a descriptor and the sparse points x_s.

    Args:
        kernel: k.
        points: x_s, (M, d).
        weights: alpha_s, (M,) 1/eV.
        delta: standard deviation of the process, () eV.

    References:
        A. P. Bartok, G. Csanyi, Gaussian approximation potentials: a brief tutorial introduction, Int. J.
        Quantum Chem. 115, 1051 (2015), equations 6 to 12.
    """

    kernel: Kernel
    points: jax.Array
    weights: jax.Array
    delta: jax.Array = 1.0

    def __post_init__(self):
        for name in ("points", "weights", "delta"):
            object.__setattr__(self, name, as_float(getattr(self, name), name))
        if self.points.ndim != 2 or self.weights.shape != self.points.shape[:1] or self.delta.ndim:
            raise DataError(
                "expected points (M, d), weights (M,) and a number delta, got "
                f"{self.points.shape}, {self.weights.shape} and {self.delta.shape}"
            )

    def energy(self, vectors, weights):
        """E of weighted vectors (m, d), (m,): () eV."""
        covariances = self.kernel.matrix(vectors, self.points)
        return jnp.sum(weights * (covariances @ (self.delta**2 * self.weights)))
