"""EAM potentials in the setfl format (LAMMPS `eam/alloy`), and with densities of pairs (`eam/fs`)."""

from collections.abc import Callable

import numpy as np

from jaxpot.core.elements import atomic_number
from jaxpot.errors import DataError
from jaxpot.formats.record import Family, Format
from jaxpot.formats.text import Lines
from jaxpot.potentials.eam import EAM
from jaxpot.typing import FilePath

_MOST_ELEMENTS = 118


def read_setfl(path: FilePath) -> EAM:
    """Read an `eam/alloy` file.

    The format: three lines of title; the number of elements and their symbols; n_rho, drho, n_r, dr and the
    cutoff; for each element one line (atomic number, mass, lattice constant, lattice type), F at n_rho
    points and f at n_r points; then r phi at n_r points for the pairs 1-1, 2-1, 2-2, 3-1, ... Each table
    begins on a new line, and its numbers may stand on lines of any length.

    Args:
        path: the file.

    Returns:
        `EAM` with the elements in the order of the file. The atomic number in the line of an element is not
        used: published files give wrong ones, and LAMMPS goes by the symbol too.

    Raises:
        FormatError: not such a file, truncated, numbers missing, left over or not finite, an impossible grid.
    """
    return _read(path, of_pairs=False)


def read_setfl_fs(path: FilePath) -> EAM:
    """Read an `eam/fs` file: as `read_setfl`, but F of an element is followed by its density at each element.

    Returns:
        `EAM` with the densities of pairs.
    """
    return _read(path, of_pairs=True)


def _read(path, of_pairs):
    lines = Lines(path)
    lines.check_units()
    for _ in range(3):
        lines.skip("title")
    symbols = _elements(lines)
    sites = symbols if of_pairs else [None]
    pairs = [f"{symbols[i]}-{symbols[j]}" for i in range(len(symbols)) for j in range(i + 1)]
    n_rho, drho, n_r, dr, cutoff = read_grid(
        lines, lambda n_rho, n_r: len(symbols) * (n_rho + len(sites) * n_r) + len(pairs) * n_r
    )

    embedding, density, pair = [], [], []
    for name in symbols:
        _element_line(lines, name)
        embedding.append(lines.numbers(n_rho, f"embedding of {name}"))
        for site in sites:
            density.append(lines.numbers(n_r, f"density of {name}" + (f" at {site}" if site else "")))
    for name in pairs:
        pair.append(lines.numbers(n_r, f"pair term of {name}"))
    if lines.more():
        lines.next("end")
        raise lines.error("expected the end of the file, but there is more", "end")

    ends = [table[-1] for table in (*density, *pair)]
    if cutoff > n_r * dr * (1.0 + 1e-9) and any(ends):
        raise lines.error(
            f"the cutoff ({cutoff} A) lies beyond the tables, which end at {(n_r - 1) * dr:.6g} A "
            "and not with zero",
            "cutoff",
            line=5,
        )
    count = len(symbols)
    return EAM(
        embedding=np.array(embedding),
        density=np.array(density).reshape((count, count, n_r) if of_pairs else (count, n_r)),
        pair=np.array(pair),
        drho=drho,
        dr=dr,
        cutoff=cutoff,
        species=tuple(symbols),
    )


def _elements(lines):
    words = lines.next("elements")
    count = lines.count(words[0], "number of elements", 1, _MOST_ELEMENTS)
    symbols = words[1:]
    if len(symbols) != count:
        named = " ".join(symbols)
        raise lines.error(f"{count} elements are announced, but {len(symbols)} named: {named}", "elements")
    if len(set(symbols)) != count:
        raise lines.error(f"an element is named twice: {' '.join(symbols)}", "elements")
    for name in symbols:
        try:
            atomic_number(name)
        except DataError as error:
            raise lines.error(str(error), "elements") from error
    return symbols


def read_grid(lines: Lines, needed: Callable[[int, int], int]) -> tuple[int, float, int, float, float]:
    """n_rho, drho, n_r, dr and the cutoff; `needed(n_rho, n_r)` is how many numbers must follow."""
    words = lines.next("grid")
    if len(words) != 5:
        line = " ".join(words)
        raise lines.error(f"expected n_rho drho n_r dr cutoff, got {len(words)} words: {line}", "grid")
    # A number and the space after it take two bytes: what the file cannot hold is not asked for.
    n_rho = lines.count(words[0], "n_rho", 5, lines.size)
    n_r = lines.count(words[2], "n_r", 5, lines.size)
    if 2 * needed(n_rho, n_r) > lines.size + 1:
        raise lines.error(
            f"the tables would hold {needed(n_rho, n_r)} numbers, more than fit into the {lines.size} bytes of this "
            "file: it is truncated, or the grid is wrong",
            "grid",
        )
    lengths = zip((words[1], *words[3:]), ("drho", "dr", "cutoff"), strict=True)
    drho, dr, cutoff = (lines.positive(word, name) for word, name in lengths)
    return n_rho, drho, n_r, dr, cutoff


def _element_line(lines, name):
    field = f"line of {name}"
    words = lines.next(field)
    if len(words) < 3:
        raise lines.error(
            f"expected atomic number, mass, lattice constant and type, got {' '.join(words)!r}", field
        )
    if "." in words[0]:
        hint = "if this is an eam/fs file, with densities of pairs, its name must end with .fs"
        raise lines.error(f"expected a whole number, the atomic number, got {words[0]!r}; {hint}", field)
    lines.count(words[0], field, 0, 10**6)
    for word in words[1:3]:
        lines.number(word, field)


def _looks_like_setfl(head, path):
    """Whether the fourth line names as many elements as it announces, and the fifth has the five numbers of a grid."""
    words = [line.split() for line in head.decode("latin-1").splitlines()[3:5]]
    return len(words) == 2 and len(words[1]) == 5 and words[0][:1] == [str(len(words[0]) - 1)]


FORMAT = Format(
    name="EAM setfl (.eam.alloy)",
    family=Family.EMBEDDED_ATOM,
    endings=(".eam.alloy", ".alloy", ".setfl"),
    contents=_looks_like_setfl,
    read=read_setfl,
)
FORMAT_OF_PAIRS = Format(
    name="EAM setfl with densities of pairs (.eam.fs)",
    family=Family.EMBEDDED_ATOM,
    endings=(".eam.fs", ".fs"),
    read=read_setfl_fs,
)
