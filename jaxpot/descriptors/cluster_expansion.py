"""The atomic cluster expansion: invariant products of the neighbour density, of any number of factors."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.harmonics import real_harmonics
from jaxpot.basis.moments import harmonic_tables, polynomials
from jaxpot.basis.radial_bases import RadialBasis, checked, smoothness
from jaxpot.core.elements import atomic_number
from jaxpot.core.fusion import materialised
from jaxpot.core.gemm import gemm
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.lanes import in_lanes
from jaxpot.core.precision import as_float, product
from jaxpot.core.pytree import put, pytree, static
from jaxpot.descriptors.base import Descriptor, different_elements
from jaxpot.descriptors.cluster_components import Components
from jaxpot.descriptors.cluster_radials import core_addends, of_distances, radial_rows
from jaxpot.errors import DataError
from jaxpot.typing import AnyArray, Array, ArrayField


@pytree
class ClusterExpansion(Descriptor):
    """One vector for an atom: invariants B of the density of its neighbours (ACE).

    With complex harmonics, sqrt(4 pi) Y_lm(r), of the directions of the neighbours j of element e,

        A_e,n,l,m = sum_j R_nl(r_j) sqrt(4 pi) Y_lm(r_j / |r_j|),   R_nl = sum_k c_nlk g_k

    for the radial functions g_k of a `RadialBasis`. A component of one factor (e, n, 0) is sum_j g_n(r_j); one of more
    is the sum of products A A ... with couplings U that make it invariant (`basis.invariant_products`).

    Args:
        species: elements of the neighbours.
        components: for each component, its factors (e, n, l), e from 0 and n from 1, and the number of the coupling.
        bases: for each element of the neighbours, the `RadialBasis` of its pair with the atom: of one name.
        coefficients: c for each element of the neighbours, (elements, n, l, k).
        centers: the element of the atoms that are described.
        scales: factors of the components but the core, (d,); or None.
        core: for each element of the neighbours, (p, q): a last component sum_j p exp(-q r^2) / r (1 + cos(pi r / R))
            / 2, that fades out with the rise of the basis; or None.

    Raises:
        DataError: elements, factors or couplings that do not exist; coefficients of another shape.

    References:
        R. Drautz, Phys. Rev. B 99, 014104 (2019); Y. Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021); G. Dusson et
        al., J. Comput. Phys. 454, 110946 (2022).
    """

    species: tuple = static()
    components: Any = static()  # a tuple, of `Components` once made
    bases: tuple = static()
    coefficients: ArrayField
    centers: tuple | None = static(default=None)
    scales: ArrayField | None = None
    core: tuple | None = static(default=None)

    one_vector = True
    projects = True
    selects = True
    balanced = ("coefficients",)  # orthonormal functions are differences of nearly parallel ones, 1e7 times
    chunk_elements = 4096
    jacobian_elements = 72  # products are rows along three coordinates of each neighbour, and few rows fit the cache

    def __post_init__(self):
        put(self, "species", different_elements(self.species))
        if self.centers is not None:
            put(self, "centers", tuple(atomic_number(z) for z in self.centers))
        put(self, "bases", tuple(checked(RadialBasis(*basis)) for basis in self.bases))
        count = len(self.species)
        if len(self.bases) != count or len({basis.name for basis in self.bases}) != 1:
            raise DataError(f"bases: expected one for each of {count} elements, all of one name; got {self.bases}")
        put(self, "coefficients", as_float(self.coefficients, "coefficients"))
        if self.coefficients.ndim != 4 or len(self.coefficients) != count:
            raise DataError(
                f"coefficients: expected ({count}, n, l, k), for each element of the neighbours, got "
                f"{self.coefficients.shape}"
            )
        limits = (count, self.coefficients.shape[1], self.coefficients.shape[2] - 1, self.coefficients.shape[3])
        if not isinstance(self.components, Components) or self.components.limits != limits:
            put(self, "components", Components.of(self.components, *limits))
        if self.scales is not None:
            put(self, "scales", as_float(self.scales, "scales"))
            if self.scales.shape != (len(self.components),):
                raise DataError(f"scales: expected ({len(self.components)},), got {self.scales.shape}")
        if self.core is not None:
            put(self, "core", tuple((float(p), float(q)) for p, q in self.core))
            if len(self.core) != count:
                raise DataError(f"core: expected numbers for each of {count} elements, got {len(self.core)}")

    @classmethod
    def upgraded(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fields of a file, where bases and components are plain tuples."""
        elements, radials, degrees, functions = np.shape(values["coefficients"])[-4:]  # of committees: members in front
        components = Components.of(values["components"], elements, radials, degrees - 1, functions)
        return {**values, "components": components, "bases": tuple(RadialBasis(*basis) for basis in values["bases"])}

    @property
    def cutoff(self) -> float:
        return max(basis.cutoff for basis in self.bases)

    @property
    def kinks(self) -> tuple[float, ...]:
        ends = {basis.cutoff for basis in self.bases} | {basis.cutoff - basis.width for basis in self.bases}
        for basis in self.bases:
            if basis.inner > 0.0:
                ends |= {basis.inner, basis.inner - basis.inner_width}
        return tuple(sorted(end for end in ends if end > 0.0))

    @property
    def smoothness(self) -> int:
        least = min(smoothness(basis) for basis in self.bases)
        inner = any(basis.inner > 0.0 for basis in self.bases)
        fall = 1 if self.bases[0].name == "ChebExpCos" and any(basis.width > 0.0 for basis in self.bases) else 99
        return min(least, fall, 2 if inner else 99, 1 if self.core is not None else 99)

    @property
    def dimension(self) -> int:
        return len(self.components) + (self.core is not None)

    @property
    def orders(self) -> np.ndarray:
        """Number of factors of each component, (d,): a core has one."""
        return np.array([*(len(factors) for factors, _ in self.components), *([1] if self.core is not None else [])])

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """The one vector of an environment, (1, d), and its weight (1,)."""
        vector = self._of_sums(*self._sums(environment))
        return vector[None], jnp.asarray(self.describes(environment.number), vector.dtype)[None]

    def selected(self, places: AnyArray) -> "ClusterExpansion":
        """Expansion of some of the components, without the core unless that is among them."""
        count = len(self.components)
        here = [int(k) for k in places if k < count]
        return self.replace(
            components=tuple(self.components[k] for k in here),
            scales=None if self.scales is None else self.scales[np.array(here, int)],
            core=self.core if count in np.asarray(places) else None,
        )

    def projected(self, environment: Environment, coefficients: Array) -> Array:
        """() coefficients times the vector, by the products of the sums alone."""
        single, real, imaginary, core = self._sums(environment)
        parts, strength = self.components, coefficients[-1]
        if self.scales is not None:
            coefficients = coefficients[: len(parts)] * self.scales
        total = jnp.sum(single[parts.first] * coefficients[parts.of_one])
        if parts.products is not None:
            total = total + parts.products.weighted_sum(real, imaginary, coefficients[parts.of_more])
        if core is not None:
            total = total + core * strength
        return self.describes(environment.number) * total

    def projections(self, environment: Environment, directions: Array) -> Array:
        """Sums of the vector times directions, as of every descriptor; a core may follow those of all others."""
        parts = self.components
        if directions.shape[1] < len(parts):
            return super().projections(environment, directions)
        kind = species_index(self.species, environment.numbers)
        r = environment.distances
        if not parts and self.core is not None:  # radial functions need not be made
            core = self._core(kind, r)[None]
            weights = directions.astype(r.dtype)
            apart = directions.shape[1] == 0
            total = jnp.concatenate([jnp.zeros(len(weights), r.dtype), core]) if apart else weights[:, 0] * core
            return self.describes(environment.number) * total
        inverse = 1.0 / r
        vectors = (environment.x, environment.y, environment.z)
        # Slopes by each component are stored before they are read: else XLA repeats their sums.
        functions = polynomials(parts.l_max, *(materialised(a * inverse, r) for a in vectors))
        g, core = of_distances(self.bases, self.coefficients.shape[3], self.core, kind, materialised(r))
        moments = gemm(g, functions, turn_b=True).T  # ((L + 1)^2, e k)
        weights = directions[:, : len(parts)]
        if self.scales is not None:
            weights = weights * self.scales
        weights = weights.astype(r.dtype)
        single = jnp.zeros((len(directions), len(g)), g.dtype).at[:, parts.first].add(weights[:, parts.of_one])
        first, *sums = in_lanes(parts.contracted, self._contractions(g.dtype), moments.ravel())
        (total,) = in_lanes(_linear, (single,), first)
        if parts.forms is not None:
            total = total + in_lanes(parts.forms.sums, parts.forms.matrices(weights[:, parts.of_more]), *sums)[0]
        if self.core is not None:
            core = jnp.sum(core)[None]
            apart = directions.shape[1] == len(parts)
            total = jnp.concatenate([total, core]) if apart else total + directions[:, -1].astype(r.dtype) * core
        return self.describes(environment.number) * total

    def _contractions(self, dtype):
        """For each m, matrices (e, (n, l), (j, k)) that make A of moments."""
        parts = self.components
        results: list = []
        if parts.products is None:
            return ()
        for m, table in enumerate(harmonic_tables(parts.l_max)):
            radials, degrees = (np.array(column) for column in zip(*parts.at_order(m), strict=True))
            coefficients = self.coefficients[:, radials - 1, degrees].astype(dtype)  # (e, n l, k)
            by_j = jnp.asarray(table[degrees - m], dtype)  # (n l, j)
            joined = by_j[None, :, :, None] * coefficients[:, :, None, :]
            results.append(joined.reshape(len(coefficients), len(by_j), -1))
        return tuple(results)

    def jacobian(self, environment: Environment) -> tuple[Array, Array, Array, Array, Array]:
        """Derivatives of the sums by the neighbours, one neighbour at a time, and what the products make of them."""
        sums = self._sums(environment)
        vector, push = jax.linearize(self._of_sums, *sums)

        def of_one(x, y, z, number):
            """Addends of one neighbour to the sums."""
            r = jnp.sqrt(x * x + y * y + z * z)
            single = {"x": x[None], "y": y[None], "z": z[None], "distances": r[None], "numbers": number[None]}
            return self._sums(environment.replace(**single))

        places = (environment.x, environment.y, environment.z)
        slopes = jax.vmap(jax.jacfwd(of_one, argnums=(0, 1, 2)))(*places, environment.numbers)  # (K, ...) by axis
        changes = jnp.stack([
            jax.vmap(push)(*(None if part is None else part[axis] for part in slopes)) for axis in range(3)
        ], axis=1)  # (K, 3, d)
        weight = jnp.asarray(self.describes(environment.number), vector.dtype)
        count = len(environment.x)
        return (
            vector[None], weight[None], jnp.arange(count)[None], changes[None], jnp.zeros((1, count, 3), vector.dtype),
        )

    def _of_sums(self, single, real, imaginary, core=None):
        """Components of the sums over neighbours."""
        parts = self.components
        values = [single[parts.first]]
        if parts.products is not None:
            values.append(parts.products.each(real, imaginary))
        vector = jnp.concatenate(values)[parts.picked]
        if self.scales is not None:
            vector = vector * self.scales
        return vector if core is None else jnp.concatenate([vector, core[None]])

    def _sums(self, environment):
        """Sums over neighbours: of g, of the real and imaginary parts of A, and of the core."""
        kind = species_index(self.species, environment.numbers)
        r = environment.distances
        dtype = r.dtype
        count = self.coefficients.shape[3]
        g = radial_rows(self.bases, count, kind, r)
        ones = jnp.ones_like(r)
        single = product(g, ones)
        parts = self.components
        real, imaginary = [], []
        if parts.products is not None:
            harmonics = real_harmonics(parts.l_max, *(a / r for a in (environment.x, environment.y, environment.z)))
            table = jnp.zeros((len(parts.channels), len(self.species), count), dtype)
            elements, radials, degrees = (np.array(column) for column in zip(*parts.channels, strict=True))
            table = table.at[np.arange(len(parts.channels)), elements].set(
                self.coefficients[elements, radials - 1, degrees].astype(dtype)
            )
            radial = product(table.reshape(len(parts.channels), -1), g)
            for degree in range(parts.l_max + 1):
                rows = [k for k, channel in enumerate(parts.channels) if channel[2] == degree]
                if rows:
                    here = slice(rows[0], rows[-1] + 1)
                    a = product(radial[here], harmonics[degree])  # m = -1 ... -l, 0, 1 ... l
                    phases = math.sqrt(4.0 * math.pi) * np.array(
                        [1.0, *(math.sqrt(0.5) * (-1.0) ** m for m in range(1, degree + 1))]
                    )
                    phases = jnp.asarray(phases, dtype)
                    real.append((a[:, degree:] * phases).ravel())
                    minus = jnp.concatenate([jnp.zeros_like(a[:, :1]), a[:, :degree]], axis=1)
                    imaginary.append((minus * phases).ravel())
        joined = [jnp.concatenate(a) if a else jnp.zeros(0, dtype) for a in (real, imaginary)]
        return single, *joined, self._core(kind, r)

    def _core(self, kind, r):
        return None if self.core is None else jnp.sum(core_addends(self.bases, self.core, kind, r))

    def __repr__(self) -> str:
        return f"ClusterExpansion({self.dimension}, cutoff={self.cutoff:g} A)"


def _linear(matrices, rows):
    return (gemm(matrices[0], rows),)
