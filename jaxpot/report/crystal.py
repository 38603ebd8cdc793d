"""What a person asks of a crystal first: its primitive cell, its lattice constants, its formula."""

from math import gcd, pi, sqrt

import numpy as np

from jaxpot.core.data import counted
from jaxpot.core.elements import symbol
from jaxpot.core.structure import Structure
from jaxpot.core.symmetry import space_group
from jaxpot.errors import ConvergenceError
from jaxpot.observables import energy_many
from jaxpot.potentials.base import Potential

_CENTRED = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "R": 3, "F": 4}
_LIKELY = (0.75, 1.4)  # of the size that atomic radii suggest
_SAME_PLACE = 0.05  # A; no two atoms of a crystal are so close
_TOLERANCE = 1e-4  # A; relaxed crystals are far closer to their symmetry than files with few digits


def primitive(structure: Structure) -> Structure:
    """A primitive cell of a crystal, in the same orientation; the crystal itself where it is one already."""
    if counted(structure.system_data):  # they belong to this cell
        return structure
    group = space_group(structure, _TOLERANCE)
    same = (group.rotations == np.eye(3, dtype=int)).all(axis=(1, 2))
    shifts = group.translations[same]
    if len(shifts) == 1:
        return structure
    cell = np.asarray(structure.cell)
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    points = ((shifts - np.round(shifts))[None] + steps).reshape(-1, 3) @ cell
    small = _shortest_basis(points, abs(np.linalg.det(cell)) / len(shifts))
    if small is None:
        return structure
    # One atom of each set that the translations make from each other.
    keep = _first_of_each(np.asarray(structure.positions), np.asarray(structure.numbers), small)
    if len(keep) * len(shifts) != len(structure):
        return structure
    return structure.take(keep).replace(cell=small)


def _first_of_each(positions, numbers, cell):
    """Indices of the atoms that no earlier one is a translation of: as many as the cell holds, not all operations.

    A supercell of 4,000 atoms has 100,000 operations, and its primitive cell two atoms.
    """
    fractional, left, keep = positions @ np.linalg.inv(cell), np.arange(len(positions)), []
    while len(left):
        first = left[0]
        apart = fractional[left] - fractional[first]
        near = np.linalg.norm((apart - np.round(apart)) @ cell, axis=1) < _SAME_PLACE
        keep.append(first)
        left = left[~(near & (numbers[left] == numbers[first]))]
    return np.array(keep)


def _shortest_basis(points, volume):
    """The three shortest independent vectors, right-handed; None unless they span a cell of this volume."""
    lengths = np.linalg.norm(points, axis=1)
    points = points[np.lexsort((*(-np.round(points.T, 6)), np.round(lengths, 6)))]
    points = points[np.linalg.norm(points, axis=1) > 1e-3]
    basis = []
    for point in points:
        trial = np.array([*basis, point])
        spanned = np.sqrt(max(np.linalg.det(trial @ trial.T), 0.0))
        if spanned > 1e-3 * np.prod(np.linalg.norm(trial, axis=1)):
            basis.append(point)
        if len(basis) == 3:
            break
    basis = np.array(basis)
    if len(basis) < 3 or abs(abs(np.linalg.det(basis)) - volume) > 1e-3 * volume:
        return None
    return basis if np.linalg.det(basis) > 0 else basis[[1, 0, 2]]


def isolated_atom(number: int) -> Structure:
    """One atom of an element with nothing around it."""
    return Structure(np.zeros((1, 3)), np.eye(3), [number], pbc=False)


