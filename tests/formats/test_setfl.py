from pathlib import Path

import numpy as np
import pytest

import jaxpot as jp
from jaxpot.errors import FormatError
from jaxpot.formats.setfl import read_setfl, read_setfl_fs

FILE = Path(__file__).parent / "files" / "two_metals.eam.alloy"


def words(text, count, per_line):
    """The numbers of a file after its header, laid out anew."""
    return [" ".join(text[i:i + per_line]) for i in range(0, count, per_line)]


def test_everything_is_read():
    potential = read_setfl(FILE)
    assert potential.species == (28, 13)
    assert (potential.drho, potential.dr, potential.cutoff) == (0.32, 0.045, 5.35)
    assert potential.embedding.shape == (2, 60)
    assert potential.density.shape == (2, 120)
    assert potential.pair.shape == (3, 120)
    assert potential.smoothness == 1
    rho = 0.32 * np.arange(60)
    assert np.allclose(potential.embedding[0], -1.6 * np.sqrt(rho) + 0.02 * rho, rtol=1e-8)
    assert np.allclose(potential.embedding[1], -1.2 * np.sqrt(rho) + 0.02 * rho, rtol=1e-8)
    r = 0.045 * np.arange(120)
    tail = np.clip(1 - r / 5.2, 0, None) ** 4
    assert np.allclose(potential.density[1], 6 * np.exp(-2.2 * (r / 2.9 - 1)) * tail, rtol=1e-8)
    last = r * 5.0 * (np.exp(-4 * (r / 2.9 - 1)) - 1.6 * np.exp(-2 * (r / 2.9 - 1))) * tail
    assert np.allclose(potential.pair[2], last, rtol=1e-7, atol=1e-15)


@pytest.mark.parametrize("per_line", [1, 3, 1000])
def test_any_number_of_values_may_stand_on_a_line(tmp_path, per_line):
    lines = FILE.read_text().splitlines()
    out, numbers, expected = lines[:5], [], 0
    counts = iter([None, 60, 120, None, 60, 120, 120, 120, 120])
    for line in lines[5:]:
        if not numbers and not expected:
            expected = next(counts)
            if expected is None:
                out.append(line + "   # the element")
                expected = 0
                continue
        numbers += line.split()
        if len(numbers) == expected:
            out += [*words(numbers, expected, per_line), ""]
            numbers, expected = [], 0
    path = tmp_path / "again.eam.alloy"
    path.write_text("\r\n".join(out) + "\n\n \t\n")
    ours, theirs = read_setfl(path), read_setfl(FILE)
    for name in ("embedding", "density", "pair"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))


def change(line, text):
    def apply(lines):
        lines[line - 1] = text
        return lines
    return apply


