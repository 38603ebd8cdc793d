"""The ASE calculator: right numbers, in everything that ASE does with a calculator, and few compilations."""

import contextlib

import jax
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.filters import FrechetCellFilter
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet
from ase.mep import NEB
from ase.optimize import BFGS, FIRE
from ase.phonons import Phonons
from ase.vibrations import Vibrations

from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, GeometryError
from jaxpot.interop.ase import ase_calculator, to_ase
from jaxpot.observables import evaluate
from jaxpot.potentials.lennard_jones import LennardJones
from jaxpot.potentials.stillinger_weber import StillingerWeber

SILICON = StillingerWeber.silicon()
ARGON = LennardJones(0.0104, 3.4, 8.0, shift="smooth")
EVENT = "/jax/core/compile/backend_compile_duration"
_compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _, **kwargs: _compiled.append(kwargs.get("fun_name")) if event == EVENT else None
)


@contextlib.contextmanager
def compiles(at_most):
    before = len(_compiled)
    yield
    assert len(_compiled) - before <= at_most, _compiled[before:]


def silicon(repeat=2, seed=0, amplitude=0.05):
    atoms = bulk("Si", cubic=True).repeat(repeat)
    atoms.rattle(amplitude, seed=seed)
    return atoms


def heat(atoms, kelvin, seed=0):
    momenta = np.random.default_rng(seed).normal(size=(len(atoms), 3))
    atoms.set_momenta(momenta * np.sqrt(atoms.get_masses() * units.kB * kelvin)[:, None])


def test_same_numbers_as_jaxpot_itself():
    atoms = silicon()
    atoms.set_cell(
        atoms.cell @ (np.eye(3) + 0.03 * np.random.default_rng(1).normal(size=(3, 3))), scale_atoms=True
    )
    expected = evaluate(SILICON, atoms)
    atoms.calc = ase_calculator(SILICON)
    assert atoms.get_potential_energy() == pytest.approx(float(expected.energy), rel=1e-14)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    np.testing.assert_allclose(atoms.get_forces(), expected.forces, atol=1e-12)
    np.testing.assert_allclose(atoms.get_potential_energies(), expected.energies, atol=1e-12)
    np.testing.assert_allclose(atoms.get_stress(voigt=False), expected.stress, atol=1e-14)
    s = np.asarray(expected.stress)
    voigt = [s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]]
    np.testing.assert_allclose(atoms.get_stress(), voigt, atol=1e-14)


def test_ase_differences_agree():
    atoms = silicon(1)
    atoms.set_cell(
        atoms.cell @ (np.eye(3) + 0.03 * np.random.default_rng(2).normal(size=(3, 3))), scale_atoms=True
    )
    atoms.calc = ase_calculator(SILICON)
    np.testing.assert_allclose(
        atoms.get_forces()[:2], calculate_numerical_forces(atoms, 1e-4, [0, 1]), atol=1e-6
    )
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, 1e-5), atol=1e-8)


def test_to_ase_round_trip_leaves_padding_out():
    atoms = silicon(1)
    atoms.set_masses(np.arange(8) + 20.0)
    atoms.pbc = (True, False, True)
    back = to_ase(Structure.of(atoms).padded(12))
    assert back == atoms and len(back) == 8
    np.testing.assert_array_equal(back.get_masses(), atoms.get_masses())


def test_dynamics_rebuild_lists_and_not_programs():
    """A hot crystal melts: many lists, no new program; and the energy is conserved."""
    atoms = silicon()
    atoms.calc = ase_calculator(SILICON)
    heat(atoms, 3000.0)
    start = atoms.get_total_energy()
    with compiles(1):  # rows grow once, as the liquid is denser than the crystal
        VelocityVerlet(atoms, 1.0 * units.fs).run(200)
    assert atoms.calc.rebuilds > 5
    assert abs(atoms.get_total_energy() - start) < 0.02
    fresh = evaluate(SILICON, atoms)
    np.testing.assert_allclose(atoms.get_forces(), fresh.forces, atol=1e-11)


