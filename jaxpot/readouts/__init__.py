"""Readouts: from descriptor vectors to an energy."""

from jaxpot.readouts.sparse_gp import SparseGP

__all__ = ["SparseGP"]
