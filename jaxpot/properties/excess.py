"""What an arrangement of a crystal's atoms costs beside the crystal: defects and surfaces.

The arrangement is made from the crystal by integers (which atom, in which cell) and by moves: it follows the crystal
when that is strained, with derivatives.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.data import counted, taken
from jaxpot.core.numbers import as_number
from jaxpot.core.precision import is_traced, to_device
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.observables import energy
from jaxpot.potentials.base import Potential
from jaxpot.properties.coordinates import frozen
from jaxpot.properties.relax import Relaxation, relax
from jaxpot.typing import Array, Number


@pytree
class Arrangement(Node):
    """Atoms of a crystal, each in a cell of its own choice, moved, in a larger cell.

    sources: (n,) which atom of the crystal; shifts: (n, 3) integers, in which of its cells; lattice: (3, 3) integers,
    the vectors of the larger cell in units of the crystal's; moves: (n, 3) A; cells: how many cells of the crystal it
    is compared with; pbc: which of the larger cell's vectors are periods.
    """

    sources: np.ndarray
    shifts: np.ndarray
    lattice: np.ndarray
    moves: jax.Array
    cells: int = static()
    pbc: tuple = static(default=(True, True, True))

    def of(self, crystal: Structure) -> Structure:
        """The `Structure` that this makes of a crystal, differentiable by its positions and cell."""
        moves, known = self.moves, (self, crystal)
        if not is_traced(known):  # in NumPy: JAX would compile a dozen small programs
            crystal, moves = jax.tree.map(np.asarray, (crystal, moves))
        shifts, lattice = (np.asarray(a, crystal.cell.dtype) for a in (self.shifts, self.lattice))
        sources = np.asarray(self.sources)
        return Structure(
            crystal.positions[sources] + shifts @ crystal.cell + moves,
            lattice @ crystal.cell,
            crystal.numbers[sources],
            crystal.masses[sources],
            pbc=self.pbc,
            atom_data=taken(crystal.atom_data, sources),
            system_data=self._system_data(crystal),
        )

    def _system_data(self, crystal):
        """Data of the system: the same for any number of atoms, or a typed error."""
        tied = () if is_traced(crystal) else counted(crystal.system_data)
        if tied:
            raise DataError(
                f"system_data {', '.join(tied)} of a crystal do not pass to a cell with a defect: leave them out, or "
                "compute the energies of both cells with what you mean for each"
            )
        return crystal.system_data


@pytree
class ExcessEnergy(Node):
    """Energy of a defect: result of `vacancy_energy` and `surface_energy`.

    energy: () eV of a vacancy, eV/A^2 of a surface (divide by `units.J_per_m2`); structure: the relaxed cell with the
    defect; arrangement: how it is made from the crystal; chemical_potential: () eV of the atom that was taken away,
    None where that is the crystal's energy per atom.
    """

    energy: jax.Array
    structure: Structure
    arrangement: Arrangement
    chemical_potential: Number | None = None

    def at(self, potential: Potential, crystal: Structure) -> Array:
        """The energy of the same arrangement with another potential, or made of a strained crystal.

        At the relaxed arrangement the forces vanish, so to first order in potential and crystal this is the energy of
        the arrangement that relaxes anew, and its derivatives are those of the property:

            jp.propagate(posterior, found.at, crystal)
        """
        return _excess(potential, crystal, self.arrangement, self.chemical_potential)


def excess_energy(
    potential: Potential,
    crystal: Structure,
    arrangement: Arrangement,
    chemical_potential: Number | None,
    relaxation: "Relaxed | None",
) -> ExcessEnergy:
    """`ExcessEnergy` of an arrangement, its atoms at rest in the cell as it is.

    Derivatives by potential and crystal are those at the relaxed arrangement (see `ExcessEnergy.at`).

    Args:
        relaxation: `Relaxed`, or None: the atoms stay where they are.
    """
    value = None
    if relaxation is not None:
        ideal = arrangement.of(frozen(crystal))
        found = relaxation.lowest(frozen(potential), ideal)
        arrangement = arrangement.replace(moves=found.structure.positions - ideal.positions)
        value = None if is_traced(potential, crystal) else found.energy
    energy = _excess(potential, crystal, arrangement, chemical_potential, value)
    return ExcessEnergy(energy, arrangement.of(crystal), arrangement, chemical_potential)


@dataclass(frozen=True)
class Relaxed:
    """Relaxation of the atoms from one or several starts; the lowest minimum counts.

    what: in words; starts: displacements (n, 3) A to begin with; rattle: A, standard deviation of further ones, always
    the same: on places of high symmetry forces vanish at saddle points, too.
    """

    what: str
    starts: tuple
    rattle: float
    fmax: float
    steps: int | None
    callback: Callable[..., object] | None

    def __post_init__(self):
        as_number(self.rattle, "rattle", "a length in A")

    def lowest(self, potential: Potential, ideal: Structure) -> Relaxation:
        """`Relaxation` of the lowest minimum.

        Raises:
            ConvergenceError: no start leads to a minimum.
        """
        shaken = self.rattle * np.random.default_rng(0).normal(size=ideal.positions.shape)
        minima, reasons = [], []
        for start in self.starts:
            begin = ideal.moved(to_device(np.asarray(ideal.positions) + np.asarray(start) + shaken))
            try:
                end = relax(
                    potential, begin, fmax=self.fmax, steps=self.steps, symmetry=False, callback=self.callback
                )
            except ConvergenceError as error:
                reasons.append(str(error))
                continue
            if end.converged:
                minima.append(end)
            else:
                reasons.append(f"after {end.steps} steps the largest force is {end.fmax:.3g} eV/A, above {self.fmax:g}")
        if not minima:
            raise ConvergenceError(
                f"{self.what} did not come to rest ({'; '.join(reasons)}): more steps or a larger fmax may help, "
                "unless the potential does not hold it together"
            )
        return min(minima, key=lambda end: float(end.energy))


def _excess(potential, crystal, arrangement, chemical_potential, value=None):
    """(E - cells E_crystal + mu of atoms missing), over the area of both faces where there are faces."""
    made = arrangement.of(crystal)
    perfect, n = energy(potential, crystal), len(crystal)
    missing = arrangement.cells * n - len(arrangement.sources)
    mu = perfect / n if chemical_potential is None else chemical_potential
    found = (energy(potential, made) if value is None else value) - arrangement.cells * perfect + missing * mu
    if all(arrangement.pbc):
        return found
    return 0.5 * found / jnp.linalg.norm(jnp.cross(made.cell[0], made.cell[1]))
