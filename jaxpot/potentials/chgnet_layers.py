"""Layers of CHGNet: networks with a gate, a norm behind them, what they add to states, and what states begin with."""

import math
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.basis.cutoffs import inside
from jaxpot.basis.envelopes import polynomial
from jaxpot.core.precision import as_float, product
from jaxpot.core.pytree import Node, put, pytree
from jaxpot.errors import DataError
from jaxpot.typing import Array, ArrayField

_TINY = 1e-5  # of the variance that a norm divides by


@pytree
class Layers(Node):
    """Linear layers with silu between them, and a norm behind the last.

    Args:
        kernels: (inputs, outputs) of each layer.
        biases: (outputs,) of each.
        norm: weights and offsets, (outputs,) each, of what has been shifted and scaled to a mean of 0 and a variance of
            1; () for no norm.
    """

    kernels: tuple
    biases: tuple
    norm: tuple = ()

    def __post_init__(self) -> None:
        for name in ("kernels", "biases", "norm"):
            put(self, name, tuple(as_float(a, name) for a in getattr(self, name)))
        follow = all(a.shape[1] == b.shape[0] for a, b in pairwise(self.kernels))
        if not follow or [b.shape for b in self.biases] != [(a.shape[1],) for a in self.kernels]:
            raise DataError(f"layers do not follow one another: {[a.shape for a in self.kernels]}")

    def behind_first(self, entering: Array) -> Array:
        """Outputs, of what leaves the first linear layer."""
        for kernel, bias in zip(self.kernels[1:], self.biases[1:], strict=True):
            entering = product(jax.nn.silu(entering), kernel) + bias
        return normalised(entering, *self.norm) if self.norm else entering


@pytree
class Gated(Node):
    """silu(core) sigmoid(gate), two networks of the same inputs."""

    core: Layers
    gate: Layers

    def parts(self, count: int) -> list[Array]:
        """First kernels of both networks side by side, cut into as many parts as there are inputs."""
        return jnp.split(jnp.concatenate([self.core.kernels[0], self.gate.kernels[0]], axis=1), count)

    @property
    def bias(self) -> Array:
        """Biases of the first layers, side by side."""
        return jnp.concatenate([self.core.biases[0], self.gate.biases[0]])

    def behind_first(self, entering: Array) -> Array:
        """Outputs, of what leaves the first layers."""
        core, gate = jnp.split(entering, [self.core.kernels[0].shape[1]], axis=-1)
        return jax.nn.silu(self.core.behind_first(core)) * jax.nn.sigmoid(self.gate.behind_first(gate))


@pytree
class Update(Node):
    """Weights of what is added to states: a network of each message, and a matrix (C, C) of their sum.

    Args:
        message: of the states beside each other.
        kernel: (C, C).
        bias: (array (C,),), or (). That of atoms is added to all of them; that of bonds to all, with or without angles,
            if there is any angle in the structure: the energy jumps there, which is how the published program has it.
    """

    message: Gated
    kernel: ArrayField
    bias: tuple = ()

    def __post_init__(self) -> None:
        put(self, "kernel", as_float(self.kernel, "kernel"))
        put(self, "bias", tuple(as_float(a, "bias") for a in self.bias))

    @property
    def constant(self) -> Array:
        """Bias, (C,), or 0."""
        return sum(self.bias, jnp.zeros((), self.kernel.dtype))


def normalised(states: Array, weights: Array, offsets: Array) -> Array:
    """States (..., C) shifted and scaled to a mean of 0 and a variance of 1, times weights, plus offsets."""
    shifted = states - jnp.mean(states, axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(shifted * shifted, axis=-1, keepdims=True) + _TINY)
    return shifted * scale * weights + offsets


def radial(distances: Array, frequencies: Array, cutoff: float, power: float) -> Array:
    """Radial functions (..., N) of distances (...), zero beyond the cutoff."""
    mask, r = inside(distances, cutoff)
    fade = jnp.where(mask, math.sqrt(2.0 / cutoff) * polynomial(r, cutoff, power) / r, 0.0)
    return jnp.sin(r[..., None] * (frequencies * (1.0 / cutoff))) * fade[..., None]


def has_angles(potential: Any, distances: Array) -> Array:
    """Whether bonds of these lengths have angles."""
    return inside(distances, potential.short)[0]


def cosines(potential: Any, x: Array, y: Array, z: Array, distances: Array) -> Array:
    """Cosines of the angles of bonds (..., Kb), (..., Kb, Kb); 0 where two bonds have none."""
    near = has_angles(potential, distances)
    cosine = sum((a / distances)[..., :, None] * (a / distances)[..., None, :] for a in (x, y, z))
    pair = near[..., :, None] & near[..., None, :] & ~jnp.eye(near.shape[-1], dtype=bool)
    return jnp.where(pair, cosine, 0.0)


def first_angles(potential: Any, x: Array, y: Array, z: Array, distances: Array) -> Array:
    """First states of the angles of bonds (..., Kb) of a `CHGNet`: (..., Kb, Kb, C), of pairs within reach."""
    theta = jnp.arccos((1.0 - potential.rounding) * cosines(potential, x, y, z, distances))
    phases = theta[..., None] * potential.angle_frequencies
    constant = jnp.full_like(phases[..., :1], math.sqrt(0.5))
    basis = jnp.concatenate([constant, jnp.sin(phases), jnp.cos(phases)], axis=-1)
    return product(basis * (1.0 / math.sqrt(math.pi)), potential.angle_embedding)
