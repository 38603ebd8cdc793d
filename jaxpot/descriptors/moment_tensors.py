"""Moment tensors of the neighbours, and their contractions to scalars: the basis functions of MTP."""

from collections.abc import Iterable, Sequence

import jax.numpy as jnp

from jaxpot.basis.cutoffs import inside
from jaxpot.basis.polynomials import chebyshev_terms
from jaxpot.basis.unit_monomials import monomials
from jaxpot.core.fusion import materialised, rows
from jaxpot.core.gemm import gemm
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.numbers import as_length, as_number
from jaxpot.core.precision import as_float, product
from jaxpot.core.pytree import put, pytree, static
from jaxpot.core.row_products import row_squares
from jaxpot.descriptors.base import Descriptor, different_elements
from jaxpot.descriptors.moment_plan import moment_plan, products_table
from jaxpot.errors import DataError
from jaxpot.typing import Array, ArrayField

LARGEST_DEGREE = 20  # of a moment


@pytree
class MomentTensors(Descriptor):
    """One vector for an atom: scalars made of moments of its neighbours by multiplications and additions.

    Moments, for the radial functions f_m and exponents a, b, c of the unit vector to a neighbour,

        M_{m a b c} = sum_j f_m(r_j) (x_j / r_j)^a (y_j / r_j)^b (z_j / r_j)^c
        f_m(r) = s (R - r)^2 sum_k C_{ij m k} T_k((2 r - S - R) / (R - S)) below R, 0 beyond

    with Chebyshev polynomials T and coefficients C of the elements i of the atom and j of the neighbour. Products then
    say how further moments are sums of w M_p M_q. The polynomials continue below S.

    Args:
        radial: C, (elements, elements, radial functions, polynomials); the first is that of the atom.
        species: elements, in the order of C.
        cutoff, shortest: R and S, A.
        scaling: s, 1/A^2 for moments without a unit.
        basic: (m, a, b, c) of the moments that are sums over neighbours, which come first.
        products: (p, q, w, number of the moment) of each addend, whole numbers, the addends of a moment before its use
            as a factor; or the text of all numbers, which is what is kept: a text knows its hash.
        scalars: numbers of the moments that are the components.

    Raises:
        DataError: numbers that have no meaning.

    References:
        A. V. Shapeev, Multiscale Model. Simul. 14, 1153 (2016); I. S. Novikov et al., Mach. Learn.: Sci. Technol. 2,
        025002 (2021), equations 2 to 6; E. Podryabinkin et al., J. Chem. Phys. 159, 084112 (2023), equation 4.
    """

    radial: ArrayField
    species: tuple = static()
    cutoff: float = static()
    shortest: float = static()
    scaling: float = static()
    basic: tuple = static()
    products: str = static()
    scalars: tuple = static()

    one_vector = True
    smoothness = 1  # continuous derivatives of (R - r)^2 at R
    chunk_elements = 2400

    def __post_init__(self):
        put(self, "species", different_elements(self.species))
        put(self, "radial", as_float(self.radial, "radial"))
        for name in ("cutoff", "scaling", "shortest"):
            put(self, name, (as_length if name == "cutoff" else as_number)(getattr(self, name), name))
        count = len(self.species)
        if self.radial.ndim != 4 or self.radial.shape[:2] != (count, count) or 0 in self.radial.shape:
            raise DataError(
                f"radial: expected ({count}, {count}, functions, polynomials) numbers, got shape {self.radial.shape}"
            )
        if not self.shortest < self.cutoff:
            raise DataError(f"shortest: expected a length below the cutoff, {self.cutoff:g} A, got {self.shortest:g}")
        put(self, "basic", tuple(tuple(int(n) for n in moment) for moment in self.basic))
        put(self, "products", products_text(self.products))
        put(self, "scalars", tuple(int(n) for n in self.scalars))
        _check(self.basic, products_table(self.products), self.scalars, self.radial.shape[2])

    @property
    def dimension(self) -> int:
        return len(self.scalars)

    @property
    def kinks(self) -> tuple[float, ...] | None:
        return (self.cutoff,)

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """The one vector of an environment, (1, d), and its weight (1,)."""
        moments, places = self._moments(environment)
        vector = moments.at[places].get(mode="promise_in_bounds")
        return vector[None], jnp.ones(1, vector.dtype)

    def projected(self, environment: Environment, coefficients: Array) -> Array:
        """() coefficients times the vector: of all moments, so that its derivative is not scattered."""
        moments, places = self._moments(environment)
        return product(moments, jnp.zeros(moments.shape, coefficients.dtype).at[places].add(coefficients))

    def _moments(self, environment):
        """All moments in an order of their own, and the places of the components."""
        plan = moment_plan(self.basic, self.products, self.scalars)
        radial = self._radial(environment)
        inverse = 1.0 / environment.distances
        x, y, z = (materialised(along * inverse, inverse) for along in (environment.x, environment.y, environment.z))
        along_x = materialised(radial * x, x)
        powers = monomials(plan.highest, y, z)
        moments = jnp.concatenate([
            gemm(
                jnp.concatenate([radial[: block.plain], along_x[: block.along_x]]),
                jnp.concatenate([powers[degree] for degree in block.degrees]), turn_b=True,
            ).ravel()
            for block in plan.blocks
        ])
        if plan.others is not None:
            moments = jnp.concatenate([moments, plan.others(moments, jnp.ones(1, moments.dtype))])
        for table in plan.tables:
            moments = jnp.concatenate([moments, row_squares(table, moments)])
        return moments, plan.components

    def _radial(self, environment):
        """f_m at all neighbours, (functions, K)."""
        mask, r = inside(environment.distances, self.cutoff)
        length = self.cutoff - self.shortest
        t = (2.0 * r - (self.shortest + self.cutoff)) * (1.0 / length)
        fade = jnp.where(mask, self.scaling * (self.cutoff - r) ** 2, 0.0)
        terms = rows(chebyshev_terms(t, fade, self.radial.shape[3]))
        if len(self.species) == 1:
            return gemm(self.radial[0, 0], terms)
        kind = species_index(self.species, environment.numbers)
        of_atom = self.radial.at[species_index(self.species, environment.number)].get(mode="promise_in_bounds")
        terms = jnp.concatenate([jnp.where(kind == k, terms, 0.0) for k in range(len(self.species))])
        return gemm(jnp.moveaxis(of_atom, 0, 1).reshape(self.radial.shape[2], -1), terms)

    def __repr__(self) -> str:
        return f"MomentTensors({self.dimension}, cutoff={self.cutoff:g} A)"


def products_text(products: str | Iterable[Sequence[int]]) -> str:
    """Whole numbers as they are kept: one text."""
    if isinstance(products, str):
        return products
    return " ".join(str(int(number)) for row in products for number in row)


def _check(basic, products, scalars, functions):
    """Every moment is made, and before it is used."""
    for moment in basic:
        if len(moment) != 4 or min(moment) < 0 or moment[0] >= functions or sum(moment[1:]) > LARGEST_DEGREE:
            raise DataError(
                f"basic: expected a function below {functions} and three exponents of a sum up to {LARGEST_DEGREE}, "
                f"got {moment}"
            )
    if not basic or not scalars:
        raise DataError("expected one moment and one component at least")
    made, used = set(range(len(basic))), set(range(len(basic)))
    for p, q, _, target in products.tolist():
        if not {p, q} <= made or target in used or target in (p, q):
            raise DataError(
                f"products: {p} times {q} for {target}: expected factors that are complete before they are used"
            )
        made.add(target)
        used |= {p, q}
    missing = [number for number in scalars if number not in made]
    if missing:
        raise DataError(f"scalars: there is no moment {missing[0]}")
