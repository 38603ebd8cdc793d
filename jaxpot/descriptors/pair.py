"""Distances of pairs as a descriptor: the two-body term of GAP."""

import jax.numpy as jnp

from jaxpot.basis.cutoffs import cosine, inside
from jaxpot.core.elements import atomic_number
from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors.base import Descriptor, is_one_of
from jaxpot.errors import DataError


def switch_kinks(descriptor):
    """Where the second derivative of a cosine switch jumps: its two ends."""
    return (descriptor.cutoff - descriptor.cutoff_transition_width, descriptor.cutoff)


@pytree
class Pair(Descriptor):
    """x_j = r_ij for every neighbour j, with the weight f(r_ij): QUIP's `distance_2b`.

    Each pair is seen from both its atoms, so a pair has twice the energy of one instance. f is a cosine switch.

    Args:
        cutoff: A.
        cutoff_transition_width: A.
        elements: the two elements of the pairs that count, in any order; None: all pairs. None in a place
            stands for every element.
    """

    cutoff: float = static()
    cutoff_transition_width: float = static(default=0.5)
    elements: tuple | None = static(default=None)

    smoothness = 1
    kinks = property(switch_kinks)
    dimension = 1

    def __post_init__(self):
        check_lengths(self)
        if self.elements is not None:
            if len(self.elements) != 2:
                raise DataError(f"elements: expected two, got {self.elements}")
            object.__setattr__(self, "elements", elements_tuple(self.elements))

    def instances(self, environment):
        """Distances (K, 1) and weights (K,)."""
        mask, r = inside(environment.distances, self.cutoff)
        if self.elements is not None:
            one, two = self.elements
            i, j = environment.number, environment.numbers
            mask = mask & ((is_one_of(i, one) & is_one_of(j, two)) | (is_one_of(i, two) & is_one_of(j, one)))
        return r[:, None], jnp.where(mask, cosine(r, self.cutoff, self.cutoff_transition_width), 0.0)


def check_lengths(descriptor):
    """Refuse impossible cutoffs, and keep Python floats."""
    cutoff, width = float(descriptor.cutoff), float(descriptor.cutoff_transition_width)
    if not 0.0 < cutoff < float("inf"):
        raise DataError(f"cutoff: expected a positive length in A, got {cutoff}")
    if not 0.0 <= width <= cutoff:
        raise DataError(f"cutoff_transition_width: expected 0 A to the cutoff of {cutoff} A, got {width}")
    object.__setattr__(descriptor, "cutoff", cutoff)
    object.__setattr__(descriptor, "cutoff_transition_width", width)


def elements_tuple(elements):
    """Atomic numbers, or None where every element is meant."""
    return tuple(None if z is None else atomic_number(z) for z in elements)
