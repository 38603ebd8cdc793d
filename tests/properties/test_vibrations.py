"""Vibrations and their thermodynamics: formulas, ASE's finite differences and thermochemistry, propagated bars."""

from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import fcc111, molecule
from ase.constraints import FixAtoms
from ase.thermochemistry import HarmonicThermo, IdealGasThermo
from ase.vibrations import Vibrations

import jaxpot as jp
from jaxpot.errors import ConvergenceError, DataError, JaxpotWarning
from jaxpot.properties.rigid import rigid_motions
from jaxpot.units import bar

MORSE = jp.potentials.Morse(0.9, 1.6, 2.3, 6.0)


def cluster(positions, symbol="Cu", pbc=False):
    return jp.Structure(positions, 12.0 * np.eye(3), [symbol] * len(positions), pbc=pbc)


@pytest.fixture(scope="module")
def copper():
    return jp.potentials.SecondMoment.copper()


@pytest.fixture(scope="module")
def tetrahedron(copper):
    start = cluster([[0.0, 0.0, 0.0], [1.7, 1.7, 0.0], [1.7, 0.0, 1.7], [0.0, 1.7, 1.7]])
    return jp.relax(copper, start, fmax=1e-8).structure


@pytest.fixture(scope="module")
def adsorbed(copper):
    """An atom on two layers, the upper of them free: 5 free atoms, 4 fixed ones."""
    slab = fcc111("Cu", (2, 2, 2), a=3.62, vacuum=6.0)
    slab.append("Cu")
    slab.positions[-1] = slab.positions[4:7].mean(0) + [0.0, 0.0, 2.0]
    slab.set_constraint(FixAtoms(range(4)))
    return slab


def test_a_diatomic_has_the_frequency_of_its_formula():
    dimer = jp.Structure([[0.0, 0.0, 0.0], [2.3, 0.0, 0.0]], np.eye(3), ["Cu", "Si"], pbc=False)
    result = jp.vibrations(MORSE, dimer)
    m = np.asarray(dimer.masses)
    mu = m.prod() / m.sum()
    nu = np.sqrt(2.0 * 0.9 * 1.6**2 / mu) / (2.0 * np.pi)
    assert result.kinds == ("translation",) * 3 + ("rotation",) * 2 + ("vibration",)
    assert (result.frequencies[:5] == 0.0).all() and result.frequencies[5] == pytest.approx(nu, rel=1e-12)
    assert result.zero_point_energy == pytest.approx(0.5 * jp.units.h * nu, rel=1e-12)
    np.testing.assert_allclose(result.energies, jp.units.h * nu, rtol=1e-12)
    # Wilson's reduced mass of the displacement whose squares add up to one.
    u = np.array([m[1], -m[0]]) / np.hypot(*m)
    assert result.reduced_masses[5] == pytest.approx(float(m @ u**2), rel=1e-12)
    np.testing.assert_allclose(np.abs(result.modes[5, :, 0]), np.abs(u), rtol=1e-12)
    np.testing.assert_allclose(result.eigenvectors.T @ result.eigenvectors, np.eye(6), atol=1e-12)


def test_frequencies_of_a_cluster_and_an_adsorbate_are_those_of_ase(copper, tetrahedron, adsorbed, tmp_path):
    atoms = jp.to_ase(tetrahedron)
    adsorbed = adsorbed.copy()
    for name, system, free in (("cluster", atoms, None), ("adsorbate", adsorbed, range(4, 9))):
        system.calc = jp.ase_calculator(copper)
        peer = Vibrations(system, indices=free, delta=1e-3, nfree=4, name=str(tmp_path / name))
        peer.run()
        expected = np.sort([e.real - abs(e.imag) for e in peer.get_energies()])
        with pytest.warns(JaxpotWarning, match="not relaxed") if free else nullcontext():
            result = jp.vibrations(copper, system, free=free)
        energies = np.sort(jp.units.h * np.asarray(result.frequencies))
        np.testing.assert_allclose(energies, expected, atol=2e-7)
    assert result.translations == result.rotations == 0 and result.modes.shape == (15, 9, 3)
    assert (result.modes[:, :4] == 0.0).all()


