"""`Readout`: what a potential makes of the vectors of a descriptor, and what fits and error bars ask of it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.graph import Environment
from jaxpot.core.masks import masked, slopes_by_masked
from jaxpot.core.precision import product
from jaxpot.core.pytree import Node
from jaxpot.descriptors.base import Descriptor
from jaxpot.readouts.projected import projected_energy
from jaxpot.typing import AnyArray, ArrayField


def along(scale: float | AnyArray, weights: AnyArray) -> float | AnyArray:
    """Scale of each weight, (M,) or one number, for arrays (M,) or (M, any) of them."""
    return scale if np.ndim(scale) == 0 else np.reshape(scale, (-1, *(1,) * (np.ndim(weights) - 1)))


class Readout(Node):
    """Energy of the weighted vectors x_i that a descriptor makes of the surroundings of one atom.

    E = sum_i w_i e(x_i)

    A readout is a pytree with `dimension`, the length of the vectors, and `energy`. If E is linear in some of its
    arrays (in `weights`, or in the last layer of a network), `weight_mask` says in which, and everything that is made
    of linear models follows: rows of fits, evidence, posteriors, error bars, D-optimality, selection of data, learning
    on the fly. `features` and `feature_changes` are derivatives of `energy` unless a readout has a faster form.

    A readout that is to be fitted also has `delta`, the standard deviation of the prior of E in eV, and `untrained`.
    The prior of its weights is N(0, 1), or N(0, P^-1) with the matrix P of `weight_precision`.

    Attributes:
        smoothness: how many derivatives of E by the vectors are continuous.
        double_only: whether single precision would lose the energy.
        chunk_elements: neighbours that are worked on at once.
        has_residual: whether the prior allows more than the features span, as that of a Gaussian process allows more
            than its sparse points; then `prior`, `kernel` and `points` say how much, as in `SparseGP`.
    """

    delta: ArrayField  # of those that can be fitted

    smoothness = 99
    double_only = False
    chunk_elements = 4096
    has_residual = False

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        raise NotImplementedError(f"{type(self).__name__} defines no dimension")

    def energy(self, vectors: jax.Array, weights: jax.Array) -> jax.Array:
        """E of weighted vectors (m, d), (m,): () eV."""
        raise NotImplementedError(f"{type(self).__name__} defines no energy")

    def energy_of(self, descriptor: Descriptor, environment: Environment) -> jax.Array:
        """E of an environment that a descriptor describes: () eV; a subclass may know a way without the vectors."""
        if descriptor.projects:
            return projected_energy(descriptor, self, environment)
        return self.energy(*descriptor.instances(environment))

    @classmethod
    def untrained(cls, dimension: int, delta: Any) -> "Readout":
        """Readout before a fit, for vectors of a length: weights that are zero."""
        raise NotImplementedError(f"{cls.__name__} cannot be fitted: it defines no untrained")

    def weight_mask(self) -> "Readout | None":
        """Tree like the readout with True for the arrays that E is linear in, False for others; None: in no array."""
        return None

    def weight_precision(self) -> jax.Array | None:
        """Inverse of the prior covariance of the weights, (M, M); None: the unit matrix."""
        return None

    def rescaled(self, weights: AnyArray, scale: float | AnyArray) -> AnyArray:
        """Weights, or columns of their changes, of the same energy when delta is multiplied with `scale`."""
        return weights / along(scale, weights)

    @property
    def n_features(self) -> int:
        """Number of weights that E is linear in, M."""
        mask = self.weight_mask()
        return 0 if mask is None else sum(map(jnp.size, masked(self, mask)))

    def features(self, vectors: jax.Array, weights: jax.Array) -> jax.Array:
        """dE/dweights, (M,): E is linear in the weights, so that these do not depend on them."""
        return slopes_by_masked(lambda readout: readout.energy(vectors, weights), self, self.weight_mask())

    @property
    def is_graded(self) -> bool:
        """Whether environments can be graded by how far they are outside of others (`jp.ActiveSet`)."""
        return self.weight_mask() is not None

    def grading(self, vectors: jax.Array, weights: jax.Array) -> jax.Array:
        """Vector by which environments are graded: the features, unless a readout that is not linear has a stand-in."""
        return self.features(vectors, weights)

    def feature_changes(
        self, vectors: jax.Array, weights: jax.Array, changes: jax.Array, weight_changes: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The features, and their derivatives instance by instance.

        Args:
            vectors, weights: of a descriptor, (m, d) and (m,).
            changes, weight_changes: their derivatives by q coordinates each, (m, q, d) and (m, q).

        Returns:
            (M,) and (m, q, M).
        """
        single, push = jax.linearize(self.single_features, vectors)
        slopes = jax.vmap(push, in_axes=1, out_axes=1)(changes)
        return product(weights, single), weights[:, None, None] * slopes + weight_changes[:, :, None] * single[:, None]

    def single_features(self, vectors: jax.Array) -> jax.Array:
        """Features of each vector alone, (m, M)."""
        return jax.vmap(lambda x: self.features(x[None], jnp.ones(1, x.dtype)))(vectors)
