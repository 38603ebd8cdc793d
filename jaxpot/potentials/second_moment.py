"""The second-moment tight-binding potential of Cleri and Rosato."""

import math
from typing import Self

import jax.numpy as jnp

from jaxpot.basis.cutoffs import inside, switch
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.numbers import as_length
from jaxpot.core.pytree import pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.parameters import (
    check_positive,
    check_symmetric,
    per_species,
    pick,
    species_numbers,
)
from jaxpot.typing import Array, ArrayField

_PARAMETERS = ("A", "xi", "p", "q", "r0")


@pytree
class SecondMoment(Potential):
    """Second moment of the density of states: pair repulsion, and a band energy that is not a sum of pairs.

    E_i = sum_j A exp(-p (r/r0 - 1)) s(r) - sqrt( sum_j [xi exp(-q (r/r0 - 1)) s(r)]^2 )

    where s falls from 1 at `onset` to 0 at the cutoff and is three times differentiable. It multiplies the
    hopping integral, before it is squared: so even the square root of the last neighbour to leave is smooth.
    The square root makes C12 differ from C44, as in metals.

    Args:
        A, xi: eV; numbers, or symmetric (S, S) arrays that go with `species`.
        p, q: numbers or (S, S).
        r0: A; number or (S, S).
        cutoff: A.
        onset: A; where the switch begins, by default 0.8 cutoff.
        species: elements of the rows; None: every element, all alike.

    References:
        F. Cleri, V. Rosato, Phys. Rev. B 48, 22 (1993), equations 1 to 5.
    """

    A: ArrayField
    xi: ArrayField
    p: ArrayField
    q: ArrayField
    r0: ArrayField
    cutoff: float = static()
    onset: float = static(default=None)
    species: tuple | None = static(default=None)

    smoothness = 3

    def __post_init__(self):
        object.__setattr__(self, "cutoff", as_length(self.cutoff, "cutoff"))
        onset = 0.8 * self.cutoff if self.onset is None else self.onset
        object.__setattr__(self, "onset", as_length(onset, "onset"))
        if self.onset >= self.cutoff:
            raise DataError(f"onset ({self.onset} A) must lie below the cutoff ({self.cutoff} A)")
        object.__setattr__(self, "species", species_numbers(self.species))
        for name in _PARAMETERS:
            object.__setattr__(self, name, per_species(getattr(self, name), self.species, 2, name))
            check_symmetric(getattr(self, name), self.species, name)
        check_positive(self.r0, "r0", "A")

    @classmethod
    def copper(cls) -> Self:
        """Copper, Table II of Cleri and Rosato.

        Their sums include the fifth neighbours: the switch lies between the fifth shell (5.72 A) and the
        sixth (6.26 A).
        """
        return cls(
            A=0.0855,
            xi=1.224,
            p=10.960,
            q=2.278,
            r0=3.615 / math.sqrt(2.0),
            onset=5.85,
            cutoff=6.15,
            species=("Cu",),
        )

    def site_energy(self, environment: Environment) -> Array:
        """Repulsion and band energy of the atom, () eV (A exp(...) is what each end of a pair feels)."""
        i = species_index(self.species, environment.number)
        j = species_index(self.species, environment.numbers)
        A, xi, p, q, r0 = (pick(getattr(self, name), i, j) for name in _PARAMETERS)
        mask, r = inside(environment.distances, self.cutoff)
        s = switch(r, self.onset, self.cutoff)
        stretch = r / r0 - 1.0
        repulsion = jnp.sum(jnp.where(mask, A * jnp.exp(-p * stretch) * s, 0.0))
        hopping = xi * jnp.exp(-q * stretch) * s
        moment = jnp.sum(jnp.where(mask, hopping * hopping, 0.0))
        # An atom without neighbours has no band: sqrt and its first three derivatives at 0 are avoided.
        smallest = float(jnp.finfo(moment.dtype).tiny) ** 0.4
        some = moment > smallest
        band = jnp.where(some, jnp.sqrt(jnp.where(some, moment, 1.0)), 0.0)
        return repulsion - band
