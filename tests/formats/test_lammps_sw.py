from pathlib import Path

import numpy as np
import pytest

from jaxpot.errors import FormatError
from jaxpot.formats.lammps_sw import read_sw

FILE = Path(__file__).parent / "files" / "two_kinds.sw"
SILICON = "Si Si Si 2.1683 2.0951 1.80 21.0 1.20 -0.333333333333 7.049556277 0.6022245584 4.0 0.0 0.0"


def written(tmp_path, text):
    path = tmp_path / "some.sw"
    path.write_text(text)
    return path


def test_one_element(tmp_path):
    silicon = read_sw(written(tmp_path, SILICON))
    assert silicon.species == (14,)
    assert silicon.sigma.shape == ()
    assert (float(silicon.epsilon), float(silicon.lam), float(silicon.B)) == (2.1683, 21.0, 0.6022245584)
    assert (silicon.p, silicon.q, silicon.tol) == (4, 0, 0)
    assert silicon.cutoff == pytest.approx(3.77118)


def test_comments_and_entries_over_several_lines(tmp_path):
    words = SILICON.split()
    head, rest = " ".join(words[:6]), " ".join(words[6:])
    text = f"# UNITS: metal\n\n{head} # half\n# between\n\n   {rest}\n"
    assert read_sw(written(tmp_path, text)).cutoff == read_sw(written(tmp_path, SILICON)).cutoff


def test_two_elements():
    potential = read_sw(FILE)
    assert potential.species == (14, 32)
    assert np.allclose(potential.sigma, [[2.1, 2.15], [2.15, 2.2]])
    assert np.allclose(potential.gamma, [[1.2, 1.3], [1.1, 0.9]])
    assert potential.tol == ((0.0, 0.001), (0.001, 0.03))
    assert float(potential.epsilon[0, 1, 1]) == 1.9
    assert float(potential.epsilon[0, 1, 0]) == 1.5
    strength = np.asarray(potential.lam * potential.epsilon)
    assert np.allclose(strength, [[[20, 22], [22, 20]], [[23, 25], [25, 23]]])


def test_elements_can_be_chosen():
    assert read_sw(FILE, species=("Ge",)).species == (32,)
    assert read_sw(FILE, species=("Ge", "Si")).sigma[0, 0] == 2.2
    with pytest.raises(FormatError, match="7 of 8 entries are missing: Si-Si-C"):
        read_sw(FILE, species=("Si", "C"))


def without(number):
    lines = FILE.read_text().splitlines()
    del lines[2 + 2 * number:4 + 2 * number]
    return "\n".join(lines)


def altered(old, new):
    text = FILE.read_text()
    assert old in text
    return text.replace(old, new)


MISTAKES = {
    "empty": ("", None, "no entry"),
    "comments only": ("# nothing\n# here\n", None, "no entry"),
    "cut off": (SILICON.rpartition(" ")[0], 1, "truncated"),
    "one word too many": (SILICON + " 7\n", 1, "expected 14 words in an entry, got 15"),
    "not an element": (SILICON.replace("Si Si Si", "Si Sj Si"), 1, "'Sj' is not an element"),
    "not a number": (SILICON.replace("2.0951", "2,0951"), 1, "'2,0951'"),
    "not finite": (SILICON.replace("2.0951", "nan"), 1, "finite number"),
    "negative sigma": (SILICON.replace("2.0951", "-2.0951"), 1, "not negative"),
    "no range": (SILICON.replace("2.0951", "0.0"), None, "a * sigma must be positive"),
    "twice": (SILICON + "\n" + SILICON, 2, "Si-Si-Si was given before, on line 1"),
    "other units": ("# UNITS: real\n" + SILICON, 1, "'real' units"),
    "a triplet is missing": (without(2), None, "1 of 8 entries are missing: Si-Ge-Si"),
    "a pair seen differently": (altered("Ge Si Si 1.9 2.15", "Ge Si Si 1.9 2.16"), 9, "2.15 but"),
    "neighbours exchanged": (altered("Si Ge Si 1.5", "Si Ge Si 1.6"), 5, "Si-Si-Ge has 22 but"),
    "pairs end differently": (altered("1.75 12.1052632 1.1", "1.75 12.1052632 0.8"), 9, "gamma"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_file_is_refused_with_its_place(tmp_path, name):
    text, line, says = MISTAKES[name]
    with pytest.raises(FormatError) as caught:
        read_sw(written(tmp_path, text))
    assert says in str(caught.value)
    assert "some.sw" in str(caught.value)
    assert line is None or caught.value.line == line


def test_differences_of_rounding_are_accepted(tmp_path):
    text = FILE.read_text().replace("Si Ge Si 1.5 0 0 14.6666667", "Si Ge Si 1.5000002 0 0 14.6666667")
    assert read_sw(written(tmp_path, text)).species == (14, 32)
