"""Plain values and arrays of a pickle, of which nothing is executed and nothing imported.

A pickle is a program for a machine with a stack. This machine knows the steps that make plain values, and a table of
names: whatever else a file asks for is refused. Files of protocol 2 to 5 are read, the binary ones.
"""

import math
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_MOST_STEPS = 300_000  # published checkpoints have some ten thousand, of which each makes some hundred bytes
_LARGEST_PICKLE = 1 << 24  # bytes; arrays lie elsewhere
_MOST_VALUES = 1_000_000  # in a tree, where what is shared counts each time: a walk through it has an end
_DEEPEST = 100  # containers in each other
_LONGEST_NAME = 1000  # bytes
_MOST_AXES = 32  # of arrays, as in NumPy 1
_LARGEST_KEY = 1 << 60  # larger whole numbers may share their hash, and a dict of such takes forever
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


def plain_tree(
    data: bytes, known: Mapping[str, object], stored: Callable[[object], object], room: Room
) -> Any:
    """Tree that a pickle makes of dicts, lists, tuples, sets, plain values and read-only arrays.

    Args:
        data: the pickle.
        known: name -> `Known`, or a plain value, beyond the names of Python and NumPy that are known anyway.
        stored: the value for a persistent id, which stands for what is not in the pickle; raises ValueError.
        room: for the arrays.

    Raises:
        ValueError: not such a pickle, damaged, or one that asks for anything else; with the place.
    """
    if len(data) > _LARGEST_PICKLE:
        raise ValueError(f"has {len(data)} bytes; expected at most {_LARGEST_PICKLE}")
    if not data.startswith(b"\x80"):
        raise ValueError("expected a pickle of protocol 2 to 5, which begins with the byte 80")
    machine = _Machine(_Code(data), {**_standard(room), **known}, stored, room)
    try:
        tree = machine.run()
    except ValueError as error:
        raise ValueError(f"byte {machine.code.at}: {error}") from error
    _measure(tree, 0, {})
    return tree


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
        expected, got = ", ".join(map(_type_name, kinds)), ", ".join(map(_kind, values[:10]))
        raise ValueError(f"{name}: expected ({expected}), got ({got})")


def as_counts(values: tuple[Any, ...], what: str) -> tuple[int, ...]:
    """Sizes or strides of an array: whole numbers that are not negative.

    Raises:
        ValueError: others, or too many.
    """
    if len(values) > _MOST_AXES or not all(type(n) is int and n >= 0 for n in values):
        shown = ", ".join(str(n) if type(n) is int else _kind(n) for n in values[:10])
        raise ValueError(f"{what}: expected up to {_MOST_AXES} whole numbers, none negative, got ({shown})")
    return values


