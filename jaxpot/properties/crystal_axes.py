"""Laue classes, and the Cartesian axes in which their elastic constants have names.

A crystal may stand in its file in any orientation and in any cell; C14 of a table is that of agreed axes X, Y, Z.
ANSI/IEEE Std 176-1987, section 3.2, puts them along the crystallographic axes a, b, c:

    Z along c, Y normal to a and c, X = Y x Z

with a, b, c those of the conventional cell where symmetry fixes it (cubic, hexagonal, trigonal, tetragonal), the edges
of the cell in the order c < a < b (orthorhombic), b along the twofold axis and c < a the shortest vectors normal to it,
beta obtuse (monoclinic), or the three shortest vectors, c < a < b, alpha and beta obtuse (triclinic). Trigonal crystals
with twofold axes have X along one of them.

Where these rules leave a choice that changes a sign (a or -a of trigonal crystals, a or b of those of class 4/m,
vectors of equal length), the standard asks for the sign of a piezoelectric constant, which a potential does not have.
Instead, X-ray intensities choose: of the settings left, the one whose first reflection with a difference is the
stronger. In trigonal crystals this is 101 against 011, so that rhombohedral lattices are in the obverse setting and
quartz in the one where r is the stronger rhombohedron. Intensities do not tell a crystal from its mirror image, nor do
elastic constants.

The axes belong to the Laue class, as elastic constants do: that the standard takes the polar axis of mm2 as Z, and a
twofold axis of -42m as X, is for piezoelectric constants and not followed.

References:
    ANSI/IEEE Std 176-1987, IEEE Standard on Piezoelectricity, section 3.2.
    J. F. Nye, Physical Properties of Crystals (Oxford, 1985), chapter 8 and table 9.
    J. D. H. Donnay, Y. Le Page, Acta Cryst. A34, 584 (1978), of the two settings of quartz.
"""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import permutations, product

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.structure import Structure
from jaxpot.core.symmetry import Symmetry, space_group
from jaxpot.errors import GeometryError
from jaxpot.properties.coordinates import frozen

# The last space group of each Laue class in the order of their numbers.
_LAST = (2, 15, 74, 88, 142, 148, 167, 176, 194, 206, 230)
_CLASSES = ("-1", "2/m", "mmm", "4/m", "4/mmm", "-3", "-3m", "6/m", "6/mmm", "m-3", "m-3m")

_CUBIC = ("c11", "c12", "c44")
_HEXAGONAL = ("c11", "c12", "c13", "c33", "c44")
# The constants that symmetry leaves independent, in the standard axes (Nye, table 9).
INDEPENDENT = {
    "-1": tuple(f"c{i}{j}" for i in range(1, 7) for j in range(i, 7)),
    "2/m": ("c11", "c12", "c13", "c15", "c22", "c23", "c25", "c33", "c35", "c44", "c46", "c55", "c66"),
    "mmm": ("c11", "c12", "c13", "c22", "c23", "c33", "c44", "c55", "c66"),
    "4/m": ("c11", "c12", "c13", "c16", "c33", "c44", "c66"),
    "4/mmm": ("c11", "c12", "c13", "c33", "c44", "c66"),
    "-3": ("c11", "c12", "c13", "c14", "c15", "c33", "c44"),
    "-3m": ("c11", "c12", "c13", "c14", "c33", "c44"),
    "6/m": _HEXAGONAL,
    "6/mmm": _HEXAGONAL,
    "m-3": _CUBIC,
    "m-3m": _CUBIC,
}
_EQUAL = 1e-4  # relative: vectors that differ less count as equally long, and angles as right
_STRONGER = 1e-3  # of the intensity of 000
_HIGHEST = 4  # index of the reflections that are compared


@dataclass(frozen=True)
class CrystalAxes:
    """The axes of ANSI/IEEE Std 176-1987 for one crystal; made by `crystal_axes`. Hashable, as static fields are.

    Fields:
        laue_class: international symbol, "-3m".
        vectors: a, b and c of the standard's cell in units of the lattice vectors, three rows of three numbers.
    """

    laue_class: str
    vectors: tuple[tuple[float, ...], ...]

    def rotation(self, cell: jax.Array) -> jax.Array:
        """The axes as rows, X, Y and Z in the Cartesian axes of the file: v_standard = R v.

        Args:
            cell: (3, 3) A, lattice vectors in rows; may be traced, as the axes follow a strain.

        Returns:
            (3, 3) a rotation.
        """
        a, _, c = jnp.asarray(self.vectors, cell.dtype) @ cell
        y = jnp.cross(c, a)
        y, z = y / jnp.linalg.norm(y), c / jnp.linalg.norm(c)
        return jnp.stack([jnp.cross(y, z), y, z])


def crystal_axes(structure: Structure, symprec: float = 1e-4) -> CrystalAxes:
    """Laue class and standard axes of a crystal, the same in whatever cell and orientation it is given.

    Args:
        structure: `Structure` or `ase.Atoms`, periodic along all three axes; it may be differentiated.
        symprec: how far (A) atoms may be from the places where symmetry wants them.

    Raises:
        GeometryError: not periodic along all three axes.
        DataError: called under jit or vmap of the structure.
    """
    structure = Structure.of(structure)
    if not all(structure.pbc):
        raise GeometryError(f"crystal axes need a crystal, periodic along all three axes; got pbc={structure.pbc}")
    with jax.ensure_compile_time_eval():  # the structure is known, also under jit over the potential
        structure = frozen(structure)
        group = space_group(structure, symprec)
    laue_class = _CLASSES[bisect_left(_LAST, group.number)]
    settings = [np.asarray(setting, float) @ group.conventional for setting in _settings(laue_class, group)]
    vectors = _strongest(settings, group.fractional, np.asarray(structure.numbers, float))
    return CrystalAxes(laue_class, tuple(tuple(float(x) for x in row) for row in np.round(vectors, 9) + 0.0))


