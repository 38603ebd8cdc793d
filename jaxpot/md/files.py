"""Files that only grow, and are cut back to where they were when a run goes on."""

import os

from jaxpot.errors import DataError
from jaxpot.typing import FilePath


class AppendOnly:
    """A file of text or bytes: created once, appended to, its end known.

    Args:
        path: it must not exist when a new run begins: nothing is written over.
    """

    def __init__(self, path: FilePath) -> None:
        self.path = os.fspath(path)

    def refuse_old(self) -> None:
        """Refuse to write over a file that exists.

        Raises:
            DataError: the file exists.
        """
        if os.path.lexists(self.path):
            raise DataError(
                f"{self.path} exists: remove it or choose another name; a run that was interrupted goes on from its "
                "checkpoint"
            )

    def create(self, content: str | bytes = "") -> None:
        """Create the file with its first contents, or leave nothing behind.

        Raises:
            DataError: it exists, or cannot be written.
        """
        self.refuse_old()
        try:
            file = open(self.path, "xb")  # closed below; what fails here has made no file
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            with file:
                file.write(_bytes(content))
        except OSError as error:
            os.unlink(self.path)
            raise self._unwritable(error) from error

    def append(self, content: str | bytes) -> None:
        """Append to the file, or leave it as it was.

        Raises:
            DataError: it is gone, or cannot be written.
        """
        end = None
        try:
            end = os.path.getsize(self.path)
            with open(self.path, "ab") as file:
                file.write(_bytes(content))
        except OSError as error:
            if end is not None:
                os.truncate(self.path, end)
            raise self._unwritable(error) from error

    def put(self, start: int, content: bytes) -> None:
        """Overwrite existing bytes from a position on.

        Raises:
            DataError: it is gone, or cannot be written.
        """
        try:
            with open(self.path, "r+b") as file:
                file.seek(start)
                file.write(content)
        except OSError as error:
            raise self._unwritable(error) from error

    def end(self) -> int:
        """Length of the file in bytes; they are on the disk when this returns."""
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
        return os.path.getsize(self.path)

    def check(self, end: int) -> None:
        """Refuse a file that is shorter than it was.

        Raises:
            DataError: the file is gone, or shorter.
        """
        if not os.path.exists(self.path) or os.path.getsize(self.path) < end:
            raise DataError(
                f"{self.path} is missing or shorter than when the checkpoint was written ({end} bytes): it belongs to "
                "the run that is to go on; put it back, or begin anew without the checkpoint"
            )

    def cut(self, end: int) -> None:
        """Truncate the file to a former end.

        Raises:
            DataError: the file is gone, or shorter.
        """
        self.check(end)
        os.truncate(self.path, end)

    def remove(self) -> None:
        """Remove the file."""
        if os.path.lexists(self.path):
            os.unlink(self.path)

    def _unwritable(self, error):
        return DataError(f"{self.path} cannot be written: {error.strerror or error}")


def _bytes(content):
    return content.encode() if isinstance(content, str) else content
