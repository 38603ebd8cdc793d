"""MEAM potentials in LAMMPS's files: a library of elements, and a file with the parameters of some of them."""

import itertools
import re

import numpy as np

from jaxpot.core.elements import SYMBOLS, atomic_number
from jaxpot.errors import DataError
from jaxpot.formats.meam_reference import LATTICES, Reference
from jaxpot.formats.record import SPECIES, Family, FileList, Format
from jaxpot.formats.text import Lines
from jaxpot.potentials.meam import GAMMA_KINDS, MEAM
from jaxpot.typing import Elements, FilePath

_QUOTES = str.maketrans("'\"", "  ")
_FIELDS = (
    "z", "ielement", "atwt", "alpha", "b0", "b1", "b2", "b3", "alat", "esub", "asub", "t0", "t1", "t2", "t3", "rozero",
    "ibar",
)
_COMPOUNDS = ("b1", "b2", "l12")
_NOT_READ = ("c11", "ch4", "lin", "tri", "zig", "dia3")
_POINTS, _BEYOND = 1000, 1.1  # LAMMPS's tables of phi: so many points, up to so many times the cutoff
_OPTIONS = {  # name: default, what it may be (None: any positive number)
    "rc": (4.0, None), "delr": (0.1, None), "gsmooth_factor": (99.0, None), "augt1": (1, (0, 1)),
    "ialloy": (0, (0, 1, 2)), "mixture_ref_t": (0, (0,)), "erose_form": (0, (0, 1, 2)), "emb_lin_neg": (0, (0, 1)),
    "bkgd_dyn": (0, (0, 1)),
}
_INDICES = {
    "rho0": 1, "Ec": 2, "alpha": 2, "delta": 2, "lattce": 2, "attrac": 2, "repuls": 2, "nn2": 2, "re": 2, "zbl": 2,
    "Cmin": 3, "Cmax": 3,
}


def read_meam(library: FilePath, parameters: FilePath | None = None, species: Elements | None = None) -> MEAM:
    """Read MEAM from a library and, if there is one, a file of parameters.

    The library holds, for every name: the name, the reference structure, z, ielement, atwt, alpha, b0 to b3, alat,
    esub, asub, t0 to t3, rozero and ibar, over one or more lines; of a name given twice the first counts. The
    parameters are lines such as `rc = 4.0`, `Ec(1,2) = 3.1` or `lattce(1,2) = 'b1'`, whose indices are places in
    `species`. # begins a comment. What they do not give is LAMMPS's default. Of what is given for a pair (i, j) that of
    i < j counts, as in LAMMPS; nn2 and zbl may be given either way.

    Structures: fcc, bcc, hcp, dia, sc, dim, and b1, b2, l12 for two elements.

    Args:
        library: the file of elements.
        parameters: the file of parameters; by default there are none (LAMMPS's NULL).
        species: names of the library, in the order that the parameters count: ("Si", "C"), or ("AlS", "SiS"). An
            element is that of the name, if that is a symbol, else the atomic number that the library gives.

    Returns:
        `MEAM`, with the pair energies tabulated at the distances of LAMMPS.

    Raises:
        FormatError: not such files, numbers missing or impossible, structures or options that are not read; or no
            species, or one that the library has not.
    """
    lines = Lines(library)
    lines.check_units()
    entries, where = read_library(lines)
    names = _chosen(lines, entries, species)
    for name in names:
        _check_element(lines, name, entries[name], where[name])
    elements = [entries[name] for name in names]
    at = lines
    given = {}
    if parameters is not None:
        at = Lines(parameters)
        at.check_units()
        given = _read_parameters(at, len(names))
    try:
        return _made(names, elements, given)
    except DataError as error:
        raise at.error(str(error)) from error


