"""The Lennard-Jones potential, with the ways of ending it that are in use."""

import numpy as np

from jaxpot.core.elements import atomic_number
from jaxpot.core.graph import Environment
from jaxpot.core.pytree import pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.pair_ends import EndedPair, put_end, put_pairs
from jaxpot.potentials.parameters import check_positive, pair_table
from jaxpot.typing import Array, ArrayField


@pytree
class LennardJones(EndedPair):
    """Lennard-Jones pairs, and how they end.

    E = sum over pairs with r < cutoff of v(r),  v(r) = 4 epsilon [(sigma/r)^12 - (sigma/r)^6]

    The ways to end it, and how smooth they are:
        shift="none": v(r), cut off (the energy jumps; LAMMPS `lj/cut`).
        shift="energy": v(r) - v(rc) (forces jump).
        shift="slope": v(r) - (r - rc) v'(rc) (the energy jumps, forces do not).
        shift="force": v(r) - v(rc) - (r - rc) v'(rc) (second derivatives jump).
        shift="smooth": v(r) s(r), with s falling from 1 at `onset` to 0 at the cutoff, three times
            differentiable (`basis.cutoffs.switch`).

    Args:
        epsilon: eV. A number serves every element; an (S, S) symmetric array goes with `species`; a dict
            holds pairs, {("Ar", "Kr"): ...}, or elements, {"Ar": ...}, with `mixing`.
        sigma: A, given like epsilon.
        cutoff: A.
        shift: see above.
        species: elements of the rows of the arrays; by default every element, or those of the dicts.
        onset: A, where "smooth" begins; 0.8 cutoff by default.
        mixing: "lorentz-berthelot" makes pairs of elements, epsilon_ij = sqrt(epsilon_i epsilon_j) and
            sigma_ij = (sigma_i + sigma_j) / 2. Without it, pairs must be given.

    References:
        J. E. Jones, Proc. R. Soc. A 106, 463 (1924); D. Berthelot, C. R. Acad. Sci. 126, 1703 (1898).
    """

    epsilon: ArrayField
    sigma: ArrayField
    cutoff: float = static()
    shift: str = static(default="none")
    species: tuple | None = static(default=None)
    onset: float = static(default=None)
    mixing: str | None = static(default=None)

    def __post_init__(self):
        put_end(self)
        if isinstance(self.epsilon, dict) or isinstance(self.sigma, dict):
            found = _from_dicts(self.epsilon, self.sigma, self.mixing)
            for name, value in zip(("species", "epsilon", "sigma"), found, strict=True):
                object.__setattr__(self, name, value)
        put_pairs(self, ("epsilon", "sigma"))
        check_positive(self.sigma, "sigma", "A")

    def site_energy(self, environment: Environment) -> Array:
        """Half the energy of the atom's pairs, () eV."""
        epsilon, sigma = self.of_pairs(environment, "epsilon", "sigma")

        def pair(r):
            q = sigma / r
            q6 = (q * q * q) * (q * q * q)
            return 4.0 * epsilon * (q6 * q6 - q6)

        return self.half_sum(environment, pair)


def _from_dicts(epsilon, sigma, mixing):
    """Species and (S, S) arrays from dicts by element or by pair."""
    if not (isinstance(epsilon, dict) and isinstance(sigma, dict)):
        raise DataError("epsilon and sigma: give both as dicts, or none")
    if all(isinstance(key, tuple) for key in (*epsilon, *sigma)):
        species, e = pair_table(epsilon, "epsilon")
        others, s = pair_table(sigma, "sigma")
        if set(others) != set(species):
            raise DataError("epsilon and sigma name different elements")
        order = [others.index(z) for z in species]
        return species, e, s[np.ix_(order, order)]
    species = tuple(atomic_number(key) for key in epsilon)
    sigmas = {atomic_number(key): value for key, value in sigma.items()}
    if set(sigmas) != set(species):
        raise DataError("epsilon and sigma name different elements")
    if len(species) > 1 and mixing != "lorentz-berthelot":
        raise DataError(
            f"pairs of different elements are not given (mixing={mixing!r}): give a dict of all pairs, "
            '{("Ar", "Kr"): ...}, or mixing="lorentz-berthelot"'
        )
    e = np.array([float(value) for value in epsilon.values()])
    s = np.array([float(sigmas[z]) for z in species])
    if (e < 0).any():
        raise DataError(f"epsilon: Lorentz-Berthelot mixing needs values of at least 0, got {e.min()}")
    return species, np.sqrt(np.outer(e, e)), 0.5 * (s[:, None] + s[None, :])
