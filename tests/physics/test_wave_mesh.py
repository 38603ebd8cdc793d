"""Meshes of wave vectors by symmetry, interpolation between them, and the responses that they are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from models import close_packed, equivariant
from tiers import thorough_but

import jaxpot as jp
from jaxpot.errors import JaxpotWarning
from jaxpot.properties import lattice_waves, layer_derivatives
from jaxpot.properties import wave_mesh as wave_meshes
from jaxpot.properties.blocks import Blocks
from jaxpot.properties.coordinates import voigt_basis
from jaxpot.properties.second_order import route
from jaxpot.properties.wave_mesh import wave_mesh

# Crystals, points of the mesh, and how many columns are left of 3 n for each of its points.
CRYSTALS = {
    "diamond": (bulk("Si"), (3, 3, 3), 4),
    "rocksalt": (bulk("MgO", "rocksalt", 4.2), (4, 4, 4), 9),
    "hexagonal": (close_packed(), (3, 3, 2), 6),
    "conventional cell": (bulk("Si", cubic=True), (2, 2, 2), 4),
    "wurtzite": (bulk("MgO", "wurtzite", 3.3, c=5.2), (3, 3, 2), 12),
    "left-handed, mesh of less symmetry": (bulk("Si").cell[[1, 0, 2]], (4, 4, 2), None),
}


@pytest.fixture(scope="module")
def potential():
    return equivariant("Si", "Mg", "O", "Cu", channels=(2, 1))


def crystal_of(name):
    given, repeats, count = CRYSTALS[name]
    if name.startswith("left"):
        return jp.Structure(np.array([[0.0, 0.0, 0.0], [1.3575] * 3]), np.asarray(given), ["Si", "Si"]), repeats, count
    return jp.Structure.of(given), repeats, count


@pytest.mark.parametrize("name", thorough_but(["diamond", "wurtzite"], CRYSTALS))
def test_symmetry_makes_the_matrices_that_columns_make(name, potential):
    structure, repeats, count = crystal_of(name)
    part = jp.second_order(potential, structure).parts[0]
    plan = wave_mesh(structure, repeats)
    assert len(plan.orbits.q) == count or count is None and len(plan.orbits.q) < len(plan.mesh)
    matrices = plan.orbits.matrices(plan.columns(potential, structure, part.listed))
    expected = lattice_waves.wave_matrices(potential, structure, part.listed, plan.mesh)
    assert np.abs(matrices - expected).max() < 1e-13 * np.abs(expected).max()


def test_without_symmetry_each_wave_has_its_columns(potential):
    structure = jp.Structure.of(bulk("Si"))
    strained = structure.strained(np.array([[0.01, 0.02, 0.0], [0.0, -0.01, 0.03], [0.0, 0.0, 0.02]]))
    plan = wave_mesh(structure, (3, 3, 3), symmetry=False)
    assert len(plan.orbits.q) == 13 * 6 + 3  # half of the mesh, by the change of sign; complex waves at Gamma are two
    part = jp.second_order(potential, strained).parts[0]
    matrices = plan.orbits.matrices(plan.columns(potential, strained, part.listed))
    expected = lattice_waves.wave_matrices(potential, strained, part.listed, plan.mesh)
    assert np.abs(matrices - expected).max() < 1e-13 * np.abs(expected).max()


def blocks_along(potential, structure, listed, basis, quadratic):
    """`Blocks` by differentiating the energy of strained and displaced copies, as they are defined."""
    size = 3 * len(structure)

    def total(z):
        e = jnp.tensordot(z[size:], basis, 1)
        strain = e - 0.5 * e @ e if quadratic else e
        moved = structure.moved(structure.positions + z[:size].reshape(-1, 3))
        return jp.energy(potential, moved.strained(strain), listed)

    zero = jnp.zeros(size + len(basis))
    slope, second = jax.jit(jax.grad(total))(zero), jax.jit(jax.hessian(total))(zero)
    return Blocks(second[size:, size:], second[:size, size:], second[:size, :size], slope[size:], slope[:size])


def test_responses_to_strains_are_derivatives_of_the_energy(potential):
    structure = jp.Structure.of(bulk("MgO", "wurtzite", 3.3, c=5.2)).strained(0.01 * np.arange(9.0).reshape(3, 3))
    basis = jnp.asarray(voigt_basis())
    second = jp.second_order(0.5 * potential, structure)
    for quadratic in (False, True):
        blocks = second.blocks(basis, quadratic)
        expected = blocks_along(0.5 * potential, structure, second.parts[0].listed, basis, quadratic)
        for name in ("by_strain", "coupling", "internal", "slope", "pull"):
            a, b = getattr(blocks, name), getattr(expected, name)
            assert np.abs(a - b).max() < 1e-12 * np.abs(b).max(), name


def test_many_waves_are_interpolated_between_those_of_a_mesh(monkeypatch):
    """To what the mesh promises, and better once its supercell is twice as thick as the potential reaches."""
    monkeypatch.setattr(layer_derivatives, "pays", lambda *_: False)
    potential, structure = equivariant("Cu", channels=(2, 1)), jp.Structure.of(bulk("Cu", "fcc", 3.6))
    q = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 3))
    second = jp.second_order(potential, structure)
    exact = second.dynamical_matrix(q[:20])
    way = route(potential, structure, waves=200)[1]
    assert len(way.at(potential, structure).parts[0].mesh.orbits.q) < 60
    others = (potential, structure.strained(1e-4 * np.eye(3))), (potential.replace(scale=2.0 * potential.scale), structure)
    known = [way.at(*pair).parts[0].columns is not None for pair in ((potential, structure), *others)]
    assert known == [True, False, False]  # columns are of one potential and one structure
    assert second.parts[0].mesh is None and route(potential, structure, waves=2)[1].meshes == (None,)
    frequencies = jp.phonons(potential, structure, q).frequencies[:20]
    expected = np.sort(np.sign(w2 := np.linalg.eigvalsh(exact)) * np.sqrt(np.abs(w2)) / (2 * np.pi), axis=1)
    assert 0.0 < np.abs(frequencies - expected).max() < 1e-3 * np.abs(expected).max()
    single = jax.tree.map(lambda a: np.asarray(a, np.float32) if np.asarray(a).dtype.kind == "f" else a, structure)
    rounded = jp.phonons(potential, single, q).frequencies[:20]
    assert 0.0 < np.abs(rounded - frequencies).max() < 1e-5 * np.abs(expected).max()
    fine = second.force_constants().dynamical_matrix(q[:20])
    assert np.abs(fine - exact).max() < 1e-8 * np.abs(exact).max()


def test_lines_of_waves_tell_how_fine_the_mesh_must_be(potential, monkeypatch):
    """From a first mesh that is too coarse, at once to one that will do, and is not much finer than it must be."""
    structure, errors = jp.Structure.of(bulk("MgO", "rocksalt", 4.2)), {}
    listed = jp.second_order(potential, structure).parts[0].listed
    measure = wave_meshes._columns_and_error

    def measured(mesh, *others):
        columns, error, largest = measure(mesh, *others)
        errors[mesh.repeats[0]] = error
        return columns, error, largest

    monkeypatch.setattr(wave_meshes, "_columns_and_error", measured)
    monkeypatch.setattr(wave_meshes, "_FIRST_THICKNESS", 2.0)
    monkeypatch.setattr(wave_meshes, "_TOLERANCE", tolerance := 3e-5)
    mesh, _ = wave_meshes.converged_mesh(potential, structure, listed, 1000)
    coarse, fine = errors
    assert mesh.repeats == (fine,) * 3 and errors[coarse] > tolerance > errors[fine]
    smaller = wave_mesh(structure, (fine - 2,) * 3)
    assert fine - 2 <= coarse or measured(smaller, potential, structure, listed)[1] > tolerance
    smaller = wave_mesh(structure, (4,) * 3)
    monkeypatch.setattr(wave_meshes, "_MOST_COLUMNS", len(smaller.orbits.q) + 3)
    with pytest.warns(JaxpotWarning, match="interpolated between those of a mesh"):
        capped, _ = wave_meshes.converged_mesh(potential, structure, listed, 1000)
    assert coarse < 4 < fine and capped.repeats == (4, 4, 4)
