"""Elastic constants by name: one crystal of each Laue class, in whatever cell and orientation it is given."""

import numpy as np
import pytest
import spglib
from ase.geometry import minkowski_reduce
from ase.neighborlist import neighbor_list
from scipy.spatial.transform import Rotation

import jaxpot as jp
from jaxpot.errors import GeometryError
from jaxpot.properties.coordinates import VOIGT
from jaxpot.properties.crystal_axes import INDEPENDENT, crystal_axes
from jaxpot.properties.elastic import rotated_stiffness

# One space group or more of each Laue class: primitive and centred, with twofold axes along a and between.
GROUPS = {
    "-1": (1, 2), "2/m": (3, 5, 14, 15), "mmm": (16, 33, 62, 63, 70), "4/m": (75, 82, 88), "4/mmm": (90, 115, 141),
    "-3": (143, 146, 147, 148), "-3m": (149, 152, 156, 157, 161, 163, 164, 166), "6/m": (169, 176),
    "6/mmm": (178, 194), "m-3": (198,), "m-3m": (207,),
}
COUNTS = {
    "-1": 21, "2/m": 13, "mmm": 9, "4/m": 7, "4/mmm": 6, "-3": 7, "-3m": 6, "6/m": 5, "6/mmm": 5, "m-3": 3, "m-3m": 3,
}
CASES = [(laue_class, number) for laue_class, numbers in GROUPS.items() for number in numbers]
HALL = {spglib.get_spacegroup_type(hall).number: hall for hall in range(530, 0, -1)}  # the first setting of each


def conventional_cell(number, rng):
    a, b, c = 5.0 + rng.permutation([0.0, 0.9, 2.0])
    if number >= 195:
        return a * np.eye(3)
    if number >= 143:
        return np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
    if number >= 75:
        return np.diag([a, a, c])
    cell = np.diag([a, b, c])
    if number < 16:
        cell[2, 0] = rng.uniform(-2.0, 2.0)
    if number < 3:
        cell[2, 1], cell[1, 0] = rng.uniform(-2.0, 2.0, 2)
    return cell


def crystal_of(number, seed=0, cell=None):
    """Two general positions of a space group, no two atoms closer than 0.1 A: no more symmetry than it has."""
    rng = np.random.default_rng([seed, number])
    operations = spglib.get_symmetry_from_database(HALL[number])
    cell = conventional_cell(number, rng) if cell is None else cell
    while True:
        fractional, kinds = [], []
        for z in (14, 8) if number < 195 else (14,):
            images = (operations["rotations"] @ rng.uniform(size=3) + operations["translations"]) % 1.0
            fractional.append(images)
            kinds += [z] * len(images)
        fractional = np.concatenate(fractional)
        between = fractional[:, None] - fractional[None]
        lengths = np.linalg.norm((between - np.round(between)) @ cell, axis=-1) + 9.0 * np.eye(len(kinds))
        if lengths.min() > 0.1:
            return jp.Structure(fractional @ cell, cell, kinds)


def primitive_of(structure):
    cell, fractional, numbers = spglib.find_primitive(
        (np.asarray(structure.cell), np.asarray(structure.fractional), np.asarray(structure.numbers))
    )
    return jp.Structure(fractional @ cell, cell, numbers)


def other_settings(structure, seed=1):
    """The same crystal: turned, from another origin, in a skewed cell, as a supercell, and its mirror image."""
    rng = np.random.default_rng(seed)
    cell, positions = np.asarray(structure.cell), np.asarray(structure.positions)
    numbers = np.asarray(structure.numbers)
    turn = Rotation.random(random_state=seed).as_matrix()
    skew = np.array([[1, 0, 0], [2, 1, 0], [-1, 3, 1]]) @ np.array([[1, 1, -1], [0, 1, 2], [0, 0, 1]])
    order = rng.permutation(len(numbers))
    yield jp.Structure((positions[order] + rng.normal(size=3)) @ turn, skew @ cell @ turn, numbers[order])
    yield jp.Structure(-positions @ turn.T, cell[[2, 0, 1]] @ turn.T, numbers)
    yield jp.Structure(positions * [1, 1, -1], cell * [1, 1, -1], numbers).repeated((2, 1, 1))
    yield primitive_of(structure)


def born(structure):
    """(6, 6) clamped stiffness of pairs, without its unit: Born's sum sum_pairs w(r) r_i r_j r_k r_l / V, in NumPy."""
    atoms = jp.to_ase(structure)
    atoms.cell = minkowski_reduce(atoms.cell)[0]
    centers, others, vectors = neighbor_list("ijD", atoms, 4.0)
    r2 = np.sum(vectors**2, axis=1)
    numbers = np.asarray(structure.numbers)
    weights = np.sqrt(numbers[centers] * numbers[others]) * (1.0 - r2 / 16.0) ** 3 / (1.0 + r2)
    products = np.stack([vectors[:, a] * vectors[:, b] for a, b in VOIGT])
    return (products * weights) @ products.T / float(structure.volume)


