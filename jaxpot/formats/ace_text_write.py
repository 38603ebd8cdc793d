"""Writing ACE potentials as PACE's older text files `.ace`."""

import os

import numpy as np

from jaxpot.core.elements import symbol
from jaxpot.core.save import write_atomically
from jaxpot.errors import DataError
from jaxpot.formats.ace_expansion import expansion_of
from jaxpot.formats.ace_parts import Function
from jaxpot.formats.ace_write import BINS
from jaxpot.potentials.base import Potential
from jaxpot.typing import FilePath


def write_ace(potential: Potential, path: FilePath) -> None:
    """Write the file.

    Args:
        potential: see `ace_expansion.expansion_of`; of one element, without an inner cutoff.
        path: of the file.

    Raises:
        DataError: what the format cannot express, or a file that cannot be written.
    """
    expansion = expansion_of(potential)
    if len(expansion.species) > 1:
        names = ", ".join(map(symbol, expansion.species))
        raise DataError(f"PACE reads .ace files of one element alone, this potential has {names}; save it as .yace")
    embedding, bond, listed = expansion.embeddings[0], expansion.bonds[0, 0], expansion.functions[0]
    basis = bond.basis
    if basis.inner > 0.0:
        raise DataError(f"an .ace file has no inner cutoff, this potential has {basis.inner:g} A; save it as .yace")
    table = np.moveaxis(bond.coefficients, -1, 0)
    functions, radials, degrees = table.shape
    factors = [x for pair in zip(embedding.factors, embedding.exponents, strict=True) for x in pair]
    singles, products = ([one for one in listed if (len(one.elements) == 1) == single] for single in (True, False))
    lines = [
        "nelements=1",
        f"elements: {symbol(expansion.species[0])}",
        f"lmax={degrees - 1}",
        f"embedding-function: {embedding.form}",
        f"{len(factors)} FS parameters: {_row(factors)}",
        f"core energy-cutoff parameters: {_row(embedding.core)}",
        f"E0: {_row(expansion.energies)}",
        f"radbasename={basis.name}",
        f"nradbase={functions}",
        f"nradmax={radials}",
        f"cutoffmax={basis.cutoff!r}",
        f"deltaSplineBins={BINS}",
        f"core repulsion parameters: {_row(bond.core)}",
        f"radparameter= {basis.parameter!r}",
        f"cutoff= {basis.cutoff!r}",
        f"dcut= {basis.width!r}",
        "crad= " + "\n ".join(_row(row) for row in table.reshape(-1, degrees)),
        f"rankmax={max(len(one.elements) for one in listed)}",
        f"ndensitymax={len(embedding.factors)}",
        f"num_c_tilde_max={len(listed)}",
        f"num_ms_combinations_max={max(len(one.orders) for one in listed)}",
        f"total_basis_size_rank1: {len(singles)}",
        *map(_function, singles),
        f"total_basis_size: {len(products)}",
        *map(_function, products),
    ]
    write_atomically(os.fspath(path), ("\n".join(lines) + "\n").encode())


def _function(function: Function) -> str:
    """Lines of a function."""
    rank, densities = len(function.elements), function.coefficients.shape[1]
    rows = (
        f"< {' '.join(map(str, orders))} >: {_row(row)}"
        for orders, row in zip(function.orders.tolist(), function.coefficients, strict=True)
    )
    elements, radials, degrees = (
        " ".join(map(str, numbers)) for numbers in (function.elements, function.radials, function.degrees)
    )
    return "\n".join((
        f"ctilde_basis_func: rank={rank} ndens={densities} mu0=0 mu=( {elements} )", f"n=( {radials} )",
        f"l=( {degrees} )", f"num_ms={len(function.orders)}", *rows,
    ))


def _row(numbers):
    """Numbers that are read back to the last bit."""
    return " ".join(repr(float(x)) for x in numbers)
