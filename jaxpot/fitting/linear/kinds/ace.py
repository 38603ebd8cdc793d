"""The atomic cluster expansion in recipes."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxpot.basis.invariant_products import HIGHEST_ORDER
from jaxpot.basis.radial_bases import NAMES, RadialBasis, orthonormal_coefficients
from jaxpot.descriptors import ClusterExpansion
from jaxpot.descriptors.component_sets import components_by_orders, smooth_scales
from jaxpot.errors import FormatError
from jaxpot.fitting.linear.core_repulsion import with_core
from jaxpot.fitting.linear.kinds.base import Kind, Measures, has_weights, one_of, too_many, true_or_false, whole_from
from jaxpot.fitting.recipe_files import checked_number
from jaxpot.kernels import DotProduct

_BY_ORDERS = {"nradmax_by_orders": 1, "lmax_by_orders": 0, "degree_by_orders": 0}  # and the least of each


def _by_orders(least):
    """Check of whole numbers, one for each number of factors."""
    def check(value, file, where):
        counts = value if isinstance(value, list) else []
        if not 1 <= len(counts) <= HIGHEST_ORDER or any(type(c) is not int or c < least for c in counts):
            raise FormatError(
                f"expected whole numbers from {least}, one for each number of factors up to {HIGHEST_ORDER}, got "
                f"{value!r}", file=file, field=where,
            )

    return check


def _lambda(value: Any, file: str, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value:
        raise FormatError(f"lambda: expected a number other than 0, got {value!r}", file=file, field=where)


def _whole(table: dict, file: str, where: str) -> None:
    has_weights(table, file, where)
    if "max_weights" in table and "degree_by_orders" not in table:
        raise FormatError("max_weights lowers degree_by_orders, which is not given", file=file, field=where)
    if len({len(table[key]) for key in _BY_ORDERS if key in table}) > 1:
        message = f"{', '.join(_BY_ORDERS)}: expected as many numbers in one as in the others"
        raise FormatError(message, file=file, field=where)


def _components(table, elements):
    return components_by_orders(elements, *(table.get(name) for name in _BY_ORDERS))


def _with_fewer(table: dict, species: tuple[int, ...]) -> dict:
    """Table of degrees as high as the weights of all elements allow; those of single neighbors stay."""
    if "max_weights" not in table:
        return table
    elements, (first, *totals), fewer = len(species), table["degree_by_orders"], None
    for less in range(max(totals, default=0), -1, -1):  # from few on: of many elements, all would be millions
        higher = table | {"degree_by_orders": [first, *(max(total - less, 0) for total in totals)]}
        if elements * len(_components(higher, elements)) > table["max_weights"]:
            break
        fewer = higher
    if fewer is None:
        raise too_many(table, elements)
    return fewer


def _descriptors(table: dict, measures: Measures) -> Iterator[ClusterExpansion]:
    """Invariants of the densities of all elements; radial functions are orthonormal from nine tenths of a bond on."""
    species, radials, degrees = measures.species, table["nradmax_by_orders"], table["lmax_by_orders"]
    components = _components(table, len(species))
    basis = RadialBasis(
        table.get("radbase", "ChebExpCos"), float(table.get("radparameter", -1.0)), table["cutoff"] * measures.unit,
    )
    lowest = min(0.9 * measures.bond, 0.5 * basis.cutoff)
    radial = orthonormal_coefficients(basis, max(radials), lowest)
    coefficients = np.repeat(radial[:, None], max(degrees) + 1, axis=1)
    scales: Any = smooth_scales(components, table.get("smoothness", 2.0), table.get("neighbors", 12.0))
    for z in species:
        bases = (basis,) * len(species)
        if table.get("core", False):
            bases = tuple(with_core(basis, measures.shortest[min(z, other), max(z, other)]) for other in species)
        yield ClusterExpansion(species, components, bases, np.stack([coefficients] * len(species)), (z,), scales)


KIND = Kind(
    keys={
        **{name: _by_orders(least) for name, least in _BY_ORDERS.items()}, "radparameter": _lambda,
        "radbase": one_of(NAMES), "smoothness": checked_number, "neighbors": checked_number, "core": true_or_false,
        "components": whole_from(1), "max_weights": whole_from(1), "zeta": checked_number,
    },
    needed=frozenset({"cutoff", "nradmax_by_orders", "lmax_by_orders"}), descriptors=_descriptors,
    kernel=lambda table, unit: DotProduct(table.get("zeta", 4)), of_processes=frozenset({"zeta"}), whole=_whole,
    orders=lambda table, descriptor: descriptor.orders,
    orders_of=lambda table: list(range(1, len(table["nradmax_by_orders"]) + 1)), with_fewer=_with_fewer,
)
