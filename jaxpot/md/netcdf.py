"""Frames in NetCDF by AMBER's convention, which ASE, MDAnalysis, mdtraj, ParmEd, cpptraj, OVITO and VMD read.

Sources: AMBER NetCDF Trajectory/Restart Convention, version 1.0, revision C (https://ambermd.org/netcdf/nctraj.xhtml);
NetCDF Classic Format Specification, 64-bit offset variant (Unidata, NetCDF User's Guide). A file is a head, which
ends with what all frames share, and then the frames, each a record of the same size; the head counts the frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxpot.core.neighbors import periodic_cell
from jaxpot.core.structure import Structure
from jaxpot.core.versions import versions
from jaxpot.errors import DataError
from jaxpot.md.dynamics import Dynamics
from jaxpot.md.files import AppendOnly
from jaxpot.md.observers import Observer
from jaxpot.md.state import State
from jaxpot.typing import AnyArray, FilePath
from jaxpot.units import ps

_COUNT = 4  # where the head has the number of frames
_LISTS = {"dimensions": 10, "variables": 11, "attributes": 12}
_TYPES = {"S1": 2, ">i4": 4, ">f4": 5, ">f8": 6}

_FORCE = 4184.0 / (6.02214076e23 * 1.602176634e-19)  # kcal/mol in eV, hence AMBER's unit of force in eV/A

_FRAME = {  # variable of each frame -> its other dimensions and its unit
    "time": ((), "picosecond"),
    "cell_lengths": (("cell_spatial",), "angstrom"),
    "cell_angles": (("cell_angular",), "degree"),
    "coordinates": (("atom", "spatial"), "angstrom"),
    "velocities": (("atom", "spatial"), "angstrom/picosecond"),
    "forces": (("atom", "spatial"), "kilocalorie/mole/angstrom"),
}


class NetCDFTrajectory(Observer):
    """Time, cell, positions (unwrapped), velocities and forces of frames, appended to a file of AMBER's NetCDF.

    A frame takes 36 bytes an atom and 56 more. Times (ps; the convention has single precision, too coarse for long
    runs, and readers take either) and cells (A and degrees) are in double precision. Positions (A), velocities (A/ps)
    and forces (kcal/mol/A) are in single precision, 24 bits: an error of up to 4e-6 A at 100 A.

    The convention has no lattice vectors: each frame is turned, its positions, velocities and forces alike, so that a
    lies along x and b in the xy plane, where readers put them. Of a left-handed cell, -a, -b and -c are shown, which
    span the same lattice. Open axes have length 0 and angles of 90 degrees; without periodic axes nothing is turned.
    The convention has no elements either, and most programs take them from a topology; atomic numbers are in the
    variable `atom_types`, where ASE finds them.

    What readers make of it: ASE takes velocities for ones in its own units, so that its momenta are too large by the
    factor `1000 * ase.units.fs`, and leaves forces in kcal/mol/A; cpptraj takes velocities for ones in AMBER's unit of
    20.455 A/ps (there is no `scale_factor`, which OVITO would ignore); MDAnalysis reads systems without periodic axes
    with `convert_units=False`.

    Frames are counted when they are written: a program that reads the file sees whole ones only, while the run goes on
    and after it was killed. (After a loss of power those beyond the last checkpoint may be damaged; they are cut off
    when the run goes on.)

    Args:
        path: ends with .nc or .netcdf.
        every: steps.

    Raises:
        DataError: another ending; at the start of a run: the file exists; later: it is gone or cannot be written. What
            was written of a frame by then is taken back.
    """

    file: AppendOnly

    def __init__(self, path: FilePath, every: int = 100) -> None:
        super().__init__(every)
        self.file, self.frames = AppendOnly(path), 0
        if not self.file.path.endswith((".nc", ".netcdf")):
            raise DataError(f"{self.file.path}: expected a name that ends with .nc or .netcdf")

    def begin(self, dynamics: Dynamics, state: State) -> None:
        self.file.create(head_bytes(state.structure))
        self.frames = 0

    def look(self, dynamics: Dynamics, state: State) -> None:
        self.file.append(frame_bytes(dynamics, state))
        self._count(self.frames + 1)

    def mark(self) -> dict[str, Any]:
        return {"end": self.file.end(), "frames": self.frames}

    def go_on(self, mark: dict[str, Any]) -> None:
        end = int(mark["end"])
        self.file.check(end)
        self._count(int(mark["frames"]))  # before they are cut off
        self.file.cut(end)

    def _count(self, frames):
        self.file.put(_COUNT, _whole(frames))
        self.frames = frames


def frame_bytes(dynamics: Dynamics, state: State) -> bytes:
    """Bytes of one frame."""
    structure = state.structure
    lengths, angles, turn = standard_cell(structure.cell, structure.pbc)
    frame = np.zeros((), _layout(len(structure)))
    frame["time"] = int(state.step) * float(dynamics.time_step) / ps
    frame["cell_lengths"], frame["cell_angles"] = lengths, angles
    frame["coordinates"] = np.asarray(structure.positions) @ turn
    frame["velocities"] = np.asarray(state.velocities) @ turn * ps
    frame["forces"] = np.asarray(state.forces) @ turn / _FORCE
    return frame.tobytes()


def standard_cell(cell: AnyArray, pbc: Sequence[bool]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cell as lengths and angles, and the rotation to where readers put it: a along x, b in the xy plane.

    Args:
        cell: (3, 3) A, rows are the lattice vectors; rows of open axes are ignored.
        pbc: three booleans.

    Returns:
        Lengths (3,) A, 0 of open axes; angles (3,) degrees, of b and c, of a and c, of a and b; a rotation (3, 3) by
        which row vectors are multiplied from the right.
    """
    box = periodic_cell(cell, pbc)
    if np.linalg.det(box) < 0.0:
        box[slice(None) if all(pbc) else pbc.index(False)] *= -1.0
    turn, triangle = np.linalg.qr(box.T)
    turn *= np.sign(np.diag(triangle))
    lengths = np.linalg.norm(box, axis=1)
    units = box / lengths[:, None]
    cosines = np.array([units[1] @ units[2], units[0] @ units[2], units[0] @ units[1]])
    return np.where(pbc, lengths, 0.0), np.degrees(np.arccos(cosines)), turn


