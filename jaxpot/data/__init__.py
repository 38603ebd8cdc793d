"""Data to fit and to compare with: frames with labels, read, checked and summarised, and predictions beside them."""

from jaxpot.data.dataset import Dataset
from jaxpot.data.frame import Frame
from jaxpot.data.predictions import Predictions, predict
from jaxpot.data.read import read_dataset
from jaxpot.data.sampling import draw_dataset
from jaxpot.data.targets import Sigmas

__all__ = ["Dataset", "Frame", "Predictions", "Sigmas", "draw_dataset", "predict", "read_dataset"]
