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


def test_fits_are_written_and_read_back(tmp_path):
    (tmp_path / "small.toml").write_text(RECIPE)
    silicon = jp.potentials.StillingerWeber.silicon()
    fitted = jp.fit(jp.draw_dataset(silicon, bulk("Si", cubic=True), count=12), tmp_path / "small.toml")
    jp.save(fitted.potential, tmp_path / "si.yace")
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=0)
    here, written, exact = (jp.evaluate(p, atoms) for p in (fitted.potential, jp.load(tmp_path / "si.yace"), silicon))
    np.testing.assert_allclose(written.forces, here.forces, atol=1e-12)
    assert abs(written.energy - here.energy) < 1e-11
    assert np.abs(here.forces - exact.forces).max() < 0.3 * np.abs(exact.forces).max()
    assert 0.0 < jp.std(fitted.posterior, atoms).parametric.energy < 1.0


def test_atoms_repel_each_other_below_the_distances_of_the_data(tmp_path):
    """Down to a tenth of a bond in a dimer, to two thirds in a crystal; and the file has the same core."""
    (tmp_path / "small.toml").write_text(RECIPE)
    silicon = jp.potentials.StillingerWeber.silicon()
    fitted = jp.fit(jp.draw_dataset(silicon, bulk("Si", cubic=True), count=12), tmp_path / "small.toml").potential
    jp.save(fitted, tmp_path / "si.yace")
    distances = np.linspace(1.9, 0.2, 30)
    dimers = [Atoms("Si2", [[0, 0, 0], [0, 0, d]]) for d in distances]
    crystals = [bulk("Si", a=d * 4 / 3**0.5) for d in distances[distances > 1.4]]
    for structures in (dimers, crystals):
        energies = np.array([r.energy for r in jp.evaluate_many(fitted, structures)])
        assert (np.diff(energies) > 0.0).all()
        written = [r.energy for r in jp.evaluate_many(jp.load(tmp_path / "si.yace"), structures)]
        np.testing.assert_allclose(written, energies, rtol=1e-12)


def test_each_body_order_has_its_scale(tmp_path):
    """A search over scales ends in the fit that these scales, once fixed, give: weights and their bars."""
    silicon = jp.potentials.StillingerWeber.silicon()
    data = jp.draw_dataset(silicon, bulk("Si", cubic=True), count=10)
    (tmp_path / "searched.toml").write_text(RECIPE.replace('"fixed"', '"cross-validation"\nfolds = 2'))
    searched = jp.fit(data, tmp_path / "searched.toml")
    assert len(searched.deltas[0]) == 3 and len(set(searched.deltas[0])) > 1
    sigmas = "".join(f"{kind} = {searched.sigmas[kind]!r}\n" for kind in ("energy", "forces"))
    text = RECIPE.replace("energy = 0.002\nforces = 0.05\n", sigmas)
    (tmp_path / "fixed.toml").write_text(text.replace("cutoff", f"delta = {list(searched.deltas[0])}\ncutoff"))
    fixed = jp.fit(data, tmp_path / "fixed.toml")
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=0)
    for of in (lambda fit: jp.evaluate(fit.potential, atoms).forces, lambda fit: jp.std(fit.posterior, atoms).parametric.forces):
        np.testing.assert_allclose(of(searched), of(fixed), rtol=1e-6, atol=1e-8)


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