def _layout(n):
    """NumPy type of a frame of n atoms: its numbers in their order."""
    vectors = (">f4", (n, 3))
    return np.dtype([
        ("time", ">f8"), ("cell_lengths", ">f8", 3), ("cell_angles", ">f8", 3), ("coordinates", *vectors),
        ("velocities", *vectors), ("forces", *vectors),
    ])


@dataclass(frozen=True)
class _Variable:
    """Entry of a variable in the head; unit: "" for none; size: bytes, of one frame where there is one in each."""

    name: str
    dimensions: tuple
    unit: str
    kind: str
    size: int

    def entry(self, dimensions, begin):
        """dimensions: all names in their order; begin: where in the file."""
        attributes = {"units": self.unit} if self.unit else {}
        places = [_whole(dimensions.index(name)) for name in self.dimensions]
        return (
            _text(self.name) + _whole(len(places)) + b"".join(places) + _attributes(attributes)
            + _whole(_TYPES[self.kind]) + _whole(self.size) + begin.to_bytes(8, "big")
        )


def head_bytes(structure: Structure) -> bytes:
    """Bytes of the head, with a count of no frames."""
    n = len(structure)
    sizes = {"frame": 0, "spatial": 3, "atom": n, "cell_spatial": 3, "cell_angular": 3, "label": 5}
    about = {
        "title": "molecular dynamics", "application": "jaxpot", "program": "jaxpot",
        "programVersion": versions()["jaxpot"], "Conventions": "AMBER", "ConventionVersion": "1.0",
    }
    shared = _shared(structure)
    contents = [_padded(array.tobytes()) for _, array in shared.values()]
    variables = [
        _Variable(name, axes, "", _kind(array.dtype), len(content))
        for (name, (axes, array)), content in zip(shared.items(), contents, strict=True)
    ] + [
        _Variable(name, ("frame", *axes), unit, _kind(_layout(n)[name].base), _layout(n)[name].itemsize)
        for name, (axes, unit) in _FRAME.items()
    ]
    start = (
        b"CDF\2" + _whole(0)
        + _list("dimensions", [_text(name) + _whole(size) for name, size in sizes.items()]) + _attributes(about)
    )
    length = len(start) + len(_entries(variables, list(sizes), 0))
    return start + _entries(variables, list(sizes), length) + b"".join(contents)


def _shared(structure):
    """Variables that all frames share: name -> dimensions and values."""
    return {
        "spatial": (("spatial",), np.array([*"xyz"], "S1")),
        "cell_spatial": (("cell_spatial",), np.array([*"abc"], "S1")),
        "cell_angular": (("cell_angular", "label"), np.array([[*"alpha"], [*"beta "], [*"gamma"]], "S1")),
        "atom_types": (("atom",), np.asarray(structure.numbers, ">i4")),
    }


def _entries(variables, dimensions, begin):
    """The list of variables, which follow each other from a place in the file on."""
    places = begin + np.cumsum([0, *(variable.size for variable in variables[:-1])])
    return _list("variables", [
        variable.entry(dimensions, int(place)) for variable, place in zip(variables, places, strict=True)
    ])


def _attributes(texts):
    """Bytes of a list of attributes, name -> text."""
    return _list("attributes", [
        _text(name) + _whole(_TYPES["S1"]) + _text(text) for name, text in texts.items()
    ])


def _list(name, entries):
    return _whole(_LISTS[name] if entries else 0) + _whole(len(entries)) + b"".join(entries)


def _text(text):
    return _whole(len(text)) + _padded(text.encode("ascii"))


def _whole(number):
    return number.to_bytes(4, "big")


def _padded(content):
    return content + bytes(-len(content) % 4)


def _kind(dtype):
    return dtype.str.replace("|", "")
