"""Formulas fitted: known parameters come back, other optimisers find the same minimum, every pair is there, refusals."""

import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from scipy.optimize import differential_evolution

import jaxpot as jp
from jaxpot.errors import ConvergenceError, DataError, JaxpotWarning, ResourceError
from jaxpot.fitting.formulas import fit_form as form
from jaxpot.fitting.formulas import problem as form_problem
from jaxpot.fitting.formulas.fit_form import fit_form
from jaxpot.fitting.formulas.least_squares import latin_hypercube, least_squares
from jaxpot.fitting.formulas.parameters import parameters_of
from jaxpot.fitting.formulas.problem import Problem, Target
from jaxpot.potentials import ZBL, Buckingham, Constants, LennardJones, Morse, StillingerWeber, Tersoff

SALT = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
SILICON = StillingerWeber.silicon()
IONS = Morse(
    depth={("Na", "Na"): 0.05, ("Na", "Cl"): 0.9, ("Cl", "Cl"): 0.1},
    alpha={("Na", "Na"): 1.0, ("Na", "Cl"): 1.3, ("Cl", "Cl"): 1.1},
    r0={("Na", "Na"): 4.1, ("Na", "Cl"): 2.8, ("Cl", "Cl"): 3.9}, cutoff=6.0, shift="smooth",
)
ARGON = LennardJones(0.0104, 3.4, cutoff=8.5, shift="energy", species=("Ar",))


@pytest.fixture(scope="module")
def silicon():
    data = jp.draw_dataset(SILICON, bulk("Si", cubic=True), 9, seed=1)
    return data.with_frames(jp.draw_dataset(SILICON, bulk("Si"), 5, seed=2).frames)


@pytest.fixture(scope="module")
def argon():
    return jp.draw_dataset(ARGON, bulk("Ar", a=5.3), 6, seed=3, displacements=(0.1,))


def problem_of(potential, data, free, bounds=None, sigmas=None, targets=(), loose=()):
    parameters = parameters_of(potential, free, bounds)
    labels = form._labels(parameters, data, loose, form._checked_sigmas(sigmas))
    return Problem(parameters, labels, targets)


@pytest.mark.thorough
def test_stillinger_weber_comes_back_from_far_away(silicon):
    names = ["sigma", "a", "lam", "gamma", "A", "B", "cos_theta0"]
    bounds = {name: (float(getattr(SILICON, name)) / 1.5, float(getattr(SILICON, name)) * 1.5) for name in names}
    bounds |= {"cos_theta0": (-0.6, 0.0), "sigma": (1.5, 3.0), "a": (1.3, 2.6)}
    first = SILICON.replace(sigma=2.3, a=1.6, lam=30.0, gamma=1.0, A=6.0, B=0.8, cos_theta0=-0.4)
    before = form_problem._label_residuals._cache_size(), form_problem._label_slopes._cache_size()
    found = fit_form(
        first, silicon, free=names, bounds=bounds, starts=24, refined=3, sigmas={"stress": 0.01}, test=silicon[:3]
    )
    # Frames of 2 and of 8 atoms, all starts and all descents share two programs.
    assert (form_problem._label_residuals._cache_size(), form_problem._label_slopes._cache_size()) == (before[0] + 1, before[1] + 1)
    for name in names:
        assert found.parameters[name].value == pytest.approx(float(getattr(SILICON, name)), rel=1e-8)
        assert float(getattr(found.potential, name)) == found.parameters[name].value
        assert found.parameters[name].error < 1e-8
    assert found.potential.cutoff == pytest.approx(SILICON.cutoff, rel=1e-8)
    for predictions in (found.train, found.test):
        assert all(error["mae"] < 1e-9 for error in predictions.errors()["all"].values())
    assert found.starts.shape == (25,) and len(found.descents) == 3 and found.winners() >= 2
    assert found.descents[0].converged and min(d.start for d in found.descents) > 100.0
    shown = str(found)
    assert "7.04955" in shown and "descents end in the lowest minimum" in shown and "meV/atom" in shown


