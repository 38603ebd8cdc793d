"""Readouts: from descriptor vectors to an energy."""

from jaxpot.readouts.base import Readout
from jaxpot.readouts.linear import Linear
from jaxpot.readouts.network import MLP, Averaged
from jaxpot.readouts.neural import Neural
from jaxpot.readouts.sparse_gp import SparseGP

__all__ = ["MLP", "TRAINABLE", "Averaged", "Linear", "Neural", "Readout", "SparseGP"]

TRAINABLE = {"linear": Linear}  # what a recipe may name as the `readout` of a term, beside a Gaussian process
