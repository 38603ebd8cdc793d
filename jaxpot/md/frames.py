"""Trajectories as arrays: from files, from lists of structures, wrapped or not."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxpot import io
from jaxpot.core.elements import MASSES, SYMBOLS
from jaxpot.core.neighbors import periodic_cell
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, FormatError, JaxpotError
from jaxpot.io.netcdf import is_netcdf, read_netcdf
from jaxpot.md.curves import fractional
from jaxpot.md.state import State
from jaxpot.units import fs, ps

_WRAPPED = 1.1  # of a cell: positions of a trajectory that spread further are not wrapped
_SURE, _UNSURE = 0.125, 0.4  # of a cell: what atoms may move between frames, so that jumps are told from motion
_TIME = "time_fs"  # of a frame, in extended XYZ as `md.Trajectory` writes it


@dataclass(frozen=True)
class Frames:
    """Frames of the same atoms.

    Attributes:
        positions: (t, n, 3) A.
        cells: (t, 3, 3) A.
        numbers: (n,) atomic numbers.
        masses: (n,) amu.
        pbc: three booleans.
        velocities: (t, n, 3) A per internal unit of time; None where frames do not have them.
        times: (t,) in internal units; None where frames do not have them.
        name: of the file, for messages.
    """

    positions: np.ndarray
    cells: np.ndarray
    numbers: np.ndarray
    masses: np.ndarray
    pbc: tuple
    velocities: np.ndarray | None = None
    times: np.ndarray | None = None
    name: str = "frames"

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def of(cls, frames: Any, name: str = "frames") -> "Frames":
        """Frames from a list of `ase.Atoms`, `Structure` or `State`.

        Velocities are those of states, and of atoms with momenta; times those that `time_fs` in `atoms.info` says.

        Raises:
            DataError: no frames, or frames of different atoms.
        """
        if isinstance(frames, cls):
            return frames
        frames = list(frames) if isinstance(frames, list | tuple) else [frames]
        if not frames:
            raise DataError(f"{name}: expected frames, got none")
        shown = [_Frame(frame, f"{name}: frame {k}") for k, frame in enumerate(frames)]
        first = shown[0]
        for k, frame in enumerate(shown[1:], 1):
            if not np.array_equal(frame.numbers, first.numbers):
                raise DataError(
                    f"{name}: frame {k} has other atoms than frame 0 ({len(frame.numbers)} and {len(first.numbers)}, "
                    "or in another order): a trajectory is of the same atoms in the same order"
                )
            if frame.pbc != first.pbc:
                raise DataError(f"{name}: frame {k} has pbc={frame.pbc}, and frame 0 {first.pbc}: expected the same")
        return cls(
            _stacked(shown, "positions"), _stacked(shown, "cell"), first.numbers, first.masses, first.pbc,
            _stacked(shown, "velocities"), _stacked(shown, "time"), name,
        )

    def __getitem__(self, part: slice) -> "Frames":
        """The frames of a slice."""
        cut = lambda array: None if array is None else array[part]  # noqa: E731
        return Frames(
            self.positions[part], self.cells[part], self.numbers, self.masses, self.pbc, cut(self.velocities),
            cut(self.times), self.name,
        )

    @property
    def heights(self) -> np.ndarray:
        """(3,) A, the least of all frames between opposite faces of the cell; infinite along open axes."""
        least = np.full(3, np.inf)
        for cell in self.cells if np.ptp(self.cells, axis=0).any() else self.cells[:1]:
            inverse = np.linalg.inv(periodic_cell(cell, self.pbc))
            least = np.minimum(least, np.where(self.pbc, 1.0 / np.linalg.norm(inverse, axis=0), np.inf))
        return least

    def jumps(self) -> tuple[bool, str | None]:
        """Whether atoms that leave the cell come back on its other side, and a note where that is hard to tell.

        They do where no frame spreads over more than the cell, or where motion by more than half a cell between two
        frames is nearly a whole one.
        """
        boxes = np.array([periodic_cell(cell, self.pbc) for cell in self.cells])
        places = fractional(self.positions, boxes)
        moves = np.diff(places, axis=0)[:, :, list(self.pbc)]
        rest = np.abs(moves - np.round(moves))
        jumped = np.abs(moves) > 0.5
        if not jumped.any():
            return False, None
        spread = np.ptp(places.reshape(-1, 3), axis=0)[list(self.pbc)]
        wrapped = bool((spread <= _WRAPPED).all() or np.median(rest[jumped]) < _SURE)
        if not wrapped:
            note = (
                "atoms move by more than half of the cell between two frames; positions are taken as unwrapped, "
                "because they spread over more than one cell"
            )
            return False, note
        if rest.max() > _UNSURE:
            return True, (
                f"atoms move by up to {rest.max():.2f} of the cell between two frames: motion cannot be told from "
                "coming back on the other side, and displacements are uncertain; write frames more often"
            )
        return True, None


class _Frame:
    """Quantities taken from one frame."""

    def __init__(self, frame, where):
        velocities = time = None
        if isinstance(frame, State):
            velocities, frame = np.asarray(frame.velocities, float), frame.structure
        try:
            structure = Structure.of(frame)
        except JaxpotError as error:
            raise DataError(f"{where}: {error}") from error
        self.positions, self.cell = np.asarray(structure.positions, float), np.asarray(structure.cell, float)
        self.numbers, self.masses = np.asarray(structure.numbers), np.asarray(structure.masses, float)
        self.pbc = structure.pbc
        if hasattr(frame, "has") and frame.has("momenta"):
            velocities = np.asarray(frame.get_momenta(), float) / self.masses[:, None]
        if isinstance(getattr(frame, "info", {}).get(_TIME), int | float | np.number):
            time = float(frame.info[_TIME]) * fs
        for given, what in ((velocities, "velocities"), (time, "the time")):
            if given is not None and not np.isfinite(given).all():
                raise DataError(f"{where}: {what}: expected finite numbers")
        self.velocities, self.time = velocities, time


def _stacked(shown, name):
    parts = [getattr(frame, name) for frame in shown]
    return None if any(part is None for part in parts) else np.array(parts)


def read_frames(path: str | os.PathLike) -> Frames:
    """The frames of a trajectory.

    Args:
        path: of extended XYZ or NetCDF (AMBER's convention) as `md.run` writes them, or of any trajectory that ASE
            reads. Velocities are read as momenta (ASE's), or from NetCDF (A/ps); times from `time_fs` or NetCDF (ps).
            NetCDF has no masses: they are the standard ones.

    Returns:
        `Frames`.

    Raises:
        FormatError: no such file, or a damaged one.
        DataError: frames of different atoms.
    """
    path = os.fspath(path)
    if not is_netcdf(path):
        return Frames.of(io.read_atoms(path, ":"), path)
    contents = read_netcdf(path)
    shape = np.shape(contents["coordinates"][0]) if "coordinates" in contents else ()
    if len(shape) != 3 or not all(shape):
        raise FormatError(
            "it has no frames with coordinates, shape (frames, atoms, 3); expected a trajectory by AMBER's convention",
            path,
        )
    frames, atoms, _ = shape
    positions = _scaled(contents, "coordinates", 1.0, (frames, atoms, 3), path)
    kinds = contents.get("atom_types", (None,))[0]
    whole = kinds is not None and kinds.shape == (atoms,) and kinds.dtype.kind == "i"
    if kinds is None or not (whole and 1 <= kinds.min() and kinds.max() < len(SYMBOLS)):
        raise FormatError(
            "it names no elements (atomic numbers in `atom_types`, which AMBER keeps in a topology): convert the "
            "trajectory to extended XYZ with its topology", path,
        )
    numbers = np.array(kinds, int)
    cells, pbc = _cells(contents, frames, path)
    velocities = times = None
    if "velocities" in contents:
        velocities = _scaled(contents, "velocities", 1.0 / ps, positions.shape, path)
    if "time" in contents:
        times = _scaled(contents, "time", ps, (frames,), path)
    return Frames(positions, cells, numbers, np.asarray(MASSES)[numbers], pbc, velocities, times, path)


def _scaled(contents, name, unit, shape, path):
    """A variable of frames in another unit; `scale_factor` is AMBER's."""
    array, attributes = contents.get(name, (np.zeros(0), {}))
    factor = np.ravel(attributes.get("scale_factor", 1.0))
    if array.shape != shape or array.dtype.kind not in "fi" or factor.shape != (1,) or factor.dtype.kind not in "fi":
        message = f"expected numbers of shape {shape}, got {array.dtype.name} of shape {array.shape}"
        raise FormatError(message, path, field=name)
    with np.errstate(all="ignore"):  # what is not finite is refused below
        array = np.asarray(array, float) * (float(factor[0]) * unit)
    if not np.isfinite(array).all():
        raise FormatError("expected finite numbers", path, field=name)
    return array


def _cells(contents, frames, path):
    """Cells (t, 3, 3) of lengths and angles, a along x and b in the xy plane; lengths of 0 are open axes."""
    if "cell_lengths" not in contents:
        return np.zeros((frames, 3, 3)), (False, False, False)
    lengths = _scaled(contents, "cell_lengths", 1.0, (frames, 3), path)
    angles = np.radians(_scaled(contents, "cell_angles", 1.0, (frames, 3), path))
    pbc = tuple((lengths > 0.0).all(0).tolist())
    cosine, (_, _, gamma) = np.cos(angles).T, angles.T
    cells = np.zeros((frames, 3, 3))
    cells[:, 0, 0] = 1.0
    cells[:, 1, 0], cells[:, 1, 1] = cosine[2], np.sin(gamma)
    if not (np.sin(gamma) > 1e-6).all():
        raise FormatError("the angles of the cell enclose no volume", path, field="cell_angles")
    cells[:, 2, 0] = cosine[1]
    cells[:, 2, 1] = (cosine[0] - cosine[1] * cosine[2]) / np.sin(gamma)
    height = 1.0 - cells[:, 2, 0] ** 2 - cells[:, 2, 1] ** 2
    if not (height > 0.0).all():
        raise FormatError("the angles of the cell enclose no volume", path, field="cell_angles")
    cells[:, 2, 2] = np.sqrt(height)
    return cells * lengths[:, :, None], pbc
