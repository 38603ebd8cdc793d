"""Frames in extended XYZ, which ASE, OVITO and others read."""

from typing import Any

import numpy as np

from jaxpot.errors import DataError
from jaxpot.md.dynamics import Dynamics
from jaxpot.md.files import AppendOnly
from jaxpot.md.observers import Observer
from jaxpot.md.state import State
from jaxpot.typing import FilePath
from jaxpot.units import fs


class Trajectory(Observer):
    """Positions (unwrapped), momenta and forces of frames, appended to a file in extended XYZ.

    Args:
        path: ends with .xyz or .extxyz.
        every: steps.
    """

    file: AppendOnly

    def __init__(self, path: FilePath, every: int = 100) -> None:
        super().__init__(every)
        self.file = AppendOnly(path)
        if not self.file.path.endswith((".xyz", ".extxyz")):
            raise DataError(f"{self.file.path}: expected a name that ends with .xyz or .extxyz")

    def begin(self, dynamics: Dynamics, state: State) -> None:
        self.file.create()

    def look(self, dynamics: Dynamics, state: State) -> None:
        self.file.append(frame_text(state, float(dynamics.time_step)))

    def mark(self) -> dict[str, Any]:
        return {"end": self.file.end()}

    def go_on(self, mark: dict[str, Any]) -> None:
        self.file.cut(int(mark["end"]))


def frame_text(state: State, time_step: float) -> str:
    """Frame as extended XYZ: momenta in ASE's units, energy in eV, time in fs (`time_step` in internal units)."""
    structure = state.structure
    momenta = np.asarray(structure.masses)[:, None] * np.asarray(state.velocities)
    table = np.concatenate([np.asarray(structure.positions), momenta, np.asarray(state.forces)], axis=1)
    lattice = " ".join(f"{x:.10g}" for x in np.asarray(structure.cell).ravel())
    periodic = " ".join("FT"[p] for p in structure.pbc)
    step = int(state.step)
    head = (
        f'{len(structure)}\nLattice="{lattice}" Properties=species:S:1:pos:R:3:momenta:R:3:forces:R:3 '
        f'energy={float(state.energy):.12g} step={step} time_fs={step * time_step / fs:.10g} '
        f'pbc="{periodic}"\n'
    )
    row = "%s" + " %.8f" * 9 + "\n"
    rows = zip(structure.symbols, table.tolist(), strict=True)
    return head + "".join(row % (name, *numbers) for name, numbers in rows)