def read_library(lines: Lines) -> tuple[dict[str, dict], dict[str, int]]:
    """The entries of a library, {name: {field: number, "lattice": structure}}, and the line each begins on."""
    entries, where = {}, {}
    while lines.more():
        words = _words(lines.next("entry"))
        start = lines.line
        if "=" in "".join(words):
            message = "expected a library of elements, but this is a file of parameters: load [library, this file]"
            raise lines.error(message, "entry")
        while len(words) < 2 + len(_FIELDS):
            words += _words(lines.next("entry"))
        if len(words) > 2 + len(_FIELDS):
            raise lines.error(f"expected {2 + len(_FIELDS)} words in an entry, got {len(words)}", "entry")
        numbers = [lines.number(word, field) for word, field in zip(words[2:], _FIELDS, strict=True)]
        if words[0] not in entries:
            entries[words[0]] = dict(zip(_FIELDS, numbers, strict=True)) | {"lattice": words[1]}
            where[words[0]] = start
    if not entries:
        raise lines.error("there is no entry in this file", "entries")
    return entries, where


def _words(words):
    """Quotes separate words as spaces do."""
    return " ".join(words).translate(_QUOTES).split()


def _chosen(lines, entries, species):
    named = ", ".join(entries)
    if species is None and len(entries) > 1:
        raise lines.error(f"say with `species` which of {named} to take, in the order of the parameters", "elements")
    names = tuple(entries) if species is None else (species,) if isinstance(species, str | int) else tuple(species)
    names = tuple(SYMBOLS[atomic_number(name)] if not isinstance(name, str) else name for name in names)
    for name in names:
        if name not in entries:
            raise lines.error(f"there is nothing for {name!r}; there are {named}", "elements")
    return names


def _check_element(lines, name, entry, line):
    def refuse(field, message):
        raise lines.error(f"{name}: {message}", field, line)

    lattice = entry["lattice"]
    if lattice not in LATTICES or lattice in _COMPOUNDS:
        known = ", ".join(found for found in LATTICES if found not in _COMPOUNDS)
        refuse("structure", f"{lattice!r} is not read; expected one of {known}")
    if entry["z"] != LATTICES[lattice].neighbors:
        refuse("z", f"expected {LATTICES[lattice].neighbors} neighbours in {lattice}, got {entry['z']:g}")
    if entry["ibar"] not in GAMMA_KINDS:
        refuse("ibar", f"expected one of {GAMMA_KINDS}, got {entry['ibar']:g}")
    if entry["t0"] != 1.0:
        refuse("t0", f"expected 1, got {entry['t0']:g}")
    for field in ("alat", "rozero"):
        if entry[field] <= 0.0:
            refuse(field, f"expected a positive number, got {entry[field]:g}")
    if not (entry["ielement"].is_integer() and 1 <= entry["ielement"] < len(SYMBOLS)):
        refuse("ielement", f"expected an atomic number, got {entry['ielement']:g}")


def _read_parameters(lines, count):
    """Parameters of the file: {name: value} and {(name, i, j): value}, with indices from 0."""
    given = {}
    while lines.more():
        text = " ".join(lines.next("parameter"))
        found = re.fullmatch(r"(\w+)\s*(?:\(([\d\s,]*)\))?\s*=\s*(.+?)", text)
        if not found:
            raise lines.error(f"expected a line such as `Ec(1,2) = 3.1`, got {text!r}", "parameter")
        name, places, value = found.groups()
        places = [] if places is None else places.split(",")
        if name not in _OPTIONS and name not in _INDICES:
            raise lines.error(f"{name!r} is not a parameter that is read", "parameter")
        if len(places) != _INDICES.get(name, 0):
            raise lines.error(f"expected {_INDICES.get(name, 0)} indices, got {len(places)}", name)
        places = [lines.count(place.strip(), name, 1, count) - 1 for place in places]
        if name in ("nn2", "zbl"):
            places.sort()
        given[(name, *places) if places else name] = _value(lines, name, value, places)
    return given


def _value(lines, name, word, places):
    if name == "lattce":
        word = word.strip("'\" ")
        known = [found for found in LATTICES if found not in _COMPOUNDS or places[0] != places[1]]
        if word not in known:
            not_read = f"; {', '.join(_NOT_READ)} are not read" if word in _NOT_READ else ""
            raise lines.error(f"expected one of {', '.join(known)}, got {word!r}{not_read}", name)
        return word
    number = lines.number(word, name)
    allowed = _OPTIONS.get(name, (0, (0, 1) if name in ("nn2", "zbl") else ()))[1]
    if allowed and number not in allowed:
        raise lines.error(f"expected one of {', '.join(map(str, allowed))}, got {number:g}", name)
    if (allowed is None or name in ("re", "rho0")) and number <= 0.0:
        raise lines.error(f"expected a positive number, got {number:g}", name)
    return number


