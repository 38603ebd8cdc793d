"""`Trained`: what a training gives; and `Training`, what it needs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from jaxpot.data.padded_frames import Prepared
from jaxpot.data.predictions import Predictions
from jaxpot.errors import DataError
from jaxpot.fitting.networks.descent import Descent
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.potentials.base import Potential
from jaxpot.potentials.committee import Committee
from jaxpot.potentials.posterior import Posterior


@dataclass(frozen=True)
class Training:
    """Descent of one kind of model, and the potentials that its weights stand for.

    Attributes:
        descent: of the weights.
        assemble: function from weights to the `Committee` of all members, and the mean of these as a potential.
        spread: function from that mean to its `Posterior`, or None.
        prepared: frames with the lists that predictions can use again; None if there are none.
    """

    descent: Descent
    assemble: Callable[[tuple], tuple[Committee, Potential]]
    spread: Callable[[Potential], Posterior | None]
    prepared: Prepared | None = None


@dataclass(frozen=True)
class Trained:
    """Networks, or other potentials, that were trained, and how well.

    Attributes:
        potential: e0 + the networks + the baseline; where there are several members, with the mean of their
            networks.
        committee: `Committee` of all members.
        posterior: `Posterior` of `potential`, for error bars of all that follows from it (`jp.std`, `jp.propagate`):
            the spread of its members, or what data leave uncertain of the last layers of a single one
            (`last_layer_posterior`; None without `predictions`).
        history: epoch, training loss, validation errors of energy (eV/atom) and forces (eV/A): a list of tuples.
        best: the epoch that the weights are of.
        validation: numbers of the frames that no gradient has seen.
        train, test: `Predictions`, or None.
        seconds: name of a step -> time it took.
        recipe: `NetworkRecipe`.
        sigmas: kind of label -> what errors were divided by in the loss.
        e0, e0_origin: of the data set.
        folds: pairs (numbers of the frames of a part of the data, `Posterior` of networks trained on the other parts).
        clusters: likewise, of clusters of frames that look alike (`frame_clusters`).
    """

    potential: Potential
    committee: Committee
    posterior: Posterior | None
    history: tuple
    best: int
    validation: tuple
    train: Predictions | None = field(repr=False)
    test: Predictions | None = field(repr=False)
    seconds: dict
    recipe: NetworkRecipe
    sigmas: dict
    e0: dict
    e0_origin: str
    folds: tuple = field(default=(), repr=False)
    clusters: tuple = field(default=(), repr=False)

    stress_offsets: ClassVar[dict] = {}  # none are found
    fixed_functions: ClassVar[bool] = False  # that energies are linear in

    @property
    def misfit_as_noise(self) -> bool:
        """Whether bars take what the networks cannot fit for noise of the labels: of a single one, not of several."""
        return self.recipe.members == 1

    def left_out(self) -> list[tuple[np.ndarray, Posterior]]:
        """Pairs (numbers of frames, a `Posterior` that was not trained on them), for `jp.calibrate`.

        The folds, if they were kept. Else the validation frames: these are few, and have told when to stop.

        Raises:
            DataError: no bars, or neither folds nor validation frames.
        """
        if self.folds:
            return list(self.folds)
        if self.posterior is None or not self.validation:
            raise DataError("a calibration needs error bars, and frames that were not trained on (validation)")
        return [(np.array(self.validation), self.posterior)]

    def clusters_left_out(self) -> list[tuple[np.ndarray, Posterior]]:
        """Likewise, of networks trained without a cluster of frames that look alike; none unless folds were kept."""
        return list(self.clusters)
