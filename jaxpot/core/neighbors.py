"""Neighbour lists: who is near whom, exactly, in any cell; and when a list has been outgrown.

A list holds every pair closer than `cutoff + skin` at the reference positions, and remembers its
`reach`: no pair that is *not* in the list was closer than this. After the atoms have moved and the cell
has been deformed, a pair that is missing has a distance of at least

    reach * s_min(A) - 2 max_i |u_i|,

with A the affine map from the reference cell to the present one, s_min its smallest singular value, and
u_i the displacement of atom i beyond A (up to a common translation). As long as this is not below the
range of the potential, the list is exact, whatever has happened; otherwise results are NaN. They are NaN
too if atoms have been added or removed by turning padding into atoms or the reverse.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from vesin import NeighborList

from jaxpot.core import linalg
from jaxpot.core.elements import symbol
from jaxpot.core.precision import is_traced, product, require_concrete
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.errors import CapacityError, DataError, GeometryError, ResourceError
from jaxpot.typing import AnyArray, Array, ArrayLike, PyTree, StructureLike

_MARGIN = 0.01  # A; a list never ends exactly at the cutoff, where the next shell of a crystal may sit
_SEARCH = 0.2  # A; how far beyond the list we look for the nearest pair that is not in it
_COINCIDENT = 1e-4  # A
_MAX_PAIRS = 4e8
_MAX_PARTS = 3e4  # of a cell along one axis: with 1e5 the builder ends the process
_LONGEST = 1e12  # A
_MOST_CELLS = 2**29


@pytree
class Neighbors(Node):
    """Dense rows of neighbours: topology, and the reference against which it is valid.

    Row i belongs to atom `centers[i]`; its k-th neighbour is the image of atom `others[i, k]` shifted by
    the lattice vectors times `shifts[:, i, k]`. Rows are sorted by distance; entries k >= counts[i] are
    empty. Rows with `real` False are copies of a real row that fill an array up to a convenient length. Where all
    images are atoms of their own, `shifts` is (3, m, 0).
    """

    centers: jax.Array  # (m,) int
    others: jax.Array  # (m, K) int
    shifts: jax.Array  # (3, m, K) small int
    counts: jax.Array  # (m,) int
    real: jax.Array  # (m,) bool
    reach: jax.Array  # () A
    positions: jax.Array  # (n, 3) A, when the list was built
    cell: jax.Array  # (3, 3) A, when the list was built
    inverse: jax.Array  # (3, 3), pseudo-inverse of the periodic rows of that cell
    atoms: jax.Array  # (n,) bool, which entries were atoms and not padding
    inner_reach: jax.Array  # (t,) A, the reach of the first places of the rows, for each of `inner`
    plans: tuple = ()  # what addends of a potential have prepared on the host beside the list (`Potential.plan`)
    counted: jax.Array | None = None  # (m,) bool, rows whose atoms have an energy; None: all that are real
    filled: jax.Array | None = None  # () int, rows that are looked at, which come first (`scan_chunks`); None: all
    cutoff: float = static(default=0.0)
    skin: float = static(default=0.0)
    pbc: tuple[bool, bool, bool] = static(default=(True, True, True))
    inner: tuple = static(default=())  # (cutoff, places): neighbours within a shorter cutoff are in the first places

    @property
    def capacity(self) -> int:
        """Number of neighbours that a row can hold."""
        return self.others.shape[1]

    @property
    def radius(self) -> float:
        """cutoff + skin, A."""
        return self.cutoff + self.skin

    def plan(self, k: Any) -> PyTree:
        """The plan of the k-th addend of a potential, None if it has none."""
        return self.plans[k] if self.plans else None

    def of_addend(self, k: int | None) -> Self:
        """The list for the k-th addend of a potential alone, with its plan."""
        return self.replace(plans=self.plans[k : k + 1]) if self.plans and k is not None else self.replace(plans=())

    def places(self, cutoff: float) -> int:
        """Number of places of each row that hold all neighbours within a cutoff."""
        return min((places for inner, places in self.inner if inner >= cutoff), default=self.capacity)

    def first(self, places: int) -> Self:
        """The same list in shorter rows: their first places."""
        if places >= self.capacity:
            return self
        counts = jnp.minimum(self.counts, places).astype(self.counts.dtype)
        return self.replace(others=self.others[:, :places], shifts=self.shifts[:, :, :places], counts=counts)

    def in_rows_of(self, capacity: int) -> Self:
        """The same list in longer rows (NumPy); the empty places are at their ends.

        Raises:
            CapacityError: a row holds more.
        """
        most = int(np.max(self.counts, initial=0))
        if most > capacity:
            raise CapacityError(f"capacity is {capacity} neighbours a row, but one atom has {most}")
        others, shifts, more = np.asarray(self.others), np.asarray(self.shifts), capacity - self.capacity
        if more <= 0:
            others, shifts = others[:, :capacity], shifts[:, :, :capacity]
        else:
            fill = np.repeat(np.asarray(self.centers)[:, None], more, axis=1)
            others = np.concatenate([others, fill.astype(others.dtype)], axis=1)
            shifts = np.concatenate([shifts, np.zeros((*shifts.shape[:2], more), shifts.dtype)], axis=2)
        return self.replace(others=others, shifts=shifts)

    def covers(self, structure: Structure, extent: float | Array) -> Array:
        """Whether the list, and its plans, hold every pair within `extent` (A) of the present structure; () bool."""
        cell = jax.lax.stop_gradient(structure.cell)
        positions = jax.lax.stop_gradient(structure.positions)
        known = (self, extent, positions, cell, structure.numbers)
        if is_traced(*known):
            covered = _covers(jnp, product, linalg.eigh, *known)
        else:  # in NumPy: operation by operation JAX would compile twenty small programs for every size
            covered = _covers(np, np.matmul, np.linalg.eigh, *jax.tree.map(np.asarray, known))
        for plan in self.plans:
            if hasattr(plan, "covers"):
                covered = covered & plan.covers(structure.moved(positions, cell))
        return covered


def _covers(xp, product, eigh, listed, extent, positions, cell, numbers):
    """`Neighbors.covers` with the functions of NumPy or of JAX."""
    present = numbers > 0
    atom = present[:, None]
    affine = xp.eye(3, dtype=cell.dtype) + product(listed.inverse, cell - listed.cell)
    drift = xp.where(atom, positions - product(listed.positions, affine), 0.0)
    drift = xp.where(atom, drift - drift.sum(0) / xp.maximum(atom.sum(), 1), 0.0)
    moved = xp.sqrt(xp.max(xp.sum(drift * drift, axis=1), initial=0.0))
    stretch = xp.sqrt(xp.maximum(eigh(product(affine, affine.T))[0][0], 0.0))
    enough = listed.reach * stretch - 2.0 * moved >= extent
    for k, (cutoff, _) in enumerate(listed.inner):
        enough = enough & (listed.inner_reach[k] * stretch - 2.0 * moved >= cutoff)
    return enough & xp.all(present == listed.atoms)


def neighbors(
    structure: StructureLike,
    cutoff: float,
    skin: float = 0.0,
    capacity: int | None = None,
    rows: int | None = None,
    inner: Sequence[float] = (),
) -> Neighbors:
    """Every pair of atoms closer than `cutoff + skin`, found on the host.

    Exact for any cell: thinner than the cutoff, sheared, left-handed, partly periodic (the vectors of
    open axes are ignored), atoms far outside the cell.

    Args:
        structure: `Structure` or `ase.Atoms`, with concrete values (not under jit).
        cutoff: A; usually `potential.cutoff`.
        skin: A; the list stays valid while pairs come closer by less than this.
        capacity: neighbours per row; by default the largest count, rounded up a little so that similar
            structures share one compiled program.
        rows: number of rows; by default one per atom.
        inner: shorter cutoffs, A: of sums with short-ranged terms, which then look at the first places of the rows
            only (`potentials.terms.inner_cutoffs`).

    Returns:
        `Neighbors`.

    Raises:
        GeometryError: periodic vectors without volume, or two atoms at one point.
        CapacityError: `capacity` or `rows` given and too small.
        ResourceError: the list would be absurdly long.
    """
    # All at once: each transfer costs more than the search for neighbours in a small crystal.
    return jax.device_put(find_neighbors(structure, cutoff, skin, capacity, rows, inner))


def find_neighbors(
    structure: StructureLike,
    cutoff: float,
    skin: float = 0.0,
    capacity: int | None = None,
    rows: int | None = None,
    inner: Sequence[float] = (),
) -> Neighbors:
    """The list that `neighbors` gives, in NumPy arrays: what is used once is not worth a transfer of its own."""
    structure = Structure.of(structure)
    if cutoff is None or not np.isfinite(cutoff) or cutoff < 0 or not np.isfinite(skin) or skin < 0:
        raise DataError(f"cutoff and skin must be finite and not negative, in A; got cutoff={cutoff}, skin={skin}")
    remedy = (
        "build the list outside of jit/vmap and pass it as `neighbors`. A structure that depends on nothing traced is "
        "to be made outside, or with NumPy: under jit, jax.numpy traces what it makes of known numbers, too"
    )
    positions = require_concrete(structure.positions, "positions", remedy).astype(np.float64)
    cell = require_concrete(structure.cell, "the cell", remedy).astype(np.float64)
    numbers = require_concrete(structure.numbers, "atomic numbers", remedy)
    # Sorted by element: terms of one element find their atoms in few chunks.
    atoms = np.argsort(numbers, kind="stable")[np.count_nonzero(numbers <= 0):].astype(np.int32)
    radius = float(cutoff) + float(skin)

    centers, others, shifts, distances = find_pairs(positions[atoms], cell, structure.pbc, radius)
    _refuse_coincident(atoms, numbers, centers, others, shifts, distances)
    inside = distances <= radius + _MARGIN
    reach = distances[~inside].min(initial=radius + _SEARCH)
    counts = np.bincount(centers[inside], minlength=len(atoms))
    most = int(counts.max(initial=0))
    if capacity is None:
        capacity = round_capacity(most)
    if most > capacity:
        raise CapacityError(f"capacity is {capacity} neighbours a row, but one atom has {most}: give at least {most}")
    rows = max(len(atoms), 1) if rows is None else rows
    if rows < len(atoms):
        raise CapacityError(f"{rows} rows were asked for, but there are {len(atoms)} atoms")
    real = np.arange(rows if len(numbers) else 0) < len(atoms)
    if not len(atoms):  # a row of nothing, about the first place of padding
        atoms, counts = np.zeros(1, np.int32), np.zeros(1, int)
    order = _by_distance(centers, distances, inside, counts)
    centers, others, shifts, distances = centers[order], others[order], shifts[order], distances[order]
    del order
    column = (np.arange(len(centers)) - np.repeat(np.cumsum(counts) - counts, counts)).astype(np.int32)
    places = tuple((float(c), _places(column, distances, float(c) + float(skin), capacity)) for c in inner)
    inner_reach = [distances[column >= count].min(initial=reach) for _, count in places]
    others, shifts = _rows(column, capacity, centers, atoms[others], shifts, atoms)
    take = np.minimum(np.arange(len(real)), len(atoms) - 1)

    dtype = structure.positions.dtype
    arrays = {
        "centers": atoms[take].astype(np.int32),
        "others": others[take].astype(np.int32),
        "shifts": shifts[:, take],
        "counts": counts[take].astype(np.int32),
        "real": real,
        "reach": np.asarray(reach, dtype),
        "inner_reach": np.array(inner_reach, dtype),
        "positions": positions.astype(dtype),
        "cell": cell.astype(dtype),
        "inverse": _pseudo_inverse(cell, structure.pbc).astype(dtype),
        "atoms": numbers > 0,
    }
    return Neighbors(**arrays, cutoff=float(cutoff), skin=float(skin), pbc=structure.pbc, inner=places)


def open_neighbors(
    structures: Structure, cutoff: float, inner: Sequence[float], round_up: Callable[[int], int]
) -> Neighbors:
    """Lists of many open structures of one size at once, stacked (NumPy): all pairs are looked at.

    Args:
        structures: stacked, an axis in front of each array; padding stands behind the atoms.
        cutoff: A.
        inner: shorter cutoffs, A.
        round_up: number of neighbours -> length of rows.

    Raises:
        GeometryError: two atoms at one point.
    """
    positions = np.asarray(structures.positions)
    if not np.isfinite(positions).all():
        raise DataError("positions: not all numbers are finite")
    count, n, _ = positions.shape
    atoms = np.asarray(structures.numbers) > 0
    between = positions[:, None, :, :] - positions[:, :, None, :]
    distances = np.sqrt(np.einsum("mijk,mijk->mij", between, between))
    pairs = atoms[:, :, None] & atoms[:, None, :] & ~np.eye(n, dtype=bool)
    distances = np.where(pairs, distances, np.inf)
    if distances.min(initial=np.inf) < _COINCIDENT:
        first = int(np.argmin(distances.min((1, 2))))
        find_neighbors(jax.tree.map(lambda a: a[first], structures), cutoff)  # says which atoms
    order = np.argsort(distances, axis=2, kind="stable")
    nearest = np.take_along_axis(distances, order, 2)
    inside = nearest <= cutoff + _MARGIN
    counts = inside.sum(2)
    capacity = round_up(max(int(counts.max(initial=0)), 1))
    places = [int((nearest <= within + _MARGIN).sum(2).max(initial=0)) for within in inner]
    inner_places = tuple(
        (float(within), min(round_up(max(most, 1)), capacity)) for within, most in zip(inner, places, strict=True)
    )
    centers = np.broadcast_to(np.arange(n), (count, n))
    column = np.arange(capacity)
    longer = np.concatenate([order, np.zeros((count, n, max(0, capacity - n)), order.dtype)], axis=2)[:, :, :capacity]
    others = np.where(column < counts[:, :, None], longer, centers[:, :, None])
    beyond = np.where(inside, np.inf, nearest).min((1, 2), initial=cutoff + _SEARCH)
    inner_reach = [
        np.where(np.arange(n) >= most, nearest, np.inf).min((1, 2), initial=cutoff + _SEARCH)
        for _, most in inner_places
    ]
    dtype = positions.dtype
    arrays: dict[str, Any] = {
        "centers": np.ascontiguousarray(centers, np.int32), "others": others.astype(np.int32),
        "shifts": np.zeros((count, 3, n, 0), np.int8), "counts": counts.astype(np.int32), "real": atoms,
        "reach": beyond.astype(dtype), "positions": positions, "cell": np.asarray(structures.cell),
        "inverse": np.zeros((count, 3, 3), dtype), "atoms": atoms,
        "inner_reach": np.array(inner_reach, dtype).reshape(len(inner), count).T,
    }
    return Neighbors(**arrays, cutoff=float(cutoff), skin=0.0, pbc=structures.pbc, inner=inner_places)


def round_capacity(count: int) -> int:
    """A row length a little above `count`, from a ladder that keeps the number of programs small."""
    step = 4 if count <= 64 else 8 if count <= 128 else 16 * max(1, count // 256)
    return max(4, -(-count // step) * step)


def periodic_cell(cell: AnyArray, pbc: ArrayLike) -> np.ndarray:
    """The cell with the vectors of open axes replaced by unit vectors normal to the periodic ones (NumPy)."""
    pbc = np.asarray(pbc)
    full = np.array(cell, dtype=np.float64)
    if pbc.all():
        return full
    # The null space of the periodic rows is spanned by the last right singular vectors.
    periodic = full[pbc]
    normals = np.linalg.svd(periodic, full_matrices=True)[2][len(periodic):] if len(periodic) else np.eye(3)
    full[~pbc] = normals
    return full


def _pseudo_inverse(cell, pbc):
    inverse = np.zeros((3, 3))
    periodic = np.asarray(pbc)
    if periodic.all():
        return np.linalg.inv(cell)  # a fifth of the time of the other
    if periodic.any():
        inverse[:, periodic] = np.linalg.pinv(np.asarray(cell)[periodic])
    return inverse


def find_pairs(
    positions: np.ndarray, cell: np.ndarray, pbc: Sequence[bool], radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All ordered pairs closer than radius + a margin (NumPy): centers, others, integer shifts, distances.

    Args:
        positions: (n, 3) A; cell: (3, 3) A; pbc: three booleans; radius: A.

    Raises:
        GeometryError: periodic vectors without volume.
        ResourceError: the list would be absurdly long.
    """
    box = periodic_cell(cell, pbc)
    lengths = np.linalg.norm(box, axis=1)
    volume = abs(np.linalg.det(box))
    if volume <= 1e-10 * np.prod(np.maximum(lengths, 1e-300)) or not np.isfinite(volume):
        raise GeometryError(
            f"the periodic cell has no volume: vectors {np.asarray(cell)[np.asarray(pbc)].tolist()}; "
            "expected linearly independent vectors in A (set pbc to False along open axes)"
        )
    if len(positions) == 0:
        return np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 3), np.int32), np.zeros(0)
    open_axes, inverse = ~np.asarray(pbc), np.linalg.inv(box)
    places = positions @ inverse
    heights = np.where(open_axes, np.ptp(places, axis=0), 1.0 / np.linalg.norm(inverse, axis=0))  # A
    search = max(radius + _SEARCH, heights.max() / _MAX_PARTS)
    if all(open_axes):
        search = min(search, heights.sum() + _SEARCH)
    _refuse_too_long(len(positions), heights, open_axes, volume, search)
    # The builder is given atoms inside the cell: far outside, it spends its time on empty space. Along open axes the
    # cell is so long that no image is seen: without any, it would look for images all the same.
    home = np.where(open_axes, 0.0, np.floor(places))
    least = np.where(open_axes, places.min(0) - min(0.1 * search, 1.0), 0.0)
    long = np.ones(3)
    long[open_axes] = heights[open_axes] + 1.2 * search
    _refuse_far(home)
    home = home.astype(np.int32)  # a million atoms have 10^8 pairs
    finder = NeighborList(cutoff=search, full_list=True, sorted=False)
    # The builder's own arrays, which go with it: these are copies.
    inside = positions - (home + least) @ box
    i, j, s, d = finder.compute(inside, long[:, None] * box, True, "ijSd", copy=False)
    i, j, s, d = i.astype(np.int32), j.astype(np.int32), s.astype(np.int32), np.array(d)
    del finder
    s += home[i]
    s -= home[j]
    return i, j, s, d