def test_two_elements_come_back_and_tables_stay_symmetric():
    data = jp.draw_dataset(IONS, SALT, 8, seed=4, displacements=(0.2, 0.4))
    chance = np.random.default_rng(5)

    def disturbed(table):
        factors = chance.uniform(0.75, 1.3, (2, 2))
        return np.asarray(table) * np.sqrt(factors * factors.T)

    first = IONS.replace(depth=disturbed(IONS.depth), alpha=disturbed(IONS.alpha), r0=disturbed(IONS.r0))
    names = [f"{name}[{k}]" for name in ("depth", "alpha", "r0") for k in ("0,0", "0,1", "1,1")]
    bounds = {"alpha": (0.5, 2.5), "r0": (2.0, 6.0), "r0[0,1]": (2.0, 4.0)}
    found = fit_form(first, data, bounds=bounds, starts=30, refined=4, seed=1)
    assert list(found.parameters) == names
    assert found.parameters["r0[0,1]"].high == pytest.approx(4.0) and found.parameters["r0[1,1]"].high == pytest.approx(6.0)
    for name in ("depth", "alpha", "r0"):
        table = np.asarray(getattr(found.potential, name))
        np.testing.assert_allclose(table, getattr(IONS, name), rtol=1e-6)
        np.testing.assert_array_equal(table, table.T)


def test_another_optimiser_finds_the_same_minimum():
    """Crystals whose energies no Lennard-Jones potential has: differential evolution on a plain sum over images."""
    lattice = np.array([4.9, 5.1, 5.3, 5.5, 5.8, 6.2])
    wanted = np.array([-0.03, -0.07, -0.085, -0.08, -0.065, -0.05])  # eV/atom
    frames = [jp.Frame(bulk("Ar", a=a), energy=e) for a, e in zip(lattice, wanted, strict=True)]
    images = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), -1).reshape(-1, 3)
    vectors = images[np.any(images != 0, axis=1)] @ (0.5 * (1.0 - np.eye(3)))

    def cost(logs):
        epsilon, sigma = np.exp(logs)
        off = []
        for a, e in zip(lattice, wanted, strict=True):
            r = a * np.linalg.norm(vectors, axis=1)
            r = r[r < 8.5]
            v = lambda r: 4.0 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6)  # noqa: E731
            off.append((0.5 * np.sum(v(r) - v(8.5)) - e) / 0.01)
        return np.mean(np.square(off))

    bounds = [(0.0026, 0.0416), (2.5, 4.5)]
    other = differential_evolution(cost, np.log(bounds), seed=1, tol=1e-14, maxiter=400, popsize=10)
    data = jp.Dataset(frames, {18: 0.0}, "given")
    found = fit_form(ARGON, data, bounds=dict(zip(("epsilon", "sigma"), bounds, strict=True)), starts=20)
    assert found.cost > 0.1
    assert found.cost == pytest.approx(other.fun, rel=1e-9)
    values = [p.value for p in found.parameters.values()]
    np.testing.assert_allclose(values, np.exp(other.x), rtol=1e-5)
    assert found.winners() == len(found.descents) and found.shares == {"energy": pytest.approx(found.cost)}

    # Standard errors: by the Jacobian from differences of the plain sum, residuals that scatter by what is left.
    def residuals(values):
        off = []
        for a, e in zip(lattice, wanted, strict=True):
            r = a * np.linalg.norm(vectors, axis=1)
            r = r[r < 8.5]
            v = lambda r: 4.0 * values[0] * ((values[1] / r) ** 12 - (values[1] / r) ** 6)  # noqa: E731
            off.append(0.5 * np.sum(v(r) - v(8.5)) - e)
        return np.array(off)

    jacobian = np.stack([
        (residuals(values + h) - residuals(values - h)) / 2e-6 for h in 1e-6 * np.eye(2)
    ], axis=1)
    expected = np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)) * np.sum(residuals(values) ** 2) / 4)
    np.testing.assert_allclose([p.error for p in found.parameters.values()], expected, rtol=1e-4)


