"""Backward elimination: models of fewer components, from the moments of the rows of all."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxpot.fitting.linear.columns import Columns
from jaxpot.fitting.linear.hyperparameters import ALWAYS, columns
from jaxpot.fitting.linear.moments import Moments, WhitenedPosterior, solution, weighted
from jaxpot.potentials.base import Potential, Sum, summands
from jaxpot.potentials.described import is_linear
from jaxpot.typing import AnyArray

_STEP = 2.0**-0.25  # of the number of components, at a time
_SHOWN = 2  # of these steps between two sizes whose error is told
_FEWEST = 16  # components


@dataclass(frozen=True)
class Size:
    """A model of fewer components, and what it would err by.

    Attributes:
        components: of all terms that can have fewer.
        errors: kind -> root mean square error of the frames that were left out, over that of all components.
    """

    components: int
    errors: dict[str, float]


def eliminated(
    gram: AnyArray, cross: AnyArray, scales: AnyArray, groups: Sequence[AnyArray], least: Sequence[int]
) -> Iterator[tuple[np.ndarray, WhitenedPosterior]]:
    """Iterate over fits of fewer and fewer columns, from all of them on.

    Of the weights w with the covariance C, those go whose loss increases the objective least, w_i^2 / (2 C_ii) where
    the others are fitted anew; a sixth of each group at a time.

    Args:
        gram, cross: sums over the rows, (M, M) and (M,), as for `solution`.
        scales: of the columns, (M,).
        groups: numbers of the columns that may go; of each group as large a part.
        least: how many of each group are to be left.

    Yields:
        (numbers of the columns that are left, `WhitenedPosterior` of their weights).

    References:
        B. Hassibi, D. G. Stork, NIPS 5, 164 (1993): optimal brain surgeon.
    """
    groups, scales = [np.asarray(group) for group in groups], np.asarray(scales)
    others = np.setdiff1d(np.arange(len(cross)), np.concatenate(groups))
    steps = max(
        math.ceil(round(math.log(few / len(group)) / math.log(_STEP), 9)) if few < len(group) else 0
        for group, few in zip(groups, least, strict=True)
    )
    sizes = [(len(group), few) for group, few in zip(groups, least, strict=True)]
    for step in range(steps + 1):
        here = np.sort(np.concatenate([others, *groups]))
        fit = solution(gram[np.ix_(here, here)], cross[here], scales[here])
        yield here, fit
        if step == steps:
            return
        loss = np.full(len(cross), np.inf)
        loss[here] = fit.mean**2 / fit.variances()
        counts = [max(few, round(size * _STEP ** (step + 1))) for size, few in sizes]
        if step + 1 == steps:
            counts = [few for _, few in sizes]
        groups = [
            group[np.argsort(-loss[group], kind="stable")[:count]] for group, count in zip(groups, counts, strict=True)
        ]


def error_path(
    moments: dict[tuple, Moments], parts: Columns, noise: dict, scales: Sequence[float],
    progress: Callable[[str], None],
) -> tuple[Size, ...]:
    """Errors of models of fewer components: of each fold, by the components that the other folds choose.

    Args:
        moments: (kind, fold) -> `Moments`.
        parts: of the columns.
        noise, scales: factors of the sigmas, and of the deltas of all blocks, that were chosen.
        progress: called with a sentence.

    Returns:
        `Size`s, of all components first; none without terms that can have fewer, or without folds.
    """
    groups = [group for group, free in zip(parts.of_terms, parts.removable, strict=True) if free]
    folds = sorted({fold for _, fold in moments if fold not in (None, ALWAYS)})
    if not groups or len(folds) < 2 or sum(map(len, groups)) < 2 * _FEWEST:
        return ()
    progress(f"fewer components, {len(folds)} times")
    column = np.asarray(columns(scales, parts.widths))
    least = [min(len(group), _FEWEST) for group in groups]
    gram, cross = weighted(moments, {group: noise[group[0]] for group in moments})
    errors: dict[int, Counter] = {}
    counts: Counter = Counter()
    for fold in folds:
        held = {kind: part for (kind, group), part in moments.items() if group == fold}
        counts.update({kind: float(part.count) for kind, part in held.items()})
        fold_gram, fold_cross = weighted(held, noise)
        path = eliminated(gram - fold_gram, cross - fold_cross, column, groups, least)
        for k, (here, fit) in enumerate(path):
            if k % _SHOWN:
                continue
            weights = np.zeros(len(column))
            weights[here] = column[here] * fit.mean
            size = len(here) - len(column) + sum(map(len, groups))
            errors.setdefault(size, Counter()).update(
                {kind: max(float(part.residual(weights) * part.count), 0.0) for kind, part in held.items()}
            )
    first = next(iter(errors.values()))
    return tuple(
        Size(size, {kind: math.sqrt(squares[kind] / first[kind]) for kind in counts if first[kind] > 0.0})
        for size, squares in errors.items()
    )


def chosen_components(
    gram: AnyArray, cross: AnyArray, column: AnyArray, parts: Columns, counts: Sequence[int | None]
) -> list[np.ndarray]:
    """Places of the components of each term that are left, among all of its own.

    Args:
        gram, cross, column: as of `eliminated`.
        parts: of the columns.
        counts: of the components that each term keeps; None: all.
    """
    groups = parts.of_terms
    pairs = [(group, count) for group, count in zip(groups, counts, strict=True) if count is not None]
    *_, (here, _) = eliminated(gram, cross, column, *zip(*pairs, strict=True))
    return [np.flatnonzero(np.isin(group, here)) for group in groups]


def with_places(potential: Potential, places: Sequence[AnyArray]) -> Potential:
    """Potential whose fitted terms have some of their components only, each with the weight that it had.

    Args:
        potential: a sum; of its terms with weights those that are fitted come first.
        places: of the components, for each fitted term.
    """
    terms = list(summands(potential))
    fitted = [k for k, term in enumerate(terms) if is_linear(term)]
    for k, here in zip(fitted, places, strict=False):  # terms of a baseline are behind them
        term: Any = terms[k]
        readout = term.readout
        if len(here) == readout.n_features:
            continue
        delta = readout.delta if np.ndim(readout.delta) == 0 else np.asarray(readout.delta)[here]
        readout = readout.replace(weights=np.asarray(readout.weights)[here], delta=delta)
        terms[k] = term.replace(descriptor=term.descriptor.selected(here), readout=readout)
    return Sum.or_one(terms)


def of_columns(moments: dict[Any, Moments], here: AnyArray) -> dict[Any, Moments]:
    """Moments of some of the columns; empties the ones given, which may fill most of the memory."""
    left = {}
    while moments:
        name, part = moments.popitem()
        left[name] = part.of_columns(here)
    return left
