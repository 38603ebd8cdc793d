import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from environments import environment, pair_energy

import jaxpot as jp
from jaxpot.checks import checked_neighbors
from jaxpot.core.elements import atomic_number
from jaxpot.errors import DataError
from jaxpot.formats.lammps_sw import read_sw
from jaxpot.potentials.stillinger_weber import StillingerWeber

FILES = Path(__file__).parents[1] / "formats" / "files"


def textbook(potential, vectors, others, center):
    """Site energy by the definition: an explicit sum over triplets."""
    index = {z: k for k, z in enumerate(potential.species)}
    i = index[atomic_number(center)]
    get = {
        name: np.broadcast_to(np.asarray(getattr(potential, name)), (len(index),) * order)
        for names, order in ((("sigma", "a", "gamma", "A", "B"), 2), (("epsilon", "lam", "cos_theta0"), 3))
        for name in names
    }
    tol = np.broadcast_to(potential.tol, (len(index),) * 2)
    near = []
    energy = 0.0
    for vector, other in zip(vectors, others, strict=True):
        j = index[atomic_number(other)]
        r, sigma, a, gamma = np.linalg.norm(vector), get["sigma"][i, j], get["a"][i, j], get["gamma"][i, j]
        end = a * sigma
        if tol[i, j] > 0:
            end += min(1.0, gamma) * sigma / np.log(min(tol[i, j], 0.01))
        if r >= end:
            continue
        decay = np.exp(sigma / (r - a * sigma))
        well = get["B"][i, j] * (sigma / r) ** 4 - 1
        energy += 0.5 * get["A"][i, j] * get["epsilon"][i, j, j] * well * decay
        near.append((j, vector / r, decay**gamma))
    for (j, u, g), (k, v, h) in itertools.combinations(near, 2):
        strength = get["lam"][i, j, k] * get["epsilon"][i, j, k]
        energy += strength * g * h * (u @ v - get["cos_theta0"][i, j, k]) ** 2
    return energy


@pytest.mark.parametrize("name", ["Si", "made-up"])
def test_moments_are_the_sum_over_triplets(name):
    rng = np.random.default_rng(3)
    potential = StillingerWeber.silicon() if name == "Si" else read_sw(FILES / "two_kinds.sw")
    kinds = ["Si"] if name == "Si" else ["Si", "Ge"]
    for center in kinds:
        directions = rng.normal(size=(12, 3))
        vectors = directions / np.linalg.norm(directions, axis=1)[:, None] * rng.uniform(1.9, 4.2, (12, 1))
        others = list(rng.choice(kinds, 12))
        found = float(potential.site_energy(environment(vectors, others, center)))
        assert found == pytest.approx(textbook(potential, vectors, others, center), rel=1e-12)


def test_silicon_is_the_published_model():
    """Diamond: 2 epsilon per atom at the lattice constant where the pair term has its minimum."""
    potential = StillingerWeber.silicon()
    assert potential.cutoff == pytest.approx(3.77118, rel=1e-12)
    assert potential.smoothness == 99
    r = 5.430951 * np.sqrt(3) / 4
    tetrahedron = r / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
    energy = potential.site_energy(environment(tetrahedron, ["Si"] * 4, "Si"))
    assert energy == pytest.approx(-2 * 2.1683, rel=1e-6)


def test_a_perfect_tetrahedron_has_no_three_body_energy():
    tetrahedron = 2.35 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
    potential = StillingerWeber.silicon()
    alone = 4 * float(pair_energy(potential, 2.35, "Si", "Si"))
    found = potential.site_energy(environment(tetrahedron, ["Si"] * 4, "Si"))
    assert found == pytest.approx(alone, rel=1e-11)  # the file rounds -1/3 to twelve digits


def test_one_species_gives_the_same_with_any_shape_of_its_parameters():
    names = ("epsilon", "sigma", "a", "lam", "gamma", "cos_theta0", "A", "B")
    silicon = StillingerWeber.silicon()
    triplets = ("epsilon", "lam", "cos_theta0")
    full = silicon.replace(**{
        n: jnp.full((1,) * (3 if n in triplets else 2), getattr(silicon, n)) for n in names
    })
    double = silicon.replace(species=("Si", "Ge"))
    vectors = np.array([[2.3, 0.1, 0.0], [0.2, 2.4, 0.3], [-1.5, -1.4, 1.2]])
    results = [float(p.site_energy(environment(vectors, ["Si"] * 3, "Si"))) for p in (silicon, full, double)]
    assert np.ptp(results) < 1e-13


def test_the_range_follows_its_parameters():
    silicon = StillingerWeber.silicon()
    assert silicon.replace(sigma=2.2).cutoff == pytest.approx(2.2 * 1.8)
    assert jax.grad(lambda s: silicon.replace(sigma=s).extent())(2.0951) == pytest.approx(1.8)
    # Under jit the value is unknown: the static cutoff stays.
    assert jax.jit(lambda s: silicon.replace(sigma=s))(2.2).cutoff == silicon.cutoff


