"""How far a number may be trusted, as far as the potential itself can say."""

from jaxpot.uncertainty.prior_variance import Variance, has_variance, variance

__all__ = ["Variance", "has_variance", "variance"]
