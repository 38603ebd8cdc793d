"""The benchmarks' pages: results are those of results.json, and every script is named with its question and command."""

import importlib.util
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
PARTS = {"lammps_cases.py", "lammps_peer.py", "results.py"}  # of other scripts, or no question


def script(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def results():
    return script("results")


def test_the_page_of_results_is_that_of_the_json(results):
    assert results.PAGE.read_text(encoding="utf-8") == results.page(results.read())
    assert results.main(["--check"]) == 0


def test_an_entry_that_lacks_something_is_refused(results, tmp_path):
    text = results.SOURCE.read_text(encoding="utf-8")
    for one, other in (('"date"', '"day"'), ('"machine": "epyc-avx2"', '"machine": "mine"'), ('"of"', '"what"')):
        (tmp_path / "wrong.json").write_text(text.replace(one, other, 1), encoding="utf-8")
        with pytest.raises(ValueError):
            results.read(tmp_path / "wrong.json")


def test_commands_of_results_are_those_of_scripts_that_exist(results):
    for entry in results.read()["results"]:
        assert entry["figures"] and entry["question"]
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", entry["date"]) or entry["date"] == results.UNKNOWN
        for name in re.findall(r"benchmarks/(\w+\.py)", entry["command"]):
            assert (FOLDER / name).exists(), entry["id"]


def test_every_script_has_its_question():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\|.*`[^`]*benchmarks/(\w+\.py)[^`]*`", text, re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in FOLDER.glob("*.py") if path.name not in PARTS)


def test_numbers_of_two_cards_are_matched_by_name():
    """Of entries in which one card has what the other lacks, or in another order."""
    beside = script("fine_tuning")._beside
    value = {"Gamma": [1.0, 2.0], "X": [3.0], "voigt": [9.0], "only here": 7.0, "none": None}
    sd = {"X": None, "Gamma": [0.1, 0.2]}
    reference = {"X": [3.5], "voigt": [9.0], "none": 1.0, "Gamma": [1.5, 2.5], "only there": 8.0}
    assert beside("phonons", value, sd, reference) == [
        ("phonons Gamma", 1.0, 0.1, 1.5), ("phonons Gamma", 2.0, 0.2, 2.5), ("phonons X", 3.0, 0.0, 3.5),
    ]
    with pytest.raises(ValueError):
        beside("phonons", [1.0, 2.0], [0.1, 0.2], [1.0])