def room_for(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Bytes that an array is counted for; empty axes count as one, so that none of the others is beyond reason."""
    return math.prod(max(n, 1) for n in shape) * dtype.itemsize


class _Code:
    """The bytes of a pickle, one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        piece = self.data[self.at:self.at + count]
        if len(piece) < count:
            raise ValueError("the pickle ends here; it is truncated")
        self.at += count
        return piece

    def number(self, layout):
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def counted(self, layout):
        """Bytes behind their number."""
        return self.take(self.number(layout))

    def text(self, layout):
        return self.counted(layout).decode()

    def whole(self):
        return int.from_bytes(self.counted("<B"), "little", signed=True)

    def line(self):
        end = self.data.find(b"\n", self.at, self.at + _LONGEST_NAME)
        if end < 0:
            raise ValueError(f"expected a name of less than {_LONGEST_NAME} bytes")
        return self.take(end + 1 - self.at)[:-1].decode()


class _Machine:
    """The stack, those that lie below it while a list of items is gathered, and what is kept for later by number."""

    def __init__(self, code, known, stored, room):
        self.code, self.known, self.stored, self.room = code, known, stored, room
        self.stack, self.below, self.memo = [], [], {}

    def run(self):
        for _ in range(_MOST_STEPS):
            step = self.code.take(1)
            if step == b".":
                return self.result()
            if step not in _STEPS:
                raise ValueError(f"the step {step.hex()} is none of those that make plain values")
            _STEPS[step](self)
        raise ValueError(f"the pickle has more than {_MOST_STEPS} steps")

    def result(self):
        if self.below or len(self.stack) != 1 or self.code.at != len(self.code.data):
            raise ValueError("the pickle ends with values left over, or goes on behind its end")
        return self.stack[0]

    def check_protocol(self, protocol):
        if not 2 <= protocol <= 5:
            raise ValueError(f"expected protocol 2 to 5, got {protocol}")

    def push(self, value):
        self.stack.append(value)

    def pop(self):
        if not self.stack:
            raise ValueError("a value is asked for, and there is none")
        return self.stack.pop()

    def last(self, kinds=object):
        if not self.stack or not isinstance(self.stack[-1], kinds):
            raise ValueError(f"there is no {getattr(kinds, '__name__', 'object')} for what follows")
        return self.stack[-1]

    def pops(self, count):
        return tuple(reversed([self.pop() for _ in range(count)]))

    def mark(self):
        self.below.append(self.stack)
        self.stack = []

    def marked(self):
        """The values since the last mark."""
        if not self.below:
            raise ValueError("items are asked for, and no list of them has begun")
        values, self.stack = self.stack, self.below.pop()
        return values

    def extend(self, values):
        self.last(list).extend(values)

    def update(self, values):
        target = self.last(dict)
        if len(values) % 2:
            raise ValueError("a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[_key(key)] = value

    def add(self, values):
        self.last(set).update(map(_key, values))

    def put(self, place):
        value = self.last()
        self.memo[place] = value
        if isinstance(value, _Unbuilt):
            value.places.append(place)

    def get(self, place):
        if place not in self.memo:
            raise ValueError(f"value {place} is asked for, which was not kept")
        self.push(self.memo[place])

    def named(self, module, name):
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a function or class without a name")
        full = f"{module}.{name}"
        if full not in self.known:
            raise ValueError(
                f"asks for {full[:_LONGEST_NAME]}, which is not read: plain values, arrays and tensors are, and "
                "nothing in a file is executed"
            )
        self.push(self.known[full])

    def call(self):
        function, arguments = self.pops(2)
        if not isinstance(function, Known) or function.make is None or not isinstance(arguments, tuple):
            raise ValueError(f"{_kind(function)} is called, which is not read")
        self.push(function.make(arguments))

    def build(self):
        """Give the last value but one its state, which is the last; arrays are made of theirs."""
        node, state = self.pops(2)
        self.push(node)
        if isinstance(node, OrderedDict):  # attributes, such as the versions of PyTorch's modules
            check_arguments("the state of an OrderedDict", (state,), dict)
        elif isinstance(node, np.dtype):
            _check_order(state)
        elif isinstance(node, _Unbuilt):
            array = self.stack[-1] = _array(state, self.room)
            for place in node.places:
                if self.memo[place] is node:
                    self.memo[place] = array
        else:
            raise ValueError(f"a state is given to {_kind(node)}, which is not read")


_STEPS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": lambda m: m.check_protocol(m.code.number("<B")),
    b"\x95": lambda m: m.code.take(8),  # how much to read at once
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.code.number("<i")),
    b"K": lambda m: m.push(m.code.number("<B")),
    b"M": lambda m: m.push(m.code.number("<H")),
    b"\x8a": lambda m: m.push(m.code.whole()),
    b"G": lambda m: m.push(m.code.number(">d")),
    b"X": lambda m: m.push(m.code.text("<I")),
    b"\x8c": lambda m: m.push(m.code.text("<B")),
    b"\x8d": lambda m: m.push(m.code.text("<Q")),
    b"B": lambda m: m.push(m.code.counted("<I")),
    b"C": lambda m: m.push(m.code.counted("<B")),
    b"\x8e": lambda m: m.push(m.code.counted("<Q")),
    b"(": lambda m: m.mark(),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.marked())),
    b"\x85": lambda m: m.push(m.pops(1)),
    b"\x86": lambda m: m.push(m.pops(2)),
    b"\x87": lambda m: m.push(m.pops(3)),
    b"]": lambda m: m.push([]),
    b"a": lambda m: m.extend(m.pops(1)),
    b"e": lambda m: m.extend(m.marked()),
    b"}": lambda m: m.push({}),
    b"s": lambda m: m.update(m.pops(2)),
    b"u": lambda m: m.update(m.marked()),
    b"\x8f": lambda m: m.push(set()),
    b"\x90": lambda m: m.add(m.marked()),
    b"q": lambda m: m.put(m.code.number("<B")),
    b"r": lambda m: m.put(m.code.number("<I")),
    b"\x94": lambda m: m.put(len(m.memo)),
    b"h": lambda m: m.get(m.code.number("<B")),
    b"j": lambda m: m.get(m.code.number("<I")),
    b"c": lambda m: m.named(m.code.line(), m.code.line()),
    b"\x93": lambda m: m.named(*m.pops(2)),
    b"R": lambda m: m.call(),
    b"b": lambda m: m.build(),
    b"Q": lambda m: m.push(m.stored(m.pop())),
}


