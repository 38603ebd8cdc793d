"""Names for what is passed around; shapes and units are in the docstrings of the functions."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np
import numpy.typing as npt

Array = jax.Array
Scalar = jax.Array  # ()
Vectors = jax.Array  # (n, 3)
AnyArray = jax.Array | np.ndarray  # of JAX, or of NumPy on the host
ArrayLike = jax.Array | npt.ArrayLike | Sequence[Any]  # what makes an array: also numbers, and lists of them
DTypeLike = str | type | np.dtype
Number = float | jax.Array  # of Python, or an array () that may be traced
PyTree = Any
FilePath = str | os.PathLike
Elements = str | int | Sequence[str | int]  # symbols or atomic numbers
Pbc = tuple[bool, bool, bool]
Mesh = int | Sequence[int]  # points along the three reciprocal vectors, or along each of them


if TYPE_CHECKING:

    class ArrayField:
        """A field that is given as numbers, lists, tables or arrays, and that the constructor makes an `Array` of."""

        def __get__(self, node: object, owner: type | None = None) -> Array:
            raise NotImplementedError

        def __set__(self, node: object, value: Any) -> None:
            raise NotImplementedError

else:
    ArrayField = jax.Array


class AtomsLike(Protocol):
    """A `Structure`, an `ase.Atoms`, or anything else with these attributes."""

    @property
    def positions(self) -> Any: ...

    @property
    def cell(self) -> Any: ...

    @property
    def numbers(self) -> Any: ...

    @property
    def pbc(self) -> Any: ...


class SitesLike(Protocol):
    """A structure or a molecule of pymatgen."""

    @property
    def cart_coords(self) -> Any: ...


StructureLike = AtomsLike | SitesLike  # what `Structure.of` makes a `Structure` of
