"""SOAP: the smooth overlap of atomic positions, as a power spectrum."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.chebyshev import product_series, products, series_of
from jaxpot.basis.gaussians import gaussian_basis
from jaxpot.basis.harmonics import LARGEST_DEGREE, real_harmonics
from jaxpot.core.elements import atomic_number
from jaxpot.core.graph import Environment
from jaxpot.core.numbers import as_length, as_number, as_positive, as_whole
from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors.switched import Switched
from jaxpot.errors import DataError
from jaxpot.typing import Array

_ROOT2 = math.sqrt(2.0)


@pytree
class SOAP(Switched):
    """The power spectrum of the neighbour density of an atom, smeared by Gaussians.

    rho_s(r) = sum_{j of species s} f(r_j) exp(-|r - r_j|^2 / 2 sigma^2) + w delta_{s, s_i} exp(-r^2 / 2 sigma^2)
             = sum_nlm c_snlm R_n(r) Y_lm
    p_{(sn)(s'n'), l} = (2 l + 1)^(-1/2) sum_m c_snlm c_s'n'lm, divided by the length of the whole vector

    with R_n an orthonormal basis made of Gaussians at equal distances, f a cosine switch and w the central
    weight. Vectors are in QUIP's order: channels (s, n) with n running faster, pairs of channels A >= B with B
    faster (those with A > B times sqrt 2), and l fastest; the last element is `covariance_sigma0`.

    Only part of the space of channels is reached: the Gaussian at the origin overlaps with l = 0 only, and of
    Gaussians beyond the cutoff only tails. With `compact` the vectors are expressed in the directions that are
    reached, for each l the larger before the smaller: shorter, with the same scalar products, and in another order
    (l slowest, directions before species); `compress` converts. Components that a scalar product of two vectors of
    length 1 owes no more than `compact_tolerance` are left out: 1e-15 is lost in rounding between vectors of atoms
    with neighbours (but not in products with any other vector; the default is, in all).

    Args:
        n_max, l_max: size of the basis.
        cutoff: A.
        cutoff_transition_width: A, of the cosine switch below the cutoff.
        atom_sigma: A, width of the Gaussians.
        species: elements with a channel of their own, in this order; None: all neighbours in one channel.
        central_weight: w.
        normalise: divide by the length.
        central_reference_all_species: the central atom counts in every channel.
        centers: elements of the atoms that are described; None: all.
        covariance_sigma0: the last element.
        basis_error_exponent: how far beyond the cutoff the Gaussians reach (10 in all published files).
        l_weight: False for the vectors of GAPs from before February 2015, without (2 l + 1)^(-1/2).
        compact: see above; covariance_sigma0 must be 0.
        compact_tolerance: see above.

    References:
        A. P. Bartok, R. Kondor, G. Csanyi, On representing chemical environments, Phys. Rev. B 87, 184115
        (2013), equations 20 to 36.
        V. L. Deringer et al., Gaussian process regression for materials and molecules, Chem. Rev. 121, 10073
        (2021). Conventions by comparison with QUIP.
    """

    n_max: int = static()
    l_max: int = static()
    cutoff: float = static()
    cutoff_transition_width: float = static(default=0.5)
    atom_sigma: float = static(default=0.5)
    species: tuple | None = static(default=None)
    central_weight: float = static(default=1.0)
    normalise: bool = static(default=True)
    central_reference_all_species: bool = static(default=False)
    centers: tuple | None = static(default=None)
    covariance_sigma0: float = static(default=0.0)
    l_weight: bool = static(default=True)
    basis_error_exponent: float = static(default=10.0)
    compact: bool = static(default=False)
    compact_tolerance: float = static(default=1e-30)

    one_vector = True

    def __post_init__(self):
        for name, least, most in (("n_max", 1, 30), ("l_max", 0, LARGEST_DEGREE)):
            object.__setattr__(self, name, as_whole(getattr(self, name), name, least, most))
        self.check_lengths()
        object.__setattr__(self, "atom_sigma", as_length(self.atom_sigma, "atom_sigma"))
        for name, check in (
            ("central_weight", as_number), ("covariance_sigma0", as_number), ("basis_error_exponent", as_positive),
            ("compact_tolerance", as_positive),
        ):
            object.__setattr__(self, name, check(getattr(self, name), name))
        for name in ("species", "centers"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(atomic_number(z) for z in value))
        if self.compact and self.covariance_sigma0:
            raise DataError("compact vectors have no place for covariance_sigma0")

    @property
    def channels(self) -> int:
        """Number of channels (s, n)."""
        return self.n_max * self._n_species

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        space = self._space()
        return sum(space.first) + self.l_max * sum(space.others) + (0 if self.compact else 1)

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """The one vector of an environment, (1, d), and its weight (1,)."""
        vector, _ = self._scaled(self._packed(*self._power(environment)))
        if not self.compact:
            vector = jnp.concatenate([vector, jnp.full((1,), self.covariance_sigma0, vector.dtype)])
        weight = jnp.asarray(self.describes(environment.number), vector.dtype)
        return vector[None], weight[None]

    def jacobian(self, environment: Environment) -> tuple[Array, Array, Array, Array, Array]:
        """Jacobian of any `Descriptor`, here in a few operations a component.

        With D (B, 2 l + 1) the density of one l, to which a neighbour adds g h^T, the products of channels change by
        dP = dg (D h)^T + g (D dh)^T + the transposed.
        """
        radial, harmonics = self._parts(environment)
        slopes, harmonics_changes = self._part_changes(environment)
        unit = jnp.stack(_unit(environment))
        first, densities = self._density(environment, radial, harmonics)
        begun = [unit[:, :, None, None] * ((slopes[0] * _Y00)[:, :, None] * first)]  # (3, K, A, A)
        for degree, density in enumerate(densities, 1):
            stretched = slopes[degree][:, :, None] * (harmonics[degree] @ density.T)[:, None]  # (K, B, B)
            turned = radial[degree][:, :, None] * (harmonics_changes[degree] @ density.T)[..., None, :]
            begun.append((unit[:, :, None, None] * stretched + turned) * self._weight(degree))
        begun = [half + half.swapaxes(-1, -2) for half in begun]
        others = jnp.stack(begun[1:], axis=-3) if self.l_max else begun[0][..., None, :, :][..., :0, :, :]
        vector, scale = self._scaled(self._packed(*self._products(first, densities)))
        change = self._packed(begun[0], others) * scale
        if self.normalise:
            change = change - (change @ vector)[..., None] * vector
        change = change.swapaxes(0, 1)[None]
        if not self.compact:
            change = jnp.pad(change, ((0, 0),) * 3 + ((0, 1),))
            vector = jnp.concatenate([vector, jnp.full((1,), self.covariance_sigma0, vector.dtype)])
        weight = jnp.asarray(self.describes(environment.number), vector.dtype)[None]
        places = jnp.arange(len(environment.x))[None]
        return vector[None], weight, places, change, jnp.zeros(change.shape[:3], vector.dtype)

    def compress(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (M, D) in QUIP's order as compact ones (M, d); NumPy. Scalar products with any SOAP vector stay."""
        vectors = np.asarray(vectors, np.float64)
        if len(vectors) > _BATCH:
            return np.concatenate([self.compress(vectors[k : k + _BATCH]) for k in range(0, len(vectors), _BATCH)])
        high, low = np.tril_indices(self.channels)
        blocks = vectors[:, :-1].reshape(len(vectors), len(high), self.l_max + 1).transpose(0, 2, 1)
        full = np.zeros((len(vectors), self.l_max + 1, self.channels, self.channels))
        full[:, :, high, low] = blocks / np.where(high > low, _ROOT2, 1.0)
        full[:, :, low, high] = full[:, :, high, low]
        parts = []
        for degree, (turn, rows) in enumerate(self._turns()):
            high, low = _places(rows)
            parts.append((turn.T @ full[:, degree] @ turn)[:, high, low] * np.where(high > low, _ROOT2, 1.0))
        return np.concatenate(parts, axis=1)

    def expand(self, vectors: np.ndarray) -> np.ndarray:
        """Compact vectors (M, d) in QUIP's order, (M, D); NumPy. Undoes `compress`; scalar products stay."""
        vectors = np.asarray(vectors, np.float64)
        if len(vectors) > _BATCH:
            return np.concatenate([self.expand(vectors[k : k + _BATCH]) for k in range(0, len(vectors), _BATCH)])
        outer_high, outer_low = np.tril_indices(self.channels)
        parts, begin = [], 0
        for turn, rows in self._turns():
            high, low = _places(rows)
            matrix = np.zeros((len(vectors), turn.shape[1], turn.shape[1]))
            matrix[:, high, low] = vectors[:, begin : begin + len(high)] / np.where(high > low, _ROOT2, 1.0)
            matrix[:, low, high] = matrix[:, high, low]
            parts.append((turn @ matrix @ turn.T)[:, outer_high, outer_low])
            begin += len(high)
        blocks = np.stack(parts, axis=-1) * np.where(outer_high > outer_low, _ROOT2, 1.0)[:, None]
        return np.concatenate([blocks.reshape(len(vectors), -1), np.zeros((len(vectors), 1))], axis=1)

    def _turns(self):
        """For each l: the rotation (channels, compact channels), and how many columns its rows have."""
        space = self._space()
        for degree, turn in enumerate(space.turns):
            wide = np.einsum("ni,st->snit", turn, np.eye(self._n_species))
            yield wide.reshape(self.channels, -1), space.others if degree else space.first

    def _power(self, environment):
        """Power spectrum as matrices of channels: l = 0 (A, A), and l > 0 (l_max, B, B)."""
        return self._products(*self._density(environment, *self._parts(environment)))

    def _parts(self, environment):
        """Density of each neighbour, for each l: radial parts (K, A or B) and harmonics (K, 2 l + 1)."""
        return self._radial(environment.distances, environment), real_harmonics(self.l_max, *_unit(environment))

    def _radial(self, distances, environment):
        space = self._space()
        r, fade = self.switch_at(distances)
        found = products(r, self.cutoff, len(space.series), fade)
        radial = jnp.matmul(found, jnp.asarray(space.series, r.dtype), precision="highest")
        # `split`, not slices: its transpose is one concatenation, that of slices a sum of padded arrays.
        widths = np.cumsum([turn.shape[1] for turn in space.turns])
        radial = jnp.split(radial, widths[:-1], axis=1)
        return [self._by_species(part, environment.numbers) for part in radial]

    def _part_changes(self, environment):
        """Derivatives of `_parts`: of radial parts by the distance, of harmonics by x, y, z (3, K, 2 l + 1)."""
        distances, unit = environment.distances, jnp.stack(_unit(environment))
        slopes = jax.jvp(lambda r: self._radial(r, environment), (distances,), (jnp.ones_like(distances),))[1]
        # Turning: moving along an axis changes the direction by (axis - unit unit_axis) / r.
        axes = (jnp.eye(3, dtype=unit.dtype)[:, :, None] - unit[:, None] * unit[None]) / distances

        def harmonics(axis):
            return jax.jvp(lambda *u: real_harmonics(self.l_max, *u), tuple(unit), tuple(axis))[1]

        return slopes, jax.vmap(harmonics)(axes)

    def _density(self, environment, radial, harmonics):
        """Density of l = 0 (A,), and a list of those of l > 0 (B, 2 l + 1)."""
        first = radial[0].sum(0) * _Y00
        first = first + self._central(environment.number, self._space().centre, first.dtype)
        return first, [
            jnp.matmul(g.T, h, precision="highest") for g, h in zip(radial[1:], harmonics[1:], strict=True)
        ]

    def _products(self, first, densities):
        others = [_square(density) * self._weight(degree) for degree, density in enumerate(densities, 1)]
        first = first[:, None] * first[None, :]
        return first, jnp.stack(others) if others else jnp.zeros((0, *first.shape), first.dtype)

    def _packed(self, first, others):
        """The triangles of products (..., A, A) and (..., l_max, B, B) as vectors (..., d)."""
        space = self._space()
        first, others = _rows(first, space.first), _rows(others, space.others)
        if self.compact:
            return jnp.concatenate([first, others.reshape(*first.shape[:-1], -1)], axis=-1)
        return jnp.concatenate([first[..., None, :], others], axis=-2).swapaxes(-1, -2).reshape(*first.shape[:-1], -1)

    def _scaled(self, vector):
        """The vector as it is wanted, and what it has been multiplied with."""
        if not self.normalise:
            return vector, jnp.ones((), vector.dtype)
        square = jnp.vdot(vector, vector, precision="highest")
        # An atom without neighbours and without central weight has no density: its vector stays zero.
        scale = 1.0 / jnp.sqrt(jnp.where(square > 0.0, square, 1.0))
        return vector * scale, scale

    def _by_species(self, radial, numbers):
        """(K, w) -> (K, S w): each neighbour in the channels of its species."""
        if self.species is None:
            return radial
        parts = [jnp.where((numbers == z)[:, None], radial, 0.0) for z in self.species]
        return self._channels_of(parts)

    def _channels_of(self, parts):
        """One array (..., w) for each species as channels (..., S w): species slowest, in compact vectors fastest."""
        stacked = jnp.stack(parts, axis=-1 if self.compact else -2)
        return stacked.reshape(*parts[0].shape[:-1], -1)

    def _central(self, number, centre, dtype):
        """(A,) the central atom's density in each channel."""
        own = jnp.asarray(centre * (self.central_weight * _Y00), dtype)
        if self.species is None:
            return own
        if self.central_reference_all_species:
            return self._channels_of([own] * self._n_species)
        return self._channels_of([jnp.where(number == z, own, 0.0) for z in self.species])

    @property
    def _n_species(self):
        return 1 if self.species is None else len(self.species)

    def _weight(self, degree):
        return 1.0 / math.sqrt(2 * degree + 1) if self.l_weight else 1.0

    def _space(self):
        return _space(
            self.n_max, self.l_max, self.cutoff, self.atom_sigma, self.basis_error_exponent, self._n_species,
            self.compact_tolerance if self.compact else None,
        )


