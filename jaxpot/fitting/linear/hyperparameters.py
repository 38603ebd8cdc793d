"""Noise of the targets and scales of the terms, chosen from the training data: by cross-validation or by evidence.

Both need only moments (`linear.moments`), so a trial is a factorisation or a few, and never another look at the rows.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from jaxpot.errors import DataError
from jaxpot.fitting.linear.moments import Moments, log_evidence, solution, weighted
from jaxpot.typing import AnyArray

ALWAYS = -1  # the fold of what is never left out
CHOICES = ("cross-validation", "evidence", "fixed")


@dataclass(frozen=True)
class Chosen:
    """Factors that what was given is multiplied with.

    Attributes:
        noise: kind ("energy", "forces", "stress") -> factor for the standard deviations of its rows.
        scales: factor for delta of each term, or of each of its blocks.
        value: what was minimised: sum over kinds of log root mean square error of the left-out frames, each in
            units of its sigma (cross-validation), or minus the log evidence.
        tried: number of trials.
    """

    noise: dict
    scales: tuple
    value: float | None = None
    tried: int = 0


def total(moments: dict[tuple, Moments], leave: int | None = None) -> dict[str, Moments]:
    """Moments by kind: those of all groups, but one, added."""
    sums: dict[str, Moments] = {}
    for (kind, group), part in moments.items():
        if leave is None or group != leave:
            sums[kind] = sums[kind] + part if kind in sums else part
    return sums


def columns(scales: Sequence[float] | AnyArray, widths: Sequence[int]) -> jax.Array:
    """Repeat each term's factor for all of its columns. Trailing columns of no term (stress offsets) get 1."""
    of_blocks = jnp.concatenate([jnp.asarray(scales), jnp.ones(len(widths) - len(scales))])
    return jnp.repeat(of_blocks, np.asarray(widths), total_repeat_length=int(np.sum(widths)))


def by_cross_validation(
    moments: dict[tuple, Moments], widths: Sequence[int], progress: Callable[[str], None] | None = None,
    known: dict | None = None, offer: Callable[[dict], None] | None = None, shared: Sequence[int] | None = None,
    scales_first: bool = False,
) -> Chosen:
    """Factors with which frames that were left out are predicted best.

    Minimises sum over kinds of log RMSE, the root mean square error over all folds, each predicted by the fit to
    the others. The search goes from the values given in factors of 2, one number after the other, until none helps.
    The delta of the first term stays: multiplying all deltas and sigmas by one number changes no prediction.

    Args:
        moments: (kind, fold) -> `Moments`; what belongs to the fold `ALWAYS` is never left out.
        widths: number of weights of each term, and of what is no term after them.
        progress: called with a sentence.
        known: what trials have given, from an earlier call with the same moments: they are not made again.
        offer: called with all of them after each new one.
        shared: for each width of terms the number of its scale, ascending from 0; None: each has its own.
        scales_first: go through the scales before the sigmas, whose ratio says little while many scales are far off,
            and leave that ratio where another is no better than chance has it: the error of few energies is uncertain.

    Returns:
        `Chosen`.

    Raises:
        DataError: fewer than two folds.
    """
    shared = list(range(len(widths)) if shared is None else shared)
    folds = sorted({fold for _, fold in moments if fold != ALWAYS})
    kinds = sorted({kind for kind, fold in moments if fold != ALWAYS})
    if len(folds) < 2:
        raise DataError(f"cross-validation needs frames in at least 2 folds, got {len(folds)}")
    always = dict.fromkeys((kind for kind, _ in moments), 1.0)
    known, offer = dict(known or {}), offer or (lambda known: None)

    def value(trial):
        if trial not in known:
            exponents = 2.0 ** np.array(trial)
            noise = always | dict(zip(kinds, exponents, strict=False))  # those of the terms follow
            scale = columns(np.array([1.0, *exponents[len(kinds):]])[shared], widths)
            known[trial] = float(_left_out(moments, noise, scale))
            if progress:
                progress(f"cross-validation: trial {len(known)}, log error {known[trial]:.3f}")
            offer(known)
        return known[trial]

    best = (0,) * (len(kinds) + max(shared))
    while True:
        previous = best
        for k in (*range(len(kinds), len(best)), *range(len(kinds))) if scales_first else range(len(best)):
            least = _BEYOND_CHANCE if scales_first and k < len(kinds) else _WORTHWHILE
            for step in (1, -1):
                while True:
                    trial = (*best[:k], best[k] + step, *best[k + 1 :])
                    if abs(trial[k]) > _FARTHEST or value(trial) >= value(best) - least:
                        break
                    best = trial
        if best == previous:
            break
    factors = [float(2.0**k) for k in best]
    noise = always | dict(zip(kinds, factors, strict=False))
    scales = [1.0, *factors[len(kinds):]]
    return Chosen(noise, tuple(scales[k] for k in shared), value(best), len(known))


