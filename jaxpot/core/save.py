"""Saving and loading pytrees without pickle: a JSON header, then the arrays as they lie in memory.

Layout: the line `jaxpot-tree 1`, the length of the header in bytes as a decimal line, the header (JSON),
the arrays (little-endian, one after the other). The header holds the sha256 of itself (without that
entry) and of the arrays, so that a damaged file is refused, and the names of the classes (`core.pytree`); only
classes that have been registered with `@pytree` by an imported module are made, and nothing is ever executed.
"""

import dataclasses
import hashlib
import json
import os
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.files import read_bytes
from jaxpot.core.pytree import class_name, class_named, field_defaults, leaf_fields, static_fields
from jaxpot.errors import DataError, FormatError, JaxpotError, PrecisionError
from jaxpot.typing import FilePath, PyTree

MAGIC = b"jaxpot-tree 1\n"
_DTYPES = ("float64", "float32", "int64", "int32", "int16", "int8", "uint32", "bool", "complex128")
_MAX_HEADER = 1 << 24  # bytes; headers of potentials have some thousand


def save_tree(tree: PyTree, path: FilePath) -> None:
    """Write a potential (or any jaxpot pytree) to a file, atomically; `load_tree` reads it back exactly.

    Raises:
        DataError: the tree holds something that is neither an array nor plain static data.
    """
    blobs: list[bytes] = []
    body = _describe(tree, blobs)
    blob = b"".join(blobs)
    header = {"tree": body, "bytes": len(blob), "arrays_sha256": hashlib.sha256(blob).hexdigest()}
    header["header_sha256"] = _header_hash(header)
    text = json.dumps(header).encode()
    write_atomically(path, MAGIC + f"{len(text)}\n".encode() + text + blob)


