"""Models that are linear in their weights: rows of the design matrix, their moments, and what is solved from them."""
