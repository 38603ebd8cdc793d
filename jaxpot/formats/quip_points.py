"""The sparse points of a GAP: in QUIP's XML itself, or in a file beside it."""

import bz2
import hashlib
import io
import lzma
import os
from pathlib import Path

import numpy as np

from jaxpot.core.files import check_beside, file_size
from jaxpot.descriptors.base import Descriptor
from jaxpot.errors import FormatError
from jaxpot.formats.quip_document import MOST_POINTS, Coordinate, Document

_CHUNK = 1 << 20
_LONGEST_NUMBER = 64  # bytes with the space around it; QUIP writes 25


def read_points(document: Document, coordinate: Coordinate, descriptor: Descriptor) -> np.ndarray:
    """Sparse points (M, d), from the file itself or from the one beside it."""
    attributes, line = coordinate.attributes, coordinate.line
    count = document.count(attributes, "n_sparseX", MOST_POINTS, line=line)
    dimension = document.count(attributes, "dimensions", MOST_POINTS, line=line)
    if dimension != descriptor.dimension:
        raise document.error(
            f"the descriptor has {descriptor.dimension} components, the file says {dimension}", "dimensions", line
        )
    if count != len(coordinate.weights) or count == 0:
        raise document.error(f"{count} sparse points are announced, but there are weights of "
                             f"{len(coordinate.weights)}", "n_sparseX", line)
    if "sparseX_filename" not in attributes:
        points = coordinate.inline
        if len(points) != count or any(len(point) != dimension for point in points):
            raise document.error(f"expected {count} points of {dimension} numbers in the file", "sparseX", line)
        return np.array(points)
    path, data = _side_file(document, attributes["sparseX_filename"], line, _LONGEST_NUMBER * (count * dimension + 1))
    expected = attributes.get("sparseX_md5sum", "").strip()
    if expected and hashlib.md5(data, usedforsecurity=False).hexdigest() != expected:
        raise FormatError(f"the file has changed since the GAP was written: its md5 is not {expected}", path)
    numbers = _side_numbers(path, data)
    if numbers.size != count * dimension:
        raise FormatError(f"expected {count} x {dimension} numbers, found {numbers.size}", path)
    return numbers.reshape(count, dimension)


def _side_file(document, name, line, most):
    """Path and contents of a file beside the XML, decompressed if need be, up to a number of bytes."""
    name = name.strip()
    if Path(name).name != name or name in ("", ".", ".."):
        message = f"expected the plain name of a file beside the XML, got {name!r}"
        raise document.error(message, "sparseX_filename", line)
    plain = document.path.parent / name
    for ending, read in (("", io.open), (".xz", lzma.open), (".bz2", bz2.open)):
        path = plain.with_name(name + ending)
        if not os.path.lexists(path):
            continue
        check_beside(path, document.path)
        file_size(path)
        try:
            with read(path, "rb") as file:
                data = file.read(most + 1)
        except (OSError, EOFError, MemoryError, lzma.LZMAError) as error:
            raise FormatError(f"cannot be read: {error}", path) from error
        if len(data) > most:
            raise FormatError(f"the file has more than {most} bytes, more than its numbers can fill", path)
        return path, data
    raise FormatError(
        f"the sparse points are in a file that is missing (also as .xz or .bz2): put it beside {document.path.name}",
        plain, field="sparseX_filename",
    )


def _side_numbers(path, data):
    """All numbers of a side file."""
    pieces, begin, line = [], 0, 1
    while begin < len(data):
        end = data.find(b"\n", begin + _CHUNK)
        piece = data[begin : len(data) if end < 0 else end + 1]
        try:
            numbers = np.array(piece.translate(bytes.maketrans(b"Dd", b"Ee")).split(), dtype=np.float64)
        except ValueError as error:
            raise FormatError(f"expected numbers: {error}", path, line) from error
        if not np.isfinite(numbers).all():
            raise FormatError("not all numbers are finite", path, line)
        pieces.append(numbers)
        line += piece.count(b"\n")
        begin += len(piece)
    return np.concatenate(pieces) if pieces else np.zeros(0)