def test_skin_does_not_change_a_trajectory():
    ends = []
    for skin in (0.0, 0.1, 1.0):
        atoms = silicon(seed=3)
        atoms.calc = ase_calculator(SILICON, skin=skin)
        heat(atoms, 800.0)
        VelocityVerlet(atoms, 1.0 * units.fs).run(30)
        ends.append(atoms.positions)
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-10)
    np.testing.assert_allclose(ends[0], ends[2], atol=1e-10)


def test_langevin():
    atoms = silicon(1)
    atoms.calc = ase_calculator(SILICON)
    Langevin(
        atoms, 2 * units.fs, temperature_K=600, friction=0.02, fixcm=False, rng=np.random.default_rng(0)
    ).run(50)
    assert np.isfinite(atoms.get_forces()).all()


def test_structures_of_similar_size_share_programs():
    calculator = ase_calculator(SILICON)
    crystal = silicon(2)
    crystal.calc = calculator
    crystal.get_forces()
    with compiles(0):
        for n in (63, 57, 60, 64, 59):
            atoms = crystal[:n]
            atoms.calc = calculator
            np.testing.assert_allclose(atoms.get_forces(), evaluate_alone(atoms), atol=1e-11)
    with compiles(12):
        for n in range(2, 64, 3):
            atoms = crystal[:n]
            atoms.calc = calculator
            atoms.get_potential_energy()


def evaluate_alone(atoms):
    if len(atoms) not in EXPECTED:  # not setdefault: that would evaluate, and perhaps compile, each time
        EXPECTED[len(atoms)] = np.asarray(evaluate(SILICON, atoms).forces)
    return EXPECTED[len(atoms)]


EXPECTED = {}


@pytest.fixture(scope="module", autouse=True)
def expected_forces():
    crystal = silicon(2)
    for n in (63, 57, 60, 64, 59):
        evaluate_alone(crystal[:n])


def test_compression_in_one_go_and_swaps():
    """From a sparse to a ten times denser system and back, with one calculator."""
    calculator = ase_calculator(ARGON)
    positions = np.random.default_rng(0).uniform(size=(12, 3))
    for length in (30.0, 14.0, 40.0, 13.0, 30.0):
        atoms = Atoms("Ar12", positions * length, cell=[length] * 3, pbc=True)
        expected = evaluate(ARGON, atoms)
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(float(expected.energy), rel=1e-12)
        np.testing.assert_allclose(atoms.get_forces(), expected.forces, rtol=1e-10, atol=1e-9)


def test_species_of_the_same_shape_are_not_mixed_up():
    mixed = LennardJones(
        {"Ar": 0.0104, "Kr": 0.0140}, {"Ar": 3.4, "Kr": 3.65}, 8.0, mixing="lorentz-berthelot"
    )
    calculator = ase_calculator(mixed)
    energies = []
    for formula in ("Ar2", "ArKr", "Kr2", "Ar2"):
        atoms = Atoms(formula, [[0, 0, 0], [3.8, 0, 0]])
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
    assert len({round(e, 9) for e in energies}) == 3 and energies[0] == energies[3]


def test_periodicity_of_the_same_shape_is_not_mixed_up():
    calculator = ase_calculator(ARGON)
    atoms = Atoms("Ar2", [[0, 0, 0], [3.8, 0, 0]], cell=[7.6, 20, 20])
    energies = []
    for pbc in (True, False, (True, False, False), True):
        atoms.pbc = pbc
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
    assert energies[0] < 1.5 * energies[1] and energies[0] == energies[3] == pytest.approx(
        energies[2], rel=1e-13
    )


def test_relaxation_of_atoms_and_cell():
    atoms = silicon(1, amplitude=0.1)
    atoms.set_cell(atoms.cell * 1.04, scale_atoms=True)
    atoms.calc = ase_calculator(SILICON)
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-5, steps=200)
    assert atoms.get_potential_energy() / 8 == pytest.approx(-4.3366, abs=1e-6)
    assert atoms.get_volume() == pytest.approx(5.43095**3, rel=1e-4)


