"""`jaxpot fit`, `data` and `recipes` as a newcomer uses them: files where they belong, mistakes in one sentence."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

import jaxpot as jp
from jaxpot import units
from jaxpot.cli.main import main
from jaxpot.fitting.linear import checkpoint

RECIPE = """
[[term]]
descriptor = "distance_2b"
cutoff = 1.6
theta = 0.4
sparse_points = 8
sparse_method = "uniform"

[sigma]
energy = 0.001
forces = 0.05

[choice]
method = "fixed"
"""


def frames(seeds, labels=True):
    potential, found = jp.potentials.StillingerWeber.silicon(), []
    for k in seeds:
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.05 + 0.03 * (k % 2), seed=k)
        if labels:
            result = jp.evaluate(potential, atoms)
            stress = np.array(result.stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
            atoms.calc = SinglePointCalculator(
                atoms, energy=float(result.energy), forces=np.array(result.forces), stress=stress
            )
        atoms.info["config_type"] = ("cold", "warm")[k % 2]
        found.append(atoms)
    return found


NETWORKS = """
[network]
cutoff = 1.6
radial = 3
angular = 2
hidden = [6]
members = 2

[training]
epochs = 3
validation = 0.5

[sigma]
energy = 0.01
forces = 0.1
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with training and test data, a recipe, and whatever is wrong."""
    folder = tmp_path_factory.mktemp("files")
    write(folder / "train.xyz", frames(range(6)))
    write(folder / "test.xyz", frames(range(6, 9)))
    write(folder / "bare.xyz", frames(range(2), labels=False))
    other = bulk("Cu")
    other.calc = SinglePointCalculator(other, energy=-3.5, forces=np.zeros((1, 3)))
    write(folder / "copper.xyz", other)
    (folder / "pair.toml").write_text(RECIPE)
    (folder / "networks.toml").write_text(NETWORKS)
    (folder / "wrong.toml").write_text(RECIPE.replace("theta", "tetha"))
    (folder / "torn.toml").write_text("[[term]\n")
    (folder / "folder.model").mkdir()
    return folder


@pytest.fixture
def run(call, files, monkeypatch):
    """Run the command in the folder of the files: (exit code, standard output, standard error)."""
    monkeypatch.chdir(files)
    return call


def fitted(run, *argv):
    return run("fit", "train.xyz", "--recipe", "pair.toml", *argv)


# Results ----------------------------------------------------------------------------------------------------


def test_fit_writes_the_model_and_its_report(run, files):
    code, out, err = fitted(run, "--test", "test.xyz", "--out", "si.model", "--sigma-stress", "0.5", "--seed", 3)
    assert code == 0
    assert "GB)" in err and "GB)" not in out
    for words in ("Energy (meV/atom)", "Forces (eV/A)", "Stress (GPa)", "test    warm", "Written: si.model"):
        assert words in out
    assert {p.name for p in files.glob("si.*")} == {"si.model", "si.posterior", "si.html", "si.json"}
    document = json.loads((files / "si.json").read_text())
    assert document["model"] == {
        "elements": ["Si"], "cutoff_A": document["model"]["cutoff_A"], "baseline": None, "core": None, "lowered": [], "seed": 3,
    }
    assert document["sigmas"]["stress"] == {"value": pytest.approx(0.5), "unit": "GPa"}
    assert document["peak_memory_bytes"] > 1e7 and document["files"]["model"] == "si.model"
    # Other verbs take the model, and the errors are those of what was written.
    code, _, _ = run("evaluate", "si.model", "test.xyz", "--out", "e.json")
    assert code == 0
    errors = {"energy": [], "forces": [], "stress": []}
    for atoms, found in zip(read(files / "test.xyz", ":"), json.loads((files / "e.json").read_text())["frames"], strict=True):
        errors["energy"].append(1e3 * (found["energy"] - atoms.get_potential_energy()) / len(atoms))
        errors["forces"].append(np.array(found["forces"]) - atoms.get_forces())
        errors["stress"].append((np.array(found["stress"]) - atoms.get_stress(voigt=False)) / units.GPa)
    for kind, values in errors.items():
        entry = document["errors"]["test"]["all"][kind]
        assert entry["mae"] == pytest.approx(np.abs(values).mean(), rel=1e-6)
        assert entry["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(values))), rel=1e-6)
        assert entry["interval_90"][0] <= entry["mae"] <= entry["interval_90"][1]
    page = (files / "si.html").read_text()
    assert page.count("data:image/png;base64,") == 4 and "http" not in page
    # The posterior is the same potential, with bars.
    code, out, _ = run("evaluate", "si.posterior", "test.xyz", "--out", "bars.json")
    assert code == 0
    plain, bars = (json.loads((files / name).read_text())["frames"] for name in ("e.json", "bars.json"))
    assert "sd" not in plain[0] and bars[0]["sd"]["energy"] > 0.0
    assert np.shape(bars[0]["sd"]["forces"]) == np.shape(bars[0]["forces"])
    np.testing.assert_allclose(bars[0]["energy"], plain[0]["energy"], rtol=1e-12)
    assert all(0 <= atom < len(frame["forces"]) for frame in bars for atom in frame["unfamiliar"])
    assert "surroundings" in out and "unfamiliar" not in plain[0]
    assert document["error_bars"]["clusters"] == [] and "Groups left out" not in page  # too few frames
    found = document["error_bars"]["kinds"]
    assert list(found) == ["energy", "forces", "stress"] and found["forces"]["after"]["coverage"]["0.9"] > 0.5
    assert document["files"]["posterior"] == "si.posterior"
    assert "not fitted" not in page


@pytest.mark.thorough
def test_fit_trains_networks_too(run, files):
    write(files / "eight.xyz", frames(range(8)))
    command = ("fit", "eight.xyz", "--test", "test.xyz", "--recipe", "networks.toml", "--e0", "Si=0", "--out", "net.model")
    code, out, err = run(*command)
    assert code == 0 and "epoch 3 of 3, 2 members" in err
    for words in ("Energy (meV/atom)", "2 networks 15-6-1, silu", "3 epochs", "4 frames of the training set", "Error bars"):
        assert words in out
    assert {p.name for p in files.glob("net.*")} == {"net.model", "net.posterior", "net.html", "net.json"}
    document = json.loads((files / "net.json").read_text())
    assert document["recipe"]["network"]["hidden"] == [6] and len(document["training"]["history"]) == 3
    page = (files / "net.html").read_text()
    assert "Training: the loss" in page and "[network]" in page and page.count("data:image/png;base64,") == 5
    code, _, _ = run("evaluate", "net.posterior", "test.xyz", "--out", "bars.json")
    bars = json.loads((files / "bars.json").read_text())["frames"][0]
    assert code == 0 and bars["sd"]["energy"] > 0.0
    errors = [abs(f["energy"] - a.get_potential_energy()) / len(a) for f, a in zip(
        json.loads((files / "bars.json").read_text())["frames"], read(files / "test.xyz", ":"), strict=True)]
    assert document["errors"]["test"]["all"]["energy"]["mae"] == pytest.approx(1e3 * np.mean(errors), rel=1e-6)
    for more, message in (
        (("--learning-curve",), "--learning-curve is for Gaussian approximation"),
        (("--stress-offset", "all"), "--stress-offset is for Gaussian approximation"),
    ):
        code, _, err = run(*command, *more)
        assert code == 2 and message in err and "Traceback" not in err
    code, _, err = run(*command[:-1], "net.xml")
    assert code == 2 and "Traceback" not in err and not (files / "net.xml").exists()


@pytest.mark.thorough
def test_networks_are_trained_again_without_each_fold(run, files):
    code, _, err = run("fit", "train.xyz", "--recipe", "networks.toml", "--out", "folds.model")
    assert code == 0 and "not calibrated" in err and "3 frames were not trained on" in err and "--keep-folds" in err
    code, out, err = run("fit", "train.xyz", "--recipe", "networks.toml", "--keep-folds", "--out", "folds.model")
    assert code == 0 and "fold 3 of 3: epoch 3 of 3" in err and "left out" in out
    assert json.loads((files / "folds.json").read_text())["error_bars"]["kinds"]["energy"]["count"] == 6
    assert not list(files.glob("folds.model.partial*"))


def test_json_and_quiet(run, files):
    code, out, err = fitted(run, "--out", "quiet.model", "--json", "--quiet", "--e0", "Si=-4.0", "--no-posterior")
    assert code == 0 and err == ""
    document = json.loads(out)
    assert document == json.loads((files / "quiet.json").read_text())
    assert document["error_bars"] is None and not (files / "quiet.posterior").exists()
    assert document["e0_eV"] == {"Si": -4.0} and document["e0_origin"] == "given"
    assert list(document["errors"]) == ["train"] and "stress" not in document["sigmas"]
    assert "not fitted" in (files / "quiet.html").read_text()


def test_a_fit_on_top_of_a_model_as_xml(run, files):
    code, _, _ = fitted(run, "--out", "delta.xml", "--baseline", "sw-silicon", "--e0", "Si=0")
    assert code == 0
    document = json.loads((files / "delta.json").read_text())
    # The data were made with the baseline: nothing is left.
    assert document["errors"]["train"]["all"]["forces"]["mae"] < 1e-6 and document["model"]["baseline"] == "sw-silicon"
    atoms = frames([1])[0]
    assert float(jp.energy(jp.load(files / "delta.xml"), atoms)) == pytest.approx(atoms.get_potential_energy(), abs=1e-6)


def test_frames_that_are_trained_on_and_tested_are_noticed(run):
    code, _, err = fitted(run, "--test", "train.xyz", "--out", "same.model", "--quiet")
    assert code == 0 and "6 test frames are in the training data, too, the first is train.xyz, frame 0" in err


@pytest.mark.thorough
def test_learning_curve(run, files):
    write(files / "more.xyz", frames(range(20, 26)))
    code, _, err = run(
        "fit", "train.xyz", "more.xyz", "--recipe", "pair.toml", "--test", "test.xyz", "--out", "curve.model",
        "--learning-curve",
    )
    assert code == 0 and "learning curve: 6 of 12 frames" in err
    document = json.loads((files / "curve.json").read_text())
    # An eighth and a quarter of twelve frames are too few to fit.
    assert [point["frames"] for point in document["learning_curve"]] == [6, 12]
    assert document["learning_curve"][-1]["errors"] == document["errors"]["test"]["all"]
    assert (files / "curve.html").read_text().count("data:image/png;base64,") == 5


def test_an_interrupted_fit_goes_on(run, files, monkeypatch):
    monkeypatch.setattr(checkpoint, "_EVERY", 0.0)
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    assert fitted(run, "--out", "whole.model")[0] == 0
    progress, partial = "jaxpot.cli.console.Console.progress", files / "cut.model.partial.npz"

    def interrupt(self, text):
        if text.startswith("rows of 3 frames kept"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(progress, interrupt)
        code, out, err = fitted(run, "--out", "cut.model")
    assert code == 130 and partial.exists() and not (files / "cut.model").exists()
    assert "cut.model.partial.npz; the same command goes on from there" in err
    code, _, err = fitted(run, "--out", "cut.model")
    assert code == 0 and "going on from" in err and not partial.exists()
    assert (files / "cut.model").read_bytes() == (files / "whole.model").read_bytes()


def test_data(run):
    code, out, err = run("data", "train.xyz")
    assert code == 0 and "6 frames, 48 atoms" in out and "duplicates: none" in out
    code, out, _ = run("data", "train.xyz", "--json", "--stress", "none", "--e0", "least squares")
    document = json.loads(out)
    assert document["labels"] == {"energy": 6, "forces": 6, "stress": 0} and document["e0_origin"] == "least squares"
    assert run("data", "bare.xyz", "--energy", "none", "--forces", "none")[0] == 2


@pytest.mark.parametrize("width", [50, 120])
def test_recipes_are_told_whole_in_the_width_of_the_terminal(width, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = run("recipes")
    assert code == 0 and max(map(len, out.splitlines()[:-2])) <= width
    words = " ".join(out.split())
    for whole in (
        "bond-networks Neural networks that read bonds in their surroundings, one for each two elements; four of each: their "
        "mean, and its error bars.",
        "gap-small A small GAP for trying things out: one SOAP that ends before the second shell of an open crystal, and a "
        "pair term; fitted in seconds.",
    ):
        assert whole in words
    about = {recipe["name"]: recipe["about"] for recipe in json.loads(run("recipes", "--json")[1])["recipes"]}
    assert about["gap-small"].endswith("nearest neighbour.") and "\n" not in about["gap-small"]


def test_recipes_are_printed_to_be_copied(run, files):
    code, out, _ = run("recipes")
    assert code == 0 and all(name in out for name in jp.recipes())
    for name in jp.recipes():
        code, out, _ = run("recipes", name)
        (files / "copy.toml").write_text(out)
        assert replace(jp.read_recipe(files / "copy.toml"), name=name) == jp.read_recipe(name)
    assert {r["name"] for r in json.loads(run("recipes", "--json")[1])["recipes"]} == set(jp.recipes())


def test_help_has_examples(capsys):
    for command in ("data", "recipes", "fit"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        assert "examples:" in capsys.readouterr().out


# Mistakes ---------------------------------------------------------------------------------------------------

FIT = ["fit", "train.xyz", "--recipe", "pair.toml"]
MISTAKES = [
    (["fit", "train.xyz"], "--out"),
    (["fit", "--out", "x.model"], "TRAIN"),
    (["fit", "missing.xyz", "--recipe", "pair.toml", "--out", "x.model"], "missing.xyz"),
    (["fit", "bare.xyz", "--recipe", "pair.toml", "--out", "x.model"], "no frame has energy='energy'"),
    ([*FIT, "--energy", "dft", "--out", "x.model"], "no frame has energy='dft'; the keys that are there"),
    ([*FIT, "--energy", "dft", "--out", "x.model"], "(--energy KEY on the command line), or give energy=None (--energy none)"),
    ([*FIT, "--test", "missing.xyz", "--out", "x.model"], "missing.xyz"),
    ([*FIT, "--test", "copper.xyz", "--out", "x.model"], "the test set contains"),
    (["fit", "train.xyz", "--recipe", "good", "--out", "x.model"], "good: expected one of the recipes ace, behler-parrinello, bond-networks, equivariant, fine-tuning, gap"),
    (["fit", "train.xyz", "--recipe", "wrong.toml", "--out", "x.model"], "distance_2b has no tetha"),
    (["fit", "train.xyz", "--recipe", "torn.toml", "--out", "x.model"], "torn.toml: is not TOML"),
    ([*FIT, "--keep-folds", "--out", "x.model"], "--keep-folds is for networks"),
    ([*FIT, "--start", "train.xyz", "--out", "x.model"], "--start is for recipes of networks"),
    ([*FIT, "--freeze", "embedding", "--out", "x.model"], "of the model to --start from, and none is given"),
    ([*FIT, "--replay", "train.xyz", "--out", "x.model"], "--replay is of the model to --start from, and none is given"),
    (["fit", "train.xyz", "--recipe", "equivariant", "--start", "none.model", "--out", "x.model"], "none.model: there is no such"),
    (["fit", "train.xyz", "--recipe", "equivariant", "--start", "x.model", "--out", "x.model"], "x.model would be overwritten"),
    ([*FIT, "--keep-folds", "--no-posterior", "--out", "x.model"], "--no-posterior asks for none"),
    ([*FIT, "--out", "nowhere/x.model"], "does not exist"),
    ([*FIT, "--out", "folder.model"], "this is a folder"),
    ([*FIT, "--out", "x.json"], "this ending is for what comes beside it"),
    ([*FIT, "--out", "sw-silicon"], "built-in model"),
    ([*FIT, "--out", "sevennet-0"], "published model"),
    ([*FIT, "--out", "train.xyz"], "train.xyz would be overwritten"),
    ([*FIT, "--out", "x.model", "--e0", "Cu=-3"], "no energy of an isolated atom is known for Si"),
    ([*FIT, "--out", "x.model", "--e0", "Si=-4", "Cu=-3"], "no Cu: leave it out"),
    ([*FIT, "--out", "x.model", "--e0", "Xx=1"], "Xx"),
    ([*FIT, "--out", "x.model", "--e0", "Si"], "such as Si=-0.8"),
    ([*FIT, "--out", "x.model", "--e0", "Si=nan"], "e0 of Si"),
    ([*FIT, "--out", "x.model", "--sigma-forces", "0"], "expected a positive number, got '0'"),
    ([*FIT, "--out", "x.model", "--stress", "none", "--sigma-stress", "1"], "no frame has a stress"),
    ([*FIT, "--out", "x.model", "--seed", "-1"], "whole number"),
    ([*FIT, "--out", "x.model", "--learning-curve"], "needs --test"),
    ([*FIT, "--out", "x.model", "--components", "20"], "terms of ace"),
    ([*FIT, "--out", "x.model", "--components", "some"], "whole number of at least 1"),
    ([*FIT, "--out", "x.model", "--baseline", "no-such-model"], "no built-in model"),
    ([*FIT, "--out", "x.model", "--baseline", "cleri-rosato-copper"], "no element is known to every term"),
    (["data", "missing.xyz"], "missing.xyz"),
    (["recipes", "good"], "there is no recipe 'good'"),
]


@pytest.mark.parametrize(("argv", "expected"), MISTAKES, ids=[" ".join(row[0]) for row in MISTAKES])
def test_mistakes_get_one_sentence_before_the_work(run, files, argv, expected, monkeypatch):
    monkeypatch.setattr("jaxpot.fitting.linear.fit.unfitted_potential", lambda *_: pytest.fail("the work has begun"))
    before = set(os.listdir(files))
    code, out, err = run(*argv)
    sentences = [line for line in err.splitlines() if not line.startswith("[")]
    assert code == 2 and out == ""
    assert len(sentences) == 1 and sentences[0].startswith("jaxpot: ")
    assert expected in sentences[0]
    assert set(os.listdir(files)) == before


def test_a_baseline_that_the_format_cannot_hold_is_refused_before_the_work(run, files, monkeypatch):
    monkeypatch.setattr("jaxpot.fitting.linear.fit.unfitted_potential", lambda *_: pytest.fail("the work has begun"))
    jp.save(jp.potentials.ZBL(0.5, 1.5, ["Si"]), files / "zbl.model")
    before = set(os.listdir(files))
    code, _, err = fitted(run, "--out", "x.xml", "--baseline", "zbl.model")
    assert code == 2 and "has no place in a GAP file" in err
    assert set(os.listdir(files)) == before
