"""Regularised least squares for models linear in their weights, from moments of whitened rows.

The prior of the weights of one term is N(0, K^-1), K the covariance of its sparse points. Rows A of the design matrix
are whitened, A L^-T with K = L L^T, so that the prior is the unit matrix; then the normal equations are as good as a
QR factorisation (3e-10 eV apart, where those of A itself lose all digits, K being singular to rounding). Only moments
are kept, for each group of rows: memory is O(M^2), and any noise, any scale of a term and any fold of a
cross-validation is one factorisation more, without another look at the data.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from scipy.linalg import cho_solve, cholesky

from jaxpot.core.pytree import pytree
from jaxpot.errors import DataError

_BLOCK = 512  # rows that are whitened and multiplied at once


@pytree
class Moments:
    """Of rows a_i and targets y_i, both divided by sigma_i: sum a a^T (M, M), sum a y (M,), and sums of numbers ()."""

    gram: jax.Array
    cross: jax.Array
    square: jax.Array  # sum y^2
    count: jax.Array
    log_sigma: jax.Array  # sum log sigma_i

    @classmethod
    def none(cls, width):
        return cls(jnp.zeros((width, width)), jnp.zeros(width), *(jnp.zeros(()) for _ in range(3)))

    def __add__(self, other):
        return jax.tree.map(jnp.add, self, other)

    def __sub__(self, other):
        return jax.tree.map(jnp.subtract, self, other)

    def residual(self, weights):
        """Mean square of (y - a . weights) / sigma, ()."""
        explained = weights @ (self.gram @ weights)
        return (self.square - 2.0 * self.cross @ weights + explained) / jnp.maximum(self.count, 1.0)


class Accumulator:
    """Adds rows to the moments of their groups, a block at a time.

    Args:
        factors: lower Cholesky factors of the covariances of the terms' sparse points, in the order of the columns.
    """

    def __init__(self, factors):
        self.factors = tuple(factors)
        self.width = sum(len(f) for f in self.factors)
        self._moments, self._waiting = {}, {}

    def add(self, group, rows, targets, sigmas):
        """Rows (R, M), targets (R,), and their standard deviations, one or (R,)."""
        rows, targets = np.asarray(rows), np.asarray(targets)
        sigmas = np.broadcast_to(np.asarray(sigmas, float), targets.shape)
        if group not in self._waiting:
            self._waiting[group] = (np.zeros((_BLOCK, self.width)), np.zeros(_BLOCK), np.ones(_BLOCK), 0)
            self._moments[group] = Moments.none(self.width)
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

    def finish(self):
        """Group -> `Moments` of all rows so far."""
        for group in self._waiting:
            self._flush(group)
        return dict(self._moments)

    def state(self):
        """Group -> arrays that `restore` makes the same state of: gram, cross, sums, and the rows that wait."""
        found = {}
        for group, (rows, targets, sigmas, filled) in self._waiting.items():
            moments = self._moments[group]
            sums = np.array([moments.square, moments.count, moments.log_sigma])
            waiting = (part[:filled] for part in (rows, targets, sigmas))
            found[group] = (np.asarray(moments.gram), np.asarray(moments.cross), sums, *waiting)
        return found

    def restore(self, state):
        """Begin with what `state` has returned instead of with nothing."""
        for group, (gram, cross, sums, rows, targets, sigmas) in state.items():
            self.add(group, rows, targets, sigmas)
            self._moments[group] = Moments(*(jnp.array(part) for part in (gram, cross, *sums)))

    def _flush(self, group):
        rows, targets, sigmas, filled = self._waiting[group]
        if not filled:
            return
        rows[filled:], targets[filled:], sigmas[filled:] = 0.0, 0.0, 1.0
        # Waited for: else the buffers would be filled again while they are read.
        self._moments[group] = jax.block_until_ready(
            _add(self._moments[group], rows, targets, sigmas, float(filled), self.factors)
        )
        self._waiting[group] = (rows, targets, sigmas, 0)


@partial(jax.jit, donate_argnums=0)
def _add(moments, rows, targets, sigmas, count, factors):
    white = whiten(rows / sigmas[:, None], factors)
    scaled = targets / sigmas
    return moments + Moments(
        white.T @ white, scaled @ white, jnp.sum(scaled * scaled), count, jnp.sum(jnp.log(sigmas))
    )


def whiten(rows, factors):
    """A L^-T, term by term: rows (R, M) and lower factors of (M_t, M_t)."""
    cuts = np.cumsum([len(f) for f in factors])[:-1]
    parts = jnp.split(rows, cuts, axis=1)
    return jnp.concatenate([
        solve_triangular(f, part.T, lower=True).T for f, part in zip(factors, parts, strict=True)
    ], axis=1)


def unwhiten(weights, factors):
    """Weights of the terms, L^-T w: (M,) to a list of (M_t,)."""
    cuts = np.cumsum([len(f) for f in factors])[:-1]
    return [
        solve_triangular(f, part, lower=True, trans=1)
        for f, part in zip(factors, jnp.split(weights, cuts), strict=True)
    ]


@pytree
class Posterior:
    """Whitened weights: mean (M,), and lower Cholesky factor of the inverse of their covariance (M, M)."""

    mean: jax.Array
    factor: jax.Array


def posterior(moments, noise, scales=None):
    """The weights that minimise sum_g sum_i (y_i - a_i . w)^2 / (s_g sigma_i)^2 + sum_t |w_t|^2 / d_t^2.

    Args:
        moments: group -> `Moments`.
        noise: group -> s_g, factors for the standard deviations that the rows were divided by.
        scales: d_t repeated for every column, (M,); None: 1.

    Returns:
        `Posterior` of w_t / d_t: multiply by the scales.
    """
    precision, cross = map(np.asarray, _system(moments, noise, scales))
    # SciPy: seven times faster than JAX's on a CPU, and nothing is differentiated here.
    factor = cholesky(precision, lower=True, check_finite=False)
    mean = cho_solve((factor, True), cross, check_finite=False)
    # Once more, for what rounding has left.
    mean = mean + cho_solve((factor, True), cross - precision @ mean, check_finite=False)
    return Posterior(mean, factor)


def log_evidence(moments, noise, scales=None):
    """Log marginal likelihood of the targets, (): log N(y | 0, A A^T + Sigma) with whitened, scaled rows A.

    -1/2 [log |I + A^T Sigma^-1 A| + y^T Sigma^-1 y - m^T (I + A^T Sigma^-1 A) m + sum log (2 pi sigma^2)]

    Differentiable by the logarithms of `noise` and `scales` (see `posterior`).

    References:
        C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), equations 5.8 and 8.14.
    """
    precision, cross = _system(moments, noise, scales)
    factor = jnp.linalg.cholesky(precision)
    half = solve_triangular(factor, cross, lower=True)
    total = 2.0 * jnp.sum(jnp.log(jnp.diagonal(factor))) - half @ half
    for group, found in moments.items():
        total = total + found.square / noise[group] ** 2 + 2.0 * found.log_sigma
        total = total + found.count * (jnp.log(2.0 * jnp.pi) + 2.0 * jnp.log(noise[group]))
    return -0.5 * total


@jax.jit
def _system(moments, noise, scales):
    gram = sum(m.gram / noise[g] ** 2 for g, m in moments.items())
    cross = sum(m.cross / noise[g] ** 2 for g, m in moments.items())
    if scales is not None:
        gram, cross = scales[:, None] * gram * scales, scales * cross
    return gram + jnp.eye(len(cross)), cross


def covariance_factor(covariance, jitter=1e-10):
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
