"""Lines and numbers of text files, with errors that say where."""

import math
import re
from pathlib import Path

from jaxpot.core.files import file_size
from jaxpot.errors import FormatError
from jaxpot.typing import FilePath

LARGEST_FILE = 2**30  # bytes
# No number of a potential is larger in any unit; powers and products of such numbers do not overflow, so that what has
# been read has an energy. Small ones are common at the ends of tables; only what is divided by has a bound.
LARGEST, SMALLEST = 1e50, 1e-30


def float_of(word: str) -> float:
    """The number that a word of a file is: finite, and of a size that potentials have.

    Raises:
        ValueError: with what was expected instead.
    """
    try:
        value = float(_plain(word))
    except ValueError:
        raise ValueError("a number") from None
    if not math.isfinite(value):
        raise ValueError("a finite number")
    if abs(value) > LARGEST:
        raise ValueError(f"a number up to {LARGEST:g} in size")
    return value


def _plain(word):
    """A word in plain digits: `1_0`, and digits of other scripts, are numbers for Python and misprints in a file."""
    if "_" in word or not word.isascii():
        raise ValueError(word)
    return word


def shown(word: str) -> str:
    """A word for a message, which it must not fill."""
    return repr(word if len(word) <= 40 else word[:37] + "...")


class Lines:
    """The lines of a text file, one after the other; comments from # on and empty lines are skipped.

    Attributes:
        line: number of the line read last.
        size: bytes in the file, a bound on how many numbers it can hold.
    """

    def __init__(self, path: FilePath) -> None:
        self.path = Path(path)
        self.size = file_size(self.path, LARGEST_FILE)
        try:
            # Titles hold anybody's accents: latin-1 decodes them all, and what matters is ASCII.
            text = self.path.read_text(encoding="latin-1")
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror or error}", self.path) from error
        if "\x00" in text:
            raise FormatError("expected a text file, but it holds zero bytes", self.path)
        # Not `splitlines`: for that, the second byte of A with a ring in UTF-8, as in "5 \u00c5", ends a line.
        self._lines = text.removesuffix("\n").split("\n") if text else []
        self.line = 0

    def error(self, message: str, field: str | None = None, line: int | None = None) -> FormatError:
        """A `FormatError` at the line read last (or at `line`)."""
        return FormatError(message, self.path, self.line if line is None else line, field)

    def skip(self, field: str) -> str:
        """The next line as it is."""
        if self.line == len(self._lines):
            raise self.error("the file ends here; it is truncated", field)
        self.line += 1
        return self._lines[self.line - 1]

    def next(self, field: str) -> list[str]:
        """The words of the next line that has any."""
        while True:
            words = self.skip(field).partition("#")[0].split()
            if words:
                return words

    def all(self) -> list[str]:
        """All lines as they are."""
        return list(self._lines)

    def more(self) -> bool:
        """Whether a line with words follows."""
        return any(line.partition("#")[0].split() for line in self._lines[self.line:])

    def number(self, word: str, field: str) -> float:
        """A finite float, of a size that potentials have."""
        try:
            return float_of(word)
        except ValueError as error:
            raise self.error(f"expected {error}, got {shown(word)}", field) from None

    def positive(self, word: str, field: str) -> float:
        """A float above zero, by which may be divided."""
        value = self.number(word, field)
        if value < SMALLEST:
            raise self.error(f"expected a positive number, {SMALLEST:g} or more, got {value:g}", field)
        return value

    def count(self, word: str, field: str, smallest: int, largest: int) -> int:
        """An integer between bounds."""
        try:
            value = int(_plain(word))
        except ValueError:
            raise self.error(f"expected a whole number, got {shown(word)}", field) from None
        if not smallest <= value <= largest:
            raise self.error(f"expected a number from {smallest} to {largest}, got {value}", field)
        return value

    def numbers(self, count: int, field: str) -> list[float]:
        """A table of numbers that begins on the next line and may stand on lines of any length."""
        values: list[float] = []
        while len(values) < count:
            values += [self.number(word, field) for word in self.next(field)]
        if len(values) > count:
            raise self.error(f"expected {count} numbers; this line holds {len(values) - count} too many", field)
        return values

    def check_units(self) -> None:
        """Refuse a file whose first line names units other than eV and A."""
        found = re.search(r"UNITS:\s*(\S+)", self._lines[0]) if self._lines else None
        if found and found.group(1) != "metal":
            message = f"the file is in {found.group(1)!r} units; expected 'metal' (eV, A): convert it first"
            raise self.error(message, "UNITS", line=1)
