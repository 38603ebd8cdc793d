"""Kernels: covariances of descriptor vectors; they add and multiply."""

from jaxpot.kernels.base import Kernel, Product, Sum
from jaxpot.kernels.dot_product import DotProduct
from jaxpot.kernels.squared_exponential import SquaredExponential

__all__ = ["DotProduct", "Kernel", "Product", "SquaredExponential", "Sum"]
