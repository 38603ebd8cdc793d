"""YAML as nodes with their lines: PyYAML composes them, and nothing is constructed or executed."""

from typing import Any

import numpy as np
import yaml

from jaxpot.core.elements import atomic_number
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.text import Lines, float_of, shown
from jaxpot.typing import FilePath

_DEEPEST = 12


class Node:
    """A part of a YAML file, with its line for what is wrong in it."""

    def __init__(self, path: FilePath, node: yaml.Node, name: str) -> None:
        self.path, self.node, self.name = path, node, name

    @classmethod
    def of_text(cls, path: FilePath) -> "Node":
        """The whole file.

        Raises:
            FormatError: not YAML, or with aliases.
        """
        text = "\n".join(Lines(path).all())
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            depth = 0
            for event in yaml.parse(text, Loader=loader):
                line = event.start_mark.line + 1
                if isinstance(event, yaml.AliasEvent):
                    raise FormatError("expected no aliases (*)", path, line)
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > _DEEPEST:  # composing is recursive
                    raise FormatError(f"expected lists and keys that are nested at most {_DEEPEST} times", path, line)
            node = yaml.compose(text, Loader=loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = None if mark is None else mark.line + 1
            raise FormatError(f"expected YAML: {getattr(error, 'problem', error)}", path, line) from error
        if not isinstance(node, yaml.MappingNode):
            raise FormatError("expected YAML with keys such as elements, bonds, functions", path)
        return cls(path, node, "file")

    @property
    def line(self) -> int:
        return self.node.start_mark.line + 1

    def error(self, message: str) -> FormatError:
        return FormatError(message, self.path, self.line, self.name)

    def get(self, key: str) -> "Node | None":
        """The value of a key, or None."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("expected keys with values")
        for name, value in self.node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == key:
                return Node(self.path, value, key)
        return None

    def __getitem__(self, key: str) -> "Node":
        value = self.get(key)
        if value is None:
            raise self.error(f"expected the key {key}: it is missing")
        return value

    def pairs(self) -> list[tuple["Node", "Node"]]:
        """Keys and values."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("expected keys with values")
        return [(Node(self.path, a, self.name), Node(self.path, b, self.name)) for a, b in self.node.value]

    def items(self, least: int, most: int) -> list["Node"]:
        """Entries of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("expected a list")
        count = len(self.node.value)
        if not least <= count <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise self.error(f"expected a list of {wanted}, got {count}")
        return [Node(self.path, one, self.name) for one in self.node.value]

    def numbers(self, count: int) -> np.ndarray:
        """A list of finite numbers."""
        return np.array([one.number() for one in self.items(count, count)])

    def number(self) -> float:
        value: Any = self.node.value
        try:
            return float_of(str(value))
        except ValueError as error:
            raise self.error(f"expected {error}, got {shown(str(value))}") from None

    def positive(self) -> float:
        number = self.number()
        if number <= 0.0:
            raise self.error(f"expected a number above zero, got {number:g}")
        return number

    def whole(self, least: int, most: int) -> int:
        number = self.number()
        if number % 1 or not least <= number <= most:
            raise self.error(f"expected a whole number from {least} to {most}, got {number:g}")
        return int(number)

    def one_of(self, names: tuple[str, ...]) -> str:
        value = self.node.value
        if value not in names:
            raise self.error(f"expected one of {', '.join(names)}; got {shown(str(value))}")
        return value

    def element(self) -> int:
        try:
            return atomic_number(str(self.node.value))
        except DataError as error:
            raise self.error(str(error)) from error
