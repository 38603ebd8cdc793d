"""`jaxpot recipes`: what a fit can be made of, to be copied and changed."""

from jaxpot.errors import DataError
from jaxpot.fitting import recipes
from jaxpot.fitting.recipe import recipe_text

NAME = "recipes"
HELP = "list the recipes of fits, or print one to copy and change"
EPILOG = """examples:
  jaxpot recipes
  jaxpot recipes gap > my.toml
"""


def arguments(parser):
    parser.add_argument("name", metavar="NAME", nargs="?", help="print this recipe")


def run(options, console):
    known = recipes()
    texts = {name: recipe_text(name) for name in known}
    if options.name is not None:
        if options.name not in known:
            raise DataError(f"there is no recipe {options.name!r}; expected {', '.join(known)}")
        console.text(texts[options.name].rstrip("\n"))
        console.result({"name": options.name, "text": texts[options.name]})
        return
    console.text("\n".join(f"{name}\n    {_about(text)}" for name, text in texts.items()))
    console.text("\n`jaxpot recipes NAME > my.toml` makes a copy to change; --recipe takes a name or such a file.")
    console.result({"recipes": [{"name": name, "about": _about(text)} for name, text in texts.items()]})


def _about(text):
    """The first line of a recipe is a comment that says what it is."""
    return text.splitlines()[0].lstrip("# ")
