"""Rows of a property card's table: a name, a value with its error bar, and a unit."""

from collections.abc import Iterator
from dataclasses import dataclass

MISSING = "not available"
_SAME = 5e-4  # relative; modes closer than this are shown as one, with its degeneracy


@dataclass(frozen=True)
class Row:
    """One line of the table; `section` opens a new part when it differs from the row before.

    `numbers` are those that `value` shows, each with its standard deviation or None.
    """

    section: str
    name: str
    value: str
    unit: str
    numbers: tuple = ()


def entry_row(section: str, name: str, entry: dict, digits: int, unit: str) -> Row:
    """The row of an entry of the document, {"value": number or None, "sd": number or None}."""
    return row(section, name, entry["value"], digits, unit, entry["sd"])


def row(section: str, name: str, value: float | None, digits: int, unit: str, deviation: float | None) -> Row:
    """The row of a number, or of one that does not exist."""
    return Row(section, name, number(value, digits, deviation), unit, ((value, deviation),))


def number(value: float | None, digits: int, deviation: float | None = None) -> str:
    """A value, with more digits where its standard deviation asks for them."""
    if value is None:
        return MISSING
    if deviation is None:
        return f"{value:.{digits}f}"
    while digits < 8 and 0.0 < deviation < 9.5 * 10.0**-(digits + 1):
        digits += 1
    return f"{value:.{digits}f} ± {deviation:.{digits}f}"


def mode_rows(
    section: str, table: dict | None, frequencies: dict | None, deviations: dict | None, unit: str
) -> Iterator[Row]:
    """Rows of a number of each mode, {special point: numbers}; one row a point.

    Args:
        frequencies: of the modes, of the same shape; modes whose frequencies and numbers are equal stand once.
        deviations: standard deviations, of the same shape.
    """
    if table is None or frequencies is None:
        yield Row(section, "At the special points", MISSING, "")
        return
    scale = max(abs(f) for of_point in frequencies.values() for f in of_point)
    for point, values in table.items():
        bars = None if deviations is None else deviations[point]
        text, numbers = _grouped(values, 3, frequencies[point], scale, bars)
        yield Row(section, f"At {'Γ' if point == 'Gamma' else point}", text, unit, numbers)


def _grouped(values, digits, frequencies, scale, deviations=None):
    """Values of modes with equal frequency stand once, with the degeneracy, 4.480 ×2; and the numbers shown."""
    groups = []
    deviations = [None] * len(values) if deviations is None else deviations
    for value, frequency, deviation in zip(values, frequencies, deviations, strict=True):
        last = groups[-1] if groups else None
        if last and abs(frequency - last[1]) <= _SAME * scale and _close(value, last[0]):
            last[2] += 1
        else:
            groups.append([value, frequency, 1, deviation])
    text = ", ".join(
        ("–" if value is None else number(value + 0.0, digits, deviation or None).replace("-0.000", "0.000"))
        + (f" ×{count}" if count > 1 else "")
        for value, _, count, deviation in groups
    )
    return text, tuple((value, deviation) for value, _, _, deviation in groups)


def _close(a, b):
    if a is None or b is None:
        return a is b
    return abs(a - b) <= _SAME * max(1.0, abs(a))
