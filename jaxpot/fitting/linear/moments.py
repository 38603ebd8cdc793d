"""Regularised least squares for models linear in their weights, from moments of whitened rows.

The prior of the weights of one term is N(0, K^-1), K the covariance of its sparse points. Rows A of the design matrix
are whitened, A L^-T with K = L L^T, so that the prior is the unit matrix; then the normal equations are as good as a
QR factorisation (3e-10 eV apart, where those of A itself lose all digits, K being singular to rounding). Only moments
are kept, for each group of rows: memory is O(M^2), and any noise, any scale of a term and any fold of a
cross-validation is one factorisation more, without another look at the data.
"""

import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import LinAlgError, blas, cho_solve, cholesky, lapack
from scipy.linalg import solve_triangular as triangular

from jaxpot.core import linalg
from jaxpot.core.pytree import pytree
from jaxpot.errors import DataError
from jaxpot.typing import AnyArray, ArrayLike

_BLOCK = 512  # rows that are whitened and multiplied at once


@pytree
class Moments:
    """Of rows a_i and targets y_i, both divided by sigma_i: sum a a^T (M, M), sum a y (M,), and sums of numbers ()."""

    gram: AnyArray
    cross: AnyArray
    square: AnyArray  # sum y^2
    count: AnyArray
    log_sigma: AnyArray  # sum log sigma_i

    def __add__(self, other: "Moments") -> "Moments":
        return jax.tree.map(operator.add, self, other)

    def __sub__(self, other: "Moments") -> "Moments":
        return jax.tree.map(operator.sub, self, other)

    def of_columns(self, places: AnyArray) -> "Moments":
        """Moments of some of the columns."""
        return Moments(
            self.gram[np.ix_(places, places)], self.cross[places], self.square, self.count, self.log_sigma
        )

    def residual(self, weights: AnyArray) -> AnyArray:
        """Mean square of (y - a . weights) / sigma, ()."""
        explained = weights @ (self.gram @ weights)
        return (self.square - 2.0 * self.cross @ weights + explained) / np.maximum(self.count, 1.0)


class Accumulator:
    """Adds rows to the moments of their groups, a block at a time, on the host: BLAS adds to one triangle in place.

    Args:
        factors: lower Cholesky factors of the covariances of the terms' sparse points, in the order of the columns.
    """

    def __init__(self, factors: Sequence[AnyArray]) -> None:
        self.factors = tuple(np.asfortranarray(f) for f in factors)
        self.width = sum(len(f) for f in self.factors)
        self._sums: dict[Any, tuple] = {}
        self._waiting: dict[Any, tuple] = {}

    def add(self, group: Any, rows: ArrayLike, targets: ArrayLike, sigmas: ArrayLike) -> None:
        """Rows (R, M), targets (R,), and their standard deviations, one or (R,)."""
        rows, targets = np.asarray(rows), np.asarray(targets)
        sigmas = np.broadcast_to(np.asarray(sigmas, float), targets.shape)
        if group not in self._waiting:
            self._waiting[group] = (np.zeros((_BLOCK, self.width)), np.zeros(_BLOCK), np.ones(_BLOCK), 0)
            self._sums[group] = (np.zeros((self.width, self.width), order="F"), np.zeros(self.width), np.zeros(3))
        begin = 0
        while begin < len(targets):
            *buffers, filled = self._waiting[group]
            take = min(_BLOCK - filled, len(targets) - begin)
            for buffer, given in zip(buffers, (rows, targets, sigmas), strict=True):
                buffer[filled : filled + take] = given[begin : begin + take]
            begin, filled = begin + take, filled + take
            self._waiting[group] = (*buffers, filled)
            if filled == _BLOCK:
                self._flush(group)

    def finish(self) -> dict[Any, Moments]:
        """Group -> `Moments` of all rows; this begins again with nothing."""
        for group in self._waiting:
            self._flush(group)
        finished = {group: Moments(_mirrored(gram), cross, *sums) for group, (gram, cross, sums) in self._sums.items()}
        self._sums, self._waiting = {}, {}
        return finished

    def state(self) -> dict[Any, tuple]:
        """Group -> arrays that `restore` makes the same state of: gram, cross, sums, and the rows that wait."""
        return {
            group: (*self._sums[group], *(buffer[:filled] for buffer in buffers))
            for group, (*buffers, filled) in self._waiting.items()
        }

    def restore(self, state: dict[Any, tuple]) -> None:
        """Begin with what `state` has returned instead of with nothing."""
        for group, (gram, cross, sums, rows, targets, sigmas) in state.items():
            self.add(group, rows, targets, sigmas)
            self._sums[group] = (np.array(gram, order="F"), np.array(cross), np.array(sums))

    def _flush(self, group):
        *buffers, filled = self._waiting[group]
        rows, targets, sigmas = (buffer[:filled] for buffer in buffers)
        gram, cross, sums = self._sums[group]
        white, begin = np.empty((self.width, filled), order="F"), 0
        for factor in self.factors:
            part = slice(begin, begin + len(factor))
            scaled = np.asfortranarray((rows[:, part] / sigmas[:, None]).T)
            white[part] = blas.dtrsm(1.0, factor, scaled, lower=1, overwrite_b=1)
            begin += len(factor)
        scaled = targets / sigmas
        gram = blas.dsyrk(1.0, white, beta=1.0, c=gram, lower=1, overwrite_c=1)
        sums += scaled @ scaled, filled, np.log(sigmas).sum()
        self._sums[group], self._waiting[group] = (gram, cross + white @ scaled, sums), (*buffers, 0)


