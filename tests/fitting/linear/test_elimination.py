"""Models of fewer components: which go, what the others become, and what a recipe may ask for."""

import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.errors import DataError, FormatError
from jaxpot.fitting import read_recipe
from jaxpot.fitting.linear.elimination import eliminated
from jaxpot.potentials.base import terms_of

RECIPE = """
[[term]]
descriptor = "ace"
readout = "linear"
cutoff = 1.7
nradmax_by_orders = [6, 4]
lmax_by_orders = [0, 3]
delta = [4.0, 2.0]

[choice]
method = "cross-validation"
folds = 2
"""


@pytest.fixture
def rows():
    """Rows, targets of four of their thirty columns and of the last, and scales."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(200, 31)) @ np.diag(np.geomspace(1.0, 0.3, 31))
    weights = np.zeros(31)
    weights[[2, 11, 17, 26, 30]] = 1.0, -2.0, 1.5, 2.0, 3.0
    return matrix, matrix @ weights + 0.05 * rng.normal(size=200), rng.uniform(5.0, 20.0, 31)


def minimum(matrix, targets, scales, here):
    """The objective of a fit of some columns, by another route."""
    wide = np.concatenate([matrix[:, here] * scales[here], np.eye(len(here))])
    whitened, squares, *_ = np.linalg.lstsq(wide, np.concatenate([targets, np.zeros(len(here))]), rcond=None)
    return squares[0], whitened


def test_columns_that_matter_stay(rows):
    matrix, targets, scales = rows
    *_, (here, fit) = eliminated(matrix.T @ matrix, matrix.T @ targets, scales, [np.arange(30)], [4])
    assert here.tolist() == [2, 11, 17, 26, 30]
    np.testing.assert_allclose(fit.mean, minimum(*rows, here)[1], rtol=1e-8)


def test_each_step_leaves_out_what_costs_least(rows):
    matrix, targets, scales = rows
    (whole, _), (fewer, _), *_ = eliminated(matrix.T @ matrix, matrix.T @ targets, scales, [np.arange(30)], [4])
    costs = [minimum(*rows, np.delete(whole, k))[0] for k in range(30)]
    assert set(whole) - set(fewer) == set(np.argsort(costs)[: len(whole) - len(fewer)].tolist())


def test_each_group_keeps_its_number(rows):
    matrix, targets, scales = rows
    sizes = [len(here) for here, _ in eliminated(
        matrix.T @ matrix, matrix.T @ targets, scales, [np.arange(8), np.arange(8, 30)], [8, 3],
    )]
    assert sizes[0] == 31 and sizes[-1] == 8 + 3 + 1 and sizes == sorted(sizes, reverse=True)


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """Fits of all components and of some."""
    folder = tmp_path_factory.mktemp("fewer")
    (folder / "all.toml").write_text(RECIPE)
    data = jp.draw_dataset(jp.potentials.StillingerWeber.silicon(), bulk("Si", cubic=True), count=10)
    recipe = read_recipe(folder / "all.toml")
    return tuple(
        jp.fit(data, one, test=data, keep_folds=True, predictions=False)
        for one in (recipe, recipe.with_components(20))
    )


def test_path_of_errors(fits):
    whole, some = fits
    sizes = [size.components for size in whole.path]
    assert sizes[0] == whole.sparse[0] and sizes == sorted(sizes, reverse=True) and sizes[-1] == 16
    assert whole.path[0].errors == {"energy": 1.0, "forces": 1.0}
    assert whole.path[-1].errors["forces"] > 1.0
    assert some.path == whole.path


def test_fit_of_fewer_components(fits, tmp_path):
    """The smaller model is in its file what it is here; its bars, calibration and error are those of a fit."""
    whole, some = fits
    assert some.sparse == (20,) and whole.sparse == (46,)
    errors = [fit.test.errors()["all"]["forces"]["rmse"] for fit in fits]
    assert errors[0] < errors[1] < 5.0 * errors[0]
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=0)
    jp.save(some.potential, tmp_path / "si.yace")
    here, written = (jp.evaluate(p, atoms) for p in (some.potential, jp.load(tmp_path / "si.yace")))
    np.testing.assert_allclose(written.forces, here.forces, atol=1e-12)
    np.testing.assert_allclose(jp.evaluate(some.posterior.potential, atoms).forces, here.forces, atol=1e-9)
    assert len(some.left_out()) == 2
    described, all_described = (terms_of(fit.potential)[1].descriptor for fit in (some, whole))
    places = [all_described.components.index(component) for component in described.components]
    np.testing.assert_array_equal(described.scales, np.asarray(all_described.scales)[places])


def test_fewer_components_after_the_fit(fits):
    """The same as when the recipe asks for them."""
    whole, some = fits
    after = whole.with_components(20)
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=0)
    forces = [jp.evaluate(fit.potential, atoms).forces for fit in (some, after)]
    np.testing.assert_allclose(*forces, atol=1e-10)
    assert after.sparse == (20,) and after.with_components(7).sparse == (7,)
    assert jp.std(after.posterior, atoms).parametric.energy > 0.0
    with pytest.raises(DataError, match="from 1 to 46"):
        whole.with_components(47)


@pytest.mark.parametrize("count, message", [(100, "at most 46 components"), (0, "whole number of at least 1")])
def test_numbers_of_components_that_cannot_be(count, message, tmp_path):
    (tmp_path / "fewer.toml").write_text(RECIPE.replace("cutoff", f"components = {count}\ncutoff"))
    data = jp.draw_dataset(jp.potentials.StillingerWeber.silicon(), bulk("Si", cubic=True), count=4)
    with pytest.raises((DataError, FormatError), match=message):
        jp.fit(data, tmp_path / "fewer.toml")


def test_recipes_of_which_none_has_fewer():
    with pytest.raises(DataError, match="terms of ace"):
        read_recipe("snap").with_components(5)
