"""Soft spheres: an inverse power."""

from typing import Any

import numpy as np

from jaxpot.core.graph import Environment, species_index
from jaxpot.core.pytree import pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.pair_ends import EndedPair, put_end, put_pairs
from jaxpot.potentials.parameters import as_exponent, check_positive, per_species, power
from jaxpot.typing import Array, ArrayField


@pytree
class SoftSphere(EndedPair):
    """Soft spheres: pairs that repel with an inverse power of their distance.

    E = sum over pairs with r < cutoff of v(r),  v(r) = epsilon (sigma / r)^n

    Args:
        epsilon: eV. A number serves every element; an (S, S) symmetric array goes with `species`; a dict holds
            pairs, {("Ar", "Kr"): ...}.
        sigma: A, given like epsilon.
        cutoff: A.
        n: the exponent, positive and static; a number, or nested tuples (S, S).
        shift: how it ends, "none", "energy", "slope", "force" or "smooth": see `potentials.pair_ends`.
        species: elements of the rows of the arrays; by default every element, or those of the dicts.
        onset: A, where "smooth" begins; 0.8 cutoff by default.

    References:
        W. G. Hoover et al., J. Chem. Phys. 52, 4931 (1970).
    """

    epsilon: ArrayField
    sigma: ArrayField
    cutoff: float = static()
    n: Any = static(default=12)
    shift: str = static(default="none")
    species: tuple | None = static(default=None)
    onset: float = static(default=None)

    def __post_init__(self):
        put_end(self)
        put_pairs(self, ("epsilon", "sigma"))
        check_positive(self.sigma, "sigma", "A")
        object.__setattr__(self, "n", as_exponent(self.n))
        per_species(np.asarray(self.n, np.float32), self.species, 2, "n")
        if np.min(self.n) <= 0:
            raise DataError(f"n must be positive, got {np.min(self.n)}")

    def site_energy(self, environment: Environment) -> Array:
        """Half the energy of the atom's pairs, () eV."""
        i = species_index(self.species, environment.number)
        j = species_index(self.species, environment.numbers)
        epsilon, sigma = self.of_pairs(environment, "epsilon", "sigma")
        return self.half_sum(environment, lambda r: epsilon * power(sigma / r, self.n, i, j))
