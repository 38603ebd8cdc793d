"""Many property cards as one table: CSV and JSON for machines, a page with pictures for people."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from jaxpot.core.versions import versions
from jaxpot.report.html import page, picture
from jaxpot.report.style import BLUE, GREEN, ORANGE, PURPLE, SOFT, Picture, legend, note, prepare

_PUGH = 1.75  # B/G, above which metals are ductile: S. F. Pugh, Philos. Mag. 45, 823 (1954)
_STYLE = """
main { max-width: none; margin: 1rem; padding: 1.5rem; overflow-x: auto; }
table.cards { font-size: 0.85rem; }
table.cards th { text-align: right; vertical-align: bottom; padding: 0.3rem 0.6rem;
  border-bottom: 2px solid var(--ink); }
table.cards td { text-align: right; padding: 0.2rem 0.6rem; white-space: nowrap; font-variant-numeric: tabular-nums; }
table.cards td.text, table.cards th.text { text-align: left; }
table.cards td.failed { color: #b03a00; text-align: left; white-space: normal; }
table.cards th span { display: block; color: var(--soft); font-weight: 400; }
"""


@dataclass(frozen=True)
class Column:
    """A column: its key, heading, unit, digits, and how a card's document gives the number and its deviation."""

    key: str
    heading: str
    unit: str
    digits: int
    get: Callable[[Mapping[str, Any], str], Any]


def _entry(key, part=None, pick=None):
    """The value or the deviation of an entry, of one of its parts, or a number picked of a table of lists."""
    def get(document, which):
        value = document[key][which]
        if value is None:
            return None
        if part is not None:
            value = value.get(part)
        return value if pick is None or value is None else pick(value)

    return get


def _of_all(choose):
    """The smallest or largest of the frequencies at all special points."""
    return lambda table: choose(number for numbers in table.values() for number in numbers if number is not None)


def _about(*path):
    """A number of the document's "meta", which has no deviation."""
    def get(document, which):
        if which != "value":
            return None
        value = document["meta"]
        for key in path:
            value = None if value is None else value.get(key)
        return value

    return get


def _frequencies(choose):
    def get(document, which):
        value = document["phonons_THz"]["value"]
        return None if which != "value" or value is None else _of_all(choose)(value)

    return get


COLUMNS = (
    Column("a_A", "a", "Å", 4, _entry("a0_A")),
    Column("volume_per_atom_A3", "volume", "Å³/atom", 3, _about("structure", "volume_per_atom_A3")),
    Column("e_coh_eV", "cohesive energy", "eV/atom", 3, _entry("e_coh_eV")),
    Column("bulk_GPa", "bulk modulus", "GPa", 1, _entry("bulk_GPa")),
    *(
        Column(f"{key}_GPa", heading, "GPa", 1, _entry("elastic_GPa", key))
        for key, heading in (("shear_hill", "shear modulus"), ("c11", "C11"), ("c12", "C12"), ("c44", "C44"))
    ),
    Column("lowest_THz", "lowest mode", "THz", 3, _frequencies(min)),
    Column("highest_THz", "highest mode", "THz", 3, _frequencies(max)),
    Column("gamma", "Grüneisen, 300 K", "", 3, _entry("gamma", "thermodynamic_300K")),
    Column("alpha_1e6_per_K", "expansion, 300 K", "1e-6/K", 2, _entry("alpha_1_per_K", pick=lambda alpha: 1e6 * alpha)),
    Column("heat_capacity_kB", "heat capacity, 300 K", "kB/atom", 3, _entry("heat_capacity")),
)


def table(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Flat rows of numbers from rows of `ManyCards.rows`, which may have a "model"; None where a crystal has none.

    Returns:
        One dict for each row: name, model where there are several, status, message, formula, spacegroup, atoms, the
        keys of `COLUMNS`, with "_sd" behind them where cards have deviations, and warnings.
    """
    bars = any(row["card"] is not None and row["card"]["a0_A"]["sd"] is not None for row in rows)
    return [_flat(row, bars) for row in rows]


def _flat(row, bars):
    document = row["card"]
    flat = {key: row[key] for key in ("name", "model", "status", "message") if key in row}
    structure = {} if document is None else document["meta"]["structure"]
    flat |= {key: structure.get(key) for key in ("formula", "spacegroup", "atoms")}
    for column in COLUMNS:
        flat[column.key] = None if document is None else column.get(document, "value")
        if bars:
            flat[f"{column.key}_sd"] = None if document is None else column.get(document, "sd")
    return flat | {"warnings": None if document is None else len(document["meta"]["warnings"])}


def as_csv(flat: Sequence[Mapping[str, Any]]) -> str:
    """The table as comma-separated values, numbers in full precision, with a header."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return stream.getvalue()


def as_json(flat: Sequence[Mapping[str, Any]]) -> str:
    """The table as JSON, with the units of its columns."""
    units = {column.key: column.unit for column in COLUMNS}
    return json.dumps({"rows": list(flat), "units": units}, indent=1, allow_nan=False) + "\n"


def as_html(title: str, flat: Sequence[Mapping[str, Any]], links: bool = False) -> str:
    """The table as one page with pictures.

    Args:
        links: whether each crystal has a page of its own, `MODEL/NAME/card.html` or `NAME/card.html`.
    """
    several = "model" in flat[0]
    failed = sum(row["status"] != "done" for row in flat)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="about">{len(flat)} cards' + (f", {failed} of them failed" if failed else "") + "</p>",
        _table(flat, several, links),
    ]
    pictures = [(caption, figure.base64()) for caption, figure in figures(flat)]
    if pictures:
        parts.append("<h2>Pictures</h2>")
    parts += [picture(caption, data) for caption, data in pictures]
    return page(title, parts, versions(), _STYLE)


def _table(flat, several, links):
    texts = ["crystal", *(["model"] if several else []), "formula", "space group"]
    heads = [f'<th class="text">{text}</th>' for text in texts] + ["<th>atoms</th>"]
    heads += [f"<th>{escape(c.heading)}<span>{escape(c.unit)}</span></th>" for c in COLUMNS] + ["<th>warnings</th>"]
    lines = ['<table class="cards">', f"<tr>{''.join(heads)}</tr>"]
    for row in flat:
        name = escape(row["name"])
        if links and row["status"] == "done":
            place = f"{row['model']}/{row['name']}" if several else row["name"]
            name = f'<a href="{escape(place)}/card.html">{name}</a>'
        cells = [name, *([escape(row["model"])] if several else [])]
        line = "".join(f'<td class="text">{cell}</td>' for cell in cells)
        if row["status"] != "done":
            why = escape(row["message"])
            lines.append(f'<tr>{line}<td class="failed" colspan="{len(COLUMNS) + 4}">{why}</td></tr>')
            continue
        line += "".join(f'<td class="text">{escape(str(row[key]))}</td>' for key in ("formula", "spacegroup"))
        line += f"<td>{row['atoms']}</td>" + "".join(f"<td>{_number(row, column)}</td>" for column in COLUMNS)
        lines.append(f"<tr>{line}<td>{row['warnings']}</td></tr>")
    return "\n".join([*lines, "</table>"])


def _number(row, column):
    value, deviation = row[column.key], row.get(f"{column.key}_sd")
    if value is None:
        return "–"
    return f"{value:.{column.digits}f}" + ("" if deviation is None else f" ± {deviation:.{column.digits}f}")


def figures(flat: Sequence[Mapping[str, Any]]) -> list[tuple[str, Picture]]:
    """Pictures of a table: captions and figures; those of several models compare them with the first."""
    drawn = [_moduli(flat), _volumes(flat)]
    if "model" in flat[0]:
        drawn.append(_compared(flat))
    return [one for one in drawn if one is not None]


def _pairs(flat, x, y):
    """model -> columns x and y of the crystals that have both."""
    points: dict[str, list] = {}
    for row in flat:
        if row[x] is not None and row[y] is not None:
            points.setdefault(row.get("model", ""), []).append((row[x], row[y]))
    return {model: np.array(pairs).T for model, pairs in points.items()}


_COLORS = (BLUE, ORANGE, GREEN, PURPLE)


def _scatter(axes, points):
    for k, (model, (x, y)) in enumerate(points.items()):
        axes.plot(x, y, "o", ms=4.5, color=_COLORS[k % len(_COLORS)], alpha=0.75, mew=0, label=model or None)
    if any(points):
        legend(axes, outside=True)


def _moduli(flat):
    points = _pairs(flat, "bulk_GPa", "shear_hill_GPa")
    if not points:
        return None
    figure, axes = _drawn(points, "Stiffness", "bulk modulus (GPa)", "shear modulus (GPa)")
    most = max(float(x.max()) for x, _ in points.values())
    axes.plot([0.0, most], [0.0, most / _PUGH], color=SOFT, lw=1, ls="--")
    note(axes, "dashed: B/G = 1.75", 0.03, 0.95, "left")
    return "Shear and bulk modulus; metals below the dashed line tend to be ductile (Pugh 1954).", figure


def _volumes(flat):
    points = _pairs(flat, "volume_per_atom_A3", "bulk_GPa")
    if not points:
        return None
    figure, _ = _drawn(points, "Size and stiffness", "volume (Å³ per atom)", "bulk modulus (GPa)")
    return "Bulk modulus against the volume of an atom.", figure


def _drawn(points, title, x, y):
    """A figure with the points of each model, and its axes."""
    figure = Picture(6.4, 4.2)
    axes = prepare(figure.add_subplot(), title, x, y)
    _scatter(axes, points)
    return figure, axes


def _compared(flat):
    models = list(dict.fromkeys(row["model"] for row in flat))
    first = {row["name"]: row for row in flat if row["model"] == models[0]}
    shown = [column for column in COLUMNS if column.key in ("volume_per_atom_A3", "bulk_GPa", "highest_THz")]
    figure = Picture(9.6, 3.6)
    drawn = False
    for place, column in enumerate(shown, 1):
        what = f"{column.heading} ({column.unit})"
        axes = figure.add_subplot(1, len(shown), place)
        prepare(axes, column.heading.capitalize(), f"{models[0]}, {what}", "others")
        for k, model in enumerate(models[1:], 1):
            pairs = [
                (first[row["name"]][column.key], row[column.key]) for row in flat
                if row["model"] == model and row["name"] in first
                and None not in (first[row["name"]][column.key], row[column.key])
            ]
            if pairs:
                x, y = np.array(pairs).T
                axes.plot(x, y, "o", ms=4, color=_COLORS[k % len(_COLORS)], alpha=0.75, mew=0, label=model)
                ends = [min(x.min(), y.min()), max(x.max(), y.max())]
                axes.plot(ends, ends, color=SOFT, lw=1, ls="--")
                drawn = True
        if place == len(shown) and drawn:
            legend(axes, outside=True)
    return (f"The other models against {models[0]}; dashed: equal.", figure) if drawn else None


def leaderboard(flat: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean absolute relative differences of models from the first one, by column, most alike first.

    Returns:
        dicts with model, cards (number that both have), and for each column that all of these have the mean of
        |x / x_first - 1|; None where no crystal has it.
    """
    models = list(dict.fromkeys(row["model"] for row in flat))
    first = {row["name"]: row for row in flat if row["model"] == models[0] and row["status"] == "done"}
    board = []
    for model in models[1:]:
        rows = [row for row in flat if row["model"] == model and row["status"] == "done" and row["name"] in first]
        entry: dict[str, Any] = {"model": model, "cards": len(rows)}
        for column in COLUMNS:
            pairs = [(row[column.key], first[row["name"]][column.key]) for row in rows]
            ratios = [abs(ours / theirs - 1.0) for ours, theirs in pairs if None not in (ours, theirs) and theirs]
            entry[column.key] = float(np.mean(ratios)) if ratios else None
        board.append(entry)
    return sorted(board, key=_mean_of_all)


def _mean_of_all(entry):
    """Mean of the columns of a leaderboard's entry; infinite where there is none."""
    means = [entry[column.key] for column in COLUMNS if entry[column.key] is not None]
    return float(np.mean(means)) if means else np.inf
