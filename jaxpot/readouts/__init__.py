"""Readouts: from descriptor vectors to an energy."""

from jaxpot.readouts.base import Readout
from jaxpot.readouts.element_networks import ElementNetworks
from jaxpot.readouts.embedded_densities import EmbeddedDensities
from jaxpot.readouts.linear import Linear
from jaxpot.readouts.network import MLP, Averaged
from jaxpot.readouts.neural import Neural
from jaxpot.readouts.quadratic import Quadratic
from jaxpot.readouts.sparse_gp import SparseGP

__all__ = [
    "MLP", "TRAINABLE", "Averaged", "ElementNetworks", "EmbeddedDensities", "Linear", "Neural", "Quadratic",
    "Readout", "SparseGP",
]

# A recipe may name these as the `readout` of a term, beside a Gaussian process.
TRAINABLE = {"linear": Linear, "quadratic": Quadratic}
