"""GAP files: what they hold, QUIP's numbers, and everything that can be wrong with them."""

import json
import lzma
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import jaxpot as jp
from jaxpot.errors import DataError, FormatError, JaxpotError
from jaxpot.formats.quip_xml import read_quip_xml

FILES = Path(__file__).parent / "files" / "gap"
REFERENCE = json.loads((FILES / "reference.json").read_text())
PLAIN = (FILES / "plain.xml").read_text()
SIDE = next(FILES.glob("plain.xml.sparseX*"))
PUBLISHED = Path(os.environ.get("JAXPOT_DATA", "")) / "mlearn"


@pytest.mark.parametrize("name", REFERENCE)
def test_numbers_of_quip(name):
    potential = jp.load(FILES / f"{name}.xml")
    for expected in REFERENCE[name]:
        structure = jp.Structure(expected["positions"], expected["cell"], expected["symbols"])
        found = jp.evaluate(potential, structure)
        assert float(found.energy) == pytest.approx(expected["energy"], abs=1e-9 * len(structure))
        np.testing.assert_allclose(found.energies, expected["energies"], atol=1e-9)
        np.testing.assert_allclose(found.forces, expected["forces"], atol=1e-8)
        np.testing.assert_allclose(found.stress, expected["stress"], atol=1e-9)


def published(element):
    """Folder, XML and reference of a published GAP."""
    if element == "example":
        folder = PUBLISHED / "gap_example_Mo"
        return folder / "soap.xml", folder / "reference.json"
    return PUBLISHED / element / "published" / "gap" / "gap.xml", PUBLISHED / element / "published" / "reference.json"


