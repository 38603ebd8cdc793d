import jax
import numpy as np
import pytest
from environments import environment, pair_energy

from jaxpot.errors import DataError
from jaxpot.potentials.eam import EAM

DR, DRHO, N = 0.1, 0.5, 60


def tables(end=5.0):
    r = DR * np.arange(N)
    tail = np.clip(1.0 - r / end, 0.0, None) ** 3
    rho = DRHO * np.arange(40)
    pair = r * (np.exp(-2 * r) * 90 - np.exp(-r) * 4) * tail
    return -np.sqrt(rho) + 0.01 * rho**2, np.exp(-r) * tail * 20, pair


def simple(cutoff=5.5, end=5.0):
    embedding, density, pair = tables(end)
    return EAM(embedding[None], density[None], pair[None], DRHO, DR, cutoff, species=("Cu",))


def test_knots_give_the_tabulated_values():
    potential = simple()
    embedding, density, pair = tables()
    rho = 0.5 * 7  # make the density fall on a knot too
    scale = rho / density[25]
    scaled = potential.replace(density=potential.density * scale)
    found = pair_energy(scaled, 2.5)
    assert found == pytest.approx(embedding[7] + 0.5 * pair[25] / 2.5, rel=1e-12)


def test_beyond_the_last_density_the_embedding_is_a_straight_line():
    potential = simple()
    embedding, density, pair = tables()
    end, slope = embedding[-1], (embedding[-1] - embedding[-2]) / DRHO
    for factor in (5.0, 500.0):
        rho = factor * DRHO * 39
        dense = potential.replace(density=potential.density * (rho / density[25]))
        expected = end + slope * (rho - DRHO * 39) + 0.5 * pair[25] / 2.5
        assert pair_energy(dense, 2.5) == pytest.approx(expected, rel=1e-12)


def test_the_line_may_begin_later():
    potential = simple().replace(line_from=DRHO * 40)
    embedding, density, pair = tables()
    end, slope = embedding[-1], (embedding[-1] - embedding[-2]) / DRHO
    for rho, expected in ((DRHO * 39.5, end), (DRHO * 40, end), (DRHO * 42, end + 2 * DRHO * slope)):
        dense = potential.replace(density=potential.density * (rho / density[25]))
        assert pair_energy(dense, 2.5) == pytest.approx(expected + 0.5 * pair[25] / 2.5, rel=1e-12)


def test_only_pairs_within_the_cutoff_count():
    potential = simple(cutoff=3.0)
    assert pair_energy(potential, 3.0) == 0.0
    assert pair_energy(potential, 3.0 - 1e-9) != 0.0


def test_smoothness_is_found_from_the_tables():
    assert simple().smoothness == 1
    assert simple(cutoff=3.0).smoothness == -1  # cut off in the middle
    assert simple(cutoff=5.5, end=1e9).smoothness == -1  # the tables never reach zero
    embedding, density, pair = tables()
    last = np.arange(N) == N - 2
    steep = simple(cutoff=DR * (N - 1)).replace(pair=(pair + 0.1 * last)[None])
    assert steep.smoothness == 0


def test_every_table_has_gradients():
    potential = simple()
    potential = potential.replace(density=10.0 * potential.density)
    neighbours = environment([[2.43, 0.1, 0.2], [0.3, 2.71, -0.2], [0.1, 0.2, 3.3]], ["Cu"] * 3, "Cu")

    def energy(p):
        return p.site_energy(neighbours)

    gradient = jax.grad(energy)(potential)
    rng = np.random.default_rng(5)
    for name in ("embedding", "density", "pair"):
        direction = rng.normal(size=getattr(potential, name).shape)
        step = 1e-5
        up = potential.replace(**{name: getattr(potential, name) + step * direction})
        down = potential.replace(**{name: getattr(potential, name) - step * direction})
        slope = float(energy(up) - energy(down)) / (2 * step)
        assert np.sum(getattr(gradient, name) * direction) == pytest.approx(slope, rel=1e-6)
        assert np.count_nonzero(getattr(gradient, name)) >= 4


def test_pairs_and_densities_of_an_alloy_are_told_apart():
    """Tables that are constant multiples of one another, so that each contribution can be recognised."""
    embedding, density, pair = tables()
    factors = {"00": 1.0, "10": 10.0, "11": 100.0, "20": 1000.0, "21": 1e4, "22": 1e5}
    potential = EAM(
        np.array([embedding, 2 * embedding, 3 * embedding]),
        np.array([density, 3 * density, 5 * density]),
        np.array([f * pair for f in factors.values()]),
        DRHO, DR, 5.5, species=("Cu", "Ni", "Al"),
    )
    names = ["Cu", "Ni", "Al"]
    single = simple()
    phi = single.replace(density=0.0 * single.density)
    for i, center in enumerate(names):
        for j, other in enumerate(names):
            expected_pair = factors[f"{max(i, j)}{min(i, j)}"] * pair_energy(phi, 2.57)
            scaled = single.replace(density=(2 * j + 1.0) * single.density, pair=0.0 * single.pair)
            expected = expected_pair + (i + 1.0) * pair_energy(scaled, 2.57)
            assert pair_energy(potential, 2.57, center, other) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(
    "changes, says",
    [
        (dict(species=None), "name the elements"),
        (dict(species=("Cu", "Ni")), "expected 2 tables"),
        (dict(dr=0.0), "dr: expected a positive"),
        (dict(line_from=19.0), "line_from: expected a density from 19.5 on"),
        (dict(pair=np.zeros((1, 50))), "same grid"),
        (dict(density=np.zeros((1, 4))), "at least 5 points"),
        (dict(embedding=np.full((1, 40), np.nan)), "not finite"),
    ],
)
def test_mistakes_are_refused(changes, says):
    with pytest.raises(DataError, match=says):
        simple().replace(**changes)
