"""`jaxpot card`: the property card of one crystal with one model."""

import hashlib
import os
import shutil
from argparse import SUPPRESS, ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from jaxpot import catalog, units
from jaxpot.checks import check_species
from jaxpot.cli.console import Console
from jaxpot.cli.files import output_folder, write_structure
from jaxpot.cli.many_cards import run_many
from jaxpot.cli.model import (
    load_posterior,
    model_argument,
    model_files,
    separate_models,
    smooth_argument,
    smooth_if_asked,
)
from jaxpot.cli.numbers import count, kelvin, pressure
from jaxpot.cli.parser import CommandParser
from jaxpot.cli.structure import read_structure, start
from jaxpot.errors import DataError, ResourceError
from jaxpot.interop.phonopy import write_phonopy
from jaxpot.potentials.base import Potential
from jaxpot.published import published
from jaxpot.report.card import Card, check_size, property_card
from jaxpot.report.entries import ROOM
from jaxpot.report.side_by_side import side_by_side
from jaxpot.report.table import text_table

NAME = "card"
HELP = "compute the property card of a crystal: card.json, card.html and pictures"
EPILOG = """The crystal is reduced to its primitive cell and relaxed first. STRUCTURE is a file that ASE
reads, or PROTOTYPE:ELEMENTS[:a=A] with fcc bcc hcp diamond sc rocksalt zincblende wurtzite; the volume is
found if it is not given. Of a .posterior, which jaxpot fit writes, every number gets its standard deviation.
With --model several times, DIR gets a folder for each model, and their cards are shown side by side.

With --structures DIR gets a folder for each crystal and a table of all: cards.html, cards.csv, cards.json. A run
that was interrupted goes on where it stopped, and a crystal that fails is a row that says why. Thermal properties are
those at 300 K and at --temperatures.

examples:
  jaxpot card si.posterior --structure diamond:Si --out si-card
  jaxpot card sw-silicon --structure diamond:Si --out si-card
  jaxpot card Cu_mishin1.eam.alloy --structure fcc:Cu --out cu-card
  jaxpot card SiC.sw --structure zincblende:SiC:a=4.35 --out sic-card --json
  jaxpot card CuNi.eam.alloy --structures crystals/ more.xyz --no-defects --workers 2 --out cards
  jaxpot card Mg_mm.eam.fs --smooth --structure hcp:Mg --temperatures 100 300 500 --pressure-GPa 2 --out mg-card
"""


