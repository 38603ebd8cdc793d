"""Posteriors: draws, propagation by two routes, bars of forces against differences of energies, calibration."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.checks import prepare_padded
from jaxpot.errors import DataError, PrecisionError
from jaxpot.fitting.linear.moments import covariance_factor
from jaxpot.fitting.linear.rows import design_rows
from jaxpot.potentials import StillingerWeber
from jaxpot.report.card import relaxed_crystal
from jaxpot.uncertainty import residual
from jaxpot.uncertainty.calibration import calibration_of
from jaxpot.uncertainty.extrapolated import Asked, factors_by_level
from jaxpot.uncertainty.held_out import HeldOut
from jaxpot.uncertainty.inflation import Inflation
from jaxpot.uncertainty.linear_terms import factor_of, uncertain_terms
from jaxpot.uncertainty.misfit import FUNCTIONS, LAST_LAYER, PROCESS
from jaxpot.uncertainty.propagation import shape_response
from jaxpot.uncertainty.selection import observed_frame

RECIPE = """
[[term]]
descriptor = "soap"
cutoff = 1.6
transition_width = 0.3
atom_sigma = 0.25
n_max = 4
l_max = 3
zeta = 2
sparse_points = 30

[[term]]
descriptor = "distance_2b"
cutoff = 1.6
transition_width = 0.3
theta = 0.2
sparse_points = 8
sparse_method = "uniform"

[sigma]
energy = 0.002
forces = 0.05

