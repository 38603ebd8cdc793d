"""ASE's own files, data bases and trajectories: what they declare, compared with what they hold.

ASE makes an array of the shape that such a file declares, and fills it, before it knows that the file is too short.
"""

import contextlib
import json
import math
import re
import sqlite3
import struct
from pathlib import Path
from typing import IO

from jaxpot.errors import FormatError
from jaxpot.typing import FilePath

_MAGIC, _HEAD = b"- of Ulm", struct.Struct("<8s16sqqq")
_OLD_MAGIC = b"AFFormat"
_COMPUTED = re.compile(r"\bAS\s*\(|\b(?:GENERATED|VIRTUAL)\b", re.IGNORECASE)  # columns and tables that are programs
_NUMBERS = tuple("float64 float32 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool complex128 complex64".split())


def check_json(file: IO[bytes], path: FilePath) -> None:
    """Check the arrays of a data base in JSON.

    Args:
        file: open, of bytes.
        path: its name, for messages.

    Raises:
        FormatError: no JSON, an array of another shape than it declares, or a structure that is there twice.
    """
    tree = _parsed(file.read(), path)
    ids = tree.get("ids", []) if isinstance(tree, dict) else []
    if isinstance(ids, list) and len(set(map(str, ids))) < len(ids):
        raise FormatError("a structure is there more than once", path, field="ids")


def check_database(path: FilePath) -> None:
    """Check that a data base of SQLite is one of ASE's, with tables alone: views and triggers are programs.

    ASE would make its tables in a data base that has none.

    Args:
        path: its name; it is opened for reading.

    Raises:
        FormatError: another data base, none, or an array in it of another shape than it declares.
    """
    try:
        connection = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)
        with contextlib.closing(connection):
            parts = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
            if not {"systems", "information"} <= {name for kind, name, _ in parts if kind == "table"}:
                raise FormatError("this is no data base of ASE: its tables are missing", path)
            for kind, name, sql in parts:
                if kind not in ("table", "index") or _COMPUTED.search(sql or ""):
                    raise FormatError(f"{name} is a {kind} that is computed, which no data base of ASE has", path)
            texts = "SELECT constraints, calculator_parameters, key_value_pairs FROM systems"
            for text in (text for row in connection.execute(texts) for text in row if text):
                _parsed(text, path)
    except (sqlite3.Error, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"this is no data base of SQLite, or a damaged one ({error})", path) from error


def check_trajectory(file: IO[bytes], path: FilePath) -> None:
    """Check the arrays of an ASE trajectory.

    Args:
        file: open, of bytes, at its beginning.
        path: its name, for messages.

    Raises:
        FormatError: a part that lies outside of the file or over another, or an array of more bytes than the file has.
    """
    size = file.seek(0, 2)
    head = _bytes(file, 0, _HEAD.size, size, path)
    magic, _, _, items, place = _HEAD.unpack(head)
    if magic not in (_MAGIC, _OLD_MAGIC):
        raise FormatError("this is not a trajectory of ASE", path)
    if not 0 <= items <= size // 8:
        raise FormatError(f"{items} structures are declared, more than {size} bytes can hold", path)
    offsets = struct.unpack(f"<{items}q", _bytes(file, place, 8 * items, size, path))
    end = 0
    for offset in offsets:
        (length,) = struct.unpack("<q", _bytes(file, offset, 8, size, path))
        if offset < end:
            raise FormatError("structures lie over each other", path)
        tree = _parsed(_bytes(file, offset + 8, length, size, path), path)
        _check_places(tree, size, path)
        end = offset + 8 + length


def _bytes(file, start, count, size, path):
    if start < 0 or count < 0 or start + count > size:
        raise FormatError("a part of it lies outside of the file; it is cut off or damaged", path)
    file.seek(start)
    return file.read(count)


def _parsed(data, path):
    """JSON, in which each array has the shape it declares; a constraint is JSON in a text of it."""

    def check(node):
        if "__ndarray__" in node:
            shape, _, values = node["__ndarray__"]
            if math.prod(map(int, shape)) != _count(values):
                raise ValueError(f"an array is declared with the shape {shape}, but has {_count(values)} numbers")
        if isinstance(node.get("constraints"), str):
            json.loads(node["constraints"], object_hook=check)
        return node

    try:
        return json.loads(data, object_hook=check)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise FormatError(f"ASE's files hold JSON, and this is damaged: {error}", path) from error


def _count(values):
    """Count the numbers in nested lists; one where there is no list."""
    return sum(map(_count, values)) if isinstance(values, list) else 1


def _check_places(node, size, path):
    """Arrays beside the JSON: `name.: {"ndarray": [shape, type, offset]}`."""
    for name, value in node.items() if isinstance(node, dict) else ():
        if not (name.endswith(".") and isinstance(value, dict)):
            continue
        if "ndarray" not in value:
            _check_places(value, size, path)
            continue
        try:
            shape, kind, offset = value["ndarray"]
            count = math.prod(map(int, shape))
            inside = min(map(int, shape), default=0) >= 0 and 0 <= int(offset) and int(offset) + count <= size
        except (TypeError, ValueError, OverflowError) as error:
            message = f"expected a shape, a type and a place, got {value['ndarray']!r}"
            raise FormatError(message, path, field=name[:-1]) from error
        if not inside or kind not in _NUMBERS:
            message = f"an array of the shape {shape} and the type {kind} is not in the file"
            raise FormatError(message, path, field=name[:-1])
