"""Every way in which jaxpot reads a file, by name; and one good file for each, read once before anything is watched."""

import contextlib
from pathlib import Path

import ase.build
import jax
import jax.numpy as jnp
import numpy as np
from ase.io.formats import UnknownFileTypeError, get_ioformat, ioformats

jax.config.update("jax_enable_x64", True)

import jaxpot as jp  # noqa: E402
from jaxpot.active.record import WALK, PoolProgress, Record, Walk  # noqa: E402
from jaxpot.core.save import load_tree  # noqa: E402
from jaxpot.fitting.linear.checkpoint import FitCheckpoint  # noqa: E402
from jaxpot.md import checkpoint as md_checkpoint  # noqa: E402


def meam_of_folder(path):
    """A library and parameters of MEAM: the two files of a folder."""
    return jp.load(sorted(Path(path).glob("*.meam")))


def fit_checkpoint(path):
    return FitCheckpoint(path, {"data": "x"}, lambda text: None)


def record(path):
    """The folder that learning on the fly leaves."""
    kept = Record(Path(path))
    return kept.kept(Walk, np.zeros(8, np.int32)) or kept.kept(PoolProgress, np.zeros(8, np.int32))


def labels_of_record(path):
    return Record(Path(path)).labels()


def warm_up():
    """Start the threads of JAX and import what readers import late: neither is a file's doing."""
    jnp.zeros(3).block_until_ready()
    jp.energy(jp.potentials.StillingerWeber.silicon(), ase.build.bulk("Si"))
    for k in (get_ioformat(name) for name in ioformats if name not in ("exciting",)):
        with contextlib.suppress(UnknownFileTypeError):
            _ = k.module


READERS = {
    "load": jp.load,
    "load with units": lambda path: jp.load(path, units="Bohr Hartree"),
    "load silicon": lambda path: jp.load(path, species=["Si"]),
    "load meam": meam_of_folder,
    "read": jp.io.read,
    "read_atoms": jp.io.read_atoms,
    "read_dataset": lambda path: jp.read_dataset(path, e0="least squares"),
    "read_recipe": jp.fitting.read_recipe,
    "structure": jp.io.structure_from_spec,
    "fit checkpoint": fit_checkpoint,
    "md checkpoint": lambda path: md_checkpoint.load(path, "a run"),
    "learn checkpoint": record,
    "learn labels": labels_of_record,
    "tree": load_tree,
}
assert WALK


def described(value):
    """The kind of a value, and whether its numbers are finite."""
    leaves = [x for x in jax.tree.leaves(value) if isinstance(x, np.ndarray | jax.Array | float)]
    finite = all(np.isfinite(np.asarray(x)).all() for x in leaves if np.asarray(x).dtype.kind == "f")
    return f"value {type(value).__name__}" + ("" if finite else ", not finite")
