"""Names for what is passed around; shapes and units are in the docstrings of the functions."""

import os
from collections.abc import Sequence
from typing import Any

import jax

Array = jax.Array
Scalar = jax.Array
PyTree = Any
FilePath = str | os.PathLike
Elements = str | int | Sequence[str | int]  # symbols or atomic numbers
