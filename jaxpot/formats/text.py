"""Lines and numbers of text files, with errors that say where."""

import math
import os
import re
from pathlib import Path

from jaxpot.errors import FormatError

LARGEST_FILE = 2**30  # bytes


class Lines:
    """The lines of a text file, one after the other; comments from # on and empty lines are skipped.

    Attributes:
        line: number of the line read last.
        size: bytes in the file, a bound on how many numbers it can hold.
    """

    def __init__(self, path):
        self.path = Path(path)
        try:
            self.size = os.path.getsize(self.path)
            if self.size > LARGEST_FILE:
                message = f"the file has {self.size} bytes; expected at most {LARGEST_FILE}"
                raise FormatError(message, self.path)
            # Titles hold anybody's accents: latin-1 decodes them all, and what matters is ASCII.
            text = self.path.read_text(encoding="latin-1")
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror or error}", self.path) from error
        if "\x00" in text:
            raise FormatError("expected a text file, but it holds zero bytes", self.path)
        self._lines = text.splitlines()
        self.line = 0

    def error(self, message, field=None, line=None):
        """A `FormatError` at the line read last (or at `line`)."""
        return FormatError(message, self.path, self.line if line is None else line, field)

    def skip(self, field):
        """The next line as it is."""
        if self.line == len(self._lines):
            raise self.error("the file ends here; it is truncated", field)
        self.line += 1
        return self._lines[self.line - 1]

    def next(self, field):
        """The words of the next line that has any."""
        while True:
            words = self.skip(field).partition("#")[0].split()
            if words:
                return words

    def all(self):
        """All lines as they are."""
        return list(self._lines)

    def more(self):
        """Whether a line with words follows."""
        return any(line.partition("#")[0].split() for line in self._lines[self.line:])

    def number(self, word, field):
        """A finite float."""
        try:
            value = float(word)
        except ValueError:
            value = math.nan
            if word.lower() not in ("nan", "+nan", "-nan"):
                raise self.error(f"expected a number, got {word!r}", field) from None
        if not math.isfinite(value):
            raise self.error(f"expected a finite number, got {word!r}", field)
        return value

    def count(self, word, field, smallest, largest):
        """An integer between bounds."""
        try:
            value = int(word)
        except ValueError:
            raise self.error(f"expected a whole number, got {word!r}", field) from None
        if not smallest <= value <= largest:
            raise self.error(f"expected a number from {smallest} to {largest}, got {value}", field)
        return value

    def numbers(self, count, field):
        """A table of numbers that begins on the next line and may stand on lines of any length."""
        values = []
        while len(values) < count:
            values += [self.number(word, field) for word in self.next(field)]
        if len(values) > count:
            raise self.error(f"expected {count} numbers; this line holds {len(values) - count} too many", field)
        return values

    def check_units(self):
        """Refuse a file whose first line names units other than eV and A."""
        found = re.search(r"UNITS:\s*(\S+)", self._lines[0]) if self._lines else None
        if found and found.group(1) != "metal":
            message = f"the file is in {found.group(1)!r} units; expected 'metal' (eV, A): convert it first"
            raise self.error(message, "UNITS", line=1)
