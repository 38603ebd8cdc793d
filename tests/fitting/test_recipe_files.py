"""Recipes: read, turned into terms for any elements, and refused with the field that is wrong."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import jaxpot as jp
from jaxpot.data.bond_length import bond_length, shortest_distances, spacing

PAIR = '[[term]]\ndescriptor = "distance_2b"\ncutoff = 2.0\ntheta = 0.5\n'


def frames(*crystals):
    return jp.Dataset.of([jp.Frame(jp.Structure.of(c), energy=-1.0) for c in crystals], e0="least squares",
                         require=("energy",))


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_recipes_that_come_along_name_no_element():
    assert "gap" in jp.recipes()
    for name in {*jp.recipes()} - {"behler-parrinello", "bond-networks", "equivariant", "fine-tuning", "schnet"}:
        recipe = jp.read_recipe(name)
        assert recipe.units in ("bonds", "spacings") and recipe.choice == "cross-validation"


def test_networks_have_recipes_too(tmp_path):
    found = jp.read_recipe("behler-parrinello")
    assert found == jp.NetworkRecipe(name="behler-parrinello")  # the defaults, written down
    assert jp.read_recipe("bond-networks").reads == "bonds" and jp.read_recipe("equivariant").reads == "hops"
    assert jp.read_recipe("schnet").architecture == "schnet" and jp.read_recipe("equivariant").architecture == "mace"
    mine = jp.read_recipe(written(tmp_path, "[network]\nhidden = [8]\n[training]\nepochs = 3\n"))
    assert mine == jp.NetworkRecipe(hidden=(8,), epochs=3, name="mine")


def test_small_data_have_more_epochs_for_the_same_steps():
    recipe = jp.NetworkRecipe(epochs=30, steps=1000, patience=15)
    assert recipe.lengthened(100) == recipe  # 3,000 steps
    longer = recipe.lengthened(10)
    assert (longer.epochs, longer.patience) == (100, 50)


def test_a_recipe_that_was_saved_before_there_were_architectures_is_of_nequip():
    recipe = replace(jp.read_recipe("equivariant"), architecture="nequip")
    tables = recipe.tables()
    assert tables["network"].pop("architecture") == "nequip"
    older = jp.NetworkRecipe.from_tables(tables, "x.toml", "equivariant")
    assert replace(older, sigmas=recipe.sigmas) == recipe  # tables are those but of the sigmas


@pytest.mark.parametrize(("architecture", "name"), [
    ("nequip", "NequIP"), ("schnet", "SchNet"), ("dtnn", "DTNN"), ("mace", "MACE"),
])
def test_recipes_of_hops_name_the_architecture(architecture, name):
    recipe = jp.NetworkRecipe(
        reads="hops", architecture=architecture, channels=(4,), hops=2, radial=3, hidden=(6,), members=1
    )
    network = recipe.unfitted(frames(bulk("SiC", "zincblende", 4.36)))
    assert type(network).__name__ == name and network.species == (6, 14) and network.hops == 2
    assert network.weight_mask() is not None  # learning asks by the variances of these weights
    again = jp.NetworkRecipe.from_tables(recipe.tables(), "x.toml", "")
    assert again.architecture == architecture and again == recipe


def test_channels_of_several_degrees_are_refused_where_states_are_scalars():
    recipe = jp.NetworkRecipe(reads="hops", architecture="schnet")
    with pytest.raises(jp.errors.DataError, match=r"SchNet: channels: expected one .* got \(32, 16, 8\)"):
        recipe.unfitted(frames(bulk("Si", cubic=True)))


def test_a_recipe_of_another_family_is_refused_where_one_family_is_asked_for():
    data = frames(bulk("Si", cubic=True))
    with pytest.raises(jp.errors.DataError, match=r"gap: expected one of neural networks, with a table \[network\]"):
        jp.train(data, "gap")
    with pytest.raises(jp.errors.DataError, match="expected one of neural networks, .* got a Recipe"):
        jp.train(data, jp.read_recipe("gap"))
    with pytest.raises(jp.errors.DataError, match=r"behler-parrinello: expected one of Gaussian .* \[term\]"):
        jp.fitting.evidence(data, "behler-parrinello")


@pytest.mark.parametrize(("text", "message"), [
    ("[network]\ncutof = 2\n", "expected activation, angular"),
    ("[network]\ncutoff = -2\n", "network, cutoff: expected a positive number"),
    ("[network]\nradial = 0\n", "network, radial: expected a whole number of at least 1"),
    ("[network]\nhidden = []\n", "widths of one layer"),
    ("[network]\nhidden = [0]\n", "hidden"),
    ('[network]\nactivation = "step"\n', "activation: expected one of tanh"),
    ('[network]\nreads = "hops"\narchitecture = "resnet"\n', "architecture: expected one of nequip, schnet, dtnn, mace"),
    ('[network]\nreads = "hops"\narchitecture = ["schnet"]\n', "architecture: expected one of nequip"),
    ('[network]\narchitecture = "schnet"\n', 'this recipe reads atoms: give reads = "hops"'),
    ("[network]\n[training]\nvalidation = 1.0\n", "validation: expected a number from 0 to below 1"),
    ("[network]\n[training]\nepochs = 0.5\n", "epochs"),
    ("[network]\n[sigma]\nforces = 0\n", "sigma.forces: expected a positive number"),
    ("[network]\n[choice]\nfolds = 3\n", "expected [network], [training] and [sigma]"),
])
def test_wrong_recipes_of_networks_are_refused(text, message, tmp_path):
    with pytest.raises(jp.errors.FormatError) as caught:
        jp.read_recipe(written(tmp_path, text))
    assert message in str(caught.value)


def test_lengths_follow_the_bond_of_the_data():
    silicon, sodium = frames(bulk("Si", cubic=True)), frames(bulk("Na", cubic=True), bulk("Na"))
    assert bond_length(silicon) == pytest.approx(5.43 * np.sqrt(3) / 4)
    assert bond_length(sodium) == pytest.approx(4.23 * np.sqrt(3) / 2)
    recipe = jp.read_recipe("gap")
    one, two = (recipe.linear_terms(data)[0].descriptor.cutoff for data in (silicon, sodium))
    assert two / one == pytest.approx(bond_length(sodium) / bond_length(silicon))


@pytest.mark.parametrize("name, structure", [("Cu", "fcc"), ("Mo", "bcc"), ("Si", "diamond"), ("Mg", "hcp")])
def test_a_spacing_is_the_edge_of_the_cube_of_an_atom(name, structure):
    """Whatever the crystal, and with a slab among the frames; of molecules it is at most two bonds."""
    crystal = bulk(name, structure)
    slab = crystal.repeat((1, 1, 4))
    slab.center(vacuum=20.0, axis=2)
    crystals = [crystal.repeat(2)] * 3
    expected = (crystal.get_volume() / len(crystal)) ** (1 / 3)
    for data in (frames(*crystals), frames(*crystals, slab)):
        assert spacing(data, bond_length(data)) == pytest.approx(expected, rel=0.06)
    dimer = frames(Atoms("N2", [[0, 0, 0], [0, 0, 1.1]]))
    assert spacing(dimer, 1.1) == pytest.approx(2.2)


def test_shortest_distances_are_those_of_every_pair_of_elements():
    """By ASE's matrix of distances; a pair that is never nearer than the reach has the reach."""
    rng = np.random.default_rng(0)
    crystals = []
    for _ in range(3):
        atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
        atoms.positions += rng.normal(scale=0.15, size=(8, 3))
        crystals.append(atoms)
    shortest = shortest_distances(frames(*crystals), 3.5)
    expected = {(11, 11): 3.5, (11, 17): 3.5, (17, 17): 3.5}
    for atoms in crystals:
        distances, numbers = atoms.repeat(2).get_all_distances(mic=True), atoms.repeat(2).numbers
        for i, j in zip(*np.nonzero((distances < 3.5) & (distances > 0.0)), strict=True):
            pair = tuple(sorted((int(numbers[i]), int(numbers[j]))))
            expected[pair] = min(expected[pair], distances[i, j])
    assert shortest == pytest.approx(expected, abs=1e-12)
    assert shortest[11, 17] < 2.6 and min(shortest[11, 11], shortest[17, 17]) > 3.0


