"""`Structure`: atoms in a cell, as a frozen pytree with the attribute names of `ase.Atoms`."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core import data, linalg
from jaxpot.core.elements import MASSES, SYMBOLS, atomic_number, symbol
from jaxpot.core.precision import as_float, concrete, is_traced, product, require_concrete, to_device
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.sites import from_sites, has_sites
from jaxpot.errors import DataError, first_few
from jaxpot.typing import AnyArray, Array, ArrayField, ArrayLike, Scalar


@pytree
class Structure(Node):
    """Atoms in a cell.

    Args:
        positions: (n, 3) A.
        cell: (3, 3) A, rows are the lattice vectors; rows of open axes are ignored.
        numbers: (n,) atomic numbers, or a list of symbols; 0 marks padding (no atom).
        masses: (n,) amu; by default the standard atomic weights.
        pbc: which axes are periodic; one bool or three.
        atom_data: name -> array with the atoms along its first axis, for the models that need it: "charges" (n,) e,
            "magnetic_moments" (n,) or (n, 3) Bohr magnetons, or any other name.
        system_data: name -> array that belongs to all atoms together: "total_charge" () e, an electric field.
            Supercells multiply what counts something (`jaxpot.core.data.EXTENSIVE`) by the number of cells.
        extras: deprecated; use the two above.

    Raises:
        DataError: wrong shapes, unknown elements or numbers that are not finite.
        PrecisionError: double precision given while JAX has x64 off.
    """

    positions: ArrayField
    cell: ArrayField
    numbers: ArrayField
    masses: ArrayField = None  # type: ignore[assignment]  # the constructor fills it
    pbc: Any = static(default=(True, True, True))
    atom_data: dict = None  # type: ignore[assignment]
    system_data: dict = None  # type: ignore[assignment]
    extras: dataclasses.InitVar[dict | None] = None

    former_fields = {"extras": "atom_data"}  # of files

    def __post_init__(self, extras):
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        put("positions", _shaped(as_float(self.positions, "positions"), (None, 3), "positions"))
        n = self.positions.shape[0]
        put("cell", _shaped(as_float(self.cell, "cell"), (3, 3), "cell"))
        if self.cell.dtype != self.positions.dtype:
            put("cell", self.cell.astype(self.positions.dtype))
        put("numbers", _shaped(_numbers(self.numbers), (n,), "numbers"))
        if self.masses is None:
            numbers = concrete(self.numbers)
            if numbers is None:
                raise DataError("masses must be given where numbers are traced")
            put("masses", MASSES[numbers])
        masses = as_float(np.asarray(self.masses, self.positions.dtype)
                          if not isinstance(self.masses, jax.Array) else self.masses, "masses")
        put("masses", _shaped(masses, (n,), "masses"))
        pbc = (bool(self.pbc),) * 3 if isinstance(self.pbc, bool | np.bool_) else self.pbc
        put("pbc", tuple(bool(p) for p in pbc))
        if len(self.pbc) != 3:
            raise DataError(f"pbc: expected one or three booleans, got {len(self.pbc)}")
        atom_data, system_data = self.atom_data, self.system_data
        if extras:
            warnings.warn("extras is deprecated: use atom_data and system_data", DeprecationWarning, stacklevel=3)
            atom_data = {**(atom_data or {}), **{k: a for k, a in extras.items() if np.shape(a)[:1] == (n,)}}
            system_data = {**(system_data or {}), **{k: a for k, a in extras.items() if k not in atom_data}}
        put("atom_data", data.checked_atom_data(atom_data, n, self.positions.dtype))
        put("system_data", data.checked_system_data(system_data, n, self.positions.dtype))

    def replace(self, **changes: Any) -> "Structure":
        """A copy with some fields changed; the checks of the constructor run again."""
        return dataclasses.replace(self, **({"extras": None} | changes))

    @classmethod
    def of(cls, atoms: Any, needs: Sequence[str] = ()) -> "Structure":
        """A `Structure` from an `ase.Atoms`, a structure or molecule of pymatgen, or anything with their attributes.

        A `Structure` is returned as it is. Initial charges and magnetic moments of ASE become data of atoms, a
        "charge" or "total_charge" in its `info` data of the system.

        Args:
            atoms: as above.
            needs: names of further data to be taken from ASE's `arrays` and `info` (`Potential.needs`).

        Raises:
            DataError: something else; sites without an element, or occupied in part.
        """
        if isinstance(atoms, cls):
            return atoms
        if has_sites(atoms):
            return cls(**from_sites(atoms))
        needed = ("positions", "cell", "numbers", "pbc")
        missing = [name for name in needed if not hasattr(atoms, name)]
        if missing:
            raise DataError(
                f"expected a jaxpot.Structure, an ase.Atoms or a structure of pymatgen, got {type(atoms).__name__} "
                f"(no attribute {', '.join(missing)})"
            )
        dummies = np.flatnonzero(np.asarray(atoms.numbers) == 0)
        if len(dummies):
            raise DataError(
                f"atoms without an element (X): {first_few(dummies.tolist())}; remove vacancies and dummy sites, as by "
                "atoms[atoms.numbers > 0]"
            )
        get_masses = getattr(atoms, "get_masses", None)
        return cls(
            positions=np.array(atoms.positions, dtype=np.float64),
            cell=np.array(atoms.cell, dtype=np.float64),
            numbers=np.array(atoms.numbers),
            masses=np.array(get_masses(), dtype=np.float64) if get_masses else None,
            pbc=tuple(bool(p) for p in atoms.pbc),
            **data.from_ase(atoms, needs),
        )

    def __len__(self) -> int:
        return self.positions.shape[0]

    def __repr__(self) -> str:
        numbers = concrete(self.numbers) if isinstance(self.numbers, jax.Array) else None
        if numbers is None:
            return f"Structure(<{len(self)} atoms>, pbc={self.pbc})"
        names, counts = np.unique(numbers[numbers > 0], return_counts=True)
        formula = "".join(symbol(int(z)) + (str(c) if c > 1 else "") for z, c in zip(names, counts, strict=True))
        return f"Structure({formula or 'empty'}, pbc={self.pbc})"

    @property
    def symbols(self) -> list[str]:
        """Chemical symbols, a list of strings."""
        return [symbol(int(z)) for z in require_concrete(self.numbers, "the elements", "name them outside of jit")]

    @property
    def volume(self) -> Scalar:
        """Volume of the cell, |det(cell)|, () A^3 (left-handed cells are as good as right-handed ones)."""
        return jnp.abs(jnp.linalg.det(self.cell))

    @property
    def fractional(self) -> Array:
        """Positions in units of the lattice vectors, (n, 3)."""
        return product(self.positions, linalg.inverse(self.cell))

    def strained(self, strain: AnyArray) -> "Structure":
        """The structure after r -> r (1 + strain), positions and cell alike; strain (3, 3)."""
        if is_traced(self.positions, self.cell, strain):
            deformation = jnp.eye(3, dtype=self.cell.dtype) + strain
            return self.moved(product(self.positions, deformation), product(self.cell, deformation))
        positions, cell = np.asarray(self.positions), np.asarray(self.cell)
        deformation = np.eye(3, dtype=cell.dtype) + np.asarray(strain, cell.dtype)
        return self.moved(to_device(positions @ deformation), to_device(cell @ deformation))

    def moved(self, positions: AnyArray, cell: AnyArray | None = None) -> "Structure":
        """A copy with other positions (and cell), traced or not; the constructor's checks are not repeated."""
        copy = jax.tree.map(lambda leaf: leaf, self)
        object.__setattr__(copy, "positions", positions)
        if cell is not None:
            object.__setattr__(copy, "cell", cell)
        return copy

    def padded(self, n: int) -> "Structure":
        """A copy with padding up to n entries (number 0, mass 1, at the origin, data 0): they carry no energy."""
        extra = n - len(self)
        if extra < 0:
            raise DataError(f"cannot pad {len(self)} atoms to {n}")
        if extra == 0:
            return self
        positions = np.concatenate([np.asarray(self.positions), np.zeros((extra, 3), self.positions.dtype)])
        return Structure(
            positions=positions,
            cell=self.cell,
            numbers=np.concatenate([np.asarray(self.numbers), np.zeros(extra, np.int32)]),
            masses=np.concatenate([np.asarray(self.masses), np.ones(extra, self.masses.dtype)]),
            pbc=self.pbc,
            atom_data=data.padded(self.atom_data, extra),
            system_data=self.system_data,
        )

    def repeated(self, repeats: ArrayLike) -> "Structure":
        """A supercell of `repeats` (three integers); atoms of one image stand together, as in ASE."""
        repeats = np.asarray(repeats)
        images = np.stack(np.meshgrid(*[np.arange(r) for r in repeats], indexing="ij"), -1).reshape(-1, 3)
        count = len(images)
        known = not is_traced(self)
        xp = np if known else jnp  # of a known structure, under jit too: jax.numpy would trace constants
        put = (lambda array: to_device(np.asarray(array))) if known else (lambda array: array)
        positions, cell, numbers, masses = (
            xp.asarray(array) for array in (self.positions, self.cell, self.numbers, self.masses)
        )
        images, repeats = images.astype(cell.dtype), repeats.astype(cell.dtype)
        shifts = images @ cell if known else product(images, cell)
        copy = self.moved(put((shifts[:, None] + positions[None]).reshape(-1, 3)), put(cell * repeats[:, None]))
        object.__setattr__(copy, "numbers", put(xp.tile(numbers, count)))
        object.__setattr__(copy, "masses", put(xp.tile(masses, count)))
        object.__setattr__(copy, "atom_data", data.tiled(self.atom_data, count, known))
        system_data = data.of_supercell(self.system_data, len(positions), repeats.astype(int))
        object.__setattr__(copy, "system_data", system_data)
        return copy

    def take(self, indices: Any) -> "Structure":
        """The atoms with these indices, in their order, with their data, in the same cell.

        Raises:
            DataError: bonds, which name atoms by their indices.
        """
        if data.BONDS in self.system_data:
            raise DataError("the bonds of a structure name its atoms: remove them before atoms are taken or permuted")
        fields = {name: getattr(self, name)[indices] for name in ("positions", "numbers", "masses")}
        return self.replace(**fields, atom_data=data.taken(self.atom_data, indices))


