"""SNAP in LAMMPS's files: numbers that LAMMPS gave, what is written, and what is refused.

Files with all options beside LAMMPS: `tests/potentials/test_reference.py`.
"""

import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from tiers import thorough_but

import jaxpot as jp
from jaxpot.errors import DataError, FormatError
from jaxpot.potentials import ZBL, Constants

FILES = Path(__file__).parent / "files"
MADE_UP = ("two_kinds", "by_element", "by_element_quadratic", "quadratic", "not_switched")
MLEARN = [f"{element} {kind}" for element in ("Mo", "Ni", "Cu", "Li", "Si", "Ge") for kind in ("snap", "qsnap")]


@pytest.mark.data
@pytest.mark.parametrize("name", thorough_but(["Mo snap"], MLEARN))
def test_numbers_of_published_files(name):
    element, kind = name.split()
    folder = Path(os.environ["JAXPOT_DATA"]) / "mlearn" / element / "published"
    potential = jp.load(folder / kind / "SNAPotential.snapcoeff")
    reference = json.loads((folder / "reference.json").read_text())
    records = list(zip(reference["structures"], reference["models"][kind]["results"], strict=True))[:2]
    structures = [jp.Structure(r["positions"], r["cell"], r["numbers"], pbc=r["pbc"]) for r, _ in records]
    for (_, expected), found in zip(records, jp.evaluate_many(potential, structures), strict=True):
        assert abs(found.energy - expected["energy"]) < 1e-9 * len(found.forces)
        np.testing.assert_allclose(found.forces, expected["forces"], rtol=0.0, atol=1e-9)
        np.testing.assert_allclose(found.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], expected["stress"], atol=1e-10)


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("name", MADE_UP)
def test_what_is_written_is_read_back(name, tmp_path):
    potential = jp.load(FILES / f"{name}.snapcoeff")
    jp.save(potential, tmp_path / "x.snapcoeff")
    same(jp.load(tmp_path / "x.snapcoeff"), potential)
    same(jp.load([tmp_path / "x.snapparam", tmp_path / "x.snapcoeff"]), potential)
    same(jp.load(tmp_path / "x.snapparam"), potential)
    jp.save(potential + ZBL(3.0, 3.5, potential.species), tmp_path / "y.snap")
    same(jp.load(tmp_path / "y.snap"), potential + ZBL(3.0, 3.5, potential.species))
    jp.save(potential, tmp_path / "z.snap")
    same(jp.load(tmp_path / "z.snap"), potential)


def test_factors_and_constants_are_written(tmp_path):
    potential = jp.load(FILES / "two_kinds.snapcoeff")
    jp.save(2.0 * potential + Constants({"Ta": 1.0, "W": -1.0}), tmp_path / "x.snapcoeff")
    atoms = jp.Structure([[0.0, 0.0, 0.0], [2.4, 0.3, 0.0]], 9.0 * np.eye(3), ["Ta", "W"])
    assert float(jp.energy(jp.load(tmp_path / "x.snapcoeff"), atoms)) == pytest.approx(
        2.0 * float(jp.energy(potential, atoms)), rel=1e-13
    )


def test_an_include_file_as_people_write_it(tmp_path):
    for ending in ("snapcoeff", "snapparam"):
        shutil.copy(FILES / f"two_kinds.{ending}", tmp_path / f"TaW.{ending}")
    (tmp_path / "TaW.snap").write_text(
        "# UNITS: metal\nvariable inner index 3.1\nvariable z equal 73\n\npair_style hybrid/overlay &\n"
        "zbl ${inner} 3.8 &\nsnap\npair_coeff 1 1 zbl $z ${z}\npair_coeff 1 2 zbl 73 74 # both\n"
        "pair_coeff 2 2 zbl 74 74\npair_coeff * * snap TaW.snapcoeff TaW.snapparam Ta W\n"
    )
    same(jp.load(tmp_path / "TaW.snap"), jp.load(tmp_path / "TaW.snapcoeff") + ZBL(3.1, 3.8, ("Ta", "W")))


def changed(folder, name, old, new, ending="snapparam"):
    """A copy of two files, of which one has another text somewhere."""
    for one in ("snapcoeff", "snapparam"):
        text = (FILES / f"{name}.{one}").read_text()
        assert one != ending or old in text
        (folder / f"x.{one}").write_text(text.replace(old, new, 1) if one == ending else text)
    return folder / "x.snapcoeff"


@pytest.mark.parametrize("old, new, message", [
    ("twojmax 3", "twojmaks 3", "x.snapparam, line 3: twojmaks: expected one of rcutfac"),
    ("twojmax 3", "", "expected twojmax: it is missing"),
    ("twojmax 3", "twojmax 3 4", "line 3: twojmax: expected one value, got 2"),
    ("twojmax 3", "twojmax 15", "line 3: twojmax: expected a number from 0 to 14"),
    ("twojmax 3", "twojmax 4", "expected 15 coefficients of each element, .* got 9: the files do not belong together"),
    ("twojmax 3", "twojmax 3\nquadraticflag 1", "expected 45 coefficients of each element"),
    ("twojmax 3", "twojmax 3\nchemflag 2", "line 4: chemflag: expected a number from 0 to 1"),
    ("twojmax 3", "twojmax 3\ntwojmax 3", "line 4: twojmax: given before, on line 3"),
    ("rcutfac 4.2", "rcutfac -1", "line 2: rcutfac: expected a positive number"),
    ("twojmax 3", "twojmax 3\nrmin0 9", "x.snapparam: expected radii above zero and rmin0 from 0"),
    ("twojmax 3", "twojmax 3\nsinner 1.0 1.0", "expected sinner and dinner if switchinnerflag is 1"),
    ("twojmax 3", "twojmax 3\nswitchinnerflag 1\nsinner 1\ndinner 1 1", "line 5: sinner: expected 2 numbers"),
    ("# made-up", "# UNITS: real made-up", "units; expected 'metal'"),
])
def test_parameters_that_are_refused(old, new, message, tmp_path):
    with pytest.raises(FormatError, match=message):
        jp.load(changed(tmp_path, "two_kinds", old, new))


