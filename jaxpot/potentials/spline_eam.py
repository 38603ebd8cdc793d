"""The embedded-atom method with functions that have four continuous derivatives."""

import jax.numpy as jnp
import numpy as np

from jaxpot.basis.cutoffs import inside
from jaxpot.basis.quintic_splines import QuinticSpline, quintic_values
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.pytree import put, pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.parameters import pick, species_numbers
from jaxpot.typing import Array


@pytree
class SplineEAM(Potential):
    """Embedded-atom method: E = sum_i F_i(rho_i) + sum over pairs phi_ij(r), rho_i = sum_j f_ji(r_ij).

    All functions are quintic splines (`basis.quintic_splines`), whose coefficients are the parameters; of the pair
    term it is z = r phi. Beyond their knots F continues as a straight line, f and z do below theirs (phi as a / r + b).
    `fitting.smoothing` makes such potentials of tables, whose higher derivatives jump.

    Args:
        embedding: F of each species, eV.
        density: f of each species as a neighbour; or S * S splines, of each as a neighbour (first) at each species.
        pair: z = r phi, eV A; unordered pairs as 00, 10, 11, 20, 21, 22, ...
        species: the elements, by symbol or number.

    References:
        M. S. Daw, M. I. Baskes, Phys. Rev. B 29, 6443 (1984).
        M. W. Finnis, J. E. Sinclair, Philos. Mag. A 50, 45 (1984): densities of pairs.
    """

    embedding: tuple
    density: tuple
    pair: tuple
    species: tuple = static()

    smoothness = 4

    def __post_init__(self):
        put(self, "species", species_numbers(self.species))
        if self.species is None:
            raise DataError("species: name the elements of the splines, in their order")
        count = len(self.species)
        counts = {"embedding": (count,), "density": (count, count * count), "pair": (count * (count + 1) // 2,)}
        for name, expected in counts.items():
            splines = tuple(getattr(self, name))
            put(self, name, splines)
            if len(splines) not in expected or any(not isinstance(spline, QuinticSpline) for spline in splines):
                wanted = " or ".join(map(str, expected))
                raise DataError(f"{name}: expected {wanted} values of type QuinticSpline, got {len(splines)}")
        if not all(spline.ends_with_zero and spline.end > 0.0 for spline in (*self.density, *self.pair)):
            raise DataError("density and pair: expected splines that end with zero, at a distance above 0")

    @property
    def cutoff(self) -> float:
        return max(spline.end for spline in (*self.density, *self.pair))

    def site_energy(self, environment: Environment) -> Array:
        """Embedding energy of the atom and half its pair energy, () eV."""
        i = species_index(self.species, environment.number)
        j = species_index(self.species, environment.numbers)
        count = len(self.species)
        mask, r = inside(environment.distances, self.cutoff)
        of_pair = quintic_values(self.pair, pick(jnp.asarray(_pair_rows(count)), i, j), r) / r
        density = quintic_values(self.density, j if len(self.density) == count else j * count + i, r)
        rho = jnp.sum(jnp.where(mask, density, 0.0))
        return quintic_values(self.embedding, i, rho) + 0.5 * jnp.sum(jnp.where(mask, of_pair, 0.0))


def _pair_rows(count):
    """(S, S) places of pairs of species among 00, 10, 11, 20, ..."""
    a, b = np.indices((count, count))
    high, low = np.maximum(a, b), np.minimum(a, b)
    return (high * (high + 1) // 2 + low).astype(np.int32)
