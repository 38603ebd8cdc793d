"""The descriptor of neuroevolution potentials (NEP): moments of neighbours by Chebyshev functions and harmonics."""

import itertools

import jax.numpy as jnp
import numpy as np

from jaxpot.basis import fades
from jaxpot.basis.chebyshev_rows import chebyshev_rows, folded
from jaxpot.basis.moment_invariants import COUPLINGS, LARGEST_DEGREE, invariants, monomials
from jaxpot.core.fusion import materialised
from jaxpot.core.gemm import gemm
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.numbers import as_length, as_whole
from jaxpot.core.precision import as_float
from jaxpot.core.pytree import put, pytree, static
from jaxpot.descriptors.base import Descriptor, different_elements
from jaxpot.errors import DataError
from jaxpot.typing import Array, ArrayField

# Up to which the coefficients of each neighbour are a product with zeros and ones: of more, a gather is faster.
_FEW_ELEMENTS = 16


@pytree
class NeuroevolutionDescriptor(Descriptor):
    """One vector for an atom i: sums over its neighbours j, and invariants of their moments.

    With x = 2 (r / R - 1)^2 - 1, R = (R_i + R_j) / 2, Chebyshev polynomials T_k and real harmonics Y_lm,

        f_k(r) = (T_k(x) + 1) / 2 (1 + cos(pi r / R)) / 2,    g_n(r) = sum_k c_nk^ij f_k(r)
        q_n = sum_j g_n(r_ij),    A_nlm = sum_j g'_n(r_ij) Y_lm(r_ij),    q_nl = sum_m A_nlm^2

    where g' has coefficients and radii of its own. Behind the q_n come the q_nl, n changing faster than l = 1 ...
    l_max, and for each n sums of three or four A with 3j symbols, by their degrees:

        "222", "112", "123", "233", "134": sum over all m of (l l' l''; m m' m'') A_nlm A_nl'm' A_nl''m''
        "1111": (7 / 15) q_n1^2

    Args:
        radial: c of the q_n, (S, S, N, B): elements of the atom and of the neighbour, n, k.
        angular: c of the A_nlm, (S, S, N', B').
        species: the S elements.
        radial_cutoffs, angular_cutoffs: R of each element, A; or one for all.
        l_max: up to 8.
        couplings: which of "222", "1111", "112", "123", "233", "134" there are, in this order.
        with_element: whether the place of the atom's element in `species` is the last component, for readouts with a
            network for each element.

    Raises:
        DataError: shapes that do not fit, or numbers that have no meaning.

    References:
        Z. Fan et al., Phys. Rev. B 104, 104309 (2021), equations 4 to 13; Z. Fan et al., J. Chem. Phys. 157, 114801
        (2022), equations 6 to 16.
    """

    radial: ArrayField
    angular: ArrayField
    species: tuple = static()
    radial_cutoffs: tuple = static()
    angular_cutoffs: tuple = static()
    l_max: int = static(default=4)
    couplings: tuple = static(default=())
    with_element: bool = static(default=False)

    one_vector = True
    smoothness = 1  # continuous derivatives of the cosine

    def __post_init__(self):
        put(self, "species", different_elements(self.species))
        count = len(self.species)
        for name in ("radial", "angular"):
            array = as_float(getattr(self, name), name)
            if array.ndim != 4 or array.shape[:2] != (count, count) or 0 in array.shape:
                raise DataError(f"{name}: expected an array ({count}, {count}, N, B), got {array.shape}")
            put(self, name, array)
            radii = getattr(self, f"{name}_cutoffs")
            radii = (radii,) if isinstance(radii, int | float) else tuple(radii)
            radii = tuple(as_length(r, f"{name}_cutoffs") for r in radii)
            if len(radii) not in (1, count):
                raise DataError(f"{name}_cutoffs: expected one for each of {count} elements, or one; got {len(radii)}")
            put(self, f"{name}_cutoffs", radii[:1] if len(set(radii)) == 1 else radii)
        put(self, "l_max", as_whole(self.l_max, "l_max", 0, LARGEST_DEGREE))
        put(self, "couplings", tuple(self.couplings))
        if self.couplings != tuple(name for name in COUPLINGS if name in self.couplings):
            raise DataError(f"couplings: expected some of {', '.join(COUPLINGS)} in this order, got {self.couplings}")
        missing = [name for name in self.couplings if int(max(name)) > self.l_max]
        if missing:
            raise DataError(f"couplings: expected degrees up to l_max = {self.l_max}, got {missing[0]}")

    @property
    def cutoff(self) -> float:
        return max(*self.radial_cutoffs, *self.angular_cutoffs)

    @property
    def shorter(self) -> tuple[float, ...]:
        return (max(self.radial_cutoffs), max(self.angular_cutoffs))

    @property
    def kinks(self) -> tuple[float, ...] | None:
        both = (self.radial_cutoffs, self.angular_cutoffs)
        return tuple(sorted({0.5 * (a + b) for radii in both for a, b in itertools.product(radii, repeat=2)}))

    @property
    def dimension(self) -> int:
        per_function = self.l_max + len(self.couplings)
        return self.radial.shape[2] + self.angular.shape[2] * per_function + self.with_element

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """The one vector of an environment, (1, d), and its weight (1,)."""
        center = species_index(self.species, environment.number)
        parts = [self._radial(environment.within(max(self.radial_cutoffs)), center)]
        if self.l_max:
            moments = self._moments(environment.within(max(self.angular_cutoffs)), center)
            parts.append(invariants(self.l_max, self.couplings, moments).ravel())
        if self.with_element:
            parts.append(center[None].astype(parts[0].dtype))
        vector = jnp.concatenate(parts)
        return vector[None], jnp.ones(1, vector.dtype)

    def _radial(self, environment, center):
        """q_n, (N,): the f_k are summed by the element of the neighbour first."""
        count, _, n, b = self.radial.shape
        kind = species_index(self.species, environment.numbers)
        functions = self._functions(environment, self.radial_cutoffs, b, center, kind)
        if count == 1:
            sums = jnp.sum(functions, axis=1)
        else:
            sums = gemm(self._one_hot(kind, functions.dtype), functions, turn_b=True).ravel()  # (S B,)
        table = jnp.moveaxis(folded(self.radial), 1, 2).reshape(count, n, count * b)
        return jnp.matmul(_of(table, center), sums, precision="highest")

    def _moments(self, environment, center):
        """Sums over the neighbours of g'_n times monomials of the unit vector, (N', M)."""
        count, _, n, b = self.angular.shape
        kind = species_index(self.species, environment.numbers)
        functions = self._functions(environment, self.angular_cutoffs, b, center, kind)
        inverse = materialised(1.0 / environment.distances)
        angles = monomials(self.l_max, *(a * inverse for a in (environment.x, environment.y, environment.z)))
        table = folded(self.angular).reshape(count, count, n * b)
        if count == 1:
            return jnp.matmul(table.reshape(n, b), gemm(functions, angles, turn_b=True), precision="highest")
        if count <= _FEW_ELEMENTS:
            ours = gemm(_of(table, center), self._one_hot(kind, functions.dtype), turn_a=True)
        else:
            flat = table.reshape(count * count, n * b).T
            ours = flat.at[:, center * count + kind].get(mode="promise_in_bounds")
        return gemm(jnp.sum(ours.reshape(n, b, -1) * functions, axis=1), angles, turn_b=True)

    def _functions(self, environment, cutoffs, count, center, kind):
        """T_k(x) (1 + cos) / 2, (B, K)."""
        r, cutoff = environment.distances, cutoffs[0]
        if len(cutoffs) > 1:
            radii = jnp.asarray(cutoffs, r.dtype)
            cutoff = 0.5 * (_of(radii, center) + _of(radii, kind))
        t = jnp.minimum(r / cutoff, 1.0)
        return chebyshev_rows(2.0 * (t - 1.0) ** 2 - 1.0, count, fades.fade("cosine", r * r, cutoff))

    def _one_hot(self, kind, dtype):
        """1 where a neighbour is of an element, (S, K)."""
        return (kind == np.arange(len(self.species))[:, None]).astype(dtype)

    def __repr__(self) -> str:
        return f"NeuroevolutionDescriptor({self.dimension}, cutoff={self.cutoff:g} A)"


def _of(table, kind):
    """Entries of elements."""
    return table[0] if len(table) == 1 else table.at[kind].get(mode="promise_in_bounds")
