"""`jp.evaluate` of a committee: what each of its members gives, in sums, with shared and scaled terms, padded or not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiers import thorough_but

import jaxpot as jp
from jaxpot.descriptors import SymmetryFunctions
from jaxpot.potentials import Described
from jaxpot.potentials.committee import Committee, parameter_names
from jaxpot.readouts import MLP, Neural

COUNT = 3


def network(cutoff, center=None):
    descriptor = SymmetryFunctions.automatic(("Si",), cutoff, 2, 1, center)
    width = descriptor.dimension
    return Described(descriptor, Neural(MLP.random(1, width, (4,)), np.zeros(width), np.ones(width)), ("Si",))


def stacked(potential, among):
    """A committee whose members differ in the parameters whose names contain a word."""
    names = parameter_names(potential)
    chosen = tuple(name for name in names if among in name)
    leaves, tree = jax.tree.flatten(potential)
    rng = np.random.default_rng(0)
    leaves = [
        jnp.stack([leaf * (1.0 + 0.1 * rng.normal()) for _ in range(COUNT)]) if name in chosen else leaf
        for name, leaf in zip(names, leaves, strict=True)
    ]
    return Committee(jax.tree.unflatten(tree, leaves), chosen)


SW = jp.potentials.StillingerWeber.silicon()
CASES = {
    "networks": (network(3.0, "Si"), "network"),
    "networks of two ranges and a shared term": (network(3.0, "Si") + network(5.0) + SW, "network"),
    "a term that is scaled": (0.5 * network(3.0) + SW, "network"),
    "a potential of another kind": (SW + network(3.0), "epsilon"),
    "a descriptor's own parameters": (SW, "sigma"),
}


@pytest.fixture(scope="module")
def crystal():
    cell = jp.Structure([[0, 0, 0], [1.36, 1.36, 1.36]], 2.72 * (1 - np.eye(3)), ["Si", "Si"]).repeated((3, 3, 1))
    return cell.moved(cell.positions + 0.05 * np.random.default_rng(1).normal(size=(18, 3)))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("padded", thorough_but([True], [False, True]))
def test_a_committee_gives_what_its_members_give(name, padded, crystal):
    committee = stacked(*CASES[name])
    listed = None if padded else jp.neighbors(crystal, float(committee.widest.extent()))
    found = jp.evaluate(committee, crystal, listed)
    for k in range(COUNT):
        expected = jp.evaluate(committee[k], crystal)
        for what in ("energy", "energies", "forces", "stress"):
            own, other = np.asarray(getattr(found, what))[k], np.asarray(getattr(expected, what))
            np.testing.assert_allclose(own, other, rtol=1e-11, atol=1e-12)
    assert np.ptp(np.asarray(found.energy)) > 1e-3


def test_what_does_not_hold_is_not_a_number(crystal):
    committee = stacked(*CASES["networks"])
    listed = jp.neighbors(crystal, committee.potential.cutoff)
    found = jax.jit(lambda x: jp.evaluate(committee, crystal.moved(x), listed))(1.5 * crystal.positions)
    assert np.isnan(np.asarray(found.forces)).all() and np.isnan(np.asarray(found.energy)).all()
    with pytest.raises(jp.JaxpotError, match="Ge"):
        jp.evaluate(committee, jp.Structure(crystal.positions, crystal.cell, ["Ge"] * 18))


@pytest.mark.parametrize("name", CASES)
def test_a_committee_may_be_a_constant_of_a_program(name, crystal):
    committee = stacked(*CASES[name])
    listed = jp.neighbors(crystal, float(committee.widest.extent()))
    found = jax.jit(lambda x: jp.evaluate(committee, crystal.moved(x), listed).energy)(crystal.positions)
    np.testing.assert_allclose(found, jp.evaluate(committee, crystal, listed).energy, rtol=1e-12)