# Settings: right-handed a, b, c as rows, in units of the conventional vectors. Those that a symmetry of the Laue class
# takes into each other, or into the mirror image, give the same constants, and one of them is enough.


def _settings(laue_class: str, group: Symmetry) -> list[np.ndarray]:
    cell = group.conventional @ group.cell
    if laue_class == "-1":
        return _triclinic(cell)
    if laue_class == "2/m":
        return _monoclinic(cell)
    if laue_class == "mmm":
        return _orthorhombic(cell)
    if laue_class == "4/m":
        return [np.eye(3), np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])]
    if laue_class == "-3":
        swapped = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
        turned = np.diag([-1, -1, 1])
        return [np.eye(3), turned, swapped, turned @ swapped]
    if laue_class == "-3m":
        along = np.eye(3) if _twofold_along_a(group) else np.array([[2, 1, 0], [-1, 1, 0], [0, 0, 1]])
        return [along, np.diag([-1, -1, 1]) @ along]
    return [np.eye(3)]


def _twofold_along_a(group):
    """Whether a of a trigonal crystal is a twofold axis (P321) or lies between two of them (P312)."""
    a = group.conventional[0]
    return any(np.allclose(np.linalg.det(w) * w @ a, a) for w in group.rotations if abs(np.trace(w)) == 1)


def _orthorhombic(cell):
    lengths = np.linalg.norm(cell, axis=1)
    return [
        _right_handed(np.eye(3)[[a, b, c]])
        for a, b, c in permutations(range(3))
        if _ascending(lengths[c], lengths[a], lengths[b])
    ]


def _monoclinic(cell):
    """b as it is, and the pairs of shortest vectors of the plane normal to it."""
    plane = [np.array([i, 0, k]) for i, k in product(range(-2, 3), repeat=2) if i or k]
    short = _shortest(plane, cell, 2)
    return [
        _right_handed(np.array([a, [0, 1, 0], c]))
        for a, c in permutations(short, 2)
        if np.any(np.cross(a, c)) and _ascending(*_lengths([c, a], cell)) and _obtuse(a, c, cell)
    ]


def _triclinic(cell):
    points = [np.array(index) for index in product(range(-2, 3), repeat=3) if any(index)]
    short = _shortest(points, cell, 3)
    return [
        np.array([a, b, c])
        for a, b, c in permutations(short, 3)
        if np.linalg.det([a, b, c]) > 0.5
        and _ascending(*_lengths([c, a, b], cell))
        and _obtuse(a, c, cell)
        and _obtuse(b, c, cell)
    ]


def _right_handed(setting):
    """The setting, with its second vector reversed where that makes it right-handed."""
    return setting * np.array([[1.0], [np.sign(np.linalg.det(setting))], [1.0]])


def _lengths(points, cell):
    return np.linalg.norm(np.array(points) @ cell, axis=1)


def _ascending(*lengths):
    return all(second > (1.0 - _EQUAL) * first for first, second in zip(lengths, lengths[1:], strict=False))


def _obtuse(u, v, cell):
    u, v = u @ cell, v @ cell
    return u @ v <= _EQUAL * np.linalg.norm(u) * np.linalg.norm(v)


def _shortest(points, cell, count):
    """The shortest vectors that span `count` dimensions, and those as long as any of them."""
    lengths = _lengths(points, cell)
    basis, longest = np.zeros((0, 3)), []
    for k in np.argsort(lengths):
        trial = np.vstack([basis, points[k]])
        if len(basis) < count and np.linalg.matrix_rank(trial) == len(trial):
            basis = trial
            longest.append(lengths[k])
    return [p for p, length in zip(points, lengths, strict=True) if np.any(np.abs(length / longest - 1.0) < _EQUAL)]


def _strongest(settings, fractional, numbers):
    """The setting whose first reflection that differs is the strongest."""
    if len(settings) == 1:
        return settings[0]
    reflections = sorted(product(range(-_HIGHEST, _HIGHEST + 1), repeat=3), key=_order)
    intensities = np.array([_intensities(s, np.array(reflections), fractional, numbers) for s in settings])
    left = np.arange(len(settings))
    for column in intensities.T:
        strongest = column[left].max()
        if strongest - column[left].min() > _STRONGER:
            left = left[column[left] > strongest - 0.5 * _STRONGER]
    return settings[left[0]]


def _order(index):
    """Low indices first; of equal ones 101 before 011, and positive ones first."""
    return sum(i * i for i in index), [-i for i in index]


def _intensities(setting, reflections, fractional, numbers):
    """|sum_j Z_j exp(2 pi i h.r_j)|^2 relative to 000, with h in the reciprocal basis of the setting: (m,)."""
    waves = np.linalg.solve(setting, reflections.T).T  # in units of the file's reciprocal vectors
    amplitudes = np.exp(2j * np.pi * np.round(waves) @ fractional.T) @ numbers / numbers.sum()
    allowed = np.abs(waves - np.round(waves)).max(axis=1) < 1e-3
    return np.where(allowed, np.abs(amplitudes) ** 2, 0.0)
