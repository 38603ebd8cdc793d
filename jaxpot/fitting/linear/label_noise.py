"""The noise of few labels beside that of many, for the covariance of fitted weights.

A mean needs only ratios of sigmas, and a cross-validation finds those that predict best: some make a fit nearly blind
to energies, which cost little beside tens of thousands of forces. Its energies may be right all the same, but a
covariance of such a fit says that they are not known.
"""

from collections.abc import Callable, Sequence

import numpy as np

from jaxpot.errors import DataError
from jaxpot.fitting.linear.moments import Moments, WhitenedPosterior, solution, weighted
from jaxpot.typing import AnyArray

_PROBES = 64  # draws that mean variances are estimated by
_WORTHWHILE = 0.01  # of the cost: below that a trial is no better
_ROUNDING = 1e-3  # of the prior's precision
_STRONGEST = 1e3  # prior that is tried again, ten times stronger
_SYMMETRY = 1e-8  # of the largest variance: parts with a smaller one are crystals at rest, whose forces are zero
_FARTHEST = 10  # powers of two from the start


def label_noise(
    whole: dict[str, Moments], parts: Sequence[tuple[dict[str, Moments], WhitenedPosterior]], noise: dict[str, float],
    column: AnyArray, progress: Callable[[str], None] | None = None,
) -> dict[str, float]:
    """Factors of the sigmas that the covariance is made with, beside those of the mean: 1 for forces.

    Let t be the median over parts that were left out of rms error / rms deviation of their forces: errors of a
    potential are the same in all frames, and the deviation, which takes them for independent, is too small by t. With
    sigmas and deltas times t, sigma of each other kind minimises the sum over parts of mse / V + log V,
    V = tr[(covariance of the weights) A^T A] / N + sigma^2 being the mean variance of a label, in factors of 2.

    Args:
        whole: kind -> `Moments` of all rows.
        parts: pairs (kind -> `Moments` of what was left out, `WhitenedPosterior` of the fit to the rest).
        noise, column: factors of sigmas and of the columns that the mean was fitted with.
        progress: called with a sentence.

    Returns:
        Kind -> factor of its sigma.

    References:
        P. Grunwald, T. van Ommen, Bayesian Anal. 12, 1069 (2017) (tempered likelihoods of wrong models).
    """
    factors = dict.fromkeys(whole, 1.0)
    if "forces" not in whole:
        return factors
    column = np.asarray(column)
    probes = np.random.default_rng(0).choice((-1.0, 1.0), (len(column), _PROBES))
    errors = [
        {kind: max(float(part.residual(column * fit.mean)), 0.0) for kind, part in held.items()} for held, fit in parts
    ]

    def spreads(sigmas):
        """For each part, kind -> mean variance of the potential, in units of the sigma given."""
        for held, _ in parts:
            draws = column[:, None] * without(whole, held, sigmas, column).moved(probes)
            yield {k: np.sum(draws * (p.gram @ draws)) / (_PROBES * float(p.count)) for k, p in held.items()}

    given = [
        (squares["forces"], spread["forces"])
        for squares, spread in zip(errors, spreads(noise), strict=True) if "forces" in squares
    ]
    largest = max((spread for _, spread in given), default=0.0)
    if not largest > 0.0:
        return factors
    square = float(np.median([squares / spread for squares, spread in given if spread > _SYMMETRY * largest]))

    def cost(kind, factor):
        sigmas, total = {k: noise[k] * (factor if k == kind else f) for k, f in factors.items()}, 0.0
        largest = sum(np.diagonal(part.gram) / sigmas[k] ** 2 for k, part in whole.items()) * column**2
        if np.finfo(float).eps * largest.max() > _ROUNDING:  # rounding would hide the prior beside such labels
            return np.inf
        for squares, spread in zip(errors, spreads(sigmas), strict=True):
            if kind in squares:
                variance = square * (spread[kind] + sigmas[kind] ** 2)
                total += squares[kind] / variance + np.log(variance)
        return total / len(parts)

    for kind in sorted({kind for held, _ in parts for kind in held} - {"forces"}):
        best, least = 0, cost(kind, 1.0)
        for step in (-1, 1):
            while abs(best + step) <= _FARTHEST:
                trial = cost(kind, 2.0 ** (best + step))
                if not trial < least - _WORTHWHILE:
                    break
                best, least = best + step, trial
        factors[kind] = 2.0**best
        if progress:
            progress(f"covariance with {factors[kind]:.3g} of the sigma of {kind}: cost {least:.3f}")
    return factors


def without(
    whole: dict[str, Moments], held: dict[str, Moments], sigmas: dict[str, float], column: AnyArray,
    progress: Callable[[str], None] | None = None,
) -> WhitenedPosterior:
    """`WhitenedPosterior` of all rows but those held.

    Differences of sums have the rounding of the whole: where that hides the prior, one that is as strong stands in,
    and progress is called with a sentence.

    Raises:
        DataError: rounding hides even one of 10^4 times the precision.
    """
    others = {kind: part - held[kind] if kind in held else part for kind, part in whole.items()}
    sums, prior = weighted(others, sigmas), 1.0
    while True:
        try:
            fit = solution(*sums, column, prior)
            if progress and prior > 1.0:
                count = sum(int(part.count) for part in held.values())
                progress(f"the fit without {count} labels has a prior {prior:g} times as precise: rounding hides it")
            return fit
        except DataError:
            if prior > _STRONGEST:
                raise
            prior *= 10.0