def _key(value):
    """A key of a dict or item of a set, of a kind whose hash is quick and not for the file to choose."""
    whole = type(value) is int and -_LARGEST_KEY < value < _LARGEST_KEY
    if not whole and type(value) not in (str, bytes, bool, type(None)):
        raise ValueError(f"{_kind(value)} as a key, which is not read: words and whole numbers are")
    return value


def _kind(value):
    """For messages: the name of a known function, or the type of a value."""
    return value.name if isinstance(value, Known) else _type_name(type(value))


def _type_name(kind):
    return kind.__name__.lstrip("_")


@dataclass(eq=False)
class _Unbuilt:
    """An array whose shape and numbers are yet to come."""

    places: list[int] = field(default_factory=list)  # where it is kept


def _standard(room):
    """The names of Python and NumPy that are known."""

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
    return _Unbuilt()


def _dtype(arguments):
    """A type of numbers as they lie in memory, without the order of bytes, which is a state that follows."""
    check_arguments("numpy.dtype", arguments[:1], str)
    if arguments[0] not in _DTYPES:
        raise ValueError(f"numbers of type {arguments[0][:40]!r}; expected one of {', '.join(_DTYPES)}")
    return np.dtype(f"<{arguments[0]}")


def _check_order(state):
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
    if not isinstance(order, str) or order not in ("<", "|", "="):
        raise ValueError("numbers with the largest byte first; expected the smallest first ('<')")


def _array(state, room):
    """An array of its state: version, shape, type, whether the first axis runs fastest, numbers."""
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


def _measure(node, depth, known):
    """(containers below a node, values in it) of a tree that is checked to hold plain values only, and to have an end.

    What is shared is looked at once, and counted each time: a list that holds itself is deeper than any.
    """
    if not isinstance(node, dict | list | tuple | set):
        if not isinstance(node, bool | int | float | complex | str | bytes | np.ndarray | type(None)):
            raise ValueError(f"holds {_kind(node)} itself; expected plain values, arrays and tensors")
        return 0, 1
    height, count = known.get(id(node), (0, 0))
    if depth + height >= _DEEPEST:
        raise ValueError(f"values lie in each other deeper than {_DEEPEST} times, or hold themselves")
    if not count:
        inner = node.values() if isinstance(node, dict) else node
        measured = [_measure(value, depth + 1, known) for value in inner]
        height = 1 + max((h for h, _ in measured), default=0)
        count = 1 + sum(n for _, n in measured)
        if count > _MOST_VALUES:
            raise ValueError(f"the tree has more than {_MOST_VALUES} values, most of them the same again and again")
        known[id(node)] = height, count
    return height, count
