"""`Frame`: one structure and its labels, checked."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxpot.core.numbers import as_number, as_positive
from jaxpot.core.precision import is_traced
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError

_ASYMMETRY = 1e-3  # of the largest component: more than rounding in a file can do
_SMALL_STRESS = 1e-6  # eV/A^3, 0.16 MPa


@dataclass(frozen=True, eq=False)
class Frame:
    """One structure with labels to fit.

    Args:
        structure: `Structure` or `ase.Atoms`; kept in NumPy arrays, float64.
        energy: eV, of all atoms together; None where it is not known.
        forces: (n, 3) eV/A, or None.
        stress: (3, 3) eV/A^3, +1/V dE/dstrain, or None; needs three periodic axes.
        config_type: name of the group that the frame belongs to.
        source: where it comes from, for messages, such as `train.xyz, frame 12`.
        sigma_energy: eV/atom, expected deviation of a fit; None: the default of the fit for this config_type.
        sigma_forces: eV/A, likewise for a force component.
        sigma_stress: eV/A^3, likewise for a stress component.

    Raises:
        DataError: a label of wrong shape or not finite, a stress that is not symmetric or has no volume to refer
            to, a sigma that is not positive.
    """

    structure: Structure
    energy: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    config_type: str = "default"
    source: str = ""
    sigma_energy: float | None = None
    sigma_forces: float | None = None
    sigma_stress: float | None = None

    def __post_init__(self):
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        where = f"{self.source}: " if self.source else ""
        put("structure", on_host(self.structure, where))
        put("config_type", str(self.config_type))
        if self.energy is not None:
            put("energy", as_number(self.energy, f"{where}energy", "a finite energy in eV"))
        if self.forces is not None:
            put("forces", _finite(self.forces, (len(self), 3), f"{where}forces"))
        if self.stress is not None:
            put("stress", self._checked_stress(where))
        for name, unit in (("sigma_energy", "eV/atom"), ("sigma_forces", "eV/A"), ("sigma_stress", "eV/A^3")):
            if getattr(self, name) is not None:
                put(name, as_positive(getattr(self, name), f"{where}{name}", f"a positive number in {unit}"))

    def __len__(self) -> int:
        return len(self.structure)

    def __repr__(self) -> str:
        known = [name for name in ("energy", "forces", "stress") if getattr(self, name) is not None]
        return f"Frame({self.structure!r}, {' '.join(known) or 'no labels'}, config_type={self.config_type!r})"

    @property
    def numbers(self) -> np.ndarray:
        """Atomic numbers, (n,)."""
        return np.asarray(self.structure.numbers)

    @property
    def volume(self) -> float | None:
        """Volume of the cell, A^3; None unless all axes are periodic."""
        return abs(float(np.linalg.det(self.structure.cell))) if all(self.structure.pbc) else None

    def _checked_stress(self, where):
        stress = _finite(self.stress, (3, 3), f"{where}stress")
        if not all(self.structure.pbc):
            raise DataError(
                f"{where}stress: it refers to a volume, but the structure has pbc={self.structure.pbc}; "
                "leave the stress out"
            )
        skew = np.abs(stress - stress.T).max()
        if skew > _ASYMMETRY * np.abs(stress).max() + _SMALL_STRESS:
            raise DataError(f"{where}stress: expected a symmetric tensor, got {stress.tolist()} eV/A^3")
        return stress if skew == 0.0 else _locked(0.5 * (stress + stress.T))


def on_host(structure: Any, where: str = "") -> Structure:
    """Checked `Structure` in NumPy arrays, float64, that cannot be changed; `where` begins the messages."""
    if is_traced(structure):
        raise DataError(f"{where}a frame holds known numbers, but its structure is traced")
    try:
        structure = jax.tree.map(np.asarray, Structure.of(structure))
    except DataError as error:
        raise DataError(f"{where}{error}") from error
    if not len(structure):
        raise DataError(f"{where}there are no atoms in it")
    if (structure.numbers <= 0).any():
        raise DataError(f"{where}atoms of number 0 (padding) do not belong into data")
    return jax.tree.map(lambda a: _locked(a.astype(np.float64)) if a.dtype == np.float32 else a, structure)


def _finite(value, shape, name):
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: expected {shape} numbers, got {value!r}") from error
    if array.shape != shape:
        raise DataError(f"{name}: expected an array of shape {shape}, got {array.shape}")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise DataError(f"{name}: {len(bad)} of {array.size} numbers are not finite, the first at {bad[0].tolist()}")
    return _locked(array)


def _locked(array):
    array.setflags(write=False)
    return array
