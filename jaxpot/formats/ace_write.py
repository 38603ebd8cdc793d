"""Writing ACE potentials as PACE's `.yace`."""

import os

import numpy as np

from jaxpot.core.elements import symbol
from jaxpot.core.save import write_atomically
from jaxpot.formats.ace_expansion import expansion_of
from jaxpot.formats.ace_parts import Bond, Embedding, Function
from jaxpot.potentials.base import Potential
from jaxpot.typing import FilePath

BINS = 0.001  # A, of the tables that PACE makes of radial functions


def write_yace(potential: Potential, path: FilePath) -> None:
    """Write the file.

    Args:
        potential: see `ace_expansion.expansion_of`.
        path: of the file.

    Raises:
        DataError: what the format cannot express, or a file that cannot be written.
    """
    expansion = expansion_of(potential)
    kind = "distance" if any(bond.basis.inner > 0.0 for bond in expansion.bonds.values()) else "density"
    lines = [
        f"elements: [{', '.join(map(symbol, expansion.species))}]",
        f"E0: {_list(expansion.energies)}",
        f"deltaSplineBins: {BINS}",
        "embeddings:",
        *(f"  {e}: {_embedding(embedding)}" for e, embedding in expansion.embeddings.items()),
        "bonds:",
        *(f"  [{e}, {k}]: {_bond(bond, kind)}" for (e, k), bond in expansion.bonds.items()),
        "functions:",
    ]
    for e, functions in expansion.functions.items():
        lines += [f"  {e}:", *(f"    - {_function(e, function)}" for function in functions)]
    write_atomically(os.fspath(path), ("\n".join(lines) + "\n").encode())


def _embedding(embedding: Embedding) -> str:
    numbers = [x for pair in zip(embedding.factors, embedding.exponents, strict=True) for x in pair]
    cut, width = embedding.core
    return (
        f"{{ndensity: {len(embedding.factors)}, FS_parameters: {_list(numbers)}, npoti: {embedding.form}, "
        f"rho_core_cutoff: {cut!r}, drho_core_cutoff: {width!r}}}"
    )


def _bond(bond: Bond, kind: str) -> str:
    basis, (strength, decay) = bond.basis, bond.core
    radials, degrees, functions = bond.coefficients.shape
    rows = ", ".join("[" + ", ".join(map(_list, of_radial)) + "]" for of_radial in bond.coefficients)
    return (
        f"{{nradmax: {radials}, lmax: {degrees - 1}, nradbasemax: {functions}, radbasename: {basis.name}, "
        f"radparameters: [{basis.parameter!r}], radcoefficients: [{rows}], prehc: {strength!r}, lambdahc: {decay!r}, "
        f"rcut: {basis.cutoff!r}, dcut: {basis.width!r}, rcut_in: {basis.inner!r}, dcut_in: {basis.inner_width!r}, "
        f"inner_cutoff_type: {kind}}}"
    )


def _function(element: int, function: Function) -> str:
    products, densities = function.coefficients.shape
    return (
        f"{{mu0: {element}, rank: {len(function.elements)}, ndensity: {densities}, num_ms_combs: {products}, mus: "
        f"{list(function.elements)}, ns: {list(function.radials)}, ls: {list(function.degrees)}, ms_combs: "
        f"{function.orders.ravel().tolist()}, ctildes: {_list(np.ravel(function.coefficients))}}}"
    )


def _list(numbers):
    """Numbers that are read back to the last bit."""
    return "[" + ", ".join(repr(float(x)) for x in numbers) + "]"
