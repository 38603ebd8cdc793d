"""The pair of atoms that is closest, measured by their covalent radii: what tells wrong units and doubled atoms.

Half of the sum of the covalent radii is less than what is found in molecules (0.77 of it in N2) and in crystals under
the highest pressures of experiments (0.56 in sodium at 320 GPa: Y. Ma et al., Nature 458, 182 (2009)), and more than
what units of nm make of a structure (0.07 to 0.2). Atoms that collide do come closer, two of them at a time.
"""

from dataclasses import dataclass

import numpy as np

from jaxpot.core.elements import RADII, symbol
from jaxpot.core.neighbors import Neighbors, find_neighbors
from jaxpot.core.precision import require_concrete
from jaxpot.core.structure import Structure

CLOSE = 0.5  # of the sum of covalent radii
_TENTH = (0.02, 0.25)  # of the sum: nearest neighbours, where lengths are given in nm
_NEARLY_ALL = 0.9  # of the atoms


@dataclass(frozen=True)
class ClosePair:
    """Two atoms that are closer than half of the sum of their covalent radii.

    Attributes:
        atoms, symbols: of the two.
        image: three integers, the lattice vectors from the first one's cell to that of the second.
        distance, radii: A, between them, and the sum of their covalent radii.
        tenfold: nearly all atoms are about ten times too close to their neighbours, as they are in nm.
        crowded: tenfold, and nearly all have two such neighbours at least, as no collision has.
    """

    atoms: tuple[int, int]
    symbols: tuple[str, str]
    image: tuple[int, int, int]
    distance: float
    radii: float
    tenfold: bool
    crowded: bool

    def __str__(self) -> str:
        (a, b), (one, two) = self.atoms, self.symbols
        image = f" (image {list(self.image)})" if any(self.image) else ""
        return (
            f"atoms {a} ({one}) and {b} ({two}){image} are {self.distance:.3g} A apart, "
            f"{self.distance / self.radii:.2g} of the sum of their covalent radii ({self.radii:.3g} A)"
        )


def closest_pair(structure: Structure, listed: Neighbors | None = None) -> ClosePair | None:
    """The pair of atoms that is closest, relative to the sum of their covalent radii; None unless below half of it.

    Args:
        structure: `Structure` with concrete values, also while they are being differentiated.
        listed: `Neighbors` of it in NumPy arrays, of any cutoff; by default a list is made.

    Returns:
        `ClosePair`, or None. Elements beyond curium have no radius, and are left out.

    References:
        B. Cordero et al., Dalton Trans. 2008, 2832 (radii).
    """
    numbers = require_concrete(structure.numbers, "the structure", "look for close pairs outside of jit")
    if listed is None:
        listed = find_neighbors(structure, CLOSE * 2.0 * RADII[numbers].max(initial=0.0))
    places = min(2, listed.capacity)  # the nearest two: rows are sorted by distance
    rows = listed.real & (listed.counts > 0)
    if not rows.any():
        return None
    centers, others = listed.centers[rows], listed.others[rows, :places]
    shifts = np.asarray(listed.shifts)[:, rows, :places].transpose(1, 2, 0)
    vectors = listed.positions[others] + shifts @ listed.cell - listed.positions[centers][:, None]
    squares = (vectors**2).sum(2)
    if squares[:, 0].min() >= (CLOSE * 2.0 * RADII[numbers].max()) ** 2:
        return None  # as in nearly every structure
    distances, radii = np.sqrt(squares), RADII[numbers[centers]][:, None] + RADII[numbers[others]]
    filled = np.arange(places) < listed.counts[rows][:, None]
    known = filled & (RADII[numbers[centers]] > 0.0)[:, None] & (RADII[numbers[others]] > 0.0)
    shares = np.where(known, distances / np.where(known, radii, 1.0), np.inf)
    row, place = np.unravel_index(shares.argmin(), shares.shape)
    if not shares[row, place] < CLOSE:
        return None
    atoms = int(centers[row]), int(others[row, place])
    count = np.count_nonzero(numbers > 0)
    tenfold = np.count_nonzero((shares[:, 0] > _TENTH[0]) & (shares[:, 0] < _TENTH[1])) >= _NEARLY_ALL * count
    crowded = tenfold and np.count_nonzero((shares < CLOSE).sum(1) > 1) >= _NEARLY_ALL * count
    return ClosePair(
        atoms, (symbol(int(numbers[atoms[0]])), symbol(int(numbers[atoms[1]]))), tuple(shifts[row, place].tolist()),
        float(distances[row, place]), float(radii[row, place]), bool(tenfold), bool(crowded),
    )
