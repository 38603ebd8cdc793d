"""Elastic constants against finite strains of re-relaxed crystals, with and without pressure."""

import numpy as np
import pytest
from crystals import START, relaxed

import jaxpot as jp
from jaxpot.properties.coordinates import VOIGT, voigt_basis


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
        assert eos.bulk == pytest.approx(float(constants.bulk_reuss), rel=2e-3)
        assert eos.volume == pytest.approx(float(structure.volume), rel=1e-5)
        np.testing.assert_allclose(eos.curve(eos.volumes), eos.energies, atol=2e-5)


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
