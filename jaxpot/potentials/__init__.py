"""Potentials: values whose energy is one pure function."""
