"""A look at the text of an extended XYZ file for what its reader would not tell.

ASE reads such files well, but of a key that is there twice it takes the last, it stops at an empty line, it keeps one
triangle of a stress that is not symmetric, and it looks for 999,999,999 atoms for as long as it takes, if that many
are declared. Here all of that is an error. Nothing is kept in memory but one line.
"""

import lzma
import re
import zlib
from collections import Counter

import numpy as np
from ase.io.formats import open_with_compression

from jaxpot.errors import FormatError
from jaxpot.typing import FilePath

# A character, or a stretch in quotes or brackets (perhaps not closed); possessive, so that no line takes long.
_PIECE = "|".join([r"\\.", *(rf"{a}(?:\\.|[^{z}\\])*+{z}?+" for a, z in ('""', "''", (r"\{", r"\}"), (r"\[", r"\]")))])
_PIECE = rf"""(?:{_PIECE}|[^\s="'{{\[])"""
_WORD = re.compile(rf"({_PIECE}++)(?:\s*+=\s*+((?:{_PIECE}|=)*+))?", re.DOTALL)
_STRETCH = re.compile(rf"{_PIECE}|=", re.DOTALL)
_SPECIAL = re.compile(r"""["'{\[\\]""")
_SYMMETRIC = ("stress", "virial")  # what ASE takes for 3 x 3
_ASYMMETRY = 1e-3  # of the largest component
_LARGEST_LINE = 1 << 24  # bytes
_MOST_PROPERTIES = 1000
_MOST_COLUMNS = 10_000  # of one property; ASE makes a name for each before it looks at an atom
DAMAGED = (EOFError, zlib.error, lzma.LZMAError)  # what decompression raises


def scan(path: FilePath) -> int:
    """Check the text of an extended XYZ file.

    Args:
        path: file name; compressed files are read as ASE reads them (gz, bz2, xz).

    Returns:
        int, the number of frames.

    Raises:
        FormatError: a key or a column that is there twice, a number of atoms that is none or that the file does not
            hold, an empty line before further frames, a stress that is not symmetric; with file, line and frame.
    """
    try:
        with open_with_compression(str(path), "rb") as file:
            return _scan(_Lines(file, path))
    except (OSError, *DAMAGED) as error:
        raise FormatError(f"the file cannot be read ({error})", file=path) from error


class _Lines:
    """Lines of a file one after the other, with their number."""

    def __init__(self, file, path):
        self.file, self.path, self.number = file, path, 0

    def next(self):
        """The next line as bytes, empty at the end of the file."""
        line = self.file.readline(_LARGEST_LINE)
        if len(line) == _LARGEST_LINE:
            raise self.error(f"a line of more than {_LARGEST_LINE >> 20} MB; is it a text file?")
        self.number += 1
        return line

    def error(self, message, field=None):
        return FormatError(message, file=self.path, line=self.number, field=field)


def _scan(lines):
    frames, line = 0, lines.next()
    while line.strip():
        frame = f"frame {frames}"
        count = _count(line, lines, frame)
        comment = lines.next()
        if not comment:
            raise lines.error("the file ends before the comment line", frame)
        _check_comment(comment.decode("utf-8", "replace"), lines, frame)
        for k in range(count):
            if not lines.next():
                raise lines.error(f"{count} atoms are declared, but the file ends after {k}", frame)
        frames += 1
        line = lines.next()
        while line.lstrip().startswith(b"VEC"):
            line = lines.next()
    rest = lines.number
    while line:
        if line.strip():
            raise lines.error(
                f"there is more after an empty line (line {rest}), where ASE stops reading; remove the empty line"
            )
        line = lines.next()
    return frames


def _count(line, lines, frame):
    text = line.strip()
    if not text.isdigit():
        shown = text[:40].decode("utf-8", "replace")
        raise lines.error(f"expected the number of atoms, got {shown!r}", frame)
    count = int(text[:18])
    if count == 0:
        raise lines.error("there are no atoms in this frame", frame)
    return count


def _check_comment(text, lines, frame):
    seen = {}
    pairs = key_values(text)
    for k, (key, value) in enumerate(pairs):
        if not value and k + 1 < len(pairs):
            raise lines.error(f"{key} is empty, and ASE would take what follows for its value; remove it", frame)
        if key in seen:
            raise lines.error(f"{key} is there twice ({seen[key]!r} and {value!r}); remove one", frame)
        seen[key] = value
    columns = seen.get("Properties", "").split(":")
    for name, width in zip(columns[::3], columns[2::3], strict=False):
        if not (width.isascii() and width.isdigit() and 1 <= int(width[:18]) <= _MOST_COLUMNS):
            message = f"{name}: expected a number of columns from 1 to {_MOST_COLUMNS}, got {width[:40]!r}"
            raise lines.error(message, frame)
    columns = Counter(columns[::3])
    if columns.total() > _MOST_PROPERTIES:
        raise lines.error(f"expected at most {_MOST_PROPERTIES} properties, got {columns.total()}", frame)
    twice = sorted(name for name, count in columns.items() if count > 1)
    if twice:
        raise lines.error(f"column {twice[0]} is there twice; remove one", frame)
    for key in _SYMMETRIC:
        if key in seen:
            _check_symmetric(key, seen[key], lines, frame)


def _check_symmetric(key, text, lines, frame):
    try:
        tensor = np.array(text.replace(",", " ").split(), dtype=float).reshape(3, 3)
    except ValueError:
        return  # ASE says what is wrong with it
    skew = np.abs(tensor - tensor.T).max()
    if np.isfinite(skew) and skew > _ASYMMETRY * np.abs(tensor).max() + 1e-6:
        raise lines.error(f"{key}: expected a symmetric tensor, got {tensor.tolist()}", frame)


def key_values(text: str) -> list[tuple[str, str]]:
    """The pairs key=value of a comment line, in order, as strings; words without a value are left out.

    Keys and values may be quoted or in brackets, and a backslash takes the next character as it is.
    """
    return [(_plain(word[1]), _plain(word[2])) for word in _WORD.finditer(text) if word[2] is not None]


def _plain(text):
    """A key or value without quotes, brackets and backslashes."""
    if not _SPECIAL.search(text):
        return text
    stretches = []
    for found in _STRETCH.findall(text):
        if found[0] in "\"'{[":
            closed = len(found) > 1 and found[-1] == {"{": "}", "[": "]"}.get(found[0], found[0])
            found = found[1:-1] if closed else found[1:]
        stretches.append(re.sub(r"\\(.)", r"\1", found, flags=re.DOTALL))
    return "".join(stretches)