[choice]
method = "fixed"
folds = 4
"""


@pytest.fixture(scope="module")
def oracle():
    return StillingerWeber.silicon()


@pytest.fixture(scope="module")
def crystal():
    a = 5.431
    return jp.Structure([[0, 0, 0], [a / 4] * 3], a / 2 * (1.0 - np.eye(3)), ["Si", "Si"])


@pytest.fixture(scope="module")
def train(oracle, crystal):
    cell = crystal.repeated((2, 2, 1))
    return jp.draw_dataset(oracle, cell, 16, 0, strain=0.02, displacements=(0.03, 0.1))


@pytest.fixture(scope="module")
def found(train, tmp_path_factory):
    path = tmp_path_factory.mktemp("posterior") / "small.toml"
    path.write_text(RECIPE)
    return jp.fit(train, str(path), jitter=1e-8, predictions=False, keep_folds=True)


@pytest.fixture(scope="module")
def posterior(found):
    return found.posterior


@pytest.fixture(scope="module")
def at_rest(found, crystal):
    return relaxed_crystal(found.potential, crystal)


@pytest.fixture(scope="module")
def disturbed(crystal):
    cell = crystal.repeated((2, 1, 1)).strained(np.diag([0.02, 0.0, -0.01]))
    return cell.moved(cell.positions + 0.15 * np.random.default_rng(0).normal(size=(4, 3)))


def test_the_mean_is_the_fit(found, posterior):
    weights = [term.readout.weights for term in found.potential.terms[1:]]
    np.testing.assert_allclose(posterior.mean, np.concatenate(weights), rtol=1e-9)
    assert posterior.parameters == ("terms[1].readout.weights", "terms[2].readout.weights")


def test_the_covariance_is_that_of_a_gaussian_process(train, found):
    # A second route, in the space of the data: Q** - Q*f (Qff + Sigma)^-1 Qf* with Q = A K^-1 A^T, and no weights.
    posterior = jp.fit(train, found.recipe, jitter=1e-8, predictions=False).posterior
    terms = [term for term, _ in uncertain_terms(posterior)]
    potential, rows, sigmas = jp.potentials.Sum.of(*terms), [], []
    for frame in train:
        n, (_, structure, neighbors) = prepare_padded(potential, frame.structure, None)
        of_frame = design_rows(potential, structure, neighbors, False)
        rows += [np.asarray(of_frame.energy)[None], np.asarray(of_frame.forces)[:n].reshape(3 * n, -1)]
        sigmas += [[0.002 * np.sqrt(n)], np.full(3 * n, 0.05)]
    rows, probe = np.concatenate(rows), rows[-1][:6]
    white, begin = [], 0
    for term, jitter in zip(terms, posterior.jitters, strict=True):
        part = slice(begin, begin + term.n_features)
        both = np.concatenate([rows, probe])[:, part]
        factor, _ = covariance_factor(term.readout.weight_precision(), jitter)
        white.append(np.linalg.solve(np.asarray(factor), both.T).T)
        begin = part.stop
    white = np.concatenate(white, axis=1)
    own, new = white[: len(rows)], white[len(rows) :]
    between = own @ new.T
    solved = np.linalg.solve(own @ own.T + np.diag(np.concatenate(sigmas) ** 2), between)
    expected = np.sum(new * new, axis=1) - np.sum(between * solved, axis=0)
    np.testing.assert_allclose(np.sum((probe @ posterior.factor) ** 2, axis=1), expected, rtol=1e-5)


def test_it_is_saved_and_loaded(posterior, tmp_path):
    jp.save(posterior, tmp_path / "si.posterior")
    loaded = jp.load(tmp_path / "si.posterior")
    assert loaded.parameters == posterior.parameters and loaded.sigmas == posterior.sigmas
    np.testing.assert_array_equal(loaded.factor, posterior.factor)


def test_bars_of_a_structure_are_those_of_draws(posterior, disturbed):
    bars = jp.std(posterior, disturbed).parametric
    n, (_, structure, neighbors) = prepare_padded(posterior.potential, disturbed, None)
    drawn = posterior.sample(0, 2000).map(lambda p: jp.evaluate(p, structure, neighbors))
    for name in ("energy", "energies", "forces", "stress"):
        rows = np.asarray(getattr(drawn, name))
        rows = rows[:, :n] if name in ("energies", "forces") else rows
        np.testing.assert_allclose(rows.std(0) / getattr(bars, name), 1.0, atol=0.08)


def test_many_structures_have_the_same_bars_as_one_by_one(posterior, crystal, disturbed):
    for structure, found in zip((crystal, disturbed), jp.std_many(posterior, [crystal, disturbed]), strict=True):
        one = jp.std(posterior, structure)
        for part in ("parametric", "residual", "noise"):
            for a, b in zip(jax.tree.leaves(getattr(found, part)), jax.tree.leaves(getattr(one, part)), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_gruneisen_parameters_under_jit_over_a_rough_potential(posterior, at_rest):
    def gamma(potential):
        return jp.gruneisen(potential, at_rest, [[0.5, 0.0, 0.5]]).gamma

    np.testing.assert_allclose(jax.jit(gamma)(posterior.potential), gamma(posterior.potential), rtol=1e-6)


def test_residuals_of_forces_and_stresses_are_those_of_energy_differences(posterior, disturbed):
    def energy_of(term, structure):
        _, (_, padded, neighbors) = prepare_padded(posterior.potential, structure, None)
        own = residual._instances(term, padded, neighbors)
        vectors, weights = np.asarray(own.vectors), np.asarray(own.weights)
        energy = np.asarray(design_rows(term, padded, neighbors).energy)
        return vectors[weights != 0.0], weights[weights != 0.0], energy

    def of_difference(plus, minus, step):
        total = 0.0
        for term, jitter in uncertain_terms(posterior):
            first, second = energy_of(term, plus), energy_of(term, minus)
            x, w = np.concatenate([first[0], second[0]]), np.concatenate([first[1], -second[1]])
            prior = float(term.readout.delta) ** 2 * w @ np.asarray(term.readout.kernel.matrix(x, x)) @ w
            half = np.linalg.solve(np.asarray(factor_of(term.readout, jitter)), first[2] - second[2])
            total += (prior - half @ half) / (2.0 * step) ** 2
        return np.sqrt(total)

    bars, step = jp.std(posterior, disturbed).residual, 1e-3
    move = np.zeros((4, 3))
    move[2, 1] = step
    plus, minus = (disturbed.moved(disturbed.positions + sign * move) for sign in (1, -1))
    np.testing.assert_allclose(bars.forces[2, 1], of_difference(plus, minus, step), rtol=1e-4)
    strain = np.zeros((3, 3))
    strain[0, 2] = strain[2, 0] = 0.5 * step
    expected = of_difference(disturbed.strained(strain), disturbed.strained(-strain), step) / float(disturbed.volume)
    np.testing.assert_allclose(bars.stress[0, 2], expected, rtol=1e-4)


def test_site_variances_are_those_of_std_and_have_a_gradient(posterior, disturbed):
    bars, found = jp.std(posterior, disturbed), jp.variance(posterior, disturbed)
    np.testing.assert_allclose(found.parametric, bars.parametric.energies**2, rtol=1e-9)
    np.testing.assert_allclose(found.residual, bars.residual.energies**2, rtol=1e-6, atol=1e-12)
    listed = jp.neighbors(disturbed, posterior.potential.cutoff + 0.01)

    def total(positions):
        return jp.variance(posterior, disturbed.moved(positions), listed).sites.sum()

    # Under jit over the positions alone, with nothing computed before.
    fresh = jax.tree.map(jnp.array, posterior)
    jitted = jax.jit(lambda x: jp.variance(fresh, disturbed.moved(x), listed).sites.sum())
    np.testing.assert_allclose(jitted(disturbed.positions), found.sites.sum(), rtol=1e-6)

    step, along = 1e-4, np.random.default_rng(1).normal(size=(4, 3))
    ahead, behind = (total(disturbed.positions + s * step * along) for s in (1, -1))
    expected = (ahead - behind) / (2 * step)
    np.testing.assert_allclose(jnp.vdot(jax.grad(total)(disturbed.positions), along), expected, rtol=1e-4)


def test_the_variance_is_a_potential(posterior, disturbed, tmp_path):
    variance, expected = jp.VariancePotential.of(posterior), jp.variance(posterior, disturbed)
    found = jp.evaluate(variance, disturbed)
    # Two ways to a small difference of numbers of 1 eV^2 and more, with weights of 10^4 on the way.
    np.testing.assert_allclose(found.energies, expected.sites, rtol=1e-9, atol=1e-10)
    listed = jp.neighbors(disturbed, posterior.potential.cutoff + 0.01)
    slope = jax.grad(lambda x: jp.variance(posterior, disturbed.moved(x), listed).sites.sum())(disturbed.positions)
    np.testing.assert_allclose(found.forces, -slope, rtol=1e-6, atol=1e-7 * np.abs(slope).max())
    biased = jp.evaluate(posterior.potential - 2.0 * variance, disturbed)
    expected = jp.forces(posterior.potential, disturbed) - 2.0 * found.forces
    np.testing.assert_allclose(biased.forces, expected, rtol=1e-9, atol=1e-12)
    jp.save(variance, tmp_path / "variance.model")
    again = jp.load(tmp_path / "variance.model")
    np.testing.assert_array_equal(jp.evaluate(again, disturbed).forces, found.forces)
    with pytest.raises(jp.JaxpotError, match="jp.std"):
        jp.VariancePotential.of(jp.Posterior.of(jp.potentials.StillingerWeber.silicon(), {"epsilon": 0.1}))


def test_far_from_all_data_the_bar_is_the_priors(posterior):
    # Five atoms in a cluster, nothing like a crystal: the process knows next to nothing of it.
    points = 1.6 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1.0]])
    cluster = jp.Structure(points, np.zeros((3, 3)), ["Si"] * 5, pbc=False)
    crystal = jp.Structure([[0, 0, 0], [5.431 / 4] * 3], 5.431 / 2 * (1.0 - np.eye(3)), ["Si", "Si"])
    far, near = jp.std(posterior, cluster).epistemic, jp.std(posterior, crystal).epistemic
    prior = float(posterior.potential.terms[1].readout.delta)
    assert far.energies.max() > 0.5 * prior
    assert far.energies.min() > 30.0 * near.energies.max()
    assert np.isnan(far.stress).all()


def test_variances_are_not_negative_where_data_are(posterior, train):
    for frame in list(train)[:6]:
        found = jp.variance(posterior, frame.structure)
        assert float(found.parametric.min()) >= 0.0 and float(found.residual.min()) >= 0.0


PROPERTIES = {
    "lattice": lambda p, x: x.cell[0, 1],
    "elastic": lambda p, x: jp.elastic_constants(p, x).voigt[np.array([0, 0, 3]), np.array([0, 1, 3])],
    "frequencies": lambda p, x: jp.phonons(p, x, [[0.5, 0.5, 0.5], [0.5, 0.0, 0.5]]).frequencies,
}


@pytest.fixture(scope="module")
def propagated(posterior, at_rest):
    response = shape_response(posterior, at_rest)
    return {name: jp.propagate(posterior, f, at_rest, response) for name, f in PROPERTIES.items()}


@pytest.mark.slow  # a minute of compilation; the next test is another route
@pytest.mark.parametrize("name", ["lattice", "elastic"])
def test_the_plain_reverse_pass_gives_the_same(name, posterior, at_rest, propagated):
    def of_the_potential(potential):
        return PROPERTIES[name](potential, jp.relax(potential, at_rest, cell=True).structure)

    found = jp.propagate(posterior, of_the_potential)
    near = 1e-5 * np.abs(found.slopes).max()
    np.testing.assert_allclose(found.slopes, propagated[name].slopes, rtol=1e-5, atol=near)


@pytest.mark.thorough
def test_the_slope_of_a_vacancy_is_that_of_vacancies_that_relax_anew(posterior, at_rest):
    def vacancy(potential, crystal, fmax=1e-5):
        return jp.vacancy_energy(potential, crystal, distance=7.0, inward=0.0, rattle=0.0, fmax=fmax)

    found = vacancy(posterior.potential, at_rest)
    slopes = np.asarray(jp.propagate(posterior, found.at, at_rest).slopes)
    along, step = slopes / np.linalg.norm(slopes), 0.02
    ends = []
    for sign in (1.0, -1.0):
        potential = posterior.at(sign * step * along)
        ends.append(float(vacancy(potential, jp.relax(potential, at_rest, cell=True).structure).energy))
    assert (ends[0] - ends[1]) / (2.0 * step) == pytest.approx(np.linalg.norm(slopes), rel=0.02)


@pytest.mark.thorough
def test_draws_scatter_as_the_linearisation_says(posterior, at_rest, propagated):
    # Small steps along one direction of z: no chance in it.
    direction = np.random.default_rng(2).normal(size=posterior.factor.shape[1])
    step = 0.02
    rows = {name: [] for name in PROPERTIES}
    for sign in (1, -1):
        potential = posterior.at(jnp.asarray(sign * step * direction))
        moved = jp.relax(potential, at_rest, cell=True, fmax=1e-8).structure
        for name, function in PROPERTIES.items():
            rows[name].append(np.ravel(function(potential, moved)))
    for name, (ahead, behind) in rows.items():
        expected = np.reshape(propagated[name].slopes, (-1, len(direction))) @ direction
        near = 2e-3 * np.abs(expected).max()
        np.testing.assert_allclose((ahead - behind) / (2 * step), expected, rtol=2e-3, atol=near)


def test_properties_covary(propagated):
    elastic, lattice = propagated["elastic"], propagated["lattice"]
    own = elastic.covariance()
    np.testing.assert_allclose(np.sqrt(own.diagonal()), elastic.std, rtol=1e-12)
    between = elastic.covariance(lattice)
    assert between.shape == (3, 1) and (np.abs(between[:, 0]) <= np.ravel(elastic.std) * float(lattice.std)).all()


def test_widening_keeps_the_energies_and_brings_the_residual_in(posterior, disturbed):
    wide = jp.widened(posterior, [disturbed], count=20)
    np.testing.assert_allclose(
        jp.energy(wide.potential, disturbed), jp.energy(posterior.potential, disturbed), rtol=1e-10
    )
    before, after = jp.std(posterior, disturbed), jp.std(wide, disturbed)
    # What was residual is parametric now, for the environments that it was widened by.
    largest = before.epistemic.energies.max()  # points are chosen until little of it is left
    np.testing.assert_allclose(after.parametric.energies, before.epistemic.energies, rtol=1e-3, atol=1e-4 * largest)
    np.testing.assert_allclose(after.parametric.energy, before.epistemic.energy, rtol=1e-3)


def test_widening_brings_what_a_calibration_says_of_structures_away_from_the_data(posterior, crystal, train):
    cell = crystal.repeated((2, 2, 1))
    lacking = jp.Structure(np.delete(cell.positions, 3, axis=0), cell.cell, np.delete(cell.numbers, 3))
    near, far = train[0].structure, jp.std(posterior, lacking).epistemic
    usual = far.energy / (2.0 * len(lacking))  # phi = 3/4
    factors = {kind: np.array([2.0, 1.0]) for kind in ("energy", "forces", "stress")}
    away = {"property": np.array(2.0), "away": np.array([3.0, usual, np.inf, 0.25])}
    calibrated = posterior.replace(calibration=factors | away)
    plain, wide = jp.widened(posterior, [lacking]), jp.widened(calibrated, [lacking])

    def bar(posterior, structure):
        return float(jp.propagate(posterior, lambda p: jp.energy(p, structure)).std)

    assert wide.factor.shape[1] == plain.factor.shape[1] + 1
    assert bar(plain, lacking) == pytest.approx(far.energy, rel=1e-3)
    expected = 2.0 * np.sqrt(7.0 * far.energy**2 + 0.1875 * (far.energies.sum() ** 2 - far.energy**2))
    assert bar(wide, lacking) == pytest.approx(expected, rel=0.01)
    assert jp.std(calibrated, lacking).epistemic.energy == pytest.approx(expected, rel=1e-6)
    assert jp.std(wide, lacking).epistemic.energy == pytest.approx(expected, rel=0.01)  # not twice
    # Next to nothing of it is near the data, and nothing where no structure is away from it.
    assert np.sqrt(bar(wide, near) ** 2 - 4.0 * bar(plain, near) ** 2) < 0.02 * expected
    assert jp.widened(calibrated, [near]).factor.shape == jp.widened(posterior, [near]).factor.shape
    # Nor where there are no new points to say it with.
    assert jp.widened(calibrated, [lacking], count=0).factor.shape == posterior.factor.shape


def test_classical_parameters_with_deviations(oracle, crystal):
    posterior = jp.Posterior.of(oracle, {"epsilon": 0.01, "A": 0.02}, correlation=[[1.0, 0.5], [0.5, 1.0]])
    bars = jp.std(posterior, crystal)
    a, b = (
        float(jp.energy(oracle.replace(**{name: getattr(oracle, name) * 1.001}), crystal) - jp.energy(oracle, crystal))
        / (0.001 * float(getattr(oracle, name)))
        for name in ("epsilon", "A")
    )
    expected = np.sqrt((0.01 * a) ** 2 + (0.02 * b) ** 2 + 0.01 * 0.02 * a * b)
    np.testing.assert_allclose(bars.parametric.energy, expected, rtol=1e-3)
    assert not bars.residual.forces.any() and bars.noise.energy == 0.0


def test_the_calibration_covers_what_it_should():
    # Errors drawn with twice the epistemic part and 1.5 times the noise: both are found again, and coverage is right.
    rng, size = np.random.default_rng(0), 8000
    epistemic, noise = rng.uniform(0.1, 1.0, size), np.full(size, 0.4)
    errors = rng.normal(size=size) * np.hypot(2.0 * epistemic, 1.5 * noise)
    frames = np.arange(size) // 20
    of = lambda array: {"forces": array}  # noqa: E731
    found = calibration_of(HeldOut(of(errors), of(epistemic), of(noise), of(frames), np.full(400, 4)))
    assert set(found.epistemic.values()) == {found.property_factor}  # one for all kinds
    assert abs(found.epistemic["forces"] - 2.0) < 0.15 and abs(found.noise["forces"] - 1.5) < 0.15
    assert found.far == 1.0 and found.usual == found.largest_force == np.inf  # nothing is told of whole frames
    after = found.scores["forces"]["after"]
    assert all(abs(share - level) < 0.02 for level, share in after["coverage"].items())
    before = found.scores["forces"]["before"]
    assert after["nll"] < before["nll"] and after["crps"] < before["crps"]


def test_clusters_left_out_say_how_much_of_the_errors_is_epistemic():
    rng = np.random.default_rng(0)
    ones = {kind: np.ones(400) for kind in ("energy", "forces")}
    noise = {kind: np.full(400, 1e-3) for kind in ones}

    def held(scale, bars=1.0):
        errors = {kind: scale * rng.normal(size=400) for kind in ones}
        widths = {kind: bars * one for kind, one in ones.items()}
        return HeldOut(errors, widths, noise, dict.fromkeys(ones, np.arange(400) // 8), np.full(50, 8))

    # Errors of four bars where the fit interpolates, of 20 bars at 10 where it extrapolates: two bars.
    by_chance, far, names = held(4.0), held(20.0, bars=10.0), ["bulk"] * 50
    found = calibration_of(by_chance, [far, far], names)
    assert found.epistemic["forces"] == pytest.approx(2.0, rel=0.1)
    assert found.property_factor == pytest.approx(4.0, rel=0.1)  # what is noise of labels is not of properties
    for kind in ones:  # the rest is noise, and frames left out by chance are covered
        assert 1e-3 * found.noise[kind] == pytest.approx(np.sqrt(4.0**2 - 2.0**2), rel=0.15)  # of 400 errors
        assert found.scores[kind]["after"]["coverage"][0.9] == pytest.approx(0.9, abs=0.03)
    wanted = {"frames", "config_types", "energy", "forces"}
    assert all(set(row) == wanted and row["config_types"] == ["bulk"] for row in found.clusters)
    assert all(row[kind]["coverage"] == pytest.approx(0.91, abs=0.04) for row in found.clusters for kind in ones)
    assert "left out together, cluster 2 (50 frames, bulk)" in str(found)
    # Nine tenths of all errors of clusters, half of which are half as large: 1.28 of the larger ones' deviations.
    apart = [far, held(10.0, bars=10.0)]
    joint = calibration_of(by_chance, apart, names, LAST_LAYER)
    assert joint.epistemic["forces"] == pytest.approx(2.0 * 1.2816 / 1.6449, rel=0.1)
    # Networks err together in each cluster: what the most demanding one asks for.
    assert calibration_of(by_chance, apart, names).epistemic == found.epistemic
    # What has to be wider than errors of frames left out by chance allow is so away from the data only.
    limited = calibration_of(by_chance, [held(80.0, bars=10.0)], names)
    assert limited.epistemic["forces"] == pytest.approx(4.0, rel=0.1) and limited.far == pytest.approx(2.0, rel=0.1)
    assert found.far == 1.0
    # What fixed functions cannot fit is no noise.
    fixed = calibration_of(by_chance, [far, far], names, FUNCTIONS)
    assert max(fixed.epistemic.values()) == fixed.epistemic["stress"] == fixed.property_factor == found.property_factor
    assert fixed.far == 1.0
    assert all(1e-3 * b < 0.3 for b in fixed.noise.values())
    # Fits to three quarters of the data have wider bars than that to all, which errs as much.
    quarter = calibration_of(replace(by_chance, share=0.25), [far, far], names, FUNCTIONS)
    assert quarter.epistemic["forces"] == pytest.approx(fixed.epistemic["forces"] * (4.0 / 3.0) ** 0.5)
    assert quarter.scores["forces"]["after"]["coverage"] == fixed.scores["forces"]["after"]["coverage"]
    assert calibration_of(replace(by_chance, share=0.25), [far, far], names) == found
    limited_too = calibration_of(by_chance, [held(80.0, bars=10.0)], names, FUNCTIONS)
    assert limited_too.epistemic["forces"] == pytest.approx(4.0, rel=0.1) and limited_too.far == pytest.approx(2.0, rel=0.1)
    # Nor does their covariance say how errors of energies and of forces are related; far away the larger factor holds.
    apart = replace(by_chance, differences=by_chance.differences | {"energy": by_chance.differences["energy"] / 4.0})
    uneven = calibration_of(apart, [held(80.0, bars=10.0)], names, FUNCTIONS)
    assert uneven.epistemic["energy"] == pytest.approx(1.0, rel=0.1)
    assert uneven.epistemic["forces"] == uneven.property_factor == pytest.approx(4.0, rel=0.1)
    assert f"energies times {uneven.epistemic['energy']:.3g}, forces" in str(uneven) and uneven.far == pytest.approx(2.0, rel=0.1)
    widened = {kind: replace(uneven, usual=1.0).inflation.growth(kind, np.array([1.0, uneven.far**2])) ** 0.5 for kind in ones}
    assert all(uneven.epistemic[kind] * widened[kind] == pytest.approx(8.0, rel=0.1) for kind in ones)
    # Clusters without labels, or with labels of stresses alone, tell nothing.
    empty = HeldOut({}, {}, {}, {}, np.full(50, 8))
    stresses = HeldOut(*({"stress": far.differences["energy"]} for _ in range(3)), {"stress": np.arange(400) // 8}, far.atoms)
    assert calibration_of(by_chance, [empty, stresses, far], names).epistemic["forces"] == pytest.approx(2.0, rel=0.1)
    assert calibration_of(by_chance, [empty, stresses], names) == calibration_of(by_chance)
    # Forces that are nearly zero by symmetry, and their errors, do not count.
    tiny = HeldOut(
        far.differences | {"forces": np.full(400, 0.01)}, far.epistemic | {"forces": np.full(400, 1e-6)}, noise,
        far.frames, far.atoms,
    )
    assert calibration_of(by_chance, [far, tiny], names).epistemic["forces"] == pytest.approx(2.0, rel=0.1)


def test_the_factor_of_a_committee_depends_on_its_spread():
    def asked(spread, *factors):
        return Asked(spread, tuple(np.full(20, factor) for factor in factors))

    levels = factors_by_level([asked(0.1, 0.5, 1.0), asked(0.01, 4.0), asked(0.001, 2.0, 0.3), asked(0.05)])
    spreads, factors = np.array(levels).T
    # What is asked for there and further away, a quarter of the way to the largest; and back to that, far beyond.
    np.testing.assert_allclose(spreads, [0.001, 0.01, 0.1, 0.1 * 4.0**3])
    np.testing.assert_allclose(factors, [4.0, 4.0, 4.0**0.25, 4.0])
    inflation = Inflation({"energy": 2.0, "forces": 2.0}, 4.0, levels, usual=0.01)
    np.testing.assert_allclose(inflation.far_at([1e-4, 0.03, 0.1, 1e3]), [4.0, 4.0 ** (1 - 0.75 * np.log10(3)), 4.0**0.25, 4.0])
    for spread in (0.005, 0.02, 0.3):  # of two atoms
        phi = max(0.0, 1.0 - (0.01 / spread) ** 2)
        expected = 2.0 * spread * np.sqrt(1.0 + phi * (float(inflation.far_at(spread)) ** 2 - 1.0))
        assert inflation.energy(2.0 * spread, 0.0, 2) == pytest.approx(2.0 * expected)
        away = inflation.away(2.0 * spread, 2)
        assert inflation.others("forces", spread, away) == pytest.approx(expected)
    posterior = jp.Posterior.of(jp.potentials.LennardJones(0.01, 3.4, 8.0), {"sigma": 0.1})
    kept = Inflation.of(posterior.replace(calibration={"energy": np.array([2.0, 1.0])} | inflation.entries()))
    assert kept.levels == levels and kept.usual == 0.01 and kept.far == 4.0
    # Without errors, or spreads, there is one factor.
    assert factors_by_level([asked(0.1, 0.0), asked(0.2)]) == factors_by_level([asked(0.0, 2.0)]) == ()
    assert factors_by_level([asked(0.1, 0.0), asked(0.01, 1.0)])[1][1] == pytest.approx(0.1**0.75)


@pytest.mark.parametrize(("of_sites", "least", "most"), [(2.0, 0.125, 0.125), (300.0, 1e-3, 0.1), (1e5, 0.0, 0.0)])
def test_errors_of_a_committee_are_alike_as_far_as_bars_in_the_data_allow(of_sites, least, most):
    """Deviations of site energies add up to far more than those of energies, in frames that are just beyond usual."""
    rng = np.random.default_rng(0)
    frames, spreads = np.arange(400), np.linspace(0.5, 1.5, 400)

    def held(scale, factor):
        bars = scale * spreads
        whole = np.stack([bars, of_sites * bars], axis=1)
        kinds = dict.fromkeys(("energy", "forces"), frames)
        noise = dict.fromkeys(kinds, np.full(400, 1e-6))
        errors = {kind: factor * bars * rng.normal(size=400) for kind in kinds}
        return HeldOut(errors, dict.fromkeys(kinds, bars), noise, kinds, np.ones(400, int), whole=whole)

    by_chance = held(1.0, 1.0)
    found = calibration_of(by_chance, [held(30.0, 1.0)] * 2, ["bulk"] * 400)
    assert least <= found.alike <= most

    def width(calibration):
        return 1.645 * by_chance.inflated("energy", calibration.inflation).mean()

    error = np.quantile(np.abs(by_chance.differences["energy"]), 0.9)
    assert width(found) <= 4.0 * error
    if 0.0 < found.alike < 0.125:
        assert width(replace(found, alike=2.0 * found.alike)) > 4.0 * error
    assert calibration_of(held(1.0, 1.0)).alike == 0.0  # without clusters


def test_a_calibration_tells_what_is_away_from_the_data():
    rng = np.random.default_rng(0)
    frames, ones = np.repeat(np.arange(50), 8), np.ones(400)
    whole = np.stack([np.linspace(0.1, 5.0, 50) * 8.0, np.full(50, 100.0)], axis=1)
    labels = 8.0 * rng.normal(size=400)

    def held(scale, numbers):
        return HeldOut(
            {"forces": scale * rng.normal(size=400)}, {"forces": ones}, {"forces": 1e-3 * ones}, {"forces": numbers},
            np.full(70, 8), np.full(400, 0.5), np.concatenate([whole, np.repeat([[400.0, 500.0]], 20, axis=0)]),
            {"forces": labels},
        )

    cluster = held(6.0, 50 + np.arange(400) // 20)
    committee = calibration_of(held(2.0, frames), [cluster], ["bulk"] * 70)
    assert committee.largest_force == np.inf
    assert committee.usual == pytest.approx(np.quantile(whole[:, 0] / 8.0, 0.75))
    found = calibration_of(held(2.0, frames), [cluster], ["bulk"] * 70, replace(PROCESS, alike=0.0))
    assert found.usual == pytest.approx(np.quantile(whole[:, 0] / 8.0, 0.95))  # eV/atom; of these frames alone
    assert found.epistemic["forces"] == pytest.approx(2.0, rel=0.1) and found.far == pytest.approx(3.0, rel=0.15)
    assert found.largest_force == pytest.approx(np.quantile(np.abs(labels), 0.99))
    assert found.site_limit == pytest.approx(0.5 * found.epistemic["energy"])
    # The cluster's 50 eV/atom are ten times what is usual: its bars are nearly as large as a bar can be.
    width = found.epistemic["forces"] * found.far
    width /= np.hypot(1.0, width / found.largest_force)
    assert found.clusters[0]["forces"]["half_width"] == pytest.approx(1.645 * width, rel=0.02)
    assert "away from the data" in str(found)


def test_bars_of_energies_and_forces_are_those_of_one_covariance(found, train, posterior, disturbed, crystal):
    """An energy difference is the integral of forces along a path, and so is what is uncertain of it."""
    ideal = crystal.repeated((2, 1, 1)).strained(np.diag([0.02, 0.0, -0.01])).positions
    path = np.asarray(disturbed.positions) - np.asarray(ideal)

    def at(share):
        return disturbed.moved(ideal + share * path)

    nodes, weights = np.polynomial.legendre.leggauss(8)
    nodes, weights = 0.5 * (nodes + 1.0), 0.5 * weights
    wide = jp.widened(posterior, [at(share) for share in (0.0, 0.5, 1.0)], count=20)
    by_energy = jp.propagate(wide, lambda p: jp.energy(p, at(1.0)) - jp.energy(p, at(0.0)))
    by_forces = jp.propagate(
        wide, lambda p: -sum(w * jnp.vdot(jp.forces(p, at(t)), path) for t, w in zip(nodes, weights, strict=True))
    )
    np.testing.assert_allclose(by_forces.slopes, by_energy.slopes, atol=1e-6 * np.abs(by_energy.slopes).max())
    calibrated = jp.calibrate(found, train).apply(posterior)
    usual = calibrated.calibration["away"][1]
    bars = [(jp.std(posterior, frame.structure), jp.std(calibrated, frame.structure)) for frame in train[:3]]
    inside = [(b.epistemic, a.epistemic) for b, a in bars if b.epistemic.energy < usual * len(b.epistemic.energies)]
    before, after = inside[0]
    for kind in ("energy", "energies", "forces", "stress"):
        ratio = getattr(after, kind) / getattr(before, kind)
        np.testing.assert_allclose(ratio, float(calibrated.calibration["energy"][0]), rtol=1e-4)


def test_bars_away_from_the_data(posterior, disturbed):
    """Errors are larger there, those of atoms alike, and none is larger than forces are."""
    plain = jp.std(posterior, disturbed).epistemic
    n, total = len(plain.energies), plain.energies.sum()
    factors = {kind: np.array([2.0, 1.0]) for kind in ("energy", "forces", "stress")}

    def bars(far, usual, largest):
        away = {"away": np.array([far, usual, largest, 0.25])}
        return jp.std(posterior.replace(calibration=factors | away), disturbed).epistemic

    inside = bars(3.0, plain.energy / n, np.inf)
    np.testing.assert_allclose(inside.energy, 2.0 * plain.energy, rtol=1e-12)
    np.testing.assert_allclose(inside.forces, 2.0 * plain.forces, rtol=1e-12)
    half = bars(3.0, np.sqrt(0.5) * plain.energy / n, np.inf)  # phi = 1/2
    between = np.sqrt(5.0 * plain.energy**2 + 0.125 * (total**2 - plain.energy**2))
    assert total > 1.05 * plain.energy
    np.testing.assert_allclose(half.energy, 2.0 * between, rtol=1e-12)
    np.testing.assert_allclose(half.energies, 2.0 * plain.energies, rtol=1e-12)
    np.testing.assert_allclose(half.forces, 2.0 * np.sqrt(5.0) * plain.forces, rtol=1e-12)
    np.testing.assert_allclose(half.stress, 2.0 * np.sqrt(5.0) * plain.stress, rtol=1e-12)
    largest = float(plain.forces.max())
    limited, wide = bars(3.0, 0.0, largest), 6.0 * plain.forces
    np.testing.assert_allclose(limited.forces, wide * largest / np.hypot(wide, largest), rtol=1e-12)
    assert limited.forces.max() < largest and limited.energy < 0.3 * largest * n
    np.testing.assert_allclose(limited.stress, 6.0 * plain.stress, rtol=1e-12)


def test_atoms_in_unfamiliar_surroundings_are_named(found, train, posterior, crystal):
    calibrated = jp.calibrate(found, train).apply(posterior)
    cell = crystal.repeated((3, 3, 2))
    assert len(jp.unfamiliar_atoms(calibrated, cell)) == 0
    lacking = jp.Structure(np.delete(cell.positions, 7, axis=0), cell.cell, np.delete(cell.numbers, 7))
    vectors = np.asarray(lacking.positions) - np.asarray(cell.positions)[7]
    inverse = np.linalg.inv(cell.cell)
    distances = np.linalg.norm((vectors @ inverse - np.round(vectors @ inverse)) @ cell.cell, axis=1)
    nearest = np.flatnonzero(distances < 2.5)
    assert len(nearest) == 4 and set(nearest) <= set(jp.unfamiliar_atoms(calibrated, lacking))
    np.testing.assert_array_equal(
        jp.unfamiliar_atoms(calibrated, lacking),
        np.flatnonzero(jp.std(calibrated, lacking).epistemic.energies > calibrated.ranges["site_deviation"][1]),
    )
    with pytest.raises(DataError, match="calibrated posterior only"):
        jp.unfamiliar_atoms(posterior, cell)
    with pytest.raises(DataError, match="expected a Posterior"):
        jp.unfamiliar_atoms(found.potential, cell)


def test_the_residual_does_not_depend_on_the_jitter_of_the_fit(train, found, disturbed):
    """Jitter takes smooth parts of a process, which add up over all pairs of a cell: that is not what is unknown."""
    residuals = [
        jp.std(jp.fit(train, found.recipe, jitter=jitter, predictions=False).posterior, disturbed).residual.energy
        for jitter in (1e-10, 1e-6)
    ]
    assert residuals[0] == pytest.approx(residuals[1], rel=1e-2)


def test_few_errors_calibrate_for_errors_to_come():
    """The 19th of 20 errors is the interval for the next: it is as likely to be the 21st as any of them."""
    rng, inside = np.random.default_rng(0), []
    for _ in range(1000):
        errors, ones = rng.standard_t(4, 21), {"energy": np.ones(20)}
        kept = HeldOut({"energy": errors[:20]}, ones, {"energy": np.zeros(20)}, {"energy": np.arange(20)}, np.full(20, 1))
        inside.append(abs(errors[20]) < 1.645 * calibration_of(kept).epistemic["energy"])
    assert np.mean(inside) == pytest.approx(19 / 21, abs=0.02)


@pytest.mark.thorough
def test_calibrated_bars_cover_frames_of_another_draw(found, train, oracle, crystal):
    posterior = jp.calibrate(found, train).apply(found.posterior)
    assert float(posterior.property_factor) > 0.0
    inside = []
    for frame in jp.draw_dataset(oracle, crystal.repeated((2, 2, 1)), 12, 1, strain=0.02, displacements=(0.03, 0.1)):
        bars = jp.std(posterior, frame.structure).total.forces
        off = np.abs(np.asarray(jp.forces(posterior.potential, frame.structure)) - frame.forces)
        inside.append(off < 1.645 * bars)
    assert 0.8 < np.mean(inside) < 0.98


def test_a_linear_observation_is_learned_exactly(posterior, disturbed):
    # An energy is linear in the weights: the textbook formulas for a Gaussian.
    listed = jp.neighbors(disturbed, posterior.potential.cutoff)

    def energy(potential):
        return jp.energy(potential, disturbed, listed)

    found = jp.propagate(posterior, energy)
    variance, sigma = float(found.variance), 0.3 * float(found.std)
    measured = float(found.value) + 2.0 * float(found.std)
    after = jp.propagate(jp.condition(posterior, energy, measured, sigma), energy)
    weight = variance / (variance + sigma**2)
    np.testing.assert_allclose(after.value, float(found.value) + weight * 2.0 * float(found.std), rtol=1e-9)
    np.testing.assert_allclose(after.variance, (1.0 - weight) * variance, rtol=1e-6)


def test_a_measured_property_is_learned(posterior, at_rest, propagated):
    found, function = propagated["elastic"], PROPERTIES["elastic"]
    measured = np.asarray(found.value) * 1.001
    sigma = 0.1 * np.asarray(found.std)
    learned = jp.condition(posterior, function, measured, sigma, at_rest)
    moved = jp.relax(learned.potential, at_rest, cell=True).structure
    after = jp.propagate(learned, function, moved)
    assert (np.abs(after.value - measured) < np.abs(found.value - measured)).all()
    assert (np.asarray(after.std) <= sigma * 1.01).all()


def test_the_frames_chosen_leave_the_bars_that_were_foretold(posterior, train, propagated):
    target = propagated["lattice"]
    candidates = [frame.structure for frame in train][:6]
    chosen, left = jp.select_frames(posterior, target, candidates, 2)
    assert len(set(chosen)) == 2 and left.shape == (2, 1)
    assert left[1, 0] < left[0, 0] < float(target.std)
    after = posterior
    for k in chosen:
        rows, noise = observed_frame(after, candidates[k])
        after = jp.condition_linear(after, rows, noise)
    mixed = np.linalg.lstsq(np.asarray(posterior.factor), np.asarray(after.factor), rcond=None)[0]
    np.testing.assert_allclose(np.linalg.norm(np.ravel(target.slopes) @ mixed), left[1, 0], rtol=1e-5)
    for k in range(len(candidates)):  # none would have been better
        rows, noise = observed_frame(posterior, candidates[k])
        white = rows / noise[:, None]
        slope = np.ravel(target.slopes)
        rest = slope @ np.linalg.solve(np.eye(len(slope)) + white.T @ white, slope)
        assert np.sqrt(rest) >= left[0, 0] * (1.0 - 1e-9)


def test_grades_tell_what_is_inside_from_what_is_outside(posterior, train, disturbed):
    structures = [frame.structure for frame in train]
    active = jp.ActiveSet.of(posterior.potential, structures)
    inside = np.concatenate([active.grades(s) for s in structures])
    assert inside.max() < 1.05
    # The active environments are those that make a unit matrix of themselves: grade 1.
    starts = np.cumsum([0, *map(len, structures)])
    np.testing.assert_allclose(inside[[starts[k] + atom for k, atom in active.places]], 1.0, rtol=1e-3)
    squeezed = structures[0].strained(-0.12 * np.eye(3))
    assert active.grades(squeezed).min() > 2.0
    assert active.distances(squeezed).min() > 3.0 * np.median(np.concatenate([active.distances(s) for s in structures]))
    with pytest.raises(DataError, match="linear in its weights"):
        jp.ActiveSet.of(StillingerWeber.silicon(), structures)


def test_bars_in_ase(posterior, crystal):
    atoms = jp.to_ase(crystal)
    atoms.calc = jp.ase_calculator(posterior)
    bars = jp.std(posterior, crystal).epistemic
    assert atoms.get_potential_energy() == pytest.approx(float(jp.energy(posterior.potential, crystal)))
    assert atoms.calc.get_property("energy_std", atoms) == pytest.approx(float(bars.energy))
    np.testing.assert_allclose(atoms.calc.get_property("forces_std", atoms), bars.forces, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(atoms.calc.get_property("stress_std", atoms)[3], bars.stress[1, 2], rtol=1e-6)
    atoms.calc.potential = StillingerWeber.silicon()
    assert "energy_std" not in atoms.calc.implemented_properties


def test_what_is_refused(found, posterior, oracle, crystal, train, tmp_path):
    with pytest.raises(DataError, match="expected a Posterior"):
        jp.std(found.potential, crystal)
    with pytest.raises(DataError, match="expected a Posterior"):
        jp.propagate(found.potential, lambda p: jp.energy(p, crystal))
    with pytest.raises(DataError, match="real floating"):
        jp.propagate(posterior, lambda p: jnp.array([1, 2]))
    with pytest.raises(DataError, match="no parameter 'eps'"):
        jp.Posterior.of(oracle, {"eps": 0.1})
    with pytest.raises(DataError, match="not negative"):
        jp.Posterior.of(oracle, {"epsilon": -0.1})
    with pytest.raises(DataError, match="symmetric matrix"):
        jp.Posterior.of(oracle, {"epsilon": 0.1}, correlation=np.eye(2))
    with pytest.raises(DataError, match="ones on the diagonal"):
        jp.Posterior.of(oracle, {"epsilon": 0.1}, correlation=[[2.0]])
    with pytest.raises(DataError, match="only the weights of Gaussian processes"):
        jp.widened(jp.Posterior.of(oracle, {"epsilon": 0.1}), [crystal])
    for of_a_potential in (jp.elastic_constants, jp.forces, lambda p, x: jp.gruneisen(p, x, [[0.5, 0.0, 0.5]])):
        with pytest.raises(DataError, match="expected a jaxpot potential"):
            of_a_potential(posterior, crystal)
    with pytest.raises(DataError, match="keep_folds=True"):
        jp.calibrate(jp.fit(train, found.recipe, predictions=False), train)
    with pytest.raises(DataError, match="count"):
        posterior.sample(0, 0)
    with pytest.raises(DataError, match="expected 1 to 1"):
        jp.select_frames(posterior, jp.propagate(posterior, lambda p: p.terms[0].energies.sum()), [crystal], 2)
    with pytest.raises(DataError, match="positive"):
        jp.condition_linear(posterior, np.ones(posterior.factor.shape[1]), 0.0)
    with pytest.raises(DataError, match="positive deviations"):
        jp.condition(posterior, lambda p: jp.energy(p, crystal), np.nan, 0.1)
    with pytest.raises(PrecisionError):
        jp.std(posterior, jax.tree.map(lambda a: a.astype(np.float32) if a.dtype == np.float64 else a, crystal))


def test_former_names_are_deprecated():
    for former, name in (("learn", "condition"), ("observe", "condition_linear")):
        with pytest.warns(DeprecationWarning, match=f"jp.{name} now"):
            assert getattr(jp, former) is getattr(jp, name)


def test_deviations_of_weights_that_no_fit_has_given(found, disturbed):
    """The bar of the weights is that of draws; the residual is that of the fit, whose jitter is the default."""
    name = "terms[2].readout.weights"
    given = jp.Posterior.of(found.potential, {name: 0.01})
    bars = jp.std(given, disturbed)
    slopes = jax.grad(lambda p: jp.energy(p, disturbed))(found.potential).terms[2].readout.weights
    assert float(bars.parametric.energy) == pytest.approx(0.01 * float(np.linalg.norm(slopes)), rel=1e-6)
    assert np.isfinite(bars.epistemic.forces).all() and bars.epistemic.energy > bars.parametric.energy
    with pytest.raises(DataError, match=r"replace\(sigmas="):
        jp.select_frames(given, None, [disturbed], 1)
    numbers, told = jp.select_frames(given.replace(sigmas={"forces": 0.05}), None, [disturbed], 1)
    assert numbers == [0] and told[0] > 0.0
