"""What pickles name and call: functions and classes of Python and NumPy, as descriptions that make plain values."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_MOST_AXES = 32  # of arrays, as in NumPy 1
_DTYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")


class Room:
    """Bytes that arrays may take: a small file that shows its numbers again and again would fill memory."""

    def __init__(self, size: int) -> None:
        self.size = self.left = size

    def take(self, count: int) -> None:
        """Set bytes aside.

        Raises:
            ValueError: there are not so many.
        """
        self.left -= count
        if self.left < 0:
            raise ValueError(f"the arrays would take more than {self.size} bytes, which is more than the file can hold")


@dataclass(frozen=True)
class Known:
    """A function or class that pickles name.

    Attributes:
        name: with its module.
        make: what is done with its arguments in its place; raises ValueError for those that are not right. None: it is
            passed around, but not called.
    """

    name: str
    make: Callable[[tuple[Any, ...]], Any] | None = None


def check_arguments(name: str, values: tuple[Any, ...], *kinds: type) -> None:
    """Refuse arguments of other types than expected; a bool is no whole number.

    Raises:
        ValueError: naming what was called.
    """
    fit = len(values) == len(kinds) and all(
        isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        for value, kind in zip(values, kinds, strict=True)
    )
    if not fit:
        expected, got = ", ".join(map(_type_name, kinds)), ", ".join(map(kind_of, values[:10]))
        raise ValueError(f"{name}: expected ({expected}), got ({got})")


def as_counts(values: tuple[Any, ...], what: str) -> tuple[int, ...]:
    """Sizes or strides of an array: whole numbers that are not negative.

    Raises:
        ValueError: others, or too many.
    """
    if len(values) > _MOST_AXES or not all(type(n) is int and n >= 0 for n in values):
        shown = ", ".join(str(n) if type(n) is int else kind_of(n) for n in values[:10])
        raise ValueError(f"{what}: expected up to {_MOST_AXES} whole numbers, none negative, got ({shown})")
    return values


def room_for(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Bytes that an array is counted for; empty axes count as one, so that none of the others is beyond reason."""
    return math.prod(max(n, 1) for n in shape) * dtype.itemsize


def kind_of(value: object) -> str:
    """Name for messages: of a known function, or of the type of a value."""
    return value.name if isinstance(value, Known) else _type_name(type(value))


def _type_name(kind):
    return kind.__name__.lstrip("_")


@dataclass(eq=False)
class Unbuilt:
    """Array whose shape and numbers are yet to come."""

    places: list[int] = field(default_factory=list)  # where it is kept


def standard_names(room: Room) -> dict[str, Known]:
    """Names of Python and NumPy that are known."""

    def encoded(arguments):
        """Bytes, which protocol 2 writes as the letters of Latin-1."""
        check_arguments("_codecs.encode", arguments, str, str)
        if arguments[1] != "latin1":
            raise ValueError(f"bytes are written as {arguments[1][:40]!r}; expected 'latin1'")
        room.take(len(arguments[0]))
        return arguments[0].encode("latin-1")

    def scalar(arguments):
        check_arguments("numpy's scalar", arguments, np.dtype, bytes)
        return _numbers(arguments[1], (), arguments[0], "C", room).item()

    cores = ("core", "_core")  # before and since NumPy 2
    return {
        "collections.OrderedDict": Known("collections.OrderedDict", _ordered),
        "_codecs.encode": Known("_codecs.encode", encoded),
        "__builtin__.bytes": Known("bytes", _no_bytes),
        "numpy.ndarray": Known("numpy.ndarray"),
        "numpy.dtype": Known("numpy.dtype", _dtype),
        **{f"numpy.{core}.multiarray._reconstruct": Known("numpy's _reconstruct", _unbuilt) for core in cores},
        **{f"numpy.{core}.multiarray.scalar": Known("numpy's scalar", scalar) for core in cores},
    }


def _ordered(arguments):
    check_arguments("collections.OrderedDict", arguments)
    return OrderedDict()


def _no_bytes(arguments):
    """None at all, which protocol 2 does not write as letters."""
    check_arguments("bytes", arguments)
    return b""


def _unbuilt(arguments):
    check_arguments("numpy's _reconstruct", arguments, Known, tuple, bytes)
    if arguments[0].name != "numpy.ndarray":
        raise ValueError(f"an array of the class {arguments[0].name}; expected numpy.ndarray")
    return Unbuilt()


def _dtype(arguments):
    """A type of numbers as they lie in memory, without the order of bytes, which is a state that follows."""
    check_arguments("numpy.dtype", arguments[:1], str)
    if arguments[0] not in _DTYPES:
        raise ValueError(f"numbers of type {arguments[0][:40]!r}; expected one of {', '.join(_DTYPES)}")
    return np.dtype(f"<{arguments[0]}")


def check_order(state: object) -> None:
    """Refuse the state of a numpy.dtype whose numbers have their largest byte first.

    Raises:
        ValueError: such numbers, or no order.
    """
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
    if not isinstance(order, str) or order not in ("<", "|", "="):
        raise ValueError("numbers with the largest byte first; expected the smallest first ('<')")


def array_of(state: Any, room: Room) -> np.ndarray:
    """Array of its state: version, shape, type, whether the first axis runs fastest, numbers.

    Raises:
        ValueError: not such a state, or no room.
    """
    check_arguments("the state of a numpy.ndarray", state if isinstance(state, tuple) else (state,),
                    int, tuple, np.dtype, bool, bytes)
    _, shape, dtype, fortran, data = state
    return _numbers(data, as_counts(shape, "shape"), dtype, "F" if fortran else "C", room)


def _numbers(data, shape, dtype, order, room):
    room.take(room_for(shape, dtype))
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array {shape} of {dtype.name} has {len(data)} bytes")
    array = np.ndarray(shape, dtype, data, order=order)
    if not array.flags.c_contiguous:
        array = array.copy("C")
        array.flags.writeable = False
    return array
