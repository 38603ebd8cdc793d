"""Structures from files, in any format that ASE or pymatgen reads, with one kind of error for all that can be wrong."""

import os
import sqlite3
import struct
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.io.formats import UnknownFileTypeError as UnknownFileTypeError  # for callers, too
from ase.stress import voigt_6_to_full_3x3_stress
from ase.utils import string2index

from jaxpot.core.elements import SYMBOLS
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, FormatError, JaxpotError, first_few
from jaxpot.io.cif import read_cif
from jaxpot.io.extxyz import DAMAGED, scan
from jaxpot.io.formats import format_of
from jaxpot.typing import FilePath

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


def read(path: FilePath, index: str | int | slice | None = ":") -> list[Structure]:
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


def read_atoms(path: FilePath, index: str | int | slice | None = ":") -> list[Atoms]:
    """Read the `ase.Atoms` themselves, with everything else the file says (`labels` reads results).

    Returns:
        list of `ase.Atoms`.

    Raises:
        FormatError: as for `read`.
    """
    path, index = _split_index(os.fspath(path), index)
    if not os.path.lexists(path):
        raise FormatError("no such file", file=path)
    try:
        kind, count = format_of(path), None
        if kind == "cif":
            frames = _read_cif(path, index)
        else:
            count = scan(path) if kind == "extxyz" else None
            frames = ase.io.read(os.fspath(path), index=index, format=kind, do_not_split_by_at_sign=True)
    except JaxpotError:
        raise
    except UnknownFileTypeError as error:
        if _is_empty(path):
            raise FormatError("the file is empty; expected structures (xyz, cif, POSCAR, ...)", file=path) from error
        frames, count = _by_pymatgen(path, index), None
    except StopIteration as error:
        raise FormatError(f"there is no structure of index {index!r} in it", file=path) from error
    except _READER_ERRORS as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        message = f"ASE cannot read it ({reason}); is it damaged or incomplete?"
        raise FormatError(message, file=path) from error
    frames = frames if isinstance(frames, list) else [frames]
    if not frames:
        raise FormatError("no structures in it; is it empty or incomplete?", file=path)
    if count not in (None, len(frames)) and index == ":":
        raise FormatError(f"ASE reads {len(frames)} frames, but there are {count}", file=path)
    for k, atoms in enumerate(frames):
        if not len(atoms) or atoms.numbers.min() < 0 or atoms.numbers.max() >= len(SYMBOLS):
            what = f"an atomic number of {atoms.numbers.max()}" if len(atoms) else "no atoms"
            raise FormatError(f"there is {what} in it; is it damaged?", file=path, field=f"structure {k}")
        _refuse_partial(atoms, path, k)
    return frames


def _read_cif(path, index):
    """Blocks of a CIF file, with an error for everything that ASE would drop; `index` as ASE takes it."""
    index = string2index(index) if isinstance(index, str) else -1 if index is None else index
    found = read_cif(path, index)
    if not found and not isinstance(index, slice):
        raise StopIteration
    return found


def _by_pymatgen(path, index):
    """Read what ASE does not know, through pymatgen if it is installed: its own JSON and YAML among others."""
    try:
        from pymatgen.core import Molecule
        from pymatgen.core import Structure as Crystal
    except ImportError as error:
        raise FormatError(
            "the format is none that ASE recognises, and pymatgen, which knows others, is not installed (pip install "
            "pymatgen); expected a file of structures (xyz, cif, POSCAR, ...)", file=path,
        ) from error
    index = string2index(index) if isinstance(index, str) else -1 if index is None else index
    if index not in (0, -1, slice(None)):
        raise FormatError(f"what pymatgen reads is one structure; there is none of index {index!r}", file=path)
    reasons = []
    for kind in (Crystal, Molecule):
        try:
            structure = Structure.of(kind.from_file(str(path)))
        except DataError as error:  # of sites that are shared, say
            raise FormatError(str(error), file=path) from error
        except _READER_ERRORS as error:
            reasons.append(f"{type(error).__name__}: {error}".rstrip(": "))
            continue
        return [Atoms(
            numbers=np.asarray(structure.numbers), positions=np.asarray(structure.positions),
            cell=np.asarray(structure.cell), masses=np.asarray(structure.masses), pbc=structure.pbc,
        )]
    raise FormatError(
        f"the format is none that ASE recognises, and pymatgen cannot read it ({reasons[0]}); expected a file of "
        "structures (xyz, cif, POSCAR, ...)", file=path,
    )


def _refuse_partial(atoms, path, frame):
    """Refuse atoms that are there only in part (PDB and the like: alternative locations), which ASE reads as whole."""
    occupancies = atoms.arrays.get("occupancy")
    if occupancies is None or occupancies.dtype.kind not in "fiu" or not occupancies.any():  # zeros: not filled in
        return
    partial = np.flatnonzero(np.abs(occupancies - 1.0) > 1e-3)
    if len(partial):
        named = first_few(f"{k} ({atoms.symbols[k]} {occupancies[k]:g})" for k in partial.tolist())
        raise FormatError(
            f"atoms are there only in part (occupancies): {named}; keep one of each set of alternatives, with "
            "occupancy 1", file=path, field=f"structure {frame}",
        )


def _split_index(path, index):
    """A file, and which frames: `FILE@INDEX`, as in ASE, counts where no index is given and no file has that name."""
    file, at, end = path.rpartition("@")
    if index is not None or not at or os.path.lexists(path):
        return path, index
    try:
        return file, string2index(end)
    except ValueError:
        return path, index


def labels(atoms: Atoms) -> dict[str, Any]:
    """Energy, forces and stress that a file gives for a structure.

    Args:
        atoms: `ase.Atoms` from `read_atoms`.

    Returns:
        dict with those of "energy" () eV, "forces" (n, 3) eV/A and "stress" (3, 3) eV/A^3 (+1/V dE/dstrain)
        that are there. A "virial" is -V times the stress.
    """
    known = {**atoms.arrays, **atoms.info, **(atoms.calc.results if atoms.calc is not None else {})}
    found: dict[str, Any] = {}
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
