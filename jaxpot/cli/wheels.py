"""Files out of the wheel of a package, which pip downloads; nothing of it is installed, imported or unpacked.

The one place of jaxpot that starts another program: pip, because it knows the user's index, proxies and certificates.
"""

import os
import subprocess  # noqa: S404 (pip, below)
import sys
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from jaxpot.core.files import file_size
from jaxpot.errors import DataError, FormatError

_LARGEST = 2**30  # bytes of a wheel
_QUIET = {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COLOR": "1"}
_DAMAGED = (  # what `zipfile` raises; encrypted is a RuntimeError, another compression is not implemented
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, NotImplementedError,
)


def download(package: str, folder: Path) -> Path:
    """Let pip download the wheel of a package, without those that it needs.

    Args:
        package: with its version: "sevenn==0.13.0".
        folder: an empty one, which is pip's working folder as well: Python looks for modules there.

    Returns:
        Path of the wheel.

    Raises:
        DataError: there is no pip, or it does not succeed; its last error is in the message.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-d", str(folder), package]
    try:
        done = subprocess.run(  # noqa: S603 (no shell, and names that stand in our table)
            command, cwd=folder, env=os.environ | _QUIET, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace",
        )
    except OSError as error:
        raise DataError(f"{sys.executable or 'Python'} cannot be started for pip: {error.strerror or error}") from error
    if done.returncode:
        if done.stderr.rstrip().endswith("No module named pip"):
            raise DataError(f"{sys.executable} has no pip to download {package} with: python -m ensurepip installs it")
        raise DataError(f"pip cannot download {package}: {_last_error(done.stderr or done.stdout)}")
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise DataError(f"pip has downloaded {len(wheels)} wheels for {package}; expected one")
    return wheels[0]


def members(wheel: Path, names: Iterable[str], most: int) -> dict[str, bytes]:
    """Contents of some files of a wheel by name; no others are read, and none is written.

    Args:
        wheel: its path.
        names: of the files.
        most: bytes that all of them may have.

    Raises:
        FormatError: a damaged wheel, or one without these files or with larger ones.
    """
    file_size(wheel, _LARGEST)
    contents: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in names:
                contents[name] = _member(archive, wheel, name, most)
                most -= len(contents[name])
    except FormatError:
        raise
    except _DAMAGED as error:
        raise FormatError(f"the wheel is damaged: {error}", wheel.name) from error
    return contents


def _member(archive, wheel, name, most):
    """Contents of a file; what the wheel says of its size is not believed."""
    try:
        file = archive.open(name)
    except KeyError as error:
        raise FormatError(f"the wheel has no file {name}", wheel.name) from error
    with file:
        data = file.read(most + 1)
    if len(data) > most:
        raise FormatError(f"{name} is larger than the {most} bytes that were expected", wheel.name)
    return data


def _last_error(text):
    """Last line of pip's output that tells of an error; else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it says nothing"])[-1]