def in_standard_axes(structure, symprec=1e-4):
    return np.asarray(rotated_stiffness(born(structure), crystal_axes(structure, symprec).rotation(structure.cell)))


def of_independent(laue_class, matrix):
    """The matrix (6, 6) that symmetry makes of its independent constants; written after Nye's table 9."""
    c = {name: matrix[int(name[1]) - 1, int(name[2]) - 1] for name in INDEPENDENT[laue_class]}
    full = np.zeros((6, 6))
    for name, value in c.items():
        full[int(name[1]) - 1, int(name[2]) - 1] = value
    if laue_class not in ("-1", "2/m", "mmm"):
        full[1, 1] = full[0, 0]
        full[4, 4] = full[3, 3]
        if laue_class.startswith("m-3"):
            full[2, 2], full[0, 2], full[1, 2], full[5, 5] = c["c11"], c["c12"], c["c12"], c["c44"]
        else:
            full[1, 2] = full[0, 2]
        if laue_class[0] in "-6":
            full[5, 5] = 0.5 * (c["c11"] - c["c12"])
        if "c16" in c:
            full[1, 5] = -c["c16"]
        if "c14" in c:
            full[1, 3], full[4, 5] = -c["c14"], c["c14"]
        if "c15" in c:
            full[1, 4], full[3, 5] = -c["c15"], -c["c15"]
    return np.triu(full) + np.triu(full, 1).T


def assert_same_in_all_settings(structure, laue_class):
    expected = in_standard_axes(structure)
    for other in (structure, *other_settings(structure)):
        axes = crystal_axes(other)
        rotation = np.asarray(axes.rotation(other.cell))
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
        assert np.linalg.det(rotation) > 0 and axes.laue_class == laue_class
        np.testing.assert_allclose(in_standard_axes(other), expected, rtol=0, atol=1e-8 * np.abs(expected).max())
    return expected


@pytest.mark.parametrize(("laue_class", "number"), CASES)
def test_the_constants_of_a_laue_class_in_any_setting(laue_class, number):
    matrix = assert_same_in_all_settings(crystal_of(number), laue_class)
    scale = np.abs(matrix).max()
    assert len(INDEPENDENT[laue_class]) == COUNTS[laue_class]
    np.testing.assert_allclose(matrix, of_independent(laue_class, matrix), rtol=0, atol=1e-8 * scale)
    for name in INDEPENDENT[laue_class]:
        assert abs(matrix[int(name[1]) - 1, int(name[2]) - 1]) > 1e-5 * scale  # or signs would prove nothing


@pytest.mark.parametrize(("laue_class", "number"), [("-1", 2), ("2/m", 4), ("2/m", 8), ("mmm", 16), ("mmm", 21)])
def test_equal_lengths_and_right_angles_leave_no_doubt(laue_class, number):
    """Atoms of low symmetry in a cubic cell: lengths do not say which axis is which, intensities do."""
    assert_same_in_all_settings(crystal_of(number, cell=6.0 * np.eye(3)), laue_class)


def test_axes_follow_the_rules_of_the_standard():
    cell = np.array([[7.0, 0, 0], [0, 5.0, 0], [1.5, 0, 6.0]])  # acute beta, c = 6.18
    axes = crystal_axes(crystal_of(14, cell=cell))
    a, b, c = np.array(axes.vectors) @ cell
    assert np.linalg.norm(c) < np.linalg.norm(a) and a @ c < 0
    x, y, z = np.asarray(axes.rotation(cell))
    np.testing.assert_allclose(np.abs(y), [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(z, c / np.linalg.norm(c), atol=1e-12)
    cell = np.diag([5.0, 6.0, 4.0])[[2, 1, 0]]
    a, b, c = np.linalg.norm(np.array(crystal_axes(crystal_of(62, cell=cell)).vectors) @ cell, axis=1)
    assert c < a < b
    # Rhombohedral lattices are in the obverse setting: (2, 1, 1)/3 of a, b, c is a lattice vector, (1, 2, 1)/3 is not.
    small = primitive_of(crystal_of(166))
    a, b, c = np.array(crystal_axes(small).vectors)
    for point, inside in (((2 * a + b + c) / 3, True), ((a + 2 * b + c) / 3, False)):
        assert np.allclose(point, np.round(point), atol=1e-6) == inside


def test_a_slab_has_no_crystal_axes():
    slab = jp.Structure(np.zeros((1, 3)), 5.0 * np.eye(3), [14], pbc=(True, True, False))
    with pytest.raises(GeometryError, match="periodic along all three axes"):
        crystal_axes(slab)
