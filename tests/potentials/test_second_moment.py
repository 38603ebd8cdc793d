import jax
import jax.numpy as jnp
import numpy as np
import pytest
from environments import environment, pair_energy

from jaxpot.errors import DataError
from jaxpot.potentials.second_moment import SecondMoment


def fcc_energy(potential, a):
    """Energy per atom of an fcc crystal with lattice constant a."""
    n = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    n = n[(n.sum(1) % 2 == 0) & n.any(1)]
    return potential.site_energy(environment(0.5 * a * n, ["Cu"] * len(n), "Cu"))


def test_copper_is_the_published_model():
    """Cleri and Rosato fitted a0 = 3.615 A, the cohesive energy 3.544 eV and the elastic constants."""
    copper = SecondMoment.copper()
    slope, curvature = (jax.grad(fcc_energy, 1), jax.grad(jax.grad(fcc_energy, 1), 1))
    a = 3.615
    for _ in range(4):
        a -= slope(copper, a) / curvature(copper, a)
    assert a == pytest.approx(3.615, abs=0.004)
    assert fcc_energy(copper, a) == pytest.approx(-3.544, abs=0.01)
    bulk_modulus = curvature(copper, a) * 4 / (9 * a) * 160.2177
    assert bulk_modulus == pytest.approx(142.0, rel=0.03)


def test_the_band_energy_is_not_a_sum_of_pairs():
    copper = SecondMoment.copper()
    two = copper.site_energy(environment([[2.5, 0, 0], [0, 2.5, 0]], ["Cu", "Cu"], "Cu"))
    one = pair_energy(copper, 2.5)
    assert two != pytest.approx(2 * float(one), rel=0.1)


def test_an_atom_without_neighbours_has_no_energy_and_no_nan():
    copper = SecondMoment.copper()
    lonely = environment([[9.0, 0, 0], [0, 9.1, 0]], ["Cu", "Cu"], "Cu")
    assert copper.site_energy(lonely) == 0.0
    gradient = jax.grad(lambda p: p.site_energy(lonely))(copper)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_even_the_last_neighbour_leaves_smoothly():
    copper = SecondMoment.copper()
    function = lambda r: pair_energy(copper, r)  # noqa: E731
    for _ in range(4):
        at = [float(function(copper.cutoff - d)) for d in (1e-3, 1e-6, 1e-9)]
        assert abs(at[2]) < 1e-5 and np.isfinite(at).all()
        function = jax.grad(function)


def test_two_equal_species_are_one():
    copper = SecondMoment.copper()
    double = copper.replace(species=("Cu", "Ag"), xi=jnp.full((2, 2), 1.224), A=jnp.full((2, 2), 0.0855))
    vectors = [[2.5, 0.1, 0], [0.3, 2.6, 0], [0, 0, 3.1]]
    mixed = double.site_energy(environment(vectors, ["Cu", "Ag", "Cu"], "Ag"))
    pure = copper.site_energy(environment(vectors, ["Cu"] * 3, "Cu"))
    assert mixed == pytest.approx(float(pure), rel=1e-14)


@pytest.mark.parametrize(
    "changes, says",
    [
        (dict(r0=0.0), "r0 must be positive"),
        (dict(onset=7.0), "below the cutoff"),
        (dict(xi=[[1.0, 2.0], [1.0, 1.0]], species=("Cu", "Ag")), "xi: Cu-Ag is 2"),
    ],
)
def test_mistakes_are_refused(changes, says):
    with pytest.raises(DataError, match=says):
        SecondMoment.copper().replace(**changes)
