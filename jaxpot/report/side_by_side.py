"""Several property cards of one crystal as one plain-text table, a column for each."""


from jaxpot.report.table import deviations_off, rows, to_ascii

_NOTHING = "–"


def side_by_side(
    title: str, documents: dict[str, dict], unicode: bool = True, off: tuple[str, str] | None = None
) -> str:
    """The rows of several cards beside each other.

    Args:
        title: first line of the table.
        documents: heading of a column -> a card's document (the contents of `card.json`).
        unicode: False for terminals that show ASCII only.
        off: headings of a card without and of one with error bars: a further column says by how many standard
            deviations the second is off the first.

    Returns:
        Text; a quantity that one of the cards lacks has a dash there.
    """
    columns = [{(row.section, row.name): row for row in rows(document)} for document in documents.values()]
    if off is not None:
        columns.append({(row.section, row.name): row for row in deviations_off(*(documents[name] for name in off))})
        documents = documents | {"off by": {"meta": {"warnings": []}}}
    keys = list(dict.fromkeys(key for column in columns for key in column))
    # Rows that only a later card has go to the end of their section.
    sections = list(dict.fromkeys(section for section, _ in keys))
    keys.sort(key=lambda key: sections.index(key[0]))
    cells = [[column[key].value if key in column else _NOTHING for column in columns] for key in keys]
    widths = [max(map(len, [name, *(row[k] for row in cells)])) for k, name in enumerate(documents)]
    width = max(len(name) for _, name in keys)
    lines = [title, "─" * len(title), _line("", width, list(documents), widths, "")]
    section = None
    for key, values in zip(keys, cells, strict=True):
        if key[0] != section:
            section = key[0]
            lines += ["", section]
        unit = next((column[key].unit for column in columns if key in column and column[key].unit), "")
        lines.append(_line(key[1], width, values, widths, unit))
    for name, document in documents.items():
        lines += [f"\nNote on {name}: {warning}" for warning in document["meta"]["warnings"]]
    text = "\n".join(lines)
    return text if unicode else to_ascii(text)


def _line(name, width, values, widths, unit):
    cells = "  ".join(f"{value:<{w}}" for value, w in zip(values, widths, strict=True))
    return f"  {name:<{width}}  {cells}  {unit}".rstrip()