def find_volume(potential: Potential, structure: Structure) -> Structure:
    """The crystal scaled to about the volume of lowest energy: a start for `relax`, which goes downhill only.

    Of several minima the lowest of those near the size given, which atomic radii suggest: published networks have
    abysses where atoms sit on one another.

    Raises:
        ConvergenceError: the energy has no minimum between half and twice the size given.
    """
    scales = np.geomspace(0.5, 2.0, 57)
    energies = energy_many(potential, [structure.strained((s - 1.0) * np.eye(3)) for s in scales])
    # Ends do not count: some models fall without a bottom where atoms sit on one another.
    inner = np.arange(1, len(scales) - 1)
    dips = inner[(energies[inner] < energies[inner - 1]) & (energies[inner] < energies[inner + 1])]
    if not len(dips):
        a, b = scales[[0, -1]] * np.linalg.norm(np.asarray(structure.cell)[0])
        raise ConvergenceError(
            f"the energy of {formula(structure)} in this structure has no minimum (first lattice vector "
            f"between {a:.3g} and {b:.3g} A); give the size yourself, as in PROTOTYPE:ELEMENTS:a=5.43"
        )
    likely = dips[(scales[dips] > _LIKELY[0]) & (scales[dips] < _LIKELY[1])]
    dips = likely if len(likely) else dips
    best = dips[np.argmin(energies[dips])]
    return structure.strained((scales[best] - 1.0) * np.eye(3))


def lattice(structure: Structure) -> dict[str, float]:
    """Lengths (A) and angles (degrees) of the conventional cell: {"a", "b", "c", "alpha", "beta", "gamma"}.

    Args:
        structure: a primitive cell, concrete. Monoclinic and triclinic crystals, whose conventional cells are
            a matter of taste, are described by the cell as it is.
    """
    cell = np.asarray(structure.cell)
    if counted(structure.system_data):  # they belong to this cell
        return _of_cell(cell)
    group = space_group(structure, _TOLERANCE)
    volume = abs(np.linalg.det(cell)) * _CENTRED.get(group.international[0], 1)
    if group.number >= 195:
        return _described([volume ** (1.0 / 3.0)] * 3)
    if group.number >= 143:
        c = _along_axis(group, cell, 0)[0]
        a = sqrt(2.0 * volume / (sqrt(3.0) * c))
        return _described([a, a, c], gamma=120.0)
    if group.number >= 75:
        c = _along_axis(group, cell, 1)[0]
        a = sqrt(volume / c)
        return _described([a, a, c])
    if group.number >= 16:
        return _described(_along_axis(group, cell, -1))
    return _of_cell(cell)


def _of_cell(cell):
    lengths = np.linalg.norm(cell, axis=1)
    cosines = (cell @ cell.T) / np.outer(lengths, lengths)
    angles = np.arccos(np.clip([cosines[1, 2], cosines[0, 2], cosines[0, 1]], -1.0, 1.0)) * 180.0 / pi
    return _described(lengths, *angles)


def _described(lengths, alpha=90.0, beta=90.0, gamma=90.0):
    a, b, c = (float(x) for x in lengths)
    return {"a": a, "b": b, "c": c, "alpha": float(alpha), "beta": float(beta), "gamma": float(gamma)}


def _along_axis(group, cell, trace):
    """Lengths of the shortest lattice vectors along the axes of rotations of this trace, x before z."""
    found = {}
    for rotation in group.rotations:
        proper = rotation * round(np.linalg.det(rotation))
        if np.trace(proper) != trace:
            continue
        # The points of an orbit add up to a vector along the axis, here a lattice vector.
        order = {0: 3, 1: 4, -1: 2}[trace]
        orbit = sum(np.linalg.matrix_power(proper, k) for k in range(order))
        column = next(v for v in orbit.T if v.any())
        vector = column // gcd(*map(int, column)) @ cell
        vector = vector if vector[np.argmax(np.abs(vector))] > 0 else -vector
        found[tuple(np.round(vector, 3))] = float(np.linalg.norm(vector))
    return [length for _, length in sorted(found.items(), reverse=True)]


def formula(structure: Structure) -> str:
    """The reduced formula, elements in the order of the structure: `Si`, `NaCl`, `MoS2`."""
    of_atoms = [int(z) for z in np.asarray(structure.numbers)]
    numbers, counts = zip(*((z, of_atoms.count(z)) for z in dict.fromkeys(of_atoms)), strict=True)
    common = gcd(*map(int, counts))
    return "".join(
        symbol(int(z)) + (str(c // common) if c > common else "")
        for z, c in zip(numbers, counts, strict=True)
    )
