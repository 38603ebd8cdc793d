"""Checkpoints of PyTorch (`torch.save`), read without PyTorch, of which nothing is executed.

A checkpoint is a zip file, stored without compression, with one folder: `data.pkl`, a pickle of everything but the
numbers of tensors, and `data/0`, `data/1` ..., the numbers as they lay in memory.
"""

import io
import struct
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxpot.core.files import file_size, read_bytes
from jaxpot.errors import FormatError
from jaxpot.formats.plain_objects import Known, Room, as_counts, check_arguments, room_for
from jaxpot.formats.plain_pickle import plain_tree
from jaxpot.typing import FilePath

_MAGIC = b"PK\x03\x04"
_LISTED = b"PK\x01\x02"  # before each entry of the list of files
_MOST_FILES = 100_000  # published checkpoints have some hundred
_PICKLE, _ORDER, _NUMBERS = "data.pkl", "byteorder", "data/"
_DAMAGED = (  # what `zipfile` raises; a wrong version is not implemented
    zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError, struct.error, OverflowError,
)
_STORED = {  # class of storages: its numbers in the file; bfloat16 is the upper half of a float32
    "Float": "<f4", "Double": "<f8", "Half": "<f2", "BFloat16": "<u2", "Long": "<i8", "Int": "<i4", "Short": "<i2",
    "Char": "<i1", "Byte": "<u1", "Bool": "<u1",
}
_DTYPES = (
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
    "complex128",
)


def read_torch_archive(path: FilePath) -> Any:
    """Tree of dicts, lists, tuples, plain values and NumPy arrays of a file that `torch.save` wrote.

    Tensors and parameters become read-only arrays (those of bfloat16 of float32), devices and types of numbers words
    ("cuda:0", "float32"). Of an OrderedDict the items are read, not the attributes.

    Args:
        path: of the file.

    Raises:
        FormatError: not such a file, damaged, or one that holds anything else, such as objects of other classes.
    """
    files = _files(path)
    if _PICKLE not in files:
        raise FormatError("expected a checkpoint of torch.save, with NAME/data.pkl: this is another zip file", path)
    order = files.get(_ORDER, b"little")
    if order != b"little":
        raise FormatError(f"expected 'little', numbers with the smallest byte first; got {order[:20]!r}", path,
                          field=_ORDER)
    # As much again as the file for numbers of bfloat16, which double, and for those that tensors share.
    room = Room(2 * sum(map(len, files.values())))
    tensors = _Tensors(files, room)
    try:
        return plain_tree(files[_PICKLE], tensors.names(), tensors.storage, room)
    except ValueError as error:
        raise FormatError(str(error), path, field=_PICKLE) from error


def is_torch_archive(head: bytes, path: str, word: bytes = b"") -> bool:
    """Whether a file looks like a checkpoint of `torch.save`, whose pickle holds a word.

    Args:
        head: its first bytes.
        path: of the file.
        word: by which checkpoints of one program are told from those of others.
    """
    if not head.startswith(_MAGIC):
        return False
    try:
        files = _files(path)
    except FormatError:
        return False
    return _PICKLE in files and word in files[_PICKLE]


def _opened(path):
    """The zip file, of which the list of files has been read."""
    data = read_bytes(path)
    if not data.startswith(_MAGIC):
        raise FormatError(
            "expected a zip file, as torch.save writes since PyTorch 1.6: load an older file with PyTorch and save it "
            "again", path,
        )
    if data.count(_LISTED) > _MOST_FILES:  # each is a line of the list, for which much memory is needed
        raise FormatError(f"the zip file holds more than {_MOST_FILES} files", path)
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except _DAMAGED as error:
        raise FormatError(f"the zip file is damaged or cut off: {error}", path) from error


def _files(path):
    """Contents of the files in the one folder of a zip file, by name."""
    with _opened(path) as archive:
        members = archive.infolist()
        _check_members(members, path)
        try:
            return {member.filename.partition("/")[2]: archive.read(member) for member in members}
        except _DAMAGED as error:
            raise FormatError(f"the zip file is damaged: {error}", path) from error


def _check_members(members, path):
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise FormatError("is compressed or encrypted, which torch.save does not", path, field=member.filename)
    if sum(member.file_size for member in members) > file_size(path):
        raise FormatError("the files in it are larger than the zip file", path)
    if len({member.filename for member in members}) < len(members):
        raise FormatError("the zip file holds two files of one name", path)
    if len({member.filename.partition("/")[0] for member in members}) > 1:
        raise FormatError("expected a zip file with one folder, as torch.save writes; there are several", path)


