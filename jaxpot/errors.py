"""The errors of jaxpot: one tree, so that `except JaxpotError` catches every refusal and nothing else.

Each message says what was given, what was expected and what to do. All of them are `ValueError`s
too where the cause is an argument, so that code written against ASE or NumPy habits keeps working.

What files say stands in many messages: `printable` sees to it that no message acts on a terminal or fills it.
"""

import unicodedata
from collections.abc import Iterable
from typing import Any

from jaxpot.typing import FilePath

_LONGEST = 2000  # characters of a message
_ACTING = ("Cc", "Cf", "Zl", "Zp", "Cs")  # control, direction of writing, ends of lines, halves of letters


def escaped(text: str) -> str:
    """A text in which characters that act on a terminal are spelled out.

    Control characters (but ends of lines and tabs), marks of the direction of writing and the like become `\\x1b`,
    `\\u202e`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelled(c) if unicodedata.category(c) in _ACTING and c not in "\n\t" else c for c in text)


def printable(text: str) -> str:
    """A text for a message: `escaped`, and without the middle if it is very long."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST - 400]} [...] {text[-400:]}"
    return escaped(text)


def _spelled(character):
    return character.encode("unicode_escape").decode("ascii")


class JaxpotError(Exception):
    """Base class of everything jaxpot raises on purpose."""

    def __init__(self, message: object = "", *rest: object) -> None:
        super().__init__(printable(str(message)), *rest)


class FormatError(JaxpotError, ValueError):
    """A file is not what it claims to be; says where."""

    def __init__(
        self, message: str, file: FilePath | None = None, line: int | None = None, field: str | None = None
    ) -> None:
        where = "".join(f"{part}: " for part in (_place(file, line), field) if part)
        super().__init__(where + message)
        self.file, self.line, self.field = file, line, field


class DataError(JaxpotError, ValueError):
    """An argument has a value the computation cannot accept (species, NaN, shapes, units)."""


class GeometryError(JaxpotError, ValueError):
    """A cell or a set of positions that has no meaning (zero volume, coincident atoms, open axes)."""


class CapacityError(JaxpotError):
    """A fixed-size list is too small for the structure."""


class ConvergenceError(JaxpotError):
    """An iteration or a physical premise failed (no convergence, imaginary modes, unstable crystal)."""


class ResourceError(JaxpotError):
    """The estimate of the memory needed exceeds the limit; raised before anything is allocated."""


class SimulationError(JaxpotError):
    """A simulation cannot go on.

    Attributes:
        reason: why.
        state: the last good one; None where that is in a file, which the reason names.
    """

    def __init__(self, reason: str, state: Any = None) -> None:
        super().__init__(reason if state is None else f"{reason}; the last good state is in this error's `state`")
        self.reason, self.state = reason, state


class PeerError(JaxpotError):
    """The program at the other end of a socket is not there, has gone, or does not keep to the protocol."""


class PrecisionError(JaxpotError):
    """Double precision was asked for, and JAX would silently have used single precision."""


def first_few(names: Iterable[object], most: int = 6) -> str:
    """The first names of a list, for messages: `a, b and 7 more`."""
    words = [str(name) for name in names]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def _place(file, line):
    if file is None:
        return None if line is None else f"line {line}"
    file = str(file).replace("\n", "\\n")
    return file if line is None else f"{file}, line {line}"


class JaxpotWarning(UserWarning):
    """A correct result that is easily misread; the message says how."""

    def __init__(self, message: object = "", *rest: object) -> None:
        super().__init__(printable(str(message)), *rest)
