"""What errors of a kind of model are like that its posterior, for which no model is wrong, does not tell."""

from dataclasses import dataclass
from typing import Any

from jaxpot.uncertainty.linear_terms import can_be_widened

ALIKE = 0.25  # correlation of the errors of the atoms of an unfamiliar frame, where a posterior takes misfit for noise


@dataclass(frozen=True)
class Misfit:
    """Misfit of a kind of model.

    Attributes:
        alike: correlation of the errors of atoms away from the data beyond that of the posterior, see `Inflation`.
        bounded: no error is much larger than forces are. The mean of a Gaussian process falls back to that of its prior
            where data are far, but a network or a polynomial does not.
        fixed: errors are those of fixed functions: no noise of labels, and as large for any number of frames.
    """

    alike: float = 0.0
    bounded: bool = False
    fixed: bool = False

    @classmethod
    def of(cls, fit: Any) -> "Misfit":
        """Misfit of the model of a fit with a posterior."""
        if can_be_widened(fit.posterior):
            return PROCESS
        if fit.fixed_functions:
            return FUNCTIONS
        return LAST_LAYER if fit.misfit_as_noise else COMMITTEE


PROCESS = Misfit(alike=ALIKE, bounded=True)  # a Gaussian process, whatever else there is
FUNCTIONS = Misfit(fixed=True)  # SNAP, ACE, MTP: energies that are linear in parameters alone
LAST_LAYER = Misfit(alike=ALIKE)  # one network, and the posterior of its last layer
COMMITTEE = Misfit()  # networks, whose members are wrong together
