"""GAP files: what they hold, QUIP's numbers, and everything that can be wrong with them."""

import json
import lzma
import os
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from tiers import thorough_but

import jaxpot as jp
from jaxpot.errors import DataError, FormatError, JaxpotError
from jaxpot.formats.quip_xml import read_quip_xml

FILES = Path(__file__).parent / "files" / "gap"
REFERENCE = json.loads((FILES / "reference.json").read_text())
PLAIN = (FILES / "plain.xml").read_text()
CORE = (FILES / "core.xml").read_text()
SIDE = next(FILES.glob("plain.xml.sparseX*"))
PUBLISHED = Path(os.environ.get("JAXPOT_DATA", "")) / "mlearn"


@pytest.mark.parametrize("name", thorough_but(["plain", "clusters", "core", "with_LJ"], REFERENCE))
def test_numbers_of_quip(name):
    potential = jp.load(FILES / f"{name}.xml")
    for expected in REFERENCE[name]:
        structure = jp.Structure(expected["positions"], expected["cell"], expected["symbols"])
        found = jp.evaluate(potential, structure)
        assert float(found.energy) == pytest.approx(expected["energy"], abs=1e-9 * len(structure))
        if name not in ("clusters", "unlike"):  # QUIP divides a triangle among its atoms, `Triangle` gives it to a corner
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
    "element",
    [*thorough_but([], ["example", "Si"]), *(pytest.param(e, marks=pytest.mark.slow) for e in ("Mo", "Ge", "Li", "Cu"))],
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


def test_species_that_the_file_was_not_made_for():
    assert jp.load(FILES / "two.xml", species=["C"]).species == (6,)
    for file, species in (("plain", ["C"]), ("two", ["C", "Ge"])):
        with pytest.raises(DataError, match="the file was made for .*, not for"):
            jp.load(FILES / f"{file}.xml", species=species)


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


def test_points_that_are_wrong(tmp_path):
    path = tmp_path / "inline.xml"
    text = inline(PLAIN)
    for wrong in (re.sub(r"\S+</sparseX>", "</sparseX>", text, count=1), re.sub("</sparseX>", " 1.0</sparseX>", text, count=1)):
        path.write_text(wrong)
        with pytest.raises(FormatError, match="expected 10 points of 41 numbers in the file"):
            jp.load(path)
    path.write_text(re.sub(r'sparseX_md5sum="[^"]*"', "", PLAIN))
    good = SIDE.read_text()
    for wrong, says in (
        ("x" + good, "line 1.*expected numbers"), (good.rsplit(maxsplit=1)[0] + " nan", "not all numbers are finite"),
        (good.rsplit(maxsplit=1)[0], "expected 10 x 41 numbers, found 409"), (good + " 1.0", "expected 10 x 41 numbers, found 411"),
        (good + " " * 64 * 411, "more than 26304 bytes"),
    ):
        (tmp_path / SIDE.name).write_text(wrong)
        with pytest.raises(FormatError, match=says):
            jp.load(path)
    (tmp_path / SIDE.name).write_text(good + " " * (64 * 411 - len(good)))
    assert jp.load(path).cutoff == 4.2


