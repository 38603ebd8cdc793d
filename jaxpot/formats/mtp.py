"""Moment tensor potentials in the `.mtp` files of MLIP-2, MLIP-3 and motep."""

import re

import numpy as np

from jaxpot.core.elements import atomic_number
from jaxpot.descriptors.moment_tensors import MomentTensors
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.mtp_write import write_mtp
from jaxpot.formats.record import SPECIES, Family, Format
from jaxpot.formats.text import Lines, shown
from jaxpot.potentials.base import Potential, Sum
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.described import Described
from jaxpot.readouts.linear import Linear
from jaxpot.typing import Elements, FilePath

VERSION, BASIS = "1.1.0", "RBChebyshev"
_MOST = 10**6  # moments, and factors of products: level 28 has some 20,000
_COUNTS = (
    "species_count", "radial_basis_size", "radial_funcs_count", "alpha_moments_count", "alpha_index_basic_count",
    "alpha_index_times_count", "alpha_scalar_moments",
)
_LENGTHS = ("min_dist", "max_dist")
_LISTS = ("alpha_index_basic", "alpha_index_times", "alpha_moment_mapping", "species_coeffs", "moment_coeffs")
_NAMES = ("potential_name", "potential_tag")
_KNOWN = ("version", "scaling", "radial_basis_type", "radial_coeffs", *_COUNTS, *_LENGTHS, *_LISTS, *_NAMES)
_ALSO = {  # later spellings of the same
    "min": "min_dist", "max": "max_dist", "size": "radial_basis_size",
    "min_val": "min_dist", "max_val": "max_dist", "basis_size": "radial_basis_size",
}
_TRAINED = ("radial_coeffs", "species_coeffs", "moment_coeffs")


def read_mtp(path: FilePath, species: Elements | None = None) -> Potential:
    """Read a `.mtp` file of version 1.1.0.

    E = sum_i [e(Z_i) + xi . B_i] with the components B_i of `MomentTensors`, whose moments and products stand in the
    file, so that files of every level are read.

    Args:
        path: the file.
        species: the elements of its types 0, 1, ..., which it does not name.

    Returns:
        `Sum` of a `Described` (`MomentTensors` with a `Linear`) and `Constants`.

    Raises:
        FormatError: not such a file, numbers that are missing or impossible, a template without coefficients, a
            magnetic potential, another radial basis; or no `species`, or not as many as there are types.

    References:
        A. V. Shapeev, Multiscale Model. Simul. 14, 1153 (2016); I. S. Novikov et al., Mach. Learn.: Sci. Technol. 2,
        025002 (2021).
    """
    lines = Lines(path)
    values, where = _read(lines)
    elements = _elements(lines, where, values["species_count"], species)

    def check(expected, got, name, unit):
        if expected != got:
            raise lines.error(f"expected {expected} {unit}, got {got}", name, where[name])

    basic, times, mapping = (_whole(lines, values, where, name) for name in _LISTS[:3])
    offsets, coefficients = (_numbers(lines, values[name], name, where[name]) for name in _LISTS[3:])
    check(values["alpha_index_basic_count"], len(basic), "alpha_index_basic", "moments")
    check(values["alpha_index_times_count"], len(times), "alpha_index_times", "products")
    check(values["alpha_scalar_moments"], len(mapping), "alpha_moment_mapping", "numbers")
    check(len(elements), len(offsets), "species_coeffs", "numbers, one for each type")
    check(len(mapping), len(coefficients), "moment_coeffs", "numbers, one for each scalar moment")
    highest = max((number for entry in times for number in entry[3:]), default=0)
    if max(highest + 1, len(basic)) > values["alpha_moments_count"]:
        message = f"expected moments below {values['alpha_moments_count']}, alpha_moments_count, got {highest}"
        raise lines.error(message, "alpha_index_times", where["alpha_index_times"])
    try:
        descriptor = MomentTensors(
            values["radial_coeffs"], elements, values["max_dist"], values["min_dist"], values.get("scaling", 1.0),
            tuple(basic), times, tuple(mapping),
        )
        described = Described(descriptor, Linear(np.array(coefficients)), elements)
    except DataError as error:
        raise FormatError(str(error), lines.path) from error
    return Sum.of(described, Constants(dict(zip(elements, offsets, strict=True)), isolated=False))


