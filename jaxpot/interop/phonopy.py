"""The door to phonopy's files: a crystal's force constants as `phonopy.yaml` and `FORCE_CONSTANTS`.

phonopy itself is not needed to write them, and reads them with `phonopy.load("phonopy.yaml")` in their folder.
"""

from pathlib import Path

import jax
import numpy as np

from jaxpot.core.save import write_atomically
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, ResourceError
from jaxpot.potentials.base import Potential
from jaxpot.properties.force_constants import ForceConstants
from jaxpot.properties.phonons import force_constants

_LARGEST = 2e8  # bytes of FORCE_CONSTANTS
_ZERO = 1e-12  # of the largest force constant: smaller ones are rounding


def to_phonopy(
    potential: Potential,
    structure: Structure,
    folder: str | Path,
    supercell: tuple[int, int, int] | None = None,
) -> list[Path]:
    """Write `phonopy.yaml` and `FORCE_CONSTANTS` of a crystal; phonopy computes the same frequencies from them.

    Phi(0 a, N b) = sum_R Phi_ab(R) over the lattice vectors R that a supercell takes for the same one. phonopy puts
    each sum to the nearest image: in the default supercell, twice as thick as force constants reach, every sum has
    one term and frequencies agree at every wave vector; in a smaller one, at those commensurate with it.

    Args:
        potential, structure: a relaxed crystal; its cell becomes phonopy's unit cell and primitive cell.
        folder: an existing folder; files of these names are replaced.
        supercell: three integers, by default the smallest that is twice as thick as the force constants reach.

    Returns:
        The two paths. Units: A, amu, eV/A^2 (phonopy's default, with frequencies in THz).

    Raises:
        DataError: the crystal is not periodic, or `supercell` is no three positive integers.
        ResourceError: the file would be larger than 200 MB.
    """
    structure = Structure.of(structure)
    return write_phonopy(force_constants(potential, structure), structure, folder, supercell)


def write_phonopy(
    constants: ForceConstants, structure: Structure, folder: str | Path, supercell: tuple[int, int, int] | None = None
) -> list[Path]:
    """Write phonopy's files of force constants that are known already; see `to_phonopy`."""
    values, cells, _ = jax.tree.map(np.asarray, (constants.values, constants.cells, constants.masses))
    repeats = _thick_enough(structure, values, cells) if supercell is None else np.asarray(supercell)
    if repeats.shape != (3,) or repeats.dtype.kind not in "iu" or repeats.min() < 1:
        raise DataError(f"supercell: expected three positive integers, got {supercell}")
    n, count = len(structure), int(np.prod(repeats))
    if 220.0 * n * n * count > _LARGEST:
        raise ResourceError(
            f"FORCE_CONSTANTS of {n} atoms in a supercell of {n * count} would be larger than "
            f"{_LARGEST / 1e6:.0f} MB: give a smaller supercell"
        )
    folded = np.zeros((count, n, 3, n, 3))
    # phonopy orders the images of one atom with the first lattice vector fastest.
    inside = np.mod(cells, repeats)
    np.add.at(folded, inside[:, 0] + repeats[0] * (inside[:, 1] + repeats[1] * inside[:, 2]), values)
    folder = Path(folder)
    files = {"phonopy.yaml": _yaml(structure, repeats), "FORCE_CONSTANTS": _force_constants(folded)}
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    return [folder / name for name in files]


def _thick_enough(structure, values, cells):
    """The smallest repeats of a supercell in which no force constant reaches half of its thickness."""
    cell, positions = np.asarray(structure.cell), np.asarray(structure.positions)
    strong = np.abs(values).max(axis=(2, 4)) > _ZERO * np.abs(values).max()  # (nR, n, n)
    between = (cells @ cell)[:, None, None] + positions[None, None, :] - positions[None, :, None]
    reach = np.linalg.norm(between, axis=-1)[strong].max(initial=0.0)
    spacings = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)  # of the lattice planes, A
    return np.maximum(1, np.ceil((2.0 * reach + 0.1) / spacings)).astype(int)


def _yaml(structure, repeats):
    """phonopy's description of the cell; numbers with all their digits."""
    lines = [
        "phonopy:", '  version: "2.30.0"', "", "physical_unit:", '  atomic_mass: "AMU"', '  length: "angstrom"',
        '  force_constants: "eV/angstrom^2"', "", "supercell_matrix:",
        *(f"- {row}" for row in np.diag(repeats).tolist()), "", "primitive_matrix:",
        *(f"- {row}" for row in np.eye(3).tolist()), "", "unit_cell:", "  lattice:",
        *(f"  - {row}" for row in np.asarray(structure.cell).tolist()), "  points:",
    ]
    fractional, masses = np.asarray(structure.fractional).tolist(), np.asarray(structure.masses).tolist()
    for symbol, place, mass in zip(structure.symbols, fractional, masses, strict=True):
        lines += [f"  - symbol: {symbol}", f"    coordinates: {place}", f"    mass: {mass!r}"]
    return "\n".join(lines) + "\n"


def _force_constants(folded):
    """phonopy's compact format: rows of the primitive cell's atoms, columns of all atoms of the supercell."""
    count, n = folded.shape[:2]
    lines = [f"{n} {n * count}"]
    for a in range(n):
        for b in range(n):
            for image in range(count):
                lines.append(f"{a * count + 1} {b * count + image + 1}")
                lines += [" ".join(f"{x:22.15e}" for x in row) for row in folded[image, a, :, b]]
    return "\n".join(lines) + "\n"
