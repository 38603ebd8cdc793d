"""EAM potentials in the setfl format (LAMMPS `eam/alloy`)."""

import numpy as np

from jaxpot.core.elements import atomic_number
from jaxpot.errors import DataError
from jaxpot.formats.text import Lines
from jaxpot.potentials.eam import EAM

_MOST_ELEMENTS = 118


def read_setfl(path):
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
    lines = Lines(path)
    lines.check_units()
    for _ in range(3):
        lines.skip("title")
    symbols = _elements(lines)
    n_rho, drho, n_r, dr, cutoff = _grid(lines, len(symbols))
    pairs = [f"{symbols[i]}-{symbols[j]}" for i in range(len(symbols)) for j in range(i + 1)]

    embedding, density, pair = [], [], []
    for name in symbols:
        _element_line(lines, name)
        embedding.append(_table(lines, n_rho, f"embedding of {name}"))
        density.append(_table(lines, n_r, f"density of {name}"))
    for name in pairs:
        pair.append(_table(lines, n_r, f"pair term of {name}"))
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
    return EAM(
        embedding=np.array(embedding),
        density=np.array(density),
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


def _grid(lines, count):
    words = lines.next("grid")
    if len(words) != 5:
        line = " ".join(words)
        raise lines.error(f"expected n_rho drho n_r dr cutoff, got {len(words)} words: {line}", "grid")
    # A number and the space after it take two bytes: what the file cannot hold is not asked for.
    n_rho = lines.count(words[0], "n_rho", 5, lines.size)
    n_r = lines.count(words[2], "n_r", 5, lines.size)
    needed = count * (n_rho + n_r) + count * (count + 1) // 2 * n_r
    if 2 * needed > lines.size + 1:
        raise lines.error(
            f"the tables would hold {needed} numbers, more than fit into the {lines.size} bytes of this "
            "file: it is truncated, or the grid is wrong",
            "grid",
        )
    lengths = zip((words[1], *words[3:]), ("drho", "dr", "cutoff"), strict=True)
    drho, dr, cutoff = (lines.number(word, name) for word, name in lengths)
    for name, value in (("drho", drho), ("dr", dr), ("cutoff", cutoff)):
        if value <= 0.0:
            raise lines.error(f"expected a positive number, got {value}", name)
    return n_rho, drho, n_r, dr, cutoff


def _element_line(lines, name):
    field = f"line of {name}"
    words = lines.next(field)
    if len(words) < 3:
        raise lines.error(
            f"expected atomic number, mass, lattice constant and type, got {' '.join(words)!r}", field
        )
    lines.count(words[0], field, 0, 10**6)
    for word in words[1:3]:
        lines.number(word, field)


def _table(lines, count, field):
    values = []
    while len(values) < count:
        values += [lines.number(word, field) for word in lines.next(field)]
    if len(values) > count:
        raise lines.error(f"expected {count} numbers; this line holds {len(values) - count} too many", field)
    return values
