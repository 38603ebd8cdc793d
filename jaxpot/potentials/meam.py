"""The modified embedded-atom method (MEAM), with many-body screening, as LAMMPS defines it."""

import itertools
import math
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.cutoffs import inside
from jaxpot.basis.splines import coefficients, interpolated, locate
from jaxpot.core.elements import symbol
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.numbers import as_length, as_positive, as_whole
from jaxpot.core.precision import as_float, concrete
from jaxpot.core.pytree import put, pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import OwnPrecision, Potential
from jaxpot.potentials.parameters import check_positive, check_symmetric, per_species, pick, species_numbers
from jaxpot.typing import Array, ArrayField, DTypeLike

GAMMA_KINDS = (0, 1, 3, 4, -5)
_BY_ELEMENT = ("rho0", "re", "beta0", "beta1", "beta2", "beta3", "t1", "t2", "t3", "background", "strength")


@pytree
class MEAM(OwnPrecision, Potential):
    """Modified embedded-atom method: E = sum_i F_i(n_i) + 1/2 sum_{i,j} S_ij phi_ij(r_ij).

    S_ij = f((end - r_ij) / width) prod_k f((C_ikj - c_min_ijk) / (c_max_ijk - c_min_ijk)),
        C_ikj = (s - t^2) / (t (1 - t)),  s = (r_ik / r_ij)^2,  t = r_ij . r_ik / r_ij^2;  only where 0 < t < 1,
    f(x) = (1 - (1 - x)^4)^2 from 0 at x = 0 to 1 at x = 1,
    w_l,ij = S_ij rho0_j exp(-beta_l,j (r_ij / re_j - 1)),    l = 0 to 3,
    rho_l^2 = sum_{j,k} w_l,ij w_l,ik P_l(cos theta_jik),    P = 1, c, c^2 - 1/3, c^3 - 3 c / 5,
    Gamma_i = sum_{l > 0} t_l rho_l^2 / rho_0^2,    n_i = rho_0 G(Gamma_i) / background_i,
    F(n) = strength n ln(n) for n > 0.

    G by its `kind`: 0 and 4: sqrt(1 + Gamma); 1: exp(Gamma / 2); 3: 2 / (1 + exp(-Gamma)); -5: sqrt(|1 + Gamma|) with
    the sign of 1 + Gamma. Of 0 and 4 the root ends at Gamma = -s / (s + 1), where s is `smoothing`: below,
    G^2 = (s / ((s + 1) |Gamma|))^s / (s + 1).

    The weights t_l of an atom, by `mixing`: 0: the mean of those of its neighbours, with the weights w_0; 1: each
    w_l,ij is multiplied by t_l,j, and t_l = sum_j w_0 t_l,j / sum_j w_0 t_l,j^2; 2: its own.

    phi is given as a table, interpolated by the cubics of `basis.splines`. `formats.meam_reference` makes tables of
    an equation of state.

    Args:
        pair: phi, (S (S + 1) / 2, n) eV, on r = 0, dr, 2 dr, ...; unordered pairs as 00, 10, 11, 20, 21, 22, ...
        rho0: densities' scale (its unit is arbitrary); a number, or (S,).
        re: A; a number, or (S,).
        beta0, beta1, beta2, beta3, t1, t2, t3: numbers, or (S,).
        background: the density of the reference structure, in the unit of rho0; a number, or (S,).
        strength: eV; a number, or (S,).
        c_min, c_max: of the pair i j as the atom k screens it, (S, S, S), the same for i and j exchanged; or numbers.
        dr, end, width: A; the table's step, the end of the interaction, and the width over which it fades.
        kind: which G, static; one whole number, or one for each element.
        species: the elements of the rows.
        smoothing: s, a positive number.
        mixing: 0, 1 or 2.
        linear_below: what F is for n <= 0 (kind -5): -strength n if True, else 0.
        cutoff: A; how far neighbours must be known. That is more than `end`, if some c_max > 2: an atom may screen a
            pair that is closer to each other than one of the two is to it. Found from `c_max` whenever that is known.

    The force is continuous, but infinitely steep where the only neighbour of an atom leaves: n ln(n) goes as x^2 ln(x)
    there. Elsewhere the energy is C1, but for one point of the kind -5: at Gamma = -1 the force is infinite.

    References:
        M. I. Baskes, Phys. Rev. B 46, 2727 (1992). Screening: M. I. Baskes, Mater. Chem. Phys. 50, 152 (1997).
        B.-J. Lee, M. I. Baskes, Phys. Rev. B 62, 8564 (2000): second neighbours.
        Kinds of G, mixing, interpolation and ends: documentation of LAMMPS, `pair_style meam`, and comparison with it.
    """

    pair: ArrayField
    rho0: ArrayField
    re: ArrayField
    beta0: ArrayField
    beta1: ArrayField
    beta2: ArrayField
    beta3: ArrayField
    t1: ArrayField
    t2: ArrayField
    t3: ArrayField
    background: ArrayField
    strength: ArrayField
    c_min: ArrayField
    c_max: ArrayField
    dr: float = static()
    end: float = static()
    width: float = static()
    kind: tuple = static()
    species: tuple = static()
    smoothing: float = static(default=99.0)
    mixing: int = static(default=0)
    linear_below: bool = static(default=False)
    cutoff: float = static(default=None)

    smoothness = 0
    skin = 0.05  # the cost goes as the square of the neighbours
    chunk_elements = 768  # all pairs of an atom's neighbours are stored

    @property
    def shorter(self) -> tuple[float, ...]:
        return (self.end,)

    def __post_init__(self):
        put(self, "species", species_numbers(self.species))
        if self.species is None:
            raise DataError("species: name the elements of the tables, in their order")
        count = len(self.species)
        for name in _BY_ELEMENT:
            put(self, name, per_species(getattr(self, name), self.species, 1, name))
        for name in ("c_min", "c_max"):
            put(self, name, per_species(getattr(self, name), self.species, 3, name))
            check_symmetric(getattr(self, name), self.species, name, (1, 0, 2))
        for name in ("dr", "end", "width"):
            put(self, name, as_length(getattr(self, name), name))
        for name, unit in (("rho0", "a number"), ("re", "A"), ("background", "a number")):
            check_positive(getattr(self, name), name, unit)
        put(self, "smoothing", as_positive(self.smoothing, "smoothing"))
        put(self, "mixing", as_whole(self.mixing, "mixing", 0, 2))
        put(self, "linear_below", bool(self.linear_below))
        kinds = tuple(self.kind) if isinstance(self.kind, tuple | list) else (self.kind,) * count
        if len(kinds) != count or not set(kinds) <= set(GAMMA_KINDS):
            raise DataError(f"kind: expected one of {GAMMA_KINDS} for each of {count} elements, got {self.kind}")
        put(self, "kind", kinds)
        pair = as_float(self.pair, "pair")
        rows = count * (count + 1) // 2
        if pair.ndim != 2 or pair.shape[0] != rows or self.dr * (pair.shape[1] - 2) < self.end:
            raise DataError(f"pair: expected {rows} tables to one step beyond {self.end:.6g} A, got {pair.shape}")
        put(self, "pair", pair)
        c_min, c_max = concrete(self.c_min), concrete(self.c_max)
        if c_min is not None and c_max is not None and not (c_min < c_max).all():
            low, high = np.broadcast_arrays(c_min, c_max)
            at = tuple(np.argwhere(low >= high)[0])
            names = "-".join(symbol(self.species[k]) for k in at) or "all"
            raise DataError(f"c_min must be less than c_max, got {low[at]:.8g} and {high[at]:.8g} for {names}")
        if c_max is not None:
            put(self, "cutoff", self.end * float(_reach(np.maximum(c_max.max(), 2.0))))
        if self.cutoff is None:
            raise DataError("cutoff: c_max is traced here, so that the cutoff cannot be found: give `cutoff`")

    def extent(self) -> float | Array:
        """The distance beyond which no atom matters, () A."""
        return self.end * _reach(jnp.maximum(jnp.max(self.c_max), 2.0))

    def cast(self, dtype: DTypeLike) -> Self:
        """All but the table, since differences of its values are needed (`basis.splines`)."""
        return jax.tree.map(lambda a: jnp.asarray(a).astype(dtype), self).replace(pair=self.pair)

    def site_energy(self, environment: Environment) -> Array:
        """Embedding energy of the atom and half its pair energy, () eV."""
        paired = environment.within(self.end)
        i = species_index(self.species, environment.number)
        j = species_index(self.species, paired.numbers)
        mask, r = inside(paired.distances, self.end)
        near = jnp.where(mask, screening_fade((self.end - r) / self.width), 0.0)
        seen = near * self._screening(environment, r, i, j)
        m, p = locate(r, self.dr, self.pair.shape[1], largest=self.end)
        pair = interpolated(coefficients(self.pair, r.dtype), m + self._pair_row(i, j) * self.pair.shape[1], p)
        return self._embed(paired, r, i, j, seen) + 0.5 * jnp.sum(seen * pair)

    def _screening(self, environment, r, i, j):
        """Screening by the other neighbours k of the pairs with j, whose distances are r: products over the columns."""
        inverse = 1.0 / (r * r)
        vectors = jnp.stack([environment.x, environment.y, environment.z])
        # A product of matrices: the derivatives by all its entries are computed once then, and not for each component.
        t = jnp.einsum("aj,ak->jk", vectors[:, : r.shape[0]] * inverse, vectors, precision="highest")
        s = environment.distances**2 * inverse[:, None]
        k = species_index(self.species, environment.numbers)
        c_min, c_max = (pick(c, i, j[:, None], k[None, :]) for c in (self.c_min, self.c_max))
        above, below = s - t * t, t * (1.0 - t)
        # Compared without a division: t may be as near to 0 or 1 as it likes, beyond the ends of the pair.
        screens = (below > 0.0) & (above < c_max * below) & ~jnp.eye(*t.shape, dtype=bool)
        x = (jnp.where(screens, above, 0.0) * (1.0 / jnp.where(screens, below, 1.0)) - c_min) / (c_max - c_min)
        return _product(jnp.where(screens, screening_fade(x), 1.0))

    def _embed(self, environment, r, i, j, seen):
        """The embedding energy of an atom whose neighbours count as much as `seen`."""
        scale, stretch = pick(self.rho0, j) * seen, r / pick(self.re, j) - 1.0
        w0, w1, w2, w3 = (scale * jnp.exp(-pick(beta, j) * stretch)
                          for beta in (self.beta0, self.beta1, self.beta2, self.beta3))
        weights = tuple(pick(t, j) for t in (self.t1, self.t2, self.t3))
        if self.mixing == 1:
            w1, w2, w3 = (t * w for t, w in zip(weights, (w1, w2, w3), strict=True))
        unit = tuple(v / environment.distances for v in (environment.x, environment.y, environment.z))
        squares = (_moment(w1, unit, 1), _moment(w2, unit, 2) - jnp.sum(w2) ** 2 / 3.0,
                   _moment(w3, unit, 3) - 0.6 * _moment(w3, unit, 1))
        rho = jnp.sum(w0)
        some = rho > float(jnp.finfo(rho.dtype).tiny) ** 0.25  # nothing is divided by the density of nothing
        safe = jnp.where(some, rho, 1.0)
        gamma = sum(t * square for t, square in zip(self._weights(i, w0, weights, safe), squares, strict=True))
        n = safe * self._gain(jnp.where(some, gamma, 0.0) / (safe * safe), i) / pick(self.background, i)
        positive = n > 0.0
        below = -n if self.linear_below else jnp.zeros_like(n)
        return jnp.where(some, pick(self.strength, i) * jnp.where(positive, _n_log_n(n, positive), below), 0.0)

    def _weights(self, i, w0, weights, rho):
        """The weights t_1, t_2, t_3 of an atom."""
        if self.mixing == 2:
            return tuple(pick(t, i) for t in (self.t1, self.t2, self.t3))
        if self.mixing == 0:
            return tuple(jnp.sum(w0 * t) / rho for t in weights)
        found = []
        for t in weights:
            square = jnp.sum(w0 * t * t)
            some = square > 0.0
            found.append(jnp.where(some, jnp.sum(w0 * t) / jnp.where(some, square, 1.0), 0.0))
        return tuple(found)

    def _gain(self, gamma, i):
        """G of an atom."""
        found = gain(gamma, self.kind[0], self.smoothing)
        for kind in sorted(set(self.kind) - {self.kind[0]}):
            chosen = pick(jnp.asarray([float(k == kind) for k in self.kind], gamma.dtype), i) > 0.0
            found = jnp.where(chosen, gain(gamma, kind, self.smoothing), found)
        return found

    def _pair_row(self, i, j):
        """Row of the pair table of two species indices."""
        high, low = jnp.maximum(i, j), jnp.minimum(i, j)
        return high * (high + 1) // 2 + low


