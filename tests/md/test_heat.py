"""The heat flux is the rate of the moment of the energy, and its correlations give conductivities that are known."""

from pathlib import Path

import ase.units
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.core.pytree import pytree
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.md import heat, host
from jaxpot.potentials import LennardJones, Potential
from jaxpot.potentials.base import Sum
from jaxpot.units import fs, kB

GAP = Path(__file__).parents[1] / "formats" / "files" / "gap" / "two.xml"
ARGON = LennardJones(0.0103, 3.405, 6.0, shift="energy")


def some_terms(gap):
    """One of pairs, one of triangles and the two of SOAP: quicker to compile than eleven."""
    found = {type(term.descriptor).__name__ + str(term.centers): term for term in gap.terms[1:]}
    assert {name[:4] for name in found} == {"Pair", "Trip", "SOAP"} and len(found) > 3
    return Sum.of(*found.values())


MODELS = {
    "pairs": lambda: LennardJones(0.2, 2.0, 5.0, shift="force"),
    "Stillinger-Weber": lambda: jp.load("sw-silicon"),
    "GAP of two elements": lambda: some_terms(jp.load(GAP)),
}


def cluster(name):
    """A potential, a hot open cluster of 16 atoms (that need no padding: fewer programs) and velocities."""
    potential, rng = MODELS[name](), np.random.default_rng(3)
    atoms = bulk("Si", cubic=True) * (2, 1, 1)
    atoms.pbc = False
    atoms.positions += rng.normal(scale=0.15, size=atoms.positions.shape)
    if potential.species == (6, 14):
        atoms.symbols[::3] = "C"
        atoms.positions *= 0.85
    structure = jp.Structure.of(atoms)
    return potential, structure, jnp.asarray(rng.normal(scale=0.02, size=(len(atoms), 3)))


def moment(potential, structure, velocities, neighbors=None):
    """sum_i r_i E_i."""
    kinetic = 0.5 * structure.masses * jnp.sum(velocities**2, axis=1)
    return (jp.site_energies(potential, structure, neighbors) + kinetic) @ structure.positions


@pytest.mark.parametrize("name", list(MODELS)[:2])
def test_the_flux_is_the_derivative_of_the_moment_by_newtons_equations(name):
    potential, structure, velocities = cluster(name)
    listed = jp.neighbors(structure, potential.cutoff)

    def of(positions, velocities):
        return moment(potential, structure.moved(positions), velocities, listed)

    accelerations = jp.forces(potential, structure, listed) / structure.masses[:, None]
    _, expected = jax.jvp(of, (structure.positions, velocities), (velocities, accelerations))
    convective, potential_part = jp.heat_flux(potential, structure, velocities)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(convective + potential_part, expected, atol=1e-11 * scale)
    assert min(np.abs(convective).max(), np.abs(potential_part).max()) > 0.05 * scale  # neither would do alone


@pytest.mark.thorough
@pytest.mark.parametrize("name", MODELS)
def test_the_flux_is_how_the_moment_changes_along_a_trajectory(name):
    """Steps to and fro, of two lengths: the error of both is quadratic and cancels."""
    potential, structure, velocities = cluster(name)

    def moment_after(step, direction):
        dynamics = jp.md.NVE(potential, step)
        found = dynamics.step(dynamics.init(structure, velocities=direction * velocities))
        return np.asarray(moment(potential, found.structure, found.velocities))

    slopes = [(moment_after(step, 1.0) - moment_after(step, -1.0)) / (2.0 * step) for step in (0.05 * fs, 0.025 * fs)]
    expected = (4.0 * slopes[1] - slopes[0]) / 3.0
    found = sum(jp.heat_flux(potential, structure, velocities))
    np.testing.assert_allclose(found, expected, atol=1e-7 * np.abs(expected).max())


@pytest.fixture(scope="module")
def silicon():
    return jp.load("sw-silicon")


def test_in_a_crystal_energy_comes_from_the_nearest_image(silicon):
    """One atom moves: what it does to the energy of each site, times the way there."""
    atoms = bulk("Si", cubic=True) * 2  # larger than twice the cutoff
    atoms.rattle(0.1, seed=1)
    atoms.positions += [3.0, -40.0, 0.0]  # nothing depends on where atoms are, or on which image is given
    atoms.wrap()
    structure, listed = jp.Structure.of(atoms), jp.neighbors(atoms, silicon.cutoff)
    own = 5
    velocities = np.zeros((len(atoms), 3))
    velocities[own] = [0.01, -0.02, 0.03]
    _, changes = jax.jvp(
        lambda x: jp.site_energies(silicon, structure.moved(x), listed), (structure.positions,), (jnp.asarray(velocities),)
    )
    ways = atoms.get_distances(own, range(len(atoms)), mic=True, vector=True)
    _, found = jp.heat_flux(silicon, structure, velocities)
    np.testing.assert_allclose(found, np.asarray(changes) @ ways, atol=1e-14)


