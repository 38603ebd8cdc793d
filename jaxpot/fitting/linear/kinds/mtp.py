"""Moment tensors in recipes."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxpot.descriptors import MomentTensors
from jaxpot.descriptors.moment_levels import moments_of_level, orthonormal_polynomials
from jaxpot.errors import DataError, FormatError
from jaxpot.fitting.linear.kinds.base import Kind, Measures, anything, whole_from

REFINED, SCALES = "radial", "scales"  # what `radial_refinement.refined` puts into a term
_POLYNOMIALS = 8
_SHORTEST = 0.75  # of a bond: about the shortest distances of data with hot liquids


def _whole(table: dict, file: str, where: str) -> None:
    readout = table.get("readout")
    if readout != "linear":
        message = f'mtp: expected "linear", got {readout or "gaussian process"!r}'
        raise FormatError(message, file=file, field=f"{where}, readout")
    try:
        basis = moments_of_level(table["level"])
        orthonormal_polynomials(basis.functions, table.get("radial_basis_size", _POLYNOMIALS), 1.0, 2.0)
    except DataError as error:
        raise FormatError(str(error), file=file, field=where) from error


def _descriptors(table: dict, measures: Measures) -> Iterator[MomentTensors]:
    """Moments of all elements, with radial functions that fit the data, or those that a refinement begins with."""
    basis, species = moments_of_level(table["level"]), measures.species
    cutoff = table["cutoff"] * measures.unit
    shortest = min(_SHORTEST * measures.bond, 0.5 * cutoff)
    radial = table.get(REFINED)
    if radial is None:
        one = orthonormal_polynomials(basis.functions, table.get("radial_basis_size", _POLYNOMIALS), shortest, cutoff)
        radial = np.broadcast_to(one, (len(species),) * 2 + one.shape)
    scaling = (cutoff - shortest) ** -2
    products: Any = basis.products  # the constructor makes a text of them
    yield MomentTensors(np.array(radial), species, cutoff, shortest, scaling, basis.basic, products, basis.scalars)


KIND = Kind(
    keys={"level": anything, "radial_basis_size": whole_from(1)}, needed=frozenset({"cutoff", "level"}),
    descriptors=_descriptors, whole=_whole, orders=lambda table, descriptor: moments_of_level(table["level"]).orders,
    orders_of=lambda table: sorted(set(moments_of_level(table["level"]).orders)), from_fit=frozenset({REFINED, SCALES}),
    scales=lambda table: tuple(table[SCALES]) if SCALES in table else None,
)