def gain(gamma: Any, kind: int, smoothing: float, xp: Any = jnp) -> Any:
    """G(Gamma) of one kind, as `MEAM` says; with xp=numpy on the host."""
    if kind == 1:
        return xp.exp(0.5 * gamma)
    if kind == 3:
        return 1.0 + xp.tanh(0.5 * gamma)
    if kind == -5:
        some = gamma != -1.0
        return xp.where(some, xp.sign(1.0 + gamma) * xp.sqrt(xp.abs(xp.where(some, 1.0 + gamma, 1.0))), 0.0)
    switch = -smoothing / (smoothing + 1.0)
    steep = gamma < switch
    tail = xp.sqrt((switch / xp.where(steep, gamma, -1.0)) ** smoothing / (smoothing + 1.0))
    return xp.where(steep, tail, xp.sqrt(xp.where(steep, 1.0, 1.0 + gamma)))


def screening_fade(x: Any, xp: Any = jnp) -> Any:
    """(1 - (1 - x)^4)^2 between 0 and 1, without cancellation near 0; with xp=numpy on the host."""
    x = xp.clip(x, 0.0, 1.0)
    y = 1.0 - x
    return (x * (1.0 + y) * (1.0 + y * y)) ** 2


def _moment(w, unit, order):
    """sum_jk w_j w_k (u_j . u_k)^order, by sums over the neighbours of w u (x) u ...: linear in their number."""
    total = 0.0
    for axes in itertools.combinations_with_replacement(range(3), order):
        times = math.factorial(order) // math.prod(math.factorial(axes.count(axis)) for axis in range(3))
        total += times * jnp.sum(math.prod((unit[axis] for axis in axes), start=w)) ** 2
    return total


@jax.custom_jvp
def _product(factors):
    """The product over the columns, (K,), of numbers that are not negative and have no slope at zero."""
    return jnp.prod(factors, axis=1)


@_product.defjvp
def _(primals, tangents):
    (factors,), (slopes,) = primals, tangents
    found = _product(factors)
    some = factors > 0.0
    return found, found * jnp.sum(jnp.where(some, slopes / jnp.where(some, factors, 1.0), 0.0), axis=1)


def _n_log_n(n, positive):
    safe = jnp.where(positive, n, 1.0)
    return safe * jnp.log(safe)


def _reach(c_max):
    """Largest distance of a screening atom from one of a pair, over the distance of the pair; c_max >= 2."""
    return c_max / (2.0 * (c_max - 1.0) ** 0.5)
