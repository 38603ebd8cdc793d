"""What the README and the tour show runs as it stands, their commands are those that exist, and links lead somewhere."""

import re
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[1]
README, TOUR = ROOT / "README.md", ROOT / "notebooks" / "tour.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "notebooks").glob("*.md")), *sorted(ROOT.glob("benchmarks/*.md")), ROOT / "tests" / "README.md"]


def _blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def _lines(code):
    return [line for line in code.splitlines() if line.strip() and not line.startswith("#")]


def _defined(path):
    """What the Python of a page has defined when it is through."""
    (code,) = _blocks(path, "python")
    space = {}
    exec(compile(code, path.name, "exec"), space)
    return space


def test_the_short_tour_runs(capsys):
    names = _defined(README)
    assert jax.tree.structure(names["slopes"]) == jax.tree.structure(names["silicon"])
    printed = capsys.readouterr().out
    assert "56.4" in printed  # C44 of Stillinger-Weber silicon, GPa
    assert abs(float(names["bar"].value) - 56.4) < 4.0 * float(names["bar"].std) < 20.0
    assert abs(float(names["slopes"].lam) - 1.0) < 10.0


@pytest.mark.thorough
def test_the_long_tour_runs():
    names = _defined(TOUR)
    assert jax.tree.structure(names["slopes"]) == jax.tree.structure(names["silicon"])
    assert all(abs(float(leaf)) < 1e6 for leaf in jax.tree.leaves(names["slopes"]))
    assert abs(names["atoms"].get_potential_energy() / 8 + 4.3366) < 1e-3


def test_tours_are_short():
    (short,), (long,) = _blocks(README, "python"), _blocks(TOUR, "python")
    assert len(_lines(short)) <= 15 and len(_lines(long)) <= 32
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 100


def test_commands():
    demo, tests = _blocks(README, "sh")
    assert demo.strip() == "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/jaxpot demo"
    assert tests.strip().endswith(".venv/bin/pip install '.[test]' && .venv/bin/pytest")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL)):
        assert target.startswith("https://") or (path.parent / target).exists(), target


def test_measured_figures_are_those_of_the_benchmarks():
    """Each row of the table has the command of an entry of results.json, and its numbers are found there."""
    import json

    entries = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))["results"]
    table = README.read_text(encoding="utf-8").partition("\n## Measured\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]*) \| ([^|]*) \| `([^`]*)` \|$", table, re.MULTILINE)
    assert len(rows) >= 5
    for question, figure, command in rows:
        own = " ".join(json.dumps(entry) for entry in entries if entry["command"].startswith(command))
        assert own, command
        for number in re.findall(r"[\d.]+(?:e-?\d+)?", figure):
            assert number in own, (question, number)
