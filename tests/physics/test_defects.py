"""Vacancies and surfaces against cells that ASE builds, bonds that are counted, and relaxations by ASE."""

import jax
import numpy as np
import pytest
from ase.build import bulk, surface
from ase.optimize import BFGS
from crystals import relaxed

import jaxpot as jp
from jaxpot.errors import ConvergenceError, DataError

# Two cells of ASE's slabs, of the conventional cell: enough for faces that do not see each other.
FACES = [
    ("copper", (2, 1, 0)), ("silicon", (1, 1, 0)), ("wurtzite", (1, 0, 0)),
]


def conventional(name, structure):
    """The conventional cell by ASE, with the lattice constants of a relaxed primitive cell."""
    cell = np.asarray(structure.cell)
    if name == "wurtzite":
        return jp.to_ase(structure)
    kind, symbols = {
        "copper": ("fcc", "Cu"), "silicon": ("diamond", "Si"), "rocksalt": ("rocksalt", "NaCl")
    }[name]
    return bulk(symbols, kind, a=2.0 * abs(cell).max(), cubic=True)


@pytest.mark.parametrize("name, miller", FACES)
def test_unrelaxed_surfaces_are_those_of_slabs_by_ase(name, miller):
    potential, structure = relaxed(name)
    found = jp.surface_energy(potential, structure, miller, relaxed=False, thickness=18.0)
    atoms = surface(conventional(name, structure), miller, 6, vacuum=10.0)
    area = np.linalg.norm(np.cross(*atoms.cell[:2]))
    perfect = float(jp.energy(potential, structure)) / len(structure)
    expected = (float(jp.energy(potential, atoms)) - len(atoms) * perfect) / (2.0 * area)
    assert float(found.energy) == pytest.approx(expected, rel=1e-6)
    assert found.structure.pbc == (True, True, False)


def test_surfaces_of_stillinger_weber_count_the_bonds_they_cut():
    """One bond for each atom of a (111) face of area a^2 sqrt(3) / 4, two for each of (100) with a^2 / 2."""
    potential = jp.load("sw-silicon")
    structure = jp.relax(potential, bulk("Si"), cell=True).structure
    a, bond = 2.0 * float(structure.cell[0, 1]), -float(jp.energy(potential, structure)) / 4.0
    for cell in (structure, bulk("Si", a=a, cubic=True)):
        for miller, cut in (((1, 1, 1), bond / (a * a * 3**0.5 / 4.0)), ((1, 0, 0), 2.0 * bond / (0.5 * a * a))):
            found = jp.surface_energy(potential, cell, miller, relaxed=False)
            assert float(found.energy) == pytest.approx(0.5 * cut, rel=1e-5)
    assert 1.0 / jp.units.J_per_m2 == pytest.approx(16.0217663)


def test_hexagonal_indices_and_multiples_mean_the_same_plane():
    potential, structure = relaxed("wurtzite")
    one, two, three = (
        float(jp.surface_energy(potential, structure, miller, relaxed=False).energy)
        for miller in ((1, 0, 0), (1, 0, -1, 0), (-2, 0, 0))
    )
    assert one == pytest.approx(two) and one == pytest.approx(three)


def test_relaxed_energies_are_those_of_ase():
    potential, structure = relaxed("copper")
    perfect = float(jp.energy(potential, structure))
    vacancy = jp.vacancy_energy(potential, structure, distance=7.5, fmax=1e-5)
    atoms = bulk("Cu", a=2.0 * float(structure.cell[0, 1])).repeat(3)
    del atoms[5]
    atoms.calc = jp.ase_calculator(potential)
    BFGS(atoms, logfile=None).run(fmax=1e-4)
    assert float(vacancy.energy) == pytest.approx(atoms.get_potential_energy() - 26 * perfect, abs=1e-6)
    clamped = jp.vacancy_energy(potential, structure, distance=7.5, relaxed=False)
    assert float(clamped.energy) > float(vacancy.energy) + 0.01
    face = jp.surface_energy(potential, structure, (1, 1, 0), thickness=12.0, fmax=1e-5)
    atoms = jp.to_ase(jp.surface_energy(potential, structure, (1, 1, 0), thickness=12.0, relaxed=False).structure)
    atoms.calc = jp.ase_calculator(potential)
    BFGS(atoms, logfile=None).run(fmax=1e-5)
    area = np.linalg.norm(np.cross(*atoms.cell[:2]))
    expected = (atoms.get_potential_energy() - len(atoms) * perfect) / (2.0 * area)
    assert float(face.energy) == pytest.approx(expected, abs=1e-8)