def _refuse_too_long(count, heights, open_axes, volume, search):
    """Refuse lists that no memory holds: count atoms within `volume`, A^3, A^2 or A along the periodic axes."""
    if max(search, heights.max()) > _LONGEST:
        raise ResourceError(f"a structure {heights.max():.1e} A long, a range of {search:.1e} A: check the units")
    axes = np.count_nonzero(~open_axes)
    ball = (1.0, 2.0 * search, 3.15 * search**2, 4.19 * search**3)[axes]
    expected = count**2 * ball / volume * np.prod(2.0 * search / np.maximum(heights[open_axes], 2.0 * search))
    if expected > _MAX_PAIRS:
        place = ("", f" in {volume:.3g} A", f" in {volume:.3g} A^2", f" in {volume:.3g} A^3")[axes]
        raise ResourceError(
            f"a list of about {expected:.1e} pairs is beyond the limit of {_MAX_PAIRS:.0e}: {count} atoms{place} with "
            f"a range of {search:.3g} A; check the units"
        )


def _refuse_far(home):
    """Refuse atoms so many cells away that 32 bits do not hold the difference of two of them."""
    far = np.abs(home).max()
    if far >= _MOST_CELLS:
        raise GeometryError(
            f"an atom is {far:.1e} cells away from the cell of the structure: move it there (`atoms.wrap()` in ASE), "
            "or check the units"
        )


