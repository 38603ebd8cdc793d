"""Moment tensor potentials: numbers that motep gave, what is written, and what is refused."""

import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from tiers import thorough_but

import jaxpot as jp
from jaxpot.errors import DataError, FormatError
from jaxpot.potentials import ZBL, Constants

FILES = Path(__file__).parent / "files"
MADE_UP, SPECIES = FILES / "two_kinds.mtp", ("Ta", "W")
PUBLISHED = (
    "CH4_10", "HF_06", "cubic_08_Cu", "cubic_16_Cu", "cubic_20_Cu", "multi_06_AuAgCu", "multi_10_AuAgCu", "noncubic_10_Cu"
)
SLOW = ("CH4_10", "cubic_16_Cu", "cubic_20_Cu", "multi_10_AuAgCu", "noncubic_10_Cu")  # a program for each size
# motep 0.2.0, its NumPy and its C engine.
STRUCTURE = jp.Structure(
    [[0.0, 0.0, 0.0], [2.5, 0.3, -0.2], [0.4, 2.6, 0.7]], [[5.1, 0.0, 0.0], [0.6, 4.8, 0.0], [0.2, -0.3, 5.4]],
    ["Ta", "W", "W"],
)
ENERGY = -6.8659226525841
FORCES = [
    [0.006969038603001738, 0.04233966022446976, 0.018866395790486407],
    [-0.017923895854920463, -0.014931607580880144, 0.07226236352947704],
    [0.01095485725191872, -0.027408052643589607, -0.09112875931996345],
]
STRESS = [
    [0.00551144442938598, -0.0006571939046227194, -8.512753606365902e-05],
    [-0.0006571939046227194, 0.004946083101077352, 0.00012254384028032492],
    [-8.512753606365902e-05, 0.00012254384028032492, 0.0005918860765391993],
]


def made_up():
    return jp.load(MADE_UP, species=SPECIES)


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_numbers_of_motep():
    found = jp.evaluate(made_up(), STRUCTURE)
    assert float(found.energy) == pytest.approx(ENERGY, rel=1e-13)
    np.testing.assert_allclose(found.forces, FORCES, rtol=0.0, atol=1e-14)
    np.testing.assert_allclose(found.stress, STRESS, rtol=0.0, atol=1e-15)


@pytest.mark.data
@pytest.mark.parametrize("name", thorough_but(["HF_06", "multi_06_AuAgCu"], PUBLISHED, SLOW))
def test_numbers_of_published_files(name):
    folder = Path(os.environ["JAXPOT_DATA"]) / "models" / "mtp"
    reference = json.loads((folder / f"{name}.json").read_text())
    potential = jp.load(folder / f"{name}.mtp", species=reference["species_order"])
    structures = [jp.Structure(r["positions"], r["cell"], r["numbers"], pbc=r["pbc"]) for r in reference["structures"]]
    for structure, expected in zip(structures, reference["results"], strict=True):
        found = jp.evaluate(potential, structure)
        assert float(found.energy) == pytest.approx(expected["energy"], rel=1e-12)
        np.testing.assert_allclose(found.forces, expected["forces"], rtol=0.0, atol=1e-11)
        if expected["stress"] is not None:
            np.testing.assert_allclose(found.stress, expected["stress"], rtol=0.0, atol=1e-12)


def test_what_is_written_is_read_back(tmp_path):
    potential = made_up()
    jp.save(potential, tmp_path / "x.mtp")
    same(jp.load(tmp_path / "x.mtp", species=SPECIES), potential)
    jp.save(potential, tmp_path / "x.jaxpot")
    same(jp.load(tmp_path / "x.jaxpot"), potential)


def test_factors_and_constants_are_written(tmp_path):
    potential = made_up()
    jp.save(2.0 * potential + Constants({"Ta": 1.0, "W": -1.0}), tmp_path / "x.mtp")
    found = jp.evaluate(jp.load(tmp_path / "x.mtp", species=SPECIES), STRUCTURE)
    assert float(found.energy) == pytest.approx(2.0 * ENERGY - 1.0, rel=1e-13)
    np.testing.assert_allclose(found.forces, 2.0 * np.array(FORCES), atol=1e-13)


def test_potentials_that_these_files_cannot_hold(tmp_path):
    potential = made_up()
    for other, message in (
        (potential + ZBL(1.0, 2.0, SPECIES), "has no place in a .mtp file: expected one Described, and Constants"),
        (potential + potential, "has no place in a .mtp file"),
        (Constants({"Ta": 1.0}), "has no place in a .mtp file"),
        (jp.load(FILES / "quadratic.snapcoeff"), "expected a Described with MomentTensors and a Linear"),
    ):
        with pytest.raises(DataError, match=message):
            jp.save(other, tmp_path / "x.mtp")
    assert not list(tmp_path.iterdir())


def changed(folder, old, new):
    text = MADE_UP.read_text()
    assert old in text
    (folder / "x.mtp").write_text(text.replace(old, new, 1))
    return folder / "x.mtp"