def _extras(self):
    warnings.warn("extras is deprecated: use atom_data and system_data", DeprecationWarning, stacklevel=2)
    return {**self.atom_data, **self.system_data}


Structure.extras = property(_extras, doc="Deprecated: all data in one dict.")  # type: ignore[attr-defined]


def _shaped(array, shape, name):
    ok = array.ndim == len(shape) and all(s in (None, a) for s, a in zip(shape, array.shape, strict=False))
    if not ok:
        expected = "(" + ", ".join("n" if s is None else str(s) for s in shape) + ")"
        raise DataError(f"{name}: expected an array of shape {expected}, got {array.shape}")
    return array


def _numbers(numbers):
    if isinstance(numbers, jax.core.Tracer):
        return numbers
    if not isinstance(numbers, jax.Array | np.ndarray) or np.asarray(numbers).dtype.kind in "US":
        numbers = [atomic_number(str(z)) if isinstance(z, str) else z for z in np.asarray(numbers).tolist()]
    array = np.asarray(numbers)
    if array.size and array.dtype.kind not in "iu":
        raise DataError(f"numbers: expected integers or chemical symbols, got {array.dtype}")
    array = array.astype(np.int32)
    if array.size and (array.min() < 0 or array.max() >= len(SYMBOLS)):
        raise DataError(f"numbers: atomic numbers must lie in 0..118, got {array.min()}..{array.max()}")
    return to_device(array)