# what is wrong: (the file, what is replaced by what, what the message must contain)
MISTAKES = {
    "a document type": ("plain", "<GAP_params", "<!DOCTYPE a [<!ENTITY b 'c'>]><GAP_params", "document type|not XML"),
    "cut off": ("plain", "</gpSparse>", "", "not XML"),
    "another descriptor": ("plain", "<descriptor>soap", "<descriptor>bispectrum", "'bispectrum' is not known"),
    "an unknown setting": ("plain", "n_max=4", "n_max=4 weight_of_moon=3", "weight_of_moon"),
    "a setting not understood": ("plain", "n_max=4", "n_max=4 average=T", "average=T"),
    "no n_max": ("plain", "n_max=4", "", "n_max: the setting is missing"),
    "an impossible cutoff": ("plain", "cutoff=4.2", "cutoff=-4.2", "positive length"),
    "a core that is not added": ("plain", 'do_core="F"', 'do_core="T" ip_args="IP Glue"', "init_args does not add it"),
    "another covariance": ("plain", 'covariance_type="2"', 'covariance_type="3"', "covariance_type: expected"),
    "a weight that is no number": ("plain", 'alpha="', 'alpha="x', "alpha: expected a finite number"),
    "a weight too few": ("plain", 'n_sparseX="10"', 'n_sparseX="11"', "11 sparse points are announced"),
    "another dimension": ("plain", 'dimensions="41"', 'dimensions="42"', "the file says 42"),
    "a side file elsewhere": ("plain", 'sparseX_filename="', 'sparseX_filename="../', "plain name"),
    "no coordinates": ("plain", 'n_coordinate="1"', 'n_coordinate="2"', "2 coordinates are announced"),
    "half a radial function": ("plain", "n_max=4", "n_max=4.5", "n_max: expected a whole number, got 4.5"),
    "many radial functions": ("plain", "n_max=4", "n_max=2e6", "n_max: expected a whole number"),
    "a radial scaling": ("plain", "n_max=4", "n_max=4 cutoff_dexp=1", "radially scaled"),
    "half a point": ("plain", 'n_sparseX="10"', 'n_sparseX="9.5"', "expected a whole number from 0 to .*, got '9.5'"),
    "points below zero": ("plain", 'n_sparseX="10"', 'n_sparseX="-1"', "expected a whole number from 0"),
    "a point left out": ("plain", '<sparseX i="2"', '<sparseX i="3"', "expected sparse point 2, got i=3"),
    "neither true nor false": ("clusters", "compact_clusters=T", "compact_clusters=Yes", "expected T or F, got 'YES'"),
    "no atomic number": ("clusters", "Z={14 14 }", "Z={14 119 }", "expected atomic numbers"),
    # Parts of a sum
    "another part": ("core", "{IP Glue}", "{IP Brenner}", "'IP Brenner' is not read; known are a GAP and Glue, LJ"),
    "a setting of a part": ("core", "{IP Glue}", "{IP Glue scale=2}", "settings of IP Glue that are not known: scale"),
    "a setting of the sum": ("core", "{IP Glue}", "{IP Glue} E_scale=2", "'Sum' is not read"),
    "a brace that stays open": ("core", "{IP Glue}", "{IP Glue", "expected key=value words"),
    "two GAPs": ("core", "{IP Glue}", "{IP GAP}", "expected one GAP"),
    "no parameters": ("core", "{IP Glue}", "{IP SW}", "expected one SW_params, found 0"),
    "another label": ("core", "{IP Glue}", "{IP Glue label=a}", "Glue_params with the label a, found 0"),
    "a point too few": ("core", 'potential_pair num_points="5"', 'potential_pair num_points="6"', "6 points are announced"),
    "points out of order": ("core", '<point r="1" ', '<point r="3" ', "points in ascending order"),
    "an unknown type": ("core", 'type1="1" type2="1"', 'type1="1" type2="7"', "there is no type 7"),
    "a pair twice": ("core", 'type1="2" type2="1"', 'type1="1" type2="1"', "Si-Si is given twice"),
    "a value that is no number": ("core", 'E="9"', 'E="nine"', "E: expected a finite number"),
    "no density": ("core", "density num_points", "thickness num_points", "not XML|expected one density"),
    "a smooth end": (
        "with_LJ", 'cutoff="3.5"', 'cutoff="3.5" smooth_cutoff_width="0.5"', "not the derivatives of its energy"
    ),
    "a tail": ("with_LJ", 'cutoff="3.5"', 'cutoff="3.5" tail_corr_factor="0.5"', "corrections for tails"),
    "no attraction": ("with_LJ", 'eps6="0.7"', 'eps6="0"', "eps6 and eps12 of one sign"),
    # Clusters
    "light and like": ("unlike", "Z={6 14 14}", "Z={6 6 14}", "depends on the order of the atoms"),
    "some elements": ("unlike", "Z={14 14 14 }", "Z={0 14 14 }", "expected three elements, or three times 0"),
    "an element too few": ("unlike", "Z={14 14 14 }", "Z={14 14}", "expected 3 atomic numbers"),
    "four atoms": ("clusters", "order=3", "order=4", "clusters of 2 or 3"),
    "no permutation": ("clusters", '<permutation i="2">2 1 3', '<permutation i="2">2 1 1', "expected 1 2 3 and 2 1 3"),
    "a permutation too few": ("unlike", '<permutation i="2">1 3 2', '<permutation i="2">1 2 3', "1 2 3 and 1 3 2 for"),
    "lengths that differ": ("clusters", "0.79999999999999993E+000", "0.7", "equal theta of components"),
    "no group": (
        "two", '<permutation i="1">1 2 3  </permutation>', '<permutation i="1">2 3 1</permutation>', "expected a group"
    ),
    "an element beyond all": ("with_Morse", 'atnum_i="6"', 'atnum_i="119"', "expected a whole number from 0 to 118"),
    "no element": ("with_Morse", 'atnum_i="6"', 'atnum_i="0"', "expected an atomic number, got 0"),
    "no decay": ("with_Morse", 'alpha="4.5"', 'alpha="0"', "expected a positive number, got 0"),
    "a cutoff below zero": ("with_Morse", 'cutoff="5.0"', 'cutoff="-5.0"', "positive length"),
    "a triplet twice": ("with_SW", 'atnum_k="6" lambda="21.0055023254418"', 'atnum_k="6" lambda="3"', "with other numbers"),
    "no chi": ("with_Tersoff", '<per_pair_data type1="3" type2="1" chi="1.0" />', "", "there is no chi of C, Ge"),
    "R beyond S": ("with_Tersoff", 'R="1.8"', 'R="2.8"', "R must lie below S"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_say_where(name, tmp_path):
    file, old, new, message = MISTAKES[name]
    path = changed(tmp_path, file, old, new)
    with pytest.raises(FormatError, match=message) as caught:
        jp.load(path)
    assert f"{file}.xml" in str(caught.value)


def changed(folder, file, old, new):
    """The path of a copy of a GAP in which the first `old` is `new`."""
    text = (FILES / f"{file}.xml").read_text()
    assert old in text
    for side in FILES.glob("*.sparseX*"):
        shutil.copy(side, folder)
    path = folder / f"{file}.xml"
    path.write_text(text.replace(old, new, 1))
    return path


def write_core(folder, text):
    for side in FILES.glob("core.xml.sparseX*"):
        shutil.copy(side, folder)
    (folder / "core.xml").write_text(text)


def test_a_core_of_fewer_elements(tmp_path):
    """A Glue leaves out elements that it does not know; other parts restrict what the sum serves, as in QUIP."""
    carbon = CORE.index('<per_type_data atomic_num="6"')
    after = CORE.index("</Glue_params>")
    silicon = CORE.index('<per_pair_data type1="1" type2="1">')
    silicon = CORE[silicon : CORE.index("</per_pair_data>", silicon) + len("</per_pair_data>")]
    write_core(tmp_path, CORE[:carbon] + silicon + CORE[after:])
    found = jp.load(tmp_path / "core.xml")
    assert found.species == (6, 14)
    alone = jp.Structure(np.zeros((1, 3)), 30 * np.eye(3), ["C"])
    assert float(jp.energy(found, alone)) == pytest.approx(-0.1)
    text = (FILES / "with_Morse.xml").read_text()
    lines = [line for line in text.splitlines() if 'atnum_i="6"' not in line]
    write_core(tmp_path, "\n".join(lines))
    assert jp.load(tmp_path / "core.xml").species == (14,)


def test_a_glue_that_embeds_nothing(tmp_path):
    """Values and slopes of zero: published pair cores have them, and only the pairs count."""
    begin, end = CORE.index("<Glue_params"), CORE.index("</Glue_params>")
    glue = re.sub(
        r"<potential_density.*?</potential_density>",
        '<potential_density num_points="2" y1="0.0" yn="0.0">'
        '<point rho="0" E="0"/><point rho="1" E="0"/></potential_density>', CORE[begin:end], flags=re.S,
    )
    write_core(tmp_path, CORE[:begin] + glue + CORE[end:])
    found = jp.load(tmp_path / "core.xml")
    assert [type(term).__name__ for term in found.terms].count("Glue") == 1
    alone = jp.Structure(np.zeros((1, 3)), 30 * np.eye(3), ["Si"])
    assert float(jp.energy(found, alone)) == pytest.approx(-0.23790774719673796)


def test_pairs_without_lennard_jones(tmp_path):
    """eps6 = eps12 = 0, as files that `jp.save` writes have it."""
    path = changed(tmp_path, "with_LJ", 'eps6="0.7" eps12="0.5"', 'eps6="0" eps12="0.0"')
    silicon = next(t for t in jp.load(path).terms if type(t).__name__ == "LennardJones" and t.epsilon.max() == 0.0)
    assert silicon.cutoff == 3.5 and silicon.species == (6, 14)


def test_clusters_are_compact_by_default(tmp_path):
    """As in QUIP; elements that are not named, or are 0, are all elements."""
    plain = jp.load(FILES / "clusters.xml", species=["Si"])
    for word in ("", "Z={14 14 14 }"):
        path = changed(tmp_path, "clusters", "order=3 cutoff=3.2 compact_clusters=T", "order=3 cutoff=3.2")
        if word:
            text = path.read_text().replace(word, "").replace("Z={14 14 }", "Z={0 0}")
            path.write_text(text)
        found = jp.load(path, species=["Si"])
        structure = jp.Structure(*(REFERENCE["clusters"][0][key] for key in ("positions", "cell", "symbols")))
        assert float(jp.energy(found, structure)) == pytest.approx(float(jp.energy(plain, structure)), abs=1e-10)


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


def fuzz_core(tmp_path, count, seed):
    rng = np.random.default_rng(seed)
    loaded = 0
    for side in FILES.glob("unlike.xml.sparseX*"):
        shutil.copy(side, tmp_path)
    for _ in range(count):
        part = rng.choice(["core", "with_LJ", "with_Morse", "with_SW", "with_Tersoff", "unlike"])
        write_core(tmp_path, "")
        text = (FILES / f"{part}.xml").read_bytes()
        begin, end = text.index(b"<Potential"), text.index(b"<GAP_params")
        if part == "unlike":
            begin, end = text.index(b"<gpSparse"), len(text)
        (tmp_path / "core.xml").write_bytes(text[:begin] + damage(rng, text[begin:end]) + text[end:])
        try:
            found = jp.load(tmp_path / "core.xml")
        except JaxpotError as error:
            assert str(error)
            continue
        loaded += 1
        assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(found))
    return loaded


def test_damaged_files(tmp_path):
    assert fuzz(tmp_path, 300, seed=1) > 10


def test_damaged_cores(tmp_path):
    assert fuzz_core(tmp_path, 200, seed=1) > 10


@pytest.mark.slow
def test_damaged_files_long(tmp_path):
    assert fuzz(tmp_path, 10_000, seed=2) > 300


@pytest.mark.slow
def test_damaged_cores_long(tmp_path):
    assert fuzz_core(tmp_path, 3_000, seed=2) > 100
