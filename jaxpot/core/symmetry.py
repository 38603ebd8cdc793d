"""Symmetry of crystals: space groups, invariant displacements and strains, reduced meshes of wave vectors.

The only door to spglib. What spglib makes of a crystal is taken as a list of operations, fractional
coordinates f -> W f + t with integer W; everything else (permutations of atoms, projections, meshes) is done
here in a few lines of integer arithmetic. Symmetry saves work, it is never needed for a result: where none is
found, the identity alone is the honest answer.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import jax.numpy as jnp
import numpy as np
import spglib
from scipy.spatial import cKDTree

from jaxpot.core import linalg
from jaxpot.core.data import BONDS
from jaxpot.core.precision import is_traced, require_concrete
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, GeometryError
from jaxpot.typing import AnyArray, Mesh, StructureLike

# Recent versions of spglib raise where older ones return None; both mean "no symmetry found".
_Refusal = getattr(spglib, "SpglibError", ())


@dataclass(frozen=True, eq=False)
class Symmetry:
    """The operations that map a crystal on itself; made by `space_group`.

    Fields:
        number: of the space group, 1 to 230.
        international: its short symbol, "Fd-3m".
        rotations: (m, 3, 3) integers W of f -> W f + t; in a supercell every lattice translation counts.
        translations: (m, 3) fractional t.
        equivalent_atoms: (n,) the first atom of the orbit of each.
        cell: (3, 3) A, lattice vectors in rows.
        conventional: (3, 3) the vectors of the conventional cell in rows, in units of the lattice vectors.
        fractional: (n, 3) the positions for which the operations were found.
    """

    number: int
    international: str
    rotations: np.ndarray
    translations: np.ndarray
    equivalent_atoms: np.ndarray
    cell: np.ndarray
    conventional: np.ndarray
    fractional: np.ndarray = field(repr=False)

    @cached_property
    def cartesian(self) -> np.ndarray:
        """(m, 3, 3) the rotations of Cartesian row vectors: v -> v R, R = A^-1 W^T A with the cell A."""
        if len(self.rotations) == 1:
            return np.eye(3)[None]  # also where the cell has no inverse
        return np.linalg.inv(self.cell) @ np.swapaxes(self.rotations, 1, 2) @ self.cell

    @cached_property
    def sources(self) -> np.ndarray:
        """(m, n) which atom each operation puts in the place of each atom.

        Raises:
            GeometryError: an operation is none of this structure (no case is known).
        """
        n = len(self.fractional)
        if len(self.rotations) == 1:
            return np.arange(n)[None]
        tree = cKDTree(_wrapped(self.fractional), boxsize=1.0)
        sources = np.empty((len(self.rotations), n), int)
        for k, (rotation, translation) in enumerate(zip(self.rotations, self.translations, strict=True)):
            _, places = tree.query(_wrapped(self.fractional @ rotation.T + translation))
            if len(np.unique(places)) != n:
                raise GeometryError(
                    f"operation {k} of space group {self.number} ({self.international}) does not permute the "
                    "atoms: pass a smaller symprec"
                )
            sources[k, places] = np.arange(n)
        return sources

    def symmetrize_vectors(self, vectors: AnyArray) -> AnyArray:
        """Project one vector per atom (displacements, forces) on the part that every operation keeps.

        u_j = mean over operations of u_i R, where the operation takes atom i to j.

        Args:
            vectors: (n, 3) Cartesian; may be traced.

        Returns:
            (n, 3) the invariant part. A crystal that moves along it keeps its space group.
        """
        xp = jnp if is_traced(vectors) else np
        moved = xp.einsum("kix,kxy->iy", xp.asarray(vectors)[self.sources], self.cartesian)
        return moved / len(self.rotations)

    def symmetrize_tensor(self, tensor: AnyArray) -> AnyArray:
        """Project a tensor (strain, stress) on the part that every operation keeps, the mean of R^T T R.

        Args:
            tensor: (3, 3) Cartesian; may be traced.

        Returns:
            (3, 3) the invariant part.
        """
        xp = jnp if is_traced(tensor) else np
        moved = xp.einsum("kxi,xy,kyj->ij", self.cartesian, xp.asarray(tensor), self.cartesian)
        return moved / len(self.rotations)

    def symmetrize_positions(self, positions: AnyArray, cell: AnyArray | None = None) -> AnyArray:
        """Move atoms that are a little off their symmetric places (by less than symprec) onto them.

        Args:
            positions: (n, 3) A; may be traced.
            cell: (3, 3) A, by default that of the structure; give it when it has been strained since.

        Returns:
            (n, 3) A, invariant to rounding.
        """
        positions = jnp.asarray(positions)
        cell = jnp.asarray(self.cell if cell is None else cell)
        if len(self.rotations) == 1:
            return positions
        fractional = positions @ linalg.inverse(cell)
        images = jnp.einsum("kix,kyx->kiy", fractional[self.sources], self.rotations)
        offsets = images + self.translations[:, None] - fractional
        return positions + jnp.mean(offsets - jnp.round(offsets), axis=0) @ cell


def space_group(structure: StructureLike, symprec: float = 1e-5, mirrors: bool = True) -> Symmetry:
    """The symmetry of a crystal, in its given cell (primitive or not, right- or left-handed).

    Atoms count as equal when number, mass and their data are. Where a structure is not periodic along all three axes,
    has data with directions (a vector for each atom, an electric field), or spglib finds nothing, the record holds the
    identity alone.

    Args:
        structure: `Structure` or `ase.Atoms`; it may be differentiated, but not traced.
        symprec: how far (A) atoms may be from the places where symmetry wants them.
        mirrors: whether mirror images count as equal, see `Potential.mirrors`; otherwise inversions, reflections and
            what contains them are left out.

    Returns:
        `Symmetry`.

    Raises:
        DataError: called under jit or vmap.
    """
    structure = Structure.of(structure)
    positions, cell, numbers, masses, *more = (
        require_concrete(array, "the structure", "find the symmetry outside of jit and pass it in")
        for array in (
            structure.positions,
            structure.cell,
            structure.numbers,
            structure.masses,
            *structure.atom_data.values(),
        )
    )
    n = len(numbers)
    cell = cell.astype(np.float64)
    volume, scale = abs(np.linalg.det(cell)), np.prod(np.linalg.norm(cell, axis=1))
    atoms = np.flatnonzero(numbers)  # the others are padding
    if not all(structure.pbc) or volume <= 1e-12 * scale or not len(atoms) or _has_directions(structure):
        return _identity(cell, np.zeros((n, 3)))
    fractional = np.linalg.solve(cell.T, positions.astype(np.float64).T).T
    columns = [np.reshape(array, (n, -1)) for array in (numbers, masses, *more)]
    _, kinds = np.unique(np.hstack(columns), axis=0, return_inverse=True)
    # In a left-handed cell the same crystal is described by the negative vectors, which are right-handed.
    hand = np.sign(np.linalg.det(cell))
    dataset = _dataset((hand * cell, hand * fractional[atoms], kinds.reshape(n)[atoms]), symprec)
    if dataset is None:
        return _identity(cell, fractional)
    equivalent = np.arange(n)
    equivalent[atoms] = atoms[dataset.equivalent_atoms]
    rotations = np.asarray(dataset.rotations, int)
    allowed = np.full(len(rotations), True) if mirrors else np.linalg.det(rotations) > 0.0
    return Symmetry(
        number=int(dataset.number),
        international=str(dataset.international),
        rotations=rotations[allowed],
        translations=hand * np.asarray(dataset.translations, float)[allowed],
        equivalent_atoms=equivalent,
        cell=cell,
        conventional=hand * np.linalg.inv(dataset.transformation_matrix).T,
        fractional=fractional,
    )


def _has_directions(structure):
    """Whether data turn with the crystal: vectors or tensors of atoms, or of the system (bonds are none)."""
    of_system = (array for name, array in structure.system_data.items() if name != BONDS)
    return any(np.ndim(a) > 1 for a in structure.atom_data.values()) or any(np.ndim(a) > 0 for a in of_system)


def full_mesh(mesh: Mesh, shift: bool | Sequence[bool] = False) -> tuple[np.ndarray, np.ndarray]:
    """Every point of a regular mesh of wave vectors, with equal weights.

    q = (i + s/2) / N along each axis, s = 1 where shifted; without a shift Gamma is a point of the mesh.

    Args:
        mesh: number of points along the three reciprocal vectors, three integers or one for all.
        shift: whether the mesh is moved by half a step, one or three booleans.

    Returns:
        (nq, 3) fractional q with components in (-1/2, 1/2], and (nq,) weights summing to 1.
    """
    mesh, shift = _checked(mesh, shift)
    addresses = _addresses(mesh, shift)
    return _q_points(addresses, mesh), np.full(len(addresses), 1.0 / len(addresses))


def reduced_mesh(
    structure: StructureLike, mesh: Mesh, shift: bool | Sequence[bool] = False, symprec: float = 1e-5,
    mirrors: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """The points of a regular mesh that symmetry and time reversal do not relate to each other.

    The average of any function with f(q) = f(W^-T q) = f(-q), such as a trace of a function of D(q), is
    sum_q weight_q f(q), the same as over `full_mesh`. Operations that do not map the mesh on itself (unequal
    or shifted meshes) are not used.

    Args:
        structure: `Structure` or `ase.Atoms`; it may be differentiated, but not traced.
        mesh: number of points along the reciprocal vectors, three integers or one for all; 1 along open axes.
        shift: whether the mesh is moved by half a step, one or three booleans; Gamma-centred by default.
        symprec, mirrors: as of `space_group`.

    Returns:
        (nq, 3) fractional q with components in (-1/2, 1/2], and (nq,) weights summing to 1.

    Raises:
        DataError: a mesh that is not three positive integers, or with more than one point along an open axis.
    """
    points, shifts = _checked(mesh, shift)
    structure = Structure.of(structure)
    for axis, periodic in enumerate(structure.pbc):
        if not periodic and (points[axis] > 1 or shifts[axis]):
            raise DataError(f"mesh {points.tolist()}: axis {axis} is not periodic, its only wave vector is 0")
    addresses = _addresses(points, shifts)
    lowest = _lowest_images(addresses, space_group(structure, symprec, mirrors).rotations, points, shifts)
    first, counts = np.unique(lowest, return_counts=True)
    return _q_points(addresses[first], points), counts / len(addresses)


def _lowest_images(addresses, rotations, points, shifts):
    """The first point of the mesh that rotations and time reversal make of each one.

    Generators of the group are enough, applied until nothing changes: three or four in place of up to 96 operations.
    """
    lowest = np.arange(len(addresses))
    generators = _generators(rotations, points, shifts)
    images = [_image_indices(addresses, rotation, points, shifts) for rotation in generators]
    changed = True
    while changed:
        changed = False
        for image in images:
            smaller = np.minimum(lowest, lowest[image])
            changed = changed or bool((smaller != lowest).any())
            lowest = smaller
    return lowest


def _generators(rotations, points, shifts):
    """Operations that keep a mesh, and generate all of those that do, with time reversal (-1)."""
    few = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3) * 2 + shifts  # they tell for the mesh
    keep = [
        operation for rotation in np.unique(rotations, axis=0) for operation in (rotation, -rotation)
        if _image_indices(few, operation, points, shifts) is not None
    ]
    generators: list[np.ndarray] = []
    reached = {np.eye(3, dtype=int).tobytes()}
    for operation in keep:
        operation = np.ascontiguousarray(operation, int)
        if operation.tobytes() in reached:
            continue
        generators.append(operation)
        reached = _closure(generators)
    return generators


def _closure(generators):
    """The group that some operations generate, as a set of the bytes of its elements."""
    identity = np.eye(3, dtype=int)
    elements, fresh = {identity.tobytes()}, [identity]
    while fresh:
        products = [np.ascontiguousarray(element @ generator) for element in fresh for generator in generators]
        fresh = []
        for each in products:
            if each.tobytes() not in elements:
                elements.add(each.tobytes())
                fresh.append(each)
    return elements


def mesh_images(mesh: Mesh, rotation: np.ndarray) -> np.ndarray | None:
    """Index of W^T q for each point q of `full_mesh`, or None where one of them is no point of the mesh."""
    points, shifts = _checked(mesh, False)
    return _image_indices(_addresses(points, shifts), rotation, points, shifts)


def _identity(cell, fractional):
    n = len(fractional)
    return Symmetry(1, "P1", np.eye(3, dtype=int)[None], np.zeros((1, 3)), np.arange(n), cell, np.eye(3), fractional)


def _dataset(crystal, symprec):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of how it reports errors: both ways are known
        try:
            return spglib.get_symmetry_dataset(crystal, symprec=symprec)
        except _Refusal:
            return None


def _wrapped(fractional):
    """Fractional coordinates in [0, 1), rounding included."""
    wrapped = fractional - np.floor(fractional)
    return np.where(wrapped >= 1.0, 0.0, wrapped)


# Meshes are in doubled integer addresses a = 2 i + s, with q = a / (2 N), so that images are found exactly.


def _checked(mesh, shift):
    counts = np.asarray(mesh)
    if counts.shape not in ((), (3,)) or counts.dtype.kind not in "iu" or np.any(counts < 1):
        raise DataError(f"mesh: expected three positive integers (or one for all axes), got {mesh!r}")
    shifts = np.asarray(shift)
    if shifts.shape not in ((), (3,)) or shifts.dtype.kind != "b":
        raise DataError(f"shift: expected one or three booleans, got {shift!r}")
    return np.broadcast_to(counts, 3).astype(int), np.broadcast_to(shifts, 3).astype(int)


def _addresses(mesh, shift):
    return 2 * np.stack(np.meshgrid(*map(np.arange, mesh), indexing="ij"), axis=-1).reshape(-1, 3) + shift


def _q_points(addresses, mesh):
    return np.where(addresses > mesh, addresses - 2 * mesh, addresses) / (2.0 * mesh)


def _image_indices(addresses, rotation, mesh, shift):
    """Index in the mesh of W^T q for each q, or None where one of them is no point of the mesh."""
    common = np.lcm.reduce(mesh)
    numerators = (addresses * (common // mesh)) @ rotation * mesh  # of q'_c = sum_b q_b W_bc
    images, rest = np.divmod(numerators, common)
    if np.any(rest) or np.any((images - shift) % 2):
        return None
    return np.ravel_multi_index(tuple(((images - shift) // 2 % mesh).T), mesh)
