import jax
import numpy as np
import pytest
from environments import pair_energy

from jaxpot.errors import DataError
from jaxpot.potentials.zbl import ZBL


def screened(z_i, z_j, r):
    """The universal potential, eV, written down once more."""
    x = r * (z_i**0.23 + z_j**0.23) / 0.46850
    terms = [(0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162)]
    return 14.399645 * z_i * z_j / r * sum(c * np.exp(-d * x) for c, d in terms)


def test_inside_it_is_the_universal_potential_up_to_a_constant():
    potential = ZBL(1.5, 2.5)
    found = [2 * float(pair_energy(potential, r, "Si", "C")) for r in (0.2, 0.7, 1.4)]
    expected = [screened(14, 6, r) for r in (0.2, 0.7, 1.4)]
    constants = np.subtract(found, expected)
    assert np.ptp(constants) < 1e-10
    assert constants[0] < 0


def test_energy_force_and_curvature_vanish_at_the_outer_radius():
    potential = ZBL(1.5, 2.5, species=("Si", "C"))

    def value(r):
        return pair_energy(potential, r, "Si", "C")

    for function, limit in ((value, 1e-12), (jax.grad(value), 1e-11), (jax.grad(jax.grad(value)), 1e-4)):
        assert abs(float(function(2.5 - 1e-7))) < limit
        assert float(function(2.5 + 1e-7)) == 0.0


def test_the_curvature_is_continuous_where_the_switch_begins():
    potential = ZBL(1.5, 2.5)
    curvature = jax.grad(jax.grad(lambda r: pair_energy(potential, r, "Si", "C")))
    assert curvature(1.5 - 1e-9) == pytest.approx(float(curvature(1.5 + 1e-9)), rel=1e-6)


def test_naming_the_species_changes_nothing():
    named, any_element = ZBL(1.5, 2.5, species=("Si", "C")), ZBL(1.5, 2.5)
    for pair in (("Si", "Si"), ("Si", "C"), ("C", "Si"), ("C", "C")):
        a, b = (float(pair_energy(p, 1.9, *pair)) for p in (named, any_element))
        assert a == pytest.approx(b, rel=1e-13)


@pytest.mark.parametrize(
    "inner, outer, says", [(2.0, 1.0, "below outer"), (0.0, 1.0, "positive"), (1.0, None, "length in A")]
)
def test_mistakes_are_refused(inner, outer, says):
    with pytest.raises(DataError, match=says):
        ZBL(inner, outer)
