"""`jaxpot fit`: from training data and a recipe to a potential and a report."""

import os
import tempfile
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxpot import catalog, io, units
from jaxpot.cli.console import Console, to_json
from jaxpot.cli.data import atomic_energies, data_arguments, read
from jaxpot.cli.files import output_file, write_text
from jaxpot.cli.memory import peak_memory
from jaxpot.cli.start_model import reading_arguments, start_model
from jaxpot.core.elements import atomic_number, name_species
from jaxpot.data.atomic_energies import LEAST_SQUARES
from jaxpot.errors import DataError
from jaxpot.fitting import NetworkRecipe, fit, read_recipe, recipes
from jaxpot.fitting.linear.learning_curve import learning_curve
from jaxpot.fitting.networks.from_descriptors import has_networks
from jaxpot.potentials.constants import Constants
from jaxpot.published import published
from jaxpot.report.fit import fit_document, fit_html
from jaxpot.report.fit_html import error_table, settings_table
from jaxpot.uncertainty import calibrate

NAME = "fit"
HELP = "fit a Gaussian approximation potential, a linear one or neural networks to data, with a report of the errors"
EPILOG = """MODEL is written in jaxpot's own format, or for QUIP if it ends in .xml; every command takes it. Beside
it comes the report, with the endings .html (open it in a browser) and .json in place of MODEL's own, and, ending in
.posterior, the same potential with what is uncertain of it: commands that take that show error bars. About once
a minute, what has been computed is kept in MODEL.partial.npz: after an interruption the same command goes on
from there.

A stress is fitted if the recipe, or --sigma-stress, gives a sigma for it. Look at the data with `jaxpot data` first.

examples:
  jaxpot fit train.xyz --test test.xyz --recipe gap --out si.model
  jaxpot fit train.xyz --recipe behler-parrinello --out networks.model
  jaxpot fit train.xyz --start sevennet-0 --freeze embedding --out tuned.model
  jaxpot fit train.xyz --start sevennet-0 --replay other.xyz --out tuned.model
  jaxpot fit train.xyz --recipe ace --components 500 --out si.yace
  jaxpot recipes gap > my.toml; jaxpot fit train.xyz --recipe my.toml --out si.xml
  jaxpot fit train.xyz --energy dft_energy --forces dft_forces --e0 Si=-0.81 --baseline core.xml --out si.model
"""

_FEWEST = 4  # frames for a calibration of error bars


def arguments(parser: ArgumentParser) -> None:
    parser.usage = "%(prog)s TRAIN [TRAIN ...] --out MODEL [--test TEST ...] [--recipe NAME_OR_FILE] [options]"
    parser.add_argument("train", metavar="TRAIN", nargs="+", help="files with structures and labels")
    parser.add_argument("--out", required=True, metavar="MODEL", help="where to write the potential")
    parser.add_argument("--test", nargs="+", metavar="TEST", help="files that take no part in the fit, for the errors")
    parser.add_argument(
        "--recipe", metavar="NAME_OR_FILE",
        help=f"one of {', '.join(recipes())}, or a file like these (see `jaxpot recipes`; default: gap, with --start "
        "fine-tuning)",
    )
    parser.add_argument("--baseline", metavar="MODEL", help="fit the difference to this model; the result is the sum")
    parser.add_argument(
        "--start", metavar="MODEL",
        help="networks: fine-tune this model, a file or a name; the recipe says how, and how many slightly different "
        "copies: their spread is the error bar",
    )
    reading_arguments(parser)
    parser.add_argument(
        "--freeze", nargs="+", default=[], metavar="NAME",
        help="arrays of --start that stay as they are, by the beginning of their names: embedding, interactions[0]",
    )
    parser.add_argument(
        "--replay", nargs="+", default=[], metavar="FILE",
        help="structures on which --start is to stay what it is: its own energies and forces are trained on, too",
    )
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="of sparse points and folds (default: 0)")
    parser.add_argument(
        "--components", type=_count, metavar="N",
        help="of each element, in models as ace that can have fewer: those that matter least are eliminated; the "
        "report tells the errors of several numbers",
    )
    parser.add_argument(
        "--learning-curve", action="store_true",
        help="fit 1/8, 1/4 and 1/2 of the frames as well; takes as long again and needs --test",
    )
    group = parser.add_argument_group("standard deviations, instead of those of the recipe")
    for kind, unit in (("energy", "eV/atom"), ("forces", "eV/A"), ("stress", "GPa")):
        group.add_argument(f"--sigma-{kind}", type=_positive, metavar=unit, help=f"of {kind}, {unit}")
    parser.add_argument(
        "--stress-offset", action="append", metavar="CONFIG_TYPE", default=[],
        help="fit what the stresses of these frames are off by, a pressure (Pulay stress); may be repeated; all: one "
        "for each config type",
    )
    parser.add_argument(
        "--no-posterior", action="store_true",
        help="no error bars: saves their calibration, which takes about as long as the fit, and a file of 8 bytes for "
        "each pair of sparse points",
    )
    parser.add_argument(
        "--keep-folds", action="store_true",
        help="networks: calibrate the error bars on all frames, each left out of one more training (the recipe says "
        "how many); without, on the few frames that told when to stop",
    )
    data_arguments(parser)