def test_cells_smaller_than_the_cutoff_have_their_share_of_a_large_one(silicon):
    atoms, velocities = bulk("Si"), np.array([[0.01, 0.0, -0.02], [0.005, 0.01, 0.03]])
    atoms.rattle(0.1, seed=2)
    small = np.array(jp.heat_flux(silicon, atoms, velocities))
    large = np.array(jp.heat_flux(silicon, atoms * (3, 2, 2), np.tile(velocities, (12, 1))))
    np.testing.assert_allclose(large, 12 * small, atol=1e-12)


def test_a_pure_function(silicon):
    """Under jit and vmap the same; NaN, in both parts, with a list that does not hold all pairs."""
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=1)
    structure, listed = jp.Structure.of(atoms), jp.neighbors(atoms, silicon.cutoff)
    velocities = np.random.default_rng(0).normal(size=(3, 8, 3))
    many = jax.jit(jax.vmap(lambda v: jp.heat_flux(silicon, structure, v, listed)))(velocities)
    for k in range(3):
        for one, other in zip(many, jp.heat_flux(silicon, structure, velocities[k]), strict=True):
            np.testing.assert_allclose(one[k], other, rtol=1e-12)
    moved = structure.moved(structure.positions.at[0].add(1.0))
    assert np.isnan(np.array(jax.jit(jp.heat_flux)(silicon, moved, velocities[0], listed))).all()


@pytree
class Whole(Potential):
    """Not a sum over sites."""

    cutoff = 3.0
    local = False


def test_fluxes_that_are_refused(silicon):
    atoms = bulk("Si", cubic=True)
    with pytest.raises(DataError, match="local"):
        jp.heat_flux(Whole(), atoms, np.zeros((8, 3)))
    with pytest.raises(DataError, match=r"velocities: expected shape \(8, 3\)"):
        jp.heat_flux(silicon, atoms, np.zeros((3, 8)))
    with pytest.raises(DataError, match="velocities"):
        jp.heat_flux(silicon, atoms, np.full((8, 3), np.nan))
    with pytest.raises(DataError, match="potential"):
        jp.heat_flux(atoms, silicon, np.zeros((8, 3)))


# The observer.


def argon():
    atoms = bulk("Ar", a=5.4, cubic=True) * 2
    atoms.rattle(0.05, seed=1)
    return atoms


class Stop(Exception):
    pass


class States(jp.md.Observer):
    """Keeps states, and raises once."""

    def __init__(self, every, stop=None):
        super().__init__(every)
        self.stop, self.states = stop, []

    def look(self, dynamics, state):
        self.states.append(state)
        if int(state.step) == self.stop:
            self.stop = None
            raise Stop


def test_an_interrupted_run_has_the_same_fluxes(tmp_path, monkeypatch):
    """To the last bit, with lists that are made anew on the way; and they are those of the states."""
    monkeypatch.setattr(heat, "_SKIN", 1.0)
    dynamics = jp.md.NVE(ARGON, 5.0 * fs)
    whole, states = jp.md.HeatFlux(10), States(10)
    jp.md.run(dynamics, argon(), 200, [whole, states], temperature=200.0, key=2)
    stopped, stopping = jp.md.HeatFlux(10), States(10, stop=120)
    monkeypatch.setattr(host, "_EVERY", 0.0)
    with pytest.raises(Stop):
        jp.md.run(
            dynamics, argon(), 200, [stopped, stopping], temperature=200.0, key=2, checkpoint=tmp_path / "run"
        )
    stopped = jp.md.HeatFlux(10)
    jp.md.run(dynamics, argon(), 200, [stopped, stopping], temperature=200.0, key=2, checkpoint=tmp_path / "run")
    np.testing.assert_array_equal(stopped.rows, whole.rows)
    assert stopped.interval == whole.interval == pytest.approx(50.0 * fs)
    first = jp.neighbors(states.states[0].structure, ARGON.cutoff, skin=1.0)
    assert not bool(first.covers(states.states[-1].structure, ARGON.cutoff))
    for at in (0, 7, 20):
        state, table = states.states[at], whole.table
        expected = jp.heat_flux(ARGON, state.structure, state.velocities)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(table["convective"][at], expected[0], atol=1e-12 * scale)
        np.testing.assert_allclose(table["potential"][at], expected[1], atol=1e-12 * scale)
        assert table["temperature"][at] == pytest.approx(float(state.temperature))
        assert table["volume"][at] == pytest.approx(float(state.structure.volume))


def observer(flux, interval=2.0, temperature=100.0, volume=5000.0):
    """One that has seen a flux (looks, 3), a third of it carried."""
    found, looks = jp.md.HeatFlux(10), len(flux)
    found.interval = interval
    found.rows = list(np.hstack([flux / 3, 2 * flux / 3, np.full((looks, 1), temperature), np.full((looks, 1), volume)]))
    return found


