"""`fit`: one verb for every family of models."""

import os
from collections.abc import Callable
from typing import Any

from jaxpot.data.dataset import Dataset
from jaxpot.fitting.families import family_of, read_recipe
from jaxpot.fitting.formulas.result import FormFit
from jaxpot.fitting.linear.recipe import Recipe
from jaxpot.fitting.linear.result import Fit
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.fitting.networks.result import Trained
from jaxpot.potentials.base import Potential


def fit(
    dataset: Dataset, recipe: str | os.PathLike | Recipe | NetworkRecipe | Potential = "gap", *,
    test: Dataset | None = None, seed: int = 0, progress: Callable[[str], None] | None = None, **options: Any,
) -> Fit | Trained | FormFit:
    """Fit a potential to data: a GAP, neural networks, or the parameters of a formula, whatever the recipe is for.

        jp.fit(data, "gap")                                          a Gaussian approximation potential, or another
                                                                     model that is linear in its weights
        jp.fit(data, "behler-parrinello")                            networks, as jp.train does
        jp.fit(data, jp.potentials.Morse(0.6, 1.3, 2.4, cutoff=5.0))  its parameters, as jp.fit_form does

    Args:
        dataset: from `read_dataset` or `Dataset.of`.
        recipe: name of a recipe, path of a file, a `Recipe` or `NetworkRecipe`; or a potential: the form and first
            values of its parameters.
        test: takes no part in the fit, for the errors reported.
        seed: of everything that is drawn by chance; the same seed gives the same potential.
        progress: called with a sentence about what is being done.
        options: of a GAP: those of `fitting.linear.fit.fit_linear` (baseline, curvatures, stress_offsets, jitter,
            predictions, checkpoint, keep_folds); of networks: those of `train` (start, frozen, curvatures, baseline,
            predictions, checkpoint, keep_folds); of a formula: those of `fit_form` (free, bounds, targets, sigmas,
            starts, refined, keep_folds).

    Returns:
        `Fit`, `Trained` or `FormFit`; all have `potential`, `train`, `test`, `e0` and `seconds`.

    Raises:
        DataError: data that cannot be fitted, or an option that fits of this kind do not take; with the reason.
        FormatError: a recipe that cannot be read; a checkpoint that is damaged or none at all.
    """
    recipe = read_recipe(recipe) if isinstance(recipe, str | os.PathLike) else recipe
    family = family_of(recipe)
    family.check_options(options)
    return family.fit(dataset, recipe, test=test, seed=seed, progress=progress, **options)