MISTAKES = {
    "empty": (lambda lines: [], None, "title", "truncated"),
    "title only": (lambda lines: lines[:3], 3, "elements", "truncated"),
    "cut in the middle": (lambda lines: lines[:-40], None, "pair term of Al", "truncated"),
    "cut in the first table": (lambda lines: lines[:20], 5, "grid", "more than fit"),
    "last line missing": (lambda lines: lines[:-1], None, "pair term of Al-Al", "truncated"),
    "one number too many at the end": (lambda lines: [*lines, "0.0"], 242, "end", "expected the end"),
    "one number too many in a table": (lambda lines: [*lines[:6], "1.0", *lines[6:]], None, "", "expected"),
    "a word among numbers": (change(10, "1.2.3"), 10, "embedding of Ni", "'1.2.3'"),
    "nan": (change(10, "nan"), 10, "embedding of Ni", "finite number, got 'nan'"),
    "infinity": (change(10, "-inf"), 10, "embedding of Ni", "finite number"),
    "overflow": (change(10, "1e999"), 10, "embedding of Ni", "finite number"),
    "wrong units": (change(1, "DATE: 2020-01-01 UNITS: real"), 1, "UNITS", "'metal'"),
    "more elements announced": (change(4, "3 Ni Al"), 4, "elements", "3 elements are announced, but 2"),
    "an element twice": (change(4, "2 Ni Ni"), 4, "elements", "twice"),
    "not an element": (change(4, "2 Ni Aluminium"), 4, "elements", "'Aluminium' is not an element"),
    "count is a word": (change(4, "two Ni Al"), 4, "number of elements", "whole number"),
    "grid of four": (change(5, "60 0.32 120 0.045"), 5, "grid", "got 4 words"),
    "grid not whole": (change(5, "60.5 0.32 120 0.045 5.35"), 5, "n_rho", "whole number"),
    "grid negative": (change(5, "60 0.32 -120 0.045 5.35"), 5, "n_r", "got -120"),
    "grid tiny": (change(5, "60 0.32 3 0.045 5.35"), 5, "n_r", "got 3"),
    "grid absurd": (change(5, "60 0.32 999999999999 0.045 5.35"), 5, "n_r", "got 999999999999"),
    "grid too large for the file": (change(5, "60 0.32 5000 0.045 5.35"), 5, "grid", "more than fit"),
    "step zero": (change(5, "60 0.32 120 0.0 5.35"), 5, "dr", "positive"),
    "step negative": (change(5, "60 -0.32 120 0.045 5.35"), 5, "drho", "positive"),
    "cutoff nan": (change(5, "60 0.32 120 0.045 nan"), 5, "cutoff", "finite"),
    "element line short": (change(6, "28 58.7"), 6, "line of Ni", "mass"),
    "element line of words": (change(6, "Ni 58.7 3.6 fcc"), 6, "line of Ni", "whole number"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_file_is_refused_with_its_place(tmp_path, name):
    edit, line, field, says = MISTAKES[name]
    path = tmp_path / "wrong.eam.alloy"
    path.write_text("\n".join(edit(FILE.read_text().splitlines())) + "\n")
    with pytest.raises(FormatError) as caught:
        read_setfl(path)
    assert says in str(caught.value)
    assert "wrong.eam.alloy" in str(caught.value)
    assert field in (caught.value.field or "")
    assert line is None or caught.value.line == line


def test_a_cutoff_beyond_tables_that_do_not_end_with_zero(tmp_path):
    text = FILE.read_text().splitlines()
    text[4] = "60 0.32 120 0.045 9.0"
    path = tmp_path / "beyond.eam.alloy"
    path.write_text("\n".join(text) + "\n")
    assert read_setfl(path).cutoff == 9.0  # these end with zero: nothing is missing
    text[-1] = text[-1].rpartition(" ")[0] + " 0.1"
    path.write_text("\n".join(text) + "\n")
    with pytest.raises(FormatError, match="beyond the tables"):
        read_setfl(path)


def test_files_that_are_not_text(tmp_path):
    with pytest.raises(FormatError, match="cannot be read"):
        read_setfl(tmp_path / "nothing")
    with pytest.raises(FormatError, match="cannot be read"):
        read_setfl(tmp_path)
    path = tmp_path / "binary"
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(FormatError, match="zero bytes"):
        read_setfl(path)


def test_densities_of_pairs():
    path = FILE.parent / "two_metals.eam.fs"
    potential = jp.load(path)
    assert potential.species == (26, 40)
    assert potential.density.shape == (2, 2, 100)
    r = 0.052 * np.arange(100)
    tail = np.clip(1 - r / 5.05, 0, None) ** 4
    # What zirconium brings to iron: the first table after the embedding energy of zirconium.
    assert np.allclose(potential.density[1, 0], 6.0 * np.exp(-2.0 * (r / 2.8 - 1)) * tail, rtol=1e-8)
    with pytest.raises(FormatError, match="its name must end with .fs"):
        read_setfl(path)
    with pytest.raises(FormatError, match="density of Ni at Al: expected a number, got 'fcc'"):
        read_setfl_fs(FILE)
