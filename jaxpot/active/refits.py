"""The fit that learning repeats with each label: of a model that is linear in its weights, or of a network."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

from jaxpot.data.dataset import Dataset
from jaxpot.errors import DataError
from jaxpot.fitting.families import read_recipe
from jaxpot.fitting.linear.fit import fit_linear
from jaxpot.fitting.linear.recipe import Recipe
from jaxpot.fitting.networks.from_descriptors import has_networks
from jaxpot.fitting.networks.last_layer import has_last_layer
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.fitting.networks.train import train
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior
from jaxpot.typing import FilePath


def checked_recipe(dataset: Dataset, recipe: Recipe | NetworkRecipe | FilePath) -> Recipe | NetworkRecipe:
    """The recipe to begin with: lengths in Angstrom, of networks a single one.

    Raises:
        DataError: no dataset, or no recipe of a model that has variances of site energies.
    """
    if not isinstance(dataset, Dataset):
        raise DataError(f"dataset: expected a Dataset, got {type(dataset).__name__}")
    recipe = read_recipe(recipe) if isinstance(recipe, str | os.PathLike) else recipe
    if isinstance(recipe, Recipe):
        return recipe.measured(dataset)
    if not isinstance(recipe, NetworkRecipe):
        raise DataError(
            f"recipe: expected one of {Recipe.family}, or of {NetworkRecipe.family}, its name or its path, got a "
            f"{type(recipe).__name__}: any other potential can be the baseline of one"
        )
    return replace(recipe, members=1)


def refit(
    recipe: Recipe | NetworkRecipe, model: Potential | None, baseline: Potential | None, seed: int, jitter: float,
    say: Callable[..., None],
) -> Callable[[Dataset], Posterior]:
    """Function that fits the recipe to a dataset, always from the same beginning.

    Args:
        recipe: from `checked_recipe`.
        model: what the training of a network begins with; None: random weights.
        baseline, seed, jitter: as of the fit.
        say: called with a sentence about each epoch or so of a training.

    Raises:
        DataError: a model that has no variances, or one to begin with and a recipe of what is not trained.
    """
    if isinstance(recipe, NetworkRecipe):
        options: dict[str, Any] = {"seed": seed, "baseline": baseline, "progress": say}
        if model is not None:
            of_descriptors = has_networks(model)
            if not (of_descriptors or has_last_layer(model)):
                raise DataError(
                    f"model: {model!r} has no last layer that the energy is linear in: the variances by which learning "
                    "asks are those of its weights; take a GAP, SNAP, ACE with a linear readout, moment tensors, "
                    "NequIP, MACE, SchNet, DTNN or networks of descriptors"
                )
            options |= {"start": model, "pretrained": not of_descriptors}
        return partial(_trained, recipe, options)
    if model is not None:
        raise DataError("model: a fit of this recipe begins with nothing; trainings of networks begin with a model")
    return partial(_fitted, recipe, {"baseline": baseline, "seed": seed, "jitter": jitter})


def _fitted(recipe, options, data):
    return fit_linear(data, recipe, predictions=False, **options).posterior


def _trained(recipe, options, data):
    return cast(Posterior, train(data, recipe, **options).posterior)  # that of the last layer
