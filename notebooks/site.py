"""The documentation as a web site: the tour, a table of what works, notebooks, executed, commands, every module.

    pip install '.[docs]'
    python notebooks/site.py --out site [--as-they-are]
"""

import argparse
import os
import re
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from html import escape
from multiprocessing import get_context
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html

from jaxpot.cli.compiler import compile_sooner
from jaxpot.cli.main import parser as command_line
from jaxpot.published import where

HERE = Path(__file__).parent
READING = (  # the order in which they make sense
    "first_steps", "your_own_model", "fitting", "error_bars", "molecular_dynamics", "learning_on_the_fly",
    "gaussian_approximation", "linear_models", "neural_networks", "universal_card", "fine_tuning", "soft_modes",
    "lammps_ranks",
)
_LONGEST = ("fine_tuning", "error_bars", "fitting", "gaussian_approximation")  # first, so that no core waits for them
_WIDTH = 110  # letters of the help of commands
TEXTS = ("tour", "lammps", "what_works")  # pages of markdown
PICTURES = ("card.png",)
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
body {{ font: 16px/1.6 sans-serif; max-width: 52rem; margin: 3rem auto; padding: 0 1rem; color: #222 }}
a {{ color: #0b5394 }} li {{ margin: 0.4rem 0 }} code {{ background: #f2f2f2; padding: 0 0.2rem }}
pre {{ background: #f7f7f7; padding: 0.8rem 1rem; overflow-x: auto; font-size: 13px; line-height: 1.4 }}
pre code {{ background: none; padding: 0 }} img {{ max-width: 100% }}
td, th {{ padding: 0.1rem 0.5rem; vertical-align: top }}
</style></head><body>
{body}
</body></html>
"""


def notebooks():
    """The notebooks in reading order; those that the order does not know come last."""
    known = {path.stem: path for path in sorted(HERE.glob("*.ipynb"))}
    return [known.pop(name) for name in READING if name in known] + list(known.values())


def written(path, folder, execute):
    """Write the page of one notebook; without results where the weights that it needs were not fetched."""
    book = nbformat.read(path, as_version=4)
    weights = book.metadata.get("weights")  # name of a published model
    missing = execute and weights is not None and not where(weights).exists()
    if execute and not missing:
        with tempfile.TemporaryDirectory() as scratch:
            NotebookClient(book, timeout=900, resources={"metadata": {"path": scratch}}).execute()
    body, _ = HTMLExporter().from_notebook_node(book, {"metadata": {"name": path.stem}})
    (folder / f"{path.stem}.html").write_text(body, encoding="utf-8")
    return f"{path.name} without results (jaxpot models --fetch {weights})" if missing else path.name


def front_page():
    """The text of index.html: what the README says first, notebooks by title and first sentence, the reference."""
    readme = (HERE.parent / "README.md").read_text(encoding="utf-8")
    head, *sections = readme.split("\n## ")
    head = re.sub(r"!\[([^]]*)\]\(notebooks/([\w.]+)\)", r"![\1](\2)", head)
    code = next((part for part in sections if "```python" in part), "")
    parts = [markdown2html(head)]
    if code:
        parts += ["<h2>A tour</h2>", markdown2html(re.search(r"```python\n.*?```", code, re.DOTALL)[0])]
        parts.append('<p><a href="tour.html">The long tour</a>, and what the commands do.</p>')
    rows = []
    for path in notebooks():
        heading, _, text = nbformat.read(path, as_version=4).cells[0].source.partition("\n")
        first = re.split(r"(?<=[.:]) ", " ".join(text.split()))[0].rstrip(":.")
        title = _inline(heading.lstrip("# "))
        rows.append(f'<li><a href="{path.stem}.html">{title}</a>: {_inline(first)}.</li>')
    parts += [
        "<h2>Notebooks</h2>", "<ol>", *rows, "</ol>", "<h2>Reference</h2>", "<ul>",
        '<li><a href="lammps.html">LAMMPS, clusters and many crystals</a>: ranks, costs, a Slurm script.</li>',
        '<li><a href="what_works.html">What works with what</a>: every property with every kind of model.</li>',
        '<li><a href="commands.html">The commands</a>: usage, options and examples of each.</li>',
        '<li><a href="api/jaxpot.html">Every module, class and function</a>, with formulas, shapes, units, errors and '
        "sources.</li>", "</ul>",
    ]
    return PAGE.format(title="jaxpot", body="\n".join(parts))


def text_page(name):
    """The text of NAME.html, from NAME.md."""
    text = (HERE / f"{name}.md").read_text(encoding="utf-8")
    title, _, rest = text.partition("\n")
    links = '<p><a href="index.html">jaxpot</a></p>'
    body = f"<h1>{_inline(title.lstrip('# '))}</h1>\n{links}\n{markdown2html(rest)}"
    return PAGE.format(title=f"jaxpot: {title.lstrip('# ').lower()}", body=body)


def commands_page():
    """The text of commands.html: what `jaxpot COMMAND --help` prints, for every command."""
    top = command_line()
    commands = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction)).choices
    for each in (top, *commands.values()):
        each.formatter_class = partial(argparse.RawDescriptionHelpFormatter, width=_WIDTH)
    links = ", ".join(f'<a href="#{name}">{name}</a>' for name in commands)
    parts = ["<h1>Commands</h1>", f'<p><a href="index.html">jaxpot</a>: {links}</p>', _preformatted(top.format_help())]
    for name, command in commands.items():
        parts += [f'<h2 id="{name}">jaxpot {name}</h2>', _preformatted(command.format_help())]
    return PAGE.format(title="jaxpot: commands", body="\n".join(parts))


def reference(folder):
    """Write the pages of all modules."""
    import pdoc

    pdoc.render.configure(docformat="google", math=True)
    pdoc.pdoc("jaxpot", output_directory=folder)
    return "reference"


def _inline(text):
    """Markdown without the paragraph around it."""
    return re.sub(r"^<p>(.*)</p>$", r"\1", markdown2html(text).strip(), flags=re.DOTALL)


def _preformatted(text):
    return f"<pre>{escape(text)}</pre>"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("site"), help="folder; made if it is not there (site)")
    parser.add_argument("--as-they-are", action="store_true", help="do not execute the notebooks")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="notebooks at a time (one a core)")
    options = parser.parse_args(argv)
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    pages = {name: text_page(name) for name in TEXTS} | {"commands": commands_page(), "index": front_page()}
    for name, text in pages.items():
        (out / f"{name}.html").write_text(text, encoding="utf-8")
    for name in PICTURES:
        shutil.copyfile(HERE / name, out / name)
    compile_sooner()  # kernels inherit it, and programs that one of them has compiled
    programs = tempfile.mkdtemp()
    os.environ |= {"JAX_COMPILATION_CACHE_DIR": programs, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3"}
    os.environ.setdefault("JAX_LOGGING_LEVEL", "CRITICAL")  # of kept programs it says much in the pages otherwise
    ordered = sorted(notebooks(), key=lambda path: path.stem not in _LONGEST)
    try:
        with ProcessPoolExecutor(max(1, options.jobs), get_context("spawn")) as pool:
            pages = [pool.submit(written, path, out, not options.as_they_are) for path in ordered]
            pages.append(pool.submit(reference, out / "api"))
            for page in pages:
                print(f"{page.result()} ...", flush=True)
    finally:
        shutil.rmtree(programs, ignore_errors=True)
    print(f"Written: {options.out / 'index.html'}")


if __name__ == "__main__":
    main()