def run(options: Namespace, console: Console) -> Any:
    def say(text):
        console.progress(f"{text} ({peak_memory() / 1e9:.2f} GB)" if peak_memory() else text)

    if options.keep_folds and options.no_posterior:
        raise DataError("--keep-folds is for the calibration of error bars, and --no-posterior asks for none")
    if options.learning_curve and options.test is None:
        raise DataError("--learning-curve needs --test: frames that take no part in the fit")
    if options.recipe is None:
        options.recipe = "gap" if options.start is None else "fine-tuning"
    if options.start is None and options.freeze:
        raise DataError("--freeze is of the model to --start from, and none is given")
    if options.replay and options.start is None:
        raise DataError("--replay is of the model to --start from, and none is given")
    out = _outputs(options)
    recipe = _recipe(options)
    if options.start is not None and not isinstance(recipe, NetworkRecipe):
        raise DataError(f"--start is for recipes of networks, as --recipe equivariant; {recipe.name} begins anew")
    if options.keep_folds and not isinstance(recipe, NetworkRecipe):
        raise DataError(f"--keep-folds is for networks; with {recipe.name} all frames are used anyway")
    baseline = None if options.baseline is None else catalog.load(options.baseline)
    say(f"reading {', '.join(options.train)}")
    train, test = _data(options, console)
    first = start_model(options)
    _rehearse(out["model"], recipe, train, baseline, first)
    say(f"looking at {len(train)} frames")
    summary = train.summary()
    settings = {
        "baseline": baseline, "seed": options.seed, "progress": say,
        "stress_offsets": True if options.stress_offset == ["all"] else options.stress_offset,
    }
    try:
        if isinstance(recipe, NetworkRecipe):
            fitted = _trained(options, recipe, train, test, baseline, first, say, out)
            bars = fitted.posterior is not None and not options.no_posterior
            folds = bars and (options.keep_folds or len(fitted.validation) >= _FEWEST)
        else:
            bars = not options.no_posterior
            folds = bars and len(train) >= max(recipe.folds, _FEWEST)
            fitted = fit(train, recipe, test=test, checkpoint=out["partial"], keep_folds=folds, **settings)
    except KeyboardInterrupt:
        if out["partial"].exists():
            console.note(f"jaxpot: what was done is in {out['partial']}; the same command goes on from there")
        raise
    catalog.save(fitted.potential, out["model"])
    if bars:
        catalog.save(fitted.posterior, out["posterior"])
    calibration = None

    def report(curve=()):
        document = fit_document(
            fitted, summary=summary, baseline=options.baseline, seed=options.seed, peak_memory=peak_memory(),
            curve=curve, calibration=calibration,
        )
        names = ("model", *(("posterior",) if bars else ()), "html", "json")
        document["files"] = {name: str(out[name]) for name in names}
        write_text(out["html"], fit_html(fitted, document))
        write_text(out["json"], to_json(document) + "\n")
        return document

    document = report()
    if folds:
        # All of the above is written: an interruption here loses the calibration only.
        calibration = calibrate(fitted, train, say)
        catalog.save(calibration.apply(fitted.posterior), out["posterior"])
        document = report()
    elif bars:
        console.note(_not_calibrated(fitted, train))
    if options.learning_curve:
        # The report is written again after each part: whatever ends this early, what is done can be read.
        try:
            curve = learning_curve(train, recipe, test, whole=fitted, callback=report, **settings)
        except KeyboardInterrupt:
            console.note(f"jaxpot: {out['model']} is written, and {out['html']} with what there is of the curve")
            raise
        document = report(curve)
    console.text(f"{error_table(document)}\n\n{settings_table(document)}\n")
    if calibration is not None:
        console.text(f"Error bars: {calibration}\n")
    also = f"its error bars {out['posterior']}, " if bars else ""
    console.text(f"Written: {out['model']}, {also}the report {out['html']}, and its numbers {out['json']}")
    console.result(document)


def _not_calibrated(fitted, train):
    """Why error bars were compared with no error, and what helps."""
    if not isinstance(fitted.recipe, NetworkRecipe):
        return f"note: {len(train)} frames are too few to calibrate the error bars"
    return (
        f"note: the error bars are not calibrated, and may be several times too small: {len(fitted.validation)} frames "
        f"were not trained on, and a calibration takes {_FEWEST}. --keep-folds calibrates them on all frames, by "
        f"{fitted.recipe.folds} and up to two more trainings"
    )


