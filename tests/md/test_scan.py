"""Derivatives through a simulation: exact, of the trajectory that `md.run` computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.errors import DataError
from jaxpot.units import fs

N = 25


@pytest.fixture(scope="module")
def argon():
    return jp.potentials.LennardJones(0.0104, 3.4, 6.5)


@pytest.fixture(scope="module")
def crystal():
    atoms = bulk("Ar", cubic=True, a=5.3)
    atoms.rattle(0.05, seed=0)
    return jp.Structure.of(atoms)


@pytest.fixture(scope="module")
def listed(argon, crystal):
    return jp.neighbors(crystal, argon.cutoff, skin=1.0)


@pytest.fixture(scope="module")
def dynamics(argon):
    return jp.md.Langevin(argon, 5.0 * fs, 60.0, 0.002 / fs)


@pytest.fixture(scope="module")
def start(dynamics, crystal):
    return dynamics.init(crystal, key=3)


def positions_of(state):
    return state.structure.positions


def test_the_trajectory_is_that_of_a_run(dynamics, start, listed):
    class Positions(jp.md.Observer):
        def row(self, dynamics, state):
            return state.structure.positions

    seen = Positions(1)
    last = jp.md.run(dynamics, start, N, [seen]).state
    stale = start.replace(forces=0.0 * start.forces)  # of another potential, say: computed anew
    end, path = jp.md.steps(dynamics, stale, N, listed, keep=positions_of)
    np.testing.assert_allclose(path, seen.rows[1:], atol=1e-11)
    np.testing.assert_allclose(end.velocities, last.velocities, atol=1e-11)
    assert int(end.step) == N and float(dynamics.conserved(end)) == pytest.approx(float(dynamics.conserved(last)))


def test_derivatives_by_a_parameter_the_start_and_the_temperature(dynamics, start, listed, argon):
    """Reverse and forward mode against central differences."""
    direction = np.random.default_rng(0).normal(size=start.structure.positions.shape)

    def end(epsilon, positions, temperature):
        state = start.replace(structure=start.structure.moved(positions))
        changed = dynamics.replace(potential=argon.replace(epsilon=epsilon), temperature=temperature)
        last, _ = jp.md.steps(changed, state, N, listed, keep=positions_of)
        return jnp.sum(last.structure.positions * direction) + last.kinetic_energy

    at = (jnp.asarray(argon.epsilon), start.structure.positions, jnp.asarray(60.0))
    slopes = jax.grad(end, argnums=(0, 1, 2))(*at)
    for k, (h, along) in enumerate([(1e-6, 1.0), (1e-5, direction), (1e-3, 1.0)]):
        up, down = (end(*at[:k], at[k] + sign * h * along, *at[k + 1 :]) for sign in (1.0, -1.0))
        expected = float(up - down) / (2.0 * h)
        assert float(jnp.sum(slopes[k] * along)) == pytest.approx(expected, rel=1e-5) and expected != 0.0
    ones = (jnp.ones(()), jnp.asarray(direction), jnp.ones(()))
    _, forward = jax.jvp(end, at, ones)
    assert float(forward) == pytest.approx(sum(float(jnp.sum(s * d)) for s, d in zip(slopes, ones, strict=True)))


def test_a_list_that_is_outgrown_gives_nan(dynamics, start, listed):
    fast = start.replace(velocities=20.0 * start.velocities)
    last, path = jp.md.steps(dynamics, fast, N, listed, keep=positions_of)
    assert np.isfinite(path[0]).all() and np.isnan(path[-1]).all() and np.isnan(last.energy)


def test_a_gradient_through_run_says_what_can_be_differentiated(dynamics, start, argon):
    def end(potential):
        return jp.md.run(dynamics.replace(potential=potential), start, 5).state.energy

    for transformed in (jax.grad(end), jax.jit(end)):
        with pytest.raises(DataError, match=r"md\.run cannot be differentiated.*jp\.md\.steps"):
            transformed(argon)
    with pytest.raises(DataError, match=r"jp\.md\.steps"):
        jax.grad(lambda x: jp.md.run(dynamics, start.structure.moved(x), 5).state.energy)(start.structure.positions)


def test_what_is_refused(dynamics, start, argon, crystal):
    with pytest.raises(DataError, match="ensemble"):
        jp.md.steps(argon, start, 3)
    with pytest.raises(DataError, match="expected a State, as dynamics.init"):
        jp.md.steps(dynamics, crystal, 3)
    with pytest.raises(DataError, match="n: expected a whole number"):
        jp.md.steps(dynamics, start, -1)
    with pytest.raises(DataError, match="outside of jax.jit"):
        jax.jit(lambda x: dynamics.init(crystal.moved(x)).energy)(crystal.positions)
    with pytest.raises(DataError, match="`neighbors`"):
        jax.jit(lambda state: jp.md.steps(dynamics, state, 3)[0].energy)(start)