def test_the_lower_of_two_minima_counts():
    """Around a vacancy of Stillinger-Weber silicon the crystal is at rest; with its neighbours drawn in it is lower."""
    potential = jp.load("sw-silicon")
    structure = jp.relax(potential, bulk("Si"), cell=True).structure
    near, low = (jp.vacancy_energy(potential, structure, distance=8.0, inward=x) for x in (0.0, 0.15))
    assert float(near.energy) == pytest.approx(4.3366, abs=1e-4)  # four bonds less one atom: the energy of cohesion
    assert float(low.energy) < float(near.energy) - 0.5


@pytest.mark.slow
def test_derivatives_are_those_of_crystals_that_relax_anew():
    def energies(epsilon, fmax=1e-7):
        potential = jp.potentials.LennardJones(epsilon[0], 2.3, 5.0, shift="smooth")
        potential = potential + jp.potentials.LennardJones(epsilon[1], 2.1, 5.0, shift="smooth")
        structure = jp.relax(potential, bulk("Cu", a=3.6), cell=True, fmax=1e-9, steps=2000).structure
        vacancy = jp.vacancy_energy(potential, structure, distance=7.0, inward=0.0, fmax=fmax)
        face = jp.surface_energy(potential, structure, (1, 1, 0), thickness=8.0, fmax=fmax)
        return jax.numpy.stack([vacancy.energy, face.energy])

    at, along = np.array([0.4, 0.1]), np.array([0.1, 0.1])
    _, found = jax.jvp(energies, (at,), (along,))
    step = 1e-3
    expected = (energies(at + step * along) - energies(at - step * along)) / (2.0 * step)
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_compounds_take_a_chemical_potential():
    potential, structure = relaxed("rocksalt")
    with pytest.raises(DataError, match="chemical_potential"):
        jp.vacancy_energy(potential, structure)
    one, two = (
        float(jp.vacancy_energy(potential, structure, distance=8.0, relaxed=False, chemical_potential=mu).energy)
        for mu in (0.0, 0.5)
    )
    assert two - one == pytest.approx(0.5)
    # The energy of all bonds of one atom, with each bond counted once.
    cell = structure.repeated((4, 4, 4))
    energy = float(jp.energy(potential, cell))
    without = jp.to_ase(cell)
    del without[0]
    assert one == pytest.approx(float(jp.energy(potential, without)) - energy, rel=1e-6)


def test_what_is_refused():
    potential, structure = relaxed("copper")
    for miller in ((0, 0, 0), (1, 1), (1.5, 0, 0), (1, 1, 1, 0), "111"):
        with pytest.raises(DataError, match="miller"):
            jp.surface_energy(potential, structure, miller)
    with pytest.raises(DataError, match="site"):
        jp.vacancy_energy(potential, structure, site=1)
    with pytest.raises(DataError, match="distance"):
        jp.vacancy_energy(potential, structure, distance=-1.0)
    with pytest.raises(DataError, match="no other atom"):
        jp.vacancy_energy(potential, structure, distance=1.0)
    with pytest.raises(ConvergenceError, match="the vacancy did not come to rest"):
        jp.vacancy_energy(potential, structure, distance=6.0, steps=2)
    with pytest.raises(DataError, match="crystal"):
        jp.surface_energy(potential, structure.repeated((1, 1, 1)).replace(pbc=(True, True, False)), (1, 1, 1))
