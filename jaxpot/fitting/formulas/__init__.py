"""Formulas: their parameters searched for within bounds, and cutoffs made smooth."""