@pytest.mark.parametrize(("positions", "pbc", "fixed", "expected"), [
    ([[0, 0, 0]], False, [], (3, 0)),
    ([[0, 0, 0], [1, 1, 1], [2.5, 2.5, 2.5]], False, [], (3, 2)),
    ([[0, 0, 0], [2, 0, 0], [0, 2, 0]], False, [], (3, 3)),
    ([[0, 0, 0], [2, 0, 0], [0, 2, 0]], (False, False, True), [], (3, 1)),
    ([[0, 0, 0], [0, 0, 2.0]], (False, False, True), [], (3, 0)),
    ([[0, 0, 0], [2, 0, 0], [0, 2, 0]], (True, True, False), [], (3, 0)),
    ([[0, 0, 0], [2, 0, 0], [0, 2, 0]], True, [], (3, 0)),
    ([[0, 0, 0], [2, 0, 0], [0, 2, 0]], False, [0], (0, 3)),
    ([[0, 0, 0], [2, 0, 0], [0, 2, 0]], False, [0, 1], (0, 1)),
    ([[0, 0, 0], [2, 0, 0], [4, 0, 0]], False, [0, 1], (0, 0)),
    ([[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2]], False, [0, 1, 2], (0, 0)),
    ([[0, 0, 0], [2, 0, 0], [0, 2, 0]], (True, True, False), [1], (0, 0)),
])
def test_rigid_motions(positions, pbc, fixed, expected):
    structure = cluster(np.array(positions, float), pbc=pbc)
    shifts, turns = rigid_motions(structure, fixed)
    assert (len(shifts), len(turns)) == expected
    np.testing.assert_allclose(np.concatenate([shifts, turns])[:, fixed], 0.0, atol=1e-12)
    if not any(structure.pbc):  # lengths of all pairs stay
        x = np.asarray(structure.positions)
        i, j = np.triu_indices(len(x), 1)
        for field in turns:
            np.testing.assert_allclose(np.einsum("pa,pa->p", x[i] - x[j], field[i] - field[j]), 0.0, atol=1e-12)


@pytest.mark.parametrize(("name", "symmetry_number", "spin"), [("H2O", 2, 0.0), ("CO2", 2, 0.0), ("O", 1, 1.0)])
def test_an_ideal_gas_is_that_of_ase(name, symmetry_number, spin):
    atoms = molecule(name)
    # Only shape, masses and frequencies count: whatever holds it together will do.
    holding = jp.potentials.Morse(5.0, 2.0, 1.2, 3.0)
    with pytest.warns(JaxpotWarning) if len(atoms) > 1 else nullcontext():
        result = jp.vibrations(holding, atoms)
    n = len(atoms)
    shape, count = {"H2O": ("nonlinear", 3), "CO2": ("linear", 4), "O": ("monatomic", 0)}[name]
    assert len(result.matrix) == count
    altered = result.replace(matrix=jnp.diag(jnp.linspace(2.0, 9.0, count)), frequencies=jnp.zeros(3 * n))
    energies = jp.units.hbar * np.sqrt(np.linspace(2.0, 9.0, count))
    peer = IdealGasThermo(list(energies), shape, atoms=atoms, symmetrynumber=symmetry_number, spin=spin)
    temperatures = [200.0, 700.0]
    gas = altered.ideal_gas(temperatures, 3.0 * bar, symmetry_number, spin)
    assert gas.geometry == shape
    pascal = 3e5
    for k, t in enumerate(temperatures):
        assert gas.energy[k] == pytest.approx(peer.get_internal_energy(t, verbose=False), abs=1e-6)
        assert gas.enthalpy[k] == pytest.approx(peer.get_enthalpy(t, verbose=False), abs=1e-6)
        assert gas.entropy[k] == pytest.approx(peer.get_entropy(t, pascal, verbose=False), rel=1e-6)
        assert gas.gibbs_energy[k] == pytest.approx(peer.get_gibbs_energy(t, pascal, verbose=False), abs=1e-6)
    parts = gas.translational_entropy + gas.rotational_entropy + gas.vibrational_entropy + gas.electronic_entropy
    np.testing.assert_allclose(parts, gas.entropy, rtol=1e-14)
    step = 1e-3
    ends = altered.ideal_gas([200.0 - step, 200.0 + step], 3.0 * bar, symmetry_number, spin).enthalpy
    assert gas.heat_capacity[0] == pytest.approx(float(ends[1] - ends[0]) / (2 * step), rel=1e-6)


