"""Make RESULTS.md, the page of measured results, of results.json.

    python benchmarks/results.py            # writes the page
    python benchmarks/results.py --check    # says whether it is up to date

A new figure is a new entry of results.json (or a changed one, with the date, the machine and the versions of the new
measurement) and a run of this script; a test compares the two.
"""

import argparse
import json
import sys
from itertools import groupby
from pathlib import Path

HERE = Path(__file__).parent
SOURCE, PAGE = HERE / "results.json", HERE / "RESULTS.md"
UNKNOWN = "not recorded"
KEYS = ("id", "group", "question", "figures", "command", "date", "machine", "versions", "note")


def read(path: Path = SOURCE) -> dict:
    """The document of results.json, its entries checked.

    Raises:
        ValueError: an entry without one of its keys, an id given twice, a machine or versions that are not described.
    """
    document, known = json.loads(path.read_text(encoding="utf-8")), set()
    for entry in document["results"]:
        if tuple(entry) != KEYS:
            raise ValueError(f"{entry.get('id')}: expected the keys {', '.join(KEYS)}, got {', '.join(entry)}")
        if entry["id"] in known:
            raise ValueError(f"{entry['id']}: given twice")
        known.add(entry["id"])
        for key in ("machine", "versions"):
            names = document["machines" if key == "machine" else key]
            if entry[key] != UNKNOWN and entry[key] not in names:
                raise ValueError(f"{entry['id']}, {key}: expected {UNKNOWN!r} or one of {', '.join(names)}")
        for figure in entry["figures"]:
            if tuple(figure) != ("of", "value", "unit"):
                raise ValueError(f"{entry['id']}: a figure has of, value and unit, got {figure}")
    return document


def page(document: dict) -> str:
    """The text of RESULTS.md."""
    lines = [
        "# Measured results", "",
        "Made by `python benchmarks/results.py` from `results.json`: change that file, not this one.", "",
        document["about"], "", "Machines:", "",
        *(f"- {name}: {text}." for name, text in document["machines"].items()), "", "Versions:", "",
        *(f"- of {name}: {text}." for name, text in document["versions"].items()), "",
    ]
    for group, entries in groupby(document["results"], key=lambda entry: entry["group"]):
        lines += [f"## {group}", ""]
        for entry in entries:
            lines += _section(entry)
    return "\n".join(lines)


def _section(entry):
    """The lines of one entry."""
    yield from (f"### {entry['id']}", "", f"{entry['question']}.", "", "| of | figure | unit |", "|---|---|---|")
    for figure in entry["figures"]:
        cells = (figure["of"], figure["value"], "" if figure["unit"] == "1" else figure["unit"])
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |".replace("|  |", "| |")
    yield ""
    if entry["note"]:
        yield from (entry["note"], "")
    yield from (f"`{entry['command']}`", "")
    yield from (f"{entry['date']}; machine: {entry['machine']}; versions: {entry['versions']}.", "")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is not up to date")
    options = parser.parse_args(argv)
    text = page(read())
    if options.check:
        same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        print(f"{PAGE.name} is {'up to date' if same else 'not up to date: run python benchmarks/results.py'}")
        return 0 if same else 1
    PAGE.write_text(text, encoding="utf-8")
    print(f"Written: {PAGE.name}, {len(read()['results'])} results")
    return 0


if __name__ == "__main__":
    sys.exit(main())
