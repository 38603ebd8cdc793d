"""The Morse potential."""

import jax.numpy as jnp

from jaxpot.core.graph import Environment
from jaxpot.core.precision import concrete
from jaxpot.core.pytree import pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.pair_ends import EndedPair, put_end, put_pairs
from jaxpot.potentials.parameters import check_positive
from jaxpot.typing import Array, ArrayField

_STEEPEST = 300.0  # exp(2 alpha r0) is 1e260 there; metals have 4 to 10


@pytree
class Morse(EndedPair):
    """Morse pairs.

    E = sum over pairs with r < cutoff of D [exp(-2 alpha (r - r0)) - 2 exp(-alpha (r - r0))]

    Args:
        depth: D, eV. A number serves every element; an (S, S) symmetric array goes with `species`; a dict holds
            pairs, {("Si", "C"): ...}.
        alpha: 1/A, given like D.
        r0: A, given like D.
        cutoff: A.
        species: elements of the rows of the arrays; by default every element, or those of the dicts.
        shift: how it ends, "none" (LAMMPS `morse`), "energy", "slope", "force" or "smooth": see
            `potentials.pair_ends`.
        onset: A, where "smooth" begins; 0.8 cutoff by default.

    References:
        P. M. Morse, Phys. Rev. 34, 57 (1929), equation 4.
    """

    depth: ArrayField
    alpha: ArrayField
    r0: ArrayField
    cutoff: float = static()
    species: tuple | None = static(default=None)
    shift: str = static(default="none")
    onset: float = static(default=None)

    def __post_init__(self):
        put_end(self)
        put_pairs(self, ("depth", "alpha", "r0"))
        check_positive(self.alpha, "alpha", "1/A")
        check_positive(self.r0, "r0", "A")
        steep = concrete(self.alpha * self.r0)
        if steep is not None and steep.max() > _STEEPEST:
            raise DataError(f"alpha * r0 is {steep.max():.3g}: energies of close atoms overflow; check the units")

    def site_energy(self, environment: Environment) -> Array:
        """Half the energy of the atom's pairs, () eV."""
        depth, alpha, r0 = self.of_pairs(environment, "depth", "alpha", "r0")

        def pair(r):
            decay = jnp.exp(-alpha * (r - r0))
            return depth * decay * (decay - 2.0)

        return self.half_sum(environment, pair)
