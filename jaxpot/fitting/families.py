"""Families of models that are fitted: the recipes of each, and its fit.

A new family brings a file with its recipe, a function that fits, and one row of `FAMILIES`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import Any

from jaxpot.data.dataset import Dataset
from jaxpot.errors import DataError, FormatError
from jaxpot.fitting.formulas.fit_form import fit_form
from jaxpot.fitting.formulas.result import FormFit
from jaxpot.fitting.linear.fit import fit_linear
from jaxpot.fitting.linear.recipe import Recipe
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.fitting.networks.train import train
from jaxpot.fitting.recipe_files import recipe_document
from jaxpot.potentials.base import Potential


@dataclass(frozen=True)
class Family:
    """Models that are fitted alike.

    Attributes:
        name: for messages.
        recipe: class of the recipes, see `recipe_of`; or of whatever else tells what to fit.
        fit: function(dataset, recipe, *, ...).
        has_files: whether recipes are read from files, too.
    """

    name: str
    recipe: Any
    fit: Callable
    has_files: bool = True

    def check_options(self, options: dict) -> None:
        """Refuse options that the fits of this family do not take.

        Raises:
            DataError: says which it takes.
        """
        known = [name for name, p in signature(self.fit).parameters.items() if p.kind is p.KEYWORD_ONLY]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise DataError(f"a fit of {self.name} has no option {', '.join(unknown)}; it takes {', '.join(known)}")


@wraps(fit_form)  # for its options
def _fit_form(dataset: Dataset, potential: Potential, **options: Any) -> FormFit:
    return fit_form(potential, dataset, **options)


FAMILIES = (
    Family(Recipe.family, Recipe, fit_linear),
    Family(NetworkRecipe.family, NetworkRecipe, train),
    Family("formulas", Potential, _fit_form, has_files=False),
)


def read_recipe(name: str | os.PathLike) -> Recipe | NetworkRecipe:
    """Recipe by its name or from a file: a `Recipe` of a GAP, or a `NetworkRecipe`.

    Raises:
        FormatError: no such recipe, or a file that is none; says which table and field.
    """
    document, file, stem = recipe_document(name)
    kinds = [family.recipe for family in FAMILIES if family.has_files]
    for kind in kinds:
        if kind.table in document:
            return kind.from_tables(document, file, stem)
    tables = " or ".join(f"[{kind.table}], for {kind.family}" for kind in kinds)
    raise FormatError(f"expected at least one table {tables}; found {sorted(document)}", file=file)


def family_of(recipe: Any) -> Family:
    """Family that a recipe belongs to.

    Raises:
        DataError: it is none.
    """
    for family in FAMILIES:
        if isinstance(recipe, family.recipe):
            return family
    raise DataError(
        f"recipe: expected the name of one, the path of a file, a Recipe, a NetworkRecipe, or a potential whose "
        f"parameters are to be fitted, got a {type(recipe).__name__}"
    )
