"""The model that trainings start from, as the command line names it."""

from argparse import Namespace

from jaxpot import catalog
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior


def start_model(options: Namespace) -> Potential | None:
    """Read the model of --start, with its --modality, of a posterior the mean; None without one.

    Raises:
        DataError: no such model, or a modality of none.
    """
    if options.start is None:
        if options.modality is not None:
            raise DataError("--modality is of the model to --start from, and none is given")
        return None
    model = catalog.load(options.start, **({} if options.modality is None else {"modality": options.modality}))
    return model.potential if isinstance(model, Posterior) else model
