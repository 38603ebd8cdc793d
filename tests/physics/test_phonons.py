"""Dynamical matrices, Grueneisen parameters and thermodynamics, each by a second route."""

import warnings

import jax
import numpy as np
import pytest
from crystals import relaxed
from tiers import thorough_but

import jaxpot as jp
from jaxpot.errors import ConvergenceError, DataError, JaxpotWarning

CRYSTALS = ["silicon", "copper", "rocksalt", "wurtzite", "triclinic"]
GENERIC = np.array([[0.1, 0.3, 0.2], [0.5, 0.0, 0.5], [0.5, 0.5, 0.5], [0.27, 0.0, 0.0]])


@pytest.mark.parametrize("name, repeats", [
    ("silicon", (3, 3, 3)), ("copper", (3, 3, 3)), ("rocksalt", (2, 2, 2)),
    pytest.param("wurtzite", (2, 2, 2), marks=pytest.mark.thorough),
    pytest.param("triclinic", (2, 2, 2), marks=pytest.mark.thorough),
])
def test_dynamical_matrix_equals_the_supercell_hessian_at_commensurate_q(name, repeats):
    potential, structure = relaxed(name)
    q = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1]]) / np.array(repeats)
    local = jp.dynamical_matrix(potential, structure, q)
    supercell = jp.second_order(potential, structure, supercell=repeats).dynamical_matrix(q)
    scale = np.abs(local).max()
    np.testing.assert_allclose(local, supercell, atol=1e-10 * scale)


def test_hessian_sums_to_the_dynamical_matrix_at_gamma():
    potential, structure = relaxed("wurtzite")
    mass = np.sqrt(np.asarray(structure.masses))
    hessian = np.asarray(jp.hessian(potential, structure))
    expected = (hessian / mass[:, None, None, None] / mass[None, None, :, None]).reshape(12, 12)
    np.testing.assert_allclose(jp.dynamical_matrix(potential, structure, [0, 0, 0]), expected, atol=1e-11)


def test_acoustic_modes_vanish_at_gamma_and_follow_the_elastic_constants():
    potential, structure = relaxed("copper")
    assert np.abs(jp.phonons(potential, structure, [0, 0, 0]).frequencies / jp.units.THz).max() < 1e-5
    # Long waves along [100]: velocity^2 = c11 / density, c44 / density.
    c = jp.elastic_constants(potential, structure)
    density = float(structure.masses.sum() / structure.volume)
    q = np.array([0.0, 1e-3, 1e-3])
    wave = np.linalg.norm(q @ np.linalg.inv(np.asarray(structure.cell)).T)
    velocity = np.asarray(jp.phonons(potential, structure, q).frequencies) / wave
    expected = np.sqrt(np.array([c.c44, c.c44, c.c11]) / density)
    np.testing.assert_allclose(velocity, expected, rtol=1e-4)


@pytest.mark.parametrize("name", thorough_but(["silicon", "rocksalt"], CRYSTALS))
def test_gruneisen_parameters_against_volume_differences(name):
    potential, structure = relaxed(name)
    found = jp.gruneisen(potential, structure, GENERIC)

    def log_frequencies(x):
        strained = structure.strained(x * np.eye(3) / 3)
        if len(structure) > 1:
            strained = jp.relax(potential, strained, fmax=1e-10, steps=2000).structure
        return np.log(np.asarray(jp.phonons(potential, strained, GENERIC).frequencies))

    sooner = jp.gruneisen(potential, structure, GENERIC, differences=True)
    np.testing.assert_allclose(sooner.gamma, found.gamma, rtol=0, atol=1e-5)
    h = 1e-3
    wide = -(log_frequencies(h) - log_frequencies(-h)) / (2 * h)
    narrow = -(log_frequencies(h / 2) - log_frequencies(-h / 2)) / h
    expected = (4 * narrow - wide) / 3
    gamma = np.asarray(found.gamma)
    # Degenerate modes come out in another order; sorted within the groups they agree.
    groups = np.round(np.asarray(found.frequencies) / jp.units.THz, 4)
    for k in range(len(GENERIC)):
        for value in np.unique(groups[k]):
            same = groups[k] == value
            np.testing.assert_allclose(np.sort(gamma[k, same]), np.sort(expected[k, same]), atol=1e-5)


