"""Tersoff potentials in LAMMPS's `.tersoff` files."""

import itertools
import re

import numpy as np

from jaxpot.core.elements import atomic_number, symbol
from jaxpot.errors import DataError
from jaxpot.formats.lammps_triplets import check_complete, read_entries
from jaxpot.formats.record import SPECIES, Family, Format
from jaxpot.formats.text import SMALLEST, Lines
from jaxpot.potentials.tersoff_triplets import TersoffTriplets
from jaxpot.typing import Elements, FilePath

FIELDS = ("m", "gamma", "lambda3", "c", "d", "costheta0", "n", "beta", "lambda2", "B", "R", "D", "lambda1", "A")
_NOT_NEGATIVE = ("gamma", "c", "d", "n", "beta", "lambda2", "B", "R", "D", "lambda1", "A")
_PAIRS = {"A": "A", "lambda1": "lam", "B": "B", "lambda2": "mu", "beta": "beta", "n": "n"}
_TRIPLETS = {"R": "R", "D": "D", "gamma": "gamma", "lambda3": "lam3", "c": "c", "d": "d", "costheta0": "h", "m": "m"}
_ONE_BOND = 1e-3  # relative; by how much the two ends of a bond may differ, for the sake of rounded tables


def read_tersoff(path: FilePath, species: Elements | None = None) -> TersoffTriplets:
    """Read a `.tersoff` file.

    The format: entries of three elements (the first is the atom in the centre) and fourteen numbers, m, gamma,
    lambda3, c, d, costheta0, n, beta, lambda2, B, R, D, lambda1, A, over one or more lines; # begins a comment. The
    entry i j j holds the parameters of the bond i j; of the others n, beta, lambda2, B, lambda1 and A do not count.

    LAMMPS takes the repulsion of a bond from one of its ends, by the order of the atoms. Here each end has half:
    in files whose A, lambda1, R or D differ between them by rounding, that is the mean.

    Args:
        path: the file.
        species: the elements to take, as the file names them, or their symbols or numbers; by default all that it
            names. A name that goes on after the symbol, such as Si(B), is another set for that element.

    Returns:
        `TersoffTriplets`.

    Raises:
        FormatError: not such a file, an entry missing or given twice, impossible numbers, several sets for one
            element and none named, or a bond whose ends differ.
    """
    lines = Lines(path)
    lines.check_units()
    entries, where = read_entries(lines, FIELDS, _NOT_NEGATIVE, _name)
    names = _chosen(lines, tuple(dict.fromkeys(name for triplet in entries for name in triplet)), species)
    triplets = list(itertools.product(names, repeat=3))
    check_complete(lines, entries, triplets, "-".join)
    for triplet in triplets:
        _check(lines, entries[triplet], where[triplet], pair=triplet[1] == triplet[2])
    _check_bonds(lines, entries, where, names)

    def of(field, order):
        keys = itertools.product(names, repeat=order)
        values = [entries[key if order == 3 else (*key, key[1])][field] for key in keys]
        return values[0] if len(names) == 1 else np.reshape(values, (len(names),) * order)

    values = {ours: of(field, 2) for field, ours in _PAIRS.items()}
    values |= {ours: of(field, 3) for field, ours in _TRIPLETS.items()}
    # What n is does not matter where nothing attracts; published files have 0 there.
    values["n"] = np.where(np.asarray(values["n"]) >= SMALLEST, values["n"], 1.0)
    if not np.any(values["lam3"]):
        values["lam3"] = None
    try:
        return TersoffTriplets(**values, species=tuple(map(_element, names)))
    except DataError as error:
        raise lines.error(str(error)) from error


def _name(word):
    _element(word)
    return word


def _element(name):
    """The atomic number of a name: a symbol, with which other signs than letters may follow."""
    found = re.match(r"([A-Z][a-z]?)([^A-Za-z].*)?$", name)
    return atomic_number(found.group(1) if found else name)


def _chosen(lines, named, species):
    """Choose among the names of the file."""
    sets = {}
    for name in named:
        sets.setdefault(_element(name), []).append(name)
    if species is None:
        species = tuple(sets)
    chosen = []
    for one in (species,) if isinstance(species, str | int) else species:
        found = [one] if one in named else sets.get(_element(one) if isinstance(one, str) else atomic_number(one), [])
        if len(found) != 1:
            what = f"nothing for {one!r}"
            if found:
                what = f"several sets for {symbol(_element(found[0]))}: {', '.join(found)}"
            raise lines.error(f"there is {what}; say with `species` which of {', '.join(named)} to take", "elements")
        chosen += found
    return chosen


def _check(lines, entry, line, pair):
    """Numbers that LAMMPS refuses, or that have no meaning."""
    if entry["m"] not in (1.0, 3.0):
        raise lines.error(f"expected 1 or 3, got {entry['m']:g}", "m", line)
    if entry["d"] < SMALLEST:
        raise lines.error(f"expected a number above 0: {SMALLEST:g} or more, got {entry['d']:g}", "d", line)
    if not 0.0 <= entry["D"] < entry["R"]:
        raise lines.error(f"expected 0 <= D < R, got D = {entry['D']:g} and R = {entry['R']:g}", "D", line)
    if pair and entry["B"] > 0.0 and entry["n"] < SMALLEST:
        raise lines.error(f"expected a number above 0 where B is not 0: {SMALLEST:g} or more", "n", line)


def _check_bonds(lines, entries, where, names):
    for (i, j), field in itertools.product(itertools.product(names, repeat=2), ("A", "lambda1", "R", "D")):
        a, b = entries[i, j, j][field], entries[j, i, i][field]
        if abs(a - b) > _ONE_BOND * max(a, b):
            raise lines.error(
                f"{i}-{j}-{j} has {a:.8g} but {j}-{i}-{i} (line {where[j, i, i]}) has {b:.8g}; these must be "
                "equal, or LAMMPS's energy depends on the order of the atoms",
                field,
                line=where[i, j, j],
            )


FORMAT = Format(
    name="LAMMPS Tersoff (.tersoff)",
    family=Family.BOND_ORDER,
    endings=(".tersoff",),
    read=read_tersoff,
    options=(SPECIES,),
)
