"""Files of recipes: found by name or path, read as TOML, and their numbers checked with the field that is wrong."""

import os
import re
import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

from jaxpot.core.files import file_size
from jaxpot.data.targets import Sigmas
from jaxpot.errors import DataError, FormatError

_LARGEST = 1e6
_LARGEST_FILE = 1 << 18  # bytes
_DEEP = re.compile(r"(?:[\w\"'-]+[ \t]*\.[ \t]*){20}")  # keys of keys, for which `tomllib` takes long


class AnyRecipe(Protocol):
    """Recipe of some family."""

    family: ClassVar[str]
    table: ClassVar[str]

    @classmethod
    def from_tables(cls, document: dict, file: str, name: str) -> Self: ...


R = TypeVar("R", bound=AnyRecipe)


def recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(f.name.removesuffix(".toml") for f in _folder().iterdir() if f.name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """Text of a recipe that comes with the package."""
    return (_folder() / f"{name}.toml").read_text(encoding="utf-8")


def recipe_document(name: str | os.PathLike) -> tuple[dict, str, str]:
    """Tables of a recipe, by its name or path; what messages call the file; and the name of the recipe.

    Raises:
        FormatError: no such recipe, or a file that is not TOML.
    """
    if str(name) in recipes():
        text, file = recipe_text(str(name)), f"recipe {name}"
    else:
        file = str(name)
        if not os.path.isfile(name):
            raise FormatError(f"expected one of the recipes {', '.join(recipes())} or a TOML file", file=file)
        file_size(name, _LARGEST_FILE)
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FormatError(f"cannot be read as text ({error})", file=file) from error
    if _DEEP.search(text):
        raise FormatError("tables are nested deeper than in any recipe", file=file)
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"is not TOML: {error}", file=file) from error
    return document, file, Path(str(name)).stem


def recipe_of(kind: type[R], recipe: Any) -> R:
    """Recipe of one family: as it is, or read by its name or path.

    Args:
        kind: class of the family's recipes, with `family`, what they are for, `table`, the one by which files of theirs
            are known, and `from_tables`.
        recipe: one of these, or the name or path of a file.

    Raises:
        DataError: a recipe of another family.
        FormatError: a file that cannot be read.
    """
    if isinstance(recipe, kind):
        return recipe
    if not isinstance(recipe, str | os.PathLike):
        raise DataError(
            f"recipe: expected one of {kind.family}, its name or its path, got a {type(recipe).__name__}: jp.fit takes "
            "recipes of every family, and any potential can be the baseline of one"
        )
    document, file, name = recipe_document(recipe)
    if kind.table not in document:
        raise DataError(
            f"recipe {name}: expected one of {kind.family}, with a table [{kind.table}]; it has {', '.join(document)}: "
            "jp.fit takes recipes of every family"
        )
    return kind.from_tables(document, file, name)


def checked_table(document: dict, key: str, known: set[str], file: str) -> dict:
    """Table `key` of a document, {} without one; its own keys are among those known.

    Raises:
        FormatError: no table, or other keys in it.
    """
    table = document.get(key, {})
    if not isinstance(table, dict) or set(table) - known:
        raise FormatError(f"expected {', '.join(sorted(known))}, got {table!r}", file=file, field=key)
    return table


def checked_whole(value: Any, least: int, file: str, field: str) -> int:
    """Whole number of at least `least`, or FormatError."""
    if type(value) is not int or value < least:
        raise FormatError(f"expected a whole number of at least {least}, got {value!r}", file=file, field=field)
    return value


def checked_number(value: Any, file: str, field: str) -> float:
    """Positive number, or FormatError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value < _LARGEST:
        raise FormatError(f"expected a positive number, got {value!r}", file=file, field=field)
    return value


def checked_sigmas(document: dict, file: str) -> Sigmas:
    """`Sigmas` of the table [sigma]."""
    sigma = checked_table(document, "sigma", {"energy", "forces", "stress"}, file)
    return Sigmas(**{key: checked_number(value, file, f"sigma.{key}") for key, value in sigma.items()})


def _folder() -> Traversable:
    return resources.files("jaxpot.fitting") / "recipes"
