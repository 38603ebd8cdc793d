"""Screened nuclear repulsion that fades with half a cosine, as beside neuroevolution potentials (NEP)."""

import itertools
import math

import jax.numpy as jnp
import numpy as np

from jaxpot.basis.cutoffs import inside
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.numbers import as_length, as_number
from jaxpot.core.precision import as_float
from jaxpot.core.pytree import put, pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.parameters import pick, species_numbers
from jaxpot.potentials.zbl import AMPLITUDES, COULOMB, DECAYS, POWER
from jaxpot.typing import Array, ArrayField

_INVERSE_LENGTH = 2.134563  # 1/A, as GPUMD has it: part of the definition


@pytree
class FadedZBL(Potential):
    """Screened Coulomb repulsion of nuclei, times a factor that falls from 1 to 0.

    v(r) = Z_i Z_j e^2 / (4 pi epsilon_0 r) sum_k c_k exp(-d_k r / a) s(r),  1 / a = 2.134563 (Z_i^0.23 + Z_j^0.23),
    s(r) = 1 up to `inner`, (1 + cos(pi (r - inner) / (outer - inner))) / 2 from there to `outer`, 0 beyond.

    Args:
        species: the elements.
        inner, outer: A; a number each, or one for each pair of elements: (1, 1), (1, 2), ..., (2, 2), ...
        amplitudes, decays: c and d, (4,), or (pairs, 4) likewise; universal values by default.

    Raises:
        DataError: shapes that do not fit, or numbers that have no meaning.

    References:
        J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids (1985); J. Liu et al.,
        Phys. Rev. B 108, 054312 (2023), for the factor beside NEP.
    """

    species: tuple = static()
    inner: float | tuple = static()
    outer: float | tuple = static()
    amplitudes: ArrayField = AMPLITUDES  # type: ignore[assignment]
    decays: ArrayField = DECAYS  # type: ignore[assignment]

    smoothness = 1
    pairwise = True

    def __post_init__(self):
        put(self, "species", species_numbers(self.species))
        count = len(self.pairs)
        put(self, "inner", self._of_pairs("inner", as_number))
        put(self, "outer", self._of_pairs("outer", as_length))
        for inner, outer in np.broadcast(self.inner, self.outer):
            if not 0.0 <= inner < outer:
                raise DataError(f"expected 0 <= inner < outer, got {inner:g} and {outer:g} A")
        for name in ("amplitudes", "decays"):
            array = as_float(getattr(self, name), name)
            if array.shape not in ((4,), (count, 4)):
                raise DataError(f"{name}: expected shape (4,) or ({count}, 4), got {array.shape}")
            put(self, name, array)

    def _of_pairs(self, name, checked):
        given = getattr(self, name)
        if not isinstance(given, tuple | list | np.ndarray):
            return checked(given, name)
        if len(given) != len(self.pairs):
            raise DataError(f"{name}: expected a number, or one for each of {len(self.pairs)} pairs; got {len(given)}")
        values = tuple(checked(r, name) for r in given)
        return values[0] if len(set(values)) == 1 else values

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Atomic numbers of each pair of elements."""
        return tuple(itertools.combinations_with_replacement(self.species, 2))

    @property
    def cutoff(self) -> float:
        return float(np.max(self.outer))

    @property
    def kinks(self) -> tuple[float, ...] | None:
        return tuple(sorted({float(r) for r in (*np.ravel(self.inner), *np.ravel(self.outer)) if r > 0.0}))

    def site_energy(self, environment: Environment) -> Array:
        """Half the energy of the atom's pairs, () eV."""
        pair, dtype = self._pair(environment), environment.distances.dtype
        strength, rate = _screening(np.array(self.pairs, float))
        inner, outer, strength, rate = (
            pick(jnp.asarray(np.ravel(values), dtype), pair) for values in (self.inner, self.outer, strength, rate)
        )
        mask, r = inside(environment.distances, outer)
        screened = sum(
            pick(self.amplitudes[..., k], pair) * jnp.exp(-pick(self.decays[..., k], pair) * rate * r)
            for k in range(4)
        )
        t = jnp.maximum(r - inner, 0.0) / (outer - inner)
        energy = strength / r * screened * (0.5 + 0.5 * jnp.cos(math.pi * t))
        return 0.5 * jnp.sum(jnp.where(mask, energy, 0.0))

    def _pair(self, environment):
        """The place of each neighbour's pair of elements, (K,)."""
        count = len(self.species)
        table = np.zeros((count, count), np.int32)
        upper = np.triu_indices(count)
        table[upper] = table.T[upper] = np.arange(len(upper[0]))
        center = species_index(self.species, environment.number)
        kind = species_index(self.species, environment.numbers)
        return jnp.asarray(table.ravel()).at[center * count + kind].get(mode="promise_in_bounds")


def _screening(numbers):
    """Strength of the Coulomb term (eV A) and inverse screening length (1/A) of pairs, (P,) each."""
    return COULOMB * numbers.prod(1), _INVERSE_LENGTH * (numbers**POWER).sum(1)