def _left_out(moments, noise, scale):
    """Sum over kinds of log RMSE, each fold predicted by the fit to everything else."""
    by_group = {group: noise[group[0]] for group in moments}
    gram, cross = weighted(moments, by_group)
    squares, least, counts = Counter(), Counter(), Counter()
    for fold in sorted({fold for _, fold in moments if fold != ALWAYS}):
        held = {group: part for group, part in moments.items() if group[1] == fold}
        own_gram, own_cross = weighted(held, by_group)
        try:
            weights = scale * solution(gram - own_gram, cross - own_cross, scale).mean
        except DataError:
            return np.inf  # such scales are no better than others
        for (kind, _), part in held.items():
            squares[kind] += float(part.residual(weights) * part.count)
            least[kind] += _ROUNDING * float(part.square)
            counts[kind] += float(part.count)
    # An error that is lost in rounding is no better than another one (and its square may be negative).
    return sum(0.5 * np.log(max(squares[kind], least[kind]) / counts[kind]) for kind in counts if least[kind])


def by_evidence(
    moments: dict[tuple, Moments], widths: Sequence[int], progress: Callable[[str], None] | None = None,
    known: dict | None = None, offer: Callable[[dict], None] | None = None, shared: Sequence[int] | None = None,
    scales_first: bool = False,
) -> Chosen:
    """Factors that make the targets most probable (`log_evidence`), by L-BFGS with its exact gradient.

    Args and returns: as `by_cross_validation`; neither the folds nor which numbers come first matter.
    """
    shared = list(range(len(widths)) if shared is None else shared)
    whole = total(moments)
    kinds = sorted(whole)

    @jax.jit
    @jax.value_and_grad
    def value_and_gradient(logs, whole):
        factors = jnp.exp(logs)
        scale = columns(factors[len(kinds):][np.array(shared)], widths)
        return -log_evidence(whole, dict(zip(kinds, factors, strict=False)), scale)

    known, offer = dict(known or {}), offer or (lambda known: None)

    def objective(logs):
        trial = tuple(logs.tolist())
        if trial not in known:
            minimum, slope = value_and_gradient(logs, whole)
            known[trial] = float(minimum), slope.tolist()
            if progress:
                progress(f"evidence: trial {len(known)}, log evidence {-float(minimum):.2f}")
            offer(known)
        return known[trial][0], np.array(known[trial][1])

    start = np.zeros(len(kinds) + max(shared) + 1)
    bounds = [(-_FARTHEST * np.log(2.0), _FARTHEST * np.log(2.0))] * len(start)
    minimum = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60})
    factors = [float(f) for f in np.exp(minimum.x)]
    scales = factors[len(kinds):]
    return Chosen(
        dict(zip(kinds, factors, strict=False)), tuple(scales[k] for k in shared), float(minimum.fun), len(known)
    )


_FARTHEST = 10  # powers of two from the values given
_ROUNDING = 1e-12  # of the sum of the squares of the targets
_WORTHWHILE = 1e-3  # of the log error: below that a trial is no better
_BEYOND_CHANCE = 0.02  # log error of some hundred energies: its standard error is 1 / sqrt(2 N)
