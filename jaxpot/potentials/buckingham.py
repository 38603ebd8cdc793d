"""The Buckingham potential."""

import jax.numpy as jnp

from jaxpot.core.graph import Environment
from jaxpot.core.pytree import pytree, static
from jaxpot.potentials.pair_ends import EndedPair, put_end, put_pairs
from jaxpot.potentials.parameters import check_positive
from jaxpot.typing import Array, ArrayField


@pytree
class Buckingham(EndedPair):
    """Buckingham pairs: an exponential repulsion and the attraction of dispersion.

    E = sum over pairs with r < cutoff of v(r),  v(r) = A exp(-r / rho) - C / r^6

    Close to r = 0 it falls to minus infinity (with C > 0): atoms that are pushed over the top of the repulsion
    collapse. Add a `ZBL` where that can happen.

    Args:
        A: eV. A number serves every element; an (S, S) symmetric array goes with `species`; a dict holds pairs,
            {("Mg", "O"): ...}.
        rho: A, given like A.
        C: eV A^6, given like A.
        cutoff: A.
        shift: how it ends, "none" (LAMMPS `buck`), "energy", "slope", "force" or "smooth": see
            `potentials.pair_ends`.
        species: elements of the rows of the arrays; by default every element, or those of the dicts.
        onset: A, where "smooth" begins; 0.8 cutoff by default.

    References:
        R. A. Buckingham, Proc. R. Soc. A 168, 264 (1938).
    """

    A: ArrayField
    rho: ArrayField
    C: ArrayField
    cutoff: float = static()
    shift: str = static(default="none")
    species: tuple | None = static(default=None)
    onset: float = static(default=None)

    def __post_init__(self):
        put_end(self)
        put_pairs(self, ("A", "rho", "C"))
        check_positive(self.rho, "rho", "A")

    def site_energy(self, environment: Environment) -> Array:
        """Half the energy of the atom's pairs, () eV."""
        A, rho, C = self.of_pairs(environment, "A", "rho", "C")

        def pair(r):
            square = r * r
            return A * jnp.exp(-r / rho) - C / (square * square * square)

        return self.half_sum(environment, pair)
