"""Special points of the Brillouin zone and paths between them, for the cell as it is given."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

import numpy as np
from ase.cell import Cell
from ase.dft.kpoints import parse_path_string

from jaxpot.core.precision import require_concrete
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, GeometryError
from jaxpot.typing import StructureLike


@dataclass(frozen=True, eq=False)
class BandPath:
    """A path through the Brillouin zone.

    Fields:
        q_points: (m, 3) in units of the reciprocal vectors of the given cell.
        distances: (m,) 1/A, length along the path (with the factor 2 pi), the same on both sides of a jump.
        ticks: (k,) 1/A, where the special points are.
        labels: their k names; "U|K" at a jump, "Γ" at the centre.
    """

    q_points: np.ndarray
    distances: np.ndarray
    ticks: np.ndarray
    labels: tuple


def special_points(structure: StructureLike) -> dict[str, np.ndarray]:
    """The named points of the Brillouin zone of a structure's lattice.

    Args:
        structure: `Structure` or `ase.Atoms`; the lattice is that of its cell as it is: for the cubic cell of
            an fcc crystal, simple cubic.

    Returns:
        dict of names ("Gamma", "X", "L", ...) and (3,) fractional q in the reciprocal basis of the cell.

    Raises:
        GeometryError: no axis is periodic, or the lattice cannot be classified.

    References:
        W. Setyawan and S. Curtarolo, "High-throughput electronic band structure calculations: challenges and
        tools", Comput. Mater. Sci. 49, 299 (2010).
    """
    return _standard(Structure.of(structure))[0]


def band_path(structure: StructureLike, points: int = 100, path: str | Sequence | None = None) -> BandPath:
    """Wave vectors along a path between special points, by default the standard path of the lattice.

    Args:
        structure: `Structure` or `ase.Atoms`.
        points: about how many, shared among the segments by their lengths; each has its ends at least.
        path: None; a string of names as "GXWKG,UX" (a comma is a jump; "Gamma" and "Γ" serve for G); or a
            sequence of names and of (3,) fractional q, walked in one piece.

    Returns:
        `BandPath`.

    Raises:
        GeometryError: no axis is periodic, or the lattice cannot be classified and names are needed.
        DataError: an unknown name, or fewer than two different points.

    References:
        As for `special_points`.
    """
    structure = Structure.of(structure)
    reciprocal = 2.0 * pi * np.linalg.pinv(_periodic_cell(structure)).T
    pieces = _pieces(structure, path)
    steps = [np.linalg.norm(np.diff(corners, axis=0) @ reciprocal, axis=1) for _, corners in pieces]
    total = float(sum(np.sum(step) for step in steps))
    if not total > 0.0:
        raise DataError(f"path {path!r}: expected at least two different points")
    q_points, distances, ticks = [], [], []
    labels: list[str] = []
    here = 0.0
    for (names, corners), lengths in zip(pieces, steps, strict=True):
        if labels:  # a jump: two names at one place
            labels[-1] += f"|{names[0]}"
        else:
            ticks.append(here)
            labels.append(names[0])
        q_points.append(corners[0])
        distances.append(here)
        for name, start, end, length in zip(names[1:], corners[:-1], corners[1:], lengths, strict=True):
            fractions = np.linspace(0.0, 1.0, 1 + max(1, round(points * length / total)))[1:]
            q_points.extend((1.0 - fractions[:, None]) * start + fractions[:, None] * end)
            distances.extend(here + fractions * length)
            here += float(length)
            ticks.append(here)
            labels.append(name)
    return BandPath(np.array(q_points), np.array(distances), np.array(ticks), tuple(labels))


def _pieces(structure, path):
    """The path as pieces without jumps, each a pair of labels and of corners (k, 3)."""
    if path is None:
        named, text = _standard(structure)
        items = parse_path_string(text)
    elif isinstance(path, str):
        items = parse_path_string(re.sub("Gamma|Γ", "G", path))
        named, _ = _standard(structure)
    else:
        items = [list(path)]
        named = _standard(structure)[0] if any(isinstance(item, str) for item in path) else {}
    corners = [[_corner(item, named, path) for item in piece] for piece in items if piece]
    return [tuple(zip(*piece, strict=True)) for piece in corners]


def _corner(item, named, path):
    """Label and q of a special point by name, or of a wave vector."""
    if isinstance(item, str):
        name = "Gamma" if item in ("G", "Γ") else item
        if name not in named:
            raise DataError(f"path {path!r}: no special point {item!r}; this lattice has {', '.join(named)}")
        return ("Γ" if name == "Gamma" else name), named[name]
    q = np.asarray(item, float)
    if q.shape != (3,) or not np.all(np.isfinite(q)):
        raise DataError(f"path: expected names or three finite fractional coordinates, got {item!r}")
    return "(" + ", ".join(f"{x:.4g}" for x in q) + ")", q


def _standard(structure):
    """Special points and standard path of the lattice, by ASE."""
    cell = _periodic_cell(structure)
    try:
        found = Cell(cell).bandpath(npoints=0, pbc=structure.pbc)
    except (RuntimeError, ValueError, AssertionError, ArithmeticError) as error:
        raise GeometryError(
            f"the lattice of the cell {cell.tolist()} cannot be classified ({error}): give the path as "
            "fractional wave vectors, as in path=[(0, 0, 0), (0.5, 0, 0)]"
        ) from error
    points = found.special_points.items()
    return {"Gamma" if name == "G" else name: np.array(q, float) for name, q in points}, found.path


def _periodic_cell(structure):
    """The cell, open axes zero."""
    cell = require_concrete(structure.cell, "the cell", "choose wave vectors outside of jit and pass them in")
    cell = np.where(np.array(structure.pbc)[:, None], cell, 0.0)
    if not any(structure.pbc) or np.linalg.matrix_rank(cell) < sum(structure.pbc):
        raise GeometryError(
            f"no Brillouin zone: pbc = {structure.pbc} and cell = {cell.tolist()}; expected a periodic "
            "structure with independent lattice vectors"
        )
    return cell
