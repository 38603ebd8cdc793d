"""The universal screened nuclear repulsion of Ziegler, Biersack and Littmark."""

import jax.numpy as jnp
import numpy as np

from jaxpot.basis.cutoffs import inside
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.numbers import as_length
from jaxpot.core.precision import as_float
from jaxpot.core.pytree import pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.parameters import pick, species_numbers
from jaxpot.typing import Array, ArrayField

COULOMB = 14.399645  # eV A, e^2 / (4 pi epsilon_0) as LAMMPS has it in metal units: part of the definition
AMPLITUDES = (0.18175, 0.50986, 0.28022, 0.02817)
DECAYS = (3.19980, 0.94229, 0.40290, 0.20162)
_LENGTH = 0.46850  # A
POWER = 0.23


@pytree
class ZBL(Potential):
    """Ziegler-Biersack-Littmark: screened Coulomb repulsion of nuclei, as LAMMPS's `zbl inner outer` ends it.

    v(r) = Z_i Z_j e^2 / (4 pi epsilon_0 r) phi(r / a) + s(r),  phi(x) = sum_k c_k exp(-d_k x),
    a = length / (Z_i^0.23 + Z_j^0.23).

    s(r) = C up to `inner` and A/3 t^3 + B/4 t^4 + C with t = r - inner beyond. Energy, force and curvature
    shall vanish at `outer`; with v0, v1, v2 the bare interaction and its derivatives there and
    d = outer - inner:

        A d^2 + B d^3 = -v1,    2 A d + 3 B d^2 = -v2,    A d^3 / 3 + B d^4 / 4 + C = -v0
        A = (d v2 - 3 v1) / d^2,    B = (2 v1 - d v2) / d^3,    C = -v0 + d v1 / 2 - d^2 v2 / 12

    The second derivative is continuous everywhere; the third jumps at both radii.

    Args:
        inner: A, where the switch begins.
        outer: A, the cutoff.
        species: elements the potential is restricted to; every element by default. Naming them makes it
            faster, since s(r) is then found once for each pair of elements.
        amplitudes, decays, length: the parameters c_k, d_k and the screening length in A; universal values.

    References:
        J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids (1985).
        The switch: documentation of LAMMPS, `pair_style zbl`.
    """

    inner: float = static()
    outer: float = static()
    species: tuple | None = static(default=None)
    amplitudes: ArrayField = AMPLITUDES  # type: ignore[assignment]
    decays: ArrayField = DECAYS  # type: ignore[assignment]
    length: ArrayField = _LENGTH  # type: ignore[assignment]

    smoothness = 2
    pairwise = True

    def __post_init__(self):
        object.__setattr__(self, "inner", as_length(self.inner, "inner"))
        object.__setattr__(self, "outer", as_length(self.outer, "outer"))
        if self.inner >= self.outer:
            raise DataError(f"inner ({self.inner} A) must lie below outer ({self.outer} A)")
        object.__setattr__(self, "species", species_numbers(self.species))
        for name, shape in (("amplitudes", (4,)), ("decays", (4,)), ("length", ())):
            array = as_float(getattr(self, name), name)
            if array.shape != shape:
                raise DataError(f"{name}: expected shape {shape}, got {array.shape}")
            object.__setattr__(self, name, array)

    @property
    def cutoff(self) -> float:
        return self.outer

    @property
    def is_universal(self) -> bool:
        """Whether the parameters are those of the paper."""
        given = (self.amplitudes, self.decays, self.length)
        known = (AMPLITUDES, DECAYS, _LENGTH)
        return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(given, known, strict=True))

    def site_energy(self, environment: Environment) -> Array:
        """Half the energy of the atom's pairs, () eV."""
        dtype = environment.distances.dtype
        z_i, z_j = environment.number.astype(dtype), environment.numbers.astype(dtype)
        if self.species is None:
            charges, rate = self._screening(z_i, z_j)
            a, b, c = self._switch(charges, rate)
        else:
            z = jnp.asarray(self.species, dtype)
            tables = self._screening(z[:, None], z[None, :])
            tables = (*tables, *self._switch(*tables))
            i = species_index(self.species, environment.number)
            j = species_index(self.species, environment.numbers)
            charges, rate, a, b, c = (pick(table, i, j) for table in tables)
        mask, r = inside(environment.distances, self.outer)
        t = jnp.maximum(r - self.inner, 0.0)
        pair = self._bare(r, charges, rate)[0] + t * t * t * (a / 3.0 + b / 4.0 * t) + c
        return 0.5 * jnp.sum(jnp.where(mask, pair, 0.0))

    def _screening(self, z_i, z_j):
        """Strength of the Coulomb term (eV A) and inverse screening length (1/A) of pairs of elements."""
        # Places without an atom have Z = 0, for which only the strength may vanish.
        powers = jnp.maximum(z_i, 1.0) ** POWER + jnp.maximum(z_j, 1.0) ** POWER
        return COULOMB * z_i * z_j, powers / self.length

    def _bare(self, r, charges, rate, orders=1):
        """The interaction without the switch, and its derivatives by r up to `orders` - 1."""
        phi = [0.0] * orders
        for k in range(4):
            decay = self.decays[k] * rate
            term = self.amplitudes[k] * jnp.exp(-decay * r)
            for order in range(orders):
                phi[order] = phi[order] + term
                term = -decay * term
        u = charges / r
        result = [u * phi[0]]
        if orders > 1:
            result.append(u * (phi[1] - phi[0] / r))
        if orders > 2:
            result.append(u * (phi[2] - 2.0 * phi[1] / r + 2.0 * phi[0] / (r * r)))
        return result

    def _switch(self, charges, rate):
        """A, B and C of the switching polynomial."""
        v0, v1, v2 = self._bare(self.outer, charges, rate, orders=3)
        d = self.outer - self.inner
        return (d * v2 - 3.0 * v1) / d**2, (2.0 * v1 - d * v2) / d**3, -v0 + 0.5 * d * v1 - d**2 / 12.0 * v2


def screened_repulsion(first: int, second: int, r: float) -> float:
    """Universal interaction of two elements at a distance, without a switch, eV.

    Args:
        first, second: atomic numbers.
        r: A.
    """
    universal = ZBL(1.0, 2.0)  # the bare interaction depends on neither radius
    return float(universal._bare(r, *universal._screening(float(first), float(second)))[0])