def _mirrored(gram):
    """Fill the upper triangle of a symmetric matrix, in place."""
    for begin in range(0, len(gram), _BLOCK):
        end = begin + _BLOCK
        gram[:begin, begin:end] = gram[begin:end, :begin].T
        block = gram[begin:end, begin:end]
        block[:] = np.tril(block) + np.tril(block, -1).T
    return gram


def whiten(rows: AnyArray, factors: Sequence[AnyArray]) -> jax.Array:
    """Whitened rows A L^-T, term by term: rows (R, M) and lower factors of (M_t, M_t)."""
    cuts = np.cumsum([len(f) for f in factors])[:-1]
    parts = jnp.split(rows, cuts, axis=1)
    return jnp.concatenate([
        linalg.solve_lower(f, part.T).T for f, part in zip(factors, parts, strict=True)
    ], axis=1)


def unwhiten(weights: AnyArray, factors: Sequence[AnyArray]) -> list[jax.Array]:
    """Weights of the terms, L^-T w: (M,) to a list of (M_t,)."""
    cuts = np.cumsum([len(f) for f in factors])[:-1]
    return [
        linalg.solve_lower(f, part, transposed=True)
        for f, part in zip(factors, jnp.split(weights, cuts), strict=True)
    ]


@pytree(former=("jaxpot.fitting.linear:Posterior",))
class WhitenedPosterior:
    """Whitened weights: mean (M,), and lower Cholesky factor of the inverse of their covariance (M, M)."""

    mean: AnyArray
    factor: AnyArray

    def covariance(self) -> np.ndarray:
        """Covariance of the whitened weights, (M, M)."""
        return cho_solve((self.factor, True), np.eye(len(self.mean)), check_finite=False)

    def variances(self) -> np.ndarray:
        """Diagonal of the covariance of the whitened weights, (M,)."""
        inverse, _ = lapack.dpotri(self.factor, lower=1)
        return np.diagonal(inverse)

    def moved(self, z: AnyArray) -> np.ndarray:
        """By how much the whitened weights of standard normal z, (M, any), are off the mean."""
        return triangular(self.factor, z, lower=True, trans=1, check_finite=False)

    def spread(self, factors: Sequence[AnyArray]) -> list[np.ndarray]:
        """C with C C^T the covariance of the weights L^-T w of the terms that come first: a list of (M_t, M)."""
        root = triangular(np.asarray(self.factor), np.eye(len(self.mean)), lower=True, check_finite=False).T
        cuts = np.cumsum([0, *map(len, factors)])
        return [
            triangular(np.asarray(factor), root[begin:end], lower=True, trans=1, check_finite=False)
            for factor, begin, end in zip(factors, cuts[:-1], cuts[1:], strict=True)
        ]


def posterior(moments: dict[Any, Moments], noise: dict, scales: AnyArray | None = None) -> WhitenedPosterior:
    """Weights that minimise sum_g sum_i (y_i - a_i . w)^2 / (s_g sigma_i)^2 + sum_t |w_t|^2 / d_t^2.

    Args:
        moments: group -> `Moments`.
        noise: group -> s_g, factors for the standard deviations that the rows were divided by.
        scales: d_t repeated for every column, (M,); None: 1.

    Returns:
        `WhitenedPosterior` of w_t / d_t: multiply by the scales.
    """
    return solution(*weighted(moments, noise), scales)


