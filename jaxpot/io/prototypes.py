"""Crystals by name: `fcc:Cu`, `rocksalt:NaCl:a=5.64`, or a file of one structure."""

import re
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from ase.build import bulk
from ase.data import reference_states
from ase.formula import Formula

from jaxpot.core.elements import RADII, atomic_number
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.io.files import read


@dataclass(frozen=True)
class _Prototype:
    elements: int
    nearest: float  # distance of nearest neighbours / a, for the ideal c/a
    atom_volume: float | None = None  # volume per atom / a^3, where it carries over from other close packings
    options: tuple = ("a",)


_IDEAL = sqrt(8.0 / 3.0)  # c/a of touching spheres
PROTOTYPES = {
    "fcc": _Prototype(1, sqrt(0.5), 1 / 4),
    "bcc": _Prototype(1, sqrt(0.75), 1 / 2),
    "hcp": _Prototype(1, 1.0, sqrt(0.75) / 2 * _IDEAL, ("a", "c", "covera")),
    "diamond": _Prototype(1, sqrt(3.0) / 4),
    "sc": _Prototype(1, 1.0),
    "rocksalt": _Prototype(2, 0.5),
    "zincblende": _Prototype(2, sqrt(3.0) / 4),
    "wurtzite": _Prototype(2, sqrt(3.0 / 8.0), None, ("a", "c", "covera", "u")),
}
_EXPECTED = (
    "expected a file of one structure or PROTOTYPE:ELEMENTS[:a=A], such as fcc:Cu, rocksalt:NaCl:a=5.64 or "
    f"wurtzite:ZnS; prototypes: {', '.join(PROTOTYPES)}"
)


def symbols_of(formula: str) -> list[str]:
    """The symbol of each atom of a chemical formula, such as Si4O8 or Ca(OH)2.

    Raises:
        DataError: no formula.
    """
    try:
        return [symbol for symbol, n in Formula(formula).count().items() for _ in range(n)]
    except ValueError as error:
        raise DataError(f"expected a formula such as Si4O8, got {formula!r}") from error


def structure_from_spec(text: str) -> tuple[Structure, bool]:
    """The crystal that a word on the command line means: a file, or a prototype with elements.

    Options follow the elements, separated by colons: `a=` A for all; `c=` A or `covera=` for hcp and
    wurtzite; `u=` for wurtzite. Without `a` the size is a guess to start from: that of the element in this
    structure, else from its volume in another close packing, else from covalent radii. Without `c` the ratio
    is that of the element if it is hcp, else the ideal one.

    Args:
        text: `FILE` (`FILE@INDEX` of several structures) or `PROTOTYPE:ELEMENTS[:OPTION=VALUE...]`.

    Returns:
        (`Structure`, bool): the primitive cell (a file's cell as it is), and whether its size was given.

    Raises:
        FormatError: a file that cannot be read.
        DataError: neither a file nor a prototype; unknown elements or options, with what exists.
    """
    file, at, _ = text.rpartition("@")
    if Path(text).is_file():
        return _only_structure(text, ":"), True
    if at and Path(file).is_file():
        return _only_structure(text, None), True  # ASE reads the index from the name
    prototype, _, rest = text.partition(":")
    if prototype not in PROTOTYPES:
        what = "no such file" if Path(text).suffix or "/" in text else "neither a file nor a prototype"
        raise DataError(f"{text!r}: {what}; {_EXPECTED}")
    elements, *options = rest.split(":")
    symbols = _symbols(elements, prototype, text)
    numbers = [atomic_number(name) for name in symbols]
    shape = _shape(options, prototype, text)
    given = "a" in shape
    if "c" in shape:
        if not given:
            raise DataError(f"{text!r}: c is given without a; give both, or covera")
        shape["covera"] = shape.pop("c") / shape["a"]
    if "covera" in PROTOTYPES[prototype].options:
        reference = reference_states[numbers[0]] or {}
        natural = reference.get("c/a", _IDEAL) if prototype == reference.get("symmetry") else _IDEAL
        shape.setdefault("covera", natural)
    if not given:
        shape["a"] = _guess(prototype, numbers, text)
    return Structure.of(bulk("".join(symbols), prototype, **shape)), given


def _only_structure(text, index):
    found = read(text, index)
    if len(found) != 1:
        raise DataError(
            f"{text!r} holds {len(found)} structures, expected one: choose with {text}@0 (the first) to "
            f"{text}@{len(found) - 1}"
        )
    return found[0]


def _symbols(elements, prototype, text):
    """`NaCl` or `Na,Cl` as a list, one symbol for each sublattice of the prototype."""
    symbols = re.findall(r"[A-Z][a-z]?", elements)
    wanted = PROTOTYPES[prototype].elements
    if "".join(symbols) != elements.replace(",", "") or len(symbols) != wanted:
        example = "Cu" if wanted == 1 else "NaCl"
        raise DataError(
            f"{text!r}: {prototype} takes {wanted} element{'s' * (wanted > 1)} as chemical symbols, such as "
            f"{prototype}:{example}, got {elements!r}"
        )
    return symbols


def _shape(options, prototype, text):
    """The options as numbers; expected are those of the prototype, each once, in their range."""
    allowed = PROTOTYPES[prototype].options
    shape = {}
    for option in options:
        name, _, value = option.partition("=")
        if name not in allowed:
            raise DataError(f"{text!r}: {prototype} has no option {name!r}; it has {', '.join(allowed)}")
        if name in shape or {name, *shape} >= {"c", "covera"}:
            raise DataError(f"{text!r}: {name} is given twice (c and covera fix the same)")
        try:
            shape[name] = float(value)
        except ValueError as error:
            raise DataError(f"{text!r}: {name} must be a number, got {value!r}") from error
        if not 0.0 < shape[name] < (1.0 if name == "u" else 1e3):
            limits = "between 0 and 1" if name == "u" else "positive and below 1000"
            raise DataError(f"{text!r}: {name} must be {limits}, got {value}")
    return shape


def _guess(prototype, numbers, text):
    """A lattice constant to start from, A."""
    ideal, reference = PROTOTYPES[prototype], reference_states[numbers[0]] or {}
    if len(numbers) == 1 and "a" in reference:
        if reference["symmetry"] == prototype:
            return float(reference["a"])
        other = PROTOTYPES.get(reference["symmetry"])
        if ideal.atom_volume and other and other.atom_volume:
            ratio = reference.get("c/a", _IDEAL) / _IDEAL
            return float(reference["a"]) * (other.atom_volume * ratio / ideal.atom_volume) ** (1 / 3)
    if not RADII[numbers].all():
        raise DataError(f"{text!r}: no radius is known to guess the lattice constant from; give it with a=")
    return float(RADII[numbers[0]] + RADII[numbers[-1]]) / ideal.nearest
