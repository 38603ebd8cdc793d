"""The oracle of the neighbour tests: an explicit sum over images in NumPy, written without cleverness."""

import itertools

import numpy as np

from jaxpot.core.neighbors import periodic_cell


def image_pairs(positions, cell, pbc, cutoff):
    """Every pair with 0 < |r_j + shift @ cell - r_i| < cutoff: keys (p, 5) = i, j, shift; vectors (p, 3)."""
    full = periodic_cell(cell, pbc)
    pbc = np.asarray(pbc)
    heights = abs(np.linalg.det(full)) / np.linalg.norm(np.cross(full[[1, 2, 0]], full[[2, 0, 1]]), axis=1)
    home = np.where(pbc, np.floor(positions @ np.linalg.inv(full)), 0.0)
    wrapped = positions - home @ full
    reach = [range(-int(cutoff / h) - 2, int(cutoff / h) + 3) if p else (0,) for h, p in zip(heights, pbc, strict=True)]
    images = np.array(list(itertools.product(*reach)), dtype=float).reshape(-1, 3)
    keys, found = [np.zeros((0, 5), int)], [np.zeros((0, 3))]
    for i in range(len(positions)):
        for j in range(len(positions)):
            vectors = wrapped[j] - wrapped[i] + images @ full
            keep = (np.linalg.norm(vectors, axis=1) < cutoff) & ((i != j) | (np.abs(images).sum(1) > 0))
            shifts = (images[keep] - home[j] + home[i]).round().astype(int)
            keys.append(np.column_stack([np.full((len(shifts), 2), (i, j)), shifts]))
            found.append(vectors[keep])
    return np.concatenate(keys), np.concatenate(found)


def pair_energy(positions, cell, pbc, cutoff, pair):
    """(1/2) sum of pair(r) over all ordered pairs, and the same with |pair(r)| as a scale."""
    values = pair(np.linalg.norm(image_pairs(positions, cell, pbc, cutoff)[1], axis=1))
    return 0.5 * float(np.sum(values)), 0.5 * float(np.sum(np.abs(values)))


def random_case(rng, thinness=5.0):
    """A random cell of the nasty kind: thin, sheared, left-handed, partly periodic, atoms far outside."""
    n = int(rng.integers(0, 9))
    cutoff = float(rng.uniform(1.0, 4.0))
    lengths = rng.uniform(1.0, 3.0, 3) * cutoff
    lengths[rng.integers(3)] = cutoff / rng.uniform(1.0, thinness)
    cell = np.diag(lengths)
    if rng.random() < 0.7:
        cell = cell + np.tril(rng.uniform(-1, 1, (3, 3)), -1) * lengths
    cell = cell[rng.permutation(3)] @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    pbc = tuple(bool(b) for b in rng.random(3) < 0.6)
    fractional = rng.random((n, 3))
    if rng.random() < 0.5:
        fractional = fractional + rng.integers(-100, 101, (n, 3)) * np.asarray(pbc)
    positions = fractional @ cell
    if rng.random() < 0.3:
        cell = np.where(np.asarray(pbc)[:, None], cell, rng.choice([0.0, 1.0]))
    return positions, cell, pbc, cutoff
