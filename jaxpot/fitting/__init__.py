"""Fitting potentials to data."""

from jaxpot.data.dataset import Dataset, Frame
from jaxpot.data.predictions import predict
from jaxpot.data.read import read_dataset
from jaxpot.data.sampling import draw_dataset
from jaxpot.fitting.curvature import HessianProduct, StrainCurvature
from jaxpot.fitting.evidence import Evidence, evidence
from jaxpot.fitting.form import fit_form
from jaxpot.fitting.form_fit import FormFit
from jaxpot.fitting.form_problem import Target
from jaxpot.fitting.network_recipe import NetworkRecipe
from jaxpot.fitting.recipe import Recipe, read_recipe, recipes
from jaxpot.fitting.run import Fit, fit
from jaxpot.fitting.smoothing import Smoothed, smoothed
from jaxpot.fitting.training import Trained, train

__all__ = [
    "Dataset", "Evidence", "Fit", "FormFit", "Frame", "HessianProduct", "NetworkRecipe", "Recipe", "Smoothed",
    "StrainCurvature", "Target", "Trained", "draw_dataset", "evidence", "fit", "fit_form", "predict", "read_dataset",
    "read_recipe", "recipes", "smoothed", "train",
]
