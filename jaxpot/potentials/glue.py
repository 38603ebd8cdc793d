"""Pairs and an embedding energy as cubic splines: QUIP's `Glue`."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpot.basis.cubic_splines import CubicSpline, cubic_values
from jaxpot.basis.cutoffs import inside
from jaxpot.core.elements import atomic_number
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.precision import as_float, concrete
from jaxpot.core.pytree import put, pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.parameters import check_positive, pick, species_numbers
from jaxpot.typing import Array


@pytree
class Glue(Potential):
    """The glue model: E = sum over pairs phi_ij(r) + sum_i F_i(rho_i), rho_i = sum_j c_j (R_j - r_ij)^3.

    phi and F are cubic splines (`basis.cubic_splines`) that continue as straight lines; but phi is zero beyond
    its last knot, which is where a pair ends. The density counts neighbours with r < R_j. Short repulsive
    pairs of this form are what published GAPs stand on.

    Args:
        pairs: {("Si", "O"): `CubicSpline` in A and eV, ...}; pairs that are not named do not interact.
        species: the elements.
        embedding: F of each species, eV; None: no embedding.
        density: c of each species as a neighbour, (S,) 1/A^3 (the unit of the density is arbitrary).
        density_cutoffs: R of each species as a neighbour, (S,) A.
        pair_elements: the keys of `pairs` where that is given as a tuple of splines.
        cutoff: A; found whenever the tables are known, and kept when they are traced.
        smoothness: found from the tables: 1, or less where a pair ends with a jump of energy or force. The
            second derivative of phi jumps at its first and last knot.

    References:
        F. Ercolessi, M. Parrinello, E. Tosatti, Philos. Mag. A 58, 213 (1988), equation 1.
        Ends of the curves and form of the density: by comparison with QUIP.
    """

    pairs: tuple
    species: tuple = static()
    embedding: tuple | None = None
    density: Any = None
    density_cutoffs: Any = None
    pair_elements: tuple | None = static(default=None)
    cutoff: float = static(default=None)
    smoothness: int = static(default=-1)
    former_fields = {"reach": "density_cutoffs"}  # of files

    def __post_init__(self):
        put(self, "species", species_numbers(self.species))
        if isinstance(self.pairs, dict):
            put(self, "pair_elements", tuple(self.pairs))
            put(self, "pairs", tuple(self.pairs.values()))
        put(self, "pair_elements", tuple(tuple(map(atomic_number, pair)) for pair in self.pair_elements or ()))
        self._check()
        if not self.pairs and self.embedding is None:
            raise DataError("expected a pair or a density that reaches somewhere, got neither")
        reach = concrete(self.extent())
        if reach is not None:
            put(self, "cutoff", float(reach))
            put(self, "smoothness", self._smoothness())
        if self.cutoff is None or not 0.0 < self.cutoff < math.inf:
            raise DataError(f"expected a pair or a density that reaches somewhere, got a cutoff of {self.cutoff} A")

    def _check(self):
        if len({frozenset(pair) for pair in self.pair_elements}) != len(self.pairs):
            raise DataError(f"pairs: expected distinct pairs with a spline each, got {self.pair_elements}")
        unknown = {z for pair in self.pair_elements for z in pair} - set(self.species or ())
        if unknown:
            raise DataError(f"pairs: expected elements of {self.species}, got {sorted(unknown)} too")
        if any(not isinstance(spline, CubicSpline) for spline in (*self.pairs, *(self.embedding or ()))):
            raise DataError("pairs and embedding: expected values of type CubicSpline")
        if self.embedding is None:
            return
        for name in ("density", "density_cutoffs"):
            object.__setattr__(self, name, as_float(getattr(self, name), name))
        count = len(self.species)
        if len(self.embedding) != count or self.density.shape != (count,) or self.density_cutoffs.shape != (count,):
            raise DataError(
                f"expected embedding, density and density_cutoffs of {count} species, got {len(self.embedding)}, "
                f"{self.density.shape} and {self.density_cutoffs.shape}"
            )
        check_positive(self.density_cutoffs, "density_cutoffs", "A")

    def extent(self) -> float | Array:
        """The longest range of a pair or a density, () A."""
        ends = [spline.knots[-1] for spline in self.pairs]
        return jnp.max(jnp.stack(ends + ([] if self.embedding is None else list(self.density_cutoffs))))

    def site_energy(self, environment: Environment) -> Array:
        """Embedding energy of the atom and half its pair energy, () eV."""
        i = species_index(self.species, environment.number)
        j = species_index(self.species, environment.numbers)
        energy = 0.5 * jnp.sum(self._pair_energies(environment.distances, i, j))
        if self.embedding is None:
            return energy
        reach = pick(self.density_cutoffs, j)
        mask, r = inside(environment.distances, reach)
        left = reach - r
        rho = jnp.sum(jnp.where(mask, pick(self.density, j) * left * left * left, 0.0))
        return energy + cubic_values(self.embedding, i, rho)

    def _pair_energies(self, distances, i, j):
        if not self.pairs:
            return jnp.zeros_like(distances)
        count = len(self.species)
        none = len(self.pairs)
        table = np.full((count, count), none, np.int32)
        for k, pair in enumerate(self.pair_elements):
            a, b = (self.species.index(z) for z in pair)
            table[a, b] = table[b, a] = k
        which = pick(jnp.asarray(table), i, j)
        ends = jnp.stack([*(spline.knots[-1] for spline in self.pairs), jnp.zeros((), distances.dtype)])
        mask, r = inside(distances, ends[which])
        return jnp.where(mask, cubic_values(self.pairs, jnp.minimum(which, none - 1), r), 0.0)

    def _smoothness(self):
        found = 2 if self.embedding is not None else 1
        if self.embedding is not None and any(spline.slopes is not None for spline in self.embedding):
            found = 1
        for spline in self.pairs:
            value, slope = (float(c[-1]) for c in spline.pieces()[:2])
            found = min(found, 1 if value == slope == 0.0 else 0 if value == 0.0 else -1)
        return found
