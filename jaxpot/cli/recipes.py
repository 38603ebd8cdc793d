"""`jaxpot recipes`: the recipes of fits, to be copied and changed."""

import shutil
import textwrap
from argparse import ArgumentParser, Namespace
from itertools import takewhile

from jaxpot.cli.console import Console
from jaxpot.errors import DataError
from jaxpot.fitting import recipes
from jaxpot.fitting.recipe_files import recipe_text

NAME = "recipes"
HELP = "list the recipes of fits, or print one to copy and change"
EPILOG = """examples:
  jaxpot recipes
  jaxpot recipes gap > my.toml
"""
_INDENT = 4 * " "


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="print this recipe")


def run(options: Namespace, console: Console) -> None:
    known = recipes()
    texts = {name: recipe_text(name) for name in known}
    if options.name is not None:
        if options.name not in known:
            raise DataError(f"there is no recipe {options.name!r}; expected {', '.join(known)}")
        console.text(texts[options.name].rstrip("\n"))
        console.result({"name": options.name, "text": texts[options.name]})
        return
    width = max(40, shutil.get_terminal_size().columns)
    for name, text in texts.items():
        console.text(f"{name}\n{textwrap.fill(_about(text), width, initial_indent=_INDENT, subsequent_indent=_INDENT)}")
    console.text("\n`jaxpot recipes NAME > my.toml` makes a copy to change; --recipe takes a name or such a file.")
    console.result({"recipes": [{"name": name, "about": _about(text)} for name, text in texts.items()]})


def _about(text):
    """First comment of a recipe, up to the first empty line, as one line."""
    return " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), text.splitlines()))
