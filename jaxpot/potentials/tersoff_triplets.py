"""The Tersoff potential with parameters for every triplet of species, as LAMMPS defines it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.cutoffs import inside
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.precision import concrete
from jaxpot.core.pytree import put, pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.parameters import as_exponent, check_positive, per_species, pick, species_numbers
from jaxpot.potentials.tersoff import angular, bond_order
from jaxpot.typing import Array, ArrayField

_PAIRS = ("A", "lam", "B", "mu", "beta", "n")
_TRIPLETS = ("R", "D", "gamma", "lam3", "c", "d", "h")
_LARGEST = 69.0776  # the logarithm of 1e30, where LAMMPS ends the exponential of a triplet


@pytree
class TersoffTriplets(Potential):
    """Tersoff, general: pairs whose attraction is weakened by the other neighbours.

    E = 1/2 sum_i sum_{j != i} f_ijj(r_ij) (A_ij exp(-lam_ij r_ij) - b_ij B_ij exp(-mu_ij r_ij))
    b_ij = (1 + (beta_ij zeta_ij)^n_ij)^(-1 / (2 n_ij))
    zeta_ij = sum_{k != i,j} f_ijk(r_ik) g_ijk(theta_jik) exp(lam3_ijk^m (r_ij - r_ik)^m)
    g_ijk = gamma_ijk [1 + c^2 / d^2 - c^2 / (d^2 + (h - cos theta)^2)]
    f_ijk = 1 up to R - D, [1 - sin(pi (r - R) / (2 D))] / 2 up to R + D

    `Tersoff` is the case of 1989, whose pairs follow from the species. Here every pair and triplet has its own
    numbers; the first index is the atom in the centre. A bond seen from its two ends need not be the same: half
    the energy belongs to each.

    Args:
        A, B: eV; numbers, or (S, S).
        lam, mu: 1/A; numbers, or (S, S).
        beta, n: numbers, or (S, S).
        R, D: A, where f falls; numbers, or (S, S, S). Those of i j j are the pair's. D = 0: the energy jumps.
        gamma, c, d, h: numbers, or (S, S, S).
        lam3: 1/A; a number, or (S, S, S). None: 0 for good, which is faster.
        m: 1 or 3, static; a number, or nested tuples (S, S, S).
        species: elements of the rows; None: every element, all alike.
        cutoff: A; found from R + D whenever that is known, and kept when it is traced.
        smoothness: found: -1 if some D = 0. Where a bond gains its first other neighbour, b falls as (S - r)^(2 n):
            0 if some n < 1, where the force is continuous but infinitely steep, else 1.

    References:
        J. Tersoff, Phys. Rev. B 37, 6991 (1988), equations 1 to 3; Phys. Rev. B 39, 5566 (1989).
        P. Erhart, K. Albe, Phys. Rev. B 71, 035211 (2005): m = 1 and gamma.
        Entries of triplets: documentation of LAMMPS, `pair_style tersoff`.
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
    D: ArrayField
    gamma: ArrayField = 1.0  # type: ignore[assignment]
    lam3: jax.Array | None = None
    m: Any = static(default=3)
    species: tuple | None = static(default=None)
    cutoff: float = static(default=None)
    smoothness: int = static(default=-1)

    skin = 0.1  # rows of bonded neighbours alone

    def __post_init__(self):
        put(self, "species", species_numbers(self.species))
        for names, order in ((_PAIRS, 2), (_TRIPLETS, 3)):
            for name in names:
                if name != "lam3" or self.lam3 is not None:
                    put(self, name, per_species(getattr(self, name), self.species, order, name))
        for name, unit in (("R", "A"), ("d", "a number"), ("n", "a number")):
            check_positive(getattr(self, name), name, unit)
        put(self, "m", as_exponent(self.m))
        per_species(np.asarray(self.m, np.float32), self.species, 3, "m")
        if not np.isin(self.m, (1, 3)).all():
            raise DataError(f"m: expected 1 or 3, got {self.m}")
        middle, half, n = (concrete(getattr(self, name)) for name in ("R", "D", "n"))
        if middle is not None and half is not None:
            if not ((0.0 <= half) & (half < middle)).all():
                raise DataError(f"D must lie from 0 to below R, got {half} and {middle}")
            put(self, "cutoff", float((middle + half).max()))
        if half is not None and n is not None:
            put(self, "smoothness", -1 if (half == 0.0).any() else 0 if (n < 1.0).any() else 1)
        if self.cutoff is None:
            raise DataError("cutoff: R and D are traced here, so that the cutoff cannot be found: give `cutoff`")

    def extent(self) -> float | Array:
        """The longest range of a pair or a triplet, () A."""
        return jnp.max(self.R + self.D)

    def site_energy(self, environment: Environment) -> Array:
        """Half the energy of the bonds of the atom, () eV."""
        i = species_index(self.species, environment.number)
        j = species_index(self.species, environment.numbers)
        a, lam, b, mu, beta, n = (pick(getattr(self, name), i, j) for name in _PAIRS)
        middle, half = pick(self.R, i, j, j), pick(self.D, i, j, j)
        mask, r = inside(environment.distances, middle + half)
        bonded = jnp.where(mask, _fade(r, middle, half), 0.0)
        order = bond_order(beta * self._crowding(environment, r, i, j, bonded), n)
        return 0.5 * jnp.sum(bonded * (a * jnp.exp(-lam * r) - order * b * jnp.exp(-mu * r)))

    def _crowding(self, environment, r, i, j, bonded):
        """zeta of the bond to each neighbour j, whose distances are r: sums over the columns, the neighbours k."""
        triplet = (i, j[:, None], j[None, :])
        middle, half, gamma, c, d, h = (pick(getattr(self, name), *triplet) for name in _TRIPLETS if name != "lam3")
        x, y, z = (u / environment.distances for u in (environment.x, environment.y, environment.z))
        cos = x[:, None] * x + y[:, None] * y + z[:, None] * z
        g = gamma * angular(cos, c, d, h)
        if self.R.size == self.D.size == 1:  # the same for all
            fade, r_k = bonded, r
        else:
            mask, r_k = inside(environment.distances[None, :], middle + half)
            fade = jnp.where(mask, _fade(r_k, middle, half), 0.0)
        if self.lam3 is not None:
            power = pick(self.lam3, *triplet) * (r[:, None] - r_k)
            if isinstance(self.m, tuple):
                power = jnp.where(pick(jnp.asarray(self.m), *triplet) == 3, power**3, power)
            elif self.m == 3:
                power = power**3
            g = g * jnp.exp(jnp.minimum(power, _LARGEST))
        others = 1.0 - jnp.eye(r.shape[0], dtype=r.dtype)
        return jnp.sum(others * fade * g, axis=1)


def _fade(r, middle, half):
    """1 up to middle - half, 0 from middle + half on; a step if half is 0."""
    some = half > 0.0
    phase = jnp.clip((r - middle) / jnp.where(some, half, 1.0), -1.0, 1.0)
    return jnp.where(some, 0.5 - 0.5 * jnp.sin(0.5 * jnp.pi * phase), 1.0)
