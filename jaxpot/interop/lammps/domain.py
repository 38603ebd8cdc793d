"""The atoms of one rank, with those around them: a structure without a cell, whose images are atoms themselves.

Rows are those of the rank's own atoms, so that energies of all ranks add up to the whole; forces fall on the atoms
around, too, and belong to what these are images of. Models of several hops have rows for the atoms around as well:
these have states, but no energy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import check_potential
from jaxpot.core.elements import SYMBOLS, atomic_number, name_species
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.precision import concrete
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, SimulationError
from jaxpot.interop.lammps.shared import Box, SharedTerms
from jaxpot.observables.edges import EdgeSum, Part, forces_and_strains, parts, sum_over_edges
from jaxpot.potentials.base import Potential, has_plan, terms_of
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.potentials.posterior import Posterior
from jaxpot.potentials.shared_sums import SharedSums
from jaxpot.potentials.terms import inner_cutoffs
from jaxpot.typing import AnyArray, Array
from jaxpot.uncertainty.deviations import padded_variances
from jaxpot.uncertainty.inflation import Inflation
from jaxpot.uncertainty.linear_terms import uncertain_terms
from jaxpot.uncertainty.site_variance import inverses_of, site_variance

VOIGT = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # LAMMPS's order
_STEP = 256  # rows; lengths of what is cut to the rank's atoms


@dataclass(frozen=True)
class Rows:
    """Rows of neighbours as LAMMPS's list gives them, in NumPy arrays that may change afterwards.

    centers, counts: (m,) int; others: (m, K) int; numbers: (n,) int, 0 where there is no atom. The first `own` rows are
    those of the rank's atoms; behind `real` there are copies. inner: places for each of the shorter cutoffs.
    """

    centers: np.ndarray
    counts: np.ndarray
    others: np.ndarray
    numbers: np.ndarray
    own: int
    real: int
    inner: tuple[int, ...] = ()


@dataclass
class Domain:
    """A potential for the atoms of one rank.

    Args:
        potential: a sum of terms that are local, pass messages, or have sums over all atoms (`SharedSums`).
        posterior: of it, for error bars.

    Attributes:
        cutoff: A, of rows. skin: A, how far they should reach beyond. inner: shorter cutoffs, A.
        halo: A, how far the atoms may be that the energy of the rank's atoms depends on, but for sums over all atoms.
        shared: terms with sums over all atoms, None where there are none.
        several_hops: whether atoms around need rows.

    Raises:
        DataError: a potential that depends on all atoms in another way, reads data other than charges, or has sums over
            all atoms and error bars.
    """

    potential: Potential
    posterior: Posterior | None = None
    cutoff: float = field(init=False)
    _numbers: np.ndarray | None = field(default=None, init=False)
    _structure: Any = field(default=None, init=False)  # `keep` gives it
    _listed: Any = field(default=None, init=False)  # `Neighbors` of the rank's atoms
    _wide: Any = field(default=None, init=False)  # and of those around, where these have rows
    _own: int = field(default=0, init=False)  # the first rows are those of the rank's atoms

    def __post_init__(self) -> None:
        check_potential(self.potential)
        for term in terms_of(self.potential):
            if not (_by_rows(term) or isinstance(term, SharedSums)):
                raise DataError(
                    f"{term!r} depends on atoms of all ranks: potentials in LAMMPS are sums of site energies, local, "
                    "of several hops, or with sums over all atoms (jaxpot.potentials.SharedSums)"
                )
        needs = ", ".join(set(self.potential.needs) - {"charges"})
        if needs:
            raise DataError(f"{self.potential!r} reads {needs}, which LAMMPS does not hand over")
        whole = parts(self.potential)
        self._near = [part for part in whole if not isinstance(part.potential, SharedSums)]
        shared = [part for part in whole if isinstance(part.potential, SharedSums)]
        self.shared = SharedTerms(shared) if shared else None
        if self.shared and self.posterior is not None:
            raise DataError(
                f"{self.potential!r} has sums over all atoms: LAMMPS takes it without error bars, as a potential"
            )
        extent = concrete(self.potential.extent())
        self.cutoff = float(self.potential.cutoff if extent is None else max(self.potential.cutoff, float(extent)))

    @property
    def skin(self) -> float:
        return self.potential.skin

    @property
    def inner(self) -> tuple[float, ...]:
        return inner_cutoffs(self.potential)

    @property
    def halo(self) -> float:
        reaches = [term.reach for term in terms_of(self.potential)]
        return max([reach for reach in reaches if math.isfinite(reach)] + [self.cutoff])

    @property
    def several_hops(self) -> bool:
        return any(term.has_hops for term in terms_of(self.potential))

    @property
    def sites_apart(self) -> bool:
        """Whether energies of sites follow from vectors to neighbours, and virials of atoms with them."""
        return self.shared is None and not self.several_hops

    @classmethod
    def of(cls, model: Potential | Posterior) -> "Domain":
        """Make one of a potential, or of a posterior with its error bars."""
        return cls(model.potential, model) if isinstance(model, Posterior) else cls(model)

    def check_numbers(self, numbers: np.ndarray) -> None:
        """Refuse elements that the potential does not know."""
        species = self.potential.species
        if species is None:
            return
        unknown = set(numbers.tolist()) - {0, *species}
        if unknown:
            raise DataError(f"the model knows {name_species(species)}, and atom types are {name_species(unknown)}")

    def keep(self, rows: Rows) -> None:
        """Take the rows that all that follows is computed with."""
        number, count = len(rows.numbers), len(rows.centers)
        if self._numbers is None or not np.array_equal(rows.numbers, self._numbers):
            self._numbers = np.array(rows.numbers)
            self._structure = jax.device_put(Structure(np.zeros((number, 3)), np.eye(3), self._numbers, pbc=False))
        wide, of_rank = self._neighbors(rows, count), np.arange(count) < rows.own
        if self.several_hops:
            listed = wide.replace(counted=of_rank)
        elif rows.real == rows.own:
            listed = wide
        else:
            some = min(count, -(-max(rows.own, 1) // _STEP) * _STEP)
            cut = {name: getattr(wide, name)[:some] for name in ("centers", "others", "counts")}
            listed = wide.replace(**cut, real=of_rank[:some], shifts=wide.shifts[:, :some])
        self._listed, self._wide = jax.device_put(listed), wide  # the second is seldom asked for
        self._own = rows.own

    def _neighbors(self, rows, count):
        """A list that holds until the next one is given; of copies, since LAMMPS's arrays will change."""
        return self.listed(
            np.array(rows.centers), np.array(rows.counts), np.array(rows.others), np.arange(count) < rows.real,
            rows.numbers > 0, rows.inner,
        )

    def listed(
        self, centers: AnyArray, counts: AnyArray, others: AnyArray, real: AnyArray, atoms: AnyArray,
        inner: Sequence[int],
    ) -> Neighbors:
        """Neighbours that hold until the next list is given: centers, counts, real (m,), others (m, K), atoms (n,).

        inner: places for each of the shorter cutoffs.
        """
        return Neighbors(
            centers=centers, others=others, counts=counts, real=real,  # type: ignore[arg-type]  # NumPy's, too
            shifts=np.zeros((3, len(centers), 0), np.int8),  # type: ignore[arg-type]  # images are atoms
            positions=np.zeros((len(atoms), 3)), cell=np.eye(3), inverse=np.zeros((3, 3)),  # type: ignore[arg-type]
            reach=np.asarray(math.inf), inner_reach=np.full(len(self.inner), math.inf),  # type: ignore[arg-type]
            atoms=atoms,  # type: ignore[arg-type]
            cutoff=self.cutoff, pbc=(False,) * 3, inner=tuple(zip(self.inner, inner, strict=True)),
        )

    def evaluate(
        self, positions: np.ndarray, ends: np.ndarray | None = None, box: Box | None = None
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """Energy of the rank's atoms (eV), site energies (n,), forces (n, 3) and dE/dstrain (3, 3).

        Args:
            positions: (n, 3) A, as many as `Rows.numbers`.
            ends: (n,) bool; dE/dstrain is the sum over vectors that end at these atoms; None: at any.
            box: for terms with sums over all atoms.
        """
        results: list[tuple[Any, ...]] = []
        if self._near:
            near = _evaluate(self._near, positions, self._structure, self._listed, ends)
            results.append(tuple(np.asarray(array) for array in near))
        if self.shared and box is not None and self._numbers is not None:
            results.append(self.shared.evaluate(positions, self._numbers, self._listed, self._own, box))
        energy, sites, forces, strain = (sum(arrays[1:], arrays[0]) for arrays in zip(*results, strict=True))
        return float(energy), sites, forces, strain

    def virials(self, positions: np.ndarray) -> np.ndarray:
        """W_j = -sum_i r_ij (x) dE_i/dr_ij, (n, 3, 3) eV: of the atom that is moved, as heat fluxes need them."""
        return np.asarray(_virials(self.potential, positions, self._structure, self._listed))

    def site_deviations(self, positions: np.ndarray) -> np.ndarray:
        """Standard deviations of site energies, (n,) eV, with the factor of the calibration in the data."""
        posterior, structure = self._checked_posterior(), self._structure.moved(positions)
        if uncertain_terms(posterior) is None:
            parametric, _ = padded_variances(posterior, structure, self._listed)
            return np.sqrt(np.asarray(parametric.energies)) * _factor(posterior, "energy")
        return np.sqrt(np.asarray(site_variance(posterior, inverses_of(posterior), structure, self._listed).sites))

    def force_deviations(self, positions: np.ndarray) -> np.ndarray:
        """Standard deviations of the components of forces, (n, 3) eV/A, with the factor of the calibration in the data.

        Right for atoms whose neighbours have rows.
        """
        posterior, structure = self._checked_posterior(), self._structure.moved(positions)
        # All rows count: forces on the rank's atoms come from energies of those around, too.
        parts = padded_variances(posterior, structure, self._wide)
        forces = sum(np.asarray(part.forces) for part in parts if part is not None)
        return np.sqrt(forces) * _factor(posterior, "forces")

    def _checked_posterior(self):
        if self.posterior is None:
            raise DataError(f"{self.potential!r} has no error bars: give a posterior")
        return self.posterior


def _by_rows(term):
    """Whether a term is known by the rows of atoms that are not too far."""
    return (term.local or isinstance(term, MessagePassing)) and not has_plan(term) and math.isfinite(term.reach)


def _factor(posterior, kind):
    """Factor of a calibration, for what is like its data."""
    return Inflation.of(posterior).factors.get(kind, 1.0)


def numbers_of(elements: Sequence[str]) -> np.ndarray:
    """Atomic number of each atom type, 0 for NULL.

    Raises:
        DataError: no element, or none but NULL.
    """
    strange = [name for name in elements if name not in (*SYMBOLS[1:], "NULL")]
    if strange or set(elements) == {"NULL"}:
        raise DataError(f"expected an element for each atom type (or NULL), got {' '.join(elements)}")
    return np.array([0 if name == "NULL" else atomic_number(name) for name in elements], np.int32)


def check_finite(energy: float, forces: np.ndarray) -> None:
    """Refuse numbers that are none."""
    if not (np.isfinite(energy) and np.isfinite(forces.sum())):
        raise SimulationError("energy or forces are not finite: two atoms are at one point, or the run has broken")


def _evaluate(near, positions, structure, listed, ends):
    pairs = [(part.factor, part.potential) for part in near]
    return _of_edges(pairs, positions, structure, listed, ends)


@jax.jit
def _of_edges(pairs, positions, structure, listed, ends):
    make = forces_and_strains if ends is None else _forces_and_strains_at
    arguments = (jnp.asarray(True),) if ends is None else (ends,)
    near = [Part(factor, potential) for factor, potential in pairs]
    return sum_over_edges(make, near, structure.moved(positions), listed, *arguments)


def _forces_and_strains_at(structure: Structure, pairwise: bool, ends: Array) -> EdgeSum:
    """`forces_and_strains`, where dE/dstrain is summed over the vectors that end at some atoms."""
    whole = forces_and_strains(structure, pairwise, jnp.asarray(False))

    def add(forces, graph, site, gradient):
        forces, (site, centers, _) = whole.add(forces, graph, site, gradient)
        taken = jnp.where(ends[graph.others], jnp.stack(gradient), 0.0)
        vectors = jnp.stack([graph.x, graph.y, graph.z])
        return forces, (site, centers, jnp.einsum("amk,bmk->ab", vectors, taken, precision="highest"))

    return EdgeSum(whole.zero, add, whole.total)


@jax.jit
def _virials(potential, positions, structure, listed):
    return sum_over_edges(moved_virials, parts(potential), structure.moved(positions), listed)


def moved_virials(structure: Structure, pairwise: bool) -> EdgeSum:
    """-sum_i r_ij (x) dE_i/dr_ij of each atom j, (n, 3, 3)."""
    def add(virials, graph, site, gradient):
        outer = jnp.stack([graph.x, graph.y, graph.z])[:, None] * jnp.stack(gradient)[None]
        return virials.at[graph.others].add(-jnp.moveaxis(outer, (0, 1), (-2, -1))), None

    return EdgeSum(jnp.zeros((len(structure), 3, 3), structure.positions.dtype), add)
