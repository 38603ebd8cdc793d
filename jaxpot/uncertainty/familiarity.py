"""Atoms in surroundings that a fit has seen nothing like."""

import numpy as np

from jaxpot.errors import DataError
from jaxpot.potentials.posterior import Posterior, check_posterior
from jaxpot.typing import StructureLike
from jaxpot.uncertainty.deviations import Deviations, std

LIMIT = "site_deviation"  # of `Posterior.ranges`
FAMILIAR = 0.99  # of the atoms of frames left out of a fit are familiar


def unfamiliar_atoms(posterior: Posterior, structure: StructureLike) -> np.ndarray:
    """Numbers of the atoms whose site energy is less certain than those of the training set.

    The limit is what 99 % of the atoms stay below in frames that were left out of the fit by chance, each with the
    bar of the fit to the other frames: about one atom in a hundred of structures like the training set's is beyond it.

    Args:
        posterior: calibrated: `jp.calibrate(fit, data).apply(fit.posterior)`, as `jaxpot fit` writes it.
        structure: `Structure` or `ase.Atoms`; double precision.

    Returns:
        Sorted indices, (N,).

    Raises:
        DataError: no posterior, or one that has not been calibrated.
    """
    check_posterior(posterior)
    if not has_limit(posterior):
        raise DataError(
            "which atoms are familiar is known of a calibrated posterior only: "
            "posterior = jp.calibrate(fit, data).apply(fit.posterior), of a fit with keep_folds=True"
        )
    return beyond(posterior, std(posterior, structure))


def has_limit(posterior: Posterior) -> bool:
    """Whether a posterior knows which atoms are familiar."""
    return LIMIT in posterior.ranges


def beyond(posterior: Posterior, deviations: Deviations) -> np.ndarray:
    """`unfamiliar_atoms` of a structure whose `std` has been computed."""
    return np.flatnonzero(np.asarray(deviations.epistemic.energies) > float(np.asarray(posterior.ranges[LIMIT])[1]))