def test_acoustic_gruneisen_parameters_are_undefined_at_gamma():
    gamma = jp.gruneisen(*relaxed("silicon"), [[0, 0, 0], [1, 0, 0]]).gamma
    assert np.isnan(gamma[:, :3]).all() and np.isfinite(gamma[:, 3:]).all()


def test_density_of_states_counts_the_modes():
    potential, structure = relaxed("silicon")
    dos = jp.phonon_dos(potential, structure, mesh=(8, 8, 8))
    assert np.trapezoid(dos.density, dos.frequencies) == pytest.approx(6.0, rel=1e-5)


def test_harmonic_thermodynamics():
    potential, structure = relaxed("silicon")
    temperatures = np.array([0.0, 100.0, 300.0, 301.0, 3000.0])
    found = jp.harmonic(potential, structure, temperatures, mesh=(4, 4, 4))
    kB = jp.units.kB
    assert found.entropy[0] == 0 and found.heat_capacity[0] == 0
    np.testing.assert_allclose(found.free_energy, found.energy - temperatures * found.entropy, atol=1e-12)
    # dF/dT = -S by a difference; Dulong and Petit at the end (minus the three modes left out at Gamma).
    slope = (found.free_energy[3] - found.free_energy[2]) / 1.0
    assert slope == pytest.approx(-0.5 * float(found.entropy[2] + found.entropy[3]), rel=1e-5)
    assert float(found.heat_capacity[-1]) / kB == pytest.approx(6 - 3 / 64, rel=5e-3)


def test_imaginary_modes_are_refused():
    potential, structure = relaxed("silicon")
    stretched = structure.strained(0.3 * np.eye(3))
    with pytest.raises(ConvergenceError, match="THz"):
        jp.harmonic(potential, stretched, [300.0], mesh=(4, 4, 4))


@pytest.mark.thorough
def test_thermal_expansion_by_three_routes():
    potential, structure = relaxed("silicon")
    temperatures = [50.0, 299.0, 300.0, 301.0]
    free = jp.thermal_expansion(potential, structure, temperatures, mesh=(4, 4, 4))
    modes = jp.thermal_expansion(potential, structure, temperatures, mesh=(4, 4, 4), method="gruneisen")
    sooner = jp.thermal_expansion(potential, structure, temperatures, mesh=(4, 4, 4), differences=True)
    first = jp.thermal_expansion(potential, structure, temperatures, mesh=(4, 4, 4), method="gruneisen_v0")
    np.testing.assert_allclose(modes.alpha, free.alpha, rtol=1e-8)
    np.testing.assert_allclose(sooner.alpha, free.alpha, rtol=1e-8)
    np.testing.assert_allclose(sooner.bulk, free.bulk, rtol=1e-9)
    difference = np.log(free.volumes[3] / free.volumes[1]) / 2 / 3
    assert free.alpha[2] == pytest.approx(difference, rel=2e-5)
    # Each state follows from the one before it, in whatever order they are asked for, and however often.
    again = jp.thermal_expansion(potential, structure, [301.0, 301.0, 50.0, 300.0], mesh=(4, 4, 4), differences=True)
    np.testing.assert_allclose(again.volumes, np.asarray(sooner.volumes)[[3, 3, 0, 2]], rtol=1e-11)
    np.testing.assert_allclose(again.alpha, np.asarray(sooner.alpha)[[3, 3, 0, 2]], rtol=1e-8)
    assert 1e-4 < abs(first.alpha[2] / free.alpha[2] - 1) < 0.05
    relation = 3 * free.alpha[2] * free.volumes[2] * free.bulk[2] / free.heat_capacity_v[2]
    assert free.gamma[2] == pytest.approx(float(relation), rel=1e-10)
    assert free.heat_capacity_p[2] == pytest.approx(
        float(free.heat_capacity_v[2] + 300.0 * free.volumes[2] * free.bulk[2] * (3 * free.alpha[2]) ** 2), rel=1e-8
    )


