"""SNAP potentials in LAMMPS's files: `.snapcoeff`, the coefficients, and `.snapparam`, what they belong to."""

from pathlib import Path

import numpy as np

from jaxpot.core.elements import atomic_number, symbol
from jaxpot.descriptors.bispectrum import FLAGS, LARGEST_TWOJMAX, Bispectrum
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.lammps_snap_write import write_snap
from jaxpot.formats.record import Family, FileList, Format
from jaxpot.formats.text import Lines, shown
from jaxpot.potentials.base import Potential, Sum
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.described import Described
from jaxpot.readouts.linear import Linear
from jaxpot.readouts.quadratic import Quadratic
from jaxpot.typing import FilePath

COEFFICIENTS, PARAMETERS = ".snapcoeff", ".snapparam"
_OTHER_FLAGS = ("quadraticflag", "switchinnerflag")
_NUMBERS = ("rcutfac", "rfac0", "rmin0")
_OF_ELEMENTS = ("sinner", "dinner")
_OF_SPEED = ("chunksize", "parallelthresh")  # how LAMMPS computes, not what
_NOT_KEPT = (*_OF_SPEED, "diagonalstyle", "switchinnerflag")


def read_snap(path: FilePath, parameters: FilePath | None = None) -> Potential:
    """Read SNAP from its two files, in any order; of one, the other is that of the same name beside it.

    E = sum_i [c_0 + c . B_i (+ B_i . A B_i / 2)], by element, with the components B_i of a `Bispectrum`. The
    coefficients, after # comments: how many elements and coefficients; for each element its symbol, R and w, and the
    coefficients, one a line. The parameters: a keyword and its value a line.

    Args:
        path: one of the files.
        parameters: the other one.

    Returns:
        `Sum` of a `Described` (a `Bispectrum` with a `Linear` or a `Quadratic`) for each element, and `Constants`.

    Raises:
        FormatError: no such files, keywords that are not known, numbers that are missing or impossible, or files that
            do not belong together.

    References:
        A. P. Thompson et al., J. Comput. Phys. 285, 316 (2015); M. A. Wood, A. P. Thompson, J. Chem. Phys. 148, 241721
        (2018); documentation of LAMMPS, `pair_style snap` and `compute sna/atom`.
    """
    coefficients, told = _both(Path(path), None if parameters is None else Path(parameters))
    lines = Lines(told)
    lines.check_units()
    settings, at = read_parameters(lines)
    quadratic = settings.pop("quadraticflag")
    lines = Lines(coefficients)
    lines.check_units()
    elements = _read_elements(lines)
    species = tuple(elements)
    radii, weights = (tuple(elements[z][k] for z in species) for k in (0, 1))
    for name in _OF_ELEMENTS:
        given = settings.get(name)
        if given is not None and len(given) != len(species):
            raise FormatError(
                f"expected {len(species)} numbers, one for each element, got {len(given)}", told, at[name], name
            )
    try:
        descriptor = Bispectrum(species, radii=radii, weights=weights, **settings)
        count = descriptor.dimension
        expected = 1 + (count * (count + 3) // 2 if quadratic else count)
        got = len(elements[species[0]][2])
        if got != expected:
            raise FormatError(
                f"expected {expected} coefficients of each element, those that {told.name} tells (twojmax "
                f"{descriptor.twojmax}, {'quadratic' if quadratic else 'linear'}), got {got}: the files do not belong "
                "together", coefficients,
            )
        make = Quadratic if quadratic else Linear
        terms: list[Potential] = [
            Described(descriptor.replace(centers=(z,)), make(elements[z][2][1:]), species) for z in species
        ]
    except DataError as error:
        raise FormatError(str(error), told) from error
    first = {z: float(elements[z][2][0]) for z in species}
    return Sum.of(*terms, Constants(first, isolated=descriptor.bzeroflag))


def _both(path, other):
    """The file of coefficients and that of parameters."""
    if other is None:
        ending = PARAMETERS if path.suffix.lower() == COEFFICIENTS else COEFFICIENTS
        other = path.with_suffix(ending)
        if not other.exists():
            raise FormatError(f"expected {other.name} beside this file; or give both, as a list", path)
    files = {one.suffix.lower(): one for one in (path, other)}
    if set(files) != {COEFFICIENTS, PARAMETERS}:
        names = f"{path.name} and {other.name}"
        raise FormatError(f"expected one file {COEFFICIENTS} and one {PARAMETERS}, got {names}", path)
    return files[COEFFICIENTS], files[PARAMETERS]


def read_parameters(lines: Lines) -> tuple[dict, dict[str, int]]:
    """Keywords of a `Bispectrum` and "quadraticflag", and the line that each stands on."""
    settings: dict = {}
    where: dict[str, int] = {}
    while lines.more():
        name, *words = lines.next("parameters")
        if name in where:
            raise lines.error(f"given before, on line {where[name]}", name)
        where[name] = lines.line
        settings[name] = _value(lines, name, words)
    for name in ("rcutfac", "twojmax"):
        if name not in settings:
            raise FormatError(f"expected {name}: it is missing", lines.path)
    inner = settings.get("switchinnerflag", False)
    given = [name for name in _OF_ELEMENTS if name in settings]
    if inner and len(given) < len(_OF_ELEMENTS) or not inner and given:
        raise FormatError("expected sinner and dinner if switchinnerflag is 1, and neither otherwise", lines.path)
    settings = {"quadraticflag": False} | settings
    return {name: value for name, value in settings.items() if name not in _NOT_KEPT}, where


def _value(lines, name, words):
    """The value of a keyword."""
    if name in _OF_ELEMENTS:
        return tuple(lines.number(word, name) for word in words)
    known = (*_NUMBERS, "twojmax", "diagonalstyle", *FLAGS, *_OTHER_FLAGS, *_OF_SPEED)
    if name not in known:
        raise lines.error(f"expected one of {', '.join(known)}, {', '.join(_OF_ELEMENTS)}; got {shown(name)}", name)
    if len(words) != 1:
        raise lines.error(f"expected one value, got {len(words)}", name)
    word = words[0]
    if name in _NUMBERS:
        return lines.number(word, name) if name == "rmin0" else lines.positive(word, name)
    if name == "twojmax":
        return lines.count(word, name, 0, LARGEST_TWOJMAX)
    if name == "diagonalstyle":  # of old files: 3 is what LAMMPS does now
        return lines.count(word, name, 3, 3)
    if name in _OF_SPEED:
        return lines.number(word, name)
    return bool(lines.count(word, name, 0, 1))


def _read_elements(lines):
    """Atomic number -> (R, w, coefficients)."""
    words = lines.next("number of elements and of coefficients")
    if len(words) != 2:
        raise lines.error(f"expected the numbers of elements and of coefficients, got {len(words)} words")
    count = lines.count(words[0], "number of elements", 1, 118)
    size = lines.count(words[1], "number of coefficients", 1, max(1, lines.size))
    elements: dict = {}
    for _ in range(count):
        words = lines.next("element")
        if len(words) != 3:
            got = shown(" ".join(words))
            raise lines.error(f"expected an element, its radius and its weight; got {got}", "element")
        try:
            z = atomic_number(words[0])
        except DataError as error:
            raise lines.error(str(error), "element") from error
        if z in elements:
            raise lines.error("given before", symbol(z))
        radius, weight = lines.positive(words[1], "radius"), lines.number(words[2], "weight")
        values = np.empty(size)
        for k in range(size):
            numbers = lines.next(f"coefficient {k + 1} of {symbol(z)}")
            if len(numbers) != 1:
                raise lines.error(f"expected one number, got {len(numbers)}", f"coefficient {k + 1} of {symbol(z)}")
            values[k] = lines.number(numbers[0], f"coefficient {k + 1} of {symbol(z)}")
        elements[z] = radius, weight, values
    if lines.more():
        lines.next("end")
        raise lines.error(f"expected the end of the file after {count} elements with {size} coefficients")
    return elements


FORMAT = Format(
    name=f"LAMMPS SNAP ({COEFFICIENTS} with {PARAMETERS})",
    family=Family.MACHINE_LEARNED,
    endings=(COEFFICIENTS, PARAMETERS),
    read=read_snap,
    files=FileList(f"the coefficients ({COEFFICIENTS}) and the parameters ({PARAMETERS}) of SNAP", count=2),
    write=write_snap,
    written_as=(COEFFICIENTS,),
)
