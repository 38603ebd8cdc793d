"""Structures from files, in the formats that ASE reads, with one kind of error for all that can be wrong."""

import os
import sqlite3
import struct
from pathlib import Path

import ase.io
import numpy as np
from ase.io.formats import UnknownFileTypeError
from ase.stress import voigt_6_to_full_3x3_stress
from ase.utils import string2index

from jaxpot.core.elements import SYMBOLS
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, FormatError
from jaxpot.io.extxyz import DAMAGED, scan
from jaxpot.io.formats import format_of

# What ASE's hundred readers are known to raise on files that are not what they seem. They share no class.
_READER_ERRORS = (
    UnknownFileTypeError,
    ase.io.ParseError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    MemoryError,
    StopIteration,
    SyntaxError,
    TypeError,
    ValueError,
    sqlite3.Error,
    struct.error,
    *DAMAGED,
)


def read(path, index=":"):
    """Structures of a file in the formats that ASE reads (not those that look at further files: `io.formats`).

    Args:
        path: file name.
        index: which frames, as in ASE: ":", "-1", "::10", an integer or a slice; None: the last, or those that a name
            such as `run.xyz@::10` says.

    Returns:
        list of `Structure`.

    Raises:
        FormatError: the file is missing, empty, of no known format, damaged, or holds numbers or elements
            that make no structure; the message names the file and the reason.
    """
    structures = []
    for frame, atoms in enumerate(read_atoms(path, index)):
        try:
            structures.append(Structure.of(atoms))
        except DataError as error:
            raise FormatError(str(error), file=path, field=f"structure {frame}") from error
    return structures


def read_atoms(path, index=":"):
    """As `read`, but the `ase.Atoms` themselves, with everything else the file says (`labels` reads results).

    Returns:
        list of `ase.Atoms`.

    Raises:
        FormatError: as for `read`.
    """
    path, index = _split_index(os.fspath(path), index)
    if not os.path.lexists(path):
        raise FormatError("no such file", file=path)
    try:
        kind = format_of(path)
        count = scan(path) if kind == "extxyz" else None
        found = ase.io.read(path, index=index, format=kind, do_not_split_by_at_sign=True)
    except UnknownFileTypeError as error:
        reason = "the file is empty" if _is_empty(path) else "the format is none that ASE recognises"
        message = f"{reason}; expected a file of structures (xyz, cif, POSCAR, ...)"
        raise FormatError(message, file=path) from error
    except StopIteration as error:
        raise FormatError(f"there is no structure of index {index!r} in it", file=path) from error
    except FormatError:
        raise
    except _READER_ERRORS as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        message = f"ASE cannot read it ({reason}); is it damaged or incomplete?"
        raise FormatError(message, file=path) from error
    found = found if isinstance(found, list) else [found]
    if not found:
        raise FormatError("no structures in it; is it empty or incomplete?", file=path)
    if count not in (None, len(found)) and index == ":":
        raise FormatError(f"ASE reads {len(found)} frames, but there are {count}", file=path)
    for k, atoms in enumerate(found):
        if not len(atoms) or atoms.numbers.min() < 0 or atoms.numbers.max() >= len(SYMBOLS):
            what = f"an atomic number of {atoms.numbers.max()}" if len(atoms) else "no atoms"
            raise FormatError(f"there is {what} in it; is it damaged?", file=path, field=f"structure {k}")
    return found


def _split_index(path, index):
    """A file, and which frames: `FILE@INDEX`, as in ASE, counts where no index is given and no file has that name."""
    file, at, end = path.rpartition("@")
    if index is not None or not at or os.path.lexists(path):
        return path, index
    try:
        return file, string2index(end)
    except ValueError:
        return path, index


def labels(atoms):
    """Energy, forces and stress that a file gives for a structure.

    Args:
        atoms: `ase.Atoms` from `read_atoms`.

    Returns:
        dict with those of "energy" () eV, "forces" (n, 3) eV/A and "stress" (3, 3) eV/A^3 (+1/V dE/dstrain)
        that are there. A "virial" is -V times the stress.
    """
    known = {**atoms.arrays, **atoms.info, **(atoms.calc.results if atoms.calc is not None else {})}
    found = {}
    if "energy" in known:
        found["energy"] = float(known["energy"])
    if "forces" in known:
        found["forces"] = np.asarray(known["forces"], float).reshape(len(atoms), 3)
    stress = known.get("stress")
    if stress is None and "virial" in known and atoms.cell.rank == 3:
        stress = -np.asarray(known["virial"], float) / atoms.get_volume()
    if stress is not None:
        stress = np.asarray(stress, float)
        found["stress"] = voigt_6_to_full_3x3_stress(stress) if stress.shape == (6,) else stress.reshape(3, 3)
    return found


def _is_empty(path):
    return Path(path).is_file() and Path(path).stat().st_size == 0
