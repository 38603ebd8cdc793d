"""MODEL, and --model for models of several files: what they mean, and what they do not."""

import json
from argparse import Namespace
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

import jaxpot as jp
from jaxpot.cli import card
from jaxpot.cli.model import separate_models

FILES = Path(__file__).parents[1] / "formats" / "files"
MEAM = (FILES / "made_up.library.meam", FILES / "two_kinds.meam")
SPECIES = ("--species", "Si", "Mg")


@pytest.fixture
def run(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("frames.xyz", bulk("SiMg", "rocksalt", a=5.2))
    return call


@pytest.fixture(scope="module")
def energy():
    potential = jp.load(list(MEAM), species=("Si", "Mg"))
    return float(jp.energy(potential, bulk("SiMg", "rocksalt", a=5.2)))


def test_a_model_of_two_files_stands_behind_its_flag(run, energy):
    for words in (
        ("frames.xyz", "--model", *MEAM, *SPECIES, "--out", "e.json"),
        ("--model", *MEAM, *SPECIES, "--out", "e.json", "frames.xyz"),
        ("--out", "e.json", "frames.xyz", *SPECIES, "--mode", *MEAM),
    ):
        code, _, err = run("evaluate", *words, "--quiet")
        assert code == 0, err
        found = json.loads(Path("e.json").read_text())["frames"][0]["energy"]
        assert found == pytest.approx(energy, rel=1e-12), words


def test_one_file_may_stand_there_too(run):
    write("si.xyz", bulk("Si"))
    code, _, _ = run("evaluate", "si.xyz", "--model", "sw-silicon", "--out", "e.json", "--quiet")
    assert code == 0 and json.loads(Path("e.json").read_text())["frames"][0]["energy"] == pytest.approx(-8.6732, abs=1e-3)
    code, _, _ = run("evaluate", "sw-silicon", "--out", "e.json", "si.xyz", "--quiet")  # MODEL, with a flag between
    assert code == 0


def test_every_command_takes_it(run):
    """Each says of the library alone what only the reader of the files can know."""
    for words in (
        ("evaluate", "frames.xyz", "--out", "e.json"), ("relax", "frames.xyz", "--out", "r.xyz"),
        ("md", "frames.xyz", "--steps", 1, "--temperature", 300, "--out", "m"),
        ("card", "--structure", "frames.xyz", "--out", "c"),
    ):
        code, _, err = run(*words, "--model", MEAM[0])
        assert code == 2 and "say with `species` which of Si, Mg, AlX" in err, words


MISTAKES = {
    "the structure behind the files": (
        ("evaluate", "--model", "a.meam", "b.meam", "frames.xyz", "--out", "e.json"),
        "required: STRUCTURES; `jaxpot evaluate` takes STRUCTURES (MODEL is left out, as --model is given); --model takes all "
        "words up to the next flag, here a.meam b.meam frames.xyz: write other words before it",
    ),
    "the structure behind the elements": (
        ("evaluate", "gap.xml", "--species", "Si", "frames.xyz", "--out", "e.json"),
        "--species takes all words up to the next flag, here Si frames.xyz",
    ),
    "both": (
        ("evaluate", "sw-silicon", "frames.xyz", "--model", "a", "b", "--out", "e.json"),
        "a word too many: frames.xyz; `jaxpot evaluate` takes STRUCTURES (MODEL is left out, as --model is given)",
    ),
    "both, and no other word": (
        ("card", "sw-silicon", "--structure", "frames.xyz", "--model", "a", "b", "--out", "c"),
        "a word too many: sw-silicon; `jaxpot card` takes flags only, no words (MODEL is left out",
    ),
    "both, the flag cut short": (
        ("evaluate", "sw-silicon", "frames.xyz", "--mode", "a", "--out", "e.json"),
        "a word too many: frames.xyz; `jaxpot evaluate` takes STRUCTURES (MODEL is left out, as --model is given)",
    ),
    "the flag cut too short": (
        ("evaluate", "frames.xyz", "--mod", "a", "--out", "e.json"), "ambiguous option: --mod could match --model",
    ),
    "neither": (
        ("card", "--structure", "frames.xyz", "--out", "c"),
        "required: MODEL; `jaxpot card` takes MODEL (or --model FILE [FILE ...] in place of MODEL)",
    ),
    "neither, where there is another word": (
        ("evaluate", "frames.xyz", "--out", "e.json"),
        "required: STRUCTURES; `jaxpot evaluate` takes MODEL STRUCTURES (or --model FILE [FILE ...] in place of MODEL)",
    ),
    "two models": (
        ("evaluate", "frames.xyz", "--model", "a", "--model", "b", "--out", "e.json"),
        "`jaxpot evaluate` takes one model, and --model is there 2 times: write all files of one model after one --model",
    ),
    "a file of no such list": (
        ("evaluate", "frames.xyz", "--model", "frames.xyz", "frames.xyz", "--out", "e.json"), "for EAM funcfl files (.eam), one for each element, of which frames.xyz is not one",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_not_understood_says_what_is(name, run):
    words, message = MISTAKES[name]
    code, out, err = run(*words)
    assert code == 2 and message in err and out == ""


def test_a_card_names_all_files_of_its_model(tmp_path):
    both = card.describe(tuple(map(str, MEAM)), None)
    assert both["name"] == "made_up.library.meam two_kinds.meam" and len(both["sha256"]) == 64
    assert both["sha256"] != card.describe(str(MEAM[0]), None)["sha256"]
    assert both["sha256"] != card.describe(tuple(map(str, MEAM[::-1])), None)["sha256"]


@pytest.mark.parametrize("command", ["evaluate", "relax", "card", "md"])
def test_the_help_says_how(command, capsys):
    from jaxpot.cli.main import main

    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--model FILE [FILE ...]" in text and "in place of MODEL" in text and "write the other words before it" in text
    assert "library.meam SiC.meam, with --species Si C" in text


def test_models_of_one_name_are_numbered():
    options = Namespace(models=[["a/si.sw"], ["b/si.sw"], ["c/si.sw", "d"], ["ge.sw"]], out="x")
    separate = separate_models(options)
    assert list(separate) == ["si", "si-2", "si-3", "ge"]
    assert separate["si-3"].models == [["c/si.sw", "d"]] and separate["ge"].out == "x"
    assert options.models[0] == ["a/si.sw"]  # untouched
