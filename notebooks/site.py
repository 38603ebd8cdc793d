"""The documentation as a web site: a page for each notebook, executed, and one for each module, from its docstrings.

    pip install '.[docs]'
    python notebooks/site.py --out site [--as-they-are]
"""

import argparse
import re
from pathlib import Path

import nbformat
import pdoc
from nbclient import NotebookClient
from nbconvert import HTMLExporter

HERE = Path(__file__).parent
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>jaxpot</title><style>
body {{ font: 16px/1.6 sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; color: #222 }}
a {{ color: #0b5394 }} li {{ margin: 0.4rem 0 }} code {{ background: #f2f2f2; padding: 0 0.2rem }}
</style></head><body>
<h1>jaxpot</h1>
<p>{about}</p>
<h2>Notebooks</h2><ul>{notebooks}</ul>
<h2>Reference</h2>
<p><a href="api/jaxpot.html">Every module, class and function</a>, with formulas, shapes, units, errors and sources.</p>
</body></html>
"""


def written(path, folder, execute):
    """The page of one notebook; its title and first sentence."""
    book = nbformat.read(path, as_version=4)
    if execute:
        NotebookClient(book, timeout=900, resources={"metadata": {"path": str(folder)}}).execute()
    body, _ = HTMLExporter().from_notebook_node(book, {"metadata": {"name": path.stem}})
    (folder / f"{path.stem}.html").write_text(body, encoding="utf-8")
    heading, _, text = book.cells[0].source.partition("\n")
    first = re.split(r"(?<=[.:]) ", " ".join(text.split()))[0].rstrip(":.")
    return heading.lstrip("# "), first


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("site"), help="folder; made if it is not there (site)")
    parser.add_argument("--as-they-are", action="store_true", help="do not execute the notebooks")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in sorted(HERE.glob("*.ipynb")):
        print(f"{path.name} ...", flush=True)
        title, first = written(path, options.out, not options.as_they_are)
        rows.append(f'<li><a href="{path.stem}.html">{title}</a>: {first}.</li>')
    print("reference ...", flush=True)
    pdoc.render.configure(docformat="google", math=True)
    pdoc.pdoc("jaxpot", output_directory=options.out / "api")
    readme = (HERE.parent / "README.md").read_text(encoding="utf-8")
    about = " ".join(readme.split("\n## ")[0].split("\n", 1)[1].split())
    (options.out / "index.html").write_text(PAGE.format(about=about, notebooks="".join(rows)), encoding="utf-8")
    print(f"Written: {options.out / 'index.html'}")


if __name__ == "__main__":
    main()
