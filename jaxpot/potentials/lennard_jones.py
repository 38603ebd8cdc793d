"""The Lennard-Jones potential, with the ways of ending it that are in use."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.cutoffs import inside, switch
from jaxpot.core.elements import atomic_number
from jaxpot.core.graph import species_index
from jaxpot.core.numbers import as_length
from jaxpot.core.pytree import pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.parameters import (
    check_positive,
    check_symmetric,
    pair_table,
    per_species,
    pick,
    species_numbers,
)

_SMOOTHNESS = {"none": -1, "energy": 0, "slope": -1, "force": 1, "smooth": 3}


@pytree
class LennardJones(Potential):
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

    epsilon: jax.Array
    sigma: jax.Array
    cutoff: float = static()
    shift: str = static(default="none")
    species: tuple | None = static(default=None)
    onset: float | None = static(default=None)
    mixing: str | None = static(default=None)

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        put("cutoff", as_length(self.cutoff, "cutoff"))
        if self.shift not in _SMOOTHNESS:
            raise DataError(f"shift: expected one of {list(_SMOOTHNESS)}, got {self.shift!r}")
        put("onset", as_length(0.8 * self.cutoff if self.onset is None else self.onset, "onset"))
        if self.onset >= self.cutoff:
            raise DataError(f"onset ({self.onset} A) must lie below the cutoff ({self.cutoff} A)")
        if isinstance(self.epsilon, dict) or isinstance(self.sigma, dict):
            species, epsilon, sigma = _from_dicts(self.epsilon, self.sigma, self.mixing)
            put("species", species)
            put("epsilon", epsilon)
            put("sigma", sigma)
        put("species", species_numbers(self.species))
        for name in ("epsilon", "sigma"):
            put(name, per_species(getattr(self, name), self.species, 2, name))
            check_symmetric(getattr(self, name), self.species, name)
        check_positive(self.sigma, "sigma", "A")

    @property
    def smoothness(self):
        return _SMOOTHNESS[self.shift]

    def site_energy(self, environment):
        """Half the energy of the atom's pairs, () eV."""
        i = species_index(self.species, environment.number)
        j = species_index(self.species, environment.numbers)
        epsilon, sigma = pick(self.epsilon, i, j), pick(self.sigma, i, j)
        mask, r = inside(environment.distances, self.cutoff)
        pair = _pair(r, epsilon, sigma)
        if self.shift in ("energy", "force"):
            pair = pair - _pair(self.cutoff, epsilon, sigma)
        if self.shift in ("slope", "force"):
            pair = pair - (r - self.cutoff) * _slope(self.cutoff, epsilon, sigma)
        if self.shift == "smooth":
            pair = pair * switch(r, self.onset, self.cutoff)
        return 0.5 * jnp.sum(jnp.where(mask, pair, 0.0))


def _pair(r, epsilon, sigma):
    q = sigma / r
    q6 = (q * q * q) * (q * q * q)
    return 4.0 * epsilon * (q6 * q6 - q6)


def _slope(r, epsilon, sigma):
    q = sigma / r
    q6 = (q * q * q) * (q * q * q)
    return 24.0 * epsilon * (q6 - 2.0 * q6 * q6) / r


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
