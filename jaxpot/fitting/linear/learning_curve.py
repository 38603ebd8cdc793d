"""Errors against the number of frames that a fit has seen."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from jaxpot.data.dataset import Dataset
from jaxpot.data.predictions import Predictions
from jaxpot.errors import DataError
from jaxpot.fitting.linear.fit import fit_linear
from jaxpot.fitting.linear.recipe import Recipe
from jaxpot.fitting.linear.result import Fit
from jaxpot.fitting.recipe_files import recipe_of

_LEAST = 4  # frames


@dataclass(frozen=True)
class Point:
    """One fit to a part of the training set.

    Attributes:
        frames: that it has seen.
        errors: on the test set, as of `Predictions.errors`.
    """

    frames: int
    errors: dict


def learning_curve(
    dataset: Dataset, recipe: Recipe | str | os.PathLike, test: Dataset, *, whole: Fit | None = None,
    parts: Sequence[float] = (1 / 8, 1 / 4, 1 / 2), seed: int = 0, progress: Callable[[str], None] | None = None,
    callback: Callable[[list], None] | None = None, stress_offsets: bool | str | Sequence[str] = (), **options: Any
) -> list[Point]:
    """Fit parts of a training set, each containing the one before, and test each fit on the same frames.

    Every part is a fit of its own: sparse points, sigmas and scales are chosen anew from it.

    Args:
        dataset, recipe, seed: as for `fit`.
        test: a `Dataset` that takes no part in the fits.
        whole: `Fit` to all frames, if there is one: its errors end the curve without another fit.
        parts: of the frames, ascending, between 0 and 1; with the same share of each config type. Parts of less than 4
            frames, of fewer than the recipe has folds, or without one of the elements, or of the config types that
            the recipe names, are left out.
        progress: called with a sentence.
        callback: called with the list of points after each fit.
        stress_offsets: as for `fit`, of the config types that a part contains.
        options: for `fit`.

    Returns:
        List of `Point`, ascending.

    Raises:
        DataError: no test set; a recipe whose sparse points are given by frame.
    """
    if test is None:
        raise DataError("a learning curve needs a test set that takes no part in the fit")
    recipe = recipe_of(Recipe, recipe)
    if any("environments" in table for table in recipe.terms):
        raise DataError("a learning curve: the environments of the recipe are atoms of frames that parts do not have")
    least = max(_LEAST, recipe.folds if recipe.choice == "cross-validation" else 1)
    say = progress or (lambda text: None)
    if whole is not None and whole.test is None:
        raise DataError("whole: this fit was tested on nothing: fit with the same test=, or leave it out")
    points = [] if whole is None else [_point(dataset, whole)]
    subsets = [dataset.split(part, seed)[1] for part in parts if least <= round(part * len(dataset)) < len(dataset)]
    if whole is None:
        subsets.append(dataset)
    for subset in subsets:
        if subset.species != dataset.species or _named(recipe) - set(subset.config_types):
            continue
        say(f"learning curve: {len(subset)} of {len(dataset)} frames")
        offsets = stress_offsets
        if not isinstance(offsets, bool):
            names = [offsets] if isinstance(offsets, str) else offsets
            offsets = [name for name in names if name in subset.config_types]
        fitted = fit_linear(
            subset, recipe, test=test, seed=seed, progress=progress, predictions=False, stress_offsets=offsets,
            **options,
        )
        points = sorted([*points, _point(subset, fitted)], key=lambda point: point.frames)
        if callback is not None:
            callback(points)
    return points


def _point(dataset: Dataset, fitted: Fit) -> Point:
    """Errors of a fit to a data set, on the frames that it was tested on."""
    return Point(len(dataset), cast(Predictions, fitted.test).errors())


def _named(recipe):
    """Config types that the sparse points of a recipe come from, where it names any."""
    counts = (table.get("sparse_points") for table in recipe.terms)
    return {name for count in counts if isinstance(count, dict) for name in count}
