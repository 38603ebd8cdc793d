"""Batches of frames, all of one shape, with the inputs of networks."""

from collections.abc import Sequence

import jax
import numpy as np

from jaxpot.data.frame import Frame
from jaxpot.data.targets import Sigmas
from jaxpot.fitting.networks.precomputed import Batch, FrameInputs, HessianBatch, NetworkInputs


def batches(
    members: Sequence[Sequence[int]], described: Sequence[Sequence[FrameInputs]], frames: Sequence[Frame],
    targets: tuple[list, list, list], sigmas: Sigmas, scalings: Sequence[tuple[np.ndarray, np.ndarray]],
    dtype: np.dtype | type,
) -> list[Batch]:
    """`Batch`es of one shape.

    Args:
        members: for each batch, which frames: some in the first; a batch without any has weights zero.
        described: for each network, a `FrameInputs` for each frame.
        frames: `Frame`s.
        targets: energies (eV), forces and stresses of all frames, or None, less all that is not fitted.
        sigmas: `Sigmas`.
        scalings: for each network the shift (d,) of its vectors, and the matrix (d, d) they are multiplied with then.
        dtype: of the arrays.
    """
    shape, count = _shape(members, described, frames), max(map(len, members))
    complete = []
    for chosen in members:
        some = chosen or members[0]
        inputs = _inputs(some, described, frames, scalings, dtype, shape)
        batch = labelled(some, inputs, _firsts(some, frames), shape[0], frames, targets, sigmas, dtype, count)
        complete.append(batch if chosen else jax.tree.map(np.zeros_like, batch))
    return complete


def hessian_batches(
    members: Sequence[Sequence[int]], described: Sequence[Sequence[FrameInputs]], frames: Sequence[Frame],
    targets: Sequence[tuple[np.ndarray, float]], scalings: Sequence[tuple[np.ndarray, np.ndarray]],
    dtype: np.dtype | type,
) -> list[HessianBatch]:
    """`HessianBatch`s of one shape.

    Args:
        targets: for each frame, its products (n, 3) and their sigma.
        members, described, frames, scalings, dtype: as for `batches`.
    """
    shape, complete = _shape(members, described, frames), []
    for chosen in members:
        some = chosen or members[0]
        products, weights = np.zeros((shape[0], 3)), np.zeros(shape[0])
        for start, k in zip(_firsts(some, frames), some, strict=True):
            part = slice(start, start + len(frames[k]))
            products[part], weights[part] = targets[k][0], 1.0 / targets[k][1]
        inputs = _inputs(some, described, frames, scalings, dtype, shape)
        tangents = tuple(
            _changes([part[k].tangents for k in some], mixing, most, width)
            for part, (_, mixing), most, width in zip(described, scalings, *shape[1:], strict=True)
        )
        batch = HessianBatch(inputs, *jax.tree.map(lambda a: a.astype(dtype), (tangents, products, weights)))
        complete.append(batch if chosen else jax.tree.map(np.zeros_like, batch))
    return complete


def _shape(members, described, frames):
    """Atoms, and of each network rows and places, that are enough for all batches."""
    atoms = max(sum(len(frames[k]) for k in chosen) for chosen in members)
    rows = [max(sum(len(part[k].vectors) for k in chosen) for chosen in members) for part in described]
    return atoms, rows, [max(entry.others.shape[1] for entry in part) for part in described]


def _firsts(chosen, frames):
    """First atom of each frame in a batch."""
    return np.concatenate([[0], np.cumsum([len(frames[k]) for k in chosen])])[:-1].astype(int)


def _joined(arrays, most, width=None):
    """Arrays of rows one after the other, padded to so many rows, and to so many places if a width is given."""
    if width is not None:
        arrays = [np.pad(a, [(0, 0), (0, width - a.shape[1])] + [(0, 0)] * (a.ndim - 2)) for a in arrays]
    joined = np.concatenate(arrays)
    return np.pad(joined, [(0, most - len(joined))] + [(0, 0)] * (joined.ndim - 1))


