"""What networks see of a data set, computed once: descriptor vectors and their derivatives, in batches of one shape.

The positions of the training set do not move. With vectors G_i and derivatives dG_i/dr_ik at hand an epoch is a few
matrix products, where differentiating the energy through the descriptor twice takes twenty to fifty times as long.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.graph import connect_rows
from jaxpot.core.pytree import pytree, static
from jaxpot.potentials.base import cut
from jaxpot.potentials.terms import nearest

_ROWS = 8  # atoms whose derivatives are computed at once


@pytree
class Seen:
    """What one network sees of a batch: R atoms of one element with K neighbours; spare ones have weight 0."""

    vectors: jax.Array  # (R, d), shifted and mixed
    slopes: jax.Array  # (R, K, 3, d), their derivatives by the neighbours' positions, mixed likewise, per A
    others: jax.Array  # (R, K), which atom of the batch each neighbour is
    centers: jax.Array  # (R,), which atom it is
    frames: jax.Array  # (R,), which frame of the batch it is in
    ties: jax.Array  # (R, K, 3) A, vectors to the neighbours
    weights: jax.Array  # (R,), 1 or 0


@pytree
class Batch:
    """B frames with A atoms together, their targets, and 1 / sigma of these: 0 where there is no target."""

    seen: tuple
    energies: jax.Array  # (B,) eV/atom
    forces: jax.Array  # (A, 3) eV/A
    stresses: jax.Array  # (B, 3, 3) eV/A^3
    energy_weights: jax.Array  # (B,)
    force_weights: jax.Array  # (A,)
    stress_weights: jax.Array  # (B,)
    per_atom: jax.Array  # (B,), 1 / atoms
    per_volume: jax.Array  # (B,) 1/A^3
    frames: tuple = static(default=())  # which of the data set


@dataclass(frozen=True)
class SeenFrame:
    """One frame as one network sees it: rows of NumPy arrays."""

    vectors: np.ndarray
    slopes: np.ndarray
    others: np.ndarray
    centers: np.ndarray
    ties: np.ndarray


def describe_frame(descriptor, structure, neighbors, dtype):
    """`SeenFrame` of a prepared frame: the atoms that the descriptor describes."""
    vectors, slopes, ties, weights = map(np.asarray, _rows(descriptor, structure, neighbors))
    rows = np.flatnonzero(weights)
    filled = np.arange(slopes.shape[1]) < np.asarray(neighbors.counts)[rows, None]
    centers = np.asarray(neighbors.centers)[rows]
    others = np.where(filled, np.asarray(neighbors.others)[rows, : slopes.shape[1]], centers[:, None])
    keep = filled[:, :, None]
    return SeenFrame(
        vectors[rows], np.where(keep[..., None], slopes[rows], 0.0).astype(dtype), others, centers,
        np.where(keep, ties[rows], 0.0),
    )


@jax.jit
def _rows(descriptor, structure, neighbors):
    def chunk(_, rows):
        graph = connect_rows(structure, neighbors, rows)
        environments = nearest(graph.environments(), places)
        vectors, weights, _, changes, _ = jax.vmap(descriptor.jacobian)(environments)
        ties = jnp.stack([environments.x, environments.y, environments.z], axis=-1)
        return None, (vectors[:, 0], changes[:, 0], ties, jnp.where(graph.real, weights[:, 0], 0.0))

    rows, places = neighbors.others.shape[0], neighbors.places(descriptor.cutoff)
    count = -(-rows // _ROWS)
    _, found = jax.lax.scan(chunk, None, cut(neighbors, count, _ROWS))
    return jax.tree.map(lambda a: a.reshape(count * _ROWS, *a.shape[2:])[:rows], found)


def batches(members, described, frames, targets, sigmas, scalings, dtype):
    """`Batch`es of one shape.

    Args:
        members: for each batch, which frames.
        described: for each network, a `SeenFrame` for each frame.
        frames: `Frame`s.
        targets: energies (eV), forces and stresses of all frames, or None, less all that is not fitted.
        sigmas: `Sigmas`.
        scalings: for each network the shift (d,) of its vectors, and the matrix (d, d) they are multiplied with then.
        dtype: of the arrays.
    """
    if not members:
        return []
    atoms = max(sum(len(frames[k]) for k in own) for own in members)
    count = max(len(own) for own in members)
    rows = [max(sum(len(part[k].vectors) for k in own) for own in members) for part in described]
    places = [max(entry.others.shape[1] for entry in part) for part in described]
    most = (atoms, count, rows, places)
    return [_batch(own, described, frames, targets, sigmas, scalings, dtype, most) for own in members]


def _batch(own, described, frames, targets, sigmas, scalings, dtype, shape):
    atoms, count, rows, places = shape
    first = np.concatenate([[0], np.cumsum([len(frames[k]) for k in own])])[:-1]
    seen = []
    for part, (shift, mixing), most, width in zip(described, scalings, rows, places, strict=True):
        parts = [part[k] for k in own]
        numbers = np.concatenate([np.full(len(p.vectors), n) for n, p in enumerate(parts)])

        def gathered(name, fill=0, parts=parts, most=most, width=width):
            arrays = []
            for n, entry in enumerate(parts):
                array = getattr(entry, name)
                if name in ("others", "centers"):
                    array = array + first[n]
                if name in ("slopes", "others", "ties"):
                    spare = [(0, 0), (0, width - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
                    array = np.pad(array, spare, constant_values=fill)
                arrays.append(array)
            joined = np.concatenate(arrays)
            return np.pad(joined, [(0, most - len(joined))] + [(0, 0)] * (joined.ndim - 1), constant_values=fill)

        vectors = (gathered("vectors") - shift) @ mixing
        seen.append(Seen(
            vectors.astype(dtype), gathered("slopes") @ mixing.astype(dtype), gathered("others").astype(np.int32),
            gathered("centers").astype(np.int32), np.pad(numbers, (0, most - len(numbers))).astype(np.int32),
            gathered("ties").astype(dtype), (np.arange(most) < len(numbers)).astype(dtype),
        ))
    energies, forces, stresses = targets
    sizes = np.array([len(frames[k]) for k in own], float)

    def column(values, weights, shape):
        found, weight = np.zeros((count, *shape)), np.zeros(count)
        for n, (value, own_weight) in enumerate(zip(values, weights, strict=True)):
            if value is not None and own_weight is not None:
                found[n], weight[n] = value, own_weight
        return found.astype(dtype), weight.astype(dtype)

    e, e_weights = column(
        [None if energies[k] is None else energies[k] / len(frames[k]) for k in own],
        [1.0 / (frames[k].sigma_energy or sigmas.energy) for k in own], (),
    )
    s, s_weights = column(
        [stresses[k] for k in own], [_inverse(frames[k].sigma_stress or sigmas.stress) for k in own], (3, 3)
    )
    f, f_weights = np.zeros((atoms, 3)), np.zeros(atoms)
    for start, k in zip(first, own, strict=True):
        if forces[k] is not None:
            f[start : start + len(frames[k])] = forces[k]
            f_weights[start : start + len(frames[k])] = 1.0 / (frames[k].sigma_forces or sigmas.forces)
    volumes = [frames[k].volume or np.inf for k in own]
    spare = count - len(own)
    return Batch(
        tuple(seen), e, f.astype(dtype), s, e_weights, f_weights.astype(dtype), s_weights,
        np.pad(1.0 / sizes, (0, spare)).astype(dtype), np.pad(1.0 / np.array(volumes), (0, spare)).astype(dtype),
        tuple(int(k) for k in own),
    )


def _inverse(sigma):
    return None if sigma is None else 1.0 / sigma


def predicted(energies_of, batch):
    """Energies (B,) eV/atom, forces (A, 3) and stresses (B, 3, 3) of what the networks make of a batch.

    Args:
        energies_of: for each network, a function from a vector (d,) to an energy () eV.
        batch: `Batch`.
    """
    energies, forces = jnp.zeros_like(batch.energies), jnp.zeros_like(batch.forces)
    virials = jnp.zeros_like(batch.stresses)
    for function, seen in zip(energies_of, batch.seen, strict=True):
        values, gradients = jax.vmap(jax.value_and_grad(function))(seen.vectors)
        gradients = gradients * seen.weights[:, None]
        pulls = jnp.einsum("rkxd,rd->rkx", seen.slopes, gradients)  # dE_i / dr_ik
        energies = energies.at[seen.frames].add(values * seen.weights)
        forces = forces.at[seen.others].add(-pulls).at[seen.centers].add(pulls.sum(1))
        virials = virials.at[seen.frames].add(jnp.einsum("rkx,rky->rxy", seen.ties, pulls))
    return energies * batch.per_atom, forces, virials * batch.per_volume[:, None, None]
