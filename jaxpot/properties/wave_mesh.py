"""Dynamical matrices on a mesh of wave vectors from the columns that symmetry does not relate, and between its points.

Force constants Phi_ab(R) of models of several hops fade long before the reach of the model ends. D(q) on a mesh of
N1 x N2 x N3 wave vectors makes them in a supercell of as many cells, and these make D(q) anywhere:

    Phi(R) = 1/N sum_q D(q) exp(-2 pi i q.R),    D(q) = sum_R Phi(R) exp(2 pi i q.R)

exact at the points of the mesh. An operation f -> W f + t of the space group takes atom a into atom a' of cell L_a,
turns displacements by S, and

    D_a'b'(q') = exp(2 pi i q'.(L_b - L_a)) S D_ab(W^T q') S^T,    D(-q) = D(q)*

so a few displacements, at a few wave vectors each, are enough: in diamond one displacement, at one in 16 of them.

References:
    A. Togo, I. Tanaka, Scr. Mater. 108, 1 (2015), for displacements by symmetry; K. Parlinski, Z. Q. Li, Y. Kawazoe,
    Phys. Rev. Lett. 78, 4063 (1997), for the interpolation.
"""

import itertools
import math
import warnings
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.core.symmetry import Symmetry, full_mesh, mesh_images, space_group
from jaxpot.errors import GeometryError, JaxpotWarning
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.properties.coordinates import frozen
from jaxpot.properties.force_constants import ForceConstants, NearestImages, cells_of, nearest_images, of_images
from jaxpot.properties.lattice_waves import responses
from jaxpot.typing import Array

_TOLERANCE = 5e-4  # of the largest element: about 0.002 THz of the highest modes of silicon
_MOST_COLUMNS = 800
_FIRST_THICKNESS = 4.0  # cutoffs, of the supercell of the first mesh that is tried
_DECAY = 2.8  # A, over which force constants of published networks fade by a factor e
_PROBES = 3  # displacements by which errors are measured
_PARALLEL = 1e-6  # of unit vectors
_APART = (0.5, 0.05)  # how much of a unit vector the others must leave over for it to be a direction of its own


@pytree
class WaveMesh(Node):
    """Columns of D(q) to be computed, and how all of D on a mesh follows from them.

    columns: q (c, 3) fractional, moves (c, n, 3) unit displacements of one atom each. Of the mesh (m, 3), for each atom
    b and each of three directions k: which column (m, n, 3), which operation turns it, whether it is conjugated, and
    phases (m, n, 3, n); mixing (m, n, 3, 3) takes the three directions to x, y, z. Of operations: rotations (g, 3, 3)
    of row vectors and sources (g, n).
    """

    q: jax.Array
    moves: jax.Array
    mesh: jax.Array
    column: jax.Array
    operation: jax.Array
    conjugated: jax.Array
    phases: jax.Array
    mixing: jax.Array
    rotations: jax.Array
    sources: jax.Array
    images: NearestImages
    repeats: tuple = static()

    def columns(self, potential: MessagePassing, structure: Structure, listed: Neighbors) -> Array:
        """Compute the columns, (c, n, 3) complex eV/A^2, of a structure that has the symmetry."""
        return responses(potential, structure, listed, self.q, self.moves, jnp.zeros((len(self.q), 3, 3))).changes

    def matrices(self, columns: Array) -> Array:
        """D on the mesh, (m, 3n, 3n), of its computed columns (c, n, 3)."""
        count, n = self.column.shape[:2]
        taken = columns[self.column]  # (m, b, k, a, 3)
        taken = jnp.take_along_axis(taken, self.sources[self.operation][..., None], axis=3)
        taken = jnp.einsum("mbkax,mbkxy->mbkay", taken, self.rotations[self.operation].astype(taken.dtype))
        taken = taken * self.phases[..., None]
        taken = jnp.where(self.conjugated[..., None, None], jnp.conj(taken), taken)
        whole = jnp.einsum("mbkax,mbyk->maxby", taken, self.mixing.astype(taken.dtype))
        whole = whole.reshape(count, 3 * n, 3 * n)
        return 0.5 * (whole + jnp.conj(jnp.swapaxes(whole, 1, 2)))

    def force_constants(self, columns: Array, masses: Array) -> ForceConstants:
        """Force constants to the nearest images in the supercell of the mesh."""
        matrices, n = self.matrices(columns), self.column.shape[1]
        cells = cells_of(self.repeats)
        phase = jnp.exp(-2j * jnp.pi * self.mesh @ cells.T) / len(cells)
        values = jnp.einsum("mR,mab->Rab", phase, matrices).real
        return of_images(values.reshape(-1, n, 3, n, 3), self.images, masses)


