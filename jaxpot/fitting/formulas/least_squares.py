"""Search within the unit cube: starts all over it, and least squares from one of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_WORSE = 4.0  # the damping grows by that after a step that does not lead down
_LITTLE = 1e-10  # of the cost: a step that gains less is not worth an evaluation
_CONVERGED = 1e-6  # of the cost: what an undamped step gains at most where a search has converged
_NOTHING = 1e-22  # a cost that is rounding: errors are 1e-11 of their sigmas
_ENOUGH = 1e-4  # of what a step should gain, for it to be taken
_SINGULAR = 1e-10  # of the largest singular value: directions that change nothing


def latin_hypercube(count: int, dimensions: int, seed: int) -> np.ndarray:
    """Points in the unit cube, (count, dimensions): in each coordinate one in every n-th part.

    References:
        M. D. McKay, R. J. Beckman, W. J. Conover, Technometrics 21, 239 (1979).
    """
    chance = np.random.default_rng(seed)
    strata = np.stack([chance.permutation(count) for _ in range(dimensions)], axis=1)
    return (strata + chance.random((count, dimensions))) / count


@dataclass(frozen=True)
class Minimum:
    """End of a search by least squares: y (P,), the residuals (N,) and their Jacobian (N, P) there."""

    y: np.ndarray
    residuals: np.ndarray
    jacobian: np.ndarray
    steps: int
    converged: bool

    @property
    def cost(self) -> float:
        """Sum of the squares."""
        return float(self.residuals @ self.residuals)


def least_squares(residuals: Callable, jacobian: Callable, start: np.ndarray, steps: int) -> Minimum | None:
    """Minimum of sum_k r_k(y)^2 in the unit cube, by Levenberg and Marquardt's method with bounds.

    A step p minimises |r + J p|^2 + mu |D p|^2, D the largest norms that the columns of J have had; coordinates that
    would leave the cube are put to their bound, and the rest is solved for anew.

    Args:
        residuals: y -> (N,), or None where there is no value: such a step is not taken.
        jacobian: y -> (N, P), or None.
        start: (P,).
        steps: the most of them.

    Returns:
        `Minimum`; None where the start has no value, or no Jacobian.

    References:
        D. W. Marquardt, J. Soc. Ind. Appl. Math. 11, 431 (1963); J. J. More, Lecture Notes in Math. 630, 105 (1978);
        H. B. Nielsen, Damping parameter in Marquardt's method, IMM-REP-1999-05 (1999), for mu.
    """
    y, r = np.array(start), residuals(start)
    slopes = None if r is None else jacobian(start)
    if slopes is None:
        return None
    largest, damping, worse = np.zeros(len(y)), 1e-3, _WORSE
    for count in range(steps + 1):
        largest = np.maximum(largest, np.linalg.norm(slopes, axis=0))
        scale = np.where(largest > 0.0, largest, 1.0)
        q, small = np.linalg.qr(slopes)
        rotated, cost = q.T @ r, r @ r
        left = _left_to_gain(small, rotated, y)
        end = Minimum(y, r, slopes, count, bool(left <= _CONVERGED * cost or cost <= _NOTHING))
        if count == steps or left <= _LITTLE * cost or cost <= _NOTHING:
            return end
        after = None
        while after is None:
            move = _step(small, rotated, np.sqrt(damping) * scale, y)
            gain = rotated @ rotated - np.sum((rotated + small @ move) ** 2)
            if damping > 1.0 and gain <= _LITTLE * cost:
                return end
            trial = np.clip(y + move, 0.0, 1.0)
            new_residuals = residuals(trial) if gain > 0.0 else None
            share = -1.0 if new_residuals is None else (cost - new_residuals @ new_residuals) / gain
            after = jacobian(trial) if share > _ENOUGH else None
            if after is None:
                damping, worse = damping * worse, 2.0 * worse
        y, r, slopes = trial, new_residuals, after
        damping, worse = damping * max(1.0 / 3.0, 1.0 - (2.0 * share - 1.0) ** 3), _WORSE
    return None  # steps < 0


def _left_to_gain(small, rotated, y):
    """Gain of an undamped step, of coordinates that are not at a bound which they want to leave by."""
    slope = small.T @ rotated
    free = ~(((y <= 0.0) & (slope > 0.0)) | ((y >= 1.0) & (slope < 0.0)))
    along = small[:, free]
    return np.sum((along @ np.linalg.lstsq(along, rotated, rcond=_SINGULAR)[0]) ** 2)


def _step(small, rotated, damping, y):
    """Damped step within the cube, (P,)."""
    move, moving = np.zeros(len(y)), np.ones(len(y), bool)
    while moving.any():
        system = np.concatenate([small[:, moving], np.diag(damping[moving])])
        target = np.concatenate([-rotated - small[:, ~moving] @ move[~moving], np.zeros(moving.sum())])
        move[moving] = np.linalg.lstsq(system, target, rcond=None)[0]
        beyond = moving & ((y + move < 0.0) | (y + move > 1.0))
        if not beyond.any():
            break
        move[beyond] = np.where(move[beyond] < 0.0, 0.0, 1.0) - y[beyond]
        moving &= ~beyond
    return move
