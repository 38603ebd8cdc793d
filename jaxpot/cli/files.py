"""Files that commands write: places checked before anything is computed, contents written atomically."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxpot.core.save import write_atomically
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, SimulationError
from jaxpot.interop.ase import to_ase
from jaxpot.io.files import UnknownFileTypeError
from jaxpot.md.trajectory import frame_text
from jaxpot.typing import FilePath
from jaxpot.units import fs


def output_file(path: FilePath) -> Path:
    """The path of a file to be written; its folder must exist.

    Raises:
        DataError: a folder of that name, no parent folder, or no permission.
    """
    path = Path(path)
    if os.path.isdir(path):  # as of all of os.path, False for names at which those of Path raise
        raise DataError(f"--out {path}: this is a folder; give the name of a file")
    _check_parent(path)
    return path


def output_folder(path: FilePath) -> Path:
    """A folder to write into, made if only its last part is missing.

    Raises:
        DataError: a file of that name, no parent folder, no permission, or whatever else the system says.
    """
    path = Path(path)
    if os.path.exists(path) and not os.path.isdir(path):
        raise DataError(f"--out {path}: there is a file of that name; give the name of a folder")
    if os.path.isdir(path):
        if not os.access(path, os.W_OK | os.X_OK):
            raise DataError(f"--out {path}: no permission to write into this folder")
        return path
    _check_parent(path)
    try:
        path.mkdir()
    except OSError as error:
        raise DataError(f"--out {path}: this folder cannot be made: {error.strerror}") from error
    return path


def write_text(path: FilePath, text: str) -> None:
    """Write a text file atomically."""
    write_atomically(path, text.encode())


def write_structure(path: Path, structure: Structure, rehearse: bool = False) -> None:
    """Write a structure in the format of the file's ending, atomically.

    Args:
        rehearse: do everything but put the file in its place, to know before the work that it can be written.

    Raises:
        DataError: an ending that ASE cannot write, or an error of the system.
    """
    # ASE writes to a name: a private folder beside the file, so that the last step is a rename.
    try:
        with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".jaxpot-") as folder:
            temporary = Path(folder) / path.name
            to_ase(structure).write(temporary)
            if not rehearse:
                os.replace(temporary, path)
    except UnknownFileTypeError as error:
        raise DataError(
            f"--out {path}: no format that ASE writes has this ending; take .xyz, .cif, .vasp or another"
        ) from error
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError, ImportError) as error:
        raise DataError(f"--out {path}: cannot be written ({type(error).__name__}: {error})") from error


@contextmanager
def keeping_last_state(folder: Path, time_step_fs: float) -> Iterator[None]:
    """Write the last good state of a simulation that breaks, since a user cannot reach the `state` of its error.

    Raises:
        SimulationError: that of the simulation, with the name of the file, last_good.xyz.
    """
    try:
        yield
    except SimulationError as error:
        if error.state is None:
            raise
        path = Path(folder) / "last_good.xyz"
        write_text(path, frame_text(error.state, time_step_fs * fs))
        raise SimulationError(
            f"{error.reason}. The last good state, of step {int(error.state.step)}, is in {path}, with its momenta and "
            "forces"
        ) from error


def _check_parent(path):
    parent = path.absolute().parent
    if not parent.is_dir():
        raise DataError(f"--out {path}: the folder {parent} does not exist; make it first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise DataError(f"--out {path}: no permission to write into {parent}")
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise DataError(f"--out {path}: {error.strerror}; give another name") from error
