"""The Morse potential."""

import jax
import jax.numpy as jnp

from jaxpot.basis.cutoffs import inside
from jaxpot.core.graph import species_index
from jaxpot.core.numbers import as_length
from jaxpot.core.pytree import pytree, static
from jaxpot.potentials.base import Potential
from jaxpot.potentials.parameters import (
    check_positive,
    check_symmetric,
    per_species,
    pick,
    species_numbers,
)


@pytree
class Morse(Potential):
    """Morse pairs, cut off: the energy jumps at the cutoff.

    E = sum over pairs with r < cutoff of D [exp(-2 alpha (r - r0)) - 2 exp(-alpha (r - r0))]

    Args:
        depth: D, eV. A number serves every element; an (S, S) symmetric array goes with `species`.
        alpha: 1/A, given like D.
        r0: A, given like D.
        cutoff: A.
        species: elements of the rows of the arrays; by default every element.

    References:
        P. M. Morse, Phys. Rev. 34, 57 (1929), equation 4.
    """

    depth: jax.Array
    alpha: jax.Array
    r0: jax.Array
    cutoff: float = static()
    species: tuple | None = static(default=None)

    smoothness = -1

    def __post_init__(self):
        object.__setattr__(self, "cutoff", as_length(self.cutoff, "cutoff"))
        object.__setattr__(self, "species", species_numbers(self.species))
        for name in ("depth", "alpha", "r0"):
            object.__setattr__(self, name, per_species(getattr(self, name), self.species, 2, name))
            check_symmetric(getattr(self, name), self.species, name)
        check_positive(self.alpha, "alpha", "1/A")
        check_positive(self.r0, "r0", "A")

    def site_energy(self, environment):
        """Half the energy of the atom's pairs, () eV."""
        i = species_index(self.species, environment.number)
        j = species_index(self.species, environment.numbers)
        depth, alpha, r0 = (pick(table, i, j) for table in (self.depth, self.alpha, self.r0))
        mask, r = inside(environment.distances, self.cutoff)
        decay = jnp.exp(-alpha * (r - r0))
        return 0.5 * jnp.sum(jnp.where(mask, depth * decay * (decay - 2.0), 0.0))