def load_tree(path: FilePath, on_host: bool = False) -> PyTree:
    """Read what `save` wrote.

    Args:
        path: of the file.
        on_host: leave the arrays in NumPy, in the precision they have, whatever JAX's is.

    Raises:
        FormatError: not such a file, damaged, or of a class that no imported module defines.
        PrecisionError: the file holds double precision and JAX has x64 off.
    """
    data = read_bytes(path)
    if not data.startswith(MAGIC):
        raise FormatError(f"expected a file written by jaxpot.save (first line {MAGIC.decode().strip()!r})", path)
    rest = data[len(MAGIC):]
    length, _, rest = rest.partition(b"\n")
    if not length.isdigit() or int(length[:20]) > min(len(rest), _MAX_HEADER):
        raise FormatError("the length of the header is damaged or the file has been cut off", path)
    text, blob = rest[: int(length)], rest[int(length):]
    try:
        header = json.loads(text)
        expected = header["header_sha256"]
        body, size, digest = header["tree"], header["bytes"], header["arrays_sha256"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError("the header cannot be read", path) from error
    if expected != _header_hash(header):
        raise FormatError("the header has been changed since it was written (sha256 differs)", path)
    if size != len(blob) or digest != hashlib.sha256(blob).hexdigest():
        raise FormatError(f"the arrays are damaged: {len(blob)} bytes, expected {size} (or sha256 differs)", path)
    try:
        return _rebuild(body, _Blob(blob), path, on_host)
    except JaxpotError:
        raise
    except (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError) as error:
        # The hashes are right: a program wrote this, but not `save`.
        raise FormatError("the header does not describe a tree of arrays and known classes", path) from error


def write_atomically(path: FilePath, data: bytes) -> None:
    """Write bytes so that a reader sees the old file or the new one, never a part.

    Raises:
        DataError: there is no such folder, or nothing may be written there.
    """
    folder = os.path.dirname(os.path.abspath(path))
    try:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".jaxpot-")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError):  # a full disk
            raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _header_hash(header):
    rest = {key: value for key, value in header.items() if key != "header_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _describe(node, blobs):
    if node is None:
        return None
    if isinstance(node, jax.Array | np.ndarray | np.generic | float | int):
        array = np.asarray(node)
        if array.dtype.name not in _DTYPES:
            raise DataError(f"cannot save an array of type {array.dtype}")
        offset = sum(map(len, blobs))
        blobs.append(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return {"array": array.dtype.name, "shape": list(array.shape), "offset": offset}
    if isinstance(node, tuple | list):
        return {type(node).__name__: [_describe(item, blobs) for item in node]}
    if isinstance(node, dict):
        return {"dict": [[key, _describe(value, blobs)] for key, value in node.items()]}
    name = class_name(type(node))
    if class_named(name) is not type(node):
        raise DataError(
            f"cannot save a {type(node).__module__}.{type(node).__qualname__}: only classes decorated with jaxpot's "
            "@pytree can be saved"
        )
    return {
        "class": name,
        "fields": {key: _describe(value, blobs) for key, value in leaf_fields(node).items()},
        "static": {key: _plain(value) for key, value in static_fields(node).items()},
    }


def _plain(value):
    if isinstance(value, tuple):
        return {"tuple": [_plain(item) for item in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise DataError(f"cannot save the static value {value!r} of type {type(value).__name__}")


def _unplain(value):
    return tuple(_unplain(item) for item in value["tuple"]) if isinstance(value, dict) else value


class _Blob:
    """The arrays of a file, each given out once: a small file that shows its bytes as many arrays would fill memory."""

    def __init__(self, data):
        self.data, self.left = data, len(data)

    def array(self, dtype, shape, offset, path):
        """The array that begins at an offset."""
        count = int(np.prod(shape, dtype=object))
        if min(shape, default=0) < 0 or offset < 0 or offset + count * dtype.itemsize > len(self.data):
            raise FormatError("an array lies outside of the file", path)
        self.left -= count * dtype.itemsize
        if self.left < 0:
            raise FormatError("arrays lie over each other", path)
        return np.frombuffer(self.data, dtype, count, offset).reshape(shape)


def _rebuild(body, blob, path, on_host):
    if body is None:
        return None
    if "array" in body:
        if body["array"] not in _DTYPES:
            raise FormatError(f"unknown array type {body['array']!r}", path)
        dtype = np.dtype(body["array"]).newbyteorder("<")
        array = blob.array(dtype, body["shape"], body["offset"], path)
        if on_host:
            return array.astype(body["array"])
        if dtype.itemsize == 8 and not jax.config.jax_enable_x64:
            raise PrecisionError(
                f"{path} holds double precision, but JAX has x64 switched off: put `import jax; "
                'jax.config.update("jax_enable_x64", True)` before loading'
            )
        return jnp.asarray(array.astype(body["array"]))
    for kind in (tuple, list):
        if kind.__name__ in body:
            return kind(_rebuild(item, blob, path, on_host) for item in body[kind.__name__])
    if "dict" in body:
        return {key: _rebuild(value, blob, path, on_host) for key, value in body["dict"]}
    cls = class_named(body["class"])
    if cls is None:
        raise FormatError(
            f"the file holds a {body['class']}, which no imported module defines: import that module first", path
        )
    node = object.__new__(cls)
    # A file may be older than a field: its default is what the class meant before.
    values = field_defaults(cls) | {
        key: _rebuild(value, blob, path, on_host) for key, value in body["fields"].items()
    }
    values.update({key: _unplain(value) for key, value in body["static"].items()})
    for former, name in getattr(cls, "former_fields", {}).items():
        if former in values:
            values[name] = values.pop(former)
    expected = {field.name for field in dataclasses.fields(cls)}
    if set(values) == expected and hasattr(cls, "upgraded"):
        try:
            values = cls.upgraded(values)
        except (DataError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise FormatError(f"the fields of {body['class']} do not fit each other ({error})", path) from error
    if set(values) != expected:
        raise FormatError(f"{body['class']} has the fields {sorted(expected)}, the file {sorted(values)}", path)
    for key, value in values.items():
        object.__setattr__(node, key, value)
    return node
