"""Vacancies: what it costs to take one atom out of a crystal."""

from collections.abc import Callable

import numpy as np

from jaxpot.core.elements import name_species
from jaxpot.core.numbers import as_number, as_positive, as_whole
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.properties.coordinates import crystal as checked_crystal
from jaxpot.properties.coordinates import frozen
from jaxpot.properties.excess import Arrangement, ExcessEnergy, Relaxed, excess_energy
from jaxpot.typing import Number, StructureLike

_SHELL = 1.1  # of the nearest neighbour's distance: further ones are not nearest


def vacancy_energy(
    potential: Potential,
    structure: StructureLike,
    site: int = 0,
    distance: float = 12.0,
    chemical_potential: Number | None = None,
    relaxed: bool = True,
    inward: float = 0.15,
    rattle: float = 0.01,
    fmax: float = 1e-4,
    steps: int | None = None,
    callback: Callable[..., object] | None = None,
) -> ExcessEnergy:
    """Formation energy of a vacancy, static, at the crystal's own cell.

    E_f = E(N n - 1 atoms) - N E(crystal) + mu

    for N cells of n atoms; mu is the energy of the atom in its reservoir, for elements the crystal: E(crystal) / n.
    The atoms are relaxed from two starts, the crystal and one with the neighbours of the vacancy drawn in, and the
    lower minimum counts. Lower ones may exist: try other values of `inward` and `rattle`.

    Args:
        potential: any.
        structure: a crystal at its minimum, best its primitive cell, of which the supercell is made.
        site: which of its atoms goes.
        distance: A, to the images of the vacancy at least.
        chemical_potential: mu, eV. Compounds need it: it is a choice of the conditions.
        relaxed: False: the other atoms stay where they are.
        inward: by how much of their distance the nearest neighbours are drawn in for the second start; 0: only one.
        rattle: A, standard deviation of displacements to begin with, always the same: on places of high symmetry
            forces vanish at saddle points, too.
        fmax, steps, callback: as for `relax`.

    Returns:
        `ExcessEnergy`, differentiable with respect to the potential and the crystal, to first order.

    Raises:
        DataError: no such site, a compound without chemical potential.
        ConvergenceError: the atoms do not come to rest.

    References:
        C. Freysoldt et al., Rev. Mod. Phys. 86, 253 (2014), equation 1.
    """
    structure, _ = checked_crystal(potential, structure, what="a vacancy")
    site = as_whole(site, "site", 0, len(structure) - 1)
    distance = as_positive(distance, "distance")
    numbers = set(np.asarray(structure.numbers).tolist())
    if len(numbers) > 1 and chemical_potential is None:
        raise DataError(
            f"a vacancy in {name_species(sorted(numbers))} needs the chemical potential of the atom that goes, in eV: "
            "chemical_potential=..."
        )
    if chemical_potential is not None:
        chemical_potential = as_number(chemical_potential, "chemical_potential", "an energy in eV")
    known = frozen(structure)
    arrangement = _without(known, site, distance)
    if not len(arrangement.sources):
        raise DataError(f"distance: within {distance:g} A there is no other atom to relax; give more, such as 12 A")
    relaxation = None
    if relaxed:
        starts = (0.0, *([_drawn_in(known, arrangement, site, inward)] if inward else []))
        relaxation = Relaxed("the vacancy", starts, rattle, fmax, steps, callback)
    return excess_energy(potential, structure, arrangement, chemical_potential, relaxation)


def _drawn_in(crystal, arrangement, site, share):
    """Displacements (n, 3) of the nearest neighbours of the vacancy towards it."""
    made = arrangement.of(crystal)
    cell = np.asarray(made.cell)
    away = (np.asarray(made.positions) - np.asarray(crystal.positions)[site]) @ np.linalg.inv(cell)
    away = (away - np.round(away)) @ cell
    lengths = np.linalg.norm(away, axis=1, keepdims=True)
    return np.where(lengths < _SHELL * lengths.min(), -as_number(share, "inward") * away, 0.0)


def _without(structure, site, distance):
    """The `Arrangement` of a supercell in which one atom is missing."""
    lengths = np.linalg.norm(np.asarray(structure.cell), axis=1)
    repeats = np.ceil(distance / lengths - 1e-9).astype(int)
    shifts = np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), -1).reshape(-1, 1, 3)
    n, cells = len(structure), len(shifts)
    shifts = np.broadcast_to(shifts, (cells, n, 3)).reshape(-1, 3)
    sources = np.tile(np.arange(n), cells)
    kept = np.arange(len(sources)) != site
    return Arrangement(sources[kept], shifts[kept], np.diag(repeats), np.zeros((kept.sum(), 3)), cells=cells)