@dataclass(frozen=True)
class _Storage:
    """Numbers in the file, of which tensors show some or all."""

    kind: str
    data: bytes

    @property
    def dtype(self):
        return np.dtype(_STORED[self.kind])


class _Tensors:
    """Tensors of the numbers in a zip file.

    Args:
        files: their contents by name.
        room: for the arrays.
    """

    def __init__(self, files, room):
        self.files, self.room = files, room

    def names(self):
        """The names of PyTorch that are known."""
        makers = {
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_parameter": _parameter,
            "torch.Size": _size,
            "torch.device": _device,
        }
        return {
            **{name: Known(name, make) for name, make in makers.items()},
            **{name: Known(name) for name in map(_class_name, _STORED)},
            **{f"torch.{name}": name for name in _DTYPES},
        }

    def storage(self, place):
        """The numbers that a persistent id names."""
        values = place if isinstance(place, tuple) else (place,)
        check_arguments("a storage", values, str, Known, str, str, int)
        word, kind, key, _, count = values
        kinds = {_class_name(short): short for short in _STORED}
        if word != "storage" or kind.name not in kinds:
            raise ValueError(f"expected a storage of tensors, got {word[:40]!r} of {kind.name}")
        if _NUMBERS + key not in self.files:
            raise ValueError(f"the numbers {_NUMBERS}{key[:40]} are missing in the zip file")
        storage = _Storage(kinds[kind.name], self.files[_NUMBERS + key])
        if count < 0 or count * storage.dtype.itemsize != len(storage.data):
            raise ValueError(
                f"{_NUMBERS}{key[:40]} has {len(storage.data)} bytes; expected {count} numbers of "
                f"{storage.dtype.itemsize} bytes"
            )
        return storage

    def tensor(self, arguments):
        """An array of a storage, where its first number lies, sizes and strides; gradients are of no interest."""
        name = "torch._utils._rebuild_tensor_v2"
        check_arguments(name, arguments[:6], _Storage, int, tuple, tuple, bool, dict)
        if any(mark is not None for mark in arguments[6:]):
            raise ValueError(f"{name}: marks on a tensor (conjugate, negative), which are not read")
        storage, offset, shape, strides = arguments[:4]
        shape, strides = as_counts(shape, "sizes of a tensor"), as_counts(strides, "strides of a tensor")
        if len(shape) != len(strides):
            raise ValueError(f"a tensor has the sizes {shape} and the strides {strides}")
        dtype = storage.dtype
        empty = 0 in shape
        extent = 0 if empty else 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if offset < 0 or (offset + extent) * dtype.itemsize > len(storage.data):
            raise ValueError(
                f"a tensor {shape} with strides {strides} at {offset} does not lie within its storage of "
                f"{len(storage.data) // dtype.itemsize} numbers"
            )
        self.room.take(room_for(shape, np.dtype("<f4") if storage.kind == "BFloat16" else dtype))
        # A stride along an axis of one is never taken, and may be any.
        steps = None if empty else [step * dtype.itemsize * (n > 1) for n, step in zip(shape, strides, strict=True)]
        return _converted(np.ndarray(shape, dtype, storage.data, offset * dtype.itemsize, steps), storage.kind)


def _converted(array, kind):
    """A read-only array in the order of its axes, of the numbers that are meant."""
    if kind == "BFloat16":
        array = array.astype("<u4", order="C")
        array <<= 16
        array = array.view("<f4")
    elif kind == "Bool":
        array = array.astype(bool, order="C")
    elif not array.flags.c_contiguous:
        array = array.copy("C")
    array.flags.writeable = False
    return array


def _class_name(kind):
    return f"torch.{kind}Storage"


def _parameter(arguments):
    """The tensor that is trained."""
    check_arguments("torch._utils._rebuild_parameter", arguments, np.ndarray, bool, dict)
    return arguments[0]


def _size(arguments):
    check_arguments("torch.Size", arguments, tuple)
    return as_counts(arguments[0], "torch.Size")


def _device(arguments):
    check_arguments("torch.device", arguments, *(str, int)[:max(len(arguments), 1)])
    return ":".join(str(part) for part in arguments)
