"""Data beside positions and species, in two declared kinds: of the atoms, and of the system.

Data of atoms have the atoms along their first axis (charges in e, magnetic moments in Bohr magnetons): they are padded
with zeros, tiled in supercells, and permuted and divided with the atoms. Data of the system belong to all atoms
together (a total charge, an electric field): padding and permutations leave them as they are, and a supercell
multiplies those that count something (`EXTENSIVE`) by the number of its cells. Bonds, `BONDS`, are data of the system
that name atoms.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.precision import as_float, concrete, to_device
from jaxpot.errors import DataError

CHARGES, MAGNETIC_MOMENTS, TOTAL_CHARGE = "charges", "magnetic_moments", "total_charge"
EXTENSIVE = (TOTAL_CHARGE, "total_magnetic_moment")
BONDS = "bonds"  # (b, 5) integers: atom i, atom j, and the cell (three integers) that j's image lies in
# ASE's names of what is carried without being asked for: arrays of atoms, entries of `info`.
ASE_ARRAYS = {"initial_charges": CHARGES, "initial_magmoms": MAGNETIC_MOMENTS}
ASE_INFO = {"total_charge": TOTAL_CHARGE, "charge": TOTAL_CHARGE}


def checked_atom_data(data: dict | None, n: int, dtype: np.dtype) -> dict[str, jax.Array]:
    """Data of atoms as arrays with n along the first axis, floating ones in the precision of the positions.

    Raises:
        DataError: another length, numbers that are not finite, names that are no strings.
    """
    checked = {}
    for name, value in _items(data, "atom_data"):
        array = _array(value, f"atom_data[{name!r}]", dtype)
        if array.shape[:1] != (n,):
            raise DataError(
                f"atom_data[{name!r}]: expected one entry for each of the {n} atoms along the first axis, got shape "
                f"{array.shape}; what belongs to all atoms together goes into system_data"
            )
        checked[name] = array
    return checked


def checked_system_data(data: dict | None, n: int, dtype: np.dtype) -> dict[str, jax.Array]:
    """Data of the system as arrays, floating ones in the precision of the positions.

    Raises:
        DataError: numbers that are not finite, names that are no strings, bonds of atoms that are not there.
    """
    checked = {}
    for name, value in _items(data, "system_data"):
        where = f"system_data[{name!r}]"
        checked[name] = _integers(value, where) if name == BONDS else _array(value, where, dtype)
    if BONDS in checked:
        _check_bonds(checked[BONDS], n)
    return checked


def _items(data, what):
    if data is None:
        return ()
    if not isinstance(data, dict) or not all(isinstance(name, str) for name in data):
        raise DataError(f"{what}: expected a dict from names to arrays, got {data!r}")
    return sorted(data.items())  # the order in which JAX keeps them


def _array(value, name, dtype):
    array = as_float(value, name)
    return array if array.dtype == dtype else array.astype(dtype)


def _integers(value, name):
    if isinstance(value, jax.Array):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise DataError(f"{name}: expected integers, got {value!r}")
    return to_device(array.astype(np.int32))


def _check_bonds(bonds, n):
    known = concrete(bonds)
    good = bonds.ndim == 2 and bonds.shape[1] == 5 and bonds.dtype.kind == "i"
    if good and known is not None and len(known):
        good = known[:, :2].min() >= 0 and known[:, :2].max() < n
    if not good:
        raise DataError(
            f"system_data[{BONDS!r}]: expected integers (b, 5), two of the {n} atoms and the cell of the second one's "
            f"image, got shape {bonds.shape} of {bonds.dtype}"
        )


def padded(atom_data: dict, extra: int) -> dict:
    """Data of atoms with `extra` zeros behind them (NumPy)."""
    return {
        name: np.concatenate([np.asarray(a), np.zeros((extra, *a.shape[1:]), a.dtype)]) for name, a in atom_data.items()
    }


def taken(data: dict, indices: np.ndarray) -> dict:
    """Data of the atoms with these indices, in their order."""
    return {name: array[indices] for name, array in data.items()}


def tiled(atom_data: dict, count: int, known: bool) -> dict:
    """Data of atoms of a supercell of `count` cells, image after image; of known values on the device at once."""
    def tile(array):
        form = (count,) + (1,) * (np.ndim(array) - 1)
        return to_device(np.tile(np.asarray(array), form)) if known else jnp.tile(array, form)

    return {name: tile(array) for name, array in atom_data.items()}


def of_supercell(system_data: dict, n: int, repeats: np.ndarray) -> dict:
    """Data of the system for a supercell: what counts something, times the number of cells; bonds of every cell.

    Args:
        n: atoms of one cell.
        repeats: (3,) integers; images in the order of `Structure.repeated`.
    """
    count = int(np.prod(repeats))
    of_all = {name: array * count if name in EXTENSIVE else array for name, array in system_data.items()}
    if BONDS in system_data:
        of_all[BONDS] = _repeated_bonds(np.asarray(system_data[BONDS]), n, np.asarray(repeats, int))
    return of_all


def _repeated_bonds(bonds, n, repeats):
    """Bonds of a supercell: the second atom lies in the image that its cell names, wrapped into the supercell."""
    images = np.stack(np.meshgrid(*[np.arange(r) for r in repeats], indexing="ij"), -1).reshape(-1, 1, 3)
    target = images + bonds[None, :, 2:]
    cells = np.floor_divide(target, repeats)
    inside = np.ravel_multi_index(tuple(np.moveaxis(target - cells * repeats, -1, 0)), tuple(repeats))
    first = np.arange(len(images))[:, None] * n + bonds[:, 0]
    rows = np.concatenate([np.stack([first, inside * n + bonds[:, 1]], -1), cells], axis=-1)
    return to_device(rows.reshape(-1, 5).astype(np.int32))


def from_ase(atoms: Any, names: Sequence[str] = ()) -> dict:
    """`atom_data` and `system_data` of an `ase.Atoms`: initial charges and moments, the total charge, and `names`.

    Args:
        atoms: anything with `arrays` and `info`, as ASE has them; of anything else nothing is known.
        names: more names to be looked up, first among arrays and then in `info`; those that are nowhere are left out.
    """
    arrays, info = getattr(atoms, "arrays", None) or {}, getattr(atoms, "info", None) or {}
    atom_data = {name: np.array(arrays[key]) for key, name in ASE_ARRAYS.items() if key in arrays}
    system_data = {name: info[key] for key, name in ASE_INFO.items() if _is_number(info.get(key))}
    for name in names:
        if name in arrays and name not in atom_data:
            atom_data[name] = np.array(arrays[name])
        elif name in info and name not in atom_data and name not in system_data:
            system_data[name] = info[name]
    return {"atom_data": atom_data, "system_data": system_data}


def _is_number(value):
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def counted(system_data: dict) -> tuple[str, ...]:
    """Names of data that belong to one cell alone: bonds, and what counts something and is not zero."""
    some = (name for name in EXTENSIVE if name in system_data and np.any(np.asarray(system_data[name])))
    return (*some, *({BONDS} & set(system_data)))


def to_ase(atoms: Any, atom_data: dict, system_data: dict) -> None:
    """Put data into an `ase.Atoms` under ASE's names, or their own."""
    into_arrays = {name: key for key, name in ASE_ARRAYS.items()}
    for name, array in atom_data.items():
        atoms.set_array(into_arrays.get(name, name), np.asarray(array))
    for name, array in system_data.items():
        array = np.asarray(array)
        atoms.info[name] = array if array.ndim else array.item()
