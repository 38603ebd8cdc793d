"""What descriptors share that end with a cosine switch."""

import jax.numpy as jnp

from jaxpot.basis.cutoffs import cosine, inside
from jaxpot.core.graph import Environment
from jaxpot.core.numbers import as_length, as_number
from jaxpot.descriptors.base import Descriptor
from jaxpot.errors import DataError
from jaxpot.typing import Array


class Switched(Descriptor):
    """A descriptor with `cutoff` and `cutoff_transition_width`, A: each neighbour counts f(r), f a cosine switch."""

    cutoff_transition_width: float
    smoothness = 1

    @property
    def kinks(self) -> tuple[float, ...] | None:
        """Distances at which the second derivative of f jumps: its two ends."""
        return (self.cutoff - self.cutoff_transition_width, self.cutoff)

    def check_lengths(self) -> None:
        """Refuse impossible lengths, and keep Python floats."""
        cutoff = as_length(self.cutoff, "cutoff")
        width = as_number(self.cutoff_transition_width, "cutoff_transition_width", "a length in A")
        if not 0.0 <= width <= cutoff:
            raise DataError(f"cutoff_transition_width: expected 0 A to the cutoff of {cutoff} A, got {width}")
        object.__setattr__(self, "cutoff", cutoff)
        object.__setattr__(self, "cutoff_transition_width", width)

    def switch(self, environment: Environment) -> tuple[Array, Array]:
        """Distances at which any formula may be evaluated, and f of them, which is 0 beyond the cutoff: (K,), (K,)."""
        return self.switch_at(environment.distances)

    def switch_at(self, distances: Array) -> tuple[Array, Array]:
        """The same of distances (K,)."""
        mask, r = inside(distances, self.cutoff)
        return r, jnp.where(mask, cosine(r, self.cutoff, self.cutoff_transition_width), 0.0)
