"""Fits of ACE: what is fitted is written for PACE and read back, and recipes that have no meaning are refused."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import jaxpot as jp
from jaxpot.errors import FormatError
from jaxpot.fitting import read_recipe

RECIPE = """
[[term]]
descriptor = "ace"
readout = "linear"
cutoff = 1.7
nradmax_by_orders = [4, 2, 1]
degree_by_orders = [3, 4, 3]
lmax_by_orders = [0, 2, 1]
radparameter = 2.0
core = true
[sigma]
energy = 0.002
forces = 0.05
[choice]
method = "fixed"
"""


SILICON = jp.potentials.StillingerWeber.silicon()


def fit_of(folder, text, count=12):
    """A fit to frames of silicon by the text of a recipe."""
    (folder / "small.toml").write_text(text)
    return jp.fit(jp.draw_dataset(SILICON, bulk("Si", cubic=True), count=count), folder / "small.toml", predictions=False)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A fit, and the potential that its file holds."""
    folder = tmp_path_factory.mktemp("ace")
    of_data = fit_of(folder, RECIPE)
    jp.save(of_data.potential, folder / "si.yace")
    return of_data, jp.load(folder / "si.yace")


def test_fits_are_written_and_read_back(fitted):
    fitted, read = fitted
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=0)
    here, written, exact = (jp.evaluate(p, atoms) for p in (fitted.potential, read, SILICON))
    np.testing.assert_allclose(written.forces, here.forces, atol=1e-12)
    assert abs(written.energy - here.energy) < 1e-11
    assert np.abs(here.forces - exact.forces).max() < 0.3 * np.abs(exact.forces).max()
    assert 0.0 < jp.std(fitted.posterior, atoms).parametric.energy < 1.0


def test_atoms_repel_each_other_below_the_distances_of_the_data(fitted):
    """Down to a tenth of a bond in a dimer, to two thirds in a crystal; and the file has the same core."""
    fitted, read = fitted
    distances = np.linspace(1.9, 0.2, 30)
    dimers = [Atoms("Si2", [[0, 0, 0], [0, 0, d]]) for d in distances]
    crystals = [bulk("Si", a=d * 4 / 3**0.5) for d in distances[distances > 1.4]]
    for structures in (dimers, crystals):
        energies = np.array([r.energy for r in jp.evaluate_many(fitted.potential, structures)])
        assert (np.diff(energies) > 0.0).all()
        written = [r.energy for r in jp.evaluate_many(read, structures)]
        np.testing.assert_allclose(written, energies, rtol=1e-12)


def test_each_body_order_has_its_scale(tmp_path):
    """A search over scales ends in the fit that these scales, once fixed, give: weights and their bars."""
    searched = fit_of(tmp_path, RECIPE.replace('"fixed"', '"cross-validation"\nfolds = 2'))
    assert len(searched.deltas[0]) == 3 and len(set(searched.deltas[0])) > 1
    sigmas = "".join(f"{kind} = {searched.sigmas[kind]!r}\n" for kind in ("energy", "forces"))
    text = RECIPE.replace("energy = 0.002\nforces = 0.05\n", sigmas)
    fixed = fit_of(tmp_path, text.replace("cutoff", f"delta = {list(searched.deltas[0])}\ncutoff"))
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=0)
    forces, bars = zip(*(
        (jp.evaluate(fit.potential, atoms).forces, jp.std(fit.posterior, atoms).parametric.forces)
        for fit in (searched, fixed)
    ), strict=True)
    np.testing.assert_allclose(*forces, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(*bars, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("old, new, message", [
    ("cutoff", "delta = [1.0, 2.0]\ncutoff", "as many as nradmax_by_orders"), ("[3, 4, 3]", "[3]", "as many numbers"),
    ("core = true", "core = 3", "true or false"), ("cutoff", "delta = [1.0, 2.0, 0.0]\ncutoff", "positive number"), ("radparameter = 2.0", "radparameter = 0", "lambda"),
    ("[4, 2, 1]", "[4, 2]", "as many numbers"), ("[4, 2, 1]", "[0, 2, 1]", "whole numbers from 1"),
    ("[0, 2, 1]", "3", "whole numbers from 0"), ("radparameter = 2.0", 'radbase = "Legendre"', "ChebExpCos"),
    ("lmax_by_orders = [0, 2, 1]\n", "", "needs lmax_by_orders"), ("cutoff", "twojmax = 2\ncutoff", "has no twojmax"),
])
def test_recipes_without_a_meaning(old, new, message, tmp_path):
    (tmp_path / "bad.toml").write_text(RECIPE.replace(old, new))
    with pytest.raises(FormatError, match=message):
        read_recipe(tmp_path / "bad.toml")