def test_oscillators_are_those_of_ase_and_saddle_points_are_refused(copper, tetrahedron):
    result = jp.vibrations(copper, tetrahedron)
    peer = HarmonicThermo(list(np.asarray(result.energies)))
    sums = result.harmonic([0.0, 150.0, 900.0])
    assert sums.free_energy[0] == pytest.approx(float(result.zero_point_energy), rel=1e-12)
    for k, t in ((1, 150.0), (2, 900.0)):
        assert sums.energy[k] == pytest.approx(peer.get_internal_energy(t, verbose=False), rel=1e-6)
        assert sums.entropy[k] == pytest.approx(peer.get_entropy(t, verbose=False), rel=1e-6)
        assert sums.free_energy[k] == pytest.approx(float(sums.energy[k] - t * sums.entropy[k]), rel=1e-9)
    # A rhombus of atoms is a saddle point on the way between two tetrahedra.
    flat = cluster(np.array([[1.1, 0, 0], [0, 2.0, 0], [-1.1, 0, 0], [0, -2.0, 0]]))
    saddle = jp.vibrations(copper, jp.relax(copper, flat, fmax=1e-8).structure)
    assert saddle.frequencies[6] < 0.0 < saddle.frequencies[7] and saddle.energies[0] < 0.0
    with pytest.raises(ConvergenceError, match=r"1 of 6 vibrations .*i 1/cm.*ignore_imaginary"):
        saddle.harmonic([300.0])
    real = HarmonicThermo(list(np.asarray(saddle.energies[1:])))
    sums = saddle.harmonic([300.0], ignore_imaginary=True)
    assert sums.energy[0] == pytest.approx(real.get_internal_energy(300.0, verbose=False), rel=1e-6)
    assert sums.entropy[0] == pytest.approx(real.get_entropy(300.0, verbose=False), rel=1e-5)
    assert saddle.zero_point_energy == pytest.approx(0.5 * float(saddle.energies[1:].sum()), rel=1e-12)


@pytest.mark.thorough
def test_derivatives_and_bars_of_degenerate_modes():
    """A tetrahedron of one pair potential has modes that are twofold and threefold degenerate; it breathes with r0."""
    start = cluster(np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]) * 2.3 / np.sqrt(2.0), "Si")

    def numbers(potential, structure):
        result = jp.vibrations(potential, structure)
        return jnp.stack([result.zero_point_energy, result.harmonic([300.0]).free_energy[0]])

    posterior = jp.Posterior.of(MORSE, {"depth": 0.01, "r0": 0.02})
    bars = jp.propagate(posterior, numbers, start)
    h = 1e-4

    def at(**changes):
        return np.asarray(numbers(MORSE.replace(**changes), start.moved(start.positions * changes.get("r0", 2.3) / 2.3)))

    # Of depth frequencies go with its root; the molecule grows with r0, and frequencies stay.
    by_depth = (at(depth=0.9 + h) - at(depth=0.9 - h)) / (2 * h)
    by_r0 = (at(r0=2.3 + h) - at(r0=2.3 - h)) / (2 * h)
    assert by_depth[0] == pytest.approx(0.5 * float(bars.value[0]) / 0.9, rel=1e-6)
    np.testing.assert_allclose(bars.slopes[:, 0], 0.01 * by_depth, rtol=1e-6)
    np.testing.assert_allclose(bars.slopes[:, 1], 0.02 * by_r0, atol=1e-7)
    assert np.isfinite(bars.std).all() and (bars.std > 0.0).all()


@pytest.mark.slow
def test_a_derivative_goes_through_the_relaxation_of_a_molecule():
    angles = 2.0 * np.pi * np.arange(3) / 3.0
    ring = 1.35 * np.stack([np.cos(angles), np.sin(angles), 0.0 * angles], axis=1)
    start = cluster(np.concatenate([ring, [[0.0, 0.0, 1.9], [0.0, 0.0, -1.9]]]), "Si")

    def at(alpha):
        potential = MORSE.replace(alpha=alpha)
        return jp.vibrations(potential, jp.relax(potential, start, fmax=1e-10).structure).zero_point_energy

    _, slope = jax.jvp(at, (1.6,), (1.0,))
    assert slope == pytest.approx(float(at(1.6 + 1e-4) - at(1.6 - 1e-4)) / 2e-4, rel=1e-6)


def test_refusals(tetrahedron, copper):
    for free in ([0, 0], [4], [], [0.5], [True, False], "all"):
        with pytest.raises(DataError, match="free: expected different indices"):
            jp.vibrations(copper, tetrahedron, free=free)
    result = jp.vibrations(copper, tetrahedron)
    for arguments, match in (
        (dict(temperatures=[0.0], symmetry_number=12), "positive"),
        (dict(temperatures=[300.0]), "symmetry_number: expected how many"),
        (dict(temperatures=[300.0], symmetry_number=0), "symmetry_number"),
        (dict(temperatures=[300.0], symmetry_number=12, spin=0.3), "spin"),
        (dict(temperatures=[300.0], symmetry_number=12, pressure=-1.0), "pressure"),
    ):
        with pytest.raises(DataError, match=match):
            result.ideal_gas(**arguments)
    with pytest.raises(DataError, match="made of molecules"):
        result.replace(free=(0, 1)).ideal_gas([300.0], symmetry_number=12)