def test_cost_is_made_of_what_is_said(argon):
    frames = [replace(argon[0], sigma_energy=0.003), replace(argon[1], energy=None), replace(argon[2], forces=None)]
    data = jp.Dataset(frames, argon.e0, "given")
    sigmas = {"energy": 0.02, "forces": 0.3, "stress": 0.05}
    other = ARGON.replace(epsilon=0.012, sigma=3.3)
    target = Target("pair", lambda p: jnp.stack([p.epsilon, 1.0 / p.sigma]), [0.011, 0.3], [0.001, 0.02])
    problem = problem_of(other, data, None, sigmas=sigmas, targets=(target,))
    values = [jp.evaluate(other, f.structure) for f in frames]
    energies = [(float(values[0].energy) - frames[0].energy) / 0.003, (float(values[2].energy) - frames[2].energy) / 0.02]
    forces = np.stack([np.asarray(values[k].forces) - frames[k].forces for k in (0, 1)]) / 0.3
    stresses = np.stack([np.asarray(v.stress) - f.stress for v, f in zip(values, frames, strict=True)]) / 0.05
    parts = {"energy": np.mean(np.square(energies)), "forces": np.mean(forces**2), "stress": np.mean(stresses**2),
             "targets": 1.0 + ((1 / 3.3 - 0.3) / 0.02) ** 2}
    there = problem.residuals(problem.parameters.coordinates(problem.parameters.first()))
    assert problem.shares(there) == pytest.approx(parts, rel=1e-9)


