"""Columns of D(q) that symmetry does not relate, on a mesh of wave vectors, and how all of D follows from them.

An operation f -> W f + t of the space group takes atom a into atom a' of cell L_a and turns displacements by S: a wave
e of wave vector q = W^T q' becomes U e of q', and

    (U e)_a' = exp(-2 pi i q'.L_a) S e_a,    D(q') U e = U D(q) e,    D(-q) e* = (D(q) e)*

so one wave vector of each orbit is enough, and there a few waves: with D e is known what the operations that leave q in
its place, and those that invert it, with a complex conjugate, make of it. Waves are drawn at random, since images of
such a wave span as much as those of any. In diamond, on a mesh of 7 x 7 x 7, 31 columns at 20 wave vectors do for the
six at each of 343.

References:
    A. A. Maradudin, S. H. Vosko, Rev. Mod. Phys. 40, 1 (1968), for operations with and without a change of the sign of
    q.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.pytree import Node, pytree
from jaxpot.core.symmetry import Symmetry, full_mesh, mesh_images
from jaxpot.typing import AnyArray, Array

_LEAST = 0.05  # singular value of the images, unit vectors, that a matrix is made of
_WEAK = 0.3  # singular value, over that of directions which are equally spread, below which one lacks images
_DRAWS, _SMALL = 8, 60  # times that waves are drawn, the best of which are taken, where there are few columns
_ENOUGH = 4  # operations for each column: of more, some are taken by chance


@pytree
class Turns(Node):
    """Operations on waves: number of each, whether the result is conjugated, (...), and phases (..., n)."""

    operation: AnyArray
    conjugated: AnyArray
    phases: AnyArray


@pytree
class WaveOrbits(Node):
    """Columns of D(q) to be computed, and how all of D on a mesh follows from them.

    q (c, 3) fractional and waves (c, n, 3) complex: the columns. column (r, 3n) and images (r, 3n): of each wave vector
    that stands for its orbit, which columns are turned, and how; mixing (r, 3n, 3n) the inverse of the waves turned so.
    orbit (m,) and points (m,): of each point of the mesh, whose matrix is turned, and how. Of operations: rotations
    (g, 3, 3) of row vectors and sources (g, n).
    """

    q: AnyArray
    waves: AnyArray
    column: AnyArray
    images: Turns
    mixing: AnyArray
    orbit: AnyArray
    points: Turns
    rotations: AnyArray
    sources: AnyArray

    def matrices(self, columns: Array) -> Array:
        """D on the mesh, (m, 3n, 3n), of its computed columns (c, n, 3)."""
        size = self.mixing.shape[-1]
        images = self._turned(columns[self.column], self.images)
        images = jnp.where(self.images.conjugated[..., None, None], jnp.conj(images), images)
        whole = jnp.swapaxes(images.reshape(-1, size, size), 1, 2) @ self.mixing
        whole = 0.5 * (whole + jnp.conj(jnp.swapaxes(whole, 1, 2)))
        # U D U^+: the columns of D, those of a Hermitian matrix, are turned, then the rows of what comes out.
        half = self._turned(jnp.conj(whole)[self.orbit].reshape(-1, size, size // 3, 3), self.points)
        half = jnp.conj(jnp.swapaxes(half.reshape(-1, size, size), 1, 2))
        turned = self._turned(half.reshape(-1, size, size // 3, 3), self.points).reshape(-1, size, size)
        return jnp.where(self.points.conjugated[:, None, None], turned, jnp.conj(turned))

    def _turned(self, waves, turns):
        """U of waves (k, s, n, 3); of turns (k, s), or (k,) for all s of them."""
        operation, phases = turns.operation, turns.phases
        if operation.ndim == 1:
            operation, phases = operation[:, None], phases[:, None]
        return _turn(jnp, waves, self.sources[operation], self.rotations[operation].astype(waves.dtype), phases)


def wave_orbits(group: Symmetry, repeats: tuple[int, ...], symmetry: bool = True) -> WaveOrbits:
    """`WaveOrbits` of a mesh, which is kept by the change of the sign of q; made on the host.

    Args:
        group: of the crystal.
        repeats: three integers, points of the mesh along the reciprocal vectors.
        symmetry: whether operations other than the identity serve.
    """
    mesh, operations = full_mesh(repeats)[0], _Operations(group, repeats, symmetry)
    lowest = operations.arrivals.min(axis=(0, 1))
    representatives = np.flatnonzero(lowest == np.arange(len(mesh)))
    chosen = [_images(operations, mesh, point) for point in representatives]
    first = np.cumsum([0, *(len(one.waves) for one in chosen)])
    # The first operation that leads from its representative to each point.
    orbit = np.searchsorted(representatives, lowest)
    leads = operations.arrivals[:, :, lowest] == np.arange(len(mesh))
    operation, conjugated = np.divmod(leads.reshape(-1, len(mesh)).argmax(axis=0), 2)
    return jax.device_put(WaveOrbits(
        np.repeat(mesh[representatives], np.diff(first), axis=0), np.concatenate([one.waves for one in chosen]),
        np.stack([one.wave + start for one, start in zip(chosen, first[:-1], strict=True)]),
        jax.tree.map(lambda *arrays: np.stack(arrays), *[one.turns for one in chosen]),
        np.stack([one.inverse for one in chosen]), orbit,
        Turns(operation, conjugated.astype(bool), operations.phases(mesh, operation, lowest)),
        operations.rotations, operations.sources,
    ))


class _Operations:
    """Operations of a space group that map a mesh on itself.

    arrivals (g, 2, m): the point of the mesh to which each takes each, without and with a change of the sign.
    """

    def __init__(self, group: Symmetry, repeats: tuple[int, ...], symmetry: bool) -> None:
        images = {k: mesh_images(repeats, rotation) for k, rotation in enumerate(group.rotations)}  # W^T q of each
        still = (group.rotations == np.eye(3)).all((1, 2)) & ~group.translations.any(1)
        back = {k: image for k, image in images.items() if image is not None and (symmetry or still[k])}
        serving = list(back)
        self.identity = serving.index(int(np.flatnonzero(still)[0]))
        self.rotations, self.sources = group.cartesian[serving], group.sources[serving]
        moved = group.fractional @ np.swapaxes(group.rotations[serving], 1, 2) + group.translations[serving][:, None]
        moved = np.take_along_axis(moved, self.sources[..., None], axis=1)
        self.cells = np.rint(moved - group.fractional).astype(int)  # L of what comes to each place
        forward = np.argsort(np.array(list(back.values())), axis=1)
        minus = np.asarray(mesh_images(repeats, -np.eye(3, dtype=int)))
        self.arrivals = np.stack([forward, minus[forward]], axis=1)

    def phases(self, mesh: np.ndarray, operation: np.ndarray, points: np.ndarray) -> np.ndarray:
        """exp(-2 pi i q'.L), (k, n), of operations (k,) on points of the mesh, before a change of the sign."""
        arrived = mesh[self.arrivals[operation, 0, points]]
        return np.exp(-2j * np.pi * np.einsum("kac,kc->ka", self.cells[operation], arrived))

    def turned(self, waves: np.ndarray, turns: Turns) -> np.ndarray:
        """Waves (k, 3n) turned by operations (g,) that keep or invert their wave vector: (k, g, 3n)."""
        sources, rotations = self.sources[turns.operation], self.rotations[turns.operation]
        moved = _turn(np, waves.reshape(len(waves), 1, -1, 3), sources[None], rotations[None], turns.phases)
        moved = moved.reshape(len(waves), len(turns.operation), -1)
        return np.where(turns.conjugated[:, None], np.conj(moved), moved)


def _turn(xp, waves, sources, rotations, phases):
    """U of waves (..., n, 3), with NumPy or JAX."""
    return (xp.take_along_axis(waves, sources[..., None], axis=-2) @ rotations) * phases[..., None]


class _Images(NamedTuple):
    """Waves (k, n, 3) of one wave vector, and 3n independent images: of which wave (3n,), how, and their inverse."""

    waves: np.ndarray
    wave: np.ndarray
    turns: Turns
    inverse: np.ndarray


def _images(operations, mesh, point):
    """`_Images` of a point of the mesh, of few waves that span all."""
    size, random = 3 * operations.sources.shape[1], np.random.default_rng(0)
    operation, conjugated = np.nonzero(operations.arrivals[:, :, point] == point)
    if len(operation) > max(_ENOUGH * size, 96):
        some = random.choice(len(operation), max(_ENOUGH * size, 96), replace=False)
        operation, conjugated = operation[some], conjugated[some]
    phases = operations.phases(mesh, operation, np.full(len(operation), point))
    turns = Turns(operation, conjugated.astype(bool), phases)
    inversion = _inversion(operations, turns, random.normal(size=(1, size, 2)) @ [1.0, 1j])

    def drawn(lacking):
        """The fewest orthonormal waves whose images may fill a space."""
        count = -(-len(lacking) // len(operation))
        if inversion is None:
            return np.linalg.qr(random.normal(size=(len(lacking), count, 2)) @ [1.0, 1j])[0].T @ lacking
        # Of two waves that stay what they are u + i v is inverted to u - i v, which is independent of it.
        still = random.normal(size=(min(2 * count, len(lacking)), len(lacking), 2)) @ [1.0, 1j] @ lacking
        still = np.linalg.qr((still + operations.turned(still, inversion)[:, 0]).T)[0].T
        pairs = still[0::2].copy()
        pairs[: len(still) // 2] += 1j * still[1::2]
        return pairs / np.linalg.norm(pairs, axis=1, keepdims=True)

    waves, images = np.zeros((2, 0, size), complex)
    lacking = np.eye(size, dtype=complex)
    while len(waves) < 2 * size:
        draws = [drawn(lacking) for _ in range(_DRAWS if size <= _SMALL else 1)]
        together = [np.concatenate([images, operations.turned(draw, turns).reshape(-1, size)]) for draw in draws]
        best = max(range(len(draws)), key=lambda k: np.log(_spread(together[k])[0] + _LEAST).sum())
        waves, images = np.concatenate([waves, draws[best]]), together[best]
        values, directions = _spread(images)
        picked = _independent(images) if values[0] > 2.0 * _LEAST else []
        if len(picked) == size and np.linalg.svd(images[picked], compute_uv=False)[-1] > _LEAST:
            wave, place = np.divmod(picked, len(operation))
            some = Turns(operation[place], turns.conjugated[place], phases[place])
            return _Images(waves.reshape(len(waves), -1, 3), wave, some, np.linalg.inv(images[picked].T))
        lacking = directions[values <= max(_WEAK, values[0])]
    # No case is known. Symmetry saves work, it is never needed: all displacements, turned by the identity.
    whole, every = np.eye(size), np.arange(size)
    alone = Turns(np.full(size, operations.identity), np.zeros(size, bool), np.ones((size, size // 3), complex))
    return _Images(whole.reshape(size, -1, 3) + 0j, every, alone, whole + 0j)


def _inversion(operations, turns, wave):
    """One of some operations, as `Turns`, that inverts q and is its own inverse; None without one."""
    for k in np.flatnonzero(turns.conjugated):
        one = jax.tree.map(lambda array, k=k: array[k : k + 1], turns)
        if np.allclose(operations.turned(operations.turned(wave, one)[:, 0], one)[:, 0], wave, atol=1e-6):
            return one
    return None


def _spread(images):
    """Shares of 3n directions in unit vectors, ascending, 1 where all are equal, and these directions."""
    values, vectors = np.linalg.eigh(images.conj().T @ images)
    return np.sqrt(np.maximum(values, 0.0) * images.shape[1] / len(images)), vectors.conj().T


def _independent(images):
    """Numbers of unit vectors that are independent, each the one farthest from the span of those before.

    A Cholesky decomposition of their products, with pivots.
    """
    left, rows, picked = np.ones(len(images)), np.zeros((images.shape[1], len(images)), complex), []
    for row in range(images.shape[1]):
        k = int(left.argmax())
        if left[k] < _LEAST**2:
            break
        products = images @ images[k].conj() - rows[:row].T @ rows[:row, k].conj()
        rows[row] = products / np.sqrt(left[k])
        left -= np.abs(rows[row]) ** 2
        picked.append(k)
    return np.array(picked, int)
