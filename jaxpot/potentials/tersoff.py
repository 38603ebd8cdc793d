"""The Tersoff potential of several species."""

import jax
import jax.numpy as jnp

from jaxpot.basis.cutoffs import inside
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.precision import as_float, concrete
from jaxpot.core.pytree import put, pytree, static
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

_ONE_EACH = ("A", "B", "lam", "mu", "beta", "n", "c", "d", "h", "R", "S")


@pytree
class Tersoff(Potential):
    """Tersoff: pairs whose attraction is weakened by the other neighbours.

    E = 1/2 sum_i sum_{j != i} f_ij (A_ij exp(-lam_ij r_ij) - b_ij B_ij exp(-mu_ij r_ij))
    b_ij = chi_ij (1 + beta_i^n_i zeta_ij^n_i)^(-1 / (2 n_i)),  zeta_ij = sum_{k != i,j} f_ik g_i(theta_ijk)
    g_i = 1 + c_i^2 / d_i^2 - c_i^2 / (d_i^2 + (h_i - cos theta)^2)
    f_ij = 1 up to R_ij, [1 + cos(pi (r - R_ij) / (S_ij - R_ij))] / 2 up to S_ij

    lam_ij and mu_ij are arithmetic means, A_ij, B_ij, R_ij and S_ij geometric means of the two species.

    Args:
        A, B: eV.
        lam, mu: 1/A.
        beta, n, c, d, h: of the atom whose bonds they are.
        R, S: A, where f begins to fall, and ends.
        chi: strengthening of bonds between species; a number, or (S, S) symmetric.
        species: elements of the rows; None: every element, all alike. The others are (S,) arrays, or numbers.
        cutoff: A; found from S whenever that is known, and kept when it is traced.

    Where a bond gains its first other neighbour, at the distance S, the force is continuous but infinitely steep
    if n < 1, as in the published sets: b falls there as (S - r)^(2 n). So the smoothness is declared as 0.

    References:
        J. Tersoff, Phys. Rev. B 39, 5566 (1989), equations 1 to 3 (omega = 1).
    """

    A: ArrayField
    B: ArrayField
    lam: ArrayField
    mu: ArrayField
    beta: ArrayField
    n: ArrayField
    c: ArrayField
    d: ArrayField
    h: ArrayField
    R: ArrayField
    S: ArrayField
    chi: ArrayField = 1.0  # type: ignore[assignment]
    species: tuple | None = static(default=None)
    cutoff: float = static(default=None)

    smoothness = 0
    skin = 0.1  # rows of bonded neighbours alone

    def __post_init__(self):
        put(self, "species", species_numbers(self.species))
        count = 1 if self.species is None else len(self.species)
        for name in _ONE_EACH:
            array = as_float(getattr(self, name), name)
            if array.shape not in ((), (count,)):
                raise DataError(f"{name}: expected a number, or {count} of them; got shape {array.shape}")
            put(self, name, jnp.broadcast_to(array, (count,)))
            if name != "h":
                check_positive(array, name, "its unit is above")
        put(self, "chi", per_species(self.chi, self.species, 2, "chi"))
        check_symmetric(self.chi, self.species, "chi")
        inner, outer = concrete(self.R), concrete(self.S)
        if inner is not None and outer is not None and not (inner < outer).all():
            raise DataError(f"R must lie below S, got {inner} and {outer}")
        reach = concrete(self.extent())
        if reach is not None:
            put(self, "cutoff", float(reach))
        if self.cutoff is None:
            raise DataError("cutoff: S is traced here, so that the cutoff cannot be found: give `cutoff`")

    def extent(self) -> float | Array:
        """The longest range of a pair, () A."""
        return jnp.max(self.S)

    def site_energy(self, environment: Environment) -> Array:
        """Half the energy of the bonds of the atom, () eV."""
        i = species_index(self.species, environment.number)
        j = species_index(self.species, environment.numbers)
        a, b, begin, end = (jnp.sqrt(pick(x, i) * pick(x, j)) for x in (self.A, self.B, self.R, self.S))
        lam, mu = (0.5 * (pick(x, i) + pick(x, j)) for x in (self.lam, self.mu))
        mask, r = inside(environment.distances, end)
        phase = jnp.clip((r - begin) / (end - begin), 0.0, 1.0)
        fade = jnp.where(mask, 0.5 + 0.5 * jnp.cos(jnp.pi * phase), 0.0)
        order = pick(self.chi, i, j) * self._bond_order(environment, fade, i)
        return 0.5 * jnp.sum(fade * (a * jnp.exp(-lam * r) - order * b * jnp.exp(-mu * r)))

    def _bond_order(self, environment, fade, i):
        """b / chi of the bond to each neighbour."""
        beta, n, c, d, h = (pick(x, i) for x in (self.beta, self.n, self.c, self.d, self.h))
        r = environment.distances
        x, y, z = environment.x / r, environment.y / r, environment.z / r
        cos = x[:, None] * x + y[:, None] * y + z[:, None] * z
        others = 1.0 - jnp.eye(r.shape[0], dtype=r.dtype)
        return bond_order(beta * jnp.sum(others * fade * angular(cos, c, d, h), axis=1), n)


def angular(cos: Array, c: Array, d: Array, h: Array) -> Array:
    """1 + c^2 / d^2 - c^2 / (d^2 + (h - cos)^2), without the difference of two large numbers."""
    square = (h - cos) ** 2
    return 1.0 + (c / d) ** 2 * (square * (1.0 / (d * d + square)))


def bond_order(x: Array, n: Array) -> Array:
    """(1 + x^n)^(-1/(2n)), for any x that is not negative: large powers do not overflow."""
    # Powers have no derivative at zero, where a bond has no other neighbours; nor may three of them overflow.
    some = x > float(jnp.finfo(x.dtype).tiny) ** 0.25
    return jnp.where(some, jnp.exp(-0.5 / n * jax.nn.softplus(n * jnp.log(jnp.where(some, x, 1.0)))), 1.0)
