"""Compiled programs kept between runs of the command, in a folder that only its user can touch.

What JAX keeps are executables, and it runs what it finds. So the folder must belong to the user and be
closed to everybody else; otherwise nothing is kept. Programs are tied to the versions and to the processor:
each combination has a folder of its own, because a home folder may be shared between unlike machines.
"""

import hashlib
import platform
from pathlib import Path

import jax
import jaxlib

from jaxpot.core.cache_folder import private_folder

_LARGEST = 256 * 2**20  # bytes kept; beyond it the oldest files go
_SHORTEST = 0.0  # s; reading a program back takes 2 ms, compiling the least of them 10


def use_cache() -> Path | None:
    """Let JAX keep compiled programs; returns the folder, or None where there is no safe one."""
    folder = private_folder(_machine())
    if folder is None:
        return None
    _prune(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _SHORTEST)
    return folder


def _machine():
    """A name for versions and processor: programs of one are never run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    features = sorted({line for line in lines if line.startswith(("flags", "model name", "Features"))})
    text = "\n".join([platform.machine(), platform.system(), jax.__version__, jaxlib.__version__, *features])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _prune(folder):
    """Remove the files used longest ago until the rest fits."""
    files = []
    for path in folder.iterdir():
        try:
            found = path.stat()
        except OSError:
            continue
        files.append((found.st_mtime, found.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files, key=lambda entry: entry[0]):
        if total <= _LARGEST:
            break
        try:
            path.unlink()
        except OSError:
            continue
        total -= size
