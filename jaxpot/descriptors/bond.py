"""Bonds in their surroundings as a descriptor: what pair networks read."""

import jax.numpy as jnp
import numpy as np

from jaxpot.basis import fades
from jaxpot.core.elements import atomic_number, symbol
from jaxpot.core.graph import Environment
from jaxpot.core.numbers import as_length, as_whole
from jaxpot.core.pytree import put, pytree, static
from jaxpot.descriptors.base import Descriptor
from jaxpot.errors import DataError
from jaxpot.typing import Array


@pytree
class Bond(Descriptor):
    """A vector for each neighbour j of an atom, with the weight f(r_j): the bond, and what is about it.

    Its components are exp(-eta (r_j - R_n)^2) for `radial` distances R_n, and for each element of `species`

        sum_{k != j} f(r_k) exp(-eta' (r_k - R'_m)^2) cos^l theta_jk,   m < `around`, l <= `degree`.

    The R are at equal distances D from `nearest` to the cutoff, eta = 1 / D^2. Each bond is seen from both its atoms,
    and has the energy of both views: it is read by a network of its own for each pair of elements, E = sum f(r_j)
    y(x_j).

    Args:
        cutoff: A.
        species: elements of the neighbours; None for one that is not named.
        elements: of the atom and of its neighbours j, those of the bonds that are described; None: all bonds.
        radial, around, degree: how many functions.
        nearest: A, the shortest distance between atoms that is common; a quarter of the cutoff by default.
        fade: cutoff function f (see `jaxpot.basis.fades`).

    References:
        K. V. Jose Jovan, N. Artrith, J. Behler, J. Chem. Phys. 136, 194111 (2012): environment-dependent atom pairs,
        there with one view of both atoms.
    """

    cutoff: float = static()
    species: tuple | None = static(default=None)
    elements: tuple | None = static(default=None)
    radial: int = static(default=8)
    around: int = static(default=4)
    degree: int = static(default=3)
    nearest: float | None = static(default=None)
    fade: str = static(default="poly2")

    chunk_elements = 256  # all pairs of an atom's neighbours are stored

    def __post_init__(self):
        put(self, "cutoff", as_length(self.cutoff, "cutoff"))
        nearest = 0.25 * self.cutoff if self.nearest is None else as_length(self.nearest, "nearest")
        if nearest >= self.cutoff:
            raise DataError(f"nearest ({nearest:g} A) must lie below the cutoff ({self.cutoff:g} A)")
        put(self, "nearest", nearest)
        for name, least in (("radial", 1), ("around", 1), ("degree", 0)):
            put(self, name, as_whole(getattr(self, name), name, least, 100))
        if self.fade not in fades.SMOOTHNESS:
            raise DataError(f"fade: expected one of {', '.join(fades.SMOOTHNESS)}, got {self.fade!r}")
        if self.species is not None:
            put(self, "species", tuple(sorted(atomic_number(z) for z in self.species)))
        if self.elements is not None:
            if isinstance(self.elements, str) or len(self.elements) != 2:
                raise DataError(f"elements: expected those of the atom and of its neighbours, got {self.elements!r}")
            put(self, "elements", tuple(atomic_number(z) for z in self.elements))
            missing = [symbol(z) for z in self.elements if self.species is not None and z not in self.species]
            if missing:
                raise DataError(f"elements: {', '.join(missing)} is not among the species")

    @property
    def centers(self) -> tuple[int, ...] | None:
        return None if self.elements is None else self.elements[:1]

    @property
    def smoothness(self) -> int:
        return fades.SMOOTHNESS[self.fade]

    @property
    def kinks(self) -> tuple[float, ...] | None:
        return fades.kinks(self.fade, self.cutoff)

    @property
    def dimension(self) -> int:
        elements = 1 if self.species is None else len(self.species)
        return self.radial + elements * self.around * (self.degree + 1)

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """Vectors (K, d) and weights (K,)."""
        fading = fades.fade(self.fade, environment.distances**2, self.cutoff)
        near = fading[:, None] * self._shells(environment.distances, self.around)
        inverse = 1.0 / environment.distances
        units = jnp.stack([environment.x * inverse, environment.y * inverse, environment.z * inverse], axis=-1)
        cosine = jnp.matmul(units, units.T, precision="highest")
        power, parts = jnp.ones_like(cosine), [self._shells(environment.distances, self.radial)]
        of_kinds = [
            near if z is None else near * (environment.numbers == z)[:, None].astype(near.dtype)
            for z in (self.species or (None,))
        ]
        kinds = jnp.concatenate(of_kinds, axis=1)
        others = 1.0 - np.eye(len(inverse), dtype=cosine.dtype)
        for _ in range(self.degree + 1):
            parts.append(jnp.matmul(others * power, kinds, precision="highest"))
            power = power * cosine
        weights = fading
        if self.elements is not None:
            counts = (environment.number == self.elements[0]) & (environment.numbers == self.elements[1])
            weights = jnp.where(counts, fading, 0.0)
        return jnp.concatenate(parts, axis=1), weights

    def _shells(self, distances, count):
        width = (self.cutoff - self.nearest) / count
        centers = self.nearest + width * np.arange(count)
        return jnp.exp(-((distances[:, None] - centers.astype(distances.dtype)) ** 2) * (1.0 / width**2))

    def __repr__(self) -> str:
        named = "" if self.elements is None else "-".join(map(symbol, self.elements)) + ", "
        return f"Bond({named}{self.dimension}, cutoff={self.cutoff:g} A)"
