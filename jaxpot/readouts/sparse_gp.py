"""The mean, and the prior residual variance, of a sparse Gaussian process."""

import jax
import jax.numpy as jnp

from jaxpot.core import linalg
from jaxpot.core.masks import mask_of
from jaxpot.core.precision import as_float
from jaxpot.core.pytree import pytree
from jaxpot.errors import DataError
from jaxpot.kernels.base import Kernel
from jaxpot.readouts.base import Readout
from jaxpot.readouts.blocks import block_length, by_blocks, direct
from jaxpot.typing import AnyArray, Array, ArrayField, Number


@pytree
class SparseGP(Readout):
    """A Gaussian process expressed in sparse points.

    E = sum_i w_i sum_s alpha_s c_s delta^2 k(x_i, x_s)

    over the weighted vectors x_i of a descriptor and the sparse points x_s, which may have weights c_s too.

    Args:
        kernel: k.
        points: x_s, (M, d).
        weights: alpha_s, (M,) 1/eV.
        delta: standard deviation of the process, () eV.
        point_weights: c_s, (M,), the weights that the points had as instances of their descriptor; None: 1.

    References:
        A. P. Bartok, G. Csanyi, Gaussian approximation potentials: a brief tutorial introduction, Int. J.
        Quantum Chem. 115, 1051 (2015), equations 6 to 12.
    """

    kernel: Kernel
    points: ArrayField
    weights: ArrayField
    delta: ArrayField = 1.0  # type: ignore[assignment]  # an array, once made
    point_weights: ArrayField = None  # type: ignore[assignment]  # an array, once made

    double_only = True  # weights of 10^5 eV and more cancel: mlearn Si is off by 3e-3, Mo by 4e-2 eV an atom
    has_residual = True
    chunk_elements = 2560  # each neighbour brings a hundred numbers or more

    def __post_init__(self) -> None:
        for name in ("points", "weights", "delta"):
            object.__setattr__(self, name, as_float(getattr(self, name), name))
        if self.points.ndim != 2 or self.weights.shape != self.points.shape[:1] or self.delta.ndim:
            raise DataError(
                "expected points (M, d), weights (M,) and a number delta, got "
                f"{self.points.shape}, {self.weights.shape} and {self.delta.shape}"
            )
        if self.point_weights is not None:
            object.__setattr__(self, "point_weights", as_float(self.point_weights, "point_weights"))
            if self.point_weights.shape != self.weights.shape:
                raise DataError(f"point_weights: expected {self.weights.shape}, got {self.point_weights.shape}")

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.points.shape[1]

    def weight_mask(self) -> Readout:
        return mask_of(self, "weights")

    def weight_precision(self) -> Array:
        """Covariance of the sparse points, (M, M) eV^2: the prior of the weights is N(0, K^-1)."""
        return self.point_covariance(0.0)

    def rescaled(self, weights: AnyArray, scale: float) -> AnyArray:
        return weights / scale**2  # E = delta^2 sum k alpha

    def energy(self, vectors: Array, weights: Array) -> Array:
        """E of weighted vectors (m, d), (m,): () eV."""
        total = by_blocks if block_length(self.points) else direct
        return total(self.kernel, self.points, self.delta**2 * self._weighted(self.weights), vectors, weights)

    def features(self, vectors: Array, weights: Array) -> Array:
        """Features in which E is linear, (M,) eV^2: E = features @ alpha."""
        return self.delta**2 * self._weighted(weights @ self.kernel.matrix(vectors, self.points))

    def feature_changes(
        self, vectors: Array, weights: Array, changes: Array, weight_changes: Array
    ) -> tuple[Array, Array]:
        """The features, and their derivatives instance by instance.

        Args:
            vectors, weights: of a descriptor, (m, d) and (m,).
            changes, weight_changes: their derivatives by q coordinates each, (m, q, d) and (m, q).

        Returns:
            (M,) eV^2 and (m, q, M).
        """
        covariances, push = jax.linearize(lambda v: self.kernel.matrix(v, self.points), vectors)
        found = jax.vmap(push, in_axes=1, out_axes=1)(changes)  # (m, q, M)
        found = weights[:, None, None] * found + weight_changes[:, :, None] * covariances[:, None]
        scale = self.delta**2 * self._weighted(jnp.ones(len(self.points), found.dtype))
        return (weights @ covariances) * scale, found * scale

    def point_covariance(self, noise: Number) -> Array:
        """Covariance of the sparse points with a white part, C = c_s c_t delta^2 k(x_s, x_t) + noise^2: (M, M) eV^2."""
        points = self._weighted(self._weighted(self.kernel.matrix(self.points, self.points)).T)
        return self.delta**2 * points + noise**2 * jnp.eye(len(self.points), dtype=points.dtype)

    def prior(self, vectors: Array, weights: Array) -> Array:
        """Variance of E before any data, () eV^2: sum_ij w_i w_j delta^2 k(x_i, x_j)."""
        return self.delta**2 * (weights @ self.kernel.matrix(vectors, vectors) @ weights)

    def variance(self, vectors: Array, weights: Array, factor: Array, noise: Number, correlated: bool = True) -> Array:
        """Variance of E that the sparse points leave, () eV^2.

        sum_ij w_i w_j R_ij, R = delta^2 k(x_i, x_j) + noise^2 [i = j] - sum_st k_is C^-1_st k_jt,
        k_is = c_s delta^2 k(x_i, x_s)

        Args:
            vectors, weights: of a descriptor, (m, d) and (m,).
            factor: lower Cholesky factor of `point_covariance(noise)`.
            noise: standard deviation of the white part, () eV.
            correlated: False: only i = j, as if the vectors of one atom were independent.
        """
        known = self.delta**2 * self._weighted(self.kernel.matrix(vectors, self.points))
        white = noise**2 * jnp.sum(weights * weights)
        if correlated:
            explained = linalg.solve_lower(factor, weights @ known)
            return self.prior(vectors, weights) + white - jnp.sum(explained * explained)
        explained = linalg.solve_lower(factor, (weights[:, None] * known).T)
        prior = jnp.sum(weights * weights * self.kernel.diagonal(vectors))
        return self.delta**2 * prior + white - jnp.sum(explained * explained)

    def _weighted(self, array):
        """An array whose last axis runs over the sparse points, times c_s."""
        return array if self.point_weights is None else array * self.point_weights
