"""What an .npz file declares, checked before its arrays are made.

`np.load` unpickles nothing unless told to, but it makes room for whatever a header asks for, and decompresses what is
small in the file and large in memory. Files that `np.savez` writes hold arrays as they lie in memory.
"""

import math
import re
import zipfile
from typing import IO, NamedTuple

import numpy as np

from jaxpot.core.files import file_size
from jaxpot.typing import FilePath

_LONGEST_HEADER = 10_000  # bytes, as in NumPy
_HEADER = re.compile(
    rb"\{'descr': '([<>|=]?[biufcU]\d{1,9})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\), \}\s*"
)


def check_npz(path: FilePath) -> None:
    """Refuse a file that holds anything but arrays of numbers and words, of which each fills the room that it declares.

    Raises:
        FormatError: no ordinary file.
        ValueError: another kind of zip file, or an array that does not fill its room.
        zipfile.BadZipFile, OSError: no zip file, or a damaged one.
    """
    size = file_size(path)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
                raise ValueError(f"{member.filename} is compressed or encrypted")
        if sum(member.file_size for member in members) > size:
            raise ValueError("its arrays are larger than the file")
        for member in members:
            with archive.open(member) as file:
                declared = _declared(file)
            if declared != member.file_size:
                raise ValueError(f"{member.filename} has {member.file_size} bytes, and its header declares {declared}")


def _declared(file):
    """Bytes of an array with its header, as the header has it."""
    begin = file.tell()
    header = array_header(file)
    return file.tell() - begin + math.prod(header.shape) * header.dtype.itemsize


class ArrayHeader(NamedTuple):
    """Header of an array in NumPy's format; `by_columns`: whether the first index runs fastest."""

    dtype: np.dtype
    by_columns: bool
    shape: tuple[int, ...]


def array_header(file: IO[bytes]) -> ArrayHeader:
    """Read the header of an array, as NumPy writes it: nothing in it is evaluated, as NumPy does.

    Raises:
        ValueError: no such header, or a type of numbers that NumPy does not know.
    """
    major, _ = np.lib.format.read_magic(file)
    length = int.from_bytes(file.read(2 if major == 1 else 4), "little")
    header = _HEADER.fullmatch(file.read(length)) if length <= _LONGEST_HEADER else None
    if header is None:
        raise ValueError("the header of an array is not one that np.savez writes")
    try:
        dtype = np.dtype(header[1].decode())
    except TypeError as error:
        raise ValueError(str(error)) from error
    return ArrayHeader(dtype, header[2] == b"True", tuple(int(n) for n in header[3].replace(b",", b" ").split()))
