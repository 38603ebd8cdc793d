"""SOAP: the smooth overlap of atomic positions, as a power spectrum."""

import math
from functools import lru_cache

import jax.numpy as jnp
import numpy as np

from jaxpot.basis.bessel import scaled_bessel
from jaxpot.basis.chebyshev import product_series, products
from jaxpot.basis.harmonics import LARGEST_DEGREE, real_harmonics
from jaxpot.core.elements import atomic_number
from jaxpot.core.numbers import as_length, as_number, as_positive, as_whole
from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors.switched import Switched
from jaxpot.errors import DataError

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

    The Gaussian at the origin overlaps with l = 0 only, so that for l > 0 the coefficients lie in a space of
    n_max - 1 dimensions. With `compact` the vectors are expressed in that space: shorter, with the same scalar
    products, and in another order (l slowest); `compress` converts.

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

    def __post_init__(self):
        for name, least, most in (("n_max", 1, 30), ("l_max", 0, LARGEST_DEGREE)):
            object.__setattr__(self, name, as_whole(getattr(self, name), name, least, most))
        self.check_lengths()
        object.__setattr__(self, "atom_sigma", as_length(self.atom_sigma, "atom_sigma"))
        for name, check in (
            ("central_weight", as_number), ("covariance_sigma0", as_number), ("basis_error_exponent", as_positive),
        ):
            object.__setattr__(self, name, check(getattr(self, name), name))
        for name in ("species", "centers"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(atomic_number(z) for z in value))
        if self.compact and self.covariance_sigma0:
            raise DataError("compact vectors have no place for covariance_sigma0")

    @property
    def channels(self):
        """Number of channels (s, n)."""
        return self.n_max * (1 if self.species is None else len(self.species))

    @property
    def dimension(self):
        """Length of a vector."""
        pairs = self.channels * (self.channels + 1) // 2
        if not self.compact:
            return pairs * (self.l_max + 1) + 1
        fewer = self.channels // self.n_max * (self.n_max - 1)
        return pairs + self.l_max * (fewer * (fewer + 1) // 2)

    def instances(self, environment):
        """The one vector of an environment, (1, d), and its weight (1,)."""
        first, others = self._power(environment)
        if self.compact:
            blocks = [_triangle(first), _triangle(others).reshape(-1)] if self.l_max else [_triangle(first)]
            vector = jnp.concatenate(blocks)
        else:
            vector = _triangle(jnp.concatenate([first[None], others])).T.reshape(-1)
        if self.normalise:
            square = jnp.sum(vector * vector)
            # An atom without neighbours and without central weight has no density: its vector stays zero.
            vector = vector * (1.0 / jnp.sqrt(jnp.where(square > 0.0, square, 1.0)))
        if not self.compact:
            vector = jnp.concatenate([vector, jnp.full((1,), self.covariance_sigma0, vector.dtype)])
        weight = jnp.asarray(self.describes(environment.number), vector.dtype)
        return vector[None], weight[None]

    def compress(self, vectors):
        """Vectors (M, D) in QUIP's order as compact ones (M, d); NumPy. Scalar products with any SOAP vector stay."""
        vectors = np.asarray(vectors, np.float64)
        pairs = self.channels * (self.channels + 1) // 2
        blocks = vectors[:, : pairs * (self.l_max + 1)].reshape(len(vectors), pairs, self.l_max + 1)
        high, low = np.tril_indices(self.channels)
        full = np.zeros((len(vectors), self.l_max + 1, self.channels, self.channels))
        full[:, :, high, low] = blocks.transpose(0, 2, 1) / np.where(high > low, _ROOT2, 1.0)
        full[:, :, low, high] = full[:, :, high, low]
        turn = np.kron(np.eye(self.channels // self.n_max), self._tables()[1])
        rotated = turn.T @ full[:, 1:] @ turn
        high, low = np.tril_indices(turn.shape[1])
        weight = np.where(high > low, _ROOT2, 1.0)
        first_high, first_low = np.tril_indices(self.channels)
        first = full[:, 0, first_high, first_low] * np.where(first_high > first_low, _ROOT2, 1.0)
        others = rotated[:, :, high, low] * weight
        return np.concatenate([first, others.reshape(len(vectors), -1)], axis=1)

    def expand(self, vectors):
        """Compact vectors (M, d) in QUIP's order, (M, D); NumPy. Undoes `compress`; scalar products stay."""
        vectors = np.asarray(vectors, np.float64)
        turn = np.kron(np.eye(self.channels // self.n_max), self._tables()[1])
        high, low = np.tril_indices(self.channels)
        pairs, root = len(high), np.where(high > low, _ROOT2, 1.0)
        inner_high, inner_low = np.tril_indices(turn.shape[1])
        others = vectors[:, pairs:].reshape(len(vectors), self.l_max, len(inner_high))
        matrix = np.zeros((len(vectors), self.l_max, turn.shape[1], turn.shape[1]))
        matrix[:, :, inner_high, inner_low] = others / np.where(inner_high > inner_low, _ROOT2, 1.0)
        matrix[:, :, inner_low, inner_high] = matrix[:, :, inner_high, inner_low]
        turned = (turn @ matrix @ turn.T)[:, :, high, low] * root
        blocks = np.concatenate([vectors[:, None, :pairs], turned], axis=1).transpose(0, 2, 1)
        return np.concatenate([blocks.reshape(len(vectors), -1), np.zeros((len(vectors), 1))], axis=1)

    def _power(self, environment):
        """Power spectrum as matrices of channels: l = 0 (A, A), and l > 0 (l_max, B, B)."""
        series, _, centre = self._tables()
        r, fade = self.switch(environment)
        inverse = 1.0 / environment.distances
        unit = (environment.x * inverse, environment.y * inverse, environment.z * inverse)
        radial = products(r, self.cutoff, len(series), fade) @ jnp.asarray(series, r.dtype)
        width = (radial.shape[1] - self.n_max) // max(self.l_max, 1)
        # `split`, not slices: its transpose is one concatenation, that of slices a sum of padded arrays.
        radial = jnp.split(radial, [self.n_max + k * width for k in range(self.l_max)], axis=1)

        first = self._by_species(radial[0], environment.numbers).sum(0) * _Y00
        first = first + self._central(environment.number, first.dtype) * (centre * _Y00)
        others = []
        for degree, harmonics in enumerate(real_harmonics(self.l_max, *unit)):
            if degree:
                part = self._by_species(radial[degree], environment.numbers)
                density = part.T @ harmonics  # (B, 2 l + 1)
                others.append(jnp.sum(density[:, None] * density[None], axis=-1) * self._weight(degree))
        first = first[:, None] * first[None, :]
        return first, jnp.stack(others) if others else jnp.zeros((0, *first.shape), first.dtype)

    def _by_species(self, radial, numbers):
        """(K, w) -> (K, S w): each neighbour in the channels of its species."""
        if self.species is None:
            return radial
        return jnp.concatenate([jnp.where((numbers == z)[:, None], radial, 0.0) for z in self.species], axis=1)

    def _central(self, number, dtype):
        """(A,) the central atom's weight in each channel: it is made of the first radial function alone."""
        if self.species is None:
            share = jnp.ones(1, dtype)
        elif self.central_reference_all_species:
            share = jnp.ones(len(self.species), dtype)
        else:
            share = jnp.stack([jnp.where(number == z, 1.0, 0.0) for z in self.species]).astype(dtype)
        first = np.zeros(self.n_max)
        first[0] = self.central_weight
        return (share[:, None] * jnp.asarray(first, dtype)).reshape(-1)

    def _weight(self, degree):
        return 1.0 / math.sqrt(2 * degree + 1) if self.l_weight else 1.0

    def _tables(self):
        return _tables(self.n_max, self.l_max, self.cutoff, self.atom_sigma, self.basis_error_exponent, self.compact)


_Y00 = math.sqrt(1.0 / (4.0 * math.pi))


def _triangle(matrix):
    """The lower triangle (..., A, A) -> (..., A (A + 1) / 2), rows one after the other, off-diagonals times sqrt 2."""
    size = matrix.shape[-1]
    weighted = matrix * jnp.asarray(np.where(np.eye(size, dtype=bool), 1.0, _ROOT2), matrix.dtype)
    return jnp.concatenate([weighted[..., a, : a + 1] for a in range(size)], axis=-1)


@lru_cache(maxsize=64)
def _tables(n_max, l_max, cutoff, sigma, exponent, compact):
    """Chebyshev series (P, N) of the radial functions, l slowest; the compact space (n, n - 1); the centre's part.

    With a = 1 / 2 sigma^2 and Gaussians at r_n = (n - 1) R / n_max, R = cutoff + sigma sqrt(2 e log 10), a neighbour
    at r has the overlaps h_nl(r) = exp(-a (r^2 + r_n^2)) i_l(2 a r r_n), and g_l = h_l C^-1 L, where C is the
    matrix of overlaps on a line and S = L L^T that in space.
    """
    a = 0.5 / sigma**2
    reach = cutoff + sigma * math.sqrt(2.0 * exponent * math.log(10.0))
    centers = np.arange(n_max) * reach / n_max
    between = centers[:, None] - centers
    both = centers[:, None] + centers
    erf = np.vectorize(math.erf)
    line = np.exp(-a * between**2)
    space = math.sqrt(2.0) * a**1.5 * both * np.exp(-a * (centers[:, None] ** 2 + centers**2))
    space += (
        a * math.sqrt(math.pi) * (1.0 + a * both**2) * np.exp(-0.5 * a * between**2)
        * (1.0 + erf(both * math.sqrt(0.5 * a)))
    )
    lower = np.linalg.cholesky(space / math.sqrt(128.0 * a**5))
    mix = np.linalg.solve(line, lower)
    turn = np.linalg.qr(mix[1:].T)[0]

    def radial(r):
        overlaps = np.exp(-a * (r[:, None] - centers) ** 2) * scaled_bessel(l_max, 2.0 * a * r[:, None] * centers)
        functions = overlaps @ mix
        rest = [functions[degree] @ turn if compact else functions[degree] for degree in range(1, l_max + 1)]
        return np.concatenate([functions[0], *rest], axis=1)

    return product_series(radial, cutoff), turn, float(lower[0, 0])