def _square(density):
    """density density^T of (B, m)."""
    if len(density) < _FEW:  # one loop over all atoms of a chunk is faster than many small products
        return jnp.sum(density[:, None] * density[None], axis=-1)
    return jnp.einsum("am,bm->ab", density, density, precision="highest")


def _unit(environment):
    """Components of the directions of the neighbours, three arrays (K,)."""
    inverse = 1.0 / environment.distances
    return environment.x * inverse, environment.y * inverse, environment.z * inverse


_Y00 = math.sqrt(1.0 / (4.0 * math.pi))
_FEW = 16  # channels
_BATCH = 256  # vectors that are converted at once
_WIDER = 3e-3  # relative step of `width_slopes`


@dataclass(frozen=True)
class _Space:
    """The channels of vectors, and which products of channels they contain."""

    turns: list  # for each l: directions in the space of the radial functions, (n_max, w)
    series: np.ndarray  # (P, N) of the radial functions along these, l slowest
    centre: np.ndarray  # (w,) of a Gaussian at the origin, l = 0
    first: tuple  # columns in each row of the triangle of products, l = 0
    others: tuple  # the same for any l > 0


@lru_cache(maxsize=64)
def _space(n_max, l_max, cutoff, sigma, exponent, n_species, tolerance):
    basis = gaussian_basis(n_max, l_max, cutoff, sigma, exponent)
    if tolerance is None:
        turns = [np.eye(n_max)] * (l_max + 1)
        first = others = tuple(range(1, n_max * n_species + 1))
    else:
        rotations, sizes = basis.directions()
        first = _columns(sizes[0], n_species, tolerance)
        others = _columns(np.max(sizes[1:], axis=0), n_species, tolerance) if l_max else ()
        kept = [len(rows) // n_species for rows in (first, *[others] * l_max)]
        turns = [rotation[:, :count] for rotation, count in zip(rotations, kept, strict=True)]

    return _Space(turns, product_series(_along(basis, turns), cutoff), basis.centre @ turns[0], first, others)


def _along(basis, turns):
    """The radial functions of all l along directions: distances (k,) -> (k, N)."""
    return lambda r: np.concatenate([f @ turn for f, turn in zip(basis.functions(r), turns, strict=True)], axis=1)


def width_slopes(soap: SOAP, space: _Space) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of the series and centre of a `_Space` by atom_sigma, the directions being kept; NumPy.

    By differences of the sixth order: these are small tables, and smooth to rounding.
    """
    step = _WIDER * soap.atom_sigma
    series: Any = 0.0
    centre: Any = 0.0
    for k, factor in zip((-3, -2, -1, 1, 2, 3), (-1, 9, -45, 45, -9, 1), strict=True):
        basis = gaussian_basis(
            soap.n_max, soap.l_max, soap.cutoff, soap.atom_sigma + k * step, soap.basis_error_exponent
        )
        weight = factor / (60.0 * step)
        series = series + weight * series_of(_along(basis, space.turns), soap.cutoff, len(space.series))
        centre = centre + weight * (basis.centre @ space.turns[0])
    return series, centre


def _columns(sizes, n_species, tolerance):
    """Number of products of each channel with channels before it: those larger than the tolerance."""
    columns = []
    for k, size in enumerate(sizes):
        partners = int(((size * sizes) ** 2 > tolerance).sum()) * n_species
        if not partners:
            break
        columns += [min(k * n_species + s + 1, partners) for s in range(n_species)]
    return tuple(columns)


def _places(columns):
    """Rows and columns of the triangle, one row after the other."""
    high = np.repeat(np.arange(len(columns)), columns)
    return high, np.concatenate([np.arange(n) for n in columns]) if columns else high


def _rows(matrix, columns):
    """The first columns of each row (..., A, A) -> (..., sum of columns), off-diagonals times sqrt 2."""
    if not columns:
        return matrix.reshape(*matrix.shape[:-2], 0)
    size = matrix.shape[-1]
    weighted = matrix * jnp.asarray(np.where(np.eye(size, dtype=bool), 1.0, _ROOT2), matrix.dtype)
    rows = jnp.split(weighted[..., : len(columns), :], len(columns), axis=-2)  # transposed: one concatenation
    return jnp.concatenate([row[..., 0, :n] for row, n in zip(rows, columns, strict=True)], axis=-1)
