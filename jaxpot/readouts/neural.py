"""A neural network that reads a descriptor."""


from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.core.masks import mask_of
from jaxpot.core.precision import as_float, product
from jaxpot.core.pytree import pytree, static
from jaxpot.errors import DataError
from jaxpot.readouts.base import Readout
from jaxpot.readouts.network import MLP, Averaged
from jaxpot.typing import Array, ArrayField


@pytree
class Neural(Readout):
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

    network: Any
    shift: ArrayField
    factor: ArrayField
    offset: ArrayField = 0.0  # type: ignore[assignment]  # an array, once made
    scale: ArrayField = 1.0  # type: ignore[assignment]  # an array, once made
    lower: tuple | None = static(default=None)
    upper: tuple | None = static(default=None)

    def __post_init__(self) -> None:
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
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.shift.shape[0]

    @property
    def smoothness(self) -> int:
        return getattr(self.network, "smoothness", 99)

    def energy(self, vectors: Array, weights: Array) -> Array:
        """E of weighted vectors (m, d), (m,): () eV."""
        values = jax.vmap(self.network)((vectors - self.shift) * self.factor)
        return jnp.sum(weights * (self.offset + self.scale * values.reshape(len(weights))))

    def weight_mask(self) -> Readout | None:
        """Of an `MLP` the kernel and the bias of its last layer, where that is linear; of `Averaged` its weights."""
        if isinstance(self.network, Averaged):
            return mask_of(self, "network.weights")
        if not isinstance(self.network, MLP) or self.network.activations[-1] != "identity":
            return None
        last = len(self.network.kernels) - 1
        return mask_of(self, f"network.kernels[{last}]", f"network.biases[{last}]")

    def features(self, vectors: Array, weights: Array) -> Array:
        """dE/dweights, (M,) eV: of an `MLP` the inputs of the last layer, and 1, times the scale."""
        return product(weights, self.single_features(vectors))

    def single_features(self, vectors: Array) -> Array:
        inputs = (vectors - self.shift) * self.factor
        if isinstance(self.network, Averaged):
            return self.scale * jax.vmap(self.network.members)(inputs)
        last = jax.vmap(self.network.last_inputs)(inputs)
        last = jnp.concatenate([last, jnp.ones((len(last), 1), last.dtype)], axis=1)
        return self.scale * last / (last.shape[1] - 1 if self.network.normalised else 1)