def wave_mesh(
    structure: Structure, repeats: Sequence[int], mirrors: bool = True, symmetry: bool = True
) -> WaveMesh:
    """`WaveMesh` of a crystal; made on the host.

    Args:
        structure: concrete, or differentiated.
        repeats: three integers, points of the mesh along the reciprocal vectors.
        mirrors: see `Potential.mirrors`.
        symmetry: whether that of the structure is used; strains that break it must not meet it.
    """
    with jax.ensure_compile_time_eval():  # the structure is known, also under jit over the potential
        structure = frozen(structure)
        group = space_group(structure, mirrors=mirrors)
    mesh = full_mesh(repeats)[0]
    operations = _Operations(group, np.asarray(repeats), symmetry)
    columns = [
        (q, atom, direction)
        for atom in operations.first_atoms
        for direction, waves in _displacements(operations, atom)
        for q in waves
    ]
    images = nearest_images(structure, repeats)
    return _plan(operations, mesh, columns, images, tuple(int(r) for r in repeats))


def converged_mesh(
    potential: MessagePassing, structure: Structure, listed: Neighbors, waves: int, symmetry: bool = True
) -> tuple[WaveMesh | None, Array | None]:
    """The mesh between whose points D(q) is interpolated with errors of at most 5e-4 of its largest element.

    Errors are measured: three random displacements, at wave vectors as far as can be from the points of the mesh, are
    carried through the hops and compared. Meshes grow until they agree, or need 800 columns: a warning says then how
    far off they are.

    Args:
        potential: concrete, like the structure and its list.
        waves: how many wave vectors will be asked for: a mesh with more columns than these have is none.
        symmetry: see `wave_mesh`.

    Returns:
        The mesh and its columns, see `WaveMesh.columns`; None and None where the columns of these wave vectors cost no
        more.
    """
    heights = 1.0 / np.linalg.norm(np.linalg.inv(np.asarray(structure.cell)), axis=0)
    budget = 3 * len(structure) * waves
    thickness, best = min(_FIRST_THICKNESS * potential.cutoff, 1.2 * potential.reach), None
    while thickness < 2.0 * potential.reach:
        repeats = np.maximum(np.ceil(thickness / heights - 1e-6).astype(int), 1)
        mesh = wave_mesh(structure, repeats, potential.mirrors, symmetry)
        if len(mesh.q) + _PROBES > (budget if best is None else min(budget, _MOST_COLUMNS)):
            break
        columns, error = _columns_and_error(mesh, potential, structure, listed)
        best, budget = (mesh, columns, error), budget - len(mesh.q) - _PROBES
        if error < _TOLERANCE:
            return mesh, columns
        thickness = max(thickness + _DECAY * math.log(error / (0.7 * _TOLERANCE)), thickness + heights.min())
    if best is None:
        return None, None
    mesh, columns, error = best
    warnings.warn(
        f"{type(potential).__name__}: many wave vectors are interpolated between those of a mesh of {mesh.repeats}, "
        f"with errors of {100.0 * error:.2g} % of the largest force constant, since these fade slowly; "
        "jp.second_order, and few wave vectors at a time, are exact",
        JaxpotWarning, stacklevel=4,
    )
    return mesh, columns


def _columns_and_error(mesh, potential, structure, listed):
    """Columns of a mesh, and the largest difference of interpolated and exact ones between its points, over the
    largest element.
    """
    random = np.random.default_rng(0)
    n, repeats = len(structure), np.array(mesh.repeats)
    q = np.where(repeats > 1, (random.integers(0, repeats, (_PROBES, 3)) + 0.5) / repeats, 0.0)
    moves = random.normal(size=(_PROBES, n, 3))
    moves /= np.linalg.norm(moves, axis=(1, 2), keepdims=True)
    count = len(mesh.q)
    together = np.concatenate([mesh.q, q]), np.concatenate([mesh.moves, moves]), np.zeros((count + _PROBES, 3, 3))
    columns = responses(potential, structure, listed, *together).changes
    matrices = _fourier(mesh, columns[:count], structure.masses, q)
    between = np.einsum("mxy,my->mx", matrices, moves.reshape(_PROBES, -1))
    error = np.abs(between - np.asarray(columns[count:]).reshape(_PROBES, -1)).max() / np.abs(matrices).max()
    return columns[:count], float(error)


@jax.jit
def _fourier(mesh, columns, masses, q):
    return mesh.force_constants(columns, masses).fourier(q)


class _Operations:
    """Operations of a space group that map a mesh on itself, each with and without a change of the sign of q."""

    def __init__(self, group: Symmetry, repeats: np.ndarray, symmetry: bool) -> None:
        points = tuple(int(r) for r in repeats)
        images = [mesh_images(points, rotation) for rotation in group.rotations]
        still = (group.rotations == np.eye(3)).all((1, 2)) & ~group.translations.any(1)
        serving = [k for k, image in enumerate(images) if image is not None and (symmetry or still[k])]
        self.rotations, self.sources = group.cartesian[serving], group.sources[serving]
        n = self.sources.shape[1]
        self.targets = np.argsort(self.sources, axis=1)  # where each atom goes
        moved = group.fractional @ np.swapaxes(group.rotations[serving], 1, 2) + group.translations[serving][:, None]
        arrived = group.fractional[self.targets]
        self.cells = np.rint(moved - arrived).astype(int)  # L of each atom
        # W^T q of each point of the mesh, and the point whose W^T q is this one.
        back = np.array([images[k] for k in serving])
        self.forward = np.argsort(back, axis=1)
        self.minus = np.asarray(mesh_images(points, -np.eye(3, dtype=int)))
        self.first_atoms = sorted({int(self.targets[:, a].min()) for a in range(n)})

    def site(self, atom):
        """Operations that leave an atom in its place, but for lattice vectors."""
        return np.flatnonzero(self.targets[:, atom] == atom)


