"""`jaxpot models`: the built-in potentials, and the formats of files."""

from argparse import ArgumentParser, Namespace

from jaxpot import catalog
from jaxpot.cli.console import Console

NAME = "models"
HELP = "list the built-in models with their sources, and the formats of files that are read"
EPILOG = """examples:
  jaxpot models
  jaxpot models --json
"""


def arguments(parser: ArgumentParser) -> None:
    pass


def run(options: Namespace, console: Console) -> None:
    models = [
        {"name": model.name, "elements": list(model.elements), "form": model.form, "source": model.source}
        for model in catalog.models()
    ]
    formats = [
        {"name": record.name, "options": {option.name: option.about for option in record.options}}
        for record in catalog.FORMATS
    ]
    for model in models:
        console.text(f"{model['name']}\n    {', '.join(model['elements'])}: {model['form']}\n    {model['source']}")
    console.text("\nWherever a MODEL is asked for, give one of these names, or a file [with the options of jp.load]:")
    for record in formats:
        console.text(f"    {record['name']}" + (f" [{', '.join(record['options'])}]" if record["options"] else ""))
    console.text("\nOptions:")
    for option in catalog.reader_options():
        console.text(f"    {option.name}: {option.about}")
    console.result({"models": models, "formats": formats})
