"""Which of ASE's formats are read, and what is looked at before ASE opens a file.

Most of ASE's readers take numbers from a text, and that is all. Others open further files that the text names, connect
to data bases, make tables in them, start a calculator, or unpickle: no file of structures needs that. And some make
room for as many atoms as a file declares before they look for them.
"""

import bz2
import gzip
import lzma
import re
from itertools import islice
from pathlib import Path

from ase.io.formats import UnknownFileTypeError, filetype, get_compression, ioformats, open_with_compression

from jaxpot.core.files import check_beside, file_size
from jaxpot.errors import FormatError
from jaxpot.io.ase_files import check_database, check_json, check_trajectory
from jaxpot.io.extxyz import DAMAGED
from jaxpot.typing import FilePath

_READ = frozenset(
    "abinit-in abinit-out aims aims-output castep-castep castep-geom castep-md castep-phonon cfg cif cjson cmdft "
    "cp2k-dcd cp2k-restart crystal cube dacapo-text db dftb dlp-history dlp4 dmol-arc dmol-car dmol-incoor elk eon "
    "espresso-in espresso-out extxyz gamess-us-out gamess-us-punch gaussian-in gaussian-out gen gpaw-out gpumd gromacs "
    "gromos json jsv lammps-data lammps-dump-text magres mol mustem netcdftrajectory nomad-json nwchem-in nwchem-out "
    "onetep-out orca-output prismatic proteindatabank qbox res rmc6f runnerdata sdf siesta-xv struct struct_out sys "
    "traj turbomole turbomole-gradient v-sim vasp vasp-out vasp-xdatcar vasp-xml wout xsd xsf xyz".split()
)
_REFUSED = {
    "bundletrajectory": "it is a folder, of pickles in older versions",
    "castep-cell": "ASE starts a calculator to read it",
    "gpw": "older ones hold pickles",
    "mysql": "it is the address of a data base",
    "onetep-in": "it includes other files",
    "octopus-in": "it includes other files",
    "postgresql": "it is the address of a data base",
    "xtd": "another file is read in its place",
}
COUNTS = {  # format: what declares numbers of atoms in the first lines
    "vasp": rb"(?:[^\n]*\n){5,6}?[ \t]*((?:\d+[ \t]*)+)",
    "vasp-xdatcar": rb"(?:[^\n]*\n){5,6}?[ \t]*((?:\d+[ \t]*)+)",
    "cfg": rb"(?s:.*?)Number of particles\s*=\s*(\d+)",
    "lammps-data": rb"(?s:.*?)^[ \t]*(\d+)[ \t]+atoms",
}
_NEXT_TO = {"vasp": ("POTCAR", "OUTCAR"), "vasp-out": ("CONTCAR", "POSCAR")}  # what ASE also reads, if it is there
_OPENERS = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
_GROWTH, _ANY_GROWTH = 100, 1 << 22  # compressed files may grow so many times, or to so many bytes
HEAD, _CHUNK = 1 << 16, 1 << 20


def format_of(path: FilePath) -> str:
    """The name that ASE gives to the format of a file, once nothing speaks against reading it.

    Args:
        path: file name.

    Returns:
        str.

    Raises:
        FormatError: no ordinary file; a format that is not read, and why; a compressed file that is damaged, or grows
            more than a hundredfold; more atoms declared than the file can hold.
        UnknownFileTypeError: ASE does not know the format.
    """
    path = str(path)
    if Path(path).is_dir():
        raise FormatError("this is a folder; expected a file of structures", path)
    size = file_size(path)
    _check_growth(path, size)
    try:
        name = filetype(path)
    except DAMAGED as error:
        raise FormatError(f"the file cannot be read ({error})", path) from error
    if name not in _READ:
        if name in ioformats:
            why = f": {_REFUSED[name]}" if name in _REFUSED else ""
            raise FormatError(
                f"files of the kind {name} are not read{why}; write the structures as extended XYZ with ASE", path
            )
        raise UnknownFileTypeError(name)
    if name == "db":
        check_database(path)
    elif name in ("json", "traj"):
        with open_with_compression(path, "rb") as file:
            (check_json if name == "json" else check_trajectory)(file, path)
    elif name in COUNTS:
        _check_counts(path, name, size)
    if name == "vasp-out" or (name == "vasp" and _names_no_elements(path)):
        for other in sorted(Path(path).parent.iterdir()):
            if other.name.startswith(_NEXT_TO[name]):
                check_beside(other, path)
                file_size(other)
    return name


def _check_growth(path, size):
    """A small file that becomes a large one holds little, many times over: the memory of whoever reads it."""
    _, kind = get_compression(path)
    if kind is None:
        return
    most = max(_ANY_GROWTH, _GROWTH * size)
    try:
        with _OPENERS[kind](path, "rb") as file:
            grown = sum(len(chunk) for chunk in islice(iter(lambda: file.read(_CHUNK), b""), 2 + most // _CHUNK))
    except (OSError, MemoryError, *DAMAGED) as error:
        raise FormatError(f"the file cannot be read ({error})", path) from error
    if grown > most:
        raise FormatError(
            f"its {size} bytes become more than {most} when they are decompressed: decompress it yourself if you trust "
            "it", path,
        )


def _check_counts(path, name, size):
    """An atom takes two bytes at least, a coordinate and a space."""
    with open_with_compression(path, "rb") as file:
        head = file.read(HEAD)
    found = re.match(COUNTS[name], head, re.MULTILINE)
    atoms = sum(int(word[:18]) for word in found[1].split()) if found else 0
    if atoms > max(_GROWTH * size, HEAD):
        raise FormatError(f"{atoms} atoms are declared, more than {size} bytes can hold", path)


def _names_no_elements(path):
    """Whether a POSCAR has numbers where the names of its elements should be: ASE then looks for these elsewhere."""
    with open_with_compression(path, "rb") as file:
        line = next(islice(file, 5, None), b"")
    return line.split()[:1] != [] and line.split()[0].isdigit()
