"""The bispectrum of the neighbour density on the 3-sphere, which SNAP is linear or quadratic in."""

import itertools
import math
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis import fades
from jaxpot.basis.hyperspherical import density
from jaxpot.basis.polynomials import horner
from jaxpot.basis.triple_correlations import correlation_slopes, correlations, degree_triples, sum_of_correlations
from jaxpot.core.elements import atomic_number
from jaxpot.core.fusion import materialised
from jaxpot.core.graph import Environment, of_kind, species_index
from jaxpot.core.numbers import as_number, as_positive, as_whole
from jaxpot.core.precision import product
from jaxpot.core.pytree import put, pytree, static
from jaxpot.descriptors.base import Descriptor, different_elements
from jaxpot.errors import DataError
from jaxpot.typing import Array

LARGEST_TWOJMAX = 14  # matrices of 32 MB
FLAGS = ("switchflag", "bzeroflag", "bnormflag", "chemflag", "wselfallflag")
_TERMS = 13  # of the polynomials for a cosine and a sine: off by 2e-16


@pytree
class Bispectrum(Descriptor):
    """One vector for an atom: components B of the bispectrum of its neighbours' density on the 3-sphere.

    A neighbour at r, of element j, is a point v of the 3-sphere with the weight f:

        v = (cos theta, sin theta r / |r|),  theta = rfac0 pi (|r| - rmin0) / (R - rmin0),  R = rcutfac (R_i + R_j)
        f = w_j (1 + cos(pi (|r| - rmin0) / (R - rmin0))) / 2,  0 beyond R, w_j below rmin0

    and the atom itself (1, 0, 0, 0) with the weight 1. With rho_n(u) = sum_v f U_n(v . u), U_n Chebyshev polynomials of
    the second kind, and a mean over all u,

        B_{j1 j2 j} = (2 j + 1) < rho_{2 j1} rho_{2 j2} rho_{2 j} >,  j2 <= j1 <= j <= j1 + j2.

    Where sin theta is negative v has the other sign, as in LAMMPS: energies jump at rmin0, and with rfac0 above 1 where
    theta is pi. Keywords and defaults are those of LAMMPS's `.snapparam`.

    Args:
        species: elements of the neighbours.
        twojmax: the largest 2 j.
        rcutfac: see above: A where the radii have no unit.
        radii, weights: R_j and w_j of the elements.
        rfac0, rmin0: see above; rmin0 in A.
        switchflag: whether f falls to zero; otherwise w_j up to R.
        bzeroflag: whether the components of an atom without neighbours are subtracted.
        bnormflag: whether the factor 2 j + 1 is left out.
        chemflag: whether each element has a density of its own; components of all triples of these then.
        wselfallflag: with chemflag, whether the atom itself is in the density of every element, not its own alone.
        sinner, dinner: A, of each element, or None: f falls to zero again within (D_i + D_j) / 2 of (S_i + S_j) / 2.
        centers: elements of the atoms that are described; None: all.

    Raises:
        DataError: numbers that have no meaning.

    References:
        A. P. Bartok, M. C. Payne, R. Kondor, G. Csanyi, Phys. Rev. Lett. 104, 136403 (2010); A. P. Thompson et al., J.
        Comput. Phys. 285, 316 (2015), equations 5 to 10; M. A. Cusentino, M. A. Wood, A. P. Thompson, J. Phys. Chem. A
        124, 5456 (2020), for chemflag.
    """

    species: tuple = static()
    twojmax: int = static()
    rcutfac: float = static()
    radii: tuple = static(default=(0.5,))
    weights: tuple = static(default=(1.0,))
    rfac0: float = static(default=0.99363)
    rmin0: float = static(default=0.0)
    switchflag: bool = static(default=True)
    bzeroflag: bool = static(default=True)
    bnormflag: bool = static(default=False)
    chemflag: bool = static(default=False)
    wselfallflag: bool = static(default=False)
    sinner: tuple | None = static(default=None)
    dinner: tuple | None = static(default=None)
    centers: tuple | None = static(default=None)

    one_vector = True
    projects = True
    jacobian_elements = 160  # products of two channels at all points fill the cache

    def __post_init__(self):
        put(self, "species", different_elements(self.species))
        if self.centers is not None:
            put(self, "centers", tuple(atomic_number(z) for z in self.centers))
        put(self, "twojmax", as_whole(self.twojmax, "twojmax", 0, LARGEST_TWOJMAX))
        for name in ("rcutfac", "rfac0"):
            put(self, name, as_positive(getattr(self, name), name))
        put(self, "rmin0", as_number(self.rmin0, "rmin0"))
        for name in ("radii", "weights"):
            put(self, name, self._of_elements(name))
        if min(self.radii) <= 0.0 or not 0.0 <= self.rmin0 < self._reaches().min():
            raise DataError(
                "expected radii above zero and rmin0 from 0 to below rcutfac (R_i + R_j), got "
                f"{self.radii}, {self.rmin0}"
            )
        if (self.sinner is None) != (self.dinner is None):
            raise DataError("expected both sinner and dinner, or neither")
        if self.sinner is not None:
            for name in ("sinner", "dinner"):
                put(self, name, self._of_elements(name))
            if min(self.dinner) <= 0.0:
                raise DataError(f"dinner: expected numbers above zero, got {self.dinner}")
        for name in FLAGS:
            put(self, name, bool(getattr(self, name)))

    def _of_elements(self, name):
        values = tuple(as_number(x, name) for x in getattr(self, name))
        if len(values) != len(self.species):
            raise DataError(f"{name}: expected one for each of {len(self.species)} elements, got {len(values)}")
        return values

    def _reaches(self):
        """R, (elements of the atoms, elements of the neighbours), A."""
        radii = np.array(self.radii)
        described = [self.centers is None or z in self.centers for z in self.species]
        return self.rcutfac * (radii[described, None] + radii)

    @property
    def chunk_elements(self) -> int:
        """Some 30 atoms, or 80: products of matrices are slow for few, and channels at all points leave the cache.

        Terms of one element among others take a third.
        """
        return 900 if len(density(self.twojmax).weights) == 1 and len(self.species) == 1 else 2400

    @property
    def cutoff(self) -> float:
        return float(self._reaches().max())

    @property
    def kinks(self) -> tuple[float, ...] | None:
        reaches = {float(r) for r in self._reaches().ravel()}
        turns = {self.rmin0 + (r - self.rmin0) / self.rfac0 for r in reaches if self.rfac0 > 1.0}
        return tuple(sorted(reaches | turns | ({self.rmin0} if self.rmin0 else set()) | self._inner_ends()))

    def _inner_ends(self):
        if self.sinner is None:
            return set()
        pairs = list(itertools.product(range(len(self.species)), repeat=2))
        middle, half = ([0.5 * (a[i] + a[j]) for i, j in pairs] for a in (self.sinner, self.dinner))
        return {end for s, d in zip(middle, half, strict=True) for end in (s - d, s + d) if end > 0.0}

    @property
    def smoothness(self) -> int:
        jumps = not self.switchflag or self.rmin0 > 0.0 or self.rfac0 > 1.0
        return -1 if jumps else 1

    @property
    def dimension(self) -> int:
        return len(self.triples)

    @property
    def triples(self) -> tuple[tuple[int, int, int], ...]:
        """Channels of each component: degrees, beginning anew with each element."""
        return _triples(self.twojmax, self._densities)

    @property
    def _densities(self):
        return len(self.species) if self.chemflag else 1

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """The one vector of an environment, (1, d), and its weight (1,)."""
        sums, alone = self._sums(environment)
        vector = correlations(density(self.twojmax), sums, self.triples) - alone
        vector = vector * self._factors(vector.dtype)
        return vector[None], jnp.asarray(self.describes(environment.number), vector.dtype)[None]

    def jacobian(self, environment: Environment) -> tuple[Array, Array, Array, Array, Array]:
        """Derivatives by the sums over neighbours, fewer than 3 K, times those of the harmonics of each neighbour."""
        on_sphere, count = density(self.twojmax), self.twojmax + 1
        harmonics, moved, kind, center = self._moved_harmonics(environment)
        dtype = harmonics.dtype
        ends = np.cumsum([0, *((n + 1) ** 2 for n in range(count))])
        strengths = self._by_density(jnp.ones_like(environment.x), kind)
        sums, alone = self._with_itself(
            [jnp.split(product(ones, harmonics), ends[1:-1]) for ones in strengths], center, dtype
        )
        slopes, places = correlation_slopes(on_sphere, sums, self.triples)
        # A mean of three channels is each one of its slopes times the sums of that channel.
        values = jnp.concatenate([product(slope, row) for slope, row in zip(slopes, sums, strict=True)])
        vector = (values[places[:, 0]] - alone) * self._factors(dtype)
        by_channel = []
        for k, slope in enumerate(slopes):
            here = moved[..., ends[k % count] : ends[k % count + 1]]
            if self._densities > 1:
                here = here * strengths[k // count][:, None, None]
            by_channel.append(product(here, slope.T))
        each = jnp.concatenate(by_channel, axis=-1)
        changes = (each[..., places[:, 0]] + each[..., places[:, 1]] + each[..., places[:, 2]]) * self._factors(dtype)
        neighbors = len(environment.x)
        return (
            vector[None], jnp.asarray(self.describes(environment.number), dtype)[None], jnp.arange(neighbors)[None],
            changes[None], jnp.zeros((1, neighbors, 3), dtype),
        )

    def _moved_harmonics(self, environment):
        """f Y(v) of each neighbour, (K, harmonics), derivatives by its place, (K, 3, harmonics); elements."""
        def points(*places):
            points, strength, *_ = self._points(environment.replace(**dict(zip("xyz", places, strict=True))))
            return *points, strength

        places = environment.x, environment.y, environment.z
        vectors, strength, kind, center = self._points(environment)
        ones, none = jnp.ones_like(strength), jnp.zeros_like(strength)
        harmonics, slopes = density(self.twojmax).each(*vectors)
        changes = []
        for axis in range(3):
            along = tuple(ones if k == axis else none for k in range(3))
            *moved, change = jax.jvp(points, places, along)[1]
            by_vectors = sum((strength * a)[:, None] * slope for a, slope in zip(moved, slopes, strict=True))
            changes.append(by_vectors + change[:, None] * harmonics)
        return strength[:, None] * harmonics, jnp.stack(changes, axis=1), kind, center

    def projected(self, environment: Environment, coefficients: Array) -> Array:
        """() coefficients times the vector, as one polynomial at each point of the sphere."""
        sums, alone = self._sums(environment)
        coefficients = coefficients * self._factors(coefficients.dtype)
        total = sum_of_correlations(density(self.twojmax), tuple(sums), coefficients, self.triples)
        return self.describes(environment.number) * (total - jnp.sum(coefficients * alone))

    def _factors(self, dtype):
        """2 j + 1 of each component, or 1."""
        degrees = np.array([triple[2] % (self.twojmax + 1) for triple in self.triples])
        return jnp.asarray(np.ones(len(degrees)) if self.bnormflag else degrees + 1.0, dtype)

    def _sums(self, environment):
        """Sums of harmonics over the densities of all elements, one after the other; what bzeroflag subtracts."""
        points, strength, kind, center = self._points(environment)
        on_sphere = density(self.twojmax)
        sums = [on_sphere.sums(*points, f) for f in self._by_density(strength, kind)]
        return self._with_itself(sums, center, strength.dtype)

    def _by_density(self, strength, kind):
        """Strengths of the neighbours, (K,), in each density."""
        count = self._densities
        return [strength] if count == 1 else [jnp.where(kind == k, strength, 0.0) for k in range(count)]

    def _with_itself(self, sums, center, dtype):
        """`_sums` of those over the neighbours in each density."""
        if self._densities > 1 and not self.wselfallflag:
            itself = jnp.asarray(center == jnp.arange(self._densities), dtype)
        else:
            itself = jnp.ones(self._densities, dtype)
        pole = [jnp.asarray(y, dtype) for y in density(self.twojmax).pole]
        joined = [
            row + one * y for one, rows in zip(itself, sums, strict=True) for row, y in zip(rows, pole, strict=True)
        ]
        if not self.bzeroflag:
            return joined, jnp.zeros((), dtype)
        # The mean of three channels of one point is 1: the U_n are characters.
        products = itself[:, None, None] * itself[:, None] * itself
        return joined, jnp.repeat(products.ravel(), len(degree_triples(self.twojmax)))

    def _points(self, environment):
        """Components of v, (K,) each, f, and the indices of the elements of neighbours and atom."""
        kind = species_index(self.species, environment.numbers)
        center = species_index(self.species, environment.number)
        dtype = environment.x.dtype
        reach = self.rcutfac * (of_kind(self.radii, center, dtype) + of_kind(self.radii, kind, dtype))
        square = materialised(environment.x**2 + environment.y**2 + environment.z**2)
        w, ratio, f = self._on_sphere(square, reach)
        f = jnp.where(square < reach * reach, f * of_kind(self.weights, kind, dtype), 0.0)
        if self.sinner is not None:
            f = f * self._inner(square, kind, center)
        points = (w, ratio * environment.x, ratio * environment.y, ratio * environment.z)
        return tuple(materialised(a, square) for a in points), materialised(f, square), kind, center

    def _on_sphere(self, square, reach):
        """cos theta, sin theta / r and f without the weight of the element."""
        if self.rmin0 == 0.0 and self.rfac0 <= 1.0:  # even functions of r, without a root
            t = jnp.minimum(square / (reach * reach), 1.0)
            cosine, sine = _even(self.rfac0)
            f = fades.fade("cosine", t, 1.0) if self.switchflag else jnp.ones_like(t)
            return horner(cosine, t), horner(sine, t) / reach, f
        r = jnp.sqrt(square)
        q = (r - self.rmin0) / (reach - self.rmin0)
        theta = self.rfac0 * math.pi * q
        sine, cosine = jnp.sin(theta), jnp.cos(theta)
        sign = jnp.where(sine < 0.0, -1.0, 1.0)
        f = 0.5 + 0.5 * jnp.cos(math.pi * jnp.clip(q, 0.0, 1.0)) if self.switchflag else jnp.ones_like(r)
        return sign * cosine, sign * sine / r, f

    def _inner(self, square, kind, center):
        """The factor with which f falls to zero at short distances."""
        middle, half = (
            0.5 * (of_kind(values, center, square.dtype) + of_kind(values, kind, square.dtype))
            for values in (self.sinner, self.dinner)
        )
        t = jnp.clip((jnp.sqrt(square) - middle) / half, -1.0, 1.0)
        return 0.5 + 0.5 * jnp.sin(0.5 * math.pi * t)

    def __repr__(self) -> str:
        return f"Bispectrum({self.dimension}, twojmax={self.twojmax}, cutoff={self.cutoff:g} A)"


@lru_cache(maxsize=16)
def _triples(twojmax, densities):
    """Elements first, the first of the three changing slowest; then the degrees."""
    count = twojmax + 1
    return tuple(
        (a * count + i, b * count + j, c * count + k)
        for a, b, c in itertools.product(range(densities), repeat=3) for i, j, k in degree_triples(twojmax)
    )


@lru_cache(maxsize=8)
def _even(rfac0):
    """Coefficients of cos(theta) and of sin(theta) / (r / R) with theta = rfac0 pi r / R, by (r / R)^2 up to 1."""
    t = 0.5 + 0.5 * np.cos(np.pi * (np.arange(4 * _TERMS) + 0.5) / (4 * _TERMS))
    theta = rfac0 * np.pi * np.sqrt(t)
    fits = (
        np.polynomial.Chebyshev.fit(t, values, _TERMS - 1, domain=[0.0, 1.0])
        for values in (np.cos(theta), rfac0 * np.pi * np.sinc(theta / np.pi))
    )
    return tuple(tuple(fit.convert(kind=np.polynomial.Polynomial).coef.tolist()) for fit in fits)
