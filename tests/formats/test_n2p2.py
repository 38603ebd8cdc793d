"""Folders of n2p2: what they hold, n2p2's numbers, and everything that can be wrong with them."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from tiers import thorough_but

import jaxpot as jp
from jaxpot.descriptors import Angular, Radial, SymmetryFunctions
from jaxpot.errors import DataError, FormatError
from jaxpot.potentials import Constants, Described
from jaxpot.readouts import MLP, Neural

PUBLISHED = Path(os.environ.get("JAXPOT_DATA", "")) / "mlearn"
MLEARN = (1.0 / 1.8897261328, 1.0 / 0.0367493254)  # A and eV, the numbers that the reference was made with


@pytest.mark.data
@pytest.mark.parametrize("element", thorough_but(["Si"], ["Si", "Cu", "Ge", "Li", "Mo", "Ni"]))
def test_numbers_of_n2p2_for_published_networks(element):
    folder = PUBLISHED / element / "published"
    potential, reference = jp.load(folder / "nnp", units=MLEARN), json.loads((folder / "reference.json").read_text())
    for where, expected in zip(reference["structures"], reference["models"]["nnp"]["results"], strict=True):
        structure = jp.Structure(where["positions"], where["cell"], where["numbers"], pbc=where["pbc"])
        found = jp.evaluate(potential, structure)
        assert float(found.energy) == pytest.approx(expected["energy"], abs=1e-11 * len(structure))
        stress = np.array(found.stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        # The reference is made of differences: 1e-5 of the largest, and what they round off.
        assert np.abs(stress - expected["stress"]).max() < 2e-5 * np.abs(expected["stress"]).max()
        if len(structure) > 20:  # n2p2's forces are no derivatives where an atom sees its own images: see below
            np.testing.assert_allclose(found.forces, expected["forces"], atol=1e-11)


@pytest.mark.data
def test_forces_in_small_cells_are_derivatives_of_n2p2s_energies():
    """n2p2 2.3.0 has the same energy there, but other forces: they do not even add up to zero."""
    folder = PUBLISHED / "Ni" / "published"
    potential, reference = jp.load(folder / "nnp", units=MLEARN), json.loads((folder / "reference.json").read_text())
    where = next(s for s in reference["structures"] if len(s["numbers"]) == 12)
    expected = next(r for r in reference["models"]["nnp"]["results"] if r["structure"] == where["name"])
    structure = jp.Structure(where["positions"], where["cell"], where["numbers"])
    found, step = np.asarray(jp.forces(potential, structure)), 1e-3

    def energy(t):
        moved = np.array(structure.positions)
        moved[1, 1] += t
        return float(jp.energy(potential, structure.moved(moved)))

    slope = (8.0 * (energy(step) - energy(-step)) - energy(2.0 * step) + energy(-2.0 * step)) / (12.0 * step)
    assert found[1, 1] == pytest.approx(-slope, abs=1e-7)
    assert abs(expected["forces"][1][1] + slope) > 0.1 and np.abs(np.sum(expected["forces"], axis=0)).max() > 1e-8


def networks():
    """One of carbon, one of silicon."""
    rng = np.random.default_rng(0)
    terms = []
    for center, hidden in (("C", (4, 3)), ("Si", (5, 3))):
        functions = (
            Radial(0.2, 0.0, 4.0, "Si"), Radial(1.5, 2.0, 4.0, "C"), Radial(0.4, 0.0, 4.0, None, True),
            Angular(0.05, 2.0, 1.0, 3.6, 0.0, ("Si", "C")), Angular(0.05, 1.0, -1.0, 3.6, 1.0, ("C", "C"), False),
            Angular(0.1, 4.0, -1.0, 3.6, 0.0, None, True, True),
        )
        network = MLP.random(len(hidden) + len(terms), 6, hidden)
        network = network.replace(biases=[rng.normal(size=b.shape) for b in network.biases])
        readout = Neural(
            network, rng.uniform(0.1, 0.5, 6), rng.uniform(0.5, 1.5, 6), -1.3, 0.4, tuple(np.zeros(6)), tuple(np.ones(6))
        )
        terms.append(Described(SymmetryFunctions(functions, "poly2", 0.2, (center,)), readout, ("C", "Si")))
    return terms


def two_elements():
    return 0.5 * sum(networks()[1:], networks()[0]) + Constants({"C": -7.0, "Si": -5.0})


@pytest.fixture(scope="module")
def carbide():
    cell = jp.Structure([[0, 0, 0], [1.1, 1.2, 1.15]], 2.2 * (1 - np.eye(3)), ["Si", "C"])
    return cell.repeated((2, 1, 1))


@pytest.fixture
def folder(tmp_path):
    jp.save(two_elements(), f"{tmp_path}/network/")
    return tmp_path / "network"


def test_what_is_written_is_read(folder, carbide):
    found, expected = (jp.evaluate(p, carbide) for p in (jp.load(folder), two_elements()))
    np.testing.assert_allclose(found.energies, expected.energies, atol=1e-13)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-13)
    with pytest.raises(DataError, match="exists"):
        jp.save(two_elements(), f"{folder}/")


def test_written_and_read_again_are_the_same_files(folder, tmp_path):
    jp.save(jp.load(folder), f"{tmp_path}/again/")
    first, second = (jp.load(f) for f in (folder, tmp_path / "again"))
    assert [t.descriptor.functions for t in first.terms[:2]] == [t.descriptor.functions for t in second.terms[:2]]
    assert (folder / "weights.006.data").read_text() == (tmp_path / "again" / "weights.006.data").read_text()


def test_units_scale_lengths_and_energies(folder, carbide):
    text = (folder / "input.nn").read_text()
    (folder / "input.nn").write_text(text.replace("# units: Angstrom eV", ""))
    with pytest.raises(DataError, match="units of this folder are written nowhere"):
        jp.load(folder)
    metal, other = jp.load(folder, units="Angstrom eV"), jp.load(folder, units=(2.0, 3.0))
    larger = carbide.moved(2.0 * carbide.positions, 2.0 * carbide.cell)
    assert float(jp.energy(other, larger)) == pytest.approx(3.0 * float(jp.energy(metal, carbide)), rel=1e-12)
    for wrong in ("Bohr", "Bohr Rydberg", (1.0, -1.0), 3.0):
        with pytest.raises(DataError, match="expected a length and an energy"):
            jp.load(folder, units=wrong)
    (folder / "input.nn").write_text(text)
    with pytest.raises(DataError, match="was given, but"):
        jp.load(folder, units="Bohr Hartree")


def test_scalings_and_normalisations(folder, carbide):
    """Each way of scaling the inputs, and a normalised data set, by what they say."""
    jp_own = jp.load(folder)
    text = (folder / "input.nn").read_text()
    readout = jp_own.terms[0].readout
    lower, upper, mean = (np.array(x) for x in (readout.lower, readout.upper, readout.shift))
    for words, shift, factor in (
        ("scale_symmetry_functions", lower, 1.0 / (upper - lower)),
        ("center_symmetry_functions", mean, np.ones_like(mean)),
        ("scale_symmetry_functions\ncenter_symmetry_functions", mean, 1.0 / (upper - lower)),
        ("", np.zeros_like(mean), np.ones_like(mean)),
    ):
        (folder / "input.nn").write_text(text.replace("scale_symmetry_functions_sigma", words))
        found = jp.load(folder).terms[0].readout
        np.testing.assert_allclose(found.shift, shift, atol=1e-15)
        np.testing.assert_allclose(found.factor, factor, rtol=1e-15)
    (folder / "input.nn").write_text(f"{text}\nmean_energy -0.7\nconv_energy 2.0\nconv_length 3.0\n")
    found, plain = jp.energy(jp.load(folder), carbide), jp.energy(jp_own, carbide)
    constants = -7.0 * 2 - 5.0 * 2
    assert float(found) == pytest.approx((float(plain) - constants) / 2.0 - 0.7 * 4 + constants, rel=1e-12)


def damaged(folder, name, pattern, by):
    path = folder / name
    text = path.read_text()
    changed = re.sub(pattern, by, text, count=1, flags=re.MULTILINE)
    assert changed != text
    path.write_text(changed)


@pytest.mark.parametrize(
    "name, pattern, by, said",
    [
        ("input.nn", r"^elements .*$", "", "elements: this keyword is missing"),
        ("input.nn", r"^elements .*$", "elements Si Xy", "'Xy' is not an element"),
        ("input.nn", r"^number_of_elements 2", "number_of_elements 3", "3 elements are announced, 2 named"),
        ("input.nn", r"^cutoff_type .*$", "cutoff_type 17", "cutoff_type: expected a number from 0 to 8"),
        ("input.nn", r"^cutoff_type .*$", "cutoff_type 1 1.5", "alpha"),
        ("input.nn", r"^cutoff_type .*$", "cutoff_type 1\ncutoff_type 2", "given before, on line"),
        ("input.nn", r"^(symfunction_short C) 2 .*$", r"\1 21 Si 0.2 4.0", "type '21' are not supported"),
        ("input.nn", r"^(symfunction_short C 2 Si) .*$", r"\1 0.2 4.0", "expected 6 words for type 2, got 5"),
        ("input.nn", r"^(symfunction_short C 2 Si) .*$", r"\1 0.2 0.0 -4.0", "cutoff: expected a positive length"),
        ("input.nn", r"^(symfunction_short C 2 Si) .*$", r"\1 nan 0.0 4.0", "expected a finite number"),
        ("input.nn", r"^(symfunction_short C 2) Si", r"\1 Ge", "Ge is none of the elements"),
        ("input.nn", r"^symfunction_short C 2 .*$", "", "expected a number from 1 to 5, got 6"),
        ("input.nn", r"^(symfunction_short Si .*\n)+", "", "there is no symfunction_short of Si"),
        ("input.nn", r"^global_nodes_short .*$", "global_nodes_short 4 9", "layers of 6, 4, 9, 1 nodes"),
        ("input.nn", r"^global_nodes_short .*$", "global_nodes_short 4", "expected 2 words, got 1"),
        ("input.nn", r"^global_activation_short .*$", "global_activation_short t q l", "got 'q'"),
        ("input.nn", r"\Z", "use_electrostatics 1\n", "not supported"),
        ("input.nn", r"\Z", "element_nodes_short C 1\n", "expected an element, a layer and a value"),
        ("input.nn", r"\Z", "nnp_type 4G\n", "expected a short-ranged network"),
        ("input.nn", r"\Z", "conv_energy -1.0\n", "expected a positive number, got -1"),
        ("input.nn", r"^elements .*$", "elements", "2 elements are announced, 0 named"),
        ("input.nn", r"^scale_max_short .*$", "scale_max_short 5e-324", "scale_max_short: expected more than"),
        ("input.nn", r"\Z", "atom_energy Ge 3.0\n", "Ge is none of the elements"),
        ("input.nn", r"\Z", "center_symmetry_functions\n", "cannot be combined"),
        ("scaling.data", r"^1 2 .*\n", "", "5 functions of C, but 6"),
        ("scaling.data", r"^1 2 .*$", "1 1 0 1 0.5 0.1", "function 1 of C was given before"),
        ("scaling.data", r"^1 2 .*$", "1 2 0 1 0.5 0.0", "function 2 of C, radial.* has sigma 0"),
        ("scaling.data", r"^1 2 .*$", "1 2 2 1 0.5 0.1", "expected min <= max"),
        ("scaling.data", r"^1 2 .*$", "1 2 2 1", "got 4 words"),
        ("scaling.data", r"^1 2 .*$", "3 2 0 1 0.5 0.1", "expected a number from 1 to 2"),
        ("weights.006.data", r"\A.*\n", "", "layers of 6, 4, 3, 1 nodes"),
        ("weights.006.data", r"\Z", "0.5 b\n", "and no others"),
        ("weights.006.data", r"\A\S+ a", "inf a", "expected a finite number"),
        ("weights.006.data", r"\A(\S+) a", r"\1 b", "expected weights"),
    ],
)
def test_damage_is_named(folder, name, pattern, by, said):
    damaged(folder, name, pattern, by)
    with pytest.raises(FormatError, match=said) as caught:
        jp.load(folder)
    assert Path(caught.value.file).parent == folder


@pytest.mark.parametrize("name", ["scaling.data", "weights.014.data"])
def test_links_out_of_the_folder(folder, tmp_path, name):
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FormatError, match="link to another folder"):
        jp.load(folder)


def test_elements_that_are_asked_for(folder):
    with pytest.raises(DataError, match="no use for species=.*it takes units"):
        jp.load(folder, species=("Si", "C"))


def test_functions_that_never_varied_cannot_be_scaled(folder):
    damaged(folder, "input.nn", "scale_symmetry_functions_sigma", "scale_symmetry_functions")
    damaged(folder, "scaling.data", r"^2 3 .*$", "2 3 0.5 0.5 0.5 0.0")
    with pytest.raises(FormatError, match="function 3 of Si, narrow angular.* has min = max = 0.5"):
        jp.load(folder)


@pytest.mark.parametrize("name", ["scaling.data", "weights.014.data"])
def test_missing_files(folder, name):
    (folder / name).unlink()
    with pytest.raises(FormatError, match=f"{name}: cannot be read"):
        jp.load(folder)


def test_folders_without_a_potential(tmp_path):
    with pytest.raises(FormatError, match="folder without a potential.*n2p2"):
        jp.load(tmp_path)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: two_elements() + jp.potentials.StillingerWeber.silicon(), "no place in a folder of n2p2"),
        (lambda: Constants({"Si": 1.0}), "no network"),
        (lambda: networks()[0], "there is no network of Si"),
        (lambda: networks()[0] - networks()[0], "one network for each element"),
    ],
)
def test_what_cannot_be_written(tmp_path, make, said):
    with pytest.raises(DataError, match=said):
        jp.save(make(), f"{tmp_path}/network/")
    assert not (tmp_path / "network").exists()


def test_values_beyond_the_training_data_are_named(folder, carbide):
    potential = jp.load(folder)
    found = jp.extrapolations(potential, carbide)
    assert found and {entry.atom for entry in found} == {0, 1, 2, 3}
    for entry in found:
        assert not 0.0 <= entry.value <= 1.0 and (entry.lower, entry.upper) == (0.0, 1.0)
    assert re.match(r"atom 0: function \d, .*\(eta=.* is .*, trained on 0 to 1", str(found[0]))
    alone = jp.Structure(np.zeros((1, 3)), 30.0 * np.eye(3), ["Si"])
    assert jp.extrapolations(potential, alone) == []
    with pytest.raises(DataError, match="no network"):
        jp.extrapolations(jp.potentials.StillingerWeber.silicon(), carbide)