def test_thermal_expansion_under_pressure_follows_the_isotherm():
    GPa, found = jp.units.GPa, []
    for pressure in (4.9, 5.0, 5.1):
        potential, structure = relaxed("silicon", pressure)
        found.append(jp.thermal_expansion(
            potential, structure, [300.0], mesh=(4, 4, 4), differences=True, pressure=pressure * GPa
        ))
    volumes = [float(thermal.volumes[0]) for thermal in found]
    assert found[1].bulk[0] / GPa == pytest.approx(-volumes[1] * 0.2 / (volumes[2] - volumes[0]), rel=1e-5)
    squeezed = jp.thermal_expansion(
        *relaxed("silicon"), [300.0], mesh=(4, 4, 4), differences=True, pressure=5.0 * GPa
    )
    assert squeezed.volumes[0] == pytest.approx(volumes[1], rel=1e-9)  # whatever the cell begins with


@pytest.mark.slow
def test_thermal_expansion_is_a_tensor_where_the_crystal_is_not_cubic():
    potential, structure = relaxed("wurtzite")
    found = jp.thermal_expansion(potential, structure, [299.0, 300.0, 301.0], mesh=(2, 2, 2))
    tensor = np.asarray(found.alpha_tensor[1])
    sooner = jp.thermal_expansion(potential, structure, [300.0], mesh=(2, 2, 2), differences=True)
    np.testing.assert_allclose(sooner.alpha_tensor[0], tensor, atol=1e-5 * np.abs(tensor).max())
    lengths = np.linalg.norm(np.asarray(found.cells), axis=2)
    expected = np.log(lengths[2] / lengths[0]) / 2
    assert tensor[0, 0] == pytest.approx(tensor[1, 1]) and abs(tensor[0, 0] - tensor[2, 2]) > 1e-8
    np.testing.assert_allclose([tensor[0, 0], tensor[2, 2]], expected[[0, 2]], rtol=1e-4)
    modes = jp.thermal_expansion(potential, structure, [300.0], mesh=(2, 2, 2), method="gruneisen")
    np.testing.assert_allclose(modes.alpha_tensor[0], tensor, atol=1e-7 * np.abs(tensor).max())


def test_slopes_along_a_wave_vector_made_of_traced_and_plain_numbers():
    potential, structure = relaxed("silicon")
    one, two = (jp.phonons(potential, structure, [0.3 + h, 0.1, 0.2]).frequencies for h in (-1e-5, 1e-5))
    slopes = jax.jacfwd(lambda x: jp.phonons(potential, structure, [x, 0.1, 0.2]).frequencies)(0.3)
    np.testing.assert_allclose(slopes, (two - one) / 2e-5, rtol=1e-7)


def test_an_atom_in_a_cell_far_away_is_that_of_the_home_cell():
    potential, structure = relaxed("silicon")
    q = [[0.1, 0.2, 0.3], [0.5, 0.0, 0.5]]
    expected = jp.phonons(potential, structure, q).frequencies
    for cells in ([900_000, -400_000, 0], [-3_000_000, 1_500_000, 2_900_000]):  # on both sides of what fits a number
        away = structure.moved(structure.positions + np.outer([0, 1], np.array(cells) @ np.asarray(structure.cell)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JaxpotWarning)  # positions have lost digits, and forces with them
            far = jp.phonons(potential, away, q).frequencies
        np.testing.assert_allclose(far, expected, rtol=1e-5)


def test_wrong_arguments():
    potential, structure = relaxed("silicon")
    with pytest.raises(DataError, match="shape"):
        jp.phonons(potential, structure, [0.0, 0.5])
    with pytest.raises(DataError, match="not negative"):
        jp.harmonic(potential, structure, [-1.0])
    with pytest.raises(DataError, match="method"):
        jp.thermal_expansion(potential, structure, [300.0], method="magic")


def test_a_crystal_that_is_not_relaxed_is_told():
    potential, structure = relaxed("silicon")
    shaken = structure.moved(structure.positions + np.array([[0.0, 0.0, 0.0], [0.03, 0.01, 0.0]]))
    largest = np.linalg.norm(jp.forces(potential, shaken), axis=1).max()
    with pytest.warns(JaxpotWarning, match=f"phonons are .* not relaxed: the largest force is {largest:.3g} eV/A"):
        jp.phonons(potential, shaken, [0.5, 0.0, 0.5])
    with pytest.warns(JaxpotWarning, match=f"constants are .* not relaxed: the largest force is {largest:.3g} eV/A"):
        jp.elastic_constants(potential, shaken)