def test_slab_relaxes_and_refuses_a_stress():
    slab = fcc111("Ar", (2, 2, 3), a=5.26, vacuum=8.0)
    slab.rattle(0.05, seed=0)
    slab.calc = ase_calculator(ARGON)
    assert FIRE(slab, logfile=None).run(fmax=1e-3, steps=300)
    with pytest.raises(PropertyNotImplementedError, match="periodic along 2 axes .* jp.virials"):
        slab.get_stress()
    with pytest.raises(GeometryError):
        slab.get_stress()
    slab.get_forces()


def test_nudged_elastic_band():
    """The hop of an adatom; all images share one calculator."""
    slab = fcc111("Ar", (2, 2, 2), a=5.26, vacuum=8.0)
    layer, a = slab.positions[:, 2].max(), 5.26 / np.sqrt(2)
    ends = []
    hollow = (slab.positions[4] + slab.positions[5] + slab.positions[6]) / 3
    for x in (hollow, hollow + [a / 2, a / (2 * np.sqrt(3)), 0.0]):
        ends.append(slab + Atoms("Ar", [[x[0], x[1], layer + 0.8 * a]]))
    images = [ends[0], *[ends[0].copy() for _ in range(3)], ends[1]]
    calculator = ase_calculator(ARGON)
    for image in images:
        image.calc = calculator
    band = NEB(images, method="improvedtangent", allow_shared_calculator=True)
    band.interpolate(mic=True)
    FIRE(band, logfile=None).run(fmax=0.01, steps=40)
    assert np.isfinite([image.get_potential_energy() for image in images]).all()


def test_phonons_and_vibrations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calculator = ase_calculator(SILICON)
    phonons = Phonons(bulk("Si", a=5.43095), calculator, supercell=(2, 2, 2), delta=0.01)
    phonons.run()
    phonons.read(acoustic=True)
    frequencies = phonons.band_structure([[0, 0, 0]])[0]
    assert np.abs(frequencies[:3]).max() < 1e-3
    np.testing.assert_allclose(frequencies[3:] / 4.135667e-3, 17.8, atol=0.5)  # THz

    dimer = Atoms("Si2", [[0, 0, 0], [2.35, 0, 0]])
    dimer.calc = calculator
    BFGS(dimer, logfile=None).run(fmax=1e-6)
    vibrations = Vibrations(dimer)
    vibrations.run()
    energies = vibrations.get_energies()
    assert energies[-1].real > 0.01 and np.abs(energies[:-1]).max() < 1e-3 * energies[-1].real + 1e-3


def test_refusals():
    with pytest.raises(DataError, match="expected a jaxpot potential .* got str"):
        ase_calculator("sw-silicon")
    with pytest.raises(DataError, match="skin: expected a length .* got -1"):
        ase_calculator(SILICON, skin=-1)
    atoms = silicon(1)
    atoms.calc = ase_calculator(SILICON)
    atoms.get_forces()
    atoms.numbers[0] = 6
    with pytest.raises(DataError, match="knows Si, but the structure contains C"):
        atoms.get_forces()
    atoms.numbers[0] = 14
    atoms.positions[3, 1] = np.nan
    with pytest.raises(DataError, match="positions: 1 of 24"):
        atoms.get_forces()


@pytest.mark.parametrize("apart", [0.0, 1e-9, 1e-60])
def test_atoms_driven_into_each_other(apart):
    """Within the skin, so that no rebuild is due: found by the flag of the compiled call."""
    atoms = silicon(1)
    atoms.calc = ase_calculator(SILICON, skin=6.0)
    atoms.get_forces()
    atoms.positions[1] = atoms.positions[0] + [apart, 0.0, 0.0]
    with pytest.raises(GeometryError, match="0 .Si. and 1 .Si."):
        atoms.get_forces()


def test_energy_beyond_double_precision():
    atoms = Atoms("Ar2", [[0, 0, 0], [0.001, 0, 0]], cell=[20.0] * 3, pbc=True)
    hard = LennardJones(1e290, 3.4, 8.0, shift="smooth")
    atoms.calc = ase_calculator(hard)
    with pytest.raises(GeometryError, match="no finite energy .* closest .* 0.001 A apart"):
        atoms.get_potential_energy()
