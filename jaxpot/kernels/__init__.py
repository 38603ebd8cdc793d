"""Kernels: covariances of descriptor vectors; they add and multiply."""

from jaxpot.kernels.base import Kernel, Product, Sum
from jaxpot.kernels.dot_product import DotProduct
from jaxpot.kernels.permuted import Permuted
from jaxpot.kernels.squared_exponential import SquaredExponential

__all__ = ["DotProduct", "Kernel", "Permuted", "Product", "SquaredExponential", "Sum"]
