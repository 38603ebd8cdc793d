"""Public functions say what they take and return; whether that is right, mypy finds out (`.ci/run`)."""

import ast
import importlib
import inspect
import pkgutil
import tomllib
import typing
from pathlib import Path

import pytest

import jaxpot
from jaxpot.core.pytree import REGISTRY

ROOT = Path(jaxpot.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
CIRCULAR = {("jaxpot.data.summary", "summarise")}  # data sets summarise themselves
OPERATORS = (
    "__init__", "__call__", "__len__", "__iter__", "__getitem__", "__contains__", "__str__", "__repr__", "__add__",
    "__sub__", "__mul__", "__truediv__", "__neg__",
)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def public_functions(node, owner=""):
    """(name, function, whether the first argument is left out) of a module or class, and of its public classes."""
    for child in node.body:
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from public_functions(child, f"{owner}{child.name}.")
        if isinstance(child, ast.FunctionDef):
            if not child.name.startswith("_") or owner and child.name in OPERATORS:
                static = any(ast.unparse(one) == "staticmethod" for one in child.decorator_list)
                yield owner + child.name, child, bool(owner) and not static


def without_types(function, method):
    """Names of the arguments without annotation, and "return"."""
    arguments = function.args
    named = (arguments.posonlyargs + arguments.args)[int(method):] + arguments.kwonlyargs
    every = [*named, *filter(None, (arguments.vararg, arguments.kwarg))]
    return [a.arg for a in every if a.annotation is None] + ["return"] * (function.returns is None)


def is_overload(function):
    return any(ast.unparse(one) == "overload" for one in function.decorator_list)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_public_functions_are_typed(path):
    functions = list(public_functions(ast.parse(path.read_text())))
    overloaded = {name for name, function, _ in functions if is_overload(function)}
    bare = {}
    for name, function, method in functions:
        if name in overloaded and not is_overload(function):
            continue  # its overloads say it
        missing = without_types(function, method)
        if missing:
            bare[name] = missing
    assert not bare, f"{name_of(path)}: without annotations: {bare}"


def test_mypy_leaves_nothing_out():
    settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["tool"]["mypy"]
    assert settings["packages"] == ["jaxpot"]
    assert "exclude" not in settings
    assert not [name for one in settings["overrides"] for name in one["module"] if name.startswith("jaxpot")]


def test_annotations_can_be_evaluated():
    """As documentation and inspection do: no name in them is there for checkers alone."""
    for info in pkgutil.walk_packages(jaxpot.__path__, "jaxpot."):
        if info.name == "jaxpot.__main__":
            continue
        module = importlib.import_module(info.name)
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", None) != info.name:
                continue
            if (inspect.isfunction(thing) or inspect.isclass(thing)) and (info.name, name) not in CIRCULAR:
                typing.get_type_hints(thing)


def test_constructors_and_replace_are_there_for_inspection():
    structure = inspect.signature(jaxpot.Structure)
    assert list(structure.parameters)[:3] == ["positions", "cell", "numbers"]
    for cls in REGISTRY.values():
        assert callable(cls.replace)
