"""The Stillinger-Weber potential for any number of species, as LAMMPS defines it."""

import math
from typing import Any, Self

import jax.numpy as jnp
import numpy as np

from jaxpot.basis.cutoffs import inside
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.precision import concrete
from jaxpot.core.pytree import put, pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.parameters import (
    as_exponent,
    check_symmetric,
    per_species,
    pick,
    power,
    species_numbers,
)
from jaxpot.typing import Array, ArrayField

_PAIRS = ("sigma", "a", "gamma", "A", "B")
_TRIPLETS = ("epsilon", "lam", "cos_theta0")
_LOOSEST_TOL = 0.01


@pytree
class StillingerWeber(Potential):
    """Stillinger-Weber: pairs, and triplets that prefer one angle.

    E = sum_{i<j} v2(r_ij) + sum_i sum_{j<k} v3(r_ij, r_ik, theta_jik)
    v2 = A epsilon [B (sigma/r)^p - (sigma/r)^q] exp(sigma / (r - a sigma)),  r < a sigma
    v3 = lam epsilon (cos theta - cos_theta0)^2 g(r_ij) g(r_ik),  g(r) = exp(gamma sigma / (r - a sigma))

    The three-body sum needs no loop over pairs of neighbours. With u_j the unit vectors and the moments
    T0 = sum_j g_j, T1 = sum_j g_j u_j, T2 = sum_j g_j u_j (x) u_j,

        sum_{j<k} g_j g_k (u_j.u_k - c)^2 = 1/2 [T2:T2 - 2 c T1.T1 + c^2 T0^2] - 1/2 (1 - c)^2 sum_j g_j^2

    so that the cost grows with the number of neighbours, not with its square. With several species there is
    one set of moments for each species of neighbour.

    Species: in tables of triplets the first index is the atom in the centre. sigma, a, gamma, A, B, p, q and
    tol belong to pairs (in LAMMPS's files the entry i j j), and epsilon[i, j, j] to the pair term of i and j.
    A pair's sigma, a, A epsilon, B, p and q must be the same from both ends, and lam epsilon and cos_theta0
    the same for j and k exchanged: otherwise the energy would depend on the order of the atoms.

    Args:
        epsilon: eV; a number for all, or (S, S, S).
        sigma: A; a number, or (S, S). 0: no interaction.
        a, gamma, A, B: numbers, or (S, S).
        lam, cos_theta0: numbers, or (S, S, S).
        p, q: exponents, static; numbers, or nested tuples (S, S).
        tol: static; LAMMPS ends a pair where the exponentials have fallen to this value (0: at a sigma).
        species: elements of the rows; None: every element, all alike.
        cutoff: A; found from a sigma whenever that is known, and kept when it is traced.

    The energy is analytic up to and at the cutoff, unless tol > 0: then it jumps.

    References:
        F. H. Stillinger, T. A. Weber, Phys. Rev. B 31, 5262 (1985), equations 2.1 to 2.7.
        Multi-species rules and tol: documentation of LAMMPS, `pair_style sw`.
    """

    epsilon: ArrayField
    sigma: ArrayField
    a: ArrayField
    lam: ArrayField
    gamma: ArrayField
    cos_theta0: ArrayField
    A: ArrayField
    B: ArrayField
    p: Any = static(default=4)
    q: Any = static(default=0)
    tol: Any = static(default=0.0)
    species: tuple | None = static(default=None)
    cutoff: float = static(default=None)

    def __post_init__(self):
        put(self, "species", species_numbers(self.species))
        for name in _PAIRS:
            put(self, name, per_species(getattr(self, name), self.species, 2, name))
        for name in _TRIPLETS:
            put(self, name, per_species(getattr(self, name), self.species, 3, name))
        for name in ("p", "q", "tol"):
            put(self, name, as_exponent(getattr(self, name)))
            per_species(np.asarray(getattr(self, name), np.float32), self.species, 2, name)
        sigma = concrete(self.sigma)
        if sigma is not None and np.min(sigma) < 0:
            raise DataError(f"sigma must not be negative (A), got {np.min(sigma):.6g}")
        if np.min(self.tol) < 0:
            raise DataError(f"tol must not be negative, got {np.min(self.tol)}")
        self._check_symmetry()
        reach = concrete(self.extent())
        if reach is not None:
            put(self, "cutoff", float(reach))
        if self.cutoff is None or not 0.0 < self.cutoff < math.inf:
            raise DataError(
                f"a * sigma must be positive for some pair, got a cutoff of {self.cutoff} A"
                if reach is not None
                else "cutoff: a * sigma is traced here, so that the cutoff cannot be found: give `cutoff`"
            )

    @classmethod
    def silicon(cls) -> Self:
        """Silicon with the published parameters (the values of LAMMPS's `Si.sw`)."""
        return cls(
            epsilon=2.1683,
            sigma=2.0951,
            a=1.80,
            lam=21.0,
            gamma=1.20,
            cos_theta0=-0.333333333333,
            A=7.049556277,
            B=0.6022245584,
            species=("Si",),
        )

    @property
    def smoothness(self) -> int:
        return 99 if np.max(self.tol) == 0 else -1

    def extent(self) -> float | Array:
        """The largest range of a pair, () A."""
        return jnp.max(self._range(self.a * self.sigma, self.gamma, self.sigma))

    def site_energy(self, environment: Environment) -> Array:
        """Half the atom's pair energy, and the energy of the triplets it is the centre of, () eV."""
        i = species_index(self.species, environment.number)
        j = species_index(self.species, environment.numbers)
        epsilon, lam, c = (pick(getattr(self, name), i, j, j) for name in _TRIPLETS)
        sigma, a, gamma, A, B = (pick(getattr(self, name), i, j) for name in _PAIRS)

        end = a * sigma
        mask, r = inside(environment.distances, self._range(end, gamma, sigma, i, j))
        inverse = 1.0 / r
        exponent = sigma / (r - end)
        decay = jnp.where(mask, jnp.exp(exponent), 0.0)
        g = jnp.where(mask, jnp.exp(gamma * exponent), 0.0)

        s = jnp.where(sigma > 0.0, sigma, 1.0) * inverse  # 0 to a negative power times no decay is not a number
        pair = 0.5 * A * epsilon * (B * power(s, self.p, i, j) - power(s, self.q, i, j)) * decay
        # The moments count each neighbour with itself too (theta = 0): take that away.
        itself = 0.5 * lam * epsilon * (1.0 - c) ** 2 * g * g
        unit = (environment.x * inverse, environment.y * inverse, environment.z * inverse)
        return jnp.sum(pair - itself) + self._triplets(g, unit, i, j)

    def _triplets(self, g, unit, i, j):
        """1/2 sum_jk lam epsilon g_j g_k (u_j.u_k - c)^2, over all pairs of neighbours j, k."""
        count = 1 if self.species is None else len(self.species)
        if count == 1:
            moments = [_moments(g, *unit)]
        else:
            moments = [_moments(jnp.where(j == s, g, 0.0), *unit) for s in range(count)]
        total = 0.0
        for s, (t0, t1, t2) in enumerate(moments):
            for k, (t0k, t1k, t2k) in enumerate(moments):
                epsilon, lam, c = (pick(getattr(self, name), i, s, k) for name in _TRIPLETS)
                total += lam * epsilon * (_dot2(t2, t2k) - 2.0 * c * _dot(t1, t1k) + c * c * t0 * t0k)
        return 0.5 * total

    def _range(self, end, gamma, sigma, *indices):
        """Range of a pair: `end`, or where both exponentials have fallen to tol (0.01 if that is more).

        exp(sigma / (r - end)) = tol at r = end + sigma / log(tol); the other exponential falls later if
        gamma < 1. The limit of 0.01 was found by comparison with LAMMPS.
        """
        if np.max(self.tol) == 0:
            return end
        tol = np.minimum(np.asarray(self.tol), _LOOSEST_TOL)
        log = np.log(np.where(tol > 0, tol, 0.5))
        shift = jnp.asarray(np.where(tol > 0, 1.0 / log, 0.0), end.dtype)
        if indices:
            shift = pick(shift, *indices)
        return end + jnp.minimum(gamma, 1.0) * sigma * shift

    def _check_symmetry(self):
        pair_epsilon = self.epsilon
        if self.epsilon.ndim:
            s = np.arange(self.epsilon.shape[0])
            pair_epsilon = self.epsilon[s[:, None], s[None, :], s[None, :]]
        for name, value in (
            ("sigma", self.sigma),
            ("a", self.a),
            ("A * epsilon", self.A * pair_epsilon),
            ("B", self.B),
            ("p", jnp.asarray(self.p)),
            ("q", jnp.asarray(self.q)),
            ("the range with tol", self._range(self.a * self.sigma, self.gamma, self.sigma)),
        ):
            check_symmetric(value, self.species, name)
        check_symmetric(self.lam * self.epsilon, self.species, "lam * epsilon", axes=(0, 2, 1))
        check_symmetric(self.cos_theta0, self.species, "cos_theta0", axes=(0, 2, 1))


def _moments(g, x, y, z):
    """Sums of g, g u and g u (x) u over the neighbours; the last as xx yy zz xy xz yz."""
    gx, gy, gz = g * x, g * y, g * z
    second = (gx * x, gy * y, gz * z, gx * y, gx * z, gy * z)
    # Plain sums of products, one for each component: several times faster in XLA on CPUs than stacking
    # the components and multiplying matrices.
    return jnp.sum(g), tuple(map(jnp.sum, (gx, gy, gz))), tuple(map(jnp.sum, second))


def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _dot2(a, b):
    """Full contraction of two symmetric tensors."""
    return _dot(a[:3], b[:3]) + 2.0 * _dot(a[3:], b[3:])
