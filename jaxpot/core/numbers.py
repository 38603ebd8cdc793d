"""Plain numbers among the arguments: static values, checked when they are given."""

from jaxpot.errors import DataError


def as_number(value, name, expected="a finite number"):
    """A static argument as a Python float, finite."""
    try:
        found = float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: expected {expected}, got {value!r}") from error
    if not abs(found) < float("inf"):
        raise DataError(f"{name}: expected {expected}, got {found}")
    return found


def as_positive(value, name, expected="a positive number"):
    """A static argument as a Python float, above zero and finite."""
    found = as_number(value, name, expected)
    if found <= 0.0:
        raise DataError(f"{name}: expected {expected}, got {found:g}")
    return found


def as_length(value, name):
    """A static length in A as a Python float, above zero and finite."""
    return as_positive(value, name, "a positive length in A")


def as_whole(value, name, least, most):
    """A static argument as a Python int between two bounds."""
    expected = f"a whole number from {least} to {most}"
    found = as_number(value, name, expected)
    if not (found.is_integer() and least <= found <= most):
        raise DataError(f"{name}: expected {expected}, got {value}")
    return int(found)
