"""The report of a fit in words: a table for the terminal, and the HTML page."""

import json
from collections.abc import Sequence
from html import escape

import numpy as np

from jaxpot.report.html import page, picture

_KINDS = {"energy": "Energy", "forces": "Forces", "stress": "Stress"}
_STYLE = """
main { max-width: 72rem; }
table.data { font-size: 0.9rem; font-variant-numeric: tabular-nums; margin: 0.4rem 0 0.8rem; }
table.data th { text-align: right; font-weight: 600; padding: 0.25rem 0 0.25rem 1rem; vertical-align: bottom;
  border-bottom: 1px solid var(--soft); }
table.data td { text-align: right; padding: 0.25rem 0 0.25rem 1rem; white-space: nowrap; }
table.data th.left, table.data td.left { text-align: left; padding-left: 0; }
table.data th.group { text-align: center; border-bottom: 0; }
table.data tr.all td { font-weight: 600; }
table.data td.quiet { color: var(--soft); font-weight: 400 !important; }
.wide { overflow-x: auto; }
pre { background: #f6f7f9; border: 1px solid var(--line); border-radius: 4px; padding: 0.8rem 1rem; font-size: 0.8rem;
  overflow-x: auto; line-height: 1.45; }
@media print { main { max-width: none; } table.data { font-size: 0.65rem; } pre { white-space: pre-wrap; }
  table.data th, table.data td { padding-left: 0.5rem; } .wide { overflow-x: visible; } }
summary { cursor: pointer; color: var(--soft); font-size: 0.95rem; margin: 0.6rem 0; }
"""


# Terminal -------------------------------------------------------------------------------------------------


def error_table(document: dict) -> str:
    """The errors of a fit's document as text: a block for each kind, a line for each set and config type."""
    blocks = []
    for kind, name in _KINDS.items():
        lines = [(s, n, row[kind]) for s, n, row in _error_rows(document) if kind in row]
        if not lines:
            continue
        title = f"{name} ({lines[0][2]['unit']})" + ("" if kind in document["sigmas"] else ", not fitted")
        names = [f"  {own}" if own == "all" else f"    {own}" for _, own, _ in lines]
        width = max(30, *(len(f"  {s}{n}") for (s, _, _), n in zip(lines, names, strict=True)))
        block = [f"{title:<{width}}{'MAE':>10}{'90 % interval':>20}{'RMSE':>10}{'number':>9}"]
        for (own, _, found), label in zip(lines, names, strict=True):
            block.append(
                f"{f'  {own}{label}':<{width}}{_digits(found['mae']):>10}{_interval(found, ' .. '):>20}"
                f"{_digits(found['rmse']):>10}{found['count']:>9}"
            )
        blocks.append("\n".join(block))
    return "\n\n".join(blocks)


