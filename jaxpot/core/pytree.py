"""Frozen dataclasses that are JAX pytrees, and the names under which they are saved.

A class is saved as `package:Name`, without the path of its module: files outlive the modules that a class moves
through. Two classes of one package that share a name get different ones by `@pytree(name=...)`.
"""

import dataclasses
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Self, TypeVar, dataclass_transform, overload

import jax

from jaxpot.errors import DataError

T = TypeVar("T")

_STATIC = "jaxpot_static"
_NAME = "_jaxpot_name"
REGISTRY: dict[str, type] = {}  # what may be loaded from a file: every name of a class, former ones included -> class


def static(**kwargs: Any) -> Any:
    """A dataclass field that is part of the tree's structure: hashable, never traced."""
    return dataclasses.field(metadata={_STATIC: True}, **kwargs)


def put(node: Any, name: str, value: Any) -> None:
    """Set a field of a pytree that is being made: only its `__post_init__` may."""
    object.__setattr__(node, name, value)


class Node:
    """Base by which type checkers know the method that `pytree` gives to every class."""

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; the checks of the constructor run again."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]  # subclasses are dataclasses


@overload
@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(static, dataclasses.field))
def pytree(cls: type[T]) -> type[T]: ...


@overload
@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(static, dataclasses.field))
def pytree(*, name: str | None = None, former: tuple[str, ...] = ()) -> Callable[[type[T]], type[T]]: ...


def pytree(cls=None, *, name=None, former=()):
    """Class decorator: a frozen dataclass registered as a pytree.

    Fields are children (arrays or pytrees) unless declared with `static()`. Unflattening restores the
    fields without running `__post_init__`, so that conversions and checks happen once, on values that
    a user gave, and never on tracers or on the placeholders that JAX puts into trees.

    Args:
        cls: the class; `@pytree` and `@pytree(name=...)` both work.
        name: in saved files, behind the package; by default the name of the class. It must never change.
        former: whole names in files that were written under another one, such as "jaxpot.kernels.base:Sum".

    Raises:
        DataError: another class of the package is saved under this name.
    """
    if cls is None:
        return partial(pytree, name=name, former=former)
    cls = dataclasses.dataclass(frozen=True, eq=False, repr=cls.__repr__ is object.__repr__)(cls)
    fields = dataclasses.fields(cls)
    leaves = tuple(f.name for f in fields if not f.metadata.get(_STATIC))
    statics = tuple(f.name for f in fields if f.metadata.get(_STATIC))

    def flatten_with_keys(node):
        children = tuple((jax.tree_util.GetAttrKey(k), getattr(node, k)) for k in leaves)
        return children, tuple(getattr(node, k) for k in statics)

    def flatten(node):
        return tuple(getattr(node, k) for k in leaves), tuple(getattr(node, k) for k in statics)

    def unflatten(aux, children):
        node = object.__new__(cls)
        for name, value in zip(leaves, children, strict=True):
            object.__setattr__(node, name, value)
        for name, value in zip(statics, aux, strict=True):
            object.__setattr__(node, name, value)
        return node

    if "replace" not in cls.__dict__:
        cls.replace = Node.replace
    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    setattr(cls, _NAME, f"{_package(cls)}:{name or cls.__qualname__}")
    for own_name in (class_name(cls), *former):
        _register(own_name, cls)
    return cls


def class_name(cls: type) -> str:
    """The name under which a class is saved, `package:Name`."""
    return cls.__dict__.get(_NAME, f"{_package(cls)}:{cls.__qualname__}")


def class_named(name: str) -> type | None:
    """The class that a file names, or None if no imported module defines it.

    Until November 2026 names held the path of the module, `jaxpot.potentials.morse:Morse`. Wherever that was, the class
    of this name in the same package is meant, unless another one says that it was saved so (`former`).
    """
    if name in REGISTRY:
        return REGISTRY[name]
    module, _, own_name = name.partition(":")
    return REGISTRY.get(f"{module.partition('.')[0]}:{own_name}")


def _package(cls):
    return cls.__module__.partition(".")[0]


def _register(name, cls):
    """Let `name` mean `cls`. A class that is defined once more, as in a notebook, takes its own place."""
    other = REGISTRY.get(name, cls)
    if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise DataError(
            f"{cls.__module__}.{cls.__qualname__} and {other.__module__}.{other.__qualname__} would both be saved as "
            f'{name}: give one of them a name of its own, @pytree(name="...")'
        )
    REGISTRY[name] = cls


def static_fields(node: Any) -> dict[str, Any]:
    """The static fields of a pytree made here, as a dict."""
    return {f.name: getattr(node, f.name) for f in dataclasses.fields(node) if f.metadata.get(_STATIC)}


def form_text(tree: Any) -> str:
    """Text of all that is no array in a tree, the same in every process: without the addresses of functions."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(jax.tree.structure(tree)))


def field_defaults(cls: type) -> dict[str, Any]:
    """The defaults of the fields that have one, by name."""
    values = {}
    for f in dataclasses.fields(cls):
        if f.default is not dataclasses.MISSING:
            values[f.name] = f.default
        elif f.default_factory is not dataclasses.MISSING:
            values[f.name] = f.default_factory()
    return values


def leaf_fields(node: Any) -> dict[str, Any]:
    """The child fields of a pytree made here, as a dict."""
    return {f.name: getattr(node, f.name) for f in dataclasses.fields(node) if not f.metadata.get(_STATIC)}
