"""A feed-forward neural network of one output."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.precision import as_float, product
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.errors import DataError
from jaxpot.typing import Array, ArrayField

# Name: the function, and how many continuous derivatives it has.
ACTIVATIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "tanh": (jnp.tanh, 99),
    "silu": (jax.nn.silu, 99),
    "softplus": (jax.nn.softplus, 99),
    "logistic": (jax.nn.sigmoid, 99),
    "reversed logistic": (lambda x: jax.nn.sigmoid(-x), 99),
    "gaussian": (lambda x: jnp.exp(-0.5 * x * x), 99),
    "cosine": (jnp.cos, 99),
    "exponential": (lambda x: jnp.exp(-x), 99),
    "square": (lambda x: x * x, 99),
    "identity": (lambda x: x, 99),
    "relu": (jax.nn.relu, 0),
    # CELU with alpha = 0.1 (J. T. Barron, arXiv:1704.07483), without the exponential of large numbers.
    "celu": (lambda x: jnp.maximum(x, 0.0) + 0.1 * (jnp.exp(10.0 * jnp.minimum(x, 0.0)) - 1.0), 1),
}


@pytree
class MLP(Node):
    """y = a_n(W_n^T ... a_1(W_1^T x + b_1) ... + b_n), of one output.

    Args:
        kernels: W, (inputs, outputs) of each layer; the last has one output.
        biases: b, (outputs,) of each layer.
        activations: names of the a (`ACTIVATIONS`), one for each layer.
        normalised: divide what enters each activation by the number of inputs of its layer.
    """

    kernels: tuple
    biases: tuple
    activations: tuple = static()
    normalised: bool = static(default=False)

    def __post_init__(self) -> None:
        for name in ("kernels", "biases"):
            object.__setattr__(self, name, tuple(as_float(a, name) for a in getattr(self, name)))
        object.__setattr__(self, "activations", tuple(self.activations))
        unknown = [name for name in self.activations if name not in ACTIVATIONS]
        if unknown:
            raise DataError(f"activations: expected some of {', '.join(ACTIVATIONS)}, got {unknown[0]!r}")
        shapes = [kernel.shape for kernel in self.kernels]
        fits = shapes and all(len(shape) == 2 for shape in shapes) and shapes[-1][1] == 1
        fits = fits and all(here[0] == before[1] for before, here in zip(shapes[:-1], shapes[1:], strict=True))
        widths = [(shape[-1],) for shape in shapes]
        if not fits or [b.shape for b in self.biases] != widths or len(self.activations) != len(shapes):
            raise DataError(
                f"expected layers that follow one another, with one output at the end; got kernels {shapes}, biases "
                f"{[b.shape for b in self.biases]} and {len(self.activations)} activations"
            )

    @classmethod
    def random(cls, key: Any, inputs: int, hidden: Sequence[int] = (24, 24), activation: str = "tanh") -> "MLP":
        """A network to begin with: normal weights of variance 1 / inputs (LeCun), biases zero, a linear output.

        Args:
            key: of `jax.random`, or a seed.
            inputs: how many.
            hidden: width of each hidden layer.
            activation: of the hidden layers.
        """
        key = jax.random.key(key) if isinstance(key, int) else key
        sizes = (inputs, *hidden, 1)
        keys = jax.random.split(key, len(sizes) - 1)
        kernels = [
            jax.random.normal(k, (before, after)) / np.sqrt(before)
            for k, before, after in zip(keys, sizes[:-1], sizes[1:], strict=True)
        ]
        biases = [jnp.zeros(after) for after in sizes[1:]]
        return cls(tuple(kernels), tuple(biases), (activation,) * len(hidden) + ("identity",))

    @property
    def smoothness(self) -> int:
        return min(ACTIVATIONS[name][1] for name in self.activations)

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.kernels[0].shape[0]

    def __call__(self, x: Array) -> Array:
        """y of x (inputs,), ()."""
        return self._through(x, len(self.kernels))[0]

    def last_inputs(self, x: Array) -> Array:
        """Inputs of the last layer, (H,)."""
        return self._through(x, len(self.kernels) - 1)

    def _through(self, x, count):
        """Outputs of the first layers."""
        layers = zip(self.kernels[:count], self.biases[:count], self.activations[:count], strict=True)
        for kernel, bias, name in layers:
            x = jnp.matmul(x, kernel, precision="highest") + bias
            if self.normalised:
                x = x * (1.0 / kernel.shape[0])
            x = ACTIVATIONS[name][0](x)
        return x

    def __repr__(self) -> str:
        sizes = "-".join(str(kernel.shape[0]) for kernel in self.kernels)
        return f"MLP({sizes}-1, {', '.join(self.activations)})"


@pytree
class Averaged(Node):
    """A weighted sum of several networks of one form: y = sum_m c_m network_m(x).

    Args:
        networks: an `MLP` whose arrays have an axis of M in front.
        weights: c, (M,); 1 / M by default: the mean. The energy is linear in them, so that the spread of the networks
            is a covariance of theirs (`jp.train(...).posterior`).
    """

    networks: MLP
    weights: ArrayField = None  # type: ignore[assignment]  # an array, once made

    def __post_init__(self) -> None:
        count = self.networks.kernels[0].shape[0]
        given = np.full(count, 1.0 / count) if self.weights is None else self.weights
        object.__setattr__(self, "weights", as_float(given, "weights"))
        if self.weights.shape != (count,):
            raise DataError(f"weights: expected one for each of {count} networks, got {self.weights.shape}")

    @property
    def smoothness(self) -> int:
        return self.networks.smoothness

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.networks.kernels[0].shape[1]

    def __call__(self, x: Array) -> Array:
        """y of x (inputs,), ()."""
        return product(self.weights, self.members(x))

    def members(self, x: Array) -> Array:
        """Outputs of all networks, (M,)."""
        # An input for each: of one for all, the first kernels would be copied into one matrix for every chunk of atoms.
        inputs = jnp.broadcast_to(x, (len(self.weights), *x.shape))
        return jax.vmap(lambda network, x: network(x))(self.networks, inputs)

    def __repr__(self) -> str:
        return f"Averaged({self.networks.kernels[0].shape[0]} networks)"
