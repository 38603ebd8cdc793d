"""CHGNet hop by hop: the energy of the network itself, and lattice waves and currents of energy that need hops."""

import numpy as np
import pytest
from ase.build import bulk
from models import angular, molecule
from tiers import thorough_but

import jaxpot as jp
from jaxpot.core.neighbors import neighbors

CRYSTALS = {
    "three updates": (("Mg", "O"), bulk("MgO", "rocksalt", 4.2), {}),
    "two updates": (("Cu",), bulk("Cu", "fcc", 3.6), {"hops": 2}),
    "no angles": (("Cu",), bulk("Cu", "fcc", 4.8), {"hops": 2}),
    "without norms": (("Si", "C"), molecule(["Si", "C", "C", "Si"], 2.0), {"norm": False, "seed": 7}),
}


def model_and_structure(name):
    species, atoms, options = CRYSTALS[name]
    structure = jp.Structure.of(atoms)
    chance = np.random.default_rng(0)
    return angular(*species, **options), structure.moved(
        np.asarray(structure.positions) + 0.05 * chance.normal(size=structure.positions.shape)
    )


@pytest.mark.parametrize("name", thorough_but(["no angles"], CRYSTALS, ["three updates"]))
def test_the_energy_is_the_same(name):
    potential, structure = model_and_structure(name)
    listed = neighbors(structure, potential.cutoff, inner=potential.shorter)
    by_hops = potential.by_hops(structure, listed)
    assert float(by_hops.any_angle) == (name != "no angles")
    one, other = (jp.evaluate(p, structure, listed) for p in (potential, by_hops))
    assert float(one.energy) == pytest.approx(float(other.energy), abs=1e-13)
    for field in ("energies", "forces", "stress"):
        np.testing.assert_allclose(getattr(one, field), getattr(other, field), atol=1e-14)


@pytest.mark.parametrize("name", thorough_but(["two updates"], ["two updates", "three updates"], ["three updates"]))
def test_lattice_waves_are_hessian_products_in_a_supercell(name):
    potential, structure = model_and_structure(name)
    q = np.array([[0.5, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    matrices = jp.second_order(potential, structure).dynamical_matrix(q)
    expected = jp.second_order(potential, structure, (2, 2, 1)).dynamical_matrix(q)
    assert np.abs(matrices - expected).max() < 1e-13 * np.abs(expected).max()
