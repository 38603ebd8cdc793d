from pathlib import Path

import jax
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.lammps_meam import read_meam
from jaxpot.formats.meam_reference import _zbl

FILES = Path(__file__).parent / "files"
LIBRARY = FILES / "made_up.library.meam"
ENTRY = "Cu fcc 12 29 63.5  5.1 3.6 2.2 6.0 2.2 3.62 3.5 1.1  1 3.1 2.5 2.9 1.0 0"


def written(tmp_path, text, name="some.meam"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_one_element(tmp_path):
    copper = read_meam(written(tmp_path, ENTRY))
    assert copper.species == (29,) and copper.kind == (0,) and copper.end == 4.0 and copper.width == 0.1
    assert copper.t1 == pytest.approx(3.1 + 0.6 * 2.9) and copper.t3 == 2.9
    assert copper.re == pytest.approx(3.62 / np.sqrt(2.0)) and copper.background == 12.0
    assert copper.strength == pytest.approx(1.1 * 3.5)
    assert copper.pair.shape == (1, 1000) and copper.dr == pytest.approx(0.0044)
    close = copper.pair[0, 100] / _zbl(np.array([0.44]), 29, 29)  # zbl = 1 where the file does not say
    assert close == pytest.approx(1.0, rel=1e-6)
    assert copper.cutoff == pytest.approx(4.0 * 2.8 / (2.0 * np.sqrt(1.8)))


def test_the_reference_crystal_has_its_energy_and_is_at_rest(tmp_path):
    """What the pair energies are made for: at re the crystal has the cohesive energy, and no stress."""
    copper = read_meam(written(tmp_path, ENTRY))
    found = jp.evaluate(copper, jp.Structure(np.zeros((1, 3)), 1.81 * (1 - np.eye(3)), ["Cu"]))
    assert float(found.energy) == pytest.approx(-3.5, rel=1e-8)
    assert np.abs(found.stress).max() < 1e-6


def test_the_reference_crystal_with_second_neighbours(tmp_path):
    path = written(tmp_path, "nn2(1,1) = 1\nCmin(1,1,1) = 0.5\nrc = 6.0\n", "p.meam")
    copper = jp.load([written(tmp_path, ENTRY), path], species="Cu")
    found = jp.evaluate(copper, jp.Structure(np.zeros((1, 3)), 1.81 * (1 - np.eye(3)), ["Cu"]))
    assert float(found.energy) == pytest.approx(-3.5, rel=1e-6)


def test_parameters_are_of_the_names_in_their_order():
    potential = jp.load([LIBRARY, FILES / "three_kinds.meam"], species=("AlX", "Fe", "H"))
    assert potential.species == (13, 26, 1) and potential.kind == (1, -5, 4)
    assert potential.mixing == 1 and potential.linear_below and potential.end == 4.5 and potential.width == 0.25
    assert potential.c_min[0, 1, 2] == 0.7 and potential.c_min[0, 2, 1] == 2.0 and potential.c_max[1, 0, 2] == 1.9
    assert np.allclose(potential.t1, [3.9, -1.4, 0.2])  # augt1 = 0
    assert np.allclose(potential.background, [12.0, 8.8, 0.4])
    assert potential.cutoff == pytest.approx(4.5 * 2.9 / (2.0 * np.sqrt(1.9)))
    assert jp.load([LIBRARY, FILES / "two_kinds.meam"], species=("Si", "Mg")).rho0[1] == 0.8


def test_names_given_twice_and_elements_by_number():
    assert read_meam(LIBRARY, species="AlX").beta0 == 2.1
    assert jp.load(LIBRARY, species=14).species == (14,)


def test_lists_and_single_files_that_are_not_meant(tmp_path):
    with pytest.raises(FormatError, match="say with `species` which of Si, Mg, AlX, Fe, H to take"):
        jp.load(LIBRARY)
    with pytest.raises(FormatError, match=r"this is a file of parameters: load \[library, this file\]"):
        jp.load(FILES / "two_kinds.meam", species=("Si", "Mg"))
    with pytest.raises(DataError, match=r"the library and the parameters of MEAM .*, of which .*two_kinds.tersoff is not one"):
        jp.load([LIBRARY, FILES / "two_kinds.tersoff"], species=("Si", "Mg"))
    with pytest.raises(DataError, match="no use for tolerance"):
        jp.load([LIBRARY, FILES / "two_kinds.meam"], species=("Si", "Mg"), tolerance=1e-3)
    with pytest.raises(FormatError, match="there is nothing for 'Ge'; there are Si, Mg"):
        jp.load(LIBRARY, species="Ge")
    with pytest.raises(FormatError, match="distinct elements"):
        read_meam(written(tmp_path, ENTRY + "\n" + ENTRY.replace("Cu", "CuX")), species=("Cu", "CuX"))


@pytest.mark.thorough
def test_isolated_atoms_have_no_energy_and_finite_derivatives():
    potential = read_meam(LIBRARY, FILES / "three_kinds.meam", ("AlX", "Fe", "H"))
    structure = jp.Structure([[0.0, 0.0, 0.0], [20.0, 0.0, 0.0]], np.zeros((3, 3)), ["Fe", "H"], pbc=False)
    assert float(jp.energy(potential, structure)) == 0.0
    slopes = jax.grad(jp.energy)(potential, structure, jp.neighbors(structure, potential.cutoff))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


def put(place, word):
    """The one entry with another word."""
    words = ENTRY.split()
    words[place] = word
    return " ".join(words)


IN_LIBRARY = {
    "empty": ("", None, "no entry"),
    "cut off": (ENTRY.rpartition(" ")[0], 1, "truncated"),
    "one word too many": (ENTRY + " 7", 1, "expected 19 words in an entry, got 20"),
    "not a number": (put(5, "1,3"), 1, "'1,3'"),
    "not finite": (put(5, "nan"), 1, "finite number"),
    "not a structure": (put(1, "zzz"), 1, "'zzz' is not read; expected one of fcc, bcc, hcp"),
    "a compound": (put(1, "b1"), 1, "'b1' is not read"),
    "another number of neighbours": (put(2, "8"), 1, "z: Cu: expected 12 neighbours in fcc, got 8"),
    "a kind that is not defined": (put(18, "2"), 1, "ibar"),
    "another weight": (put(13, "0"), 1, "t0: Cu: expected 1, got 0"),
    "no size": (put(10, "0"), 1, "alat"),
    "no density": (put(17, "-1"), 1, "rozero"),
    "no element": (put(3, "0"), 1, "atomic number"),
    "other units": ("# UNITS: real\n" + ENTRY, 1, "'real' units"),
}
IN_PARAMETERS = {
    "no sign": ("rc 4.0", 1, "expected a line such as"),
    "another name": ("rcut = 4.0", 1, "'rcut' is not a parameter"),
    "too few indices": ("\nEc(1) = 4.0", 2, "expected 2 indices, got 1"),
    "no index": ("rho0 = 4.0", 1, "expected 1 indices, got 0"),
    "an index too many": ("rc(1) = 4.0", 1, "expected 0 indices, got 1"),
    "no such element": ("Cmin(1,1,2) = 0.5", 1, "from 1 to 1, got 2"),
    "index 0": ("Cmin(0,1,1) = 0.5", 1, "from 1 to 1, got 0"),
    "not a number": ("rc = '4.0'", 1, "expected a number"),
    "negative": ("rc = -4.0", 1, "expected a positive number"),
    "another alloy": ("ialloy = 3", 1, "expected one of 0, 1, 2, got 3"),
    "what is not read": ("mixture_ref_t = 1", 1, "expected one of 0, got 1"),
    "a structure that is not read": ("lattce(1,1) = 'dia3'", 1, "c11, ch4, lin, tri, zig, dia3 are not read"),
    "a compound for one element": ("lattce(1,1) = l12", 1, "expected one of fcc, bcc, hcp"),
    "bounds exchanged": ("Cmin(1,1,1) = 3.0", 1, "c_min must be less than c_max, got 3 and 2.8 for Cu-Cu-Cu"),
    "absurd": ("alpha(1,1) = -1e9", 1, "not finite"),
}


@pytest.mark.parametrize("name", IN_LIBRARY)
def test_a_wrong_library_is_refused_with_its_place(tmp_path, name):
    text, line, says = IN_LIBRARY[name]
    with pytest.raises(FormatError) as caught:
        read_meam(written(tmp_path, text))
    assert says in str(caught.value) and "some.meam" in str(caught.value)
    assert line is None or caught.value.line == line


@pytest.mark.parametrize("name", IN_PARAMETERS)
def test_wrong_parameters_are_refused_with_their_place(tmp_path, name):
    text, line, says = IN_PARAMETERS[name]
    with pytest.raises(FormatError) as caught:
        read_meam(written(tmp_path, ENTRY, "library.meam"), written(tmp_path, text))
    assert says in str(caught.value) and "some.meam" in str(caught.value)
    assert caught.value.line == line
