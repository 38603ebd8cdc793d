"""Distances of pairs as a descriptor: the two-body term of GAP."""

import jax.numpy as jnp

from jaxpot.core.graph import Environment
from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors.base import elements_tuple, is_one_of
from jaxpot.descriptors.switched import Switched
from jaxpot.typing import Array


@pytree
class Pair(Switched):
    """x_j = r_ij for every neighbour j, with the weight f(r_ij): QUIP's `distance_2b`.

    Each pair is seen from both its atoms, so a pair has twice the energy of one instance. f is a cosine switch.
    QUIP's `distance_Nb` of order 2 is the same with `compact_clusters`; without, it counts each pair once.

    Args:
        cutoff: A.
        cutoff_transition_width: A.
        elements: the two elements of the pairs that count, in any order; None: all pairs. None in a place
            stands for every element.
        once: weights f / 2, so that a pair has the energy of one instance.
    """

    cutoff: float = static()
    cutoff_transition_width: float = static(default=0.5)
    elements: tuple | None = static(default=None)
    once: bool = static(default=False)

    dimension = 1
    # Of a pair that counts once QUIP gives half the variance to each atom, here each has half the energy.
    multiplicity = property(lambda self: 0.5 if self.once else 1)

    def __post_init__(self):
        self.check_lengths()
        object.__setattr__(self, "elements", elements_tuple(self.elements, 2, "two"))

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """Distances (K, 1) and weights (K,)."""
        r, fade = self.switch(environment)
        if self.elements is not None:
            one, two = self.elements
            i, j = environment.number, environment.numbers
            counts = (is_one_of(i, one) & is_one_of(j, two)) | (is_one_of(i, two) & is_one_of(j, one))
            fade = jnp.where(counts, fade, 0.0)
        return r[:, None], 0.5 * fade if self.once else fade
