"""Files that mean harm: what is in them, and by which reader they are read. `test_hostile` has them read."""

import gzip
import io
import marshal
import os
import pickle
import sqlite3
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

GOOD = Path(__file__).parents[1] / "formats" / "files"
OUTSIDE = "outside.txt"  # beside the folder of a case: what must not be read
CANARY = "canary"  # what code that is run would make, beside it too
SECRET = "secret words of another file"  # noqa: S105


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Pipe:
    """A named pipe, into which nobody writes."""


@dataclass(frozen=True)
class Hostile:
    """Files of a folder, and how one of them is read.

    Fields:
        name: of the case.
        reader: a key of `readers.READERS`.
        path: what is read, in the folder; "." is the folder itself.
        files: name in the folder -> bytes (or a function that gives them, of large ones), `Link` or `Pipe`.
        refused: a value would be wrong.
        whole: the path is given as it is, not in the folder.
    """

    name: str
    reader: str
    path: str
    files: dict = field(default_factory=dict)
    refused: bool = True
    whole: bool = False

    def write(self, folder):
        """Make the files; returns what is to be read."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = content() if callable(content) else content
            if isinstance(content, Link):
                path.symlink_to(content.target)
            elif isinstance(content, Pipe):
                os.mkfifo(path)
            else:
                path.write_bytes(content)
        return self.path if self.whole else os.path.join(str(folder), self.path)


class Touch:
    """Runs a command where it is unpickled."""

    def __reduce__(self):
        return os.system, (f"touch {CANARY}",)


def object_array(folder_of_arrays=False):
    """A .npy file, or a .npz file, of an object."""
    file = io.BytesIO()
    array = np.array([Touch()], dtype=object)
    if folder_of_arrays:
        np.savez(file, about=array, points0=array)
    else:
        np.save(file, array, allow_pickle=True)
    return file.getvalue()


def zipped(members, compression=zipfile.ZIP_STORED):
    """A zip file of names and bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def bomb(compress, piece, megabytes):
    """A compressed file of few bytes, of as many streams as it has megabytes."""
    return compress(piece * (1_000_000 // len(piece))) * megabytes


def database():
    """An SQLite file whose views and triggers have the names of ASE's tables."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE other (x)")
    connection.execute(
        "CREATE VIEW systems AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS id FROM n"
    )
    return connection.serialize()


TOUCH = f"import os; os.system('touch {CANARY}')"
PICKLES = {f"pickle of protocol {k}": pickle.dumps(Touch(), protocol=k) for k in (0, 2, 4, 5)}
CODE = {
    **PICKLES,
    "compressed pickle": gzip.compress(PICKLES["pickle of protocol 4"]),
    "object array": object_array(),
    "npz of object arrays": object_array(True),
    "torch archive": zipped({"archive/data.pkl": PICKLES["pickle of protocol 2"], "archive/version": b"3\n"}),
    "marshal": marshal.dumps(compile(TOUCH, "x", "exec")),
    "Python": TOUCH.encode() + b"\n",
    "shell": f"#!/bin/sh\ntouch {CANARY}\n".encode(),
    "YAML tag": f"!!python/object/apply:os.system ['touch {CANARY}']\n".encode(),
    "YAML of n2p2": f"elements: !!python/object/apply:os.system ['touch {CANARY}']\n".encode(),
    "JSON of jsonpickle": f'{{"py/reduce": [{{"py/function": "os.system"}}, ["touch {CANARY}"]]}}'.encode(),
    "JSON of ASE": f'{{"__ase_objtype__": "os.system", "command": "touch {CANARY}"}}'.encode(),
    "SQLite": database(),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(512),
    "executable": b"\x7fELF\x02\x01\x01" + bytes(200),
}
# By ending: what the reader would take each for.
MODEL_NAMES = (
    "x.model", "x.posterior", "x.sw", "x.tersoff", "x.meam", "x.eam", "x.eam.alloy", "x.eam.fs", "x.setfl", "x.funcfl",
    "x.xml", "x.pt", "x.pkl", "x.npz", "x.json", "x.yaml", "x.nn", "x",
)
STRUCTURE_NAMES = (
    "x.xyz", "x.extxyz", "x.traj", "x.json", "x.db", "x.cif", "POSCAR", "OUTCAR", "XDATCAR", "vasprun.xml", "x.data",
    "x.dump", "x.pdb", "x.gpw", "x.bundle", "x.nc", "x.xsd", "x.res", "x.cell", "x.in", "x.gen", "x.cube", "x.pckl",
    "x.pkl", "x.npz", "x.py", "x.yaml", "x.xyz.gz", "x.traj.xz", "x.json.bz2", "x.aselmdb", "x.cfg", "x.mol", "x",
)


def code_in_files():
    """Code where a potential, a structure, data, a recipe or a checkpoint is expected."""
    kinds = list(CODE.items())
    for k, name in enumerate(MODEL_NAMES):
        for what, data in kinds[k % 3::3]:
            yield Hostile(f"load {name}: {what}", "load", name, {name: data})
    for k, name in enumerate(STRUCTURE_NAMES):
        for what, data in kinds[k % 6::6]:
            yield Hostile(f"read {name}: {what}", "read", name, {name: data})
    for k, name in enumerate(("x.xyz", "x.traj", "x.json", "x.db", "x.npz", "x.pkl")):
        for what, data in kinds[k % 6::6]:
            yield Hostile(f"read_dataset {name}: {what}", "read_dataset", name, {name: data})
    for what, data in kinds:
        yield Hostile(f"recipe: {what}", "read_recipe", "x.toml", {"x.toml": data})
        yield Hostile(f"checkpoint of a fit: {what}", "fit checkpoint", "x", {"x": data})
        yield Hostile(f"trials of a fit: {what}", "fit checkpoint", "x", {"x.trials": data})
        yield Hostile(f"checkpoint of a simulation: {what}", "md checkpoint", "x", {"x": data})
        yield Hostile(f"walk of a learning run: {what}", "learn checkpoint", ".", {"walk.checkpoint": data, "labels/a": b""})
        yield Hostile(f"label of a learning run: {what}", "learn labels", ".", {"labels/00000.frame": data})
        yield Hostile(f"n2p2 settings: {what}", "load", ".", {"input.nn": data})