def _changes(parts, mixing, most, width):
    """Vectors that are not shifted, slopes, weights and their slopes of some frames, joined and mixed."""
    vectors, slopes, weights, weight_slopes = zip(*parts, strict=True)
    return (
        _joined(vectors, most) @ mixing, _joined(slopes, most, width) @ mixing.astype(slopes[0].dtype),
        _joined(weights, most), None if weight_slopes[0] is None else _joined(weight_slopes, most, width),
    )


def _inputs(chosen, described, frames, scalings, dtype, shape):
    """`NetworkInputs` of each network."""
    first, inputs = _firsts(chosen, frames), []
    for part, (shift, mixing), most, width in zip(described, scalings, *shape[1:], strict=True):
        parts = [part[k] for k in chosen]
        shifted = [(p.vectors - shift, p.slopes, p.weights, p.weight_slopes) for p in parts]
        vectors, slopes, weights, weight_slopes = _changes(shifted, mixing, most, width)
        others = _joined([p.others + start for p, start in zip(parts, first, strict=True)], most, width)
        centers = _joined([p.centers + start for p, start in zip(parts, first, strict=True)], most)
        numbers = _joined([np.full(len(p.vectors), n) for n, p in enumerate(parts)], most)
        bonds = _joined([p.bonds for p in parts], most, width)
        arrays = NetworkInputs(vectors, slopes, others, centers, numbers, bonds, weights, weight_slopes)
        inputs.append(jax.tree.map(lambda a: a.astype(np.int32 if a.dtype.kind == "i" else dtype), arrays))
    return tuple(inputs)


def labelled(
    chosen: Sequence[int], inputs: tuple, firsts: Sequence[int], atoms: int, frames: Sequence[Frame],
    targets: tuple[list, list, list], sigmas: Sigmas, dtype: np.dtype | type, count: int,
) -> Batch:
    """`Batch` of inputs with the labels of the frames that are chosen.

    Args:
        firsts: first atom of each of them in the batch.
        atoms, count: of the batch, and frames of it: some may be spare.
        inputs, frames, targets, sigmas, dtype: as for `batches`.
    """
    energies, forces, stresses = targets
    sizes = np.array([len(frames[k]) for k in chosen], float)

    def column(values, weights, shape):
        labels, weight = np.zeros((count, *shape)), np.zeros(count)
        for n, (value, own_weight) in enumerate(zip(values, weights, strict=True)):
            if value is not None and own_weight is not None:
                labels[n], weight[n] = value, own_weight
        return labels.astype(dtype), weight.astype(dtype)

    e, e_weights = column(
        [None if energies[k] is None else energies[k] / len(frames[k]) for k in chosen],
        [1.0 / (frames[k].sigma_energy or sigmas.energy) for k in chosen], (),
    )
    s, s_weights = column(
        [stresses[k] for k in chosen], [_inverse(frames[k].sigma_stress or sigmas.stress) for k in chosen], (3, 3)
    )
    f, f_weights = np.zeros((atoms, 3)), np.zeros(atoms)
    for start, k in zip(firsts, chosen, strict=True):
        if forces[k] is not None:
            f[start : start + len(frames[k])] = forces[k]
            f_weights[start : start + len(frames[k])] = 1.0 / (frames[k].sigma_forces or sigmas.forces)
    volumes = [frames[k].volume or np.inf for k in chosen]
    spare = count - len(chosen)
    return Batch(
        inputs, e, f.astype(dtype), s, e_weights, f_weights.astype(dtype), s_weights,
        np.pad(1.0 / sizes, (0, spare)).astype(dtype), np.pad(1.0 / np.array(volumes), (0, spare)).astype(dtype),
    )


def _inverse(sigma):
    return None if sigma is None else 1.0 / sigma
