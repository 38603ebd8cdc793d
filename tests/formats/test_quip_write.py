"""GAPs written for QUIP: the same model comes back, and what QUIP cannot say is refused."""

import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from tiers import thorough_but

import jaxpot as jp
from jaxpot.basis.cubic_splines import CubicSpline
from jaxpot.descriptors import SOAP, Pair, Triangle, Triplet
from jaxpot.errors import DataError
from jaxpot.kernels import DotProduct, Permuted, SquaredExponential
from jaxpot.potentials import (
    ZBL,
    Constants,
    Described,
    Glue,
    LennardJones,
    Morse,
    StillingerWeber,
    Tersoff,
)
from jaxpot.readouts import SparseGP

FILES = Path(__file__).parent / "files" / "gap"
REFERENCE = json.loads((FILES / "reference.json").read_text())


def crystal(name):
    first = REFERENCE[name][0]
    return jp.Structure(first["positions"], first["cell"], first["symbols"])


def process(descriptor, kernel=None, species=("Si", "C")):
    rng = np.random.default_rng(1)
    points = rng.uniform(0.1, 1.0, size=(4, descriptor.dimension))
    if isinstance(descriptor, SOAP):
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    return Described(descriptor, SparseGP(kernel or DotProduct(2), points, rng.normal(size=4), 0.3), species)


ENERGIES = Constants({"Si": -1.5, "C": 1.0 / 3.0})
MADE = {
    "scaled, and any element": 0.5 * (ENERGIES + process(Pair(4.0, 0.7), SquaredExponential(0.6)))
    - 2.0 * process(Triplet(3.0, 0.5), SquaredExponential([0.5, 1.0, 2.0])),
    "two species": ENERGIES + process(SOAP(3, 2, 4.0, species=("C", "Si"), centers=("Si",), compact=True)),
    "every species at the centre, of old": ENERGIES + process(
        SOAP(2, 1, 3.5, species=("Si", "C"), central_reference_all_species=True, l_weight=False)
    ),
    "unusual settings": ENERGIES + process(
        SOAP(2, 2, 3.5, 1.0, 0.45, central_weight=0.2, normalise=False, basis_error_exponent=8.0, covariance_sigma0=0.1),
        DotProduct(1.5),
    ),
    "no reference energies": process(SOAP(2, 2, 3.5, compact=True), SquaredExponential(0.9)),
}

PAIRS = ENERGIES + process(Pair(4.0, 0.7), SquaredExponential(0.6))
SIDES = Triangle(3.0, elements=("Si", "C", "C"), compact=False)
LENGTHS = np.array([[0.0, 2.0], [2.0, 2.1]])  # carbon atoms do not see one another
MADE |= {
    "clusters": PAIRS + process(Pair(3.5, once=True, elements=("Si", "C")), SquaredExponential(0.6))
    + process(SIDES, Permuted(SquaredExponential(0.6), SIDES.permutations)),
    "glues": PAIRS - 0.5 * Glue(
        {("Si", "C"): CubicSpline([1.0, 1.7, 2.4], [9.0, 2.0, 0.0]), ("C", "C"): CubicSpline([1.0, 2.0], [4.0, 0.0])},
        ("Si", "C"), (CubicSpline([0.1, 0.8, 1.5], [0.3, -1.0, -2.5]), CubicSpline([0.0, 1.0], [0.0, 1.0], [0.5, 2.0])),
        [0.05, 0.04], [3.6, 3.9],
    ) + Glue({("Si", "Si"): CubicSpline([1.0, 2.0, 3.1], [9.0, 2.0, 0.0], [-9.0, 0.0])}, ("C", "Si")),
    "pairs of all kinds": PAIRS + LennardJones(0.2, 2.0, 3.0, "slope") - LennardJones(0.1, 1.8, 3.6)
    + Morse(0.2, 1.7, 2.1, 4.0),
    "pairs with ranges of their own": PAIRS
    + LennardJones([[0.2, 0.0], [0.0, 0.3]], 2.0, 3.0, "force", ["C", "Si"])
    + LennardJones([[0.0, 0.2], [0.2, 0.0]], 1.9, 3.5, "energy", ["C", "Si"])
    + Morse([[0.2, 0.0], [0.0, 0.0]], 1.7, 2.1, 4.0, ["C", "Si"]) + Morse([[0.3]], [[1.5]], [[2.2]], 5.0, ["Si"]),
    "stillinger-weber": PAIRS + 0.5 * StillingerWeber(
        2.0, LENGTHS, 1.7, np.arange(8.0).reshape(2, 2, 2) + np.arange(8.0).reshape(2, 2, 2).swapaxes(1, 2),
        np.array([[1.1, 1.1], [1.2, 1.2]]), -1 / 3, 7.0, 0.6, species=("C", "Si"),
    ),
    "silicon and tersoff": Constants({"Si": -1.0}) + StillingerWeber.silicon()
    + 2.0 * Tersoff(1830.8, 471.18, 2.4799, 1.7322, 1.1e-6, 0.78734, 1.0039e5, 16.217, -0.59825, 2.7, 3.0)
    + process(Pair(4.0, 0.7), SquaredExponential(0.6), ["Si"]),
}