@pytest.mark.data
@pytest.mark.parametrize(
    "element", ["example", "Si", *(pytest.param(e, marks=pytest.mark.slow) for e in ("Mo", "Ge", "Li", "Cu"))]
)
def test_numbers_of_quip_for_published_models(element):
    xml, reference = published(element)
    potential, reference = jp.load(xml), json.loads(reference.read_text())
    # Round-off: eps times the sum of |alpha k|, where it is larger than 1e-9 eV (Mo).
    weights = np.abs(np.asarray(potential.terms[1].readout.weights)).sum()
    rounding = max(1e-9, np.finfo(float).eps * weights)
    results = reference["models"]["gap"]["results"] if "models" in reference else reference["results"]
    for where, expected in zip(reference["structures"], results, strict=True):
        structure = jp.Structure(where["positions"], where["cell"], where["numbers"], pbc=where["pbc"])
        found = jp.evaluate(potential, structure)
        assert abs(float(found.energy) - expected["energy"]) <= 1e-9 * len(structure)
        np.testing.assert_allclose(found.energies, expected["energies"], atol=2 * rounding, rtol=0)
        np.testing.assert_allclose(found.forces, expected["forces"], atol=1e-8, rtol=0)
        stress = np.asarray(found.stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        np.testing.assert_allclose(stress, expected["stress"], atol=1e-9, rtol=0)


def test_species_come_from_the_training_set_or_from_the_user():
    assert read_quip_xml(FILES / "plain.xml").species == (14,)
    assert jp.load(FILES / "two.xml").species == (6, 14)
    with pytest.raises(DataError, match="knows Si, but the structure contains C"):
        jp.energy(jp.load(FILES / "plain.xml"), jp.Structure(np.zeros((1, 3)), 5 * np.eye(3), ["C"]))


@pytest.fixture
def copy(tmp_path):
    """A function that writes a changed plain.xml, and returns its path."""
    shutil.copy(SIDE, tmp_path)

    def write(old="", new="", side=SIDE.name):
        assert old in PLAIN
        if side != SIDE.name:
            (tmp_path / SIDE.name).rename(tmp_path / side)
        path = tmp_path / "plain.xml"
        path.write_text(PLAIN.replace(old, new, 1))
        return path

    return write


def test_no_species(copy):
    begin, end = PLAIN.index("<XYZ_data>"), PLAIN.index("</XYZ_data>")
    path = copy(PLAIN[begin:end], "<XYZ_data>")
    with pytest.raises(DataError, match=r"species=\['Si'\]"):
        jp.load(path)
    assert jp.load(path, species=["Si"]).species == (14,)


def test_compressed_side_file(copy, tmp_path):
    path = copy()
    data = (tmp_path / SIDE.name).read_bytes()
    (tmp_path / SIDE.name).unlink()
    with pytest.raises(FormatError, match="missing"):
        jp.load(path)
    with lzma.open(tmp_path / f"{SIDE.name}.xz", "wb") as file:
        file.write(data)
    assert jp.load(path).cutoff == 4.2


def inline(text):
    """The plain GAP with its sparse points in the XML."""
    points = np.loadtxt(SIDE).reshape(10, -1)
    begin = text.index("sparseX_filename")
    text = text[:begin] + text[text.index(">", begin):]
    head, *tails = text.split("<sparseX ")
    pieces = [head]
    for point, tail in zip(points, tails, strict=True):
        pieces.append("<sparseX " + tail.replace("/>", ">" + " ".join(map(repr, map(float, point))) + "</sparseX>", 1))
    return "".join(pieces)


def test_points_in_the_file_itself(tmp_path):
    path = tmp_path / "inline.xml"
    path.write_text(inline(PLAIN))
    expected = jp.load(FILES / "plain.xml").terms[1].readout.points
    np.testing.assert_array_equal(jp.load(path).terms[1].readout.points, expected)


MISTAKES = {
    "a document type": ("<GAP_params", "<!DOCTYPE a [<!ENTITY b 'c'>]><GAP_params", "document type|not XML"),
    "cut off": ("</gpSparse>", "", "not XML"),
    "another descriptor": ("<descriptor>soap", "<descriptor>bispectrum", "'bispectrum' is not known"),
    "an unknown setting": ("n_max=4", "n_max=4 weight_of_moon=3", "weight_of_moon"),
    "a setting not understood": ("n_max=4", "n_max=4 average=T", "average=T"),
    "no n_max": ("n_max=4", "", "n_max: the setting is missing"),
    "an impossible cutoff": ("cutoff=4.2", "cutoff=-4.2", "positive length"),
    "a core potential": ('do_core="F"', 'do_core="T" ip_args="IP Glue"', "core potential"),
    "a sum": ('init_args="IP GAP', 'init_args="Sum init_args_pot1={IP Glue} init_args_pot2={IP GAP', "GAP and Glue"),
    "another covariance": ('covariance_type="2"', 'covariance_type="3"', "covariance_type: expected"),
    "a weight that is no number": ('alpha="', 'alpha="x', "alpha: expected a finite number"),
    "a weight too few": ('n_sparseX="10"', 'n_sparseX="11"', "11 sparse points are announced"),
    "another dimension": ('dimensions="41"', 'dimensions="42"', "the file says 42"),
    "a side file elsewhere": ('sparseX_filename="', 'sparseX_filename="../', "plain name"),
    "no coordinates": ('n_coordinate="1"', 'n_coordinate="2"', "2 coordinates are announced"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_say_where(copy, name):
    old, new, message = MISTAKES[name]
    with pytest.raises(FormatError, match=message) as caught:
        jp.load(copy(old, new))
    assert "plain.xml" in str(caught.value)


def test_a_side_file_that_has_changed(copy, tmp_path):
    path = copy()
    side = tmp_path / SIDE.name
    side.write_text(side.read_text().replace("1", "2", 1))
    with pytest.raises(FormatError, match="md5"):
        jp.load(path)


def damage(rng, data):
    """Bytes with one thing wrong."""
    data = bytearray(data)
    at = int(rng.integers(0, len(data)))
    kind = rng.integers(0, 6)
    if kind == 0:
        data[at] = int(rng.integers(0, 256))
    elif kind == 1:
        del data[at : at + int(rng.integers(1, 200))]
    elif kind == 2:
        data[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 20)), dtype=np.uint8))
    elif kind == 3:
        data = data[:at]
    elif kind == 4:
        data[at:at] = rng.choice([b"nan", b"inf", b"1e999", b"-", b"<", b">", b'"', b"&#0;", b"99999999999"])
    else:
        digits = [k for k in range(len(data)) if data[k : k + 1].isdigit()]
        data[int(rng.choice(digits))] = int(rng.integers(48, 58))
    return bytes(data)


def fuzz(tmp_path, count, seed):
    rng = np.random.default_rng(seed)
    begin, end = PLAIN.index("<XYZ_data>") + len("<XYZ_data>"), PLAIN.index("</XYZ_data>")
    xml = (PLAIN[:begin] + "\n1\nenergy=0\nSi 0 0 0\n" + PLAIN[end:]).encode()
    side, path = SIDE.read_bytes(), tmp_path / "fuzz.xml"
    loaded = 0
    for _ in range(count):
        which = rng.random() < 0.7
        path.write_bytes(damage(rng, xml) if which else xml)
        (tmp_path / SIDE.name).write_bytes(side if which else damage(rng, side))
        try:
            found = jp.load(path, species=["Si"])
        except JaxpotError as error:
            assert str(error)
            continue
        loaded += 1
        assert all(np.isfinite(np.asarray(leaf)).all() for leaf in (found.terms[1].readout.points,
                                                                    found.terms[1].readout.weights))
    return loaded


def test_damaged_files(tmp_path):
    assert fuzz(tmp_path, 300, seed=1) > 10


@pytest.mark.slow
def test_damaged_files_long(tmp_path):
    assert fuzz(tmp_path, 10_000, seed=2) > 300
