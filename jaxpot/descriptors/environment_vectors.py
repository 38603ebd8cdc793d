"""Atomic environment vectors (AEV): the radial and angular functions that ANI's networks read."""

import itertools
import math

import jax.numpy as jnp
import numpy as np

from jaxpot.basis import fades
from jaxpot.core.elements import atomic_number
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.numbers import as_length, as_number, as_positive
from jaxpot.core.pytree import put, pytree, static
from jaxpot.descriptors.base import Descriptor, different_elements
from jaxpot.descriptors.pair_sums import pair_blocks, whole_power
from jaxpot.descriptors.symmetry_functions import SymmetryFunctions
from jaxpot.errors import DataError
from jaxpot.typing import Array

_SHRUNK = 0.95  # of the cosine of an angle: of acos, derivatives are infinite at the ends
_LARGEST_POWER = 1000  # up to which whole powers are products


@pytree
class AtomicEnvironmentVectors(Descriptor):
    """One vector for an atom: functions of its neighbours of each element, and of its pairs of each two elements.

    Radial, for each element and each shift s, summed over the neighbours j of that element:

        G = 1/4 sum_j exp(-eta (r_j - s)^2) f(r_j)

    Angular, for each two elements, each angular shift s and each angle a, over their pairs j < k:

        G = 2^(1 - zeta) sum_jk (1 + cos(theta_jk - a))^zeta exp(-eta' ((r_j + r_k) / 2 - s)^2) f'(r_j) f'(r_k)

    with theta = acos(0.95 cos of the angle at the atom), f = (1 + cos(pi r / cutoff)) / 2 below the cutoff, and f' the
    same of the angular cutoff. First all radial functions, one element after the other; then the angular ones, in the
    order (1, 1), (1, 2), ..., (2, 2), ... of the elements, the angle changing fastest.

    Args:
        species: elements of the neighbours, in the order of the blocks.
        cutoff: A, of the radial functions.
        eta, shifts: 1/A^2, and A.
        angular_cutoff: A, not above the other.
        angular_eta, angular_shifts: 1/A^2, and A.
        zeta: exponent.
        angles: radians, from 0 to pi.
        centers: elements of the atoms that are described; None: all.

    Raises:
        DataError: numbers that have no meaning.

    References:
        J. S. Smith, O. Isayev, A. E. Roitberg, ANI-1: an extensible neural network potential with DFT accuracy at force
        field computational cost, Chem. Sci. 8, 3192 (2017), equations 3 and 4; X. Gao et al., TorchANI, J. Chem. Inf.
        Model. 60, 3408 (2020), for the factors 1/4 and 0.95.
    """

    species: tuple = static()
    cutoff: float = static()
    eta: float = static()
    shifts: tuple = static()
    angular_cutoff: float = static()
    angular_eta: float = static()
    angular_shifts: tuple = static()
    zeta: float = static()
    angles: tuple = static()
    centers: tuple | None = static(default=None)

    one_vector = True
    smoothness = 1  # continuous derivatives of f
    # About 40 atoms: with fewer, layers of networks are slow; with more, what is stored of pairs is out of the cache.
    chunk_elements = 3072

    def __post_init__(self):
        put(self, "species", different_elements(self.species))
        if self.centers is not None:
            put(self, "centers", tuple(atomic_number(z) for z in self.centers))
        for name in ("cutoff", "angular_cutoff"):
            put(self, name, as_length(getattr(self, name), name))
        for name in ("eta", "angular_eta", "zeta"):
            put(self, name, as_positive(getattr(self, name), name))
        for name in ("shifts", "angular_shifts", "angles"):
            put(self, name, tuple(as_number(x, name) for x in getattr(self, name)))
            if not getattr(self, name):
                raise DataError(f"{name}: expected at least one number")
        if self.angular_cutoff > self.cutoff:
            raise DataError(f"angular_cutoff: expected at most {self.cutoff:g} A, got {self.angular_cutoff:g}")
        if not all(0.0 <= angle <= math.pi + 1e-6 for angle in self.angles):  # beyond, 1 + cos may vanish
            raise DataError(f"angles: expected radians from 0 to pi, got {self.angles}")

    @property
    def shorter(self) -> tuple[float, ...]:
        return (self.angular_cutoff,)

    @property
    def kinks(self) -> tuple[float, ...] | None:
        return (self.angular_cutoff, self.cutoff)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Indices of the two elements of each angular block."""
        return tuple(itertools.combinations_with_replacement(range(len(self.species)), 2))

    @property
    def dimension(self) -> int:
        return len(self.species) * len(self.shifts) + len(self.pairs) * len(self.angular_shifts) * len(self.angles)

    def components_of(self, species: tuple[int, ...]) -> np.ndarray:
        """Places of the components that are about some of the elements alone, in the order of a vector for these.

        Args:
            species: some of the elements.
        """
        radial = np.arange(self.dimension)[: len(self.species) * len(self.shifts)].reshape(len(self.species), -1)
        angular = np.arange(radial.size, self.dimension).reshape(len(self.pairs), -1)
        kept = [self.species.index(z) for z in species]
        wanted = itertools.combinations_with_replacement(kept, 2)
        places = [self.pairs.index((min(pair), max(pair))) for pair in wanted]
        return np.concatenate([radial[kept].ravel(), angular[places].ravel()])

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """The one vector of an environment, (1, d), and its weight (1,)."""
        vector = jnp.concatenate([self._radial(environment), self._angular(environment.within(self.angular_cutoff))])
        return vector[None], jnp.asarray(self.describes(environment.number), vector.dtype)[None]

    jacobian = SymmetryFunctions.jacobian  # by one reverse pass for each component

    def _radial(self, environment):
        r = environment.distances
        weight = 0.25 * fades.fade("cosine", r * r, self.cutoff)
        kind = species_index(self.species, environment.numbers)
        weights = jnp.where(kind == np.arange(len(self.species))[:, None], weight, 0.0)
        values = jnp.exp(-self.eta * (r[:, None] - np.array(self.shifts, r.dtype)) ** 2)
        return jnp.matmul(weights, values, precision="highest").ravel()

    def _angular(self, environment):
        """All functions of all pairs, then for each two elements the sum of those that are theirs: a matrix product."""
        cosine, mean, weight, kind = _pairs(environment, self.species, self.angular_cutoff)
        cosine = _SHRUNK * cosine
        sine = jnp.sqrt(1.0 - cosine * cosine)
        # cos(theta - a), without theta.
        angular = jnp.stack([self._power(math.cos(a) * cosine + math.sin(a) * sine) for a in self.angles])
        radial = jnp.stack([weight * jnp.exp(-self.angular_eta * (mean - s) ** 2) for s in self.angular_shifts])
        places = np.array([_place(*pair) for pair in self.pairs])
        theirs = (kind == places[:, None]).astype(kind.dtype)
        return jnp.einsum("sp,abp->sab", theirs, radial[:, None] * angular, precision="highest").ravel()

    def _power(self, cosine):
        """2^(1 - zeta) (1 + cosine)^zeta."""
        base = 0.5 + 0.5 * cosine
        if self.zeta.is_integer() and self.zeta <= _LARGEST_POWER:
            return 2.0 * whole_power(base, int(self.zeta))
        return 2.0 * jnp.exp(self.zeta * jnp.log(base))

    def __repr__(self) -> str:
        return f"AtomicEnvironmentVectors({self.dimension}, cutoff={self.cutoff:g} A)"


def _pairs(environment, species, cutoff):
    """All pairs of neighbours: the cosine, (r_j + r_k) / 2, f(r_j) f(r_k), and the place of their elements, (P,) each.

    Each pair once, and some of no weight: the neighbours are cut into an odd number of blocks, on a circle; each block
    meets itself and those on one half of the circle (see `descriptors.pair_sums`).
    """
    r = environment.distances
    units = jnp.stack([environment.x, environment.y, environment.z]) / r
    fading = fades.fade("cosine", r * r, cutoff)
    kind = species_index(species, environment.numbers).astype(r.dtype)
    length, count = pair_blocks(len(r))
    rows = jnp.concatenate([units, r[None], fading[None], kind[None]])
    rows = jnp.pad(rows, ((0, 0), (0, length * count - len(r))))
    one = jnp.moveaxis(rows.reshape(len(rows), count, length), 1, 0)
    other = jnp.concatenate([jnp.roll(one, -k, axis=0) for k in range((count + 1) // 2)], axis=-1)
    cosine = jnp.einsum("cnj,cnk->cjk", one[:, :3], other[:, :3], precision="highest")
    (r, f, z), (r_, f_, z_) = (jnp.moveaxis(rows[:, 3:], 1, 0) for rows in (one[..., None], other[:, :, None]))
    once = np.ones((length, other.shape[-1]), r.dtype)
    once[:, :length] = 0.5 * (1.0 - np.eye(length))  # in its own block a pair is there from both ends
    place = _place(jnp.minimum(z, z_), jnp.maximum(z, z_))
    found = (cosine, 0.5 * (r + r_), f * f_ * once, place)
    return tuple(matrix.reshape(-1) for matrix in found)  # loops over the few neighbours of a block are not vectorised


def _place(low, high):
    """A number of its own for each two elements, low <= high."""
    return high * (high + 1) / 2 + low
