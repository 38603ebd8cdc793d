"""Plain numbers among the arguments: static values, checked when they are given."""

from typing import Any

from jaxpot.errors import DataError


def as_number(value: Any, name: str, expected: str = "a finite number") -> float:
    """A static argument as a Python float, finite."""
    try:
        found = float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: expected {expected}, got {value!r}") from error
    if not abs(found) < float("inf"):
        raise DataError(f"{name}: expected {expected}, got {found}")
    return found


def as_positive(value: Any, name: str, expected: str = "a positive number") -> float:
    """A static argument as a Python float, above zero and finite."""
    found = as_number(value, name, expected)
    if found <= 0.0:
        raise DataError(f"{name}: expected {expected}, got {found:g}")
    return found


def as_length(value: Any, name: str) -> float:
    """A static length in A as a Python float, above zero and finite."""
    return as_positive(value, name, "a positive length in A")


def as_whole(value: Any, name: str, least: int, most: int) -> int:
    """A static argument as a Python int between two bounds."""
    expected = f"a whole number from {least} to {most}"
    found = as_number(value, name, expected)
    if not (found.is_integer() and least <= found <= most):
        raise DataError(f"{name}: expected {expected}, got {value}")
    return int(found)
