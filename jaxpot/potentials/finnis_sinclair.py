"""The analytic potential of Finnis and Sinclair."""

from typing import Self

import jax.numpy as jnp

from jaxpot.basis.cutoffs import inside
from jaxpot.core.elements import atomic_number, name_species
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.precision import as_float, concrete
from jaxpot.core.pytree import pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.pair_ends import put_pairs
from jaxpot.potentials.parameters import check_positive, pick
from jaxpot.typing import Array, ArrayField

_PAIRS = ("d", "beta", "c", "c0", "c1", "c2")
_METALS = {  # d, A, beta, c, c0, c1, c2
    "V": (3.692767, 2.010637, 0.0, 3.80, -0.8816318, 1.4907756, -0.3976370),
    "Nb": (3.915354, 3.013789, 0.0, 4.20, -1.5640104, 2.0055779, -0.4663764),
    "Ta": (4.076980, 2.591061, 0.0, 4.20, 1.2157373, 0.0271471, -0.1217350),
    "Cr": (3.915720, 1.453418, 1.8, 2.90, 29.1429813, -23.3975027, 4.7578297),
    "Mo": (4.114825, 1.887117, 0.0, 3.25, 43.4475218, -31.9332978, 6.0804249),
    "W": (4.400224, 1.896373, 0.0, 3.25, 47.1346499, -33.7665655, 6.2541999),
    "Fe": (3.569745, 1.828905, 1.8, 3.40, 1.2371147, -0.3592185, -0.0385607),
}


@pytree
class FinnisSinclair(Potential):
    """Finnis and Sinclair: polynomials for the pair repulsion and for the density, whose root binds.

    E = sum over pairs V(r) - sum_i A_i sqrt(rho_i),  rho_i = sum_j phi(r_ij)
    V(r) = (r - c)^2 (c0 + c1 r + c2 r^2),  r < c;  phi(r) = (r - d)^2 + beta (r - d)^3 / d,  r < d

    Where the only neighbour of an atom leaves, at the distance d, its force jumps; and far below the first
    neighbours phi falls again if beta > 0 (a density that is not positive binds nothing).

    Args:
        A: eV/A, of each species, (S,) or a number.
        d, c: A; numbers, symmetric (S, S) arrays that go with `species`, or dicts of pairs, {("W", "Ta"): ...}.
        beta: given like d.
        c0, c1, c2: eV/A^2, eV/A^3, eV/A^4; given like d.
        species: elements of the rows; None: every element, all alike.
        cutoff: A; found from c and d whenever they are known, and kept when they are traced.

    References:
        M. W. Finnis, J. E. Sinclair, Philos. Mag. A 50, 45 (1984); erratum 53, 161 (1986). The numbers give
        the lattice constants, cohesive energies and elastic constants that they were fitted to.
    """

    A: ArrayField
    d: ArrayField
    beta: ArrayField
    c: ArrayField
    c0: ArrayField
    c1: ArrayField
    c2: ArrayField
    species: tuple | None = static(default=None)
    cutoff: float = static(default=None)

    smoothness = 0

    def __post_init__(self):
        put_pairs(self, _PAIRS)
        strength = as_float(self.A, "A")
        count = 1 if self.species is None else len(self.species)
        if strength.shape not in ((), (count,)):
            raise DataError(f"A: expected a number, or {count} of them; got shape {strength.shape}")
        object.__setattr__(self, "A", strength)
        for name in ("c", "d"):
            check_positive(getattr(self, name), name, "A")
        reach = concrete(self.extent())
        if reach is not None:
            object.__setattr__(self, "cutoff", float(reach))
        if self.cutoff is None:
            raise DataError("cutoff: c and d are traced here, so that the cutoff cannot be found: give `cutoff`")

    @classmethod
    def metal(cls, element: str | int) -> Self:
        """A bcc metal with the published parameters: V, Nb, Ta, Cr, Mo, W or Fe."""
        number = atomic_number(element)
        found = {atomic_number(name): values for name, values in _METALS.items()}
        if number not in found:
            raise DataError(f"expected one of {', '.join(_METALS)}, got {name_species([number])}")
        d, strength, beta, c, c0, c1, c2 = found[number]
        return cls(strength, d, beta, c, c0, c1, c2, species=(number,))

    def extent(self) -> float | Array:
        """The longest range of a pair, () A."""
        return jnp.maximum(jnp.max(self.c), jnp.max(self.d))

    def site_energy(self, environment: Environment) -> Array:
        """Half the pair energy of the atom, and its band energy, () eV."""
        i = species_index(self.species, environment.number)
        j = species_index(self.species, environment.numbers)
        d, beta, c, c0, c1, c2 = (pick(getattr(self, name), i, j) for name in _PAIRS)
        mask, r = inside(environment.distances, c)
        pair = 0.5 * jnp.sum(jnp.where(mask, (r - c) ** 2 * (c0 + r * (c1 + r * c2)), 0.0))
        mask, r = inside(environment.distances, d)
        rho = jnp.sum(jnp.where(mask, (r - d) ** 2 * (1.0 + beta * (r / d - 1.0)), 0.0))
        # The root has no derivatives at zero, where an atom has no neighbours; nor may three of them overflow.
        some = rho > float(jnp.finfo(rho.dtype).tiny) ** 0.4
        root = jnp.where(some, jnp.sqrt(jnp.where(some, rho, 1.0)), 0.0)
        return pair - pick(self.A, i) * root
