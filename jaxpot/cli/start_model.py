"""The model that trainings start from, as the command line names it."""

from argparse import ArgumentParser, Namespace

from jaxpot import catalog
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior

_READING = ("modality", "species")


def reading_arguments(parser: ArgumentParser) -> None:
    """--modality and --species: how the file of --start is read."""
    parser.add_argument("--modality", help="of --start, a file with several")
    parser.add_argument(
        "--species", nargs="+", metavar="EL", help="elements of --start, a file that names none (MTPs)"
    )


def start_model(options: Namespace) -> Potential | None:
    """Read the model of --start, with its --modality and --species, of a posterior the mean; None without one.

    Raises:
        DataError: no such model, or a modality or species of none.
    """
    given = {name: getattr(options, name) for name in _READING if getattr(options, name) is not None}
    if options.start is None:
        if given:
            raise DataError(f"--{' and --'.join(given)}: of the model to --start from, and none is given")
        return None
    model = catalog.load(options.start, **given)
    return model.potential if isinstance(model, Posterior) else model
