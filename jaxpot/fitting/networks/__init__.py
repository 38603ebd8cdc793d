"""Neural networks: descriptors computed once, gradient descent, committees and posteriors of their weights."""
