"""Frozen dataclasses that are JAX pytrees, and how they are saved without pickle."""

import dataclasses

import jax

_STATIC = "jaxpot_static"
REGISTRY = {}  # what may be loaded from a file: class name -> class


def static(**kwargs):
    """A dataclass field that is part of the tree's structure: hashable, never traced."""
    return dataclasses.field(metadata={_STATIC: True}, **kwargs)


def put(node, name, value):
    """Set a field of a pytree that is being made: only its `__post_init__` may."""
    object.__setattr__(node, name, value)


def pytree(cls):
    """Class decorator: a frozen dataclass registered as a pytree.

    Fields are children (arrays or pytrees) unless declared with `static()`. Unflattening restores the
    fields without running `__post_init__`, so that conversions and checks happen once, on values that
    a user gave, and never on tracers or on the placeholders that JAX puts into trees.
    """
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

    def replace(self, **changes):
        """A copy with some fields changed; the checks of the constructor run again."""
        return dataclasses.replace(self, **changes)

    if "replace" not in cls.__dict__:
        cls.replace = replace
    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    REGISTRY[class_name(cls)] = cls
    return cls


def class_name(cls):
    """The name under which a class is saved."""
    return f"{cls.__module__}:{cls.__qualname__}"


def static_fields(node):
    """The static fields of a pytree made here, as a dict."""
    return {f.name: getattr(node, f.name) for f in dataclasses.fields(node) if f.metadata.get(_STATIC)}


def field_defaults(cls):
    """The defaults of the fields that have one, by name."""
    values = {}
    for f in dataclasses.fields(cls):
        if f.default is not dataclasses.MISSING:
            values[f.name] = f.default
        elif f.default_factory is not dataclasses.MISSING:
            values[f.name] = f.default_factory()
    return values


def leaf_fields(node):
    """The child fields of a pytree made here, as a dict."""
    return {f.name: getattr(node, f.name) for f in dataclasses.fields(node) if not f.metadata.get(_STATIC)}