def structure_for(potential):
    expected = REFERENCE["two"][0]
    symbols = expected["symbols"] if 6 in potential.species else ["Si"] * 8
    return jp.Structure(expected["positions"], expected["cell"], symbols)


def assert_same(first, second, structure):
    assert set(first.species) == set(second.species)
    first, second = jp.evaluate(first, structure), jp.evaluate(second, structure)
    for name in ("energies", "forces", "stress"):
        np.testing.assert_allclose(getattr(second, name), getattr(first, name), rtol=0, atol=1e-10)


def assert_same_energies(first, second, structure):
    assert set(first.species) == set(second.species)
    expected = jp.site_energies(first, structure)
    np.testing.assert_allclose(jp.site_energies(second, structure), expected, rtol=0, atol=1e-10)


PARTS = ["core", "unlike", "with_LJ", "with_SW", "with_Tersoff"]


@pytest.mark.parametrize("name", thorough_but(["core", "with_LJ"], PARTS))
def test_parts_and_clusters_that_were_read_are_written_again(name, tmp_path):
    potential = jp.load(FILES / f"{name}.xml")
    jp.save(potential, tmp_path / "gap.xml")
    assert_same_energies(potential, jp.load(tmp_path / "gap.xml"), crystal(name))


@pytest.mark.parametrize("name", ["two", "plain"])
def test_what_was_read_is_written_again(name, tmp_path):
    potential = jp.load(FILES / f"{name}.xml")
    jp.save(potential, tmp_path / "gap.xml")
    again = jp.load(tmp_path / "gap.xml")
    assert_same(potential, again, crystal(name))
    jp.save(again, tmp_path / "again.xml")
    for one, two in zip(jax.tree.leaves(again), jax.tree.leaves(jp.load(tmp_path / "again.xml")), strict=True):
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-15 * max(1.0, np.abs(one).max()))


@pytest.mark.parametrize("name", thorough_but(["scaled, and any element", "two species", "clusters"], MADE))
def test_what_was_made_is_written(name, tmp_path):
    jp.save(MADE[name], tmp_path / "gap.xml")
    assert_same_energies(MADE[name], jp.load(tmp_path / "gap.xml"), structure_for(MADE[name]))


def test_pairs_share_sections_and_sums_are_flat(tmp_path):
    """QUIP reads sums in sums, and crashes where these hold sums once more."""
    jp.save(MADE["pairs with ranges of their own"], tmp_path / "gap.xml")
    text = (tmp_path / "gap.xml").read_text()
    assert text.count("<LJ_params") == text.count("<Morse_params") == 1
    jp.save(MADE["pairs of all kinds"], tmp_path / "gap.xml")
    words = (tmp_path / "gap.xml").read_text().split('init_args="')[1].split('"')[0]
    assert words.count("Sum") == 3 and "}}}" not in words


def test_variance_of_scaled_terms(tmp_path):
    potential = ENERGIES + 3.0 * process(Pair(4.0), SquaredExponential(0.6))
    jp.save(potential, tmp_path / "gap.xml")
    expected = jp.variance(potential, crystal("two"), regularisation=1e-5).sites
    found = jp.variance(jp.load(tmp_path / "gap.xml"), crystal("two"), regularisation=1e-5).sites
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_names_follow_the_contents(tmp_path):
    path = tmp_path / "gap.xml"
    jp.save(MADE["two species"], path)
    first = set(os.listdir(tmp_path))
    jp.save(MADE["two species"], path)
    assert set(os.listdir(tmp_path)) == first and len(first) == 2
    jp.save(MADE["scaled, and any element"], path)
    assert set(os.listdir(tmp_path)) > first and len(os.listdir(tmp_path)) == 4


