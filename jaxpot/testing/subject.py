"""What a contract is checked on: the potential, and structures of one padded size made from one."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import check_potential, round_atoms, with_plans
from jaxpot.core.graph import connect
from jaxpot.core.neighbors import Neighbors, round_capacity
from jaxpot.core.neighbors import neighbors as build_neighbors
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.observables import energy, evaluate, hessian_vector_product
from jaxpot.observables.evaluation import Evaluation
from jaxpot.potentials.base import Potential
from jaxpot.typing import AnyArray, Array, DTypeLike, StructureLike

LARGEST = 32  # atoms
_FEW = 4  # atoms; smaller crystals are repeated
SKIN = 0.15  # A
SMOOTH_LEVELS = 8  # of halved steps, along what has no kinks


class NotAsked(Exception):
    """A check that has no meaning for this model or structure."""


# Programs that run a few times only are compiled without optimisation, in a quarter of the time.
quickly = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
_evaluate = jax.jit(evaluate)
evaluate_once = quickly(evaluate)
parameter_gradient = quickly(jax.grad(energy))
evaluate_batch = quickly(jax.vmap(evaluate, in_axes=(None, 0, 0)))
connect_once = quickly(connect)


@quickly
def orders_two_and_three(
    potential: Potential, structure: Structure, neighbors: Neighbors, v: Array, w: Array
) -> tuple[Array, Array]:
    """Hv, and its derivative along w."""

    def along(x):
        return hessian_vector_product(potential, structure.moved(x), v, neighbors)

    return jax.jvp(along, (structure.positions,), (w,))


class Subject:
    """The potential, and structures of one padded size made from the one that was given."""

    def __init__(
        self, potential: Potential, structure: StructureLike, directions: int, seed: int, jump: float = 0.0
    ) -> None:
        check_potential(potential)
        structure = Structure.of(structure)
        if not 1 <= len(structure) <= LARGEST:
            raise DataError(f"expected a structure of 1 to {LARGEST} atoms, got {len(structure)}")
        if any(structure.pbc):  # few atoms are images of one another by inversion, which hides much
            for axis in itertools.cycle(np.flatnonzero(structure.pbc)):
                if len(structure) >= _FEW:
                    break
                structure = structure.repeated(1 + np.eye(3, dtype=int)[axis])
        elif len(structure) == 1:
            raise DataError(
                "expected a crystal, or at least two atoms: a single atom tells nothing about forces"
            )
        self.potential, self.given = jax.tree.map(jnp.asarray, potential), structure  # plain numbers may be parameters
        self.directions, self.jump = directions, jump
        self.rng = np.random.default_rng(seed)
        self.pbc = np.array(structure.pbc)
        self.periodic = bool(self.pbc.all())
        self.size = round_atoms(2 * len(structure) + 1)
        self.interacts = potential.cutoff > 0
        self.capacity = None
        everything = [structure, structure.strained(-0.03 * np.eye(3))]
        lists = [self.list_of(s) for s in everything]
        self.capacity = round_capacity(int(1.2 * max(s.capacity for s in lists)) + 4)
        self.nearest = self._nearest(lists[0])
        self.rattled = self._rattle()
        self.padded, self.listed = self.prepare(self.rattled)
        self.reference = self.evaluate(self.padded, self.listed)
        self.n = len(structure)
        self.e_scale = max(np.abs(self.reference.energies).sum(), 1e-12)
        self.f_scale = max(np.abs(self.reference.forces).max(), 1e-12)
        self.s_scale = max(np.abs(self.reference.stress).max(), 1e-12) if self.periodic else np.nan

    def _nearest(self, listed):
        lengths = np.asarray(connect_once(self.given, listed).distances)[:, 0]
        found = lengths[np.asarray(listed.counts) > 0].min(initial=np.inf)
        cutoff = self.potential.cutoff
        return float(found) if found < cutoff else 0.5 * cutoff if cutoff else 2.0

    def _rattle(self):
        """Atoms displaced and the cell strained; no pair close to the cutoff, where models may jump."""
        best, gap = None, -1.0
        for _ in range(20):
            strain = self.rng.normal(scale=0.01, size=(3, 3))
            moved = self.given.strained(strain if self.pbc.any() else np.zeros((3, 3)))
            kicks = self.rng.normal(scale=0.03 * self.nearest, size=moved.positions.shape)
            moved = moved.moved(np.asarray(moved.positions) + kicks, np.asarray(moved.cell))
            listed = self.list_of(moved, capacity=self.capacity)
            r = np.asarray(connect_once(moved, listed).distances)[np.asarray(listed.real)]
            found = np.abs(r - self.potential.cutoff)[r < self.potential.cutoff + SKIN].min(initial=1.0)
            if found > gap:
                best, gap = moved, found
        return best

    def prepare(self, structure: Structure, dtype: DTypeLike = np.float64) -> tuple[Structure, Neighbors]:
        """The structure padded, and its list, with the shapes of all the others."""
        padded = structure.padded(self.size)
        if dtype != np.float64:
            cast = {k: np.asarray(getattr(padded, k), dtype) for k in ("positions", "cell", "masses")}
            padded = padded.replace(**cast)
        listed = self.list_of(padded, capacity=self.capacity, rows=self.size)
        return padded, listed

    def evaluate(
        self, padded: Structure, listed: Neighbors | None = None, potential: Potential | None = None
    ) -> Evaluation:
        """`Evaluation` in NumPy."""
        if listed is None:
            padded, listed = self.prepare(padded)
        return jax.tree.map(np.asarray, _evaluate(potential or self.potential, padded, listed))

    def cluster(self, positions: AnyArray, numbers: Sequence[int] | np.ndarray) -> Structure:
        """Atoms in vacuum, in a cell so large that no image is seen; where the reach is infinite, without a vacuum."""
        vacuum = 4.0 * self.potential.reach + 20.0 if np.isfinite(self.potential.reach) else self.potential.cutoff
        length = 2.0 * np.abs(positions).max(initial=0.0) + vacuum
        return Structure(
            np.asarray(positions, float), np.eye(3) * length, np.asarray(numbers), pbc=self.given.pbc,
            **self.data_of(numbers),
        )

    def data_of(self, numbers: Sequence[int] | np.ndarray) -> dict[str, Any]:
        """Data of atoms of these elements: those of the first one in the structure as given, zero for padding."""
        elements = np.asarray(self.given.numbers)
        first = [int(np.argmax(elements == z)) for z in numbers]
        real = np.asarray(numbers) > 0
        data = {name: np.asarray(array)[first] for name, array in self.given.atom_data.items()}
        data = {name: array * real.reshape(-1, *[1] * (array.ndim - 1)) for name, array in data.items()}
        return {"atom_data": data, "system_data": self.given.system_data}

    def list_of(self, structure: Structure, skin: float = SKIN, **shape: Any) -> Neighbors:
        """A list of a structure, with what the potential plans beside it."""
        return with_plans(self.potential, structure, build_neighbors(structure, self.potential.cutoff, skin, **shape))

    def direction(self) -> np.ndarray:
        """A random direction in the space of positions, largest component 1, nothing on padding."""
        d = np.zeros((self.size, 3))
        d[: self.n] = self.rng.normal(size=(self.n, 3))
        return d / np.abs(d).max()

    def species(self) -> list[int]:
        """The elements of the structure."""
        return sorted(set(np.asarray(self.given.numbers).tolist()) - {0})

    def difference(self, function: Callable[..., Any], h: float, levels: int | None = None) -> np.ndarray:
        """df/dt at 0 by Richardson-extrapolated central differences (Ridders); smaller steps at kinks."""
        levels = levels or (SMOOTH_LEVELS if self.potential.smoothness >= 3 else 13)
        table: list = []
        best: Any = None
        error = np.inf
        for k in range(levels):
            step = h * 2.0**-k
            row = [(function(step) - function(-step)) / (2.0 * step)]
            for m, previous in enumerate(table):
                row.append(row[m] + (row[m] - previous) / (4.0 ** (m + 1) - 1.0))
                found = np.max(np.abs(row[-1] - row[-2]) + np.abs(row[-1] - previous))
                if found < error:
                    best, error = row[-1], found
            if best is None:
                best = row[0]
            table = row[:4]
        return best


def worse(a: Any, b: Any) -> Any:
    """The larger of two errors; NaN is the largest."""
    return b if not b <= a else a