def _refuse_coincident(atoms, numbers, centers, others, shifts, distances):
    if len(distances) and distances.min() < _COINCIDENT:
        k = int(distances.argmin())
        a, b = int(atoms[centers[k]]), int(atoms[others[k]])
        image = "" if not shifts[k].any() else f" (image {shifts[k].tolist()})"
        raise GeometryError(
            f"atoms {a} ({symbol(int(numbers[a]))}) and {b} ({symbol(int(numbers[b]))}){image} are "
            f"{distances[k]:.2e} A apart: no potential has a value there; remove one of them or check the units"
        )


def _places(column, distances, radius, capacity):
    """Number of first places that hold every pair within a radius."""
    most = int(column[distances <= radius + _MARGIN].max(initial=-1)) + 1
    return min(round_capacity(most), capacity)


def _by_distance(centers, distances, inside, counts):
    """Indices of the pairs that are `inside`, those of one atom together and its nearest first.

    Sorting in dense rows takes a fifth of the time of sorting all pairs by two keys.
    """
    order = np.flatnonzero(inside)
    order = order[np.argsort(centers[order], kind="stable")]
    filled = np.arange(counts.max(initial=0)) < counts[:, None]
    rows = np.full(filled.shape, np.inf)
    rows[filled] = distances[order]
    starts = (np.cumsum(counts) - counts)[:, None]
    return order[(starts + np.argsort(rows, axis=1, kind="stable"))[filled]]


def _rows(column, capacity, centers, others, shifts, fill):
    """Pairs to dense rows: others (n, K), shifts (3, n, K); empty places hold `fill` (n,)."""
    limit = np.abs(shifts).max(initial=0)
    small = np.int8 if limit < 128 else np.int16 if limit < 32768 else np.int32
    row_others = np.repeat(fill[:, None], capacity, axis=1)
    row_shifts = np.zeros((3, len(fill), capacity), dtype=small)
    row_others[centers, column] = others
    row_shifts[:, centers, column] = shifts.T
    return row_others, row_shifts
