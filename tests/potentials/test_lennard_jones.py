import jax
import jax.numpy as jnp
import numpy as np
import pytest
from environments import pair_energy

from jaxpot.errors import DataError
from jaxpot.potentials.lennard_jones import LennardJones


def test_the_textbook_values():
    potential = LennardJones(0.7, 2.0, 9.0)
    r = 2.0 * 2.0 ** (1 / 6)
    assert 2 * pair_energy(potential, r) == pytest.approx(-0.7, rel=1e-14)
    assert pair_energy(potential, 2.0) == pytest.approx(0.0, abs=1e-14)
    assert pair_energy(potential, 9.0) == 0.0
    assert potential.smoothness == -1


@pytest.mark.parametrize("shift, smoothness", [("none", -1), ("energy", 0), ("force", 1), ("smooth", 3)])
def test_how_it_ends(shift, smoothness):
    potential = LennardJones(0.7, 2.0, 5.0, shift)
    assert potential.smoothness == smoothness

    def value(r):
        return pair_energy(potential, r)

    functions = [value, jax.grad(value), jax.grad(jax.grad(value)), jax.grad(jax.grad(jax.grad(value)))]
    jumps = [abs(float(f(5.0 - 1e-9))) for f in functions]
    continuous = [jump < 1e-6 for jump in jumps]
    assert continuous[: smoothness + 1] == [True] * (smoothness + 1)
    assert smoothness == 3 or not continuous[smoothness + 1]


@pytest.mark.parametrize("shift", ["none", "smooth"])
def test_the_well_is_the_same(shift):
    assert pair_energy(LennardJones(0.7, 2.0, 5.0, shift), 2.3) == pytest.approx(
        float(pair_energy(LennardJones(0.7, 2.0, 50.0), 2.3)), rel=1e-14
    )


def test_species_by_pairs_and_by_mixing():
    pairs = LennardJones(
        {("Ar", "Ar"): 0.010, ("Kr", "Ar"): 0.012, ("Kr", "Kr"): 0.014},
        {("Kr", "Kr"): 3.6, ("Ar", "Kr"): 3.5, ("Ar", "Ar"): 3.4},
        8.0,
    )
    assert pairs.species == (18, 36)
    one = LennardJones(0.012, 3.5, 8.0)
    for center, other in (("Ar", "Kr"), ("Kr", "Ar")):
        found = pair_energy(pairs, 3.9, center, other)
        assert found == pytest.approx(float(pair_energy(one, 3.9)), rel=1e-14)
    mixed = LennardJones({"Ar": 0.01, "Kr": 0.04}, {"Ar": 3.4, "Kr": 3.6}, 8.0, mixing="lorentz-berthelot")
    assert np.allclose(mixed.epsilon, [[0.01, 0.02], [0.02, 0.04]])
    assert np.allclose(mixed.sigma, [[3.4, 3.5], [3.5, 3.6]])


def test_parameters_have_gradients():
    gradient = jax.grad(pair_energy)(LennardJones(0.7, 2.0, 5.0), jnp.array(2.4))
    step = 1e-6
    for name in ("epsilon", "sigma"):
        at = {"epsilon": 0.7, "sigma": 2.0}
        up, down = dict(at), dict(at)
        up[name] += step
        down[name] -= step
        slope = (pair_energy(LennardJones(**up, cutoff=5.0), 2.4)
                 - pair_energy(LennardJones(**down, cutoff=5.0), 2.4)) / (2 * step)
        assert getattr(gradient, name) == pytest.approx(float(slope), rel=1e-7)


@pytest.mark.parametrize(
    "arguments, says",
    [
        (dict(epsilon=1.0, sigma=0.0, cutoff=5.0), "sigma must be positive"),
        (dict(epsilon=float("nan"), sigma=1.0, cutoff=5.0), "not finite"),
        (dict(epsilon="deep", sigma=1.0, cutoff=5.0), "expected numbers"),
        (dict(epsilon=1.0, sigma=1.0, cutoff=-1.0), "positive length"),
        (dict(epsilon=1.0, sigma=1.0, cutoff=None), "length in A"),
        (dict(epsilon=1.0, sigma=1.0, cutoff=5.0, shift="soft"), "'energy'"),
        (dict(epsilon=1.0, sigma=1.0, cutoff=5.0, onset=6.0), "below the cutoff"),
        (dict(epsilon=[[1.0, 2.0], [2.1, 1.0]], sigma=1.0, cutoff=5.0, species=("Ar", "Kr")), "Ar-Kr is 2"),
        (dict(epsilon=[[1.0, 2.0], [2.0, 1.0]], sigma=1.0, cutoff=5.0), "shape (1, 1)"),
        (dict(epsilon={"Ar": 1.0, "Kr": 1.0}, sigma={"Ar": 1.0, "Kr": 1.0}, cutoff=5.0), "mixing"),
        (dict(epsilon={("Ar", "Kr"): 1.0}, sigma={("Ar", "Kr"): 1.0}, cutoff=5.0), "Ar-Ar is missing"),
        (dict(epsilon={"Ar": 1.0}, sigma={"Kr": 1.0}, cutoff=5.0), "different elements"),
        (dict(epsilon=1.0, sigma=1.0, cutoff=5.0, species=("Ar", "Ar")), "distinct"),
        (dict(epsilon=1.0, sigma=1.0, cutoff=5.0, species=("Aa",)), "'Aa' is not an element"),
    ],
)
def test_mistakes_are_refused(arguments, says):
    with pytest.raises(DataError) as caught:
        LennardJones(**arguments)
    assert says in str(caught.value)