def test_points_of_another_model_are_not_overwritten(tmp_path):
    path = tmp_path / "gap.xml"
    jp.save(MADE["two species"], path)
    side = next(tmp_path.glob("*.sparseX.*"))
    side.write_text("1.0\n")
    before = path.read_text()
    with pytest.raises(DataError, match="holds other points"):
        jp.save(MADE["two species"], path)
    assert side.read_text() == "1.0\n" and path.read_text() == before


def test_nothing_is_left_of_a_failure(tmp_path, monkeypatch):
    import jaxpot.formats.quip_write as module

    done = []

    def fail(path, data):
        if done:
            raise OSError("disk full")
        done.append(Path(path).write_bytes(data))

    monkeypatch.setattr(module, "write_atomically", fail)
    with pytest.raises(OSError, match="disk full"):
        jp.save(MADE["scaled, and any element"], tmp_path / "gap.xml")
    assert done and not os.listdir(tmp_path)


SI = process(SOAP(2, 1, 3.5), species=["Si"])
REFUSED = {
    "another potential": (SI + ZBL(1.0, 2.0), "ZBL.* has no place in a GAP file"),
    "a smooth end": (PAIRS + LennardJones(0.1, 2.0, 4.0, "smooth"), "shift='smooth' is not in QUIP"),
    "four parts": (PAIRS + sum((LennardJones(0.1, 2.0, c) for c in (2.0, 3.0, 4.0)), Morse(0.2, 1.7, 2.1, 4.0)),
                   "at most 3 classical parts"),
    "a negative Tersoff": (SI - MADE["silicon and tersoff"].terms[2].potential, "expected a positive factor"),
    "an angle": (SI + StillingerWeber.silicon().replace(cos_theta0=-0.5), "cos_theta0 other than -1/3"),
    "an early end": (SI + StillingerWeber.silicon().replace(tol=0.001), "tol=0.001 is not in QUIP"),
    "two gammas": (
        PAIRS + StillingerWeber(2.0, 2.0, 1.7, 21.0, [[1.0, 1.0], [1.2, 1.0]], -1 / 3, 7.0, 0.6, species=("C", "Si")),
        "in QUIP a triplet has one gamma",
    ),
    "unsymmetric triangles": (process(Triangle(3.0), SquaredExponential(0.5)), "not depend on the order of like atoms"),
    "no potential": (crystal("plain"), "expected a jaxpot potential .* got Structure"),
    "no process": (ENERGIES, "has no Gaussian process"),
    "no species": (process(SOAP(2, 1, 3.5), species=None), "which elements it serves"),
    "times zero": (ENERGIES + 0.0 * SI, "multiplied by 0"),
    "another kernel": (process(SOAP(2, 1, 3.5), DotProduct(1) + DotProduct(2)), "Sum is not in QUIP"),
    "two centres": (process(SOAP(2, 1, 3.5, centers=("Si", "C"))), "a SOAP about C, Si at once"),
    "an element too many": (process(Pair(3.0, elements=("Si", "O"))), "name O, for which"),
    "two times": (process(SOAP(2, 1, 3.5)) + process(SOAP(2, 1, 3.5, l_weight=False)), "one gap_version"),
    "own channel, of old": (
        process(SOAP(2, 1, 3.5, species=("Si", "C"), l_weight=False)), "central_reference_all_species only"
    ),
    "lengths in compact order": (
        process(SOAP(2, 1, 3.5, compact=True), SquaredExponential(np.ones(SOAP(2, 1, 3.5, compact=True).dimension))),
        "single lengths theta",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    potential, message = REFUSED[name]
    with pytest.raises(DataError, match=message):
        jp.save(potential, tmp_path / "gap.xml")
    assert not os.listdir(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be written: No such file"):
        jp.save(MADE["two species"], tmp_path / "nowhere" / "gap.xml")
