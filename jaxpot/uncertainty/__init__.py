"""How far a number may be trusted."""

from jaxpot.uncertainty.calibration import Calibration, calibrate
from jaxpot.uncertainty.conditioning import condition, condition_linear
from jaxpot.uncertainty.deviations import Deviations, std, std_many
from jaxpot.uncertainty.extrapolation import ActiveSet
from jaxpot.uncertainty.familiarity import unfamiliar_atoms
from jaxpot.uncertainty.prior_variance import Variance, has_variance, variance
from jaxpot.uncertainty.propagation import Propagated, propagate
from jaxpot.uncertainty.ranges import Extrapolation, extrapolations
from jaxpot.uncertainty.selection import select_frames
from jaxpot.uncertainty.site_variance import SiteVariance, VariancePotential
from jaxpot.uncertainty.widening import widened, widened_near

__all__ = [
    "ActiveSet", "Calibration", "Deviations", "Extrapolation", "Propagated", "SiteVariance", "Variance",
    "VariancePotential", "calibrate", "condition", "condition_linear", "extrapolations", "has_variance", "propagate",
    "select_frames", "std", "std_many", "unfamiliar_atoms", "variance", "widened", "widened_near",
]
