"""Models of several hops, and sums with them: every property by two routes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import TwoHops, close_packed, diamond, fcc, hopping, ions, molecule, salt
from tiers import thorough_but

import jaxpot as jp
from jaxpot.checks import checked_neighbors
from jaxpot.core.precision import is_traced
from jaxpot.errors import DataError, JaxpotWarning
from jaxpot.observables.evaluation import evaluate_by_strain
from jaxpot.potentials import MessagePassing, Potential, StillingerWeber
from jaxpot.properties import lattice_waves, layer_derivatives
from jaxpot.properties.second_order import SecondOrder

REPEATS = (5, 5, 4)
WAVES = np.array([[0, 0, 0], [1, 0, 0], [2, 1, -2], [1, 2, 3]]) / np.array(REPEATS)
GENERIC = np.array([[0.0, 0.0, 0.0], [0.1, 0.3, 0.2], [0.5, 0.0, 0.5]])


@pytest.fixture(scope="module")
def crystal():
    """Two hops, in a hexagonal crystal at rest."""
    potential = hopping()
    return potential, jp.relax(potential, close_packed(), cell=True).structure


@jp.pytree
class AsAnyOther(Potential):
    """A potential of several hops whose hops nobody knows of: computed by positions and strain."""

    hops: MessagePassing

    local = False
    cutoff = property(lambda self: self.hops.cutoff)
    reach = property(lambda self: self.hops.reach)
    smoothness = property(lambda self: self.hops.smoothness)

    def site_energies(self, graph):
        return self.hops.site_energies(graph)


@pytest.mark.parametrize("hops", thorough_but([0, 2], [0, 1, 2, 3]))
def test_lattice_waves_equal_the_hessian_of_a_supercell(hops):
    rng = np.random.default_rng(hops)
    structure = close_packed()
    structure = structure.moved(
        np.asarray(structure.positions) + 0.05 * rng.normal(size=(2, 3)),
        np.asarray(structure.cell) + 0.05 * rng.normal(size=(3, 3)),
    )
    potential = hopping(hops)
    waves = jp.second_order(potential, structure).dynamical_matrix(WAVES)
    supercell = jp.second_order(potential, structure, supercell=REPEATS).dynamical_matrix(WAVES)
    assert np.abs(waves - supercell).max() < 1e-13 * np.abs(waves).max()


def test_edges_and_positions_give_the_same_derivatives():
    for structure in (diamond(4.4, ["Si", "C"]), molecule(["Si", "C", "C", "Si"], 2.0)):
        hops = hopping()
        by_edges, by_positions = (evaluate_by_strain(m, structure) for m in (hops, AsAnyOther(hops)))
        for name in ("energy", "energies", "forces", "stress"):
            a, b = getattr(by_edges, name), getattr(by_positions, name)
            assert np.abs(a - b).max() < 1e-12 * max(np.abs(b).max(), 1.0), name
        virials = jp.virials(hops, structure)
        assert np.abs(virials.sum(0) + by_positions.stress).max() < 1e-12


def test_a_sum_is_the_sum_of_its_addends():
    structure = salt(4.6)
    terms = [0.5 * hopping(), *ions().terms, StillingerWeber.silicon().replace(species=None)]
    whole = jp.evaluate(sum(terms[1:], terms[0]), structure)
    apart = [jp.evaluate(term, structure) for term in terms]
    for name in ("energy", "energies", "forces", "stress"):
        parts = np.sum([getattr(part, name) for part in apart], axis=0)
        assert np.allclose(getattr(whole, name), parts, rtol=0, atol=1e-12), name


@jp.pytree
class NarrowHops(TwoHops):
    """The same in chunks of a few atoms."""

    chunk_elements = 256


def test_chunks_change_nothing():
    structure = diamond(4.4, ["Si", "C"]).repeated((4, 4, 4))
    structure = structure.moved(structure.positions + 0.1 * np.random.default_rng(0).normal(size=(128, 3)))
    potential = hopping()
    narrow = NarrowHops(potential.weights, potential.mixing, potential.depth)
    results = [jax.tree.leaves(jp.evaluate(model, structure)) for model in (narrow, potential)]
    for a, b in zip(*results, strict=True):
        assert np.allclose(a, b, rtol=0, atol=1e-12)
    assert jp.energy(narrow, structure) == pytest.approx(float(jp.energy(potential, structure)), abs=1e-11)


def test_the_heat_flux_is_the_rate_of_the_first_moment_of_the_energy():
    """In a molecule, where positions have a meaning: J = d/dt sum_i r_i E_i, along the velocities and the forces."""
    rng = np.random.default_rng(1)
    structure = molecule(["Si", "C", "C", "Si"], 2.0)
    potential = hopping(3) + 0.1 * StillingerWeber.silicon().replace(species=None)
    x, v, listed = structure.positions, rng.normal(size=(4, 3)), jp.neighbors(structure, potential.cutoff, 0.5)
    site, rate = jax.jvp(lambda x: jp.site_energies(potential, structure.moved(x), listed), (x,), (jnp.asarray(v),))
    power = rate + (v * jp.forces(potential, structure)).sum(1)
    total = site + 0.5 * structure.masses * (v**2).sum(1)
    expected = (total[:, None] * v + x * power[:, None]).sum(0)
    convective, passed_on = jp.heat_flux(potential, structure, v, listed)
    assert np.abs(convective + passed_on - expected).max() < 1e-11 * np.abs(expected).max()


def test_the_heat_flux_of_a_crystal_is_that_of_a_copy_without_periods():
    """An atom in the middle of a cluster beyond the reach of its surface has the flux that it has in the crystal."""
    potential, structure = hopping(1), close_packed()
    rng = np.random.default_rng(2)
    x = structure.positions + 0.1 * rng.normal(size=(2, 3))
    v = rng.normal(size=(2, 3))
    structure = structure.moved(x)
    images = np.stack(np.meshgrid(*[np.arange(-7, 8)] * 3, indexing="ij"), -1).reshape(-1, 3)
    shifts = images @ np.asarray(structure.cell)
    positions = (shifts[:, None] + np.asarray(x)).reshape(-1, 3)
    inside = np.linalg.norm(positions, axis=1) < 2.0 * potential.reach + 4.0
    home = np.flatnonzero((np.repeat(images, 2, 0) == 0).all(1)[inside])
    cluster = jp.Structure(positions[inside], np.eye(3), np.full(inside.sum(), 29), pbc=False)
    velocities = np.tile(v, (len(images), 1))[inside]
    listed = jp.neighbors(cluster, potential.cutoff, 0.3)

    def middle(x):  # sum over the atoms of the home cell of U_i; moments by differentiation
        return jp.site_energies(potential, cluster.moved(x), listed)[home]

    _, by_all = jax.vjp(middle, cluster.positions)
    rows = np.stack([np.asarray(by_all(jnp.eye(len(home))[k])[0]) for k in range(len(home))])
    levers = np.asarray(cluster.positions)[None] - np.asarray(cluster.positions)[home][:, None]
    expected = -np.einsum("ija,ijb,jb->a", levers, rows, velocities)
    _, passed_on = jp.heat_flux(potential, structure, v)
    assert np.abs(passed_on - expected).max() < 1e-11 * np.abs(expected).max()


def test_elastic_constants_equal_finite_strains_of_relaxed_ions(crystal):
    potential, structure = crystal
    found = np.asarray(jp.elastic_constants(potential, structure).voigt)
    for k, (i, j) in enumerate([(0, 0), (0, 1)]):
        strain = np.zeros((3, 3))
        strain[i, j] += 0.5
        strain[j, i] += 0.5
        stresses = []
        for step in (-2e-4, -1e-4, 1e-4, 2e-4):
            relaxed = jp.relax(potential, structure.strained(step * strain), fmax=1e-10).structure
            stresses.append(np.asarray(jp.stress(potential, relaxed))[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]])
        slope = (8 * (stresses[2] - stresses[1]) - (stresses[3] - stresses[0])) / (12e-4)
        column = 0 if k == 0 else 5
        assert np.abs(slope - found[:, column]).max() < 1e-6 * np.abs(found).max()


@pytest.mark.thorough
def test_gruneisen_parameters_equal_differences_of_relaxed_cells(crystal):
    potential, structure = crystal
    logs = []
    for x in (-1e-4, 1e-4):
        strained = jp.relax(potential, structure.strained(x / 3.0 * np.eye(3)), fmax=1e-10).structure
        matrices = jp.second_order(potential, strained, supercell=(6, 6, 4)).dynamical_matrix(np.array([[0.5, 0, 0.5]]))
        logs.append(0.5 * np.log(np.linalg.eigvalsh(matrices)))
    expected = -(logs[1] - logs[0]) / 2e-4
    gamma = jp.gruneisen(potential, structure, np.array([[0.5, 0.0, 0.5]]), differences=True).gamma
    assert np.allclose(np.sort(expected.ravel()), np.sort(np.ravel(gamma)), rtol=1e-5)


@pytest.fixture(scope="module")
def cubic():
    """Two hops, one atom."""
    potential = hopping()
    return potential, jp.relax(potential, fcc(3.5, "Cu"), cell=True).structure


@pytest.mark.thorough
def test_gruneisen_parameters_are_exact(cubic):
    exact, differences = (jp.gruneisen(*cubic, GENERIC[1:], differences=flag).gamma for flag in (False, True))
    assert np.allclose(exact, differences, rtol=1e-5)


@pytest.mark.thorough
def test_thermal_expansion_by_both_routes(cubic):
    potential, structure = cubic
    by_free_energy, by_modes = (
        jp.thermal_expansion(potential, structure, [0.0, 300.0], mesh=(3, 3, 3), method=method, differences=True)
        for method in ("free_energy", "gruneisen")
    )
    assert np.allclose(by_free_energy.alpha_tensor, by_modes.alpha_tensor, rtol=1e-6, atol=1e-12)
    assert by_free_energy.alpha[1] > 1e-7


@pytest.mark.thorough
def test_temperatures_share_matrices_that_are_differentiated(cubic, monkeypatch):
    """Derivatives by the potential of two temperatures at once, of each alone, and by differences."""
    potential, crystal = cubic
    traced = []
    matrices = SecondOrder.dynamical_matrix

    def counted(self, q):
        traced.append(is_traced(self.parts))
        return matrices(self, q)

    monkeypatch.setattr(SecondOrder, "dynamical_matrix", counted)
    monkeypatch.setattr(layer_derivatives, "pays", lambda *about: False)  # as for large networks

    def alpha_and_bulk(part, temperatures):
        changed = potential.replace(depth=(1.0 + part) * potential.depth)
        warm = jp.thermal_expansion(changed, crystal, temperatures, (4, 4, 4), differences=True)
        return jnp.stack([warm.alpha, warm.bulk])

    def slopes(temperatures):
        return jax.jvp(lambda part: alpha_and_bulk(part, temperatures), (0.0,), (1.0,))[1]

    together, shared = slopes([100.0, 102.0]), sum(traced)
    np.testing.assert_allclose(together, jnp.hstack([slopes([100.0]), slopes([102.0])]), rtol=1e-6)
    assert shared == 5 and sum(traced) == 3 * 5  # five strains
    ahead, behind = (alpha_and_bulk(part, [100.0, 102.0]) for part in (1e-3, -1e-3))
    np.testing.assert_allclose(together, (ahead - behind) / 2e-3, rtol=1e-3)


def test_force_constants_of_hops_are_those_of_a_thick_supercell(crystal):
    potential, structure = crystal
    second = jp.second_order(potential, structure)
    by_mesh = second.force_constants().dynamical_matrix(GENERIC)
    assert np.abs(by_mesh - second.dynamical_matrix(GENERIC)).max() < 1e-12 * np.abs(by_mesh).max()


@pytest.mark.slow
def test_sums_of_all_kinds_have_waves_at_once():
    structure = diamond(4.4, ["Si", "C"]).replace(atom_data={"charges": [1.0, -1.0]})
    potential = StillingerWeber.silicon().replace(species=None) + 0.3 * hopping() + 0.2 * ions()
    q = np.array([[0.0, 0.0, 0.0], [0.0, 0.2, 0.4]])  # of the supercell that the charges are given
    together = jp.second_order(potential, structure).dynamical_matrix(q)
    in_supercell = jp.second_order(potential, structure, supercell=(5, 5, 5)).dynamical_matrix(q)
    assert np.abs(together - in_supercell).max() < 1e-9 * np.abs(together).max()
    basis = np.array([np.eye(3), [[0, 1, 0], [1, 0, 0], [0, 0, 0]]])
    blocks = jp.second_order(potential, structure).blocks(basis)
    assert np.abs(blocks.by_strain - blocks.by_strain.T).max() < 1e-10 * np.abs(blocks.by_strain).max()


def test_waves_between_those_of_a_supercell_carry_a_warning():
    potential, structure = ions(), jp.relax(ions(), salt(5.2), cell=True).structure
    with pytest.warns(JaxpotWarning, match="interpolated"):
        jp.phonons(potential, structure, GENERIC)


@pytest.mark.thorough
def test_supercells_have_an_old_place(crystal):
    with pytest.deprecated_call():
        jp.phonons(*crystal, GENERIC[:1], supercell=(2, 2, 2))


@pytest.mark.parametrize("hops", [-1, 1.5, True])
def test_hops_that_are_none_are_refused(hops):
    with pytest.raises(DataError, match="hops must be a whole number"):
        jp.energy(hopping().replace(hops=hops), close_packed())


@jp.pytree
class ReadsPositions(Potential):
    """A model that says it depends on edges alone, and does not."""

    local = False
    edges_only = True
    cutoff = 3.0

    def site_energies(self, graph):
        return graph.structure.positions[graph.centers, 0] ** 2


def test_models_that_read_positions_against_their_word_give_no_number():
    assert np.isnan(jp.evaluate(ReadsPositions(), close_packed()).energy)
    assert np.isnan(jp.energy(ReadsPositions(), close_packed()))


def test_charges_that_are_missing_or_wrong_are_refused():
    with pytest.raises(DataError, match="reads charges, and the structure has no such data"):
        jp.energy(ions(), salt().replace(atom_data={}))
    with pytest.raises(DataError, match="reads charges"):
        jp.phonons(ions(), salt().replace(atom_data={}), GENERIC)


@pytest.mark.parametrize("hops", thorough_but([1], [1, 3]))
def test_matrices_between_cells_are_those_of_waves(hops, monkeypatch):
    """Two ways to D(q): derivatives of the layers folded into cells once, or each column carried through the hops."""
    potential, crystal = hopping(hops), close_packed()
    crystal = crystal.moved(np.asarray(crystal.positions) + [[0.0, 0.0, 0.0], [0.03, -0.02, 0.05]])
    q = np.random.default_rng(0).uniform(-0.5, 0.5, (60, 3))

    second = jp.second_order(potential, crystal)
    folded = second.dynamical_matrix(q)
    monkeypatch.setattr(lattice_waves, "wave_matrices", lambda *_: pytest.fail("columns"))
    assert np.array_equal(second.dynamical_matrix(q), folded)
    monkeypatch.undo()
    monkeypatch.setattr(layer_derivatives, "pays", lambda *_: False)
    np.testing.assert_allclose(folded, second.dynamical_matrix(q), rtol=0, atol=1e-13 * np.abs(folded).max())


def test_a_list_made_without_the_potential_is_completed():
    structure = salt(4.6)
    listed = jp.neighbors(structure, ions().cutoff)
    assert np.allclose(jp.forces(ions(), structure, listed), jp.forces(ions(), structure), rtol=0, atol=1e-12)
    shift = np.array([[0.01, 0.02, 0.0], [0.0, 0.0, 0.0]])
    slope = jax.grad(lambda x: jp.energy(ions(), structure.moved(structure.positions + x * shift), listed))(0.0)
    assert float(slope) == pytest.approx(-float(np.sum(jp.forces(ions(), structure) * shift)), abs=1e-12)
    with pytest.raises(DataError, match="make it with jaxpot.checks.checked_neighbors"):
        jax.jit(jp.energy)(ions(), structure, listed)
    planned = checked_neighbors(ions(), structure)
    assert float(jax.jit(jp.energy)(ions(), structure, planned)) == pytest.approx(float(jp.energy(ions(), structure)))


def test_data_of_charges_have_no_free_atoms():
    data = jp.draw_dataset(ions(), salt(4.6), 3)
    assert data.e0_origin.startswith("least squares") and set(data.e0) == {6, 14}
