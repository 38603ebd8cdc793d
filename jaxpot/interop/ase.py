"""The door to ASE: structures and a calculator.

The calculator keeps one neighbour list with a skin, and compiled programs for a few sizes. Atoms are padded
to a ladder of sizes and lists to a length that only grows, so that moving atoms, or structures of similar
size that come in turn, run in a program that exists already. Whether the list still holds is a flag that
the same compiled call returns: if it does not, the list is rebuilt on the host and the call repeated, so
that no number from an outgrown list is ever seen.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from jaxpot.checks import checked_neighbors, round_atoms
from jaxpot.core import data
from jaxpot.core.elements import symbol
from jaxpot.core.neighbors import round_capacity
from jaxpot.core.structure import Structure
from jaxpot.errors import CapacityError, DataError, GeometryError
from jaxpot.observables import evaluate
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior
from jaxpot.typing import AtomsLike, StructureLike
from jaxpot.uncertainty import has_variance, std, variance

_ROOM = 1.1  # spare places in a row when a program is compiled: counts fluctuate as atoms move
_SHARE = 1.3  # a program is used for structures up to this factor smaller than it was made for
_VARIANCE = "local_gap_variance"  # quippy's name
_BARS: dict[str, tuple[str, Callable]] = {  # name of the property -> of an `Evaluation`, and its form in ASE
    "energy_std": ("energy", float),
    "energies_std": ("energies", np.array),
    "forces_std": ("forces", np.array),
    "stress_std": ("stress", lambda s: np.array(s)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]),
}
_SMALL = 32  # atoms; up to here padding costs next to nothing, and sizes are powers of two


class StressNotDefinedError(GeometryError, PropertyNotImplementedError):
    """A stress was asked for where there is no volume; ASE knows it as a missing property."""


def to_ase(structure: StructureLike) -> Atoms:
    """The `ase.Atoms` of a structure: positions, cell, numbers, masses, pbc and data; padding is left out.

    Charges and magnetic moments become ASE's initial ones, other data of atoms its `arrays` and data of the system its
    `info`, under their names.

    Args:
        structure: `Structure` with concrete values, or `ase.Atoms` (copied).

    Returns:
        `ase.Atoms` without a calculator.
    """
    structure = Structure.of(structure)
    numbers = np.asarray(structure.numbers)
    atom = numbers > 0
    atoms = Atoms(
        numbers=numbers[atom],
        positions=np.asarray(structure.positions, dtype=np.float64)[atom],
        cell=np.asarray(structure.cell, dtype=np.float64),
        masses=np.asarray(structure.masses, dtype=np.float64)[atom],
        pbc=structure.pbc,
    )
    data.to_ase(atoms, data.taken(structure.atom_data, atom), structure.system_data)
    return atoms


def ase_calculator(potential: Potential | Posterior, skin: float = 0.5) -> "JaxpotCalculator":
    """An ASE calculator for a potential: energy, free energy, energies, forces and stress.

    Works wherever ASE takes a calculator: optimisers, cell filters, molecular dynamics, NEB, phonons. One
    calculator may serve many structures in turn.

    GAPs have one property more, `calc.get_property("local_gap_variance", atoms)`, (n,) eV^2, computed when asked
    for: the numbers of QUIP's `local_gap_variance`, which quippy puts into `calc.extra_results["atoms"]`. They
    are `jp.variance(..., correlated=False)`; there it is said what they are not, and for which GAPs there are none.

    Of a `Posterior` there are also "energy_std", "energies_std", "forces_std" and "stress_std", computed when asked
    for: the epistemic standard deviations of `jp.std`, in the same units.

    Args:
        potential: any jaxpot `Potential`, composed ones too; or a `Posterior`.
        skin: A; the neighbour list is rebuilt after atoms have moved by about half of it. Larger: fewer
            rebuilds, but more neighbours beyond the cutoff in each evaluation.

    Returns:
        `JaxpotCalculator`. Stress in eV/A^3, Voigt order xx yy zz yz xz xy, ASE's sign (+1/V dE/dstrain).

    Raises:
        DataError: not a potential, or a skin that is negative or not finite.
    """
    return JaxpotCalculator(potential, skin=skin)


class JaxpotCalculator(Calculator):
    """ASE calculator of a jaxpot potential; made by `ase_calculator`.

    Attributes:
        potential: the potential; may be replaced, results are then computed anew.
        rebuilds: how many neighbour lists have been built so far.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]
    ignored_changes = {"initial_charges", "initial_magmoms"}

    def __init__(self, potential: Potential | Posterior, skin: float = 0.5) -> None:
        self.posterior = potential if isinstance(potential, Posterior) else None
        potential = potential if self.posterior is None else self.posterior.potential
        if not isinstance(potential, Potential):
            raise DataError(
                f"expected a jaxpot potential as the first argument, got {type(potential).__name__}"
            )
        if not isinstance(skin, int | float) or not 0.0 <= skin < np.inf:
            raise DataError(f"skin: expected a length in A that is not negative, got {skin!r}")
        super().__init__()
        self.skin = float(skin)
        self.potential = potential
        self.rebuilds = 0
        self._capacities: dict[int, int] = {}  # padded size -> neighbours a row; both only grow
        self._listed = None
        self._listed_for = None  # numbers and pbc that the list was built for
        self._template = None  # the last structure: most often only positions and cell change

    name = "jaxpot"

    @property
    def potential(self) -> Potential:
        return self._potential

    @potential.setter
    def potential(self, potential: Potential) -> None:
        self._potential = potential
        more = [_VARIANCE] if has_variance(potential, correlated=False) else []
        if self.posterior is not None and self.posterior.potential is not potential:
            self.posterior = None  # another potential: its bars are not known
        bars = [] if self.posterior is None else list(_BARS)
        self.implemented_properties = [*type(self).implemented_properties, *more, *bars]
        self._listed = None
        self.reset()

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Names of the changes since the last calculation: those of ASE, and of the data that the potential reads."""
        changes = super().check_state(atoms, tol)
        if self.potential.needs and self.atoms is not None and not _same_data(self.atoms, atoms, self.potential.needs):
            changes = [*changes, "data"]
        return changes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute everything at once and keep it in `results`."""
        super().calculate(atoms, properties, system_changes)
        pbc = tuple(bool(p) for p in self.atoms.pbc)
        if "stress" in properties and not all(pbc):
            raise StressNotDefinedError(
                f"a stress needs a volume, but these atoms are periodic along {sum(pbc)} axes only (pbc={pbc}); "
                "set atoms.pbc = True if the cell is meant, or use jp.virials and divide by a volume of yours"
            )
        n = len(self.atoms)
        structure = self._structure(pbc)
        result = self._evaluate(structure)
        self.results = {
            "energy": float(result.energy),
            "free_energy": float(result.energy),
            "energies": np.array(result.energies)[:n],
            "forces": np.array(result.forces)[:n],
        }
        if all(pbc):
            xx, xy, xz, _, yy, yz, _, _, zz = np.asarray(result.stress).ravel().tolist()
            self.results["stress"] = np.array([xx, yy, zz, yz, xz, xy])
        if _VARIANCE in properties:
            variances = variance(self.potential, structure, self._listed, correlated=False)
            self.results[_VARIANCE] = np.array(variances.sites)[:n]
        if self.posterior is not None and set(_BARS) & set(properties):
            bars = std(self.posterior, self.atoms).epistemic
            for name, (kind, shape) in _BARS.items():
                self.results[name] = shape(getattr(bars, kind))

    def _structure(self, pbc):
        """The atoms as a padded `Structure`."""
        atoms, last, n = self.atoms, self._template, len(self.atoms)
        positions, cell = atoms.positions, atoms.cell.array
        same = last is not None and last.pbc == pbc and np.array_equal(np.asarray(last.numbers)[:n], atoms.numbers)
        same = same and not np.asarray(last.numbers)[n:].any() and not self.potential.needs
        if same and np.isfinite(positions).all() and np.isfinite(cell).all():
            padded = np.zeros((len(last), 3))
            padded[:n] = positions
            return last.moved(padded, np.array(cell))
        needs = self.potential.needs
        structure = Structure.of(atoms, needs)
        kept = {  # the others would make programs of their own
            kind: {name: array for name, array in getattr(structure, kind).items() if name in needs}
            for kind in ("atom_data", "system_data")
        }
        self._template = structure.replace(**kept).padded(self._size(n))
        return self._template

    def _evaluate(self, structure):
        """The `Evaluation` of a padded structure with a list that holds; finite."""
        if self._belongs(structure):
            result, holds = _step(self.potential, structure, self._listed)
            if holds and _finite(result):
                return result
        self._rebuild(structure)
        result, _ = _step(self.potential, structure, self._listed)
        if not _finite(result):
            raise GeometryError(
                f"{self.potential!r} has no finite energy for these atoms; {_closest(structure, self._listed)}. "
                "Start from a structure with larger distances, or use a smaller time step"
            )
        return result

    def _belongs(self, structure):
        if self._listed is None:
            return False
        numbers, pbc = self._listed_for
        return pbc == structure.pbc and np.array_equal(numbers, structure.numbers)

    def _rebuild(self, structure):
        size = len(structure)

        def build(capacity):
            return jax.device_put(checked_neighbors(self.potential, structure, self.skin, rows=size, capacity=capacity))

        try:
            listed = build(self._capacities.get(size))
        except CapacityError:
            listed = build(None)
        if listed.capacity > self._capacities.get(size, 0):
            most = int(np.asarray(listed.counts).max(initial=0))
            capacity = round_capacity(int(_ROOM * most) + 1)
            similar = [c for c in self._capacities.values() if capacity <= c <= _SHARE * capacity]
            self._capacities[size] = min(similar, default=capacity)
            listed = build(self._capacities[size])
        self._listed, self._listed_for = listed, (np.asarray(structure.numbers), structure.pbc)
        self.rebuilds += 1

    def _size(self, n):
        """Padded size for n atoms: one that is in use, or the next on a ladder of four steps per octave."""
        if n <= _SMALL:
            return round_atoms(max(n, 8))
        fitting = [size for size in self._capacities if n <= size <= _SHARE * n]
        step = 1 << ((n - 1).bit_length() - 3)
        return min(fitting, default=-(-n // step) * step)


def computed(structure: AtomsLike, calculator: Any) -> tuple[float, np.ndarray, np.ndarray | None]:
    """Results of an ASE calculator for a structure: energy (eV), forces (eV/A), stress (eV/A^3) or None without one.

    What the calculator raises is its own.
    """
    atoms = to_ase(structure)
    atoms.calc = calculator
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    if not all(structure.pbc):
        return energy, forces, None
    try:
        return energy, forces, atoms.get_stress(voigt=False)
    except PropertyNotImplementedError:
        return energy, forces, None


@jax.jit
def _step(potential, structure, neighbors):
    result = evaluate(potential, structure, neighbors)
    return result, neighbors.covers(structure, potential.extent())


def _same_data(first, second, needs):
    """Whether two `ase.Atoms` have the same data of these names."""
    kinds = [data.from_ase(atoms, needs) for atoms in (first, second)]
    flat = [{**kind["atom_data"], **kind["system_data"]} for kind in kinds]
    return all(np.array_equal(flat[0].get(name, ()), flat[1].get(name, ())) for name in needs)


def _finite(result):
    arrays = (result.energy, result.energies, result.forces)
    return all(np.isfinite(np.asarray(a)).all() for a in arrays)


def _closest(structure, listed):
    """The closest pair, in words."""
    counts, shifts = np.asarray(listed.counts), np.asarray(listed.shifts)
    if not counts.max(initial=0):
        return "there are no neighbours"
    first = np.flatnonzero(counts > 0)
    i, j = np.asarray(listed.centers)[first], np.asarray(listed.others)[first, 0]
    positions = np.asarray(structure.positions)
    vectors = positions[j] - positions[i] + shifts[:, first, 0].T @ np.asarray(structure.cell)
    distances = np.linalg.norm(vectors, axis=1)
    k = int(distances.argmin())
    names = [f"{a} ({symbol(int(structure.numbers[a]))})" for a in (int(i[k]), int(j[k]))]
    return f"the closest are atoms {names[0]} and {names[1]}, {distances[k]:.3g} A apart"
