"""The property card as one HTML page: pictures inside, nothing loaded from anywhere, fit for printing."""

from collections.abc import Mapping, Sequence
from html import escape

from jaxpot.report.table import rows

_STYLE = """
:root { color-scheme: light; --ink: #1f2933; --soft: #64707d; --line: #e1e5ea; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7f9; color: var(--ink); line-height: 1.5;
  font-family: "Segoe UI", "Helvetica Neue", Helvetica, Arial, "Noto Sans", sans-serif; font-size: 16px; }
main { max-width: 60rem; margin: 2.5rem auto; padding: 2.5rem 3rem; background: white; 
  border: 1px solid var(--line); border-radius: 6px; }
h1 { font-size: 1.9rem; font-weight: 600; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 1.05rem; font-weight: 600; margin: 2.2rem 0 0.5rem; }
p.about { color: var(--soft); margin: 0.3rem 0 0; }
table { border-collapse: collapse; width: 100%; }
td { padding: 0.3rem 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
td.name { width: 40%; padding-right: 1.5rem; }
td.value { font-variant-numeric: tabular-nums; }
td.unit { color: var(--soft); padding-left: 1rem; white-space: nowrap; text-align: right; }
figure { margin: 1.2rem 0 2rem; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { color: var(--soft); font-size: 0.9rem; margin: 0.4rem auto 0; max-width: 46rem;
  text-align: center; }
.note { border-left: 3px solid #d55e00; background: #fdf5ef; padding: 0.5rem 1rem; margin: 0.6rem 0;
  font-size: 0.95rem; }
dl { font-size: 0.9rem; color: var(--soft); display: grid; grid-template-columns: max-content 1fr;
  gap: 0.25rem 1.2rem; }
dt { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 0.85rem; }
dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: 0.85rem; padding-top: 0.8rem;
  border-top: 1px solid var(--line); }
@media (max-width: 44rem) { main { margin: 0; padding: 1.2rem; border: 0; } td.name { width: 45%; } }
@media print { body { background: white; } main { border: 0; margin: 0; padding: 0; max-width: none; }
  figure, table { break-inside: avoid; } }
"""


def html_page(document: dict, pictures: Sequence[tuple[str, str]] = ()) -> str:
    """The card as the text of an HTML page.

    Args:
        document: the contents of `card.json`.
        pictures: (caption, PNG as base64 text) for each figure.
    """
    meta = document["meta"]
    structure, model = meta["structure"], meta["model"]
    count = _count(structure["atoms"])
    about = f"{structure['formula']}, {structure['spacegroup']}, {count} in the primitive cell"
    by_whom = model["name"] + (f" ({model['class']})" if model["class"] != model["name"] else "")
    parts = [
        f"<h1>{escape(meta['name'])}</h1>",
        f'<p class="about">{escape(about)}</p>',
        f'<p class="about">Potential: {escape(by_whom)}, cutoff {model["cutoff_A"]:.4g} Å</p>',
    ]
    parts += [f'<p class="about">{escape(model[key])}</p>' for key in ("source", "precision") if model.get(key)]
    parts += [f'<p class="note">{escape(warning)}</p>' for warning in meta["warnings"]]
    parts.append(_table(document))
    if pictures:
        parts.append("<h2>Pictures</h2>")
    parts += [picture(caption, data) for caption, data in pictures]
    parts.append("<h2>What the numbers mean</h2><dl>")
    parts += [f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in meta["definitions"].items()]
    parts.append("</dl>")
    return page(f"{meta['name']}: property card", parts, meta["versions"])


def page(title: str, parts: Sequence[str], versions: Mapping[str, str], style: str = "") -> str:
    """A whole page from parts of HTML, with the look of the card.

    Args:
        title: of the window, plain text.
        parts: HTML, one under the other.
        versions: name -> version, for the last line.
        style: more CSS.
    """
    made = ", ".join(f"{name} {version}" for name, version in versions.items())
    body = "\n".join([*parts, f"<footer>Made with {escape(made)}</footer>"])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def picture(caption: str, data: str) -> str:
    """A figure with its caption; `data` is PNG as base64 text."""
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _table(document):
    parts, section = [], None
    for row in rows(document):
        if row.section != section:
            if section is not None:
                parts.append("</table>")
            parts.append(f"<h2>{escape(row.section)}</h2>\n<table>")
            section = row.section
        parts.append(
            f'<tr><td class="name">{escape(row.name)}</td><td class="value">{escape(row.value)}</td>'
            f'<td class="unit">{escape(row.unit)}</td></tr>'
        )
    parts.append("</table>")
    return "\n".join(parts)


def _count(atoms):
    return f"{atoms} atom" + ("s" if atoms != 1 else "")
