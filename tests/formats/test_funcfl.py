from pathlib import Path

import numpy as np
import pytest

import jaxpot as jp
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.funcfl import read_funcfl

FILES = Path(__file__).parent / "files"
COPPER, NICKEL = FILES / "copper.eam", FILES / "nickel.eam"


def test_one_file_is_taken_as_it_is():
    potential = read_funcfl(COPPER)
    assert potential.species == (29,)
    assert (potential.drho, potential.dr, potential.cutoff) == (0.9, 0.06, 5.1)
    assert potential.embedding.shape == (1, 59) and potential.density.shape == potential.pair.shape == (1, 89)
    assert potential.line_from == pytest.approx(0.9 * 59)
    rho, r = 0.9 * np.arange(59), 0.06 * np.arange(89)
    assert np.allclose(potential.embedding[0], -1.4 * np.sqrt(rho) + 0.02 * rho, rtol=1e-8)
    charge = 11.0 * np.exp(-1.7 * (r / 2.5)) * np.clip(1.0 - r / 4.86, 0.0, None) ** 4
    assert np.allclose(potential.pair[0], 27.2 * 0.529 * charge**2, rtol=1e-7)


def test_an_alloy_takes_the_coarsest_steps_and_the_longest_reach():
    alloy = jp.load([COPPER, NICKEL])
    assert alloy.species == (29, 28)
    assert (alloy.drho, alloy.dr, alloy.cutoff) == (0.9, 0.06, 5.1)
    assert alloy.embedding.shape == (2, 59) and alloy.pair.shape == (3, 89)
    assert np.allclose(alloy.pair[1] ** 2, alloy.pair[0] * alloy.pair[2], rtol=1e-12, atol=1e-20)
    nickel = read_funcfl(NICKEL)
    assert np.allclose(alloy.density[1, ::5][:17], nickel.density[0, ::6], rtol=1e-6, atol=1e-9)  # r = 0, 0.3, 0.6, ...
    assert np.array_equal(jp.load(NICKEL).embedding, nickel.embedding)


def change(line, text):
    def apply(lines):
        lines[line - 1] = text
        return lines
    return apply


MISTAKES = {
    "empty": (lambda lines: [], None, "element", "truncated"),
    "title only": (lambda lines: lines[:1], 1, "element", "truncated"),
    "cut in the middle": (lambda lines: lines[:-8], None, "density", "truncated"),
    "cut early": (lambda lines: lines[:5], 3, "grid", "more than fit"),
    "left over": (lambda lines: [*lines, "0.0"], 52, "end", "expected the end"),
    "one number too many in a table": (lambda lines: [*lines[:4], "1.0", *lines[4:]], None, "embedding", "1 too many"),
    "a word among numbers": (change(10, "1.2.3"), 10, "embedding", "'1.2.3'"),
    "not an element": (change(2, "129 1.0 3.6 fcc"), 2, "atomic number", "from 1 to 118"),
    "no mass": (change(2, "29"), 2, "element", "mass"),
    "other units": (change(1, "Cu UNITS: real"), 1, "UNITS", "'metal'"),
    "grid of four": (change(3, "60 0.9 90 0.06"), 3, "grid", "got 4 words"),
    "step zero": (change(3, "60 0.9 90 0.0 5.1"), 3, "dr", "positive"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_file_is_refused_with_its_place(tmp_path, name):
    edit, line, field, says = MISTAKES[name]
    path = tmp_path / "wrong.eam"
    path.write_text("\n".join(edit(COPPER.read_text().splitlines())) + "\n")
    with pytest.raises(FormatError) as caught:
        read_funcfl(path)
    assert says in str(caught.value) and "wrong.eam" in str(caught.value)
    assert field in (caught.value.field or "")
    assert line is None or caught.value.line == line


def test_a_cutoff_beyond_tables_that_do_not_end_with_zero(tmp_path):
    path = tmp_path / "beyond.eam"
    lines = COPPER.read_text().replace("90 0.06 5.1", "90 0.06 9.0").splitlines()
    path.write_text("\n".join(lines) + "\n")
    assert read_funcfl(path).cutoff == 9.0
    path.write_text("\n".join([*lines[:-1], lines[-1].rpartition(" ")[0] + " 0.1"]) + "\n")
    with pytest.raises(FormatError, match="beyond the tables"):
        read_funcfl(path)


def test_lists_of_other_things_are_refused():
    with pytest.raises(DataError, match=r"distinct elements, got .*copper.eam \(Cu\), .*copper.eam \(Cu\)"):
        jp.load([COPPER, COPPER])
    with pytest.raises(DataError, match="distinct elements, got none"):
        jp.load([])
    with pytest.raises(DataError, match="two_kinds.sw is not one"):
        jp.load([COPPER, FILES / "two_kinds.sw"])
    with pytest.raises(DataError, match="no use for species"):
        jp.load([COPPER, NICKEL], species=("Cu",))
