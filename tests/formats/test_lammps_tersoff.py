from pathlib import Path

import numpy as np
import pytest

import jaxpot as jp
from jaxpot.errors import FormatError
from jaxpot.formats.lammps_tersoff import read_tersoff

FILE = Path(__file__).parent / "files" / "two_kinds.tersoff"
#        elements m gamma lam3 c d h        n    beta lam2 B    R    D   lam1 A
NUMBERS = "3 1.1 1.3 4.8 2.0 -0.5 22.9 0.33 1.4 95.0 3.0 0.2 3.2 3264.7"
ONE = f"Si Si Si {NUMBERS}"


def written(tmp_path, text):
    path = tmp_path / "some.tersoff"
    path.write_text(text)
    return path


def test_one_element(tmp_path):
    silicon = read_tersoff(written(tmp_path, ONE))
    assert silicon.species == (14,) and silicon.m == 3 and silicon.cutoff == pytest.approx(3.2)
    names = ("gamma", "lam3", "c", "d", "h", "n", "beta", "mu", "B", "R", "D", "lam", "A")
    assert [float(getattr(silicon, name)) for name in names] == [float(word) for word in NUMBERS.split()[1:]]
    assert silicon.smoothness == 1


def test_two_elements():
    potential = jp.load(FILE)
    assert potential.species == (14, 6) and potential.smoothness == 0
    assert np.allclose(potential.A, [[1800, 1600], [1600, 1400]])
    assert np.allclose(potential.B, [[300, 360], [380, 440]])
    assert np.allclose(potential.R[0], [[2.6, 2.28], [2.31, 2.3]])  # of the centre Si; the diagonal are the pairs
    assert potential.m == (((1, 3), (3, 1)), ((3, 3), (1, 3)))
    assert np.allclose(potential.gamma.reshape(-1), 0.8 + 0.05 * np.arange(8))


def test_elements_can_be_chosen():
    assert jp.load(FILE, species="C").species == (6,)
    assert read_tersoff(FILE, species=("C", "Si")).A[0, 0] == 1400.0
    with pytest.raises(FormatError, match="nothing for 'Ge'; say with `species` which of Si, C to take"):
        jp.load(FILE, species=("Si", "Ge"))


def test_several_sets_for_one_element(tmp_path):
    text = f"Si(B) Si(B) Si(B) {NUMBERS}\n{ONE.replace('Si', 'Si(C)')}\nC C C {NUMBERS}".replace("3264.7", "3000.0", 1)
    path = written(tmp_path, text)
    with pytest.raises(FormatError, match=r"several sets for Si: Si\(B\), Si\(C\); say with `species` which of Si"):
        read_tersoff(path)
    assert read_tersoff(path, species="Si(B)").A == 3000.0
    assert read_tersoff(path, species=("Si(C)",)).A == 3264.7
    assert read_tersoff(path, species=6).species == (6,)
    with pytest.raises(FormatError, match=r"6 of 8 entries are missing: Si\(B\)-Si\(B\)-C, "):
        read_tersoff(path, species=("Si(B)", "C"))


def put(place, word):
    """The one entry with another word."""
    words = ONE.split()
    words[place] = word
    return " ".join(words)


def altered(old, new):
    text = FILE.read_text()
    assert text.count(old) == 1
    return text.replace(old, new)


MISTAKES = {
    "empty": ("", None, "no entry"),
    "cut off": (ONE.rpartition(" ")[0], 1, "truncated"),
    "one word too many": (ONE + " 7", 1, "expected 17 words in an entry, got 18"),
    "not an element": (put(1, "Sj"), 1, "'Sj' is not an element"),
    "two elements in a name": (put(1, "SiC"), 1, "'SiC' is not an element"),
    "not a number": (put(5, "1,3"), 1, "'1,3'"),
    "not finite": (put(5, "nan"), 1, "finite number"),
    "negative": (put(16, "-1.0"), 1, "A: expected a number that is not negative"),
    "another power": (put(3, "2"), 1, "m: expected 1 or 3, got 2"),
    "no width of the angle": (put(7, "0"), 1, "d: expected a number above 0"),
    "no power": (put(9, "0"), 1, "n: expected a number above 0 where B is not 0"),
    "wider than it is long": (put(14, "3.5"), 1, "D: expected 0 <= D < R"),
    "twice": (ONE + "\n" + ONE, 2, "Si-Si-Si was given before, on line 1"),
    "other units": ("# UNITS: real\n" + ONE, 1, "'real' units"),
    "a triplet is missing": ("\n".join(FILE.read_text().splitlines()[2:-2]), None, "1 of 8 entries are missing: C-C-C"),
    "a bond seen differently": (altered("2.9 1600\nC Si C", "2.9 1610\nC Si C"), 9, "1600 but C-Si-Si (line 11) has 1610"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_file_is_refused_with_its_place(tmp_path, name):
    text, line, says = MISTAKES[name]
    with pytest.raises(FormatError) as caught:
        read_tersoff(written(tmp_path, text))
    assert says in str(caught.value)
    assert "some.tersoff" in str(caught.value)
    assert line is None or caught.value.line == line