def arguments(parser: CommandParser) -> None:
    model_argument(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--structure", metavar="STRUCTURE", help="a file or PROTOTYPE:ELEMENTS[:a=A]")
    which.add_argument(
        "--structures", nargs="+", metavar="STRUCTURE",
        help="a card for each of many crystals: files, all frames of them, folders of files, prototypes",
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for the card; made if it is not there"
    )
    parser.add_argument(
        "--no-defects", dest="defects", action="store_false", help="leave out vacancies and surfaces"
    )
    smooth_argument(parser)
    parser.add_argument(
        "--workers", type=count, default=1, metavar="N", help="with --structures: processes, a thread each (default: 1)"
    )
    parser.add_argument(
        "--pictures", action="store_true", help="with --structures: a page and pictures for each crystal, too"
    )
    parser.add_argument("--share", nargs=2, type=int, help=SUPPRESS)  # of a worker: which part, and of how many
    parser.add_argument(
        "--temperatures", nargs="+", type=kelvin, metavar="K",
        help="at which thermal expansion, bulk modulus and heat capacities are shown, besides 300 K (default: pictures "
        "of 0 to 600 K, and numbers at 300 K)",
    )
    parser.add_argument(
        "--pressure-GPa", type=pressure, default=0.0, metavar="P",
        help="at which the crystal is relaxed and expands (default: 0; else without equation of state, defects, bars)",
    )
    parser.add_argument("--name", help="title of the card (default: the structure as it was given)")
    meshes(parser)


def meshes(parser: ArgumentParser) -> None:
    """Add the arguments that set how finely the Brillouin zone is sampled."""
    parser.add_argument(
        "--mesh",
        type=count,
        default=8,
        metavar="N",
        help="N x N x N wave vectors for thermal properties (default: 8)",
    )
    parser.add_argument(
        "--dos-mesh",
        type=count,
        default=30,
        metavar="N",
        help="N x N x N wave vectors for the density of states (default: 30)",
    )
    parser.add_argument(
        "--points", type=count, default=200, metavar="N", help="wave vectors along the path (default: 200)"
    )


def run(options: Namespace, console: Console) -> None:
    if options.structures:
        if options.name:
            raise DataError("--name is the title of one card; those of --structures have the names of their files")
        run_many(options, console, _described)
        return
    if options.workers > 1 or options.pictures:
        raise DataError("--workers and --pictures go with --structures; a card of --structure has its pictures")
    models = separate_models(options)
    if len(models) == 1:
        console.result(_card(options, Path(options.out), console).document())
        return
    structure, _ = read_structure(options.structure, check_size)
    for one in models.values():  # before the first minutes: is each of them a model that knows the crystal?
        check_species(load_posterior(one)[0], structure)
    root = output_folder(options.out)
    documents: dict[str, dict] = {}
    for name, one in models.items():
        console.progress(f"card of {name}, {len(documents) + 1} of {len(models)}")
        documents[name] = _card(one, root / name, console).document()
    console.text("\n" + side_by_side(f"{options.name or options.structure}, {len(models)} models", documents))
    console.result(documents)


def _card(options, folder, console):
    """Compute, write and show the card of one model."""
    potential, posterior = load_posterior(options)
    potential = smooth_if_asked(options, potential, posterior, console)
    structure = start(options.structure, potential, console, check_size)
    folder = output_folder(folder)
    card = property_card(
        potential,
        structure,
        options.name or options.structure,
        progress=console.progress,
        model=_described(options, potential),
        mesh=options.mesh,
        dos_mesh=options.dos_mesh,
        points=options.points,
        posterior=posterior,
        defects=options.defects,
        temperatures=None if options.temperatures is None else sorted({ROOM, *options.temperatures}),
        pressure=options.pressure_GPa * units.GPa,
    )
    finish(card, folder, console)
    return card


def _described(options, potential):
    about = describe(model_files(options), potential)
    return about | {"name": f"{about['name']}, tables made smooth"} if options.smooth else about


def finish(card: Card, folder: Path, console: Console) -> None:
    """Write a card and show its table."""
    console.progress("writing the card and its pictures")
    try:
        card.write(folder)
        for ending in ("cif", "xyz"):
            write_structure(folder / f"relaxed.{ending}", card.results["crystal"])
        write_phonopy(card.results["force_constants"], card.results["crystal"], folder)
        phonopy = ", phonopy.yaml, FORCE_CONSTANTS"
    except ResourceError as error:
        console.note(f"note: no files for phonopy: {error}")
        phonopy = ""
    except OSError as error:
        raise DataError(f"--out {folder}: cannot be written: {error.strerror or error}") from error
    console.text(text_table(card.document(), width=shutil.get_terminal_size((120, 24)).columns))
    console.text(f"\nWritten: {folder}{os.sep}card.html, card.json, pictures, relaxed.cif, relaxed.xyz{phonopy}")


def describe(name: str | tuple[str, ...], potential: Potential) -> dict[str, Any]:
    """Description of a model for its card: name, and source or checksum of the file or files it came from."""
    for model in catalog.models():
        if model.name == name:
            return {"name": name, "source": model.source}
    known = published(name) if isinstance(name, str) else None
    if known is not None:
        return {"name": name, "source": known.citation, "sha256": known.sha256}
    paths, digest = [Path(part) for part in (name if isinstance(name, tuple) else (name,))], hashlib.sha256()
    for path in paths:
        for part in sorted(path.iterdir()) if path.is_dir() else [path]:  # of a folder: of its files, by name
            if part.is_file():
                digest.update(part.read_bytes())
    return {"name": " ".join(path.name for path in paths), "sha256": digest.hexdigest()}