def test_other_spellings(tmp_path):
    path = changed(tmp_path, "min_dist", "min")
    path.write_text(path.read_text().replace("max_dist", "max").replace("radial_basis_size", "size"))
    same(jp.load(path, species=SPECIES), made_up())
    path = changed(tmp_path, "scaling = 8.0e-02\n", "")
    assert jp.load(path, species=SPECIES).terms[0].descriptor.scaling == 1.0


def test_elements_are_asked_for():
    with pytest.raises(FormatError, match=r"line 5: species_count: .* types, 0 to 1: give them .* --species Cu"):
        jp.load(MADE_UP)
    for species in ("Ta", ("Ta", "Ta"), ("Ta", "W", "Cu")):
        with pytest.raises(FormatError, match="line 5: species_count: expected 2 different elements as `species`"):
            jp.load(MADE_UP, species=species)
    with pytest.raises(FormatError, match="species: "):
        jp.load(MADE_UP, species=("Ta", "Xx"))


TABLES = "alpha_index_times = {{1, 1, 1, 14}, "


@pytest.mark.parametrize("old, new, message", [
    ("MTP\n", "MTQ\n", "line 1: expected MTP on the first line"),
    ("version = 1.1.0", "version = 1.2.0", "line 2: version: expected 1.1.0, got '1.2.0'"),
    ("version = 1.1.0\n", "", "expected version = 1.1.0: it is missing"),
    ("scaling", "scalling", "line 4: expected NAME = VALUE with one of the names"),
    ("scaling", "potential_name", "line 4: potential_name: given before, on line 3"),
    ("8.0e-02", "nan", "line 4: scaling: expected a finite number"),
    ("RBChebyshev", "RBChebyshev_repuls", "line 7: .*expected RBChebyshev: the basis 'RBChebyshev_repuls' is not read"),
    ("min_dist", "mag_basis_size = 2\nmin_dist", "line 8: 'mag_basis_size': magnetic moment tensor potentials are not"),
    ("max_dist = 4.3", "max_dist = 0", "line 9: max_dist: expected a positive number"),
    ("max_dist = 4.3", "max_dist = 1.2", "shortest: expected a length below the cutoff"),
    ("max_dist = 4.3\n", "", "expected max_dist: it is missing"),
    ("radial_funcs_count = 2\n", "", "radial_coeffs: expected radial_funcs_count before"),
    ("radial_funcs_count = 2", "radial_funcs_count = 999999", "the file is too small for 2 x 2 x 999999 x 4"),
    ("0-1", "0-2", "line 16: radial_coeffs: expected 0-1, got '0-2'"),
    ("{5.003690e-01, ", "{", "line 14: radial_coeffs of 0-0: expected 4 numbers, got 3"),
    ("{5.003690e-01, ", "5.003690e-01, ", "line 14: radial_coeffs of 0-0: expected a list in braces"),
    ("{5.003690e-01, ", "{x, ", "line 14: radial_coeffs of 0-0: expected a number, got 'x'"),
    ("basic_count = 14", "basic_count = 13", "alpha_index_basic: expected 13 moments, got 14"),
    ("times_count = 26", "times_count = 25", "alpha_index_times: expected 25 products, got 26"),
    ("alpha_scalar_moments = 8", "alpha_scalar_moments = 9", "alpha_moment_mapping: expected 9 numbers, got 8"),
    ("alpha_moments_count = 23", "alpha_moments_count = 22", "expected moments below 22, alpha_moments_count, got 22"),
    ("{-1.5, -2.5}", "{-1.5}", "species_coeffs: expected 2 numbers, one for each type, got 1"),
    ("moment_coeffs = {", "moment_coeffs = {1.0, ", "moment_coeffs: expected 8 numbers, .* got 9"),
    (TABLES, "alpha_index_times = {{1, 1, 14}, ", "alpha_index_times: expected four numbers in each list"),
    (TABLES, "alpha_index_times = {{1, 1, 1, 14, ", "alpha_index_times: expected a list of lists in braces"),
    (TABLES, "alpha_index_times = {{1, 99, 1, 14}, ", "products: 1 times 99 for 14: expected factors that are complete"),
    (TABLES, "alpha_index_times = {{1, 1.5, 1, 14}, ", "alpha_index_times: expected a whole number"),
    ("{{0, 0, 0, 0}", "{{7, 0, 0, 0}", "basic: expected a function below 2"),
    ("{0, 10, 14", "{0, 10, 99", "scalars: there is no moment 99"),
])
def test_files_that_are_refused(old, new, message, tmp_path):
    with pytest.raises(FormatError, match=message):
        jp.load(changed(tmp_path, old, new), species=SPECIES)


def test_templates_without_coefficients_are_refused(tmp_path):
    text = MADE_UP.read_text()
    radial, table = text.index("\tradial_coeffs"), text.index("alpha_moments_count")
    (tmp_path / "08.mtp").write_text(text[:radial] + text[table : text.index("species_coeffs")])
    with pytest.raises(FormatError, match="no radial_coeffs and no species_coeffs and no moment_coeffs: this is a template"):
        jp.load(tmp_path / "08.mtp", species=SPECIES)
