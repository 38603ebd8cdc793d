"""The two ways of writing Tersoff's potential agree, and its powers stay finite."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from environments import environment

from jaxpot.errors import DataError
from jaxpot.potentials import Tersoff, TersoffTriplets
from jaxpot.potentials.base import cast

ONES = dict(A=[1393.6, 1830.8], B=[346.7, 471.18], lam=[3.4879, 2.4799], mu=[2.2119, 1.7322], beta=[1.5724e-7, 1.1e-6],
            n=[0.72751, 0.78734], c=[38049.0, 100390.0], d=[4.384, 16.217], h=[-0.57058, -0.59825], R=[1.8, 2.7],
            S=[2.1, 3.0])
SILICON = TersoffTriplets(
    A=3264.7, lam=3.2394, B=95.373, mu=1.3258, beta=0.33675, n=22.956, R=3.0, D=0.2, lam3=1.3258, c=4.8381, d=2.0417,
    h=0.0, species=("Si",),
)


def as_triplets(chi):
    """Tersoff's rules of mixing, written out."""
    one = {name: np.array(values) for name, values in ONES.items()}

    def both(name, mean):
        return mean(one[name][:, None], one[name][None, :])

    def geometric(a, b):
        return np.sqrt(a * b)

    def arithmetic(a, b):
        return 0.5 * (a + b)

    def of_centre(name, order):
        return np.broadcast_to(one[name].reshape((2,) + (1,) * (order - 1)), (2,) * order)

    ends = both("R", geometric), both("S", geometric)
    middle, half = 0.5 * (ends[1] + ends[0]), 0.5 * (ends[1] - ends[0])
    return TersoffTriplets(
        A=both("A", geometric), B=chi * both("B", geometric), lam=both("lam", arithmetic), mu=both("mu", arithmetic),
        **{name: of_centre(name, 2) for name in ("beta", "n")}, **{name: of_centre(name, 3) for name in ("c", "d", "h")},
        R=np.broadcast_to(middle[:, None, :], (2, 2, 2)), D=np.broadcast_to(half[:, None, :], (2, 2, 2)),
        species=("C", "Si"),
    )


def test_the_rules_of_1989_are_a_case_of_triplets():
    chi = np.array([[1.0, 0.9776], [0.9776, 1.0]])
    rules, triplets = Tersoff(**ONES, chi=chi, species=("C", "Si")), as_triplets(chi)
    assert triplets.cutoff == pytest.approx(rules.cutoff, rel=1e-15)
    rng = np.random.default_rng(3)
    energy = jax.jit(lambda potential, here: potential.site_energy(here))
    for center, others in itertools.product(("C", "Si"), (("C",), ("Si", "Si"), ("C", "Si", "C", "Si"), ("Si", "C", "Si"))):
        directions = rng.normal(size=(4, 3))
        lengths = np.where(np.arange(4) < len(others), rng.uniform(1.5, 2.9, 4), 9.0)  # the others are out of reach
        vectors = directions * (lengths / np.linalg.norm(directions, axis=1))[:, None]
        here = environment(vectors, (others * 4)[:4], center)
        assert energy(triplets, here) == pytest.approx(float(energy(rules, here)), rel=1e-11)


def test_without_a_factor_that_is_one():
    rng = np.random.default_rng(3)
    here = environment(rng.normal(0.0, 1.8, (4, 3)), ["Si"] * 4, "Si")
    zero, none = (SILICON.replace(lam3=lam3).site_energy(here) for lam3 in (jnp.zeros(()), None))
    assert zero != 0.0 and none == pytest.approx(float(zero), rel=1e-14)


@jax.jit
def stretched(potential, third, scale):
    """A long bond and a third atom, and three derivatives by the scale of both."""
    def energy(scale):
        x, y = jnp.stack([0.0 * third, 0.0 * third + 3.19]) * scale, jnp.stack([third, 0.0 * third]) * scale
        here = environment(np.zeros((2, 3)), ["Si"] * 2, "Si")
        return potential.site_energy(here.replace(x=x, y=y, z=0.0 * x, distances=jnp.sqrt(x * x + y * y)))

    slope = jax.grad(energy)
    curvature = jax.grad(slope)
    return energy(scale), slope(scale), curvature(scale), jax.grad(curvature)(scale)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [22.956, 0.7])
def test_powers_stay_finite(n, dtype):
    """The third atom weakens the bond by anything from 1e-50 to 1e+60."""
    potential = cast(SILICON.replace(n=n), dtype)
    for third in (3.2 - 1e-13, 3.2 - 1e-8, 3.199, 2.0, 0.3):
        assert np.isfinite(stretched(potential, dtype(third), dtype(1.0))).all(), third


def test_a_bond_that_is_crowded_out_attracts_as_the_root_of_the_crowd():
    """b falls as (beta zeta)^(-1/2), also where (beta zeta)^n is beyond all numbers."""
    both = environment([[3.1, 0.0, 0.0], [0.0, 0.35, 0.0]], ["Si"] * 2, "Si")
    free = SILICON.replace(B=0.0).site_energy(both)
    crowded = SILICON.site_energy(both) - free
    zeta = np.exp((1.3258 * 2.75) ** 3)  # the angle is right, h = 0: g = 1
    fade = 0.5 - 0.5 * np.sin(0.5 * np.pi * (3.1 - 3.0) / 0.2)
    long_one = -0.5 * fade * 95.373 * np.exp(-1.3258 * 3.1) / np.sqrt(0.33675 * zeta)
    short_one = -0.5 * 95.373 * np.exp(-1.3258 * 0.35)  # exp(-48) crowds nobody out
    assert crowded == pytest.approx(short_one + long_one, rel=1e-12)
    alone = environment([[3.1, 0.0, 0.0]], ["Si"], "Si")
    assert SILICON.site_energy(alone) - SILICON.replace(B=0.0).site_energy(alone) < -0.1


@pytest.mark.parametrize(
    "changes, says",
    [
        (dict(m=2), "m: expected 1 or 3"),
        (dict(D=3.0), "D must lie from 0 to below R"),
        (dict(d=0.0), "d must be positive"),
        (dict(n=0.0), "n must be positive"),
        (dict(beta=[1.0, 2.0]), "beta: expected a number, or an array of shape"),
    ],
)
def test_mistakes_are_refused(changes, says):
    with pytest.raises(DataError, match=says):
        SILICON.replace(**changes)


def test_smoothness_is_found():
    assert SILICON.smoothness == 1 and SILICON.replace(n=0.7).smoothness == 0 and SILICON.replace(D=0.0).smoothness == -1
