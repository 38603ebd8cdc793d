"""Laplace approximation of the last layer of networks: a posterior without a committee."""

from collections.abc import Callable

import numpy as np

from jaxpot.core.masks import masked, with_masked
from jaxpot.data.dataset import Dataset
from jaxpot.data.padded_frames import prepare_frames
from jaxpot.data.targets import Sigmas, check_data, labels_minus
from jaxpot.errors import DataError
from jaxpot.fitting.linear.accumulate import accumulate
from jaxpot.fitting.linear.hyperparameters import by_evidence, columns
from jaxpot.fitting.linear.moments import posterior
from jaxpot.potentials.base import Potential, Sum, summands, weight_mask
from jaxpot.potentials.described import Described, is_linear, leaves_residual
from jaxpot.potentials.posterior import Posterior
from jaxpot.readouts.network import Averaged


def last_layer_posterior(
    potential: Potential, dataset: Dataset, sigmas: Sigmas | None = None, *,
    baseline: Potential | None = None, progress: Callable[[str], None] | None = None,
) -> Posterior:
    """`Posterior` of the last layers of trained networks: the uncertainty that data leave of them.

    The energy is linear in the weights and the bias of the layer behind the last activation, and in the weights of
    readouts such as `Linear`, that of moment tensors, say. With a prior N(0, d^2) of them, a d for each network, and
    labels with the standard deviations s sigma, a factor s for each kind, they have the
    covariance (A^T A / (s sigma)^2 + 1 / d^2)^-1, A being the rows of the design matrix; s and d are those that make
    the labels most probable. The weights stay where the training has left them.

    It needs one network and one pass over the data, and does not see what other networks would have made of the data:
    compare its bars with frames that were left out (`jp.calibrate`).

    Args:
        potential: with `MLP`s whose last activation is the identity, as `jp.train` makes them, a linear readout of a
            descriptor, or a network of several hops with a `weight_mask`, such as `NequIP`: for each of its weights
            every frame is evaluated once.
        dataset: `Dataset` that they were trained on.
        sigmas: of labels of frames that give none of their own, a `Sigmas`.
        baseline: the last terms of the potential, which are known.
        progress: called with a sentence about what is being done.

    Returns:
        `Posterior`.

    Raises:
        DataError: no such networks, or data without labels.

    References:
        D. J. C. MacKay, Neural Computation 4, 448 (1992); E. Daxberger et al., Laplace redux: effortless Bayesian deep
        learning, NeurIPS 34 (2021), section 3.
    """
    check_data(dataset, None)
    sigmas = Sigmas() if sigmas is None else sigmas
    terms = _last_layers(potential, baseline)
    widths = [term.n_features for term in terms]
    together = Sum.or_one(terms)
    prepared = prepare_frames([frame.structure for frame in dataset], potential.cutoff)
    targets = labels_minus(dataset, _without(potential, terms))
    factors = [np.eye(width) for width in widths]
    moments = accumulate(together, dataset, prepared, targets, sigmas, factors, progress=progress)
    moments = {(kind, 0): part for (kind, _), part in moments.items()}
    chosen = by_evidence(moments, widths)
    noise = {group: chosen.noise[group[0]] for group in moments}
    whitened = posterior(moments, noise, np.asarray(columns(chosen.scales, widths)))
    spread = [d * part for d, part in zip(chosen.scales, whitened.spread(factors), strict=True)]
    given = {kind: factor * getattr(sigmas, kind) for kind, factor in chosen.noise.items()}
    mask = weight_mask(potential, terms)
    return Posterior(potential, np.concatenate(spread), given, mask=mask, jitters=(None,) * sum(mask))


def has_last_layer(potential: Potential) -> bool:
    """Whether a potential, or a term of it, is linear in weights that `last_layer_posterior` can tell the bars of."""
    return any(_has_last_layer(term) for term in summands(potential))


def _last_layers(potential, baseline):
    """Terms with last layers, but those of the baseline."""
    known = () if baseline is None else summands(baseline)
    trained = summands(potential)
    terms = [term for term in trained[: len(trained) - len(known)] if _has_last_layer(term)]
    if not terms:
        raise DataError(
            f"{potential!r} has no network whose last layer is linear: expected one of each element, one of several "
            "hops, or a descriptor with a linear readout; the bars of several are their spread, jp.train(...).posterior"
        )
    return terms


def _has_last_layer(term):
    """Whether a term is linear in weights of its own: not in those of a Gaussian process, or of a mean of networks."""
    if not is_linear(term) or leaves_residual(term):
        return False
    averaged = isinstance(term, Described) and isinstance(getattr(term.readout, "network", None), Averaged)
    return not averaged


def _without(potential, terms):
    """Potential whose last layers add nothing."""
    silent = {id(term): with_masked(term, term.weight_mask(), [0.0 * w for w in _weights(term)]) for term in terms}
    return Sum.or_one([silent.get(id(term), term) for term in summands(potential)])


def _weights(term):
    return masked(term, term.weight_mask())
