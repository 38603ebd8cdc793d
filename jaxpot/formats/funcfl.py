"""EAM potentials of single elements in the funcfl format (LAMMPS `eam`), and their alloys."""

import numpy as np

from jaxpot.core.elements import symbol
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.record import Family, FileList, Format
from jaxpot.formats.setfl import read_grid
from jaxpot.formats.text import Lines
from jaxpot.potentials.eam import EAM
from jaxpot.typing import FilePath

_CHARGES = 27.2 * 0.529  # eV A: Z_i Z_j of the files is in hartree bohr, with the digits that LAMMPS gives them


def read_funcfl(*paths: FilePath) -> EAM:
    """Read `eam` files, one for each element; several make an alloy.

    The format: a title; a line with the atomic number, mass, lattice constant and type; n_rho, drho, n_r, dr and
    the cutoff; then F at n_rho points, the effective charge Z and the density f at n_r points. Each table begins on
    a new line. The pair term is phi_ij = 27.2 * 0.529 Z_i Z_j / r, between elements as within one.

    As in LAMMPS, all tables are interpolated (by cubics through four points) onto the coarsest steps and up to the
    largest ends among the files, one point short of these; the cutoff is the longest. One file is taken as it is,
    without its last points. From the last point kept to the end of the file the embedding energy is constant, and
    goes on from there as a straight line. (In that one step LAMMPS's forces are not the derivatives of its energy.)

    Args:
        paths: the files; their order is that of the elements.

    Returns:
        `EAM`.

    Raises:
        FormatError: not such a file, truncated, numbers missing, left over or not finite, an impossible grid.
        DataError: no files, or two of one element.
    """
    files = [_read(path) for path in paths]
    species = tuple(file["number"] for file in files)
    if not files or len(set(species)) < len(species):
        named = ", ".join(f"{path} ({symbol(z)})" for path, z in zip(paths, species, strict=True))
        raise DataError(f"expected files of distinct elements, got {named or 'none'}")
    drho, dr = (max(file[step] for file in files) for step in ("drho", "dr"))
    densest = max((file["F"].size - 1) * file["drho"] for file in files)
    n_rho = int(densest / drho + 0.5)
    n_r = int(max((file["Z"].size - 1) * file["dr"] for file in files) / dr + 0.5)
    charges = [_resampled(file["Z"], file["dr"], n_r, dr) for file in files]
    try:
        return EAM(
            embedding=np.array([_resampled(file["F"], file["drho"], n_rho, drho) for file in files]),
            density=np.array([_resampled(file["f"], file["dr"], n_r, dr) for file in files]),
            pair=np.array([_CHARGES * charges[i] * charges[j] for i in range(len(files)) for j in range(i + 1)]),
            drho=drho,
            dr=dr,
            cutoff=max(file["cutoff"] for file in files),
            species=species,
            line_from=max(densest, drho * (n_rho - 1)),
        )
    except DataError as error:
        raise FormatError(str(error), ", ".join(map(str, paths))) from error


def _read(path):
    lines = Lines(path)
    lines.check_units()
    lines.skip("title")
    words = lines.next("element")
    if len(words) < 2:
        raise lines.error(f"expected atomic number, mass, lattice constant and type, got {words[0]!r}", "element")
    number = lines.count(words[0], "atomic number", 1, 118)
    lines.number(words[1], "mass")
    n_rho, drho, n_r, dr, cutoff = read_grid(lines, lambda n_rho, n_r: n_rho + 2 * n_r)
    tables = {
        "F": lines.numbers(n_rho, "embedding"),
        "Z": lines.numbers(n_r, "effective charge"),
        "f": lines.numbers(n_r, "density"),
    }
    if lines.more():
        lines.next("end")
        raise lines.error("expected the end of the file, but there is more", "end")
    if cutoff > n_r * dr * (1.0 + 1e-9) and any(tables[name][-1] for name in "Zf"):
        end = f"{(n_r - 1) * dr:.6g} A and not with zero"
        raise lines.error(f"the cutoff ({cutoff} A) lies beyond the tables, which end at {end}", "cutoff", line=3)
    functions = {name: np.array(table) for name, table in tables.items()}
    return {"number": number, "drho": drho, "dr": dr, "cutoff": cutoff, **functions}


def _resampled(table, step, count, new_step):
    """A table at `count` points of another step: Lagrange's cubics through four neighbouring points."""
    x = np.arange(count) * new_step / step
    k = np.clip(x.astype(int), 1, table.size - 3)
    p = np.minimum(x - k, 2.0)
    return (
        -p * (p - 1.0) * (p - 2.0) / 6.0 * table[k - 1]
        + 0.5 * (p * p - 1.0) * (p - 2.0) * table[k]
        - 0.5 * p * (p + 1.0) * (p - 2.0) * table[k + 1]
        + p * (p * p - 1.0) / 6.0 * table[k + 2]
    )


def _looks_like_funcfl(head, path):
    """Whether the second line describes an element (Z mass a type), and the third a grid."""
    words = [line.split() for line in head.decode("latin-1").splitlines()[1:3]]
    return [len(line) for line in words] == [4, 5] and words[1][0].isdigit() and words[1][2].isdigit()


FORMAT = Format(
    name="EAM funcfl (.eam), or a list of them for an alloy",
    family=Family.EMBEDDED_ATOM,
    endings=(".eam", ".funcfl"),
    contents=_looks_like_funcfl,
    read=read_funcfl,
    files=FileList("EAM funcfl files (.eam), one for each element"),
)
