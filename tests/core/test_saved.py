"""Files of earlier versions are read: every kind of saved file, and the names of classes, which no move changes."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.active.record import Label, Walk
from jaxpot.core.pytree import REGISTRY, class_name, class_named, pytree
from jaxpot.core.save import load_tree, save_tree
from jaxpot.data.targets import Sigmas
from jaxpot.errors import DataError, FormatError
from jaxpot.fitting.networks import from_descriptors as descriptors
from jaxpot.md import checkpoint as checkpoints
from jaxpot.potentials.committee import Committee
from jaxpot.units import fs

SAVED = Path(__file__).parent / "saved"
REFERENCE = json.loads((SAVED / "reference.json").read_text())
# Saved under another name than that of the class since two of jaxpot's classes have had one name, or were private.
RENAMED = {
    "jaxpot.kernels.base:Sum": "KernelSum", "jaxpot.kernels.base:Product": "KernelProduct",
    "jaxpot.md.checkpoint:Checkpoint": "MDCheckpoint", "jaxpot.md.checkpoint:Claim": "MDClaim",
    "jaxpot.active.record:Walk": "LearningWalk", "jaxpot.active.record:Chosen": "PoolProgress",
    "jaxpot.active.record:Label": "LearningLabel", "jaxpot.fitting.descent:_Kept": "TrainingCheckpoint",
    "jaxpot.fitting.linear:Posterior": "WhitenedPosterior",
}
# Intermediate results of one computation: no file holds them, and their names are free to change.
TRANSIENT = {
    "_Derivatives", "_Instances", "_Jets", "_State", "AnyPower", "Batch", "Bent", "Labels", "Lists", "Moments",
    "Parameters", "Progress", "Rows", "Seen", "WidenedSOAP",
}
KEPT = [name for name in REFERENCE["classes"] if name.partition(":")[2] not in TRANSIENT]


def structure_of(entry):
    return jp.Structure(entry["positions"], entry["cell"], entry["numbers"], pbc=tuple(entry["pbc"]))


@pytest.mark.parametrize("name", [name for name in REFERENCE["energies"] if not name.endswith(".committee")])
def test_a_file_of_an_earlier_version_gives_the_energy_that_it_gave(name):
    loaded, expected = jp.load(SAVED / name), REFERENCE["energies"][name]
    potential = loaded.potential if isinstance(loaded, jp.Posterior) else loaded
    energy = float(jp.energy(potential, structure_of(expected["structure"])))
    # Covariances of a GAP are multiplied with weights that add up to 140,000, of both signs: how they are rounded
    # depends on how XLA compiles.
    digits = 1e-12 if name.startswith("gap") else 1e-13
    assert energy == pytest.approx(expected["energy"], rel=digits, abs=1e-13)


def test_a_committee_of_an_earlier_version_gives_the_energies_that_it_gave():
    committee, expected = load_tree(SAVED / "networks.committee"), REFERENCE["energies"]["networks.committee"]
    structure = structure_of(expected["structure"])
    energies = [float(jp.energy(committee[k], structure)) for k in range(len(committee))]
    np.testing.assert_allclose(energies, expected["energies"], rtol=1e-13)


def test_other_trees_of_an_earlier_version_are_read():
    kinds = {"structure.tree": jp.Structure, "active.tree": jp.ActiveSet}
    for name, kind in kinds.items():
        assert isinstance(load_tree(SAVED / name), kind)
    assert np.isfinite(float(load_tree(SAVED / "evaluation.tree").energy))


@pytest.mark.parametrize("name", ["gap.posterior", "sum.model", "kernels.model", "networks.committee"])
def test_a_file_written_again_holds_the_same_arrays_and_no_path_of_a_module(name, tmp_path):
    tree = load_tree(SAVED / name)
    save_tree(tree, tmp_path / name)
    again = load_tree(tmp_path / name)
    assert jax.tree.structure(tree) == jax.tree.structure(again)
    for one, other in zip(jax.tree.leaves(tree), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)
    assert b"jaxpot." in (SAVED / name).read_bytes() and b"jaxpot." not in (tmp_path / name).read_bytes()


def test_a_simulation_goes_on_from_a_checkpoint_of_an_earlier_version(tmp_path, monkeypatch):
    def simulate(**options):
        dynamics = jp.md.Langevin(jp.potentials.StillingerWeber.silicon(), 1.0 * fs, 300.0, 0.01 / fs)
        return jp.md.run(dynamics, bulk("Si"), 50, (jp.md.MeanSquareDisplacement(5),), **options)

    path = tmp_path / "run.checkpoint"
    shutil.copy(SAVED / path.name, path)
    kept = load_tree(path, on_host=True)
    assert isinstance(kept, checkpoints.Checkpoint) and 0 < int(kept.state.step) < 50
    with monkeypatch.context() as same:  # of the same run, whatever versions of JAX and NumPy it began with
        same.setattr(checkpoints, "identity", lambda *_: kept.run)
        resumed = simulate(checkpoint=path)
    assert resumed.steps == 50 - int(kept.state.step)
    np.testing.assert_allclose(resumed.state.structure.positions, simulate().state.structure.positions, rtol=1e-9)


def test_a_training_goes_on_from_a_checkpoint_of_an_earlier_version(tmp_path, monkeypatch):
    crystal = jp.Structure([[0, 0, 0], [1.36, 1.36, 1.36]], 2.72 * (1 - np.eye(3)), ["Si", "Si"]).repeated((2, 1, 1))
    data = jp.draw_dataset(jp.potentials.StillingerWeber.silicon(), crystal, 8, displacements=(0.1,))
    recipe = jp.NetworkRecipe(
        cutoff=1.6, radial=2, angular=1, hidden=(3,), epochs=2, batch=3, sigmas=Sigmas(0.01, 0.1, 0.01),
        validation=0.25, rate=0.01, members=3,
    )
    path, said = tmp_path / "training.checkpoint", []
    shutil.copy(SAVED / path.name, path)
    with pytest.raises(DataError, match="something else .* or version"):
        jp.train(data, recipe, seed=1, checkpoint=path)
    kept = load_tree(path, on_host=True)
    monkeypatch.setattr(descriptors, "identity", lambda *_: kept.run)  # whatever versions of JAX and NumPy it began with
    resumed = jp.train(data, recipe, predictions=False, checkpoint=path, progress=said.append)
    assert "going on from epoch 2" in said and len(resumed.history) == 2
    for one, other in zip(kept.history, resumed.history, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_checkpoint_of_a_simulation_with_another_version_is_refused(tmp_path):
    path = tmp_path / "run.checkpoint"
    shutil.copy(SAVED / path.name, path)
    with pytest.raises(DataError, match="another run .* or version"):
        checkpoints.load(path, "a run with another version")
    assert path.exists()


@pytest.mark.parametrize("name", KEPT)
def test_every_class_that_files_hold_is_known_under_the_name_it_had(name):
    found = class_named(name)
    assert found is not None
    assert class_name(found) == f"jaxpot:{RENAMED.get(name, name.partition(':')[2])}"


@pytest.mark.parametrize("kind", [Walk, Label, jp.kernels.SquaredExponential, jp.potentials.Morse])
def test_a_name_does_not_tell_where_the_class_is_defined(kind):
    assert class_name(kind).partition(":")[0] == "jaxpot"


def define(kind, module, **options):
    return pytree(**options)(type(kind, (), {"__module__": module, "__qualname__": kind, "__annotations__": {}}))


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """What these tests define is forgotten."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