def remembering(rng, looks, time, square, frequency=0.0):
    """A flux (looks, 3) whose components have the correlation square exp(-t / time) cos(frequency t)."""
    kept = np.exp(-1.0 / time + 1j * frequency)
    found = np.empty((looks, 3), complex)
    now = rng.normal(size=3) + 1j * rng.normal(size=3)
    noise = np.sqrt(1.0 - abs(kept) ** 2) * (rng.normal(size=(looks, 3)) + 1j * rng.normal(size=(looks, 3)))
    for k in range(looks):
        found[k] = now
        now = kept * now + noise[k]
    return np.sqrt(square) * found.real


def integral(time, square, frequency=0.0):
    """Of such a correlation, by trapezoids, over all times."""
    return square * ((1.0 / (1.0 - np.exp(-1.0 / time + 1j * frequency))).real - 0.5)


def test_the_conductivity_is_the_sum_that_the_formula_says():
    rng = np.random.default_rng(1)
    flux = rng.normal(size=(150, 3)) + [0.5, 0.0, -1.0]
    found = observer(flux).conductivity(blocks=5, longest=2.0 * 7)
    rest = flux - flux.mean(0)
    products = np.array([rest[: 150 - lag].T @ rest[lag:] / (150 - lag) for lag in range(8)])
    integrals = 2.0 * (products.sum(0) - 0.5 * (products[0] + products[7]))
    tensor = integrals / (5000.0 * kB * 100.0**2) / (1.0 - 14 / 150)
    np.testing.assert_allclose(found.tensor, 0.5 * (tensor + tensor.T), rtol=1e-10)
    assert found.kappa == pytest.approx(np.trace(tensor) / 3, rel=1e-10)
    assert found.kappa == found.running[7] and found.error == found.running_error[7]
    assert found.longest == found.times[7] == 14.0 and found.times[-1] == 30.0
    np.testing.assert_allclose(found.correlation[:8], np.trace(products, axis1=1, axis2=2), rtol=1e-10)


def test_short_runs_are_right_on_average_and_errors_are_theirs():
    """The mean of the run is subtracted from it; a tenth of the integral would be missing."""
    rng = np.random.default_rng(5)
    exact = 2.0 * integral(10.0, 3.0) / (5000.0 * kB * 100.0**2)
    found = [observer(remembering(rng, 1600, 10.0, 3.0)).conductivity(longest=2.0 * 80) for _ in range(120)]
    kappa, error = np.array([(f.kappa, f.error) for f in found]).T / exact
    scatter = kappa.std(ddof=1)
    assert abs(kappa.mean() - 1.0) < 3.0 * scatter / np.sqrt(len(kappa))
    assert scatter / np.sqrt(len(kappa)) < 0.03
    assert np.sqrt(np.mean(error**2)) == pytest.approx(scatter, rel=0.25)


@pytest.mark.parametrize("kind", ["one decay", "two", "two, the first oscillating"])
def test_the_integral_ends_where_noise_begins(kind):
    parts = {
        "one decay": [(10.0, 3.0)],
        "two": [(5.0, 1.0), (60.0, 0.1)],
        "two, the first oscillating": [(40.0, 5.0, 1.0), (60.0, 0.1)],
    }[kind]
    exact, slowest = 2.0 * sum(integral(*part) for part in parts) / (5000.0 * kB * 100.0**2), 2.0 * parts[-1][0]
    rng = np.random.default_rng(7)
    flux = sum(remembering(rng, 40_000, *part) for part in parts)
    found = observer(flux).conductivity()
    assert abs(found.kappa - exact) < 3.0 * found.error
    assert found.error < 0.2 * exact
    assert 2.0 * slowest < found.longest < 20.0 * slowest


def test_the_unit_is_watts_per_metre_and_kelvin():
    expected = ase.units.J / ase.units.second / ase.units.m
    assert jp.units.W_per_m_K == pytest.approx(expected, rel=1e-6)


def test_conductivities_that_are_refused(silicon):
    crystal = bulk("Si", cubic=True)
    open_cluster = crystal.copy()
    open_cluster.pbc = False
    with pytest.raises(DataError, match="volume"):
        jp.md.run(jp.md.NVE(silicon, 1.0 * fs), open_cluster, 3, [jp.md.HeatFlux(1)], temperature=10.0)
    barostat = jp.md.CellRescaling(silicon, 1.0 * fs, 500.0, 0.0, 50 * fs, 200 * fs, 1.0)
    with pytest.raises(DataError, match="constant cell"):
        jp.md.run(barostat, crystal, 3, [jp.md.HeatFlux(1)])
    few = observer(np.random.default_rng(0).normal(size=(99, 3)))
    with pytest.raises(DataError, match="99 looks are too few"):
        few.conductivity()
    for longest in (100.0, 0.1):
        with pytest.raises(DataError, match="longest: expected a time from 2 .* to 24"):
            few.conductivity(blocks=4, longest=longest)
    with pytest.raises(DataError, match="positive"):
        few.conductivity(blocks=4, longest=-1.0)
    periodic = np.cos(0.9 * np.arange(1000))[:, None] * [1.0, 2.0, 3.0]
    with pytest.raises(ConvergenceError, match="half a block"):
        observer(periodic).conductivity()