def test_jacobian_is_that_of_differences(argon):
    target = Target("energy", lambda p: jp.energy(p, bulk("Ar", a=5.2)), -0.1, 0.02)
    potential = ARGON + 0.5 * Buckingham(100.0, 0.4, 20.0, cutoff=6.0, species=("Ar",), shift="smooth")
    problem = problem_of(potential, argon, None, {"terms[1].factor": (-2.0, 2.0)}, {"stress": 0.02}, (target,), (18,))
    assert problem.parameters.names[2:] == tuple(f"terms[1].{n}" for n in ("potential.A", "potential.rho", "potential.C", "factor"))
    y, step = np.array([0.45, 0.5, 0.4, 0.55, 0.5, 0.6]), 1e-5
    found = problem.jacobian(y)
    for column, h in zip(found.T, step * np.eye(6), strict=True):
        expected = (problem.residuals(y + h) - problem.residuals(y - h)) / (2.0 * step)
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(column, expected, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("potential", [SILICON, SILICON + ZBL(inner=0.8, outer=1.6)], ids=["alone", "sum"])
def test_no_pair_is_missed_within_the_bounds(silicon, potential):
    prefix = "" if potential is SILICON else "terms[0]."
    bounds = {f"{prefix}sigma": (1.5, 2.5), f"{prefix}a": (1.5, 2.6)}
    problem = problem_of(potential, silicon[:2], list(bounds), bounds)
    assert float(problem.labels.reach) == pytest.approx(6.5)
    longest = SILICON.replace(sigma=2.5, a=2.6) if not prefix else SILICON.replace(sigma=2.5, a=2.6) + potential.terms[1]
    expected = [(jp.energy(longest, f.structure) - f.energy) / len(f) / 0.01 / np.sqrt(2) for f in silicon[:2]]
    np.testing.assert_allclose(problem.residuals(np.ones(2))[:2], expected, rtol=1e-10)
    short = problem.labels.replace(reach=np.asarray(6.4))
    assert np.isnan(form_problem._label_residuals(np.ones(2), problem.parameters, short)).all()


def test_what_constructors_want_equal_is_one_parameter():
    both = StillingerWeber(
        epsilon=np.ones((2, 2, 2)), sigma=2.0 * np.ones((2, 2)), a=1.8, lam=21.0 * np.ones((2, 2, 2)),
        gamma=1.2 * np.ones((2, 2)), cos_theta0=-1 / 3, A=7.0, B=0.6, species=("Si", "Ge"),
    )
    names = parameters_of(both, ["epsilon", "sigma", "lam", "gamma"], None).names
    assert [n for n in names if n.startswith("sigma")] == ["sigma[0,0]", "sigma[0,1]", "sigma[1,1]"]
    assert [n for n in names if n.startswith("gamma")] == ["gamma[0,0]", "gamma[0,1]", "gamma[1,0]", "gamma[1,1]"]
    assert [n for n in names if n.startswith("lam")] == [f"lam[{k}]" for k in ("0,0,0", "0,0,1", "0,1,1", "1,0,0", "1,0,1", "1,1,1")]
    assert [n for n in names if n.startswith("epsilon")] == [f"epsilon[{k}]" for k in ("0,0,0", "0,0,1", "0,1,1", "1,0,1", "1,1,1")]
    with pytest.raises(DataError, match="neither alone"):
        parameters_of(both, ["sigma[0,1]"], None)


def test_logarithms_where_both_bounds_have_one_sign():
    potential = Buckingham(100.0, 0.4, -20.0, cutoff=6.0)
    parameters = parameters_of(potential, None, {"rho": (-0.1, 0.9), "A": (1.0, 10000.0)})
    np.testing.assert_allclose(parameters.values(np.full(3, 0.5)), [100.0, 0.4, -20.0])
    np.testing.assert_allclose(parameters.values(np.zeros(3)), [1.0, -0.1, -80.0])
    np.testing.assert_allclose(parameters.coordinates([100.0, 0.15, -5.0]), [0.5, 0.25, 1.0])
    np.testing.assert_allclose(parameters.at(np.zeros(3)).C, -80.0)


def test_constants_are_found_where_data_tell_nothing_of_atoms(argon):
    shifted = [replace(f, energy=f.energy - 3.0 * len(f)) for f in argon]
    data = jp.Dataset.of(shifted, e0="least squares")
    found = fit_form(ARGON.replace(epsilon=0.02, sigma=3.3), data, starts=4, refined=2)
    assert found.parameters["epsilon"].value == pytest.approx(0.0104, rel=1e-6)
    assert found.e0 == {18: pytest.approx(-3.0, abs=1e-9)}
    assert found.train.errors()["all"]["energy"]["mae"] < 1e-9
    given = fit_form(ARGON, jp.Dataset(shifted, {18: -3.0}, "given"), starts=0)
    assert given.e0 == {18: -3.0} and given.cost < 1e-12


@pytest.mark.thorough
def test_properties_alone_determine_a_potential():
    def properties(potential):
        crystal = jp.relax(potential, bulk("Ar", a=5.2), cell=True).structure
        return jnp.stack([(4.0 * crystal.volume) ** (1 / 3), jp.energy(potential, crystal)])

    smooth = ARGON.replace(shift="smooth", cutoff=5.0, onset=4.2)
    wanted = properties(smooth)
    target = Target("a0 E", properties, wanted, [0.01, 0.001])
    found = fit_form(smooth.replace(epsilon=0.0106, sigma=3.42), targets=[target], starts=0, bounds={"sigma": (3.0, 4.0)})
    assert [p.value for p in found.parameters.values()] == pytest.approx([0.0104, 3.4], rel=1e-6)
    value, reached = found.targets["a0 E"]
    np.testing.assert_allclose(reached, value, atol=1e-6)
    assert found.train is None and "a0 E[0]" in str(found)
    # Errors of targets are their sigmas: epsilon follows the energy, and sigma the lattice constant.
    assert found.parameters["epsilon"].error == pytest.approx(0.0104 * 0.001 / abs(float(wanted[1])), rel=0.2)
    assert found.parameters["sigma"].error == pytest.approx(3.4 * 0.01 / float(wanted[0]), rel=0.2)


def test_labels_and_targets_weigh_as_said(argon):
    """Data for 3.4 A and a target of 3.5 A: between them, where the derivative of the cost vanishes."""
    target = Target("sigma", lambda p: p.sigma, 3.5, 0.01)
    found = fit_form(ARGON, argon, free="sigma", targets=[target], bounds={"sigma": (3.2, 3.7)}, starts=5)
    assert 3.401 < found.parameters["sigma"].value < 3.499
    assert found.cost == pytest.approx(sum(found.shares.values())) and set(found.shares) == {"energy", "forces", "targets"}
    for off in (-1e-4, 1e-4):
        moved = ARGON.replace(sigma=found.parameters["sigma"].value + off)
        errors = jp.predict(moved, argon).errors()["all"]
        cost = (errors["energy"]["rmse"] / 0.01) ** 2 + (errors["forces"]["rmse"] / 0.1) ** 2
        assert cost + (float(moved.sigma - 3.5) / 0.01) ** 2 > found.cost
    assert len(found.descents) == 1  # labels have led to one place


def test_bounds_and_what_is_not_determined_are_named(argon):
    with pytest.warns(JaxpotWarning, match="at a bound of sigma"):
        found = fit_form(ARGON.replace(sigma=3.1), argon, bounds={"sigma": (3.0, 3.3)}, starts=3, refined=1)
    sigma = found.parameters["sigma"]
    assert sigma.at_bound and sigma.value == pytest.approx(3.3, rel=1e-12) and np.isnan(sigma.error)
    assert np.isfinite(found.parameters["epsilon"].error) and "at a bound" in str(found)
    with pytest.warns(JaxpotWarning, match="do not determine potential.epsilon, factor:"):
        found = fit_form(2.0 * ARGON, argon, starts=2, refined=1)
    assert found.parameters["factor"].error == np.inf and not found.parameters["potential.epsilon"].determined
    assert np.isfinite(found.parameters["potential.sigma"].error) and "not determined" in str(found)
    product = found.parameters["factor"].value * found.parameters["potential.epsilon"].value
    assert product == pytest.approx(0.0104, rel=1e-8)


def test_failures_are_bad_starts_unless_all_fail():
    def bad_above(most):
        def function(potential):
            if float(jax.lax.stop_gradient(potential.sigma)) > most:
                raise ConvergenceError("the crystal collapses")
            return potential.sigma
        return function

    target = Target("sigma", bad_above(3.5), 3.6, 0.1)
    found = fit_form(ARGON.replace(sigma=3.7), targets=[target], free="sigma", bounds={"sigma": (3.0, 4.0)}, starts=10)
    assert np.isinf(found.starts[0]) and np.isfinite(found.starts).any()
    assert 3.45 < found.parameters["sigma"].value <= 3.5 and not found.descents[0].converged
    for name, function in (("collapses", bad_above(0.0)), ("not all numbers are finite", lambda p: jnp.sqrt(-p.sigma))):
        with pytest.raises(ConvergenceError, match=name):
            fit_form(ARGON, targets=[Target("x", function, 1.0, 0.1)], starts=3)


def test_a_constructor_that_refuses_makes_a_bad_start():
    carbon = Tersoff(1393.6, 346.7, 3.4879, 2.2119, 1.5724e-7, 0.72751, 38049.0, 4.3484, -0.57058, 1.8, 2.1, species=("C",))
    target = Target("R", lambda p: p.R[0] + 0.0 * p.S[0], 2.05, 0.1)
    free = {"R": (1.5, 2.5), "S": (1.6, 2.4)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", JaxpotWarning)  # nothing depends on S
        found = fit_form(carbon, targets=[target], free=list(free), bounds=free, starts=20, refined=3)
    assert np.isinf(found.starts).any()
    assert float(found.potential.R[0]) < float(found.potential.S[0])


def test_a_seed_repeats_its_result(argon):
    one, same, other = (
        fit_form(ARGON, argon[:2], starts=5, refined=2, seed=seed).starts for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert one[0] == other[0] and (one[1:] != other[1:]).all()


def test_starts_are_spread_in_each_coordinate():
    points = latin_hypercube(16, 3, 0)
    np.testing.assert_array_equal(np.sort(np.floor(16 * points), axis=0), np.tile(np.arange(16.0)[:, None], 3))


def test_least_squares_with_bounds():
    """Rosenbrock's valley: free, with its minimum outside of the cube, and with a wall of no value."""
    def rosenbrock(y):
        return np.array([10.0 * (y[1] - y[0] ** 2), 1.0 - y[0]])

    def slopes(y):
        return np.array([[-20.0 * y[0], 10.0], [-1.0, 0.0]])

    scaled = lambda c: (lambda y: rosenbrock(c * y), lambda y: c * slopes(c * y))  # noqa: E731
    free = least_squares(*scaled(2.0), np.array([0.05, 0.9]), 100)
    np.testing.assert_allclose(free.y, 0.5, atol=1e-9)
    held = least_squares(*scaled(0.8), np.array([0.1, 0.9]), 100)
    np.testing.assert_allclose(held.y, [1.0, 0.8], atol=1e-6)
    assert free.converged and held.converged and held.cost == pytest.approx(0.04)
    function, derivative = scaled(2.0)
    wall = least_squares(lambda y: None if y[0] > 0.4 else function(y), derivative, np.array([0.05, 0.9]), 100)
    assert 0.3 < wall.y[0] <= 0.4 and not wall.converged


@jp.pytree
class Bare(jp.Potential):
    cutoff = 3.0

    def site_energy(self, environment):
        return 0.0 * jnp.sum(environment.x)


def target_of(function):
    return [Target("made up", function, 1.0, 0.1)]


REFUSED = {
    "no such parameter": (dict(free="sigmas"), "no parameter 'sigmas'; there are epsilon, sigma"),
    "no such bounds": (dict(bounds={"rho": (1, 2)}), "bounds: there is no parameter 'rho'"),
    "bounds of what is not free": (dict(free="sigma", bounds={"epsilon": (0.001, 1)}), "epsilon is not among the free"),
    "order of bounds": (dict(bounds={"sigma": (4.0, 3.0)}), "low < high, got 4 and 3"),
    "one bound": (dict(bounds={"sigma": 3.0}), "sigma: expected"),
    "first value outside": (dict(bounds={"sigma": (3.5, 4.0)}), "3.4, is not between 3.5 and 4"),
    "nothing free": (dict(free=[]), "0 parameters"),
    "nothing to fit to": (dict(data=None), "nothing to fit to"),
    "no dataset": (dict(data=[1, 2]), "data: expected a Dataset"),
    "test without data": (dict(data=None, targets=target_of(lambda p: p.sigma), test="data"), "test: without data"),
    "sigma": (dict(sigmas={"forces": 0.0}), "sigmas: forces: expected a positive number, got 0"),
    "kind": (dict(sigmas={"force": 0.1}), "sigmas: expected some of energy, forces, stress"),
    "no sigmas": (dict(sigmas={"energy": None, "forces": None}), "no frame has a label with a sigma"),
    "no potential": (dict(potential=3.0), "expected a jaxpot potential"),
    "no parameters": (dict(potential=Bare()), "Bare.* has no parameters"),
    "no target": (dict(targets=[3.0]), "expected Targets"),
    "same names": (dict(targets=2 * target_of(lambda p: p.sigma)), "different names"),
    "shape of a target": (dict(targets=target_of(lambda p: jnp.ones(2))), r"shape \(2,\), the value is of shape \(\)"),
    "a Python number": (dict(targets=target_of(lambda p: float(p.sigma))), "cannot be differentiated"),
    "a NumPy number": (dict(targets=target_of(lambda p: np.sqrt(np.asarray(p.sigma)))), "cannot be differentiated"),
    "no derivative": (dict(targets=target_of(lambda p: jax.lax.stop_gradient(p.sigma))), "other than zero"),
}


@pytest.mark.parametrize("changes, message", REFUSED.values(), ids=REFUSED)
def test_refusals(argon, changes, message):
    given = {"potential": ARGON, "data": argon[:1], "starts": 1, "refined": 1} | changes
    given |= {"test": argon} if "test" in changes else {}
    with pytest.raises(DataError, match=message):
        fit_form(given.pop("potential"), given.pop("data"), **given)


def test_refusals_of_elements_zeros_and_ranges(argon, silicon):
    with pytest.raises(DataError, match="knows Ar, but the structure contains Si"):
        fit_form(ARGON, silicon)
    with pytest.raises(DataError, match="knows Ar, but the structure contains Si"):
        fit_form(ARGON, argon, test=silicon)
    with pytest.raises(DataError, match="C is 0 at first"):
        fit_form(Buckingham(100.0, 0.4, 0.0, cutoff=6.0), argon)
    large = jp.Dataset([jp.Frame(bulk("Si", cubic=True) * (4, 4, 4), energy=0.0)], {14: 0.0}, "given")
    with pytest.raises(ResourceError, match="narrower ones for a, sigma"):  # a sigma is 60 A there
        fit_form(SILICON, large)
    with pytest.raises(DataError, match="nothing to fit to"):
        fit_form(ARGON, jp.Dataset([replace(argon[0], energy=None, forces=None)], argon.e0, "given"))


@pytest.mark.parametrize("value, sigma, message", [
    (np.nan, 1.0, "finite"), (1.0, 0.0, "positive"), (1.0, -1.0, "positive"), ([1.0, 2.0], [1.0, 1.0, 1.0], "one shape"),
    ("x", 1.0, "numbers"),
])
def test_refusals_of_targets(value, sigma, message):
    with pytest.raises(DataError, match=message):
        Target("made up", lambda p: p.sigma, value, sigma)
    with pytest.raises(DataError, match="expected a function"):
        Target("made up", 3.0, 1.0, 1.0)


def test_e0_with_the_potential_are_energies_of_the_data(argon):
    found = fit_form(ARGON, argon, starts=0)
    whole = found.potential + Constants(found.e0)
    assert float(jp.energy(whole, argon[0].structure)) == pytest.approx(argon[0].energy, abs=1e-9)


def test_the_posterior_is_how_fits_to_noisy_labels_scatter(argon):
    """Parameters, constants and an energy elsewhere, over labels drawn again and again."""
    chance = np.random.default_rng(0)
    elsewhere = bulk("Ar", a=5.6)

    def noisy():
        frames = [
            replace(
                f, energy=f.energy + 5e-4 * len(f) * chance.normal(),
                forces=f.forces + 0.002 * chance.normal(size=f.forces.shape),
            ) for f in argon
        ]
        return jp.Dataset.of(frames, e0="least squares")

    fits = [fit_form(ARGON, noisy(), starts=0, sigmas={"energy": 5e-4, "forces": 0.002}) for _ in range(60)]
    posterior = fits[0].posterior
    assert posterior.parameters == ("terms[0].epsilon", "terms[0].sigma", "terms[1].energies")
    draws = np.array([
        [float(f.potential.epsilon), float(f.potential.sigma), f.e0[18], float(jp.energy(f.posterior.potential, elsewhere))]
        for f in fits
    ])
    bars = np.mean([
        [*np.sqrt(np.sum(np.square(f.posterior.factor), axis=1)), float(jp.std(f.posterior, elsewhere).epistemic.energy)]
        for f in fits
    ], axis=0)
    np.testing.assert_allclose(bars, draws.std(0), rtol=0.35)  # 60 draws of a deviation of six frames
    errors = [fits[0].parameters[name].error for name in ("epsilon", "sigma")]
    np.testing.assert_allclose(np.sqrt(np.sum(np.square(posterior.factor), axis=1))[:2], errors)


def test_labels_without_some_frames_are_those_of_the_others(argon):
    sigmas = {"energy": 0.02, "forces": 0.3, "stress": 0.05}
    loose = problem_of(ARGON, argon, None, sigmas=sigmas, loose=(18,))
    rest = problem_of(ARGON, argon[np.array([0, 2, 3, 5])], None, sigmas=sigmas, loose=(18,))
    y = np.array([0.45, 0.6])
    without = Problem(loose.parameters, loose.labels.without(np.array([1, 4])), ())
    assert without.shares(without.residuals(y)) == pytest.approx(rest.shares(rest.residuals(y)), rel=1e-9)
    assert without.labels.counts() == rest.labels.counts()


def test_bars_of_a_formula_are_calibrated():
    """A form that is wrong: its bars cover the errors of frames that it has not seen."""
    truth = Morse(0.6, 1.3, 2.6, cutoff=6.0, shift="smooth")
    data = jp.draw_dataset(truth, bulk("Cu", cubic=True), 24, displacements=(0.02, 0.08), seed=4)
    pairs = LennardJones(0.4, 2.3, cutoff=6.0, shift="smooth")
    found = fit_form(pairs, data, starts=0, bounds={"sigma": (2.0, 2.8)}, keep_folds=True)
    assert len(found.left_out()) == 4 and 2 <= len(found.clusters_left_out()) <= 4
    assert sorted(np.concatenate([members for members, _ in found.left_out()])) == list(range(24))
    calibration = jp.calibrate(found, data)
    assert calibration.scores["forces"]["before"]["coverage"][0.9] < 0.7
    new = jp.draw_dataset(truth, bulk("Cu", cubic=True), 12, displacements=(0.02, 0.08), seed=5)
    bars = calibration.apply(found.posterior)
    inside = [
        np.abs(jp.forces(found.potential, f.structure) - f.forces) < 1.645 * np.asarray(jp.std(bars, f.structure).total.forces)
        for f in new
    ]
    assert 0.8 < np.mean(inside) < 0.99


def test_what_has_no_bars_says_why(argon):
    with pytest.raises(DataError, match="keep_folds: there are no frames to leave out"):
        fit_form(ARGON, targets=[Target("sigma", lambda p: p.sigma, 3.5, 0.01)], keep_folds=True)
    with pytest.raises(DataError, match="give keep_folds=True to fit_form"):
        fit_form(ARGON, argon, starts=0).left_out()
    with pytest.warns(JaxpotWarning, match="do not determine"):
        loose = fit_form(2.0 * ARGON, argon, starts=0, keep_folds=True)
    assert loose.posterior is None and loose.folds == ()
    with pytest.raises(DataError, match="do not determine potential.epsilon, factor; leave some out of free"):
        loose.left_out()
    few = [replace(f, forces=None, stress=None) for f in argon[:2]]
    exact = fit_form(ARGON, jp.Dataset(few, argon.e0, "given"), starts=0)
    assert exact.posterior is None
    with pytest.raises(DataError, match="no more labels and targets than parameters"):
        exact.left_out()
    three = [replace(f, forces=None, stress=None, energy=f.energy if k < 3 else None) for k, f in enumerate(argon[:4])]
    with pytest.raises(DataError, match="error bars of 2 parameters need more labels"):  # of two frames, without a third
        fit_form(ARGON, jp.Dataset(three, argon.e0, "given"), starts=0, keep_folds=True)