def test_two_classes_of_one_package_are_not_saved_under_one_name():
    define("Model", "package.first")
    with pytest.raises(DataError, match=r'package.second.Model and package.first.Model .* @pytree\(name="...'):
        define("Model", "package.second")
    named = define("Model", "package.second", name="SecondModel")
    assert class_named("package:SecondModel") is named
    define("Model", "another.first")  # packages do not share names
    with pytest.raises(DataError, match="would both be saved as package:Model"):
        define("Other", "package.third", former=("package:Model",))


def test_a_class_that_is_defined_once_more_takes_its_own_place(tmp_path):
    define("Model", "__main__")
    again = define("Model", "__main__")
    save_tree(again(), tmp_path / "x")
    assert type(load_tree(tmp_path / "x")) is again


def test_a_class_that_has_moved_or_has_a_new_name_is_found_in_older_files(tmp_path):
    save_tree(define("Model", "package.here")(), tmp_path / "x")
    REGISTRY.pop("package:Model")
    moved = define("Model", "package.elsewhere.there")
    assert type(load_tree(tmp_path / "x")) is moved and class_named("package.here:Model") is moved
    REGISTRY.pop("package:Model")
    renamed = define("BetterModel", "package.here", former=("package:Model",))
    assert type(load_tree(tmp_path / "x")) is renamed


def test_a_class_that_no_module_defines_is_named(tmp_path):
    save_tree(define("Model", "package.here")(), tmp_path / "x")
    REGISTRY.pop("package:Model")
    with pytest.raises(FormatError, match="holds a package:Model, which no imported module defines: import"):
        load_tree(tmp_path / "x")


@pytest.mark.parametrize("mask", [(True,), ("no such array",), (1.5, 2.5)])
def test_a_committee_whose_mask_does_not_fit_its_potential_is_a_damaged_file(mask, tmp_path):
    pair = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), jp.potentials.StillingerWeber.silicon())
    committee = Committee(pair, (True,) * len(jax.tree.leaves(pair)))
    object.__setattr__(committee, "mask", mask)  # what no constructor lets through
    save_tree(committee, tmp_path / "damaged")
    with pytest.raises(FormatError, match="do not fit each other"):
        load_tree(tmp_path / "damaged")


def test_a_class_that_is_not_a_pytree_cannot_be_saved(tmp_path):
    class Undecorated(jp.potentials.Morse):
        pass

    with pytest.raises(DataError, match="Undecorated: only classes decorated"):
        save_tree(Undecorated(0.6, 1.3, 2.4, 5.0), tmp_path / "x")
