"""Names for what is passed around; shapes and units are in the docstrings of the functions."""

from typing import Any

import jax

Array = jax.Array
Scalar = jax.Array
PyTree = Any