def test_each_element_has_its_own_soap_and_each_pair_its_own_term(tmp_path):
    text = 'units = "A"\n' + PAIR + (
        '[[term]]\ndescriptor = "soap"\ncutoff = 3.0\natom_sigma = 0.5\nn_max = 3\nl_max = 2\nzeta = 2\n'
        '[[term]]\ndescriptor = "angle_3b"\ncutoff = 2.5\ntheta = 1.0\n'
    )
    terms = jp.read_recipe(written(tmp_path, text)).linear_terms(frames(bulk("SiC", "zincblende", 4.36)))
    kinds = [type(t.descriptor).__name__ for t in terms]
    assert kinds.count("Pair") == 3 and kinds.count("SOAP") == 2 and kinds.count("Triplet") == 6
    soaps = [t.descriptor for t in terms if isinstance(t.descriptor, jp.descriptors.SOAP)]
    assert {s.centers for s in soaps} == {(6,), (14,)} and all(s.species == (6, 14) for s in soaps)
    assert terms[0].descriptor.cutoff == 2.0


@pytest.mark.parametrize(("text", "message"), [
    ("", "at least one table"),
    ("[[term]]\ncutoff = 2", "term 1: descriptor: expected one of soap"),
    (PAIR + "zeta = 4\n", "distance_2b has no zeta"),
    ('[[term]]\ndescriptor = "soap"\ncutoff = 2.0\n', "soap needs atom_sigma, l_max, n_max"),
    (PAIR.replace("2.0", "-2.0"), "term 1, cutoff: expected a positive number, got -2.0"),
    (PAIR.replace("0.5", '"long"'), "term 1, theta: expected a positive number"),
    (PAIR.replace("0.5", "[0.5, 0.6]"), "term 1, theta: expected 1 numbers"),
    (PAIR.replace("distance_2b", "angle_3b").replace("0.5", "[0.5, 0.6]"), "theta: expected 1 or 3 numbers"),
    (PAIR + "sparse_points = 10.5\n", "term 1, sparse_points: expected a whole number of at least 1, got 10.5"),
    (PAIR + "sparse_points = { bulk = 0 }\n", "term 1, sparse_points, bulk: expected a whole number of at least 1"),
    (PAIR + "environments = [[0, 1]]\nsparse_points = 3\n", "term 1: environments are the sparse points: leave"),
    (PAIR + "environments = [[0, 1, 2]]\n", "term 1, environments: expected pairs of numbers"),
    (PAIR + 'sparse_method = "best"\n', "term 1, sparse_method: expected one of cur"),
    (PAIR + "[sigma]\nenergy = 0\n", "sigma.energy: expected a positive number"),
    (PAIR + "[sigma]\nforce = 0.1\n", "sigma: expected energy, forces, stress"),
    (PAIR + '[choice]\nmethod = "luck"\n', "choice.method: expected one of cross-validation"),
    (PAIR + "[choice]\nfolds = 1\n", "choice.folds: expected a whole number from 2"),
    (PAIR + "[more]\n", r"found \['more'\]"),
    ('units = "nm"\n' + PAIR, "units: expected"),
    ("term = [", "is not TOML"),
])
def test_a_wrong_recipe_is_refused_with_its_field(tmp_path, text, message):
    with pytest.raises(jp.errors.FormatError, match=message) as caught:
        jp.read_recipe(written(tmp_path, text))
    assert "mine.toml" in str(caught.value)


def test_an_unknown_recipe_lists_those_there_are():
    with pytest.raises(jp.errors.FormatError, match="no-such.*recipes.*gap"):
        jp.read_recipe("no-such")
