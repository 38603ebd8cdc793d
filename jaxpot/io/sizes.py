"""How many atoms a file declares, from a look at its text: what is too much for a command is told before it is read."""

import os
import re

from ase.io.formats import UnknownFileTypeError, filetype, open_with_compression

from jaxpot.io.extxyz import DAMAGED
from jaxpot.io.formats import COUNTS, HEAD
from jaxpot.typing import FilePath

_SITES = b"_atom_site_fract_x"
_END = re.compile(rb"\s*(?:$|loop_|data_|_|#)")


def declared_atoms(path: FilePath) -> int | None:
    """The number of atoms of the first structure of a file, as far as its text says it without being read.

    Args:
        path: file name, or `FILE@INDEX`.

    Returns:
        int; of a CIF its sites, from which symmetry may make more. None where that is not known: another format, no
        file, a damaged one (readers say so).
    """
    before, at, _ = str(path).rpartition("@")
    path = before if at and os.path.isfile(before) and not os.path.isfile(path) else path
    if not os.path.isfile(path):  # a pipe would wait for ever
        return None
    try:
        kind = filetype(str(path))
        with open_with_compression(str(path), "rb") as file:
            if kind == "cif":
                return _sites(file)
            head = file.read(HEAD)
    except (OSError, UnknownFileTypeError, *DAMAGED):
        return None
    pattern = rb"\s*(\d+)\s*\n" if kind in ("xyz", "extxyz") else COUNTS.get(kind)
    match = pattern and re.match(pattern, head, re.MULTILINE)
    return sum(int(word[:18]) for word in match[1].split()) if match else None


def _sites(file):
    """Rows of the first loop with fractional coordinates."""
    lines = iter(file)
    if not any(line.strip().lower() == _SITES for line in lines):
        return None
    while (line := next(lines, b"")).lstrip().startswith(b"_"):
        pass
    rows = 0 if _END.match(line) else 1
    for line in lines:
        if _END.match(line):
            break
        rows += 1
    return rows
