"""Space groups against the textbook, projections against the operations, reduced meshes against full ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk, fcc111, make_supercell, molecule

from jaxpot.core import symmetry
from jaxpot.core.structure import Structure
from jaxpot.core.symmetry import full_mesh, reduced_mesh, space_group
from jaxpot.errors import DataError


def quartz():
    """alpha-SiO2, P3_121: chiral, not symmorphic, with free coordinates on two kinds of sites."""
    a, c, u = 4.91, 5.40, 0.470
    x, y, z = 0.414, 0.267, 0.119
    oxygen = [(x, y, z), (-y, x - y, z + 1 / 3), (y - x, -x, z + 2 / 3)]
    oxygen += [(y, x, -z), (x - y, -y, 2 / 3 - z), (-x, y - x, 1 / 3 - z)]
    silicon = [(u, 0, 1 / 3), (0, u, 2 / 3), (-u, -u, 0)]
    cell = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]]
    return Atoms("Si3O6", scaled_positions=silicon + oxygen, cell=cell, pbc=True)


def triclinic():
    rng = np.random.default_rng(1)
    cell = 5 * np.eye(3) + rng.normal(size=(3, 3))
    return Atoms("SiGe2", positions=rng.uniform(0, 5, (3, 3)), cell=cell, pbc=True)


CRYSTALS = {
    "fcc": (lambda: bulk("Cu"), 225, 48),
    "fcc cubic": (lambda: bulk("Cu", cubic=True), 225, 192),
    "bcc": (lambda: bulk("Fe"), 229, 48),
    "sc": (lambda: bulk("Po", "sc", a=3.3), 221, 48),
    "hcp": (lambda: bulk("Mg"), 194, 24),
    "diamond": (lambda: bulk("Si"), 227, 48),
    "diamond supercell": (lambda: bulk("Si").repeat((2, 2, 2)), 227, 384),
    "rocksalt": (lambda: bulk("NaCl", "rocksalt", a=5.64), 225, 48),
    "zincblende": (lambda: bulk("GaAs", "zincblende", a=5.65), 216, 24),
    "wurtzite": (lambda: bulk("ZnS", "wurtzite", a=3.82), 186, 12),
    "quartz": (quartz, 152, 6),
    "triclinic": (triclinic, 1, 1),
}


def left_handed(atoms):
    """The same crystal with two lattice vectors exchanged."""
    return make_supercell(atoms, [[0, 1, 0], [1, 0, 0], [0, 0, 1]], wrap=False)


@pytest.fixture(params=CRYSTALS)
def crystal(request):
    return CRYSTALS[request.param]


@pytest.mark.parametrize("hand", ["right", "left"])
def test_operations_map_the_crystal_on_itself(crystal, hand):
    make, number, order = crystal
    atoms = make() if hand == "right" else left_handed(make())
    found = space_group(atoms)
    assert (found.number, len(found.rotations)) == (number, order)
    for rotation, cartesian, translation, source in zip(
        found.rotations, found.cartesian, found.translations, found.sources, strict=True
    ):
        np.testing.assert_allclose(cartesian @ cartesian.T, np.eye(3), atol=1e-12)
        assert np.array_equal(atoms.numbers[source], atoms.numbers)
        assert np.array_equal(found.equivalent_atoms[source], found.equivalent_atoms)
        images = found.fractional[source] @ rotation.T + translation - found.fractional
        np.testing.assert_allclose(images, np.round(images), atol=1e-9)


def test_projections_are_projections_on_invariants(crystal):
    atoms = crystal[0]()
    found = space_group(atoms)
    rng = np.random.default_rng(0)
    vectors, tensor = rng.normal(size=(len(atoms), 3)), rng.normal(size=(3, 3))
    tensor = tensor + tensor.T
    kept, kept_tensor = found.symmetrize_vectors(vectors), found.symmetrize_tensor(tensor)
    for rotation, source in zip(found.cartesian, found.sources, strict=True):
        np.testing.assert_allclose(np.asarray(kept)[source] @ rotation, kept, atol=1e-12)
        np.testing.assert_allclose(rotation.T @ kept_tensor @ rotation, kept_tensor, atol=1e-12)
    np.testing.assert_allclose(found.symmetrize_vectors(kept), kept, atol=1e-12)
    assert float(jnp.vdot(kept, vectors - kept)) == pytest.approx(0.0, abs=1e-10)  # orthogonal
    assert float(jnp.trace(kept_tensor)) == pytest.approx(np.trace(tensor), rel=1e-12)
    # Moving along the invariant part keeps the space group.
    moved = Structure.of(atoms).moved(atoms.positions + 0.01 * np.asarray(kept)).strained(1e-3 * kept_tensor)
    assert space_group(moved).number == found.number


def test_free_parameters_of_known_crystals():
    """How many numbers symmetry leaves: u in wurtzite; u, x, y, z in quartz; one, two or six for the cell."""
    known = [("diamond", 0, 1), ("wurtzite", 1, 2), ("quartz", 4, 2), ("triclinic", 9, 6)]
    for name, internal, strains in known:
        atoms = CRYSTALS[name][0]()
        found = space_group(atoms)
        basis = np.eye(3 * len(atoms)).reshape(-1, len(atoms), 3)
        rank = np.trace(jax.vmap(found.symmetrize_vectors)(basis).reshape(len(basis), -1))
        sliding = 1 if name == "wurtzite" else 0  # of the whole crystal along its polar axis
        assert rank == pytest.approx(internal + sliding, abs=1e-9), name
        symmetric = [0.5 * (np.outer(a, b) + np.outer(b, a)) for a in np.eye(3) for b in np.eye(3)]
        kept = [np.asarray(found.symmetrize_tensor(t)).ravel() for t in symmetric]
        assert np.linalg.matrix_rank(kept, tol=1e-9) == strains, name


def test_positions_are_snapped():
    atoms = quartz()
    exact = atoms.positions.copy()
    atoms.positions += np.random.default_rng(0).normal(size=exact.shape) * 1e-6
    found = space_group(atoms, symprec=1e-4)
    assert found.number == 152
    snapped = np.asarray(found.symmetrize_positions(atoms.positions))
    assert np.abs(snapped - atoms.positions).max() < 2e-5
    atoms.positions = snapped
    assert space_group(atoms, symprec=1e-9).number == 152
    np.testing.assert_allclose(found.symmetrize_positions(snapped), snapped, atol=1e-12)


def test_projections_inside_jit_and_differentiated_structures():
    structure = Structure.of(bulk("ZnS", "wurtzite", a=3.82))

    def second_moment(strain):
        moved = structure.strained(strain * jnp.eye(3))
        found = space_group(moved)
        assert found.number == 186
        return jnp.sum(found.symmetrize_vectors(moved.positions) ** 2)

    assert np.isfinite(jax.grad(second_moment)(0.0))
    found = space_group(structure)
    np.testing.assert_allclose(
        jax.jit(found.symmetrize_vectors)(structure.positions), found.symmetrize_vectors(structure.positions)
    )
    with pytest.raises(DataError, match="outside of jit"):
        jax.jit(lambda s: space_group(s).number)(structure)


def test_what_distinguishes_atoms():
    plain = Structure.of(bulk("Si"))
    assert space_group(plain).number == 227
    assert space_group(plain.replace(masses=[28.0, 29.0])).number == 216
    assert space_group(plain.replace(atom_data={"charges": np.array([1.0, -1.0])})).number == 216
    padded = space_group(plain.padded(5))
    assert padded.number == 227
    assert padded.equivalent_atoms.tolist() == [0, 0, 2, 3, 4]


WITHOUT_CRYSTAL = {
    "slab": lambda: fcc111("Cu", (1, 1, 3), vacuum=5.0),
    "molecule": lambda: molecule("H2O"),
    "empty": lambda: Atoms(cell=[3, 3, 3], pbc=True),
    "no cell": lambda: Atoms("H2", pbc=True),
}


@pytest.mark.parametrize("name", WITHOUT_CRYSTAL)
def test_without_a_crystal_there_is_the_identity(name):
    atoms = WITHOUT_CRYSTAL[name]()
    found = space_group(atoms)
    assert (found.number, len(found.rotations)) == (1, 1)
    vectors = np.ones((len(atoms), 3))
    np.testing.assert_array_equal(found.symmetrize_vectors(vectors), vectors)
    np.testing.assert_array_equal(found.symmetrize_positions(vectors), vectors)


@pytest.mark.parametrize("failure", ["none", "raise"])
def test_failure_of_spglib_is_the_identity(monkeypatch, failure):
    class Refusal(Exception):
        pass

    def refuse(*_, **__):
        if failure == "raise":
            raise Refusal
        return None

    monkeypatch.setattr(symmetry, "_Refusal", Refusal)
    monkeypatch.setattr(spglib, "get_symmetry_dataset", refuse)
    found = space_group(bulk("Si"))
    assert (found.number, found.international, len(found.rotations)) == (1, "P1", 1)
    assert len(reduced_mesh(bulk("Si"), 4)[0]) == 36  # time reversal alone: (64 + 8) / 2


def symmetric_function(atoms, q_points):
    """A function with the symmetry of the crystal: sum over its images of a function without any."""
    found = space_group(atoms)
    rng = np.random.default_rng(4)
    vectors, phases = rng.integers(-3, 4, size=(6, 3)), rng.uniform(size=6)
    total = np.zeros(len(q_points))
    for rotation in found.rotations:
        image = q_points @ np.linalg.inv(rotation)  # q' = W^-T q
        total += np.sum(np.cos(2 * np.pi * image @ vectors.T) * phases, axis=1) ** 3
    return total


@pytest.mark.parametrize("mesh", [(4, 4, 4), (3, 3, 5), (6, 2, 3), (1, 1, 1)])
@pytest.mark.parametrize("shift", [False, True, (False, False, True)], ids=["gamma", "shifted", "along z"])
@pytest.mark.parametrize("name", ["fcc", "hcp", "quartz", "triclinic", "fcc cubic"])
def test_reduced_meshes_average_like_full_ones(name, mesh, shift):
    for atoms in (CRYSTALS[name][0](), left_handed(CRYSTALS[name][0]())):
        reduced, weights = reduced_mesh(atoms, mesh, shift)
        full, equal = full_mesh(mesh, shift)
        assert len(full) == np.prod(mesh) and len(reduced) <= len(full)
        assert weights.sum() == pytest.approx(1.0, rel=1e-14)
        assert np.all(reduced <= 0.5) and np.all(reduced > -0.5)
        average = equal @ symmetric_function(atoms, full)
        assert weights @ symmetric_function(atoms, reduced) == pytest.approx(average, rel=1e-10, abs=1e-9)


@pytest.mark.parametrize("name", ["fcc", "bcc", "hcp", "diamond", "wurtzite", "quartz", "triclinic", "sc"])
@pytest.mark.parametrize("shift", [False, True])
def test_as_many_points_as_spglib_finds(name, shift):
    atoms = CRYSTALS[name][0]()
    crystal = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    mapping, _ = spglib.get_ir_reciprocal_mesh([6, 6, 6], crystal, is_shift=[int(shift)] * 3)
    _, counts = np.unique(mapping, return_counts=True)
    _, weights = reduced_mesh(atoms, 6, shift)
    assert sorted(np.round(weights * 216).astype(int)) == sorted(counts)


def test_known_meshes():
    q_points, weights = reduced_mesh(bulk("Si"), 2)
    assert {tuple(np.abs(q)) for q in q_points} == {(0, 0, 0), (0, 0, 0.5), (0, 0.5, 0.5)}  # Gamma, L, X
    assert sorted(np.round(8 * weights)) == [1, 3, 4]
    assert any(np.all(q == 0) for q in full_mesh((3, 4, 5))[0])
    assert not any(np.all(q == 0) for q in full_mesh((3, 4, 5), shift=True)[0])


@pytest.mark.parametrize("mesh", [0, (2, 2), (2, 2, -1), 2.5, "4"])
def test_bad_meshes(mesh):
    with pytest.raises(DataError, match="three positive integers"):
        full_mesh(mesh)


def test_open_axes_have_no_wave_vectors():
    slab = fcc111("Cu", (1, 1, 3), vacuum=5.0)
    q_points, weights = reduced_mesh(slab, (4, 4, 1))
    assert len(q_points) == 10 and weights.sum() == pytest.approx(1.0)
    with pytest.raises(DataError, match="axis 2 is not periodic"):
        reduced_mesh(slab, (4, 4, 2))
    with pytest.raises(DataError, match="one or three booleans"):
        full_mesh(2, shift=0.5)
