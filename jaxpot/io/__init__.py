"""Crystals and files through ASE: reading, prototypes by name, special points and band paths.

The lower of ASE's two doors (the other is `jaxpot.interop.ase`): its knowledge of file formats, of crystal
structures and of Brillouin zones comes in here, and leaves as `Structure`s and plain arrays.
"""

from jaxpot.io.brillouin import BandPath, band_path, special_points
from jaxpot.io.files import labels, read, read_atoms
from jaxpot.io.prototypes import PROTOTYPES, structure_from_spec, symbols_of
from jaxpot.io.sizes import declared_atoms

__all__ = [
    "PROTOTYPES",
    "BandPath",
    "band_path",
    "declared_atoms",
    "labels",
    "read",
    "read_atoms",
    "special_points",
    "structure_from_spec",
    "symbols_of",
]
