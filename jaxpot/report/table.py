"""The property card in words: the rows of its properties, and a plain-text table of them.

The rows serve the terminal and the HTML page alike. They are made from the card's document (what is in
`card.json`), so that nothing is shown that is not in the file.
"""

from jaxpot.report import entries
from jaxpot.report.rows import Row

_ASCII = {
    "Γ": "Gamma",
    "γ": "gamma",
    "α": "alpha",
    "×": "x",
    "Å": "A",
    "²": "^2",
    "³": "^3",
    "⁻": "^-",
    "⁶": "6",
    "·": ".",
    "–": "-",
    "—": "-",
    "ü": "ue",
    "−": "-",
    "│": "|",
    "─": "-",
    "₀": "0",
    "′": "'",
    "±": "+-",
    "σ": "sigma",
}


def rows(document: dict) -> list[Row]:
    """The rows of a card's document (the contents of `card.json`)."""
    return [row for prop in entries.PROPERTIES if prop.rows is not None for row in prop.rows(document)]


def deviations_off(truth: dict, document: dict) -> list[Row]:
    """Rows that say by how many of its standard deviations each number of a card is off that of another card.

    Only of rows that both have, with as many numbers, and where there are deviations.
    """
    known, shown = {(row.section, row.name): row.numbers for row in rows(truth)}, []
    for row in rows(document):
        reference = known.get((row.section, row.name), ())
        if len(row.numbers) != len(reference) or not any(deviation for _, deviation in row.numbers):
            continue
        off = [
            f"{(value - true) / deviation:+.1f}" if deviation and true is not None else "–"
            for (value, deviation), (true, _) in zip(row.numbers, reference, strict=True)
        ]
        shown.append(Row(row.section, row.name, ", ".join(off) + " σ", ""))
    return shown


def text_table(document: dict, unicode: bool = True, width: int | None = None) -> str:
    """The table as text for a terminal.

    Args:
        unicode: False for terminals that show ASCII only.
        width: letters in a line; longer lists of numbers go on in the next one. By default they do not.
    """
    shown = rows(document)
    name_width = max(len(row.name) for row in shown)
    unit_width = max(len(row.unit) for row in shown)
    room = max(30, width - name_width - unit_width - 6) if width else None
    value_width = max(len(line) for row in shown if row.unit for line in _wrapped(row.value, room))
    title = _title(document)
    lines = [title, "─" * len(title)]
    section = None
    for row in shown:
        if row.section != section:
            if section is not None:
                lines.append("")
            lines.append(row.section)
            section = row.section
        first, *more = _wrapped(row.value, room)
        lines.append(f"  {row.name:<{name_width}}  {first:<{value_width}}  {row.unit}".rstrip())
        lines += [f"  {'':<{name_width}}  {line}" for line in more]
    for warning in document["meta"]["warnings"]:
        lines.append(f"\nNote: {warning}")
    text = "\n".join(lines)
    return text if unicode else to_ascii(text)


def _wrapped(value, room):
    """The lines of a list of numbers, broken after commas."""
    if room is None or len(value) <= room:
        return [value]
    lines = [""]
    for part in value.split(", "):
        joined = f"{lines[-1]}, {part}" if lines[-1] else part
        if lines[-1] and len(joined) >= room:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] = joined
    return lines


def to_ascii(text: str) -> str:
    """The text for a terminal that cannot show Greek letters."""
    for letter, plain in _ASCII.items():
        text = text.replace(letter, plain)
    return text.encode("ascii", "replace").decode("ascii")


def _title(document):
    meta = document["meta"]
    structure, model = meta["structure"], meta["model"]
    return f"{meta['name']}: {structure['formula']}, {structure['spacegroup']}, {model['name']}"