def settings_table(document: dict) -> str:
    """Settings of a fit, as text."""
    rows = [(name, f"{value} {unit}".strip()) for name, value, unit in _settings(document)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _error_rows(document):
    """(set, config type, {kind: errors}); the config types only where there are several."""
    for own, table in document["errors"].items():
        names = list(table) if len(table) > 2 else ["all"]
        yield from ((own, name, table[name]) for name in names)


def _settings(document):
    """(name, value, unit) of what a fit was made with."""
    model, choice = document["model"], document["choice"]
    yield "Recipe", document["recipe"]["name"] or "without a name", ""
    if model["baseline"]:
        yield "On top of", model["baseline"], ""
    if model["core"]:
        yield "Core", model["core"], ""
    for change in model["lowered"]:
        yield "Fewer weights", change, ""
    for kind, found in document["sigmas"].items():
        name = {"energy": "energies", "stress": "stresses"}.get(kind, kind)
        yield f"Sigma of {name}", f"{found['value']:.4g}", found["unit"].replace("/A", "/Å")
    method = choice["method"]
    yield "Sigmas and scales from", method + (f", {choice['trials']} trials" if "trials" in choice else ""), ""
    for k, term in enumerate(document["terms"], 1):
        of = "" if term["elements"] is None else " " + "-".join(term["elements"])
        name = f"Term {k}: {term['descriptor']}{of}, {term['cutoff_A']:.3g} Å"
        if "networks" in term:
            layers = "-".join(map(str, (term["dimension"], *term["layers"], 1)))
            yield name, f"{term['networks']} networks {layers}, {term['activation']}", ""
            continue
        if term["sparse_points"] is None:
            deltas = ", ".join(f"{delta:.4g}" for delta in np.atleast_1d(term["delta_eV"]))
            yield name, f"{term['weights']} weights, delta {deltas} eV", ""
            continue
        yield (
            name,
            f"{term['sparse_points']} sparse points, delta {term['delta_eV']:.4g} eV, jitter {term['jitter']:.0e}", "",
        )
    sizes = document["fewer_components"][2::2]
    if sizes:
        yield "Errors of fewer components", "; ".join(
            f"{size['components']}: " + ", ".join(f"{kind} x {ratio:.2f}" for kind, ratio in size["errors"].items())
            for size in sizes
        ), ""
    if document["training"] is not None:
        found = document["training"]
        yield "Training", f"{found['epochs']} epochs, the best is {found['best_epoch']}", ""
        yield "Validation", f"{found['validation_frames']} frames of the training set", ""
    for name, pressure in document["stress_offsets_GPa"].items():
        yield f"Stress offset of {name}", f"{pressure:.4g}", "GPa"
    e0 = ", ".join(f"{name} {energy:.6g} eV" for name, energy in document["e0_eV"].items())
    yield "Isolated atoms", f"{e0} ({document['e0_origin']})", ""
    steps = ", ".join(
        f"{name} {_seconds(value)}" for name, value in document["seconds"].items() if value >= _SHORTEST
    )
    yield "Time", f"{_seconds(sum(document['seconds'].values()))} ({steps})", ""
    if document["peak_memory_bytes"]:
        yield "Peak memory", f"{document['peak_memory_bytes'] / 1e9:.2f}", "GB"
    if model["seed"] is not None:
        yield "Seed", str(model["seed"]), ""


def _interval(found, between):
    """The 90 % interval; one frame has none."""
    low, high = found["interval_90"]
    return "-" if low == high else f"{_digits(low)}{between}{_digits(high)}"


def _digits(value):
    """Three digits or all before the point, without an exponent for what people measure."""
    if abs(value) < _NOTHING:
        return "0"
    if not 1e-4 <= abs(value) < 1e5:
        return f"{value:.3g}"
    places = 2 if abs(value) >= 1.0 else 3 if abs(value) >= 0.1 else 4 if abs(value) >= 0.01 else 5
    return f"{value:.{places}f}" if abs(value) < 100.0 else f"{value:.1f}"


_SHORTEST = 0.05  # s, of a step that is told
_NOTHING = 1e-6  # of any of the units: rounding


def _seconds(value):
    return f"{value:.1f} s" if value < 120.0 else f"{value / 60.0:.1f} min"


# Page -----------------------------------------------------------------------------------------------------


def fit_page(document: dict, pictures: Sequence[tuple[str, str]] = ()) -> str:
    """The report as the text of an HTML page.

    Args:
        document: of `report.fit.fit_document`.
        pictures: (caption, PNG as base64 text).
    """
    model, frames = document["model"], document["frames"]
    about = ", ".join(f"{count} frames to {name}" for name, count in frames.items())
    name = document["recipe"]["name"] or "potential"
    parts = [
        f"<h1>Fit of {escape(' '.join(model['elements']))}: {escape(name)}</h1>",
        f'<p class="about">{escape(about)}, cutoff {model["cutoff_A"]:.4g} Å</p>',
        "<h2>Errors</h2>", _errors_html(document),
    ]
    if pictures:
        parts.append("<h2>Pictures</h2>")
    parts += [picture(caption, data) for caption, data in pictures]
    parts += ["<h2>How it was made</h2>", "<table>"]
    parts += [
        f'<tr><td class="name">{escape(name)}</td><td class="value">{escape(f"{value} {unit}".strip())}</td></tr>'
        for name, value, unit in _settings(document)
    ]
    parts.append("</table>")
    if document["error_bars"] is not None:
        parts += ["<h2>Error bars</h2>", f"<pre>{escape(document['error_bars']['text'])}</pre>"]
        parts += _clusters_html(document["error_bars"]["clusters"])
    if document["data"] is not None:
        parts += ["<h2>Training data</h2>", _data_html(document["data"])]
        parts.append(
            f"<details><summary>What was looked at in the data</summary><pre>{escape(document['data_text'])}</pre>"
            "</details>"
        )
    recipe = escape(recipe_text(document["recipe"]))
    parts.append(f"<h2>Recipe</h2><pre>{recipe}</pre>")
    return page(f"{name}: fit report", parts, document["versions"], _STYLE)


def recipe_text(tables: dict) -> str:
    """The tables of a recipe as the text of its file."""
    lines = [f"units = {json.dumps(tables['units'])}", ""] if "units" in tables else []
    for term in tables.get("term", ()):
        lines += ["[[term]]", *(f"{key} = {json.dumps(value)}" for key, value in term.items()), ""]
    for key, table in tables.items():
        if isinstance(table, dict):
            lines += [f"[{key}]", *(f"{name} = {json.dumps(value)}" for name, value in table.items()), ""]
    return "\n".join(lines)


def _errors_html(document):
    kinds = [kind for kind in _KINDS if any(kind in row for _, _, row in _error_rows(document))]
    head, second = '<th class="left" rowspan="2">Frames</th>', ""
    for kind in kinds:
        unit = next(row[kind]["unit"] for _, _, row in _error_rows(document) if kind in row).replace("/A", "/Å")
        fitted = "" if kind in document["sigmas"] else ", not fitted"
        head += f'<th class="group" colspan="3">{_KINDS[kind]} ({escape(unit)}){fitted}</th>'
        second += "<th>MAE</th><th>90 %</th><th>RMSE</th>"
    lines = []
    for own, name, row in _error_rows(document):
        cells = f'<td class="left">{escape(own if name == "all" else f"{own}: {name}")}</td>'
        for kind in kinds:
            cells += _error_cells(row.get(kind))
        lines.append(f'<tr class="{"all" if name == "all" else "part"}">{cells}</tr>')
    note = (
        '<p class="about">MAE: mean absolute error over all components; 90 %: its interval from bootstrap samples of '
        "the frames; RMSE: root mean square error.</p>"
    )
    return f'<div class="wide"><table class="data"><tr>{head}</tr><tr>{second}</tr>{"".join(lines)}</table></div>{note}'


def _error_cells(found):
    if found is None:
        return '<td colspan="3" class="quiet">no labels</td>'
    return (
        f'<td>{_digits(found["mae"])}</td><td class="quiet">{escape(_interval(found, " – "))}</td>'
        f'<td>{_digits(found["rmse"])}</td>'
    )


def _clusters_html(clusters):
    """Table of the groups of frames that were left out as a whole, in a list; an empty one without any."""
    if not clusters:
        return []
    kinds = [kind for kind in _CLUSTERED if any(kind in row for row in clusters)]
    head, second = '<th class="left" rowspan="2">Frames left out together</th>', ""
    for kind in kinds:
        head += f'<th class="group" colspan="3">{_CLUSTERED[kind]}</th>'
        second += "<th>inside 90 %</th><th>half-width</th><th>90 % of errors</th>"
    lines = []
    for row in clusters:
        names = ", ".join(row["config_types"]) or "frames"
        cells = f'<td class="left">{row["frames"]}: {escape(names)}</td>'
        for kind in kinds:
            told = row.get(kind)
            cells += '<td colspan="3" class="quiet">no labels</td>' if told is None else (
                f'<td>{100 * told["coverage"]:.0f} %</td><td class="quiet">± {_digits(told["half_width"])}</td>'
                f'<td>{_digits(told["error"])}</td>'
            )
        lines.append(f'<tr class="part">{cells}</tr>')
    note = (
        '<p class="about">Frames that look alike were left out of the fit as a whole. Inside 90 %: part of their '
        "labels in the 90 % interval; half-width: mean of these intervals; 90 % of errors are smaller than the last "
        "number.</p>"
    )
    table = f'<table class="data"><tr>{head}</tr><tr>{second}</tr>{"".join(lines)}</table>'
    return [f'<h3>Groups left out</h3><div class="wide">{table}</div>{note}']


_CLUSTERED = {"energy": "Energy of a frame (eV)", "forces": "Forces (eV/Å)", "stress": "Stress (eV/Å³)"}


def _data_html(data):
    columns = (
        ("frames", lambda g: str(g["frames"])), ("atoms", lambda g: str(g["atoms"])),
        ("E − e0 (eV/atom)", lambda g: _between(g["energy"], 3)),
        ("largest force (eV/Å)", lambda g: "–" if g["force"] is None else f"{g['force']:.2f}"),
        ("stress (GPa)", lambda g: _between(g["stress"], 1)),
        ("volume (Å³/atom)", lambda g: _between(g["volume"], 2)),
        ("closest (Å)", lambda g: "–" if g["closest"] is None else f"{g['closest']:.2f}"),
    )
    head = '<th class="left">Config type</th>' + "".join(
        f"<th>{escape(name).replace(' (', '<br>(')}</th>" for name, _ in columns
    )
    groups = data["groups"] if len(data["groups"]) > 1 else []
    lines = []
    for group in (*groups, data["total"]):
        cells = "".join(f"<td>{escape(show(group))}</td>" for _, show in columns)
        row = "all" if group is data["total"] else "part"
        lines.append(f'<tr class="{row}"><td class="left">{escape(group["name"])}</td>{cells}</tr>')
    return f'<div class="wide"><table class="data"><tr>{head}</tr>{"".join(lines)}</table></div>'


def _between(pair, places):
    return "–" if pair is None else f"{pair[0]:z.{places}f} to {pair[1]:z.{places}f}"
