"""Sides of triangles as a descriptor: QUIP's `distance_Nb` of order 3."""

import itertools

import jax.numpy as jnp

from jaxpot.basis.cutoffs import cosine, inside
from jaxpot.core.elements import name_species
from jaxpot.core.graph import Environment
from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors.base import elements_tuple
from jaxpot.descriptors.switched import Switched
from jaxpot.errors import DataError
from jaxpot.typing import Array

_SIDES = ((0, 1), (0, 2), (1, 2))  # of atoms


@pytree
class Triangle(Switched):
    """x = the three sides of a triangle of atoms, with a weight made of f, a cosine switch: `distance_Nb`, order 3.

    Compact: a triangle counts once for each of its corners i from which both others, j and k, are within the
    cutoff; the third side may be longer. The vector is (r_ij, r_ik, r_jk), j the lighter of the two, with the weight

        f(r_ij) f(r_ik)

    Not compact: a triangle counts once if its atoms hang together. With the atoms a, b, c in ascending order of
    their atomic numbers, the vector is (r_ab, r_ac, r_bc), with the weight

        f_ab f_ac + f_ab f_bc + f_ac f_bc - 2 f_ab f_ac f_bc

    The energy of a triangle must not depend on the order of like atoms: so the kernel must be symmetric in the
    sides that change places with them (`kernels.Permuted`).

    QUIP divides the energy of an instance equally among its atoms, here it belongs to the corners: energies of
    structures and their derivatives are the same, energies of atoms are not.

    Args:
        cutoff: A, of the two sides that meet at an atom.
        cutoff_transition_width: A.
        elements: of the three atoms, in any order; None: every triangle.
        compact: see above.

    Raises:
        DataError: impossible lengths or elements; or compact triangles of two like atoms and a heavier one, which
            in QUIP have an energy that depends on the order of the atoms in the structure.
    """

    cutoff: float = static()
    cutoff_transition_width: float = static(default=0.5)
    elements: tuple | None = static(default=None)
    compact: bool = static(default=True)

    dimension = 3
    multiplicity = None

    def __post_init__(self):
        self.check_lengths()
        elements = elements_tuple(self.elements, 3, "three")
        if elements is None:
            return
        if None in elements:
            raise DataError(f"elements: expected three, or None for every triangle, got {self.elements!r}")
        elements = tuple(sorted(elements))
        object.__setattr__(self, "elements", elements)
        if self.compact and elements[0] == elements[1] != elements[2]:
            raise DataError(
                f"compact triangles of {name_species(elements)}: two like atoms and a heavier one have an energy in "
                "QUIP that depends on the order of the atoms; expected another combination, or compact=False "
                "(compact_clusters=F, which needs a new fit)"
            )

    @property
    def permutations(self) -> tuple[tuple[int, ...], ...]:
        """Of the sides, where like atoms change places: those of which a kernel must be independent."""
        like = self.elements or (0, 0, 0)
        atoms = [p for p in itertools.permutations(range(3)) if tuple(like[k] for k in p) == like]
        return tuple(tuple(_SIDES.index(tuple(sorted((p[a], p[b])))) for a, b in _SIDES) for p in atoms)

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """Vectors (K (K - 1) / 2, 3) and weights."""
        r, fade = self.switch(environment)
        j, k = jnp.triu_indices(r.shape[0], 1)
        # Empty places are distinct points, so that no side has length zero.
        opposite = jnp.sqrt(sum((c[j] - c[k]) ** 2 for c in (environment.x, environment.y, environment.z)))
        weight = fade[j] * fade[k]
        if not self.compact:
            # Each corner has its share of the weight of a triangle.
            mask, third = inside(opposite, self.cutoff)
            across = jnp.where(mask, cosine(third, self.cutoff, self.cutoff_transition_width), 0.0)
            weight = weight * (1.0 - 2.0 / 3.0 * across)
        # Each side with the number of the atom that it does not touch.
        sides = [(r[j], environment.numbers[k]), (r[k], environment.numbers[j]), (opposite, environment.number)]
        if self.elements is not None:
            weight = jnp.where(self._counts(*(number for _, number in sides)), weight, 0.0)
        if len(set(self.elements or (None,))) > 1:
            _sort(sides, 0, 1)
            if not self.compact:
                _sort(sides, 1, 2)
                _sort(sides, 0, 1)
        return jnp.stack([side for side, _ in sides], axis=-1), weight

    def _counts(self, *numbers):
        """Mask of the triples of atomic numbers that are the elements, in some order."""
        one, two, three = numbers
        a, b, c = self.elements
        found = False
        for x, y, z in {(a, b, c), (a, c, b), (b, a, c), (b, c, a), (c, a, b), (c, b, a)}:
            found = found | ((one == x) & (two == y) & (three == z))
        return found


def _sort(sides, first, second):
    """Exchange two sides where the first does not lie opposite to the heavier atom."""
    (r, a), (s, b) = sides[first], sides[second]
    right = a >= b
    sides[first] = jnp.where(right, r, s), jnp.where(right, a, b)
    sides[second] = jnp.where(right, s, r), jnp.where(right, b, a)
