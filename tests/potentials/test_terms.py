"""Terms of a sum on fewer places and fewer atoms give the same numbers, or a typed error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.checks import checked_neighbors
from jaxpot.core.graph import connect
from jaxpot.descriptors import SOAP, Pair, Triplet
from jaxpot.errors import CapacityError
from jaxpot.kernels import DotProduct, SquaredExponential
from jaxpot.potentials import Constants, Described, StillingerWeber
from jaxpot.potentials.terms import inner_cutoffs
from jaxpot.readouts import SparseGP


def process(descriptor, kernel, species):
    rng = np.random.default_rng(1)
    return Described(descriptor, SparseGP(kernel, rng.uniform(0.2, 1.0, (3, descriptor.dimension)), [0.3, -0.2, 0.4]), species)


LONG = process(Pair(6.0, 1.0), SquaredExponential(2.0), ["Si"])
SHORT = process(Triplet(3.0, 0.5), SquaredExponential(2.0), ["Si"])
BOTH = StillingerWeber.silicon() + 0.5 * (LONG + SHORT)


def crystal(seed=0, symbols=None):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=seed)
    if symbols is not None:
        atoms.symbols = symbols
    return jp.Structure.of(atoms)


@pytest.mark.thorough
def test_short_terms_on_the_first_places():
    structure = crystal()
    assert inner_cutoffs(BOTH) == (3.0,) and inner_cutoffs(LONG) == ()  # Stillinger-Weber's range is a parameter
    listed = checked_neighbors(BOTH, structure)
    assert listed.places(3.0) < listed.capacity == listed.places(3.1)
    whole = jp.neighbors(structure, 6.0)
    assert whole.inner == () and whole.places(3.0) == whole.capacity
    found, expected = (jp.evaluate(BOTH, structure, given) for given in (listed, whole))
    for name in ("energies", "forces", "stress"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=1e-12)
    slope, same = (jax.grad(jp.energy)(BOTH, structure, given) for given in (listed, whole))
    for one, two in zip(jax.tree.leaves(slope), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-10)


def test_a_neighbour_that_comes_within_a_short_cutoff():
    """The list still holds it, but not in the first places: the numbers would be wrong without a word."""
    line = np.array([[0.0, 0, 0], [2.4, 0, 0], [-2.4, 0, 0], [0, 2.4, 0], [0, -2.4, 0], [0, 0, 4.0]])
    structure = jp.Structure(line, np.eye(3), ["Si"] * 6, pbc=False)
    listed = checked_neighbors(BOTH, structure)
    assert listed.places(3.0) == 4
    moved = structure.moved(line + np.array([0, 0, -1.2]) * (np.arange(6) == 5)[:, None])
    assert jp.neighbors(structure, 6.0).covers(moved, 2.0)
    with pytest.raises(CapacityError, match="outgrown"):
        jp.energy(BOTH, moved, listed)
    assert jnp.isnan(jax.jit(jp.energy)(BOTH, moved, listed))
    skinned = checked_neighbors(BOTH, structure, skin=2.5)
    assert float(jp.energy(BOTH, moved, skinned)) == pytest.approx(float(jp.energy(BOTH, moved)), abs=1e-12)


@pytest.mark.thorough
def test_terms_about_some_elements():
    """In chunks without an element its term is left out; rows are sorted by element, results by atom."""
    structure = crystal(symbols=["Si", "C", "C", "Si", "O", "C", "Si", "C"])
    species = ("Si", "C", "O")
    terms = [
        process(SOAP(3, 2, 4.0, species=species, centers=(z,), compact=True), DotProduct(2), species) for z in species
    ]
    potential = sum(terms[1:], Constants({"Si": 1.0, "C": 2.0, "O": 3.0}) + terms[0])
    listed = checked_neighbors(potential, structure)
    assert np.asarray(structure.numbers)[listed.centers].tolist() == sorted(np.asarray(structure.numbers).tolist())
    environments = connect(structure, listed).environments()
    expected = np.zeros(len(structure))
    expected[np.asarray(listed.centers)] = jax.vmap(potential.site_energy)(environments)
    result = jp.evaluate(potential, structure)
    np.testing.assert_allclose(result.energies, expected, rtol=0, atol=1e-12)
    gradient = jax.grad(lambda x: jp.energy(potential, structure.moved(x), listed))(structure.positions)
    np.testing.assert_allclose(result.forces, -gradient, rtol=0, atol=1e-12)
    only = jp.evaluate(potential, crystal(symbols=["C"] * 8))
    assert np.isfinite(only.forces).all()


def test_one_element_needs_no_choice():
    assert process(SOAP(2, 1, 4.0, centers=("Si",)), DotProduct(1), ["Si"]).centers is None
    assert process(SOAP(2, 1, 4.0, centers=("Si",)), DotProduct(1), ["Si", "C"]).centers == (14,)
    assert process(SOAP(2, 1, 4.0, centers=("Si",)), DotProduct(1), None).centers == (14,)
