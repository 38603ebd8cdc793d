"""`Fit`: the result of a fit of linear models, and the posteriors that follow from it."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from jaxpot.core.numbers import as_whole
from jaxpot.data.predictions import Predictions
from jaxpot.errors import DataError
from jaxpot.fitting.linear import hyperparameters
from jaxpot.fitting.linear.columns import Columns
from jaxpot.fitting.linear.elimination import Size, chosen_components, with_places
from jaxpot.fitting.linear.moments import WhitenedPosterior, solution
from jaxpot.fitting.linear.recipe import Recipe
from jaxpot.fitting.linear.weights import weight_posterior
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior


@dataclass(frozen=True)
class Fit:
    """Gaussian approximation potential that was fitted, and how well.

    Attributes:
        potential: e0 + the fitted terms + the baseline.
        recipe: that was used: what was asked for, with the lengths of the data and as many functions as these allow.
        sigmas: standard deviations of the targets that were used: kind -> eV/atom, eV/A, eV/A^3.
        deltas: standard deviation of each term, eV; a tuple where its blocks have their own.
        sparse: number of sparse points of each term, or of weights without any.
        jitter: part of their mean variance that was added to the covariance of each term's sparse points.
        e0, e0_origin: energies of isolated atoms.
        stress_offsets: config type -> eV/A^3, the pressure that its stresses have too much.
        choice: `Chosen` of the hyperparameters; None where they were fixed.
        train: `Predictions` on the training set; None if not wanted.
        test: `Predictions` on the test set, if there is one.
        seconds: name of a step -> time it took.
        path: `Size`s, what models of fewer components would err by; empty where no term can have fewer.
        solved: `Solved`, from which `posterior` is made; None in a result that was not fitted here.
    """

    potential: Potential
    recipe: Recipe
    sigmas: dict
    deltas: tuple
    sparse: tuple
    jitter: tuple
    e0: dict
    e0_origin: str
    stress_offsets: dict
    choice: hyperparameters.Chosen | None
    train: Predictions | None
    test: Predictions | None
    seconds: dict
    path: tuple[Size, ...] = ()
    solved: "Solved | None" = field(default=None, repr=False)

    misfit_as_noise: ClassVar[bool] = True  # bars take what the model cannot fit for noise of the labels
    fixed_functions: ClassVar[bool] = True  # that energies are linear in

    @cached_property
    def posterior(self) -> Posterior:
        """Distribution of potentials that the data leave: `Posterior` of all weights. Made when asked for."""
        if self.solved is None:
            raise DataError("this fit has no posterior: what it was made of has not been kept")
        return self._posterior(self.solved.whole)

    def left_out(self) -> list[tuple[np.ndarray, Posterior]]:
        """Pairs (numbers of the frames of a fold, `Posterior` of the fit to all others), for `jp.calibrate`.

        Raises:
            DataError: the fit was not asked to keep them (`keep_folds=True`).
        """
        if self.solved is None or not self.solved.folds:
            raise DataError("no fits to all folds but one were kept: give keep_folds=True to fit")
        return [(members, self._posterior(whitened)) for members, whitened in self.solved.folds]

    def clusters_left_out(self) -> list[tuple[np.ndarray, Posterior]]:
        """Likewise, of the fits without a cluster of frames that look alike (`frame_clusters`)."""
        kept = () if self.solved is None else self.solved.clusters
        return [(members, self._posterior(whitened)) for members, whitened in kept]

    def with_components(self, count: int) -> "Fit":
        """Fit of fewer components, the others eliminated one after the other; `path` says what it would err by.

        Args:
            count: of the components of each term that can have fewer.

        Returns:
            `Fit` without errors, and without fits to all folds but one.

        Raises:
            DataError: no term can have fewer, or not that many.
        """
        if self.solved is None or self.solved.sums is None:
            raise DataError("components: terms of an ACE with the readout Linear can have fewer; this fit has none")
        solved, parts = self.solved, self.solved.columns
        gram, cross, column = self.solved.sums
        sizes = [len(factor) for factor, free in zip(parts.factors, parts.removable, strict=True) if free]
        count = as_whole(count, "count", 1, min(sizes))
        places = chosen_components(gram, cross, column, parts, [count if free else None for free in parts.removable])
        here = parts.numbers(places)
        sums = gram[np.ix_(here, here)], cross[here], column[here]
        scales = tuple(s if np.ndim(s) == 0 else s[left] for s, left in zip(solved.scales, places, strict=True))
        solved = replace(
            solved, whole=solution(*sums), columns=parts.picked(places), scales=scales, folds=(), clusters=(), sums=sums
        )
        smaller = replace(
            self, potential=with_places(self.potential, places), solved=solved, sparse=tuple(map(len, places)),
            train=None, test=None,
        )
        return replace(smaller, potential=smaller.posterior.potential)

    def _posterior(self, whitened):
        solved = self.solved
        spread = weight_posterior(
            self.potential, whitened, solved.columns.factors, solved.scales, solved.common, self.sigmas, self.jitter
        )
        return spread.replace(ranges=solved.ranges)


@dataclass(frozen=True)
class Solved:
    """Whitened weights of a fit, from which posteriors are made.

    Attributes:
        whole: those of the fit to all frames.
        columns: `Columns`, whose Cholesky factors unwhiten them.
        scales: factor of the delta of each term, or of each of its weights, `common` included.
        common: factor of all sigmas and deltas, see `common_scale`.
        folds: pairs (numbers of the frames of a fold, the weights of the fit to all others).
        clusters: likewise, of the clusters of `frame_clusters`.
        ranges: of the data, see `Dataset.ranges`.
        sums: gram, cross and scales of the columns, for fits of fewer components; None where no term can have fewer.
    """

    whole: WhitenedPosterior
    columns: Columns
    scales: tuple
    common: float
    folds: tuple
    clusters: tuple
    ranges: dict
    sums: tuple | None
