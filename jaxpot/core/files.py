"""Which files may be read: ordinary ones, and of those that a file names, the ones that lie beside it."""

import os
import stat
from pathlib import Path

from jaxpot.errors import FormatError
from jaxpot.typing import FilePath


def file_size(path: FilePath, most: int | None = None) -> int:
    """Bytes of an ordinary file: pipes and devices, of which reading has no end, and folders are refused.

    Args:
        path: of the file; links are followed.
        most: bytes that it may have.

    Returns:
        int.

    Raises:
        FormatError: no such file, none that holds bytes, or a larger one.
    """
    try:
        about = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise FormatError(f"cannot be read: {reason}", path) from error
    if not stat.S_ISREG(about.st_mode):
        kind = "a folder" if stat.S_ISDIR(about.st_mode) else "a pipe or a device"
        raise FormatError(f"cannot be read: expected a file, and this is {kind}", path)
    if most is not None and about.st_size > most:
        raise FormatError(f"the file has {about.st_size} bytes; expected at most {most}", path)
    return about.st_size


def read_bytes(path: FilePath, count: int = -1) -> bytes:
    """Contents of an ordinary file, or its first bytes.

    Args:
        path: of the file.
        count: how many; -1: all.

    Raises:
        FormatError: as `file_size`; or the file cannot be opened.
    """
    file_size(path)
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror or error}", path) from error


def check_beside(path: FilePath, main: FilePath) -> None:
    """A file that another one asks for lies beside it, also where links lead.

    Whoever sends a folder must not choose what else is read: a link may not lead out of it. Where the main file is a
    link itself (into the store of a cache, say), the other may lie beside that to which it leads.

    Args:
        path: of the file that is asked for.
        main: path of the file that asks.

    Raises:
        FormatError: it lies elsewhere, or links lead in a circle.
    """
    try:
        parent = Path(path).resolve(strict=True).parent
        known = {Path(main).parent.resolve(), Path(main).resolve().parent}
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle, before Python 3.13
        reason = getattr(error, "strerror", None) or str(error)
        raise FormatError(f"cannot be read: {reason}", path) from error
    if parent not in known:
        message = f"is a link to another folder, which is not followed: put the file itself beside {main}"
        raise FormatError(message, path)
