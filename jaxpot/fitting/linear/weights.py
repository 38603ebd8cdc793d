"""From whitened weights to a potential with its deltas, and to the posterior of its weights."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpot.fitting.linear.moments import Moments, WhitenedPosterior, unwhiten
from jaxpot.fitting.linear.rows import linear_terms
from jaxpot.potentials.base import Potential, Sum, summands, weight_mask
from jaxpot.potentials.described import is_linear
from jaxpot.potentials.posterior import Posterior
from jaxpot.readouts.base import along
from jaxpot.typing import AnyArray


def with_weights(
    potential: Potential, weights: Sequence[AnyArray], scales: Sequence[float | AnyArray] | None = None
) -> Potential:
    """Put other weights into a potential, a list with those of each term.

    Args:
        potential: terms that `linear_terms` finds.
        weights: of each term.
        scales: what delta of each term is multiplied with, a number or one for each weight; the energy stays that of
            weights and delta as they are (`Readout.rescaled`).
    """
    filled = []
    for k, (term, alpha) in enumerate(zip(linear_terms(potential), weights, strict=True)):
        scale, readout = 1.0 if scales is None else scales[k], term.readout
        own = readout.rescaled(np.asarray(alpha), scale)
        readout = readout.replace(weights=own, delta=np.asarray(readout.delta, float) * scale)
        filled.append(term.replace(readout=readout))
    return Sum.or_one(filled)


def common_scale(
    moments: dict[str, Moments], noise: dict, weights: AnyArray, whitened: AnyArray, columns: int
) -> float:
    """Factor for all sigmas and deltas that makes the targets most probable, ().

    Multiplying them by one number changes no prediction; the likelihood is greatest where its square is the objective
    at its minimum over the number of targets (C. E. Rasmussen, C. K. I. Williams (2006), equation 2.30).

    Args:
        moments, noise: as for `posterior`.
        weights: whitened and scaled, (M,).
        whitened: of the prior N(0, 1), (M,).
        columns: number of weights that have a prior of the data's own.
    """
    square = sum(
        float(part.residual(weights) * np.maximum(part.count, 1.0)) / noise[kind] ** 2
        for kind, part in moments.items()
    )
    count = sum(float(part.count) for part in moments.values())
    total = max(square, 0.0) + float(np.sum(np.asarray(whitened)[:columns] ** 2))
    return float(np.sqrt(total / count)) if total > 0.0 and count else 1.0


def weight_posterior(
    fitted: Potential, whitened: WhitenedPosterior, factors: Sequence[AnyArray], scales: Sequence[float | AnyArray],
    common: float, sigmas: dict[str, float], jitters: Sequence[float | None],
) -> Posterior:
    """`Posterior` of the weights of a fitted potential.

    With L the Cholesky factors of the prior precisions of the terms' weights, m the whitened weights and P the factor
    of their precision, the weights are L^-T m scale / common and their covariance is C C^T, C = L^-T P^-T scale: of
    readouts whose delta is as it was before the fit, see `Readout.rescaled`.

    Args:
        fitted: the potential, a sum; of the terms with weights those that were fitted come first.
        whitened: `WhitenedPosterior` of the whitened weights, those of no term (offsets) last.
        factors: L of each term.
        scales: what delta of each term was multiplied with, `common` included.
        common: see `common_scale`.
        sigmas, jitters: see `Posterior`.
    """
    terms: list[Any] = [term for term in summands(fitted) if is_linear(term)][: len(factors)]
    of_terms = whitened.mean[: sum(map(len, factors))]
    spread, mean = [], []
    for term, scale, root, weights in zip(
        terms, scales, whitened.spread(factors), unwhiten(of_terms, factors), strict=True
    ):
        spread.append(term.readout.rescaled(along(scale, root) * root, scale))
        mean.append(term.readout.rescaled(np.asarray(weights) * (scale / common), scale))
    factor = jnp.asarray(np.concatenate(spread))
    posterior = Posterior(fitted, factor, sigmas, mask=weight_mask(fitted, terms), jitters=tuple(jitters))
    return posterior.replace(potential=posterior.with_parameters(jnp.asarray(np.concatenate(mean))))