def _trained(options, recipe, train, test, baseline, first, say, out):
    for given, name in ((options.stress_offset, "--stress-offset"), (options.learning_curve, "--learning-curve")):
        if given:
            raise DataError(f"{name} is for Gaussian approximation potentials; {recipe.name} is a recipe of networks")
    numbers = [int(name) if name.isdigit() else name for name in options.freeze]
    replay = [structure for file in options.replay for structure in io.read(file)]
    if replay and has_networks(first):
        raise DataError(f"--replay is of published models that read no descriptor, and {options.start} has networks")
    return fit(
        train, recipe, test=test, baseline=baseline, seed=options.seed, progress=say, checkpoint=out["partial"],
        keep_folds=options.keep_folds, start=first, frozen=numbers,
        pretrained=first is not None and not has_networks(first), replay=replay,
    )


# What is asked for, checked before the work ---------------------------------------------------------------


def _outputs(options):
    """The files that will be written: "model", "html", "json", "partial"."""
    model = output_file(options.out)
    if model.suffix.lower() in (".html", ".json", ".npz", ".posterior"):
        raise DataError(f"--out {model}: this ending is for what comes beside it; take another one, as .model or .xml")
    built_in = str(model) in [entry.name for entry in catalog.models()]
    if built_in or published(str(model)) is not None:
        kind = "built-in" if built_in else "published"
        raise DataError(f"--out {model}: this is the name of a {kind} model; take another one")
    out = {"model": model, "html": model.with_suffix(".html"), "json": model.with_suffix(".json")}
    if not options.no_posterior:
        out["posterior"] = model.with_suffix(".posterior")
    out["partial"] = model.with_name(f"{model.name}.partial.npz")
    out["trials"] = model.with_name(f"{model.name}.partial.npz.trials")
    given = [*options.train, *options.replay, *(options.test or ()), options.recipe, options.baseline, options.start]
    given = {Path(name).resolve(): name for name in given if name is not None}
    for path in out.values():
        if path.resolve() in given:
            raise DataError(f"--out {model}: {given[path.resolve()]} would be overwritten; take another name")
        output_file(path)
    return out


def _recipe(options):
    recipe = read_recipe(options.recipe)
    given = {"energy": options.sigma_energy, "forces": options.sigma_forces, "stress": options.sigma_stress}
    if given["stress"] is not None:
        given["stress"] *= units.GPa
    given = {kind: value for kind, value in given.items() if value is not None}
    recipe = replace(recipe, sigmas=replace(recipe.sigmas, **given))
    if options.components is None:
        return recipe
    if isinstance(recipe, NetworkRecipe):
        raise DataError(f"--components is for linear models such as ace; {recipe.name} is a recipe of networks")
    return recipe.with_components(options.components)


def _data(options, console):
    """The training set and the test set (None without one)."""
    e0 = atomic_energies(options.e0)
    if isinstance(e0, dict):
        e0 = {atomic_number(element): energy for element, energy in e0.items()}
    train = read(options, options.train, e0)
    if isinstance(e0, dict) and set(e0) - set(train.species):
        strange = name_species(set(e0) - set(train.species))
        raise DataError(f"--e0: the frames contain {name_species(train.species)}, and no {strange}: leave it out")
    if options.sigma_stress is not None and all(frame.stress is None for frame in train):
        raise DataError("--sigma-stress: no frame has a stress; name its key with --stress or --virial")
    # Energies of isolated atoms come from the training set; those found here are not used.
    test = None if options.test is None else read(options, options.test, LEAST_SQUARES)
    known = {_geometry(frame) for frame in train}
    seen = [frame.source for frame in test or () if _geometry(frame) in known]
    if seen:
        console.note(f"note: {len(seen)} test frames are in the training data, too, the first is {seen[0]}")
    return train, test


def _geometry(frame):
    structure = frame.structure
    return tuple(np.asarray(part).tobytes() for part in (structure.numbers, structure.positions, structure.cell))


def _rehearse(path, recipe, dataset, baseline, first):
    """Save a potential of the same parts, to know before the work that the format can hold it."""
    potential = Constants(dataset.e0) + (recipe.unfitted(dataset) if first is None else first)
    potential = potential if baseline is None else potential + baseline
    with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".jaxpot-") as folder:
        catalog.save(potential, os.path.join(folder, path.name))


def _seed(text):
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def _count(text):
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _positive(text):
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0.0 < value < float("inf"):
        raise ArgumentTypeError(f"expected a positive number, got {text!r}")
    return value
