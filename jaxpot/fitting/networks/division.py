"""Division of a data set: frames to train on and frames that tell when to stop, batches, and parts for devices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxpot.data.dataset import Dataset
from jaxpot.fitting.networks.recipe import NetworkRecipe


@dataclass(frozen=True)
class Division:
    """Numbers of the frames of a data set that a training takes for one purpose.

    Attributes:
        training: frames that gradients see.
        validation: frames that tell when to stop; none in small data sets.
        batches: of the training frames.
        validation_batches: of the validation frames.
    """

    training: list[int]
    validation: list[int]
    batches: list[list[int]]
    validation_batches: list[list[int]]

    @classmethod
    def of(cls, dataset: Dataset, recipe: NetworkRecipe, seed: int) -> "Division":
        """Division as a recipe asks for, by chance."""
        training, validation = _parts(dataset, recipe, seed)
        return cls(training, validation, dealt(training, recipe.batch, seed), dealt(validation, recipe.batch, seed))

    def with_more(self, frames: Sequence[int], recipe: NetworkRecipe, seed: int) -> "Division":
        """The same with more frames to train on."""
        training = [*self.training, *frames]
        return replace(self, training=training, batches=dealt(training, recipe.batch, seed))


def dealt(frames: Sequence[int], size: int, seed: int) -> list[list[int]]:
    """Deal frames into batches by chance, all but the last of one size."""
    order = np.random.default_rng(seed).permutation(frames)
    return [order[start : start + size].tolist() for start in range(0, len(order), size)]


def by_device(make: Callable, batches: Sequence[Sequence[int]], count: int) -> list[list]:
    """Make batches that are divided between devices: lists with the part of each."""
    if not batches:
        return []
    parts = make([chosen[k::count] for chosen in batches for k in range(count)])
    return [parts[begin : begin + count] for begin in range(0, len(parts), count)]


def _parts(dataset, recipe, seed):
    """Frames to train on, and frames that tell when to stop."""
    count = round(recipe.validation * len(dataset))
    if count == 0 or len(dataset) < 3:
        return list(range(len(dataset))), []
    folds = dataset.folds(max(2, round(len(dataset) / count)), seed)
    held = set(folds[0].tolist())
    return [k for k in range(len(dataset)) if k not in held], sorted(held)