def test_exponents_that_are_not_whole():
    silicon = StillingerWeber.silicon()
    assert (silicon.p, silicon.q) == (4, 0) and isinstance(silicon.p, int)
    odd = silicon.replace(p=4.5, q=0.5)
    s = 2.0951 / 2.4
    expected = 7.049556277 * 2.1683 * (0.6022245584 * s**4.5 - s**0.5) * np.exp(2.0951 / (2.4 - 1.8 * 2.0951))
    assert 2 * pair_energy(odd, 2.4, "Si", "Si") == pytest.approx(expected, rel=1e-13)


def test_tol_ends_pairs_early_and_says_so():
    silicon = StillingerWeber.silicon()
    loose = silicon.replace(tol=0.001)
    assert loose.smoothness == -1
    assert loose.cutoff == pytest.approx(1.8 * 2.0951 + 2.0951 / np.log(0.001))
    assert pair_energy(loose, loose.cutoff - 1e-6, "Si", "Si") != 0.0
    assert pair_energy(loose, loose.cutoff, "Si", "Si") == 0.0


def test_species_that_do_not_interact_are_harmless():
    full = read_sw(FILES / "two_kinds.sw")
    sigma = np.array(full.sigma)
    sigma[0, 1] = sigma[1, 0] = 0.0
    mixed = full.replace(sigma=sigma)
    vectors = [[2.3, 0.1, 0.0], [0.2, 2.4, 0.3]]
    both = environment(vectors, ["Si", "Ge"], "Si")
    value, gradient = jax.value_and_grad(lambda p: p.site_energy(both))(mixed)
    only = mixed.site_energy(environment(vectors[:1], ["Si"], "Si"))
    assert value == pytest.approx(float(only), rel=1e-14)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("nothing", [0.0, -0.0])
def test_pairs_without_sigma_do_not_interact(nothing):
    """QUIP's files have a slightly negative q, and 0 to that power is infinite."""
    silicon = StillingerWeber.silicon().replace(q=-0.05)
    sigma = [[float(silicon.sigma), nothing], [nothing, nothing]]
    mixed = StillingerWeber(sigma=sigma, **{
        name: getattr(silicon, name) for name in ("epsilon", "a", "lam", "gamma", "cos_theta0", "A", "B", "p", "q")
    }, species=("Si", "Ge"))
    positions = np.array([[0.0, 0, 0], [2.3, 0.1, 0], [0.2, 2.4, 0.1], [2.1, 2.2, 2.0]])
    found = jp.evaluate(mixed, jp.Structure(positions, np.zeros((3, 3)), ["Si", "Si", "Ge", "Ge"], pbc=False))
    alone = jp.evaluate(silicon, jp.Structure(positions[:2], np.zeros((3, 3)), ["Si", "Si"], pbc=False))
    assert float(found.energy) == pytest.approx(float(alone.energy), rel=1e-13)
    np.testing.assert_allclose(found.forces, np.concatenate([alone.forces, np.zeros((2, 3))]), atol=1e-12)


@pytest.mark.parametrize(
    "changes, says",
    [
        (dict(sigma=0.0), "a * sigma must be positive"),
        (dict(sigma=[[2.1, 2.1], [2.1, -2.0]], species=("Si", "Ge")), "sigma must not be negative (A), got -2"),
        (dict(tol=-1.0), "tol must not be negative"),
        (dict(epsilon=[1.0, 2.0]), "shape (1, 1, 1)"),
        (dict(sigma=[[2.0, 2.1], [2.2, 2.0]], species=("Si", "Ge")), "sigma: Si-Ge is 2.1 but Ge-Si is 2.2"),
        (dict(lam=np.arange(8.0).reshape(2, 2, 2), species=("Si", "Ge")), "lam * epsilon: Si-Si-Ge"),
    ],
)
def test_mistakes_are_refused(changes, says):
    with pytest.raises(DataError) as caught:
        StillingerWeber.silicon().replace(**changes)
    assert says in str(caught.value)


def test_lists_of_longer_ranges_share_programs():
    """A list reaches as far as changed parameters, in steps: what is compiled for one serves the next."""
    silicon = StillingerWeber.silicon()
    crystal = jp.Structure.of(bulk("Si"))

    def longer(factor):  # as in a fit: parameters change, the static cutoff stays
        leaves, form = jax.tree.flatten(silicon)
        return jax.tree.unflatten(form, [factor * a if a is silicon.sigma else a for a in leaves])

    reaches = [checked_neighbors(longer(f), crystal).cutoff for f in (0.9, 1.0, 1.001, 1.01, 1.049, 1.06, 1.09)]
    assert reaches[0] == reaches[1] == silicon.cutoff
    assert len(set(reaches[2:5])) == 1 and len(set(reaches[5:])) == 1
    whole = jp.neighbors(crystal, 6.0)
    for factor, reach in zip((0.9, 1.0, 1.001, 1.01, 1.049, 1.06, 1.09), reaches, strict=True):
        assert reach >= float(longer(factor).extent())
        np.testing.assert_allclose(
            jp.energy(longer(factor), crystal), jp.energy(longer(factor), crystal, whole), rtol=1e-12
        )
