"""Labels that a formula is fitted to, and its residuals, in one program for all frames.

Nothing moves while parameters change: the environments of all atoms of all frames are found once and stand in rows, one
after the other, so that frames of any size share a program.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.chunks import CHUNK_ELEMENTS, chunk_shape
from jaxpot.core.graph import Graph, connect
from jaxpot.core.pytree import Node, pytree
from jaxpot.data.frame import Frame
from jaxpot.data.padded_frames import prepare_frames
from jaxpot.data.predictions import KINDS
from jaxpot.errors import ResourceError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.terms import chunk_gradients
from jaxpot.typing import AnyArray

_MOST_PAIRS = 2e7  # 45 bytes each
_ARRAYS = ("x", "y", "z", "distances", "filled", "numbers", "center_numbers", "centers", "others", "real")


@pytree
class EnvironmentRows(Node):
    """Environments in chunks, (C, m, ...): those of all frames whose rows have one width."""

    graph: Graph
    frames: jax.Array  # (C, m), which frame each is in
    listed: object  # `Neighbors` of one of the frames: how long rows are, and where those of shorter terms end


@pytree
class Labels(Node):
    """F frames with A atoms together, their labels, and weights: 1 / (sigma sqrt(number of labels)), 0 without one."""

    rows: tuple
    reach: AnyArray  # () A: every pair up to there is in the rows
    energies: AnyArray  # (F,) eV/atom, less those of isolated atoms
    forces: AnyArray  # (A, 3) eV/A
    stresses: AnyArray  # (F, 3, 3) eV/A^3
    energy_weights: AnyArray  # (F,)
    force_weights: AnyArray  # (A,)
    stress_weights: AnyArray  # (F,)
    per_atom: AnyArray  # (F,), 1 / atoms
    per_volume: AnyArray  # (F,) 1/A^3
    contents: AnyArray  # (F, S), the share of each element whose constant is found with the parameters, times weight
    absorbed: AnyArray  # (F, k), an orthonormal basis of what these constants can do

    def counts(self) -> dict[str, int]:
        """Kind of label -> how many numbers there are."""
        weights = self.energy_weights, self.force_weights, self.stress_weights
        counts = (int(np.count_nonzero(w)) for w in weights)
        return {kind: count * size for kind, count, size in zip(KINDS, counts, (1, 3, 9), strict=True) if count}

    def without(self, frames: AnyArray) -> "Labels":
        """The same rows, with weights for all but some of the frames."""
        kept = ~np.isin(np.arange(len(self.energies)), frames)
        by_atom = np.repeat(kept, np.rint(1.0 / self.per_atom).astype(int))
        energies, contents = _of_rest(self.energy_weights, kept), self.contents
        scale = np.divide(energies, self.energy_weights, out=np.zeros(len(kept)), where=self.energy_weights > 0.0)
        contents = contents * scale[:, None]
        return self.replace(
            energy_weights=energies, force_weights=_of_rest(self.force_weights, by_atom),
            stress_weights=_of_rest(self.stress_weights, kept), contents=contents, absorbed=_range_of(contents),
        )

    def slices(self) -> dict[str, slice]:
        """Kind of label -> where its numbers are among the residuals."""
        ends = np.cumsum([0, self.energies.size, self.forces.size, self.stresses.size])
        return {kind: slice(ends[k], ends[k + 1]) for k, kind in enumerate(KINDS)}


def labels_of(
    frames: list[Frame], e0: dict[int, float], loose: Sequence[int], sigmas: dict[str, float | None], reach: float,
    inner: tuple[float, ...], blame: str,
) -> Labels:
    """`Labels` of some frames.

    Args:
        frames: `Frame`s.
        e0: atomic number -> eV of an isolated atom.
        loose: atomic numbers whose e0 is not that of isolated atoms: a constant for each is found, too.
        sigmas: kind -> sigma where a frame gives none of its own, or None: not fitted then.
        reach: A, of the neighbour lists.
        inner: shorter cutoffs, see `neighbors`.
        blame: a sentence on why the reach is what it is.

    Raises:
        ResourceError: too many pairs within the reach.
    """
    pairs = sum(len(f) ** 2 * (4.19 * reach**3 / f.volume if f.volume else 1.0) for f in frames)
    if pairs > _MOST_PAIRS:
        raise ResourceError(f"about {pairs:.1e} pairs of atoms are within {reach:.3g} A, more than {_MOST_PAIRS:.0e}: "
                            f"{blame}")
    sizes = np.array([len(f) for f in frames])
    first = np.cumsum(sizes) - sizes
    energies = np.array([0.0 if f.energy is None else f.energy - sum(e0[int(z)] for z in f.numbers) for f in frames])
    forces = np.concatenate([np.zeros((len(f), 3)) if f.forces is None else f.forces for f in frames])
    stresses = np.stack([np.zeros((3, 3)) if f.stress is None else f.stress for f in frames])
    weights = {kind: _weights(frames, kind, sigmas[kind]) for kind in KINDS}
    shares = [[np.mean(f.numbers == z) for z in loose] for f in frames]
    contents = np.array(shares).reshape(len(frames), len(loose)) * weights["energy"][:, None]
    return Labels(
        rows=_rows([f.structure for f in frames], first, reach, inner), reach=np.asarray(reach),
        energies=energies / sizes, forces=forces, stresses=stresses, energy_weights=weights["energy"],
        force_weights=np.repeat(weights["forces"], sizes), stress_weights=weights["stress"], per_atom=1.0 / sizes,
        per_volume=1.0 / np.array([f.volume or np.inf for f in frames]), contents=contents,
        absorbed=_range_of(contents),
    )


def _range_of(matrix):
    """Orthonormal basis of what the columns of a matrix can do."""
    basis, size, _ = np.linalg.svd(matrix, full_matrices=False)
    return basis[:, size > 1e-10 * size.max(initial=0.0)]


def _of_rest(weights, kept):
    """Weights of those that are kept: 1 / (sigma sqrt(number of labels))."""
    rest = np.where(kept, weights, 0.0)
    return rest * np.sqrt(np.count_nonzero(weights) / max(np.count_nonzero(rest), 1))


def _weights(frames, kind, sigma):
    """1 / (sigma sqrt(number of labels)) of each frame, (F,)."""
    weights, count = np.zeros(len(frames)), 0
    for k, frame in enumerate(frames):
        label, frame_sigma = getattr(frame, kind), getattr(frame, f"sigma_{kind}") or sigma
        if label is not None and frame_sigma is not None:
            weights[k], count = 1.0 / frame_sigma, count + np.size(label)
    return weights / np.sqrt(max(count, 1))


def _rows(structures, first, reach, inner):
    """`EnvironmentRows` for each width that the lists of the structures have."""
    by_width = {}
    for k, (structure, listed) in enumerate(prepare_frames(structures, reach, inner)):
        graph = jax.device_get(_connect(structure, listed))
        arrays = {name: getattr(graph, name)[graph.real] for name in _ARRAYS}
        arrays |= {"centers": arrays["centers"] + first[k], "others": arrays["others"] + first[k]}
        arrays["frames"] = np.full(len(arrays["centers"]), k)
        by_width.setdefault(listed.capacity, (listed, []))[1].append(arrays)
    return tuple(_in_chunks(listed, parts) for _, (listed, parts) in sorted(by_width.items()))


_connect = jax.jit(connect)


def _in_chunks(listed, parts):
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    count = len(arrays["frames"])
    chunks, size = chunk_shape(count, listed.capacity, CHUNK_ELEMENTS)
    take = np.minimum(np.arange(chunks * size), count - 1)  # the last chunk is filled with copies that are not real
    arrays = {name: a[take].reshape(chunks, size, *a.shape[1:]) for name, a in arrays.items()}
    arrays["real"] = (np.arange(chunks * size) < count).reshape(chunks, size)
    frames = arrays.pop("frames")
    return EnvironmentRows(Graph(**arrays, n_atoms=count), frames, listed)


def residuals(potential: Potential, labels: Labels) -> jax.Array:
    """Energies, forces and stresses less their labels, times their weights, in a row; NaN beyond the reach of the rows.

    What constants of elements could take away is taken from the energies.
    """
    frames, atoms = labels.energies.shape[0], labels.forces.shape[0]
    sums = jnp.zeros(frames), jnp.zeros((atoms, 3)), jnp.zeros((frames, 3, 3))
    for rows in labels.rows:
        def chunk(sums, rows_of_chunk, listed=rows.listed):
            return _added(potential, listed, sums, *rows_of_chunk), None

        sums, _ = jax.lax.scan(chunk, sums, (rows.graph, rows.frames))
    energies, forces, virials = sums
    sound = jnp.where(potential.extent() <= labels.reach, 1.0, jnp.nan)
    energies = (energies * labels.per_atom - labels.energies) * labels.energy_weights
    forces = (forces - labels.forces) * labels.force_weights[:, None]
    stresses = (virials * labels.per_volume[:, None, None] - labels.stresses) * labels.stress_weights[:, None, None]
    return sound * jnp.concatenate([energies, forces.ravel(), stresses.ravel()])


def without_constants(residuals: jax.Array, labels: Labels) -> jax.Array:
    """Residuals less what constants of elements take away, (N,) or (N, P)."""
    count = labels.energies.shape[0]
    return residuals.at[:count].add(-labels.absorbed @ (labels.absorbed.T @ residuals[:count]))


def _added(potential, listed, sums, graph, frames):
    """Energies, forces and virials of all frames with those of a chunk."""
    energies, forces, virials = sums
    site, (gx, gy, gz, gr) = chunk_gradients(potential, graph.environments(), listed)
    keep, along = graph.filled & graph.real[:, None], gr / graph.distances
    vectors = graph.vectors
    gradient = jnp.where(keep[..., None], jnp.stack([gx, gy, gz], -1) + along[..., None] * vectors, 0.0)
    forces = forces.at[graph.others].add(-gradient).at[graph.centers].add(gradient.sum(1))
    virial = jnp.einsum("mka,mkb->mab", vectors, gradient)
    energies = energies.at[frames].add(jnp.where(graph.real, site, 0.0))
    return energies, forces, virials.at[frames].add(0.5 * (virial + virial.transpose(0, 2, 1)))
