"""Many small structures in one program: the same numbers as one by one."""

import numpy as np
import pytest
from models import MODELS, SILICON, diamond
from tiers import thorough_but

import jaxpot as jp
from jaxpot.errors import DataError, GeometryError
from jaxpot.observables.batches import can_be_stacked

FIRST = ("stillinger-weber", "eam, two elements", "gap, sum for two elements", "sum")
SECOND = ("tersoff, two elements", "networks, symmetry functions, two elements", "snap, two elements", "nep, two elements")
LOCAL = {name: row for name, row in MODELS.items() if row[0]().local}


def some(structure, seed=0):
    """Crystals and clusters of several sizes, in no order."""
    rng = np.random.default_rng(seed)
    structures = []
    for repeats in ((1, 1, 1), (2, 1, 1), (1, 1, 1), (2, 2, 1), (1, 3, 1)):
        atoms = structure.repeated(repeats) if all(structure.pbc) else structure
        moved = np.asarray(atoms.positions) + 0.05 * rng.normal(size=atoms.positions.shape)
        structures.append(atoms.moved(moved))
        structures.append(jp.Structure(moved, np.zeros((3, 3)), atoms.numbers, pbc=False, atom_data=atoms.atom_data))
    return structures


@pytest.mark.parametrize("name", thorough_but(FIRST, list(LOCAL), [name for name in LOCAL if name not in FIRST + SECOND]))
def test_batches_are_the_same_as_one_by_one(name):
    make, structure = LOCAL[name][:2]
    potential, structures = make(), some(structure)
    assert can_be_stacked(potential, structures)
    for one, result in zip(structures, jp.evaluate_many(potential, structures), strict=True):
        alone = jp.evaluate(potential, one)
        scale = max(1.0, np.abs(np.asarray(alone.forces)).max())
        assert result.energy == pytest.approx(float(alone.energy), rel=1e-12, abs=1e-12)
        assert np.abs(result.forces - alone.forces).max() < 1e-12 * scale and result.forces.shape == one.positions.shape
        assert np.abs(result.energies - alone.energies).max() < 1e-12 * max(1.0, np.abs(np.asarray(alone.energies)).max())
        np.testing.assert_allclose(result.stress, alone.stress, rtol=1e-10, atol=1e-12)


def test_a_bad_structure_is_told():
    good = jp.Structure([[0, 0, 0], [2.3, 0, 0]], np.zeros((3, 3)), ["Si", "Si"], pbc=False)
    with pytest.raises(GeometryError, match="apart"):
        jp.evaluate_many(SILICON, [good, good.replace(positions=np.zeros((2, 3)))])
    with pytest.raises(DataError, match="not all numbers are finite"):
        jp.evaluate_many(SILICON, [good, good.moved(np.full((2, 3), np.nan))])
    with pytest.raises(DataError, match="Ge"):
        jp.evaluate_many(SILICON, [good, good.replace(numbers=[14, 32])])


def test_atoms_far_apart_and_single_ones():
    apart = jp.Structure([[0, 0, 0], [50.0, 0, 0]], np.zeros((3, 3)), ["Si", "Si"], pbc=False)
    single = jp.Structure(np.zeros((1, 3)), np.zeros((3, 3)), ["Si"], pbc=False)
    results = jp.evaluate_many(SILICON, [apart, single, apart])
    assert all(result.energy == 0.0 and not result.forces.any() for result in results)
    assert jp.evaluate_many(SILICON, []) == []


@pytest.mark.parametrize("cell", [True, False])
def test_relaxations_together_are_those_alone(cell):
    rng = np.random.default_rng(0)
    sizes = ((5.3, (1, 1, 1)), (5.5, (2, 1, 1)), (5.43, (1, 1, 1)), (5.43, (3, 3, 1)))
    start = [diamond(a, ["Si", "Si"]).repeated(repeats) for a, repeats in sizes]
    start = [s.moved(np.asarray(s.positions) + 0.05 * rng.normal(size=s.positions.shape)) for s in start]
    together = jp.relax_many(SILICON, start, cell=cell)
    for structure, result in zip(start, together, strict=True):
        alone = jp.relax(SILICON, structure, cell=cell)
        assert result.converged and float(result.energy) == pytest.approx(float(alone.energy), abs=1e-9)
        assert abs(result.steps - alone.steps) <= 1, "the same search"
        np.testing.assert_allclose(result.structure.cell, alone.structure.cell, atol=1e-6)


def test_relaxations_that_end_early_leave_the_others():
    rng = np.random.default_rng(0)
    crystal = diamond(5.43, ["Si", "Si"]).repeated((2, 2, 2))
    rough = crystal.moved(np.asarray(crystal.positions) + 0.2 * rng.normal(size=crystal.positions.shape))
    results = jp.relax_many(SILICON, [crystal, rough], steps=4)
    assert results[0].converged and not results[1].converged and results[1].steps == 4
    with pytest.raises(DataError, match="fmax"):
        jp.relax_many(SILICON, [crystal], fmax=0.0)
