"""Triangles about an atom as a descriptor: the three-body term of GAP."""

import jax.numpy as jnp

from jaxpot.core.graph import Environment
from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors.base import elements_tuple, is_one_of
from jaxpot.descriptors.switched import Switched
from jaxpot.typing import Array


@pytree
class Triplet(Switched):
    """x_jk = (r_ij + r_ik, (r_ij - r_ik)^2, r_jk) for every two neighbours, with f(r_ij) f(r_ik): `angle_3b`.

    Each two neighbours count twice (as j, k and as k, j). f is a cosine switch.

    Args:
        cutoff: A, of the two sides that meet at the atom.
        cutoff_transition_width: A.
        elements: of the atom and of the two neighbours, these in any order; None: all. None in a place
            stands for every element.
    """

    cutoff: float = static()
    cutoff_transition_width: float = static(default=0.5)
    elements: tuple | None = static(default=None)

    dimension = 3
    multiplicity = 2

    def __post_init__(self):
        self.check_lengths()
        elements = elements_tuple(self.elements, 3, "three, the one in the middle first")
        object.__setattr__(self, "elements", elements)

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """Vectors (K (K - 1) / 2, 3) and weights."""
        r, fade = self.switch(environment)
        j, k = jnp.triu_indices(r.shape[0], 1)
        square = sum((c[j] - c[k]) ** 2 for c in (environment.x, environment.y, environment.z))
        weight = 2.0 * fade[j] * fade[k]
        # Empty places are distinct points, so that no side has length zero.
        side = jnp.sqrt(square)
        if self.elements is not None:
            centre, one, two = self.elements
            a, b = environment.numbers[j], environment.numbers[k]
            counts = (is_one_of(a, one) & is_one_of(b, two)) | (is_one_of(a, two) & is_one_of(b, one))
            weight = jnp.where(counts & is_one_of(environment.number, centre), weight, 0.0)
        return jnp.stack([r[j] + r[k], (r[j] - r[k]) ** 2, side], axis=-1), weight
