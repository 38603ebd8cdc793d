"""Plain values and arrays of a pickle, of which nothing is executed and nothing imported.

A pickle is a program for a machine with a stack. This machine knows the steps that make plain values, and a table of
names: whatever else a file asks for is refused. Files of protocol 2 to 5 are read, the binary ones.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxpot.formats.plain_objects import (
    Known,
    Room,
    Unbuilt,
    array_of,
    check_arguments,
    check_order,
    kind_of,
    standard_names,
)

_MOST_STEPS = 300_000  # published checkpoints have some ten thousand, of which each makes some hundred bytes
_LARGEST_PICKLE = 1 << 24  # bytes; arrays lie elsewhere
_MOST_VALUES = 1_000_000  # in a tree, where what is shared counts each time: a walk through it has an end
_DEEPEST = 100  # containers in each other
_LONGEST_NAME = 1000  # bytes
_LARGEST_KEY = 1 << 60  # larger whole numbers may share their hash, and a dict of such takes forever


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
    machine = _Machine(_Code(data), {**standard_names(room), **known}, stored, room)
    try:
        tree = machine.run()
    except ValueError as error:
        raise ValueError(f"byte {machine.code.at}: {error}") from error
    _measure(tree, 0, {})
    return tree


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
        if isinstance(value, Unbuilt):
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
            raise ValueError(f"{kind_of(function)} is called, which is not read")
        self.push(function.make(arguments))

    def build(self):
        """Give the last value but one its state, which is the last; arrays are made of theirs."""
        node, state = self.pops(2)
        self.push(node)
        if isinstance(node, OrderedDict):  # attributes, such as the versions of PyTorch's modules
            check_arguments("the state of an OrderedDict", (state,), dict)
        elif isinstance(node, np.dtype):
            check_order(state)
        elif isinstance(node, Unbuilt):
            array = self.stack[-1] = array_of(state, self.room)
            for place in node.places:
                if self.memo[place] is node:
                    self.memo[place] = array
        else:
            raise ValueError(f"a state is given to {kind_of(node)}, which is not read")


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
        raise ValueError(f"{kind_of(value)} as a key, which is not read: words and whole numbers are")
    return value


def _measure(node, depth, known):
    """(containers below a node, values in it) of a tree that is checked to hold plain values only, and to have an end.

    What is shared is looked at once, and counted each time: a list that holds itself is deeper than any.
    """
    if not isinstance(node, dict | list | tuple | set):
        if not isinstance(node, bool | int | float | complex | str | bytes | np.ndarray | type(None)):
            raise ValueError(f"holds {kind_of(node)} itself; expected plain values, arrays and tensors")
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
