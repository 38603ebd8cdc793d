"""The arguments that every command takes: which model.

A model is the first word, MODEL, or, where it has more than one file, --model with all of them. The two exclude each
other: argparse knows no such thing, so MODEL is declared only where no --model is in the command line.
"""

from argparse import ArgumentParser, Namespace
from itertools import chain, count
from pathlib import Path

from jaxpot import catalog
from jaxpot.cli.console import Console
from jaxpot.cli.parser import CommandParser, UsageError
from jaxpot.errors import DataError
from jaxpot.fitting import smoothed
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior

_FLAG = "--model"


def model_argument(parser: CommandParser) -> None:
    """MODEL or --model, and the options of the readers of files, such as --species for files that do not name theirs.

    Args:
        parser: `CommandParser`, with the words of the command line.
    """
    if _is_flagged(parser.words):
        parser.about_words = f" (MODEL is left out, as {_FLAG} is given)"
    else:
        parser.about_words = f" (or {_FLAG} FILE [FILE ...] in place of MODEL)"
        parser.add_argument(
            "model", metavar="MODEL",
            help="a file (a potential, or a .posterior), a folder, or a built-in name (see `jaxpot models`); "
            f"left out where {_FLAG} is given",
        )
    parser.add_argument(
        _FLAG, dest="models", nargs="+", action="append", metavar="FILE",
        help="in place of MODEL, for a model of several files: all words up to the next flag, so write the other words "
        "before it (library.meam SiC.meam, with --species Si C; Cu_u3.eam Ni_u3.eam)",
    )
    for option in _flags():
        parser.add_argument(f"--{option.name}", metavar=option.metavar, nargs=option.nargs, help=option.about)


def _flags():
    """Select the options of the readers of files that the command line has."""
    return [option for option in catalog.reader_options() if option.metavar is not None]


def _is_flagged(words):
    """Whether --model, or an unmistakable beginning of it, is among the words."""
    others = [f"--{option.name}" for option in _flags()]
    flags = [word.partition("=")[0] for word in words]
    return any(
        len(flag) > 2 and _FLAG.startswith(flag) and not any(other.startswith(flag) for other in others)
        for flag in flags
    )


def model_files(options: Namespace) -> str | tuple[str, ...]:
    """The name or file of the one model that the arguments name; of a model of several files, these.

    Raises:
        UsageError: two models.
    """
    if options.models is None:
        return options.model
    if hasattr(options, "model"):
        raise UsageError(f"MODEL ({options.model}) and {_FLAG} are both given: leave one of them out")
    if len(options.models) > 1:
        raise UsageError(
            f"`jaxpot {options.command}` takes one model, and {_FLAG} is there {len(options.models)} times: write all "
            f"files of one model after one {_FLAG}"
        )
    (files,) = options.models
    return files[0] if len(files) == 1 else tuple(files)


def separate_models(options: Namespace) -> dict[str, Namespace]:
    """Split the arguments of a command that takes --model several times: name of a model -> those with it alone.

    Names are those of the first files without their endings, numbered where two are alike.
    """
    if hasattr(options, "model") or len(options.models) == 1:
        return {str(options.model if hasattr(options, "model") else options.models[0][0]): options}
    separate = {}
    for files in options.models:
        stem = Path(files[0]).stem
        name = next(n for n in chain([stem], (f"{stem}-{k}" for k in count(2))) if n not in separate)
        separate[name] = Namespace(**(vars(options) | {"models": [files]}))
    return separate


def load_model(options: Namespace) -> Potential:
    """The potential that the arguments name; that at the mean, if it is a posterior."""
    return load_posterior(options)[0]


def load_posterior(options: Namespace) -> tuple[Potential, Posterior | None]:
    """The potential, and the posterior that it is the mean of or None."""
    model = catalog.load(model_files(options), **{flag.name: getattr(options, flag.name) for flag in _flags()})
    return (model.potential, model) if isinstance(model, Posterior) else (model, None)


def smooth_argument(parser: ArgumentParser) -> None:
    """Add --smooth, for derivatives of an order that tables have not got."""
    parser.add_argument(
        "--smooth", action="store_true",
        help="replace the tables of an EAM file by curves with four continuous derivatives (jp.smoothed), and say by "
        "how much they differ",
    )


def smooth_if_asked(
    options: Namespace, potential: Potential, posterior: Posterior | None, console: Console
) -> Potential:
    """The potential, its tables made smooth where --smooth is given.

    Raises:
        DataError: no tables, or a MEAM; error bars, which belong to the potential as it was fitted.
    """
    if not options.smooth:
        return potential
    if posterior is not None:
        raise DataError("--smooth: error bars belong to the potential as it was fitted; leave --smooth out")
    console.progress("making tables smooth")
    try:
        result = smoothed(potential)
    except DataError as error:
        raise DataError(f"--smooth: {error}") from error
    if not console.quiet:
        console.note(str(result))
    return result.potential
