"""Checkpoints of PyTorch, written without PyTorch: for tests of what reads them."""

import io
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

KINDS = {
    "<f4": "Float", "<f8": "Double", "<f2": "Half", "<i8": "Long", "<i4": "Int", "<i2": "Short", "|i1": "Char",
    "|u1": "Byte", "|b1": "Bool", "bfloat16": "BFloat16",
}


@dataclass(frozen=True)
class Name:
    """A function or class that a pickle names; there need be none."""

    module: str
    name: str

    def __call__(self):
        raise AssertionError("nothing is called")


@dataclass(eq=False)
class Call:
    """An object that a pickle makes by a call, with a state."""

    function: Name
    arguments: tuple
    state: object = None


@dataclass(eq=False)
class Storage:
    """Numbers beside the pickle."""

    data: bytes
    kind: str = "Float"
    count: int | None = None
    key: str | None = None
    word: str = "storage"


class Writer(pickle._Pickler):
    """The pickle of a checkpoint, and the storages that it names."""

    dispatch = dict(pickle._Pickler.dispatch)

    def __init__(self, file, protocol):
        super().__init__(file, protocol)
        self.storages = []

    def save_name(self, name):
        if self.proto >= 4:
            self.save(name.module)
            self.save(name.name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{name.module}\n{name.name}\n".encode())
        self.memoize(name)

    def save_call(self, call):
        self.save_reduce(call.function, call.arguments, call.state, obj=call)

    dispatch |= {Name: save_name, Call: save_call}

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        if value not in self.storages:
            self.storages.append(value)
        key = value.key or str(self.storages.index(value))
        width = {"Double": 8, "Long": 8, "Half": 2, "BFloat16": 2, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1}
        count = len(value.data) // width.get(value.kind, 4) if value.count is None else value.count
        return value.word, Name("torch", f"{value.kind}Storage"), key, "cpu", count


REBUILD = Name("torch._utils", "_rebuild_tensor_v2")


def tensor(storage, offset, shape, strides, *marks):
    return Call(REBUILD, (storage, offset, shape, strides, False, OrderedDict(), *marks))


def tensor_of(array):
    array = np.asarray(array)
    strides = tuple(step // array.itemsize for step in array.strides)
    return tensor(Storage(array.tobytes(), KINDS[array.dtype.str]), 0, array.shape, strides)


def members_of(tree, protocol=2):
    """The files of a checkpoint."""
    file = io.BytesIO()
    writer = Writer(file, protocol)
    writer.dump(tree)
    numbers = {f"data/{k}": storage.data for k, storage in enumerate(writer.storages)}
    return {"data.pkl": file.getvalue(), "byteorder": b"little", **numbers, "version": b"3\n"}


def zipped(members, compression=zipfile.ZIP_STORED, folder="archive/"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(folder + name, data)
    return file.getvalue()


def written(path, tree, protocol=2):
    path.write_bytes(zipped(members_of(tree, protocol)))
    return path
