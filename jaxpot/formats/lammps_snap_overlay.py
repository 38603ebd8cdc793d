"""LAMMPS's include files of SNAP, `.snap`: the potential, and the sum with a repulsion of nuclei."""

import itertools
import os
import re
from pathlib import Path

from jaxpot.core.elements import atomic_number, symbol
from jaxpot.core.save import write_atomically
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.lammps_snap import read_snap
from jaxpot.formats.lammps_snap_write import write_snap
from jaxpot.formats.record import Family, Format
from jaxpot.formats.text import Lines, shown
from jaxpot.potentials.base import Potential, Sum, summands
from jaxpot.potentials.zbl import ZBL
from jaxpot.typing import FilePath

_ENDING = ".snap"
_MOST_TYPES = 118  # elements
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w))")


def read_overlay(path: FilePath) -> Potential:
    """Read an include file: `pair_style snap`, or `hybrid/overlay zbl INNER OUTER snap`, and their coefficients.

    Commands: variable (index, equal or string, a single value), pair_style, pair_coeff; & continues a line.

    Args:
        path: the file; those of coefficients and parameters that it names are beside it.

    Returns:
        The potential of `read_snap`, and with `zbl` the `Sum` with a `ZBL`.

    Raises:
        FormatError: another command or style, or a repulsion that is not that of all pairs of the elements.
    """
    lines = Lines(path)
    lines.check_units()
    variables: dict[str, str] = {}
    styles: dict[str, list[str]] = {}
    files, charges = None, {}
    for at, words in _commands(lines, variables):
        name, rest = words[0], words[1:]
        if name == "variable":
            if len(rest) != 3 or rest[1] not in ("index", "equal", "string"):
                raise lines.error("expected variable NAME index VALUE (or equal, string)", name, line=at)
            variables[rest[0]] = rest[2]
        elif name == "pair_style":
            styles = _styles(lines, at, rest)
        elif name == "pair_coeff":
            pair, rest = rest[:2], rest[2:]
            style = rest.pop(0) if len(styles) > 1 and rest else next(iter(styles), None)
            if style == "snap" and pair == ["*", "*"] and len(rest) > 2 and files is None:
                files = at, rest
            elif style == "zbl" and len(rest) == 2 and all(word.isdecimal() for word in pair):
                charges[tuple(sorted(lines.count(word, name, 1, _MOST_TYPES) for word in pair))] = at, rest
            else:
                raise lines.error(f"this is not read: {shown(' '.join(words))}", name, line=at)
        else:
            raise lines.error(f"expected variable, pair_style or pair_coeff; got {shown(name)}", line=at)
    if files is None:
        raise FormatError("expected pair_coeff * * with the files and the elements of SNAP", lines.path)
    return _assembled(lines, styles, *files, charges)


def _commands(lines, variables):
    """(number of the line, words) of each command, with the variables that are known by then."""
    while lines.more():
        words = lines.next("commands")
        at = lines.line
        while words[-1].endswith("&"):
            words[-1] = words[-1][:-1]
            words = [word for word in words if word] + lines.next("continued line")

        def replaced(match, at=at):
            name = match[1] or match[2]
            if name not in variables:
                raise lines.error(f"the variable {shown(name)} has no value", line=at)
            return variables[name]

        yield at, [_VARIABLE.sub(replaced, word) for word in words]


def _styles(lines, at, words):
    """Style -> its arguments."""
    if words == ["snap"]:
        return {"snap": []}
    if words[:1] == ["hybrid/overlay"] and sorted(words[1:])[-2:] == ["snap", "zbl"] and len(words) == 5:
        place = words.index("zbl")
        return {"zbl": words[place + 1 : place + 3], "snap": []}
    raise lines.error(
        f"expected snap, or hybrid/overlay zbl INNER OUTER snap; got {shown(' '.join(words))}", "pair_style", line=at
    )


def _assembled(lines, styles, at, words, charges):
    """SNAP, and the repulsion if there is one."""
    try:
        elements = [atomic_number(word) for word in words[2:]]
    except DataError as error:
        raise lines.error(str(error), "pair_coeff", line=at) from error
    snap = read_snap(*(lines.path.parent / name for name in words[:2]))
    if set(elements) != set(snap.species or ()) or len(elements) != len(set(elements)):
        raise lines.error(
            f"expected the elements of the coefficients, {' '.join(map(symbol, snap.species or ()))}, each once",
            "pair_coeff", line=at,
        )
    if "zbl" not in styles:
        return snap
    for pair in itertools.combinations_with_replacement(range(1, len(elements) + 1), 2):
        if pair not in charges:
            raise FormatError(f"expected pair_coeff {pair[0]} {pair[1]} zbl: it is missing", lines.path)
        where, given = charges.pop(pair)
        numbers = [lines.number(word, "pair_coeff") for word in given]
        if sorted(numbers) != sorted(elements[k - 1] for k in pair):
            raise lines.error(
                f"expected the atomic numbers of {' and '.join(symbol(elements[k - 1]) for k in pair)}, got "
                f"{' '.join(given)}", "pair_coeff", line=where,
            )
    if charges:
        raise lines.error(f"there are {len(elements)} types", "pair_coeff", line=next(iter(charges.values()))[0])
    try:
        inner, outer = (lines.positive(word, "zbl") for word in styles["zbl"])
        return Sum.of(snap, ZBL(inner, outer, tuple(elements)))
    except DataError as error:
        raise FormatError(str(error), lines.path) from error


def write_overlay(potential: Potential, path: FilePath) -> None:
    """Write an include file, with the files of SNAP beside it.

    Args:
        potential: what `write_snap` takes, or a sum of that with one `ZBL`.
        path: of the include file.

    Raises:
        DataError: what the format cannot express.
    """
    terms = list(summands(potential))
    repulsion = [term for term in terms if isinstance(term, ZBL)]
    others = [term for term in terms if not isinstance(term, ZBL)]
    rest = Sum.or_one(others) if others else potential
    if len(repulsion) > 1 or any(not one.is_universal for one in repulsion):
        raise DataError("an include file of SNAP holds one ZBL at most, with its universal parameters")
    path = Path(path)
    coefficients, parameters = (path.with_suffix(ending) for ending in (".snapcoeff", ".snapparam"))
    elements = rest.species or ()
    write_snap(rest, coefficients)
    lines = ["# written by jaxpot UNITS: metal", ""]
    style = ""
    for one in repulsion:
        lines.append(f"pair_style hybrid/overlay zbl {one.inner!r} {one.outer!r} snap")
        for i, j in itertools.combinations_with_replacement(range(len(elements)), 2):
            lines.append(f"pair_coeff {i + 1} {j + 1} zbl {elements[i]} {elements[j]}")
        style = "snap "
    if not repulsion:
        lines.append("pair_style snap")
    lines.append(f"pair_coeff * * {style}{coefficients.name} {parameters.name} {' '.join(map(symbol, elements))}")
    write_atomically(os.fspath(path), ("\n".join(lines) + "\n").encode())


FORMAT = Format(
    name=f"LAMMPS SNAP with its repulsion ({_ENDING})",
    family=Family.MACHINE_LEARNED,
    endings=(_ENDING,),
    read=read_overlay,
    write=write_overlay,
    written_as=(_ENDING,),
)
