"""Sparse points: which of the vectors in the data a sparse Gaussian process is expressed in."""

import numpy as np

from jaxpot.errors import DataError
from jaxpot.kernels.base import Kernel

METHODS = ("cur", "farthest", "leverage", "random", "uniform")


def choose_points(
    vectors: np.ndarray, count: int, method: str = "cur", *, kernel: Kernel | None = None, seed: int = 0
) -> np.ndarray:
    """Indices of `count` of the vectors.

    - "cur": with probabilities proportional to the statistical leverage of a vector in the space of the right singular
      vectors that matter, sum_k u_ik^2; without replacement. GAP's usual choice.
    - "leverage": the same in the space of the kernel: ridge leverage scores k_ii - k_i^T (K + lambda)^-1 k_i against
      a random sample of landmarks.
    - "farthest": one after the other, the one farthest from those chosen, in the distance
      k(x, x) + k(y, y) - 2 k(x, y); the first by chance.
    - "random": all alike.
    - "uniform": nearest to the centres of a grid on the range of the data; few components only.

    Args:
        vectors: (N, d), NumPy.
        count: number of points; if there are fewer different vectors, all of these.
        method: see above.
        kernel: a `Kernel`, for "farthest" and "leverage".
        seed: of the random numbers; the same gives the same points.

    Returns:
        Sorted indices.

    Raises:
        DataError: no vectors, an unknown method.

    References:
        M. W. Mahoney, P. Drineas, CUR matrix decompositions for improved data analysis, PNAS 106, 697 (2009).
        A. P. Bartok, G. Csanyi, Int. J. Quantum Chem. 115, 1051 (2015), section on sparsification.
    """
    if method not in METHODS:
        raise DataError(f"sparse method: expected one of {', '.join(METHODS)}, got {method!r}")
    vectors = np.asarray(vectors, float)
    if vectors.ndim != 2 or not len(vectors):
        raise DataError(f"there are no vectors to choose sparse points from (shape {vectors.shape})")
    unlike = different(vectors)
    if len(unlike) <= count:
        return unlike
    rng = np.random.default_rng(seed)
    chosen = _CHOICES[method](vectors[unlike], int(count), kernel, rng)
    return np.sort(unlike[chosen])


def different(vectors: np.ndarray, chosen: np.ndarray | None = None) -> np.ndarray:
    """Sorted indices, of all or of those chosen, without those of equal vectors: their covariance would be singular."""
    chosen = np.arange(len(vectors)) if chosen is None else np.sort(chosen)
    _, first = np.unique(np.round(vectors[chosen], 12), axis=0, return_index=True)
    return chosen[np.sort(first)]


def _random(vectors, count, kernel, rng):
    return rng.choice(len(vectors), count, replace=False)


def _cur(vectors, count, kernel, rng):
    gram = vectors.T @ vectors
    values, axes = np.linalg.eigh(gram)
    matter = values > _SMALLEST * values[-1]
    scores = ((vectors @ axes[:, matter]) ** 2 / values[matter]).sum(1)
    return rng.choice(len(vectors), count, replace=False, p=scores / scores.sum())


def _leverage(vectors, count, kernel, rng):
    landmarks = vectors[rng.choice(len(vectors), min(len(vectors), count), replace=False)]
    covariance = np.asarray(kernel.matrix(landmarks, landmarks))
    factor = np.linalg.cholesky(covariance + _RIDGE * np.trace(covariance) / len(landmarks) * np.eye(len(landmarks)))
    scores = np.empty(len(vectors))
    for begin in range(0, len(vectors), _BATCH):
        part = vectors[begin : begin + _BATCH]
        seen = np.linalg.solve(factor, np.asarray(kernel.matrix(part, landmarks)).T)
        scores[begin : begin + _BATCH] = np.asarray(kernel.diagonal(part)) - (seen**2).sum(0)
    scores = np.maximum(scores, 1e-12 * max(scores.max(), 1e-300))
    return rng.choice(len(vectors), count, replace=False, p=scores / scores.sum())


def _farthest(vectors, count, kernel, rng):
    chosen = np.empty(count, int)
    chosen[0] = rng.integers(len(vectors))
    variances = np.asarray(kernel.diagonal(vectors))
    nearest = np.full(len(vectors), np.inf)
    for k in range(1, count):
        last = chosen[k - 1]
        covariance = np.asarray(kernel.matrix(vectors[last : last + 1], vectors))[0]
        nearest = np.minimum(nearest, variances + variances[last] - 2.0 * covariance)
        nearest[last] = -np.inf
        chosen[k] = np.argmax(nearest)
    return chosen


def _uniform(vectors, count, kernel, rng):
    dimension = vectors.shape[1]
    low, high = vectors.min(0), vectors.max(0)
    spread = np.where(high > low, high - low, 1.0)
    side = max(1, int(np.ceil(count ** (1.0 / dimension))))
    while True:
        cells = np.minimum((vectors - low) / spread * side, side - 1e-9).astype(int)
        _, cell = np.unique(cells, axis=0, return_inverse=True)
        if cell.max() + 1 >= count or side > _FINEST:
            break
        side += 1
    away = np.linalg.norm((vectors - low) / spread * side - cells - 0.5, axis=1)
    order = np.lexsort((away, cell.reshape(-1)))
    first = order[np.unique(cell.reshape(-1)[order], return_index=True)[1]]  # the most central of each cell
    if len(first) >= count:
        return rng.choice(first, count, replace=False)
    rest = np.setdiff1d(np.arange(len(vectors)), first)
    return np.concatenate([first, rng.choice(rest, count - len(first), replace=False)])


_CHOICES = {"random": _random, "cur": _cur, "leverage": _leverage, "farthest": _farthest, "uniform": _uniform}
_SMALLEST = 1e-12  # singular values squared below this part of the largest are rounding
_RIDGE = 1e-6
_BATCH = 4096
_FINEST = 4000
