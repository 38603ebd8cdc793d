"""Sides of triangles as a descriptor: QUIP's `distance_Nb` of order 3."""

import jax.numpy as jnp

from jaxpot.core.elements import atomic_number
from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors.base import is_one_of
from jaxpot.descriptors.switched import Switched


@pytree
class Triangle(Switched):
    """x_jk = (r_ij, r_ik, r_jk) of every two neighbours, with the weight f(r_ij) f(r_ik): `distance_Nb`, order 3.

    The atoms have no order, so the kernel must be symmetric in the sides (`kernels.Permuted`). A triangle counts
    once for each of its corners from which the two others are within the cutoff; the third side may be longer.
    f is a cosine switch.

    QUIP divides the energy of a triangle equally among its atoms, here it belongs to the corner: energies of
    structures and their derivatives are the same, energies of atoms are not.

    Args:
        cutoff: A, of the two sides that meet at the atom.
        cutoff_transition_width: A.
        element: of all three atoms; None: every triangle.
    """

    cutoff: float = static()
    cutoff_transition_width: float = static(default=0.5)
    element: int | None = static(default=None)

    dimension = 3
    multiplicity = None

    def __post_init__(self):
        self.check_lengths()
        if self.element is not None:
            object.__setattr__(self, "element", atomic_number(self.element))

    def instances(self, environment):
        """Vectors (K (K - 1) / 2, 3) and weights."""
        r, fade = self.switch(environment)
        like = is_one_of(environment.numbers, self.element) & is_one_of(environment.number, self.element)
        fade = jnp.where(like, fade, 0.0)
        j, k = jnp.triu_indices(r.shape[0], 1)
        # Empty places are distinct points, so that no side has length zero.
        opposite = jnp.sqrt(sum((c[j] - c[k]) ** 2 for c in (environment.x, environment.y, environment.z)))
        return jnp.stack([r[j], r[k], opposite], axis=-1), fade[j] * fade[k]
