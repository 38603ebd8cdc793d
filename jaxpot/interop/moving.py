"""Atoms that move at the bidding of another program: one compiled program, and one neighbour list that is kept.

Of an outgrown list every result is NaN under jit: then the list is rebuilt on the host and the call repeated, so that
no number from an outgrown list is ever seen.
"""

import jax
import numpy as np

from jaxpot.checks import check_potential, checked_neighbors
from jaxpot.core.distances import closest_pair
from jaxpot.core.neighbors import Neighbors, round_capacity
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, GeometryError
from jaxpot.observables import Evaluation, evaluate_by_strain
from jaxpot.potentials.base import Potential
from jaxpot.typing import StructureLike

_ROOM = 1.1  # spare places in a row when a program is compiled: counts fluctuate as atoms move


class MovingAtoms:
    """Energy, forces and strain derivatives of the same atoms at ever new positions, in ever new cells.

    Args:
        potential: any `Potential`.
        structure: `Structure` or `ase.Atoms`: elements, pbc and data of the atoms; its positions and cell are not read.
        skin: A; the list is rebuilt after atoms have moved by about half of it.

    Attributes:
        structure: as it was given.
        lists: how many neighbour lists have been built so far.

    Raises:
        DataError: not a potential, no atoms, or a skin that is negative or not finite.
    """

    def __init__(self, potential: Potential, structure: StructureLike, skin: float = 1.0) -> None:
        check_potential(potential)
        if not isinstance(skin, int | float) or not 0.0 <= skin < np.inf:
            raise DataError(f"skin: expected a length in A that is not negative, got {skin!r}")
        self.structure = Structure.of(structure, potential.needs)
        if not len(self.structure):
            raise DataError("expected a structure with at least one atom, got one without any")
        self.lists, self._capacity = 0, 0
        self._potential, self._skin = potential, float(skin)
        self._listed: Neighbors | None = None

    def at(self, positions: np.ndarray, cell: np.ndarray) -> Structure:
        """The atoms at positions (n, 3) A in a cell (3, 3) A."""
        dtype = self.structure.positions.dtype
        return self.structure.moved(np.asarray(positions, dtype), np.asarray(cell, dtype))

    def evaluate(self, positions: np.ndarray, cell: np.ndarray) -> Evaluation:
        """`Evaluation` with dE/dstrain, (3, 3) eV, in the place of the stress.

        Args:
            positions: (n, 3) A, anywhere, inside of the cell or not.
            cell: (3, 3) A, rows are the lattice vectors; those of open axes are ignored.

        Raises:
            DataError: numbers that are not finite, or elements that the potential does not know.
            GeometryError: a periodic cell without volume, or atoms at which there is no finite energy.
        """
        if not np.isfinite(positions).all() or not np.isfinite(cell).all():
            raise DataError("expected finite positions and a finite cell, got NaN or infinity among them")
        structure = self.at(positions, cell)
        if self._listed is not None:
            result = _step(self._potential, structure, self._listed)
            if _finite(result):
                return result
        self._listed = self._list(structure)
        result = _step(self._potential, structure, self._listed)
        if not _finite(result):
            pair = closest_pair(structure)
            raise GeometryError(
                f"{self._potential!r} has no finite energy for these atoms{'' if pair is None else f': {pair}'}; start "
                "from larger distances, or use a smaller time step"
            )
        return result

    def _list(self, structure):
        """A list in rows that only grow, since programs are compiled for their length."""
        listed = checked_neighbors(self._potential, structure, self._skin)
        most = int(np.max(listed.counts, initial=0))
        if most > self._capacity:
            self._capacity = round_capacity(int(_ROOM * most) + 1)
        self.lists += 1
        return jax.device_put(listed.in_rows_of(self._capacity))


@jax.jit
def _step(potential, structure, listed):
    return evaluate_by_strain(potential, structure, listed)


def _finite(result):
    return all(np.isfinite(np.asarray(array)).all() for array in (result.energy, result.forces, result.stress))
