"""Arrays of a file in NetCDF's classic format, as molecular dynamics programs write trajectories.

Source: NetCDF Classic Format Specification, with its 64-bit offset variant (Unidata, NetCDF User's Guide, appendix).
"""

import math
import os
from typing import Any

import numpy as np

from jaxpot.core.files import file_size
from jaxpot.errors import FormatError
from jaxpot.typing import FilePath

_TYPES = {1: ">i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8"}
_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 10, 11, 12
_STREAMING = 0xFFFFFFFF  # in place of the number of records: as many as there are
_LARGEST_HEAD = 1 << 20  # bytes
_HDF5 = b"\x89HDF"


def is_netcdf(path: FilePath) -> bool:
    """Whether a file begins, or its name ends, as those of NetCDF do."""
    if os.fspath(path).endswith((".nc", ".netcdf", ".ncdf")):
        return True
    try:
        with open(path, "rb") as file:
            return file.read(3) == b"CDF"
    except (OSError, ValueError):
        return False


def read_netcdf(path: FilePath) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """The variables of a file.

    Args:
        path: file name.

    Returns:
        dict: name -> (array, attributes). Arrays with a record (frame) dimension have it first; records that are not
        whole are left out. Attributes: name -> text or numbers.

    Raises:
        FormatError: no such file, another format (NetCDF 4 is HDF5), a damaged or incomplete head.
    """
    size = file_size(path)
    with open(path, "rb") as file:
        head = _Head(file.read(min(size, _LARGEST_HEAD)), path)
        records, variables = head.parse()
        in_records = [v for v in variables if v["records"]]
        if any(v["bytes"] > size or not v["bytes"] for v in variables):
            raise FormatError("a variable is empty, or larger than the file; it is cut off or damaged", path)
        contents = {v["name"]: (_array(file, v, v["shape"], size, path), v["attributes"])
                    for v in variables if not v["records"]}
        if in_records:
            start = min(v["begin"] for v in in_records)
            padded = sum(_padded(v["bytes"]) for v in in_records) if len(in_records) > 1 else in_records[0]["bytes"]
            whole = max(size - start, 0) // max(padded, 1)
            records = whole if records == _STREAMING else min(records, whole)
            offsets = [v["begin"] - start for v in in_records]
            if max(o + v["bytes"] for o, v in zip(offsets, in_records, strict=True)) > padded:
                raise FormatError("variables of a frame lie over each other; it is damaged", path)
            layout = np.dtype({
                "names": [v["name"] for v in in_records], "formats": [(v["type"], v["shape"]) for v in in_records],
                "offsets": offsets, "itemsize": padded,
            })
            table = np.fromfile(file, layout, records, offset=start - file.tell())
            contents |= {v["name"]: (table[v["name"]], v["attributes"]) for v in in_records}
    return contents


def _array(file, variable, shape, size, path):
    if variable["begin"] + variable["bytes"] > size:
        raise FormatError("the file ends before its values; it is cut off", path, field=variable["name"])
    file.seek(variable["begin"])
    return np.frombuffer(file.read(variable["bytes"]), variable["type"]).reshape(shape)


def _padded(count):
    return -(-count // 4) * 4


class _Head:
    """The head of a file, read from its beginning."""

    def __init__(self, content, path):
        self.content, self.path, self.at = content, path, 0
        if content[:4] == _HDF5:
            raise FormatError("NetCDF 4, which is HDF5, is not read; convert it: nccopy -k classic IN.nc OUT.nc", path)
        if content[:3] != b"CDF" or content[3:4] not in (b"\1", b"\2"):
            raise FormatError("expected a file of NetCDF's classic format (CDF-1 or CDF-2)", path)
        self.wide = 8 if content[3:4] == b"\2" else 4

    def parse(self):
        """The number of records, and the variables."""
        self.at = 4
        records = self._whole()
        dimensions = self._list(_DIMENSIONS, lambda: (self._text(), self._whole()))
        self._list(_ATTRIBUTES, self._attribute)
        variables = self._list(_VARIABLES, lambda: self._variable(dimensions))
        if len({v["name"] for v in variables}) < len(variables):
            raise self._damaged()
        return records, variables

    def _variable(self, dimensions):
        name = self._text()
        places = [self._whole() for _ in range(self._count())]
        attributes = dict(self._list(_ATTRIBUTES, self._attribute))
        kind = _TYPES.get(self._whole())
        self._whole()  # its size, which the shape says too
        begin = int.from_bytes(self._bytes(self.wide), "big")
        if kind is None or any(place >= len(dimensions) for place in places):
            raise self._damaged()
        sizes = [dimensions[place][1] for place in places]
        records = bool(sizes) and sizes[0] == 0
        shape = tuple(sizes[1:] if records else sizes)
        count = math.prod(shape) * np.dtype(kind).itemsize
        if count >= 1 << 62:
            raise self._damaged()
        return {
            "name": name, "attributes": attributes, "type": kind, "begin": begin, "records": records, "shape": shape,
            "bytes": count,
        }

    def _attribute(self):
        name, kind = self._text(), _TYPES.get(self._whole())
        count = self._count()
        if kind is None:
            raise self._damaged()
        size = count * np.dtype(kind).itemsize
        content = self._bytes(_padded(size))[:size]
        if kind == "S1":
            return name, content.decode("utf-8", "replace").rstrip("\0")
        return name, np.frombuffer(content, kind)

    def _list(self, tag, entry):
        kind, count = self._whole(), self._count()
        if kind not in (0, tag) or (kind == 0 and count):
            raise self._damaged()
        return [entry() for _ in range(count)]

    def _text(self):
        count = self._count()
        return self._bytes(_padded(count))[:count].decode("utf-8", "replace")

    def _count(self):
        """A number of things of one byte at least, that the head can hold."""
        count = self._whole()
        if count > len(self.content):
            raise self._damaged()
        return count

    def _whole(self):
        return int.from_bytes(self._bytes(4), "big")

    def _bytes(self, count):
        if self.at + count > len(self.content):
            raise self._damaged()
        self.at += count
        return self.content[self.at - count : self.at]

    def _damaged(self):
        return FormatError(f"the head of this NetCDF file is cut off or damaged (byte {self.at})", self.path)
