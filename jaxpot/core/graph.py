"""From topology to geometry: the neighbour vectors of every atom, and what one atom sees of them."""

from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.elements import SYMBOLS
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.typing import Array, PyTree, Vectors

_BEYOND = 0.05  # A; empty places begin this far beyond the list
_APART = 0.01  # A; and are this far from one another, so that no two neighbours coincide


@pytree
class Environment(Node):
    """One atom and its K neighbours, those within a shorter cutoff of the list first: the input of a local potential.

    Empty places hold distinct points just beyond the list's radius, so a formula needs no mask, only
    its own cutoff (`basis.cutoffs.inside`).
    """

    x: jax.Array  # (K,) A, components of the vectors from the atom to its neighbours
    y: jax.Array
    z: jax.Array
    distances: jax.Array  # (K,) A, never zero
    numbers: jax.Array  # (K,) atomic numbers of the neighbours
    number: jax.Array  # () atomic number of the atom
    inner: tuple = static(default=())  # (cutoff, places): neighbours within a shorter cutoff are in the first places

    def first(self, places: int) -> Self:
        """The same atom with its first neighbours."""
        if places >= self.x.shape[-1]:
            return self
        arrays = ("x", "y", "z", "distances", "numbers")
        return self.replace(**{name: getattr(self, name)[..., :places] for name in arrays})

    def within(self, cutoff: float) -> Self:
        """Cut to the first places: every neighbour within `cutoff`, possibly a few more."""
        return self.first(min((places for inner, places in self.inner if inner >= cutoff), default=self.x.shape[-1]))

    @property
    def vectors(self) -> Vectors:
        """(K, 3) A. Formulas that need components are faster with `x`, `y`, `z`."""
        return jnp.stack([self.x, self.y, self.z], axis=-1)


@pytree
class Graph(Node):
    """The environments of many atoms, and the structure that they belong to: geometry differentiable.

    Rows are those of `Neighbors`: sorted by element, with copies that are not `real`. Models of several hops go from
    rows to atoms by `on_atoms`, and from atoms to the neighbours of each row by `at_neighbors`; nothing else gathers.
    """

    x: jax.Array  # (m, K) A
    y: jax.Array
    z: jax.Array
    distances: jax.Array  # (m, K) A
    filled: jax.Array  # (m, K) bool, False at empty places
    numbers: jax.Array  # (m, K)
    center_numbers: jax.Array  # (m,)
    centers: jax.Array  # (m,)
    others: jax.Array  # (m, K)
    real: jax.Array  # (m,)
    n_atoms: int = static()
    inner: tuple = static(default=())
    structure: Structure = None  # type: ignore[assignment]  # `connect` gives it; environments do not need it
    plan: Any = None  # what the potential has prepared on the host (`Potential.plan`)

    def on_atoms(self, rows: PyTree) -> PyTree:
        """Values of rows as values of atoms; zero for atoms without a row (padding).

        Args:
            rows: a tree of arrays (m, ...).

        Returns:
            The tree with arrays (n, ...).
        """
        def one(values):
            real = self.real.reshape(-1, *[1] * (values.ndim - 1))
            zeros = jnp.zeros((self.n_atoms, *values.shape[1:]), values.dtype)
            return zeros.at[self.centers].add(jnp.where(real, values, 0))

        return jax.tree.map(one, rows)

    def at_neighbors(self, nodes: PyTree) -> PyTree:
        """Values of atoms at the neighbours of each row; empty places hold those of the central atom.

        Args:
            nodes: a tree of arrays (n, ...).

        Returns:
            The tree with arrays (m, K, ...).
        """
        return jax.tree.map(lambda values: values[self.others], nodes)

    def from_neighbors(self, edges: PyTree) -> PyTree:
        """Sums of values at neighbours by the atom that each neighbour is: the transpose of `at_neighbors`.

        Args:
            edges: a tree of arrays (m, K, ...).

        Returns:
            The tree with arrays (n, ...).
        """
        def one(values):
            return jnp.zeros((self.n_atoms, *values.shape[2:]), values.dtype).at[self.others].add(values)

        return jax.tree.map(one, edges)

    @property
    def vectors(self) -> Array:
        """(m, K, 3) A."""
        return jnp.stack([self.x, self.y, self.z], axis=-1)

    @property
    def sound(self) -> Array:
        """(m,) 1.0, or NaN where two atoms are at one point: a model's mask `r < cutoff` would drop that pair."""
        nearest = jax.lax.stop_gradient(jnp.min(self.distances, axis=1))
        return jnp.where(nearest > 0.0, 1.0, jnp.nan).astype(self.distances.dtype)

    def environments(self) -> Environment:
        """All environments, batched along the first axis."""
        return Environment(self.x, self.y, self.z, self.distances, self.numbers, self.center_numbers, self.inner)


