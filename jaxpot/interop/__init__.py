"""Doors to other packages, one file for each."""
