"""Files that only grow, and are cut back to where they were when a run goes on."""

import os

from jaxpot.errors import DataError


class AppendOnly:
    """A text file: created once, appended to, its end known.

    Args:
        path: it must not exist when a new run begins: nothing is written over.
    """

    def __init__(self, path):
        self.path = os.fspath(path)

    def create(self, text=""):
        """A new file.

        Raises:
            DataError: it exists, or cannot be written.
        """
        try:
            with open(self.path, "x") as file:
                file.write(text)
        except FileExistsError as error:
            raise DataError(
                f"{self.path} exists: remove it or choose another name; a run that was interrupted goes on from its "
                "checkpoint"
            ) from error
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error.strerror or error}") from error

    def append(self, text):
        """Write at the end; all of it or nothing."""
        end = None
        try:
            end = os.path.getsize(self.path)
            with open(self.path, "a") as file:
                file.write(text)
        except OSError as error:
            if end is not None:
                os.truncate(self.path, end)
            raise DataError(f"{self.path} cannot be written: {error.strerror or error}") from error

    def end(self):
        """Bytes so far, on the disk when this returns."""
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
        return os.path.getsize(self.path)

    def cut(self, end):
        """Forget what was written after this end.

        Raises:
            DataError: the file is gone, or shorter.
        """
        if not os.path.exists(self.path) or os.path.getsize(self.path) < end:
            raise DataError(
                f"{self.path} is missing or shorter than when the checkpoint was written ({end} bytes): it belongs to "
                "the run that is to go on; put it back, or begin anew without the checkpoint"
            )
        os.truncate(self.path, end)
