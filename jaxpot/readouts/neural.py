"""A neural network that reads a descriptor."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxpot.core.precision import as_float
from jaxpot.core.pytree import pytree, static
from jaxpot.errors import DataError


@pytree
class Neural:
    """E = sum_i w_i [offset + scale network((x_i - shift) factor)] over the weighted vectors x_i of a descriptor.

    Args:
        network: a callable pytree from (d,) to (): an `MLP`, or a module of flax's nnx.
        shift, factor: (d,), of the inputs.
        offset, scale: () eV, of the output.
        lower, upper: the range of each component in the training data, for `jp.extrapolations`; None: not known.

    References:
        J. Behler, M. Parrinello, Generalized neural-network representation of high-dimensional potential-energy
        surfaces, Phys. Rev. Lett. 98, 146401 (2007).
    """

    network: Callable
    shift: jax.Array
    factor: jax.Array
    offset: jax.Array = 0.0
    scale: jax.Array = 1.0
    lower: tuple | None = static(default=None)
    upper: tuple | None = static(default=None)

    double_only = False
    chunk_elements = 4096

    def __post_init__(self):
        for name in ("shift", "factor", "offset", "scale"):
            object.__setattr__(self, name, as_float(getattr(self, name), name))
        if self.shift.ndim != 1 or self.factor.shape != self.shift.shape or self.offset.ndim or self.scale.ndim:
            raise DataError(
                f"expected shift and factor (d,), and numbers offset and scale, got {self.shift.shape}, "
                f"{self.factor.shape}, {self.offset.shape} and {self.scale.shape}"
            )
        inputs = getattr(self.network, "inputs", self.dimension)
        if inputs != self.dimension:
            raise DataError(f"the network takes {inputs} inputs, but shift and factor have {self.dimension}")
        for name in ("lower", "upper"):
            bound = getattr(self, name)
            if bound is not None:
                bound = tuple(float(x) for x in bound)
                object.__setattr__(self, name, bound)
                if len(bound) != self.dimension:
                    raise DataError(f"{name}: expected {self.dimension} numbers, got {len(bound)}")

    @property
    def dimension(self):
        """Length of the vectors."""
        return self.shift.shape[0]

    @property
    def smoothness(self):
        return getattr(self.network, "smoothness", 99)

    def energy(self, vectors, weights):
        """E of weighted vectors (m, d), (m,): () eV."""
        values = jax.vmap(self.network)((vectors - self.shift) * self.factor)
        return jnp.sum(weights * (self.offset + self.scale * values.reshape(len(weights))))

    @property
    def n_features(self):
        """How many parameters the last layer has."""
        return self.network.kernels[-1].shape[0] + 1

    def features(self, vectors, weights):
        """What E is linear in, (H + 1,) eV: the inputs of the last layer of an `MLP`, and 1, times the scale."""
        return weights @ self._last_inputs(vectors)

    def feature_changes(self, vectors, weights, changes, weight_changes):
        """The features, and their derivatives instance by instance.

        Args:
            vectors, weights: of a descriptor, (m, d) and (m,).
            changes, weight_changes: their derivatives by q coordinates each, (m, q, d) and (m, q).

        Returns:
            (H + 1,) eV and (m, q, H + 1).
        """
        inputs, push = jax.linearize(self._last_inputs, vectors)
        found = jax.vmap(push, in_axes=1, out_axes=1)(changes)
        return weights @ inputs, weights[:, None, None] * found + weight_changes[:, :, None] * inputs[:, None]

    def _last_inputs(self, vectors):
        found = jax.vmap(self.network.last_inputs)((vectors - self.shift) * self.factor)
        return self.scale * jnp.concatenate([found, jnp.ones((len(found), 1), found.dtype)], axis=1)
