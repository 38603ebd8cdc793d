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
        usual: part of the frames left out by chance that are near the data, see `Inflation`.
        together: frames that look alike err together, by a multiple of their bars that says little about others.
        fixed: errors are those of fixed functions: no noise of labels, and as large for any number of frames.
    """

    alike: float = 0.0
    bounded: bool = False
    usual: float = 0.95
    together: bool = False
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
# Networks: the spread of a few is one draw for all frames that are alike, and hardly grows by a vacancy.
COMMITTEE = Misfit(alike=0.5 * ALIKE, usual=0.75, together=True)
