"""Readouts: from descriptor vectors to an energy."""

from jaxpot.readouts.network import MLP, Averaged
from jaxpot.readouts.neural import Neural
from jaxpot.readouts.sparse_gp import SparseGP

__all__ = ["MLP", "Averaged", "Neural", "SparseGP"]