def _made(names, elements, given):
    count = len(names)
    option = {name: given.get(name, default) for name, (default, _) in _OPTIONS.items()}

    def of(field):
        return np.array([entry[field] for entry in elements])

    def table(name, default, order=2, diagonal=None):
        values = np.full((count,) * order, default, float)
        if diagonal is not None:
            values[np.diag_indices(count)] = diagonal
        for key, value in given.items():
            if key[0] == name:
                values[key[1:]] = value
        return values

    alat = np.array([LATTICES[entry["lattice"]].scale * entry["alat"] for entry in elements])
    re_, alpha = table("re", 0.0, diagonal=alat), table("alpha", 0.0, diagonal=of("alpha"))
    energy, delta = table("Ec", 0.0, diagonal=of("esub")), table("delta", 0.0)
    lattice = {(a, a): given.get(("lattce", a, a), entry["lattice"]) for a, entry in enumerate(elements)}
    for a, b in itertools.combinations(range(count), 2):
        lattice[a, b] = given.get(("lattce", a, b), "fcc")
        parts = (0.75, 0.25) if lattice[a, b] == "l12" else (0.5, 0.5)
        if energy[a, b] == 0.0:
            energy[a, b] = parts[0] * energy[a, a] + parts[1] * energy[b, b] - delta[a, b]
        for values in (alpha, re_):
            values[a, b] = values[a, b] or 0.5 * (values[a, a] + values[b, b])
    c_min, c_max = _symmetric(table("Cmin", 2.0, 3)), _symmetric(table("Cmax", 2.8, 3))
    flags = {name: table(name, default) > 0.0 for name, default in (("nn2", 0.0), ("zbl", 1.0))}
    t3 = of("t3")
    rho0 = np.array([given.get(("rho0", a), entry["rozero"]) for a, entry in enumerate(elements)])
    reference = Reference(
        lattice=lattice, energy=energy, re=re_, alpha=alpha, attraction=table("attrac", 0.0),
        repulsion=table("repuls", 0.0), second=flags["nn2"], zbl=flags["zbl"], c_min=c_min, c_max=c_max, rho0=rho0,
        beta=np.array([of(f"b{order}") for order in range(4)]),
        t=np.array([of("t1") + 0.6 * option["augt1"] * t3, of("t2"), t3]), strength=of("asub") * np.diag(energy),
        kind=tuple(int(entry["ibar"]) for entry in elements), charge=tuple(int(z) for z in of("ielement")),
        smoothing=option["gsmooth_factor"], mixing=int(option["ialloy"]), form=int(option["erose_form"]),
        linear_below=bool(option["emb_lin_neg"]), simple_background=bool(option["bkgd_dyn"]),
    )
    dr = _BEYOND * option["rc"] / _POINTS
    by_order = {f"beta{order}": beta for order, beta in enumerate(reference.beta)}
    by_order |= {f"t{order}": t for order, t in enumerate(reference.t, start=1)}
    return MEAM(
        pair=reference.tables(dr * np.arange(_POINTS)), rho0=rho0, re=np.diag(re_), **by_order,
        background=reference.backgrounds(), strength=reference.strength, c_min=c_min, c_max=c_max, dr=dr,
        end=option["rc"], width=option["delr"], kind=reference.kind, species=tuple(map(_element, names, elements)),
        smoothing=reference.smoothing, mixing=reference.mixing, linear_below=reference.linear_below,
    )


def _symmetric(values):
    """The numbers of pairs (i, j) also for (j, i): those of i < j count."""
    i, j = np.tril_indices(len(values), -1)
    values[i, j] = values[j, i]
    return values


def _element(name, entry):
    return atomic_number(name) if name in SYMBOLS[1:] else int(entry["ielement"])


FORMAT = Format(
    name="LAMMPS MEAM (.meam): a library, or a list of a library and a file of parameters",
    family=Family.EMBEDDED_ATOM,
    endings=(".meam",),
    read=read_meam,
    options=(SPECIES,),
    files=FileList("the library and the parameters of MEAM (two files .meam)", count=2),
)