def _read(lines):
    """Values by their names, and the line that each stands on; lists still as text."""
    if lines.next("MTP") != ["MTP"]:
        raise lines.error("expected MTP on the first line")
    values: dict = {}
    where: dict[str, int] = {}
    while lines.more():
        text = " ".join(lines.next("name"))
        name, sign, value = (part.strip() for part in text.partition("="))
        name = _ALSO.get(name, name)
        if "mag" in name.lower():
            raise lines.error("magnetic moment tensor potentials are not read", shown(name))
        if name not in _KNOWN or bool(sign) == (name == "radial_coeffs"):
            raise lines.error(f"expected NAME = VALUE with one of the names {', '.join(_KNOWN)}; got {shown(text)}")
        if name in where:
            raise lines.error(f"given before, on line {where[name]}", name)
        where[name] = lines.line
        values[name] = _radial(lines, values) if name == "radial_coeffs" else _value(lines, name, value)
    if "version" not in where:
        raise FormatError(f"expected version = {VERSION}: it is missing", lines.path)
    untrained = [name for name in _TRAINED if name not in where]
    if untrained:
        raise FormatError(
            f"there are no {' and no '.join(untrained)}: this is a template without fitted coefficients; train it "
            "(`mlp train`, motep) and load what comes out", lines.path,
        )
    for name in (*_COUNTS, "radial_basis_type", *_LENGTHS, *_LISTS):
        if name not in where:
            raise FormatError(f"expected {name}: it is missing", lines.path)
    return values, where


def _value(lines, name, value):
    """The value of a name; lists as they are."""
    if name == "version" and value != VERSION:
        raise lines.error(f"expected {VERSION}, got {shown(value)}", name)
    if name == "radial_basis_type" and value != BASIS:
        raise lines.error(f"expected {BASIS}: the basis {shown(value)} is not read", name)
    if name in _COUNTS:
        return lines.count(value, name, 0 if "times" in name else 1, 118 if name == "species_count" else _MOST)
    if name == "max_dist":
        return lines.positive(value, name)
    return lines.number(value, name) if name in ("min_dist", "scaling") else value


def _radial(lines, values):
    """C, (types, types, functions, polynomials), from the lines that follow."""
    for name in ("species_count", "radial_funcs_count", "radial_basis_size"):
        if name not in values:
            raise lines.error(f"expected {name} before", "radial_coeffs")
    types, functions, size = (values[name] for name in ("species_count", "radial_funcs_count", "radial_basis_size"))
    if types * types * functions * size > lines.size:
        raise lines.error(f"the file is too small for {types} x {types} x {functions} x {size}", "radial_coeffs")
    table = np.empty((types, types, functions, size))
    for i, j in np.ndindex(types, types):
        field = f"radial_coeffs of {i}-{j}"
        label = " ".join(lines.next(field))
        if label != f"{i}-{j}":
            raise lines.error(f"expected {i}-{j}, got {shown(label)}", "radial_coeffs")
        for m in range(functions):
            row = _numbers(lines, " ".join(lines.next(field)), field, lines.line)
            if len(row) != size:
                raise lines.error(f"expected {size} numbers, got {len(row)}", field)
            table[i, j, m] = row
    return table


def _words(lines, text, name, line):
    """Words between braces, with commas between them."""
    if not (text.startswith("{") and text.endswith("}")):
        raise lines.error(f"expected a list in braces, got {shown(text)}", name, line)
    inner = text[1:-1].strip()
    return [word.strip() for word in inner.split(",")] if inner else []


def _numbers(lines, text, name, line):
    words = _words(lines, text, name, line)
    lines.line = line  # which messages name
    return [lines.number(word, name) for word in words]


def _whole(lines, values, where, name):
    """Whole numbers of a list, or of each list in a list."""
    text, line = values[name], where[name]
    flat = re.sub(r"\}\s*,\s*\{", "}{", text)
    groups = re.fullmatch(r"\{\s*((?:\{[^{}]*\})*)\s*\}", flat) if name != "alpha_moment_mapping" else None
    if groups is None and name != "alpha_moment_mapping":
        raise lines.error(f"expected a list of lists in braces, got {shown(text)}", name, line)
    lists = re.findall(r"\{[^{}]*\}", groups[1]) if groups else [text]
    rows = [_words(lines, one, name, line) for one in lists]
    lines.line = line
    rows = [[lines.count(word, name, -_MOST if k == 2 else 0, _MOST) for k, word in enumerate(row)] for row in rows]
    if groups is None:
        return rows[0]
    if any(len(row) != 4 for row in rows):
        raise lines.error("expected four numbers in each list", name, line)
    return [tuple(row) for row in rows]


def _elements(lines, where, count, species):
    """Atomic numbers of the types."""
    if species is None:
        types = "type 0: give it" if count == 1 else f"types, 0 to {count - 1}: give them in this order"
        raise FormatError(
            f"the file does not name the elements of its {types}, as in "
            "jp.load(path, species=['Cu']) or --species Cu", lines.path, where["species_count"], "species_count",
        )
    try:
        elements = tuple(atomic_number(z) for z in ((species,) if isinstance(species, str | int) else species))
    except DataError as error:
        raise FormatError(str(error), lines.path, field="species") from error
    if len(set(elements)) != count or len(elements) != count:
        raise lines.error(
            f"expected {count} different elements as `species`, those of the types, got {len(elements)}",
            "species_count", where["species_count"],
        )
    return elements


FORMAT = Format(
    name="moment tensor potentials of MLIP and motep (.mtp)",
    family=Family.MACHINE_LEARNED,
    magic=b"MTP\n",
    endings=(".mtp",),
    read=read_mtp,
    options=(SPECIES,),
    write=write_mtp,
    written_as=(".mtp",),
)
