"""Stillinger-Weber potentials in LAMMPS's `.sw` files."""

import itertools

import numpy as np

from jaxpot.core.elements import atomic_number, symbol
from jaxpot.errors import DataError
from jaxpot.formats.lammps_triplets import check_complete, read_entries
from jaxpot.formats.record import SPECIES, Family, Format
from jaxpot.formats.text import Lines
from jaxpot.potentials.parameters import ASYMMETRY, species_numbers
from jaxpot.potentials.stillinger_weber import StillingerWeber
from jaxpot.typing import Elements, FilePath

_FIELDS = ("epsilon", "sigma", "a", "lambda", "gamma", "costheta0", "A", "B", "p", "q", "tol")
_LARGEST_EXPONENT = 1000.0  # of p and q
_NOT_NEGATIVE = ("epsilon", "sigma", "a", "lambda", "gamma", "p", "q", "tol")


def read_sw(path: FilePath, species: Elements | None = None) -> StillingerWeber:
    """Read a `.sw` file.

    The format: entries of three elements (the first is the atom in the centre) and eleven numbers, epsilon,
    sigma, a, lambda, gamma, costheta0, A, B, p, q, tol, over one or more lines; # begins a comment. The
    entry i j j holds the parameters of the pair i j; of the others only epsilon lambda and costheta0 count.

    Args:
        path: the file.
        species: the elements to take, symbols or numbers; by default all that the file names.

    Returns:
        `StillingerWeber`.

    Raises:
        FormatError: not such a file, an entry missing or given twice, impossible numbers, or entries whose
            energy would depend on the order of the atoms (j and k exchanged, or a pair seen from its ends).
    """
    lines = Lines(path)
    lines.check_units()
    entries, where = read_entries(lines, _FIELDS, _NOT_NEGATIVE, atomic_number)
    species = species_numbers(species) or tuple(dict.fromkeys(z for triplet in entries for z in triplet))
    check_complete(lines, entries, list(itertools.product(species, repeat=3)), _name)
    for triplet, field in itertools.product(entries, ("p", "q")):
        if entries[triplet][field] > _LARGEST_EXPONENT:
            message = f"expected an exponent up to {_LARGEST_EXPONENT:g}, got {entries[triplet][field]:g}"
            raise lines.error(message, field, line=where[triplet])
    _check_exchange(lines, entries, where, species)

    def pairs(field):
        return np.array([[entries[i, j, j][field] for j in species] for i in species])

    def triplets(field):
        return np.array([[[entries[i, j, k][field] for k in species] for j in species] for i in species])

    if len(species) == 1:
        values = {field: entries[species * 3][field] for field in _FIELDS}
    else:
        values = {f: triplets(f) if f in ("epsilon", "lambda", "costheta0") else pairs(f) for f in _FIELDS}
    try:
        return StillingerWeber(
            epsilon=values["epsilon"],
            sigma=values["sigma"],
            a=values["a"],
            lam=values["lambda"],
            gamma=values["gamma"],
            cos_theta0=values["costheta0"],
            A=values["A"],
            B=values["B"],
            p=values["p"],
            q=values["q"],
            tol=values["tol"],
            species=species,
        )
    except DataError as error:
        raise lines.error(str(error)) from error


def _check_exchange(lines, entries, where, species):
    """The energy must not depend on the order of the atoms: compare what must be equal."""

    def compare(one, other, field, value):
        a, b = value(entries[one]), value(entries[other])
        if abs(a - b) > ASYMMETRY * max(abs(a), abs(b)):
            raise lines.error(
                f"{_name(one)} has {a:.8g} but {_name(other)} (line {where[other]}) has {b:.8g}; these must "
                "be equal, or the energy depends on the order of the atoms",
                field,
                line=where[one],
            )

    for i, j, k in itertools.product(species, repeat=3):
        compare((i, j, k), (i, k, j), "epsilon * lambda", lambda e: e["epsilon"] * e["lambda"])
        compare((i, j, k), (i, k, j), "costheta0", lambda e: e["costheta0"])
    for i, j in itertools.product(species, repeat=2):
        compare((i, j, j), (j, i, i), "epsilon * A", lambda e: e["epsilon"] * e["A"])
        for field in ("sigma", "a", "B", "p", "q", "tol"):
            compare((i, j, j), (j, i, i), field, lambda e, field=field: e[field])
        # With tol, gamma < 1 has a say in where the pair ends.
        compare((i, j, j), (j, i, i), "gamma", lambda e: min(e["gamma"], 1.0) if e["tol"] > 0.0 else 0.0)


def _name(triplet):
    return "-".join(symbol(z) for z in triplet)


FORMAT = Format(
    name="LAMMPS Stillinger-Weber (.sw)",
    family=Family.THREE_BODY,
    endings=(".sw",),
    read=read_sw,
    options=(SPECIES,),
)
