"""NEP files: numbers that NEP_CPU gave (calorine 4.1), what is written, and what is refused."""

import json
import os
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiers import thorough_but

import jaxpot as jp
from jaxpot.core.graph import connect
from jaxpot.core.neighbors import neighbors
from jaxpot.errors import DataError, FormatError
from jaxpot.potentials import Constants, FadedZBL
from jaxpot.potentials.base import summands

FILES = Path(__file__).parent / "files"
RECORDS = json.loads((FILES / "nep_reference.json").read_text())
SLOW = ("shared.nep", "flexible.nep")
PUBLISHED = (
    "Si_2022_NEP4_3body", "Si_2022_NEP4_4body", "Si_2022_NEP4_5body", "C_2024_NEP4", "nep_BaTiO3", "UNEP-v1"
)


def structure(name):
    record = RECORDS[name]
    return jp.Structure(record["positions"], record["cell"], record["symbols"])


@pytest.mark.filterwarnings("ignore:atoms")
@pytest.mark.parametrize("name", RECORDS)
def test_numbers_of_made_up_files(name):
    found, expected = jp.evaluate(jp.load(FILES / name), structure(name)), RECORDS[name]
    assert abs(found.energy - expected["energy"]) < 1e-11
    np.testing.assert_allclose(found.forces, expected["forces"], rtol=0.0, atol=1e-11)
    np.testing.assert_allclose(found.stress, expected["stress"], rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("name", thorough_but(["one_kind.nep"], RECORDS, SLOW))
def test_vectors_of_made_up_files(name):
    term, atoms = summands(jp.load(FILES / name))[0], structure(name)
    graph = connect(atoms, neighbors(atoms, term.cutoff))
    vectors = jax.vmap(term.descriptor.instances)(graph.environments())[0][:, 0]
    scaled = np.zeros((len(atoms), len(term.readout.factor)))
    scaled[np.asarray(graph.centers)] = (vectors[:, : scaled.shape[1]] * term.readout.factor)
    np.testing.assert_allclose(scaled, RECORDS[name]["descriptors"], rtol=1e-11, atol=1e-13)


@pytest.mark.data
@pytest.mark.filterwarnings("ignore:atoms")
@pytest.mark.parametrize("name", thorough_but(["nep_BaTiO3"], PUBLISHED, PUBLISHED[:2]))
def test_numbers_of_published_files(name):
    folder = Path(os.environ["JAXPOT_DATA"]) / "models" / "nep"
    potential, reference = jp.load(folder / f"{name}.txt"), json.loads((folder / f"{name}.json").read_text())
    structures = [jp.Structure(s["positions"], s["cell"], s["numbers"], pbc=s["pbc"]) for s in reference["structures"]]
    for found, expected in zip(jp.evaluate_many(potential, structures), reference["results"], strict=True):
        assert abs(found.energy - expected["energy"]) < 1e-11
        np.testing.assert_allclose(found.forces, expected["forces"], rtol=0.0, atol=1e-10)
        np.testing.assert_allclose(found.stress, expected["stress"], rtol=0.0, atol=1e-12)


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("name", RECORDS)
def test_what_is_written_is_read_back(name, tmp_path):
    potential = jp.load(FILES / name)
    for file in ("x.nep", "nep.txt", "UNEP-v2.txt"):
        jp.save(potential, tmp_path / file)
        assert (tmp_path / file).read_bytes().startswith(b"nep")
        same(jp.load(tmp_path / file), potential)


@pytest.mark.filterwarnings("ignore:atoms")
@pytest.mark.parametrize("name", thorough_but(["flexible.nep"], ["shared.nep", "invariants.nep", "flexible.nep"]))
def test_some_of_the_elements(name, tmp_path):
    atoms = structure(name)
    one = jp.Structure(atoms.positions, atoms.cell, [RECORDS[name]["symbols"][1]] * len(atoms))
    whole, part = jp.load(FILES / name), jp.load(FILES / name, species=[RECORDS[name]["symbols"][1]])
    np.testing.assert_allclose(jp.forces(part, one), jp.forces(whole, one), atol=1e-11)
    assert float(jp.energy(part, one)) == pytest.approx(float(jp.energy(whole, one)), abs=1e-11)
    jp.save(part, tmp_path / "x.nep")
    same(jp.load(tmp_path / "x.nep"), part)
    with pytest.raises(DataError, match=r"species: .* knows .*, not Xe"):
        jp.load(FILES / name, species=["Xe"])


@pytest.mark.filterwarnings("ignore:atoms")
def test_many_elements_are_looked_up_in_another_way():
    elements = [z for z in range(1, 40) if z not in (4, 74)][:16]
    potential, atoms = jp.load(FILES / "shared.nep"), structure("shared.nep")
    term = summands(potential)[0]
    table = {
        name: jnp.asarray(np.random.default_rng(2).normal(size=(18, 18, *getattr(term.descriptor, name).shape[2:])))
        .at[:2, :2].set(getattr(term.descriptor, name)) for name in ("radial", "angular")
    }
    species = (*term.species, *elements)
    wide = term.replace(descriptor=term.descriptor.replace(species=species, **table), species=species)
    np.testing.assert_allclose(jp.forces(wide, atoms), jp.forces(term, atoms), atol=1e-12)


def test_factors_are_written_and_the_name_does_not_matter(tmp_path):
    potential = jp.load(FILES / "one_kind.nep")
    jp.save(2.0 * potential, tmp_path / "x.nep")
    shutil.copy(tmp_path / "x.nep", tmp_path / "UNEP.anything")
    atoms = structure("one_kind.nep")
    energy = float(jp.energy(jp.load(tmp_path / "UNEP.anything"), atoms))
    assert energy == pytest.approx(2.0 * float(jp.energy(potential, atoms)), rel=1e-13)


def changed(folder, name, old, new):
    text = (FILES / name).read_text()
    assert old in text
    (folder / "nep.txt").write_text(text.replace(old, new, 1))
    return folder / "nep.txt"


@pytest.mark.parametrize("old, new, message", [
    ("nep4 1", "nep4_charge1 1", r"line 1: this is a NEP with charges \(qNEP\), which is not read: expected nep3, "),
    ("nep4 1", "nep4_dipole 1", "this is a NEP of dipole moments, which"),
    ("nep4 1", "nep4_polarizability 1", "this is a NEP of polarizabilities, which"),
    ("nep4 1", "nep3_temperature 1", "this is a NEP of the free energy of electrons at a temperature, which"),
    ("nep4 1", "nep5 1", "this is another kind of NEP, which is not read: .* got 'nep5'"),
    ("nep4 1 Si", "nep4 2 Si", "line 1: elements: expected 2 elements, got 1"),
    ("nep4 1 Si", "nep4 1 Xx", "line 1: elements: "),
    ("nep4 1 Si", "nep4 2 Si Si", "line 1: elements: species: expected distinct elements"),
    ("cutoff 4.5 4.5 60 60", "cutoff 4.5 4.5 60", "line 2: cutoff: expected 4 or 4 numbers, got 3"),
    ("cutoff 4.5", "cutoff 0", "line 2: cutoff: expected a positive number"),
    ("cutoff", "zbl", "line 2: cutoff: expected cutoff and 2 to 4 numbers, got 'zbl"),
    ("n_max 2 1", "n_max 2", "line 3: n_max: expected n_max and 2 numbers"),
    ("basis_size 3 3", "basis_size 3 41", "line 4: basis_size: expected a number from 0 to 40"),
    ("l_max 4", "l_max 9", "line 5: l_max: expected a number from 0 to 8"),
    ("l_max 4", "l_max 1", "line 5: l_max: expected 2 or more, since there are invariants of that degree"),
    ("l_max 4 2 1", "l_max 4 1 2", "line 5: l_max: expected 0 or 1 behind the second number"),
    ("ANN 4 0", "ANN 4 3", "line 6: neurons of a second layer: expected a number from 0 to 0"),
    ("ANN 4 0", "ANN 2000 0", "line 6: expected 34036 numbers to follow, but the file is too short for that"),
    ("ANN 4 0", "ANN 5 0", "the file ends here; it is truncated"),
    ("ANN 4 0", "ANN 3 0", "expected the end of the file after the last number of the model"),
    ("ANN 4 0\n", "ANN 4 0\nnan ", "line 7: network: expected a finite number"),
])
def test_files_that_are_refused(old, new, message, tmp_path):
    with pytest.raises(FormatError, match=message):
        jp.load(changed(tmp_path, "one_kind.nep", old, new))


@pytest.mark.parametrize("name, old, new, message", [
    ("shared.nep", "zbl 0.9 2.1", "zbl 2.1 0.9", "line 2: zbl: expected 0 <= inner < outer, got 2.1 and 0.9"),
    ("shared.nep", "zbl 0.9 2.1", "zbl 0.9", "line 2: zbl: expected zbl and 2 to 3 numbers"),
    ("shared.nep", "nep3_zbl", "nep3", "line 2: cutoff: expected cutoff and 2 to 6 numbers, got 'zbl 0.9 2.1'"),
    ("invariants.nep", "Mg O", "Mg Am", "zbl: there is no covalent radius of Am, which the factor asks for"),
    ("flexible.nep", "3.0000000e-01\n1.6", "3.0000000e+00\n1.6", "expected 0 <= inner < outer, got 3 and 1.6 A"),
])
def test_repulsions_that_are_refused(name, old, new, message, tmp_path):
    with pytest.raises(FormatError, match=message):
        jp.load(changed(tmp_path, name, old, new))


def test_potentials_that_these_files_cannot_hold(tmp_path):
    shared, one = jp.load(FILES / "shared.nep"), jp.load(FILES / "one_kind.nep")
    for potential, message in (
        (one + Constants({"Si": 1.0}), "has no place in a NEP file"), (2.0 * shared, "has no place in a NEP file"),
        (one + one, "holds one NeuroevolutionDescriptor and one FadedZBL at most, got 2 and 0"),
        (FadedZBL("Si", 1.0, 2.0), "got 0 and 1"),
        (one + FadedZBL(("Si", "C"), 1.0, 2.0), "expected the elements of the descriptor in their order"),
        (one.replace(readout=one.readout.replace(network=one.readout.network.replace(normalised=True))),
         "expected a Neural with an MLP of one hidden layer"),
    ):
        with pytest.raises(DataError, match=message):
            jp.save(potential, tmp_path / "x.nep")
    assert not list(tmp_path.iterdir())


def test_shifts_and_scales_of_inputs_are_written(tmp_path):
    one = jp.load(FILES / "one_kind.nep")
    readout = one.readout.replace(shift=0.1 + np.arange(15.0) / 30.0, offset=np.array(1.5), scale=np.array(2.0))
    jp.save(one.replace(readout=readout), tmp_path / "x.nep")
    atoms = structure("one_kind.nep")
    expected = float(jp.energy(one.replace(readout=readout), atoms))
    assert float(jp.energy(jp.load(tmp_path / "x.nep"), atoms)) == pytest.approx(expected, abs=1e-12)


def test_room_for_neighbours_and_flags_are_those_that_gpumd_reads(tmp_path):
    jp.save(jp.load(FILES / "invariants.nep"), tmp_path / "x.nep")
    jp.save(jp.load(FILES / "one_kind.nep"), tmp_path / "y.nep")
    assert re.search(r"^cutoff 4.4 3.6 4.8 4.1 93 58$", (tmp_path / "x.nep").read_text(), re.MULTILINE)
    assert "\nl_max 8 1 1 1 1 1 1\n" in (tmp_path / "x.nep").read_text()
    assert "\nl_max 4 2 1\n" in (tmp_path / "y.nep").read_text()
