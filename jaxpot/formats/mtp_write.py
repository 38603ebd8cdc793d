"""Writing moment tensor potentials as `.mtp` files of version 1.1.0."""

import os

import numpy as np

from jaxpot.core.save import write_atomically
from jaxpot.descriptors.moment_plan import products_table
from jaxpot.descriptors.moment_tensors import MomentTensors
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.constants import apart_from_constants
from jaxpot.potentials.described import Described
from jaxpot.readouts.linear import Linear
from jaxpot.typing import FilePath


def write_mtp(potential: Potential, path: FilePath) -> None:
    """Write a `.mtp` file for MLIP-2, MLIP-3 and motep; it does not name the elements, which become types 0, 1, ...

    Args:
        potential: one `Described` with `MomentTensors` and a `Linear`, and `Constants`, with factors.
        path: of the file.

    Raises:
        DataError: what the format cannot express, or a file that cannot be written.
    """
    energies, others = apart_from_constants(potential)
    terms = [(factor, term) for factor, term in others if isinstance(term, Described)]
    if len(others) != 1 or len(terms) != 1:
        raise DataError(f"{potential!r} has no place in a .mtp file: expected one Described, and Constants")
    factor, term = terms[0]
    descriptor, readout = term.descriptor, term.readout
    if not (isinstance(descriptor, MomentTensors) and isinstance(readout, Linear)):
        raise DataError(f"{term!r} has no place in a .mtp file: expected a Described with MomentTensors and a Linear")
    coefficients = factor * np.asarray(readout.delta, float) * np.asarray(readout.weights, float)
    write_atomically(os.fspath(path), _text(descriptor, energies, coefficients).encode())


def _text(descriptor, energies, coefficients):
    types, _, functions, size = descriptor.radial.shape
    products = products_table(descriptor.products).tolist()
    moments = 1 + max(len(descriptor.basic) - 1, *(row[3] for row in products), 0)
    lines = [
        "MTP", "version = 1.1.0", "potential_name = MTP1m", f"scaling = {descriptor.scaling!r}",
        f"species_count = {types}", "potential_tag = ", "radial_basis_type = RBChebyshev",
        f"\tmin_dist = {descriptor.shortest!r}", f"\tmax_dist = {descriptor.cutoff!r}",
        f"\tradial_basis_size = {size}", f"\tradial_funcs_count = {functions}", "\tradial_coeffs",
    ]
    for i, j in np.ndindex(types, types):
        lines += [f"\t\t{i}-{j}", *(f"\t\t\t{_listed(row)}" for row in np.asarray(descriptor.radial[i, j], float))]
    return "\n".join([
        *lines,
        f"alpha_moments_count = {moments}",
        f"alpha_index_basic_count = {len(descriptor.basic)}",
        f"alpha_index_basic = {_listed(map(_listed, descriptor.basic))}",
        f"alpha_index_times_count = {len(products)}",
        f"alpha_index_times = {_listed(map(_listed, products))}",
        f"alpha_scalar_moments = {len(descriptor.scalars)}",
        f"alpha_moment_mapping = {_listed(descriptor.scalars)}",
        f"species_coeffs = {_listed(energies.get(z, 0.0) for z in descriptor.species)}",
        f"moment_coeffs = {_listed(coefficients)}",
    ]) + "\n"


def _listed(values):
    """Values between braces: floats so that they are read back exactly."""
    return "{" + ", ".join(repr(float(v)) if isinstance(v, float) else str(v) for v in values) + "}"