def _displacements(operations, atom):
    """(direction, points of the mesh) of an atom, the fewest whose images by symmetry are three directions."""
    site = operations.site(atom)
    turned = operations.rotations[site]
    candidates = {}
    for direction in _directions(turned):
        key = tuple(np.round(direction, 6))
        if key not in candidates:
            images = direction @ turned
            keeps = np.abs(np.abs(images @ direction) - 1.0) < _PARALLEL
            candidates[key] = direction, images, _orbits(operations, site[keeps])
    ranked = sorted(candidates.values(), key=lambda one: len(one[2]))
    chosen = [ranked[:1], *itertools.combinations(ranked, 2), *itertools.combinations(ranked[:6], 3)]
    chosen += [[one] for one in ranked[1:]] + [list(candidates.values())[:3]]  # Cartesian axes come first
    spanning = [some for some in chosen if _span(np.concatenate([one[1] for one in some]))]
    best = min(spanning, key=lambda some: sum(len(one[2]) for one in some))
    return [(direction, waves) for direction, _, waves in best]


def _directions(turned):
    """Unit vectors that may be displaced: Cartesian axes, then axes of rotations."""
    axes = list(np.eye(3))
    for rotation in turned:
        values, vectors = np.linalg.eig(rotation * np.linalg.det(rotation))
        axes += [vectors[:, k].real for k in range(3) if abs(values[k] - 1.0) < _PARALLEL][:1]
    unique = {}
    for axis in axes:
        axis = axis / np.linalg.norm(axis)
        axis = axis * np.sign(axis[np.argmax(np.abs(axis) > 1e-3)])
        unique.setdefault(tuple(np.round(axis, 6)), axis)
    return list(unique.values())


def _span(vectors):
    return len(vectors) >= 3 and np.linalg.svd(vectors)[1][2] > _APART[0]


def _orbits(operations, numbers):
    """First points of the mesh of each orbit under some operations and the change of sign."""
    lowest = np.arange(len(operations.minus))
    for k in numbers:
        lowest = np.minimum(lowest, operations.forward[k])
        lowest = np.minimum(lowest, operations.minus[operations.forward[k]])
    return np.unique(lowest)


def _plan(operations, mesh, columns, images, repeats):
    """All points, atoms and directions from the columns: three independent images of these for each point and atom."""
    m, n, minus = len(mesh), operations.sources.shape[1], operations.minus
    place = np.zeros((m, n), int)  # how many directions are there
    column, operation = np.zeros((m, n, 3), int), np.zeros((m, n, 3), int)
    conjugated, vectors = np.zeros((m, n, 3), bool), np.zeros((m, n, 3, 3))
    for apart in _APART:
        for c, (q, atom, direction) in enumerate(columns):
            arrivals = operations.forward[:, q]
            moved = direction @ operations.rotations
            for k, sign in itertools.product(range(len(moved)), (False, True)):
                point, to = (minus[arrivals[k]] if sign else arrivals[k]), operations.targets[k, atom]
                have = place[point, to]
                if have == 3:
                    continue
                rest = moved[k]
                if have:  # less its projection on the span of those that are there
                    basis = np.linalg.qr(vectors[point, to, :have].T)[0]
                    rest = rest - basis @ (basis.T @ rest)
                if np.linalg.norm(rest) < apart:
                    continue
                column[point, to, have], operation[point, to, have] = c, k
                conjugated[point, to, have], vectors[point, to, have] = sign, moved[k]
                place[point, to] = have + 1
    if not (place == 3).all():
        raise GeometryError("the symmetry found is none of this crystal: pass symmetry=False")
    # Of D_a'b'(q'): L of the atoms b and a that b' and a' come from; of a conjugated column at -q'.
    source = operations.sources[operation]  # (m, b', k, a')
    cells = operations.cells[operation[..., None], source]  # (m, b', k, a', 3)
    of_own = np.take_along_axis(cells, np.arange(n)[None, :, None, None, None], axis=3)
    waves = np.where(conjugated[..., None], -mesh[:, None, None, :], mesh[:, None, None, :])
    phases = np.exp(2j * np.pi * np.einsum("mbkac,mbkc->mbka", of_own - cells, waves))
    moves = np.zeros((len(columns), n, 3))
    moves[np.arange(len(columns)), [atom for _, atom, _ in columns]] = [direction for _, _, direction in columns]
    return jax.device_put(WaveMesh(
        mesh[[q for q, _, _ in columns]], moves, mesh, column, operation, conjugated, phases, np.linalg.inv(vectors),
        operations.rotations, operations.sources, images, repeats,
    ))
