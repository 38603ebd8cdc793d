"""A structure becomes a frame: energy, forces and stress of whatever is taken for the truth."""

from typing import Any

import numpy as np

from jaxpot.core.structure import Structure
from jaxpot.data.frame import Frame
from jaxpot.errors import DataError
from jaxpot.interop.ase import computed
from jaxpot.observables import evaluate
from jaxpot.potentials.base import Potential
from jaxpot.typing import StructureLike


def label(structure: StructureLike, source: Any, config_type: str = "default", origin: str = "") -> Frame:
    """Energy, forces and, in crystals, the stress of a structure.

    Args:
        structure: `Structure` or `ase.Atoms`.
        source: an ASE calculator, or a potential. A calculator without stresses gives none.
        config_type, origin: as `config_type` and `source` of a `Frame`.

    Returns:
        `Frame`.

    Raises:
        DataError: no such source, or numbers that are not finite. What a calculator raises is its own.
    """
    structure = Structure.of(structure)
    if isinstance(source, Potential):
        found = evaluate(source, structure)
        energy, forces = float(found.energy), np.asarray(found.forces)
        stress = np.asarray(found.stress) if all(structure.pbc) else None
    elif hasattr(source, "get_potential_energy"):
        energy, forces, stress = computed(structure, source)
    else:
        raise DataError(f"labels come from an ASE calculator or a potential, got {type(source).__name__}")
    return Frame(structure, energy, forces, stress, config_type, origin)
