"""Networks of one hidden layer, one for each element."""

import jax
import jax.numpy as jnp

from jaxpot.core.masks import mask_of
from jaxpot.core.precision import as_float
from jaxpot.core.pytree import put, pytree
from jaxpot.errors import DataError
from jaxpot.readouts.base import Readout
from jaxpot.typing import Array, ArrayField


@pytree
class ElementNetworks(Readout):
    """E = sum_i w_i [offset + outputs_e . tanh(K_e^T (factor x_i) + biases_e)] over the weighted vectors x_i.

    The last component of a vector is no input, but e: the place of its atom's element (`with_element` of
    `NeuroevolutionDescriptor`).

    Args:
        kernels: K, (S, d, H).
        biases: (S, H).
        outputs: (S, H) eV.
        offset: () eV, of all elements.
        factor: (d,), of the inputs.

    References:
        Z. Fan et al., Phys. Rev. B 104, 104309 (2021), equation 2; K. Song et al., Nat. Commun. 15, 10208 (2024), for a
        network for each element.
    """

    kernels: ArrayField
    biases: ArrayField
    outputs: ArrayField
    offset: ArrayField
    factor: ArrayField

    def __post_init__(self) -> None:
        for name in ("kernels", "biases", "outputs", "offset", "factor"):
            put(self, name, as_float(getattr(self, name), name))
        shapes = [array.shape for array in (self.kernels, self.biases, self.outputs, self.offset, self.factor)]
        if self.kernels.ndim == 3:
            count, inputs, hidden = self.kernels.shape
            if shapes[1:] == [(count, hidden), (count, hidden), (), (inputs,)]:
                return
        raise DataError(
            "expected kernels (S, d, H), biases and outputs (S, H), a number offset and factor (d,); got "
            f"{', '.join(map(str, shapes))}"
        )

    @property
    def dimension(self) -> int:
        """Length of the vectors, with the place of the element."""
        return self.kernels.shape[1] + 1

    def weight_mask(self) -> Readout:
        """Of the outputs, and of the offset."""
        return mask_of(self, "outputs", "offset")

    def energy(self, vectors: Array, weights: Array) -> Array:
        """E of weighted vectors (m, d + 1), (m,): () eV."""
        return jnp.sum(weights * jax.vmap(self._single)(vectors))

    def _single(self, vector):
        place = jax.lax.stop_gradient(vector[-1]).astype(jnp.int32)
        kernel, bias, output = (
            a.at[place].get(mode="promise_in_bounds") for a in (self.kernels, self.biases, self.outputs)
        )
        inputs = self.factor * vector[:-1]
        hidden = jnp.tanh(jnp.matmul(inputs, kernel, precision="highest") + bias)
        return self.offset + jnp.matmul(hidden, output, precision="highest")
