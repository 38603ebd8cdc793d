"""Parameters per species: how they are given, checked, and looked up inside a formula."""

import itertools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpot.core.elements import atomic_number, name_species, symbol
from jaxpot.core.precision import as_float, concrete
from jaxpot.errors import DataError
from jaxpot.typing import AnyArray, Array, Elements

_LARGEST_EXPONENT = 1e6
ASYMMETRY = 1e-6  # relative; what rounding to seven digits leaves in published tables


def species_numbers(species: Elements | None) -> tuple[int, ...] | None:
    """A tuple of atomic numbers from symbols or numbers; None stays None."""
    if species is None:
        return None
    species = (species,) if isinstance(species, str | int) else species
    numbers = tuple(atomic_number(s) for s in species)
    if len(set(numbers)) != len(numbers) or not numbers:
        raise DataError(f"species: expected distinct elements, got {list(species)}")
    return numbers


def per_species(value: Any, species: tuple[int, ...] | None, order: int, name: str) -> Array:
    """`value` as an array: a scalar, or one entry for every pair (order 2) or triplet (order 3) of species.

    A scalar serves all species. Pair tables must be symmetric.
    """
    array = as_float(value, name)
    if array.ndim == 0:
        return array
    count = 1 if species is None else len(species)
    if array.shape != (count,) * order:
        known = "any element" if species is None else name_species(species)
        raise DataError(
            f"{name}: expected a number, or an array of shape {(count,) * order} for {known}; "
            f"got {array.shape}"
        )
    return array


def check_symmetric(value: Any, species: tuple[int, ...] | None, name: str, axes: tuple[int, ...] = (1, 0)) -> None:
    """Refuse a table that differs from its transpose by more than rounding; traced values pass."""
    array = concrete(value)
    if array is None or array.ndim == 0:
        return
    other = array.transpose(axes)
    bad = np.abs(array - other) > ASYMMETRY * np.maximum(np.abs(array), np.abs(other))
    if bad.any():
        at = tuple(int(k) for k in np.argwhere(bad)[0])
        names = [symbol(z) for z in species] if species else ["any"]
        label = "-".join(names[k] for k in at)
        swapped = "-".join(names[k] for k in np.array(at)[list(axes)])
        raise DataError(
            f"{name}: {label} is {array[at]:.8g} but {swapped} is {other[at]:.8g}; "
            "the energy would depend on the order of the atoms: give equal values"
        )


def check_positive(value: Any, name: str, unit: str) -> None:
    """Refuse numbers that must be positive and are not; traced values pass."""
    array = concrete(value)
    if array is not None and not (array > 0).all():
        raise DataError(f"{name} must be positive ({unit}), got {array.min():.6g}")


def pair_table(values: Mapping, name: str) -> tuple[tuple[int, ...], np.ndarray]:
    """Species and a symmetric (S, S) array from a dict of unordered pairs, {("Ar", "Kr"): 2, ...}."""
    given = {tuple(atomic_number(s) for s in pair): value for pair, value in values.items()}
    species = tuple(dict.fromkeys(z for pair in given for z in pair))
    table = np.zeros((len(species), len(species)))
    for (i, zi), (j, zj) in itertools.product(enumerate(species), repeat=2):
        found = [given[pair] for pair in ((zi, zj), (zj, zi)) if pair in given]
        if not found:
            raise DataError(f"{name}: the pair {symbol(zi)}-{symbol(zj)} is missing; give every pair")
        table[i, j] = found[0]
    return species, table


def pick(values: Array, *indices: AnyArray) -> Array:
    """`values[indices]` for species indices that may be arrays; one value for all species costs nothing."""
    if values.size == 1:
        return values.reshape(())
    count = values.shape[0]
    flat = indices[0]
    for index in indices[1:]:
        flat = flat * count + index
    return values.reshape(-1).at[flat].get(mode="promise_in_bounds")


def as_exponent(value: Any) -> Any:
    """Static exponents: one int or float, or nested tuples if they differ; whole ones spare the power."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"exponents: expected numbers, got {value!r}") from error
    if not (np.abs(array) < _LARGEST_EXPONENT).all():
        raise DataError(f"exponents must be finite, and below {_LARGEST_EXPONENT:g}, got {value!r}")
    if array.size and (array == array.flat[0]).all():
        number = float(array.flat[0])
        return int(number) if number.is_integer() else number
    return _nested(array)


def power(x: Array, exponent: Any, *indices: Array) -> Array:
    """x**exponent for an exponent from `as_exponent`."""
    if isinstance(exponent, tuple):
        return x ** pick(jnp.asarray(exponent, x.dtype), *indices)
    if isinstance(exponent, int):
        return jnp.ones_like(x) if exponent == 0 else x**exponent
    return x**exponent


def _nested(array):
    return tuple(_nested(row) for row in array) if array.ndim else float(array)
