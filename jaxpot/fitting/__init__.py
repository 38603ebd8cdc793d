"""Fitting potentials to data."""

from jaxpot.data.dataset import Dataset, Frame
from jaxpot.data.predictions import predict
from jaxpot.data.read import read_dataset
from jaxpot.data.sampling import draw_dataset
from jaxpot.data.targets import Sigmas
from jaxpot.fitting.families import read_recipe
from jaxpot.fitting.fit import fit
from jaxpot.fitting.formulas.fit_form import fit_form
from jaxpot.fitting.formulas.problem import Target
from jaxpot.fitting.formulas.result import FormFit
from jaxpot.fitting.formulas.smoothing import Smoothed, smoothed
from jaxpot.fitting.linear.curvatures import HessianProduct, StrainCurvature
from jaxpot.fitting.linear.evidence import Evidence, evidence
from jaxpot.fitting.linear.recipe import Recipe
from jaxpot.fitting.linear.result import Fit
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.fitting.networks.result import Trained
from jaxpot.fitting.networks.train import train
from jaxpot.fitting.recipe_files import recipes

__all__ = [
    "Dataset", "Evidence", "Fit", "FormFit", "Frame", "HessianProduct", "NetworkRecipe", "Recipe", "Sigmas", "Smoothed",
    "StrainCurvature", "Target", "Trained", "draw_dataset", "evidence", "fit", "fit_form", "predict", "read_dataset",
    "read_recipe", "recipes", "smoothed", "train",
]