def connect(structure: Structure, neighbors: Neighbors, plan: PyTree | None = None) -> Graph:
    """The graph of a structure: `r = positions[others] + shifts @ cell - positions[centers]`."""
    return connect_rows(structure, neighbors, row_arrays(neighbors), plan)


def row_arrays(neighbors: Neighbors) -> tuple[Array, ...]:
    """The arrays of a list that have one entry per row, rows first, ready to be cut into blocks."""
    return (neighbors.centers, neighbors.others, *neighbors.shifts, neighbors.counts, neighbors.real)


def connect_rows(
    structure: Structure, neighbors: Neighbors, rows: tuple[Array, ...], plan: PyTree | None = None
) -> Graph:
    """The graph of some rows of a list (see `row_arrays`)."""
    centers, others, *shifts, counts, real = rows
    cell = structure.cell
    place = jax.lax.broadcasted_iota(jnp.int32, others.shape, 1)
    filled = place < counts[:, None]
    shifts = [s.astype(cell.dtype) for s in shifts]
    beyond = neighbors.radius + _BEYOND + _APART * place
    components = []
    for axis in range(3):
        along = structure.positions[:, axis]
        r = along[others] - along[centers][:, None]
        if shifts[0].shape[1]:
            r = r + (shifts[0] * cell[0, axis] + shifts[1] * cell[1, axis] + shifts[2] * cell[2, axis])
        components.append(jnp.where(filled, r, beyond.astype(r.dtype) if axis == 0 else 0.0))
    x, y, z = components
    square = x * x + y * y + z * z
    # Atoms at one point have no energy: NaN here reaches every result, and never a plausible number.
    distances = jnp.sqrt(jnp.where(square > 1e-12, square, jnp.nan))
    numbers = structure.numbers
    return Graph(
        x, y, z, distances, filled, numbers[others], numbers[centers], centers, others, real,
        n_atoms=len(structure), inner=neighbors.inner, structure=structure, plan=plan,
    )


def species_index(species: tuple[int, ...] | None, numbers: Array) -> Array:
    """Position of each atomic number in the tuple `species`; all zero, at no cost, for one species.

    Numbers that are not in the tuple get 0: the framework has refused them before (typed error) or
    turns the result into NaN (under jit).
    """
    if species is None or len(species) <= 1:
        return jnp.zeros_like(numbers)
    table = np.zeros(len(SYMBOLS), np.int32)
    table[list(species)] = np.arange(len(species))
    return jnp.asarray(table).at[numbers].get(mode="promise_in_bounds")


def of_kind(values: Sequence[float], kind: Array, dtype: Any) -> Array | float:
    """Value of each kind, shaped like `kind`; one number, at no cost, where they are all the same."""
    if len(set(values)) == 1:
        return values[0]
    return jnp.asarray(values, dtype).at[kind].get(mode="promise_in_bounds")


def knows(species: tuple[int, ...] | None, numbers: Array) -> Array:
    """() bool: every atom (number > 0) is of a known species; None knows all."""
    if species is None:
        return jnp.asarray(True)
    table = np.zeros(len(SYMBOLS), bool)
    table[[0, *species]] = True
    return jnp.all(jnp.asarray(table)[numbers])
