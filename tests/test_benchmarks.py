"""The benchmarks' pages: results are those of results.json, and every script is named with its question and command."""

import importlib.util
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
PARTS = {"lammps_cases.py", "lammps_peer.py", "results.py"}  # of other scripts, or no question


@pytest.fixture(scope="module")
def results():
    spec = importlib.util.spec_from_file_location("benchmark_results", FOLDER / "results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