def weighted(moments: dict[Any, Moments], noise: dict) -> tuple[AnyArray, AnyArray]:
    """Sums over the groups of gram (M, M) and cross (M,), each divided by s_g^2."""
    gram: Any = 0.0  # an array, and so is cross, once a group is there
    cross: Any = 0.0
    for group, part in moments.items():
        gram, cross = gram + part.gram / noise[group] ** 2, cross + part.cross / noise[group] ** 2
    return gram, cross


def solution(
    gram: AnyArray, cross: AnyArray, scales: AnyArray | None = None, prior: float = 1.0
) -> WhitenedPosterior:
    """`WhitenedPosterior` of sums that `weighted` returns.

    Args:
        gram, cross: the sums.
        scales: as of `posterior`.
        prior: precision of the whitened weights a priori, where rounding asks for more than 1.

    Raises:
        DataError: the prior is below the rounding of the rows.
    """
    gram, cross = np.asarray(gram), np.asarray(cross)
    scales = np.ones(len(cross)) if scales is None else np.asarray(scales)
    precision = gram * scales
    precision *= scales[:, None]
    precision.flat[:: len(cross) + 1] += prior
    # SciPy: seven times faster than JAX's on a CPU, and nothing is differentiated here. Transposed, it is not copied.
    try:
        factor = cholesky(precision.T, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError as error:
        raise DataError(
            "rounding hides the prior of the weights beside the rows: expected larger sigmas or smaller deltas"
        ) from error
    cross = scales * cross
    mean = cho_solve((factor, True), cross, check_finite=False)
    # Once more, for what rounding has left.
    rest = cross - prior * mean - scales * (gram @ (scales * mean))
    return WhitenedPosterior(mean + cho_solve((factor, True), rest, check_finite=False), factor)


def log_evidence(moments: dict[Any, Moments], noise: dict, scales: AnyArray | None = None) -> jax.Array:
    """Log marginal likelihood of the targets, (): log N(y | 0, A A^T + Sigma) with whitened, scaled rows A.

    -1/2 [log |I + A^T Sigma^-1 A| + y^T Sigma^-1 y - m^T (I + A^T Sigma^-1 A) m + sum log (2 pi sigma^2)]

    Differentiable by the logarithms of `noise` and `scales` (see `posterior`).

    References:
        C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), equations 5.8 and 8.14.
    """
    gram, cross = weighted(moments, noise)
    if scales is not None:
        gram, cross = scales[:, None] * gram * scales, scales * cross
    factor = linalg.cholesky(gram + jnp.eye(len(cross)))
    half = linalg.solve_lower(factor, cross)
    total = 2.0 * jnp.sum(jnp.log(jnp.diagonal(factor))) - half @ half
    for group, part in moments.items():
        total = total + part.square / noise[group] ** 2 + 2.0 * part.log_sigma
        total = total + part.count * (jnp.log(2.0 * jnp.pi) + 2.0 * jnp.log(noise[group]))
    return -0.5 * total


def covariance_factor(covariance: AnyArray, jitter: float = 1e-10) -> tuple[jax.Array, float]:
    """Lower Cholesky factor of a covariance with jitter times its mean variance on the diagonal.

    The jitter is raised tenfold until rounding does not hide the smallest pivot.

    Returns:
        (factor (M, M), the jitter that was used).

    Raises:
        DataError: even 1e-4 is not enough, or the covariance is not finite.
    """
    covariance = np.asarray(covariance)
    scale = covariance.diagonal().mean()
    if not np.isfinite(covariance).all() or scale <= 0.0:
        raise DataError("the covariance of the sparse points is not finite and positive: do they have weights?")
    while jitter <= _LARGEST_JITTER:
        try:
            factor = np.linalg.cholesky(covariance + jitter * scale * np.eye(len(covariance)))
        except np.linalg.LinAlgError:
            jitter *= 10.0
            continue
        return jnp.asarray(factor), jitter
    raise DataError(f"the covariance of {len(covariance)} sparse points is singular even with jitter {jitter / 10:.0e}")


_LARGEST_JITTER = 1e-4
