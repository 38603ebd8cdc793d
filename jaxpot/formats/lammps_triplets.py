"""Entries of three elements and a row of numbers: LAMMPS's files of three-body potentials."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from jaxpot.errors import DataError
from jaxpot.formats.text import Lines


def read_entries(
    lines: Lines, fields: Sequence[str], not_negative: Collection[str], of: Callable[[str], Any]
) -> tuple[dict, dict]:
    """All entries of a file; each may stand on several lines, and begins on a new one.

    Args:
        lines: `Lines`.
        fields: names of the numbers, in their order.
        not_negative: those of them that must not be negative.
        of: word -> the element that the file's word stands for, or a `DataError`; entries go by what it returns.

    Returns:
        entries: {(one, two, three): {field: number}}.
        where: the line each begins on.
    """
    entries: dict[tuple, dict[str, float]] = {}
    where: dict[tuple, int] = {}
    count = 3 + len(fields)
    while lines.more():
        words = lines.next("entry")
        start = lines.line
        while len(words) < count:
            words += lines.next("entry")
        if len(words) > count:
            raise lines.error(f"expected {count} words in an entry, got {len(words)}", "entry")
        try:
            triplet = tuple(of(word) for word in words[:3])
        except DataError as error:
            raise lines.error(str(error), "elements", line=start) from error
        if triplet in entries:
            message = f"{'-'.join(words[:3])} was given before, on line {where[triplet]}"
            raise lines.error(message, "entry", line=start)
        values = {field: lines.number(word, field) for field, word in zip(fields, words[3:], strict=True)}
        for field in not_negative:
            if values[field] < 0.0:
                message = f"expected a number that is not negative, got {values[field]}"
                raise lines.error(message, field, line=start)
        entries[triplet], where[triplet] = values, start
    if not entries:
        raise lines.error("there is no entry in this file", "entries")
    return entries, where


def check_complete(lines: Lines, entries: dict, triplets: Sequence[tuple], name: Callable[[tuple], str]) -> None:
    """Refuse a file that lacks entries."""
    missing = [t for t in triplets if t not in entries]
    if missing:
        named = ", ".join(map(name, missing[:4])) + (", ..." if len(missing) > 4 else "")
        raise lines.error(
            f"{len(missing)} of {len(triplets)} entries are missing: {named}; "
            "every ordered triplet of elements needs one",
            "entries",
        )