@pytest.mark.parametrize("old, new, message", [
    ("2 9", "2", "line 3: expected the numbers of elements and of coefficients"),
    ("2 9", "2 8", "expected an element, its radius and its weight"),
    ("2 9", "3 9", "the file ends here; it is truncated"),
    ("W 0.54", "Ta 0.54", "line 14: Ta: given before"),
    ("W 0.54", "Wx 0.54", "line 14: element: "),
    ("W 0.54", "W 0", "line 14: radius: expected a positive number"),
    ("-1.000000e+00", "nan", "line 5: coefficient 1 of Ta: expected a finite number"),
    ("-1.000000e+00", "-1 2", "line 5: coefficient 1 of Ta: expected one number, got 2"),
])
def test_coefficients_that_are_refused(old, new, message, tmp_path):
    with pytest.raises(FormatError, match=message):
        jp.load(changed(tmp_path, "two_kinds", old, new, "snapcoeff"))


def test_files_that_are_missing(tmp_path):
    shutil.copy(FILES / "quadratic.snapcoeff", tmp_path)
    with pytest.raises(FormatError, match=r"expected quadratic.snapparam beside this file"):
        jp.load(tmp_path / "quadratic.snapcoeff")
    with pytest.raises(FormatError, match="expected one file .snapcoeff and one .snapparam"):
        jp.load([FILES / "quadratic.snapcoeff", FILES / "two_kinds.snapcoeff"])


INCLUDED = "pair_style snap\npair_coeff * * x.snapcoeff x.snapparam Ta W\n"
WITH_ZBL = (
    "pair_style hybrid/overlay zbl 3 4 snap\npair_coeff 1 1 zbl 73 73\npair_coeff 1 2 zbl 73 74\n"
    "pair_coeff 2 2 zbl 74 74\npair_coeff * * snap x.snapcoeff x.snapparam Ta W\n"
)


@pytest.mark.parametrize("text, message", [
    (INCLUDED.replace("snap\n", "eam\n", 1), "line 1: pair_style: expected snap, or hybrid/overlay"),
    (INCLUDED.replace("Ta W", "Ta NULL"), "line 2: pair_coeff: "),
    (INCLUDED.replace("Ta W", "Ta Be"), "line 2: pair_coeff: expected the elements of the coefficients, Ta W"),
    ("units metal\n" + INCLUDED, "line 1: expected variable, pair_style or pair_coeff"),
    ("variable a b\n" + INCLUDED, "line 1: variable: expected variable NAME index VALUE"),
    (INCLUDED.replace("x.snapcoeff", "${a}.snapcoeff"), "line 2: the variable 'a' has no value"),
    ("pair_style snap\n", r"expected pair_coeff \* \* with the files"),
    (WITH_ZBL.replace("pair_coeff 1 2 zbl 73 74\n", ""), "expected pair_coeff 1 2 zbl: it is missing"),
    (WITH_ZBL.replace("1 2 zbl 73 74", "1 2 zbl 73 73"), "line 3: pair_coeff: expected the atomic numbers of Ta and W"),
    (WITH_ZBL.replace("zbl 3 4", "zbl 4 3"), "inner"),
    (WITH_ZBL.replace("2 2 zbl", f"2 {5000 * '9'} zbl"), "line 4: pair_coeff: expected a whole number, got '999"),
    (WITH_ZBL.replace("2 2 zbl", "2 0 zbl"), "line 4: pair_coeff: expected a number from 1 to 118, got 0"),
    (WITH_ZBL.replace("2 2 zbl", "2 2 table"), "line 4: pair_coeff: this is not read"),
    (WITH_ZBL.replace("2 2 zbl 74 74\n", "2 2 zbl 74 74\npair_coeff 3 3 zbl 4 4\n"), "there are 2 types"),
])
def test_include_files_that_are_refused(text, message, tmp_path):
    changed(tmp_path, "two_kinds", "", "")
    (tmp_path / "x.snap").write_text(text)
    with pytest.raises(FormatError, match=message):
        jp.load(tmp_path / "x.snap")


def test_potentials_that_these_files_cannot_hold(tmp_path):
    two, one = jp.load(FILES / "two_kinds.snapcoeff"), jp.load(FILES / "quadratic.snapcoeff")
    for potential, message in (
        (one + ZBL(1.0, 2.0, ("Cu",)), "has no place in a file of SNAP"), (Constants({"Cu": 1.0}), "no Bispectrum in it"),
        (two + two, "Ta has a term already"), (two.terms[0] + two.terms[2], "there are no coefficients of W"),
    ):
        with pytest.raises(DataError, match=message):
            jp.save(potential, tmp_path / "x.snapcoeff")
    with pytest.raises(DataError, match="one ZBL at most"):
        jp.save(one + ZBL(1.0, 2.0, ("Cu",), length=0.5), tmp_path / "x.snap")
    assert not list(tmp_path.iterdir())
