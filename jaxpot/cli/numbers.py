"""Numbers of a command line, for argparse; errors tell what was expected and what was given."""

import math
from argparse import ArgumentTypeError


def count(text: str) -> int:
    """A positive whole number, for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def kelvin(text: str) -> float:
    """A temperature, for argparse."""
    return _number(text, 0.0, "a temperature in K, not negative")


def pressure(text: str) -> float:
    """A pressure, for argparse."""
    return _number(text, -math.inf, "a pressure in GPa")


def _number(text, least, expected):
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < least:
        raise ArgumentTypeError(f"expected {expected}, got {text!r}")
    return number
