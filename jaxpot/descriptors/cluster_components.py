"""Components of the cluster expansion as a tuple, with tables for their evaluation."""

from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.harmonics import LARGEST_DEGREE
from jaxpot.basis.invariant_products import Invariant, InvariantProducts, invariant_products
from jaxpot.basis.product_forms import ProductForms
from jaxpot.core.gemm import gemm
from jaxpot.core.numbers import as_whole
from jaxpot.errors import DataError
from jaxpot.typing import Array

Factor = tuple[int, int, int]  # element (its place among the species), n from 1, l


class Components(tuple):
    """Components of a `ClusterExpansion` as a tuple, with what their evaluation needs: made and hashed once.

    Attributes:
        channels: (e, n, l) of the products, sorted by l.
        products: of more than one factor, or None.
        first: places among the g of the components of one factor.
        of_one, of_more: which components have one factor, and which more.
        limits: numbers of elements and of R_nl, highest l, and number of g that they were checked with.
        picked: places of the components when those of one factor come first.
    """

    first: np.ndarray
    of_one: np.ndarray
    of_more: np.ndarray
    picked: np.ndarray
    products: InvariantProducts | None
    channels: tuple[Factor, ...]
    l_max: int
    limits: tuple[int, int, int, int]

    @classmethod
    def of(cls, components: tuple, elements: int, radials: int, degree: int, functions: int) -> "Components":
        """Components that have been checked.

        Args:
            components: (factors (e, n, l), number of the coupling) each.
            elements, radials, degree, functions: how many elements, R_nl and g there are, and the highest l.

        Raises:
            DataError: factors or couplings that do not exist.
        """
        listed = cls(
            (tuple(sorted(tuple(as_whole(i, "factor", 0, 10**6) for i in factor) for factor in factors)), int(number))
            for factors, number in components
        )
        for factors, number in listed:
            one = len(factors) == 1
            most, top = (functions, 0) if one else (radials, min(degree, LARGEST_DEGREE))
            if not factors or (one and number):
                raise DataError(f"component {factors}, {number}: expected one factor or more, and a number that exists")
            for e, n, ell in factors:
                if e >= elements or not 1 <= n <= most or ell > top:
                    raise DataError(
                        f"component {factors}: expected elements below {elements}, n from 1 to {most}, l up to {top}"
                    )
        listed.of_one = np.array([k for k, (f, _) in enumerate(listed) if len(f) == 1], np.int32)
        listed.of_more = np.array([k for k, (f, _) in enumerate(listed) if len(f) > 1], np.int32)
        listed.first = np.array([f[0][0] * functions + f[0][1] - 1 for f, _ in listed if len(f) == 1], np.int32)
        listed.picked = np.argsort(np.concatenate([listed.of_one, listed.of_more]))
        listed.products, listed.channels = None, ()
        if len(listed.of_more):
            listed.products = invariant_products(tuple(
                Invariant(tuple(sorted((ell, e, n) for e, n, ell in listed[k][0])), listed[k][1])
                for k in listed.of_more
            ))
            listed.channels = tuple((e, n, ell) for ell, e, n in listed.products.channels)
        listed.limits = (elements, radials, degree, functions)
        listed.l_max = max((channel[2] for channel in listed.channels), default=0)
        return listed

    def at_order(self, m: int) -> list[tuple[int, int]]:
        """(n, l) with l >= m of which an element has products, sorted."""
        return sorted({(n, ell) for _, n, ell in self.channels if ell >= m})

    @cached_property
    def forms(self) -> ProductForms | None:
        """The products as forms of A: by m, element and (n, l)."""
        if self.products is None:
            return None
        singles = [
            ((ell, e, n), m)
            for m in range(self.l_max + 1) for e in range(self.limits[0]) for n, ell in self.at_order(m)
        ]
        return self.products.forms(singles)

    def contracted(self, tables: tuple[Array, ...], moments: Array) -> tuple[Array, ...]:
        """Sums of g, and, where there are tables, A of all m, real and imaginary part of each one after the other.

        For n atoms, for `core.lanes.in_lanes`.

        Args:
            tables: for each m, (e, (n, l), (j, k)).
            moments: (F e k, n) in the order of `basis.moments.places`.
        """
        n = moments.shape[1]
        elements, degree = self.limits[0], self.l_max
        if not tables:
            return (moments,)
        sizes = [1, degree] + [degree + 1 - m for m in range(1, degree + 1) for _ in range(2)]
        one = len(moments) // (degree + 1) ** 2
        first, *rest = jax.lax.split(moments, [size * one for size in sizes if size])
        real, *rest = [jnp.concatenate([first, *rest[:1]]), *rest[1:]] if degree else [first]
        columns = [(real, jnp.zeros_like(real)), *zip(rest[::2], rest[1::2], strict=True)]
        results = []
        for m, (table, parts) in enumerate(zip(tables, columns, strict=True)):
            both = jnp.stack(parts, axis=1).reshape(degree + 1 - m, elements, -1, 2 * n)  # (j, e, k, 2 n)
            both = jnp.moveaxis(both, 0, 1).reshape(elements, -1, 2 * n)
            results.append(gemm(table, both).reshape(-1, n))
        return first, jnp.concatenate(results)

    def __hash__(self) -> int:
        if not hasattr(self, "_hash"):
            self._hash = super().__hash__()
        return self._hash
