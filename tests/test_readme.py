"""The README's tour runs, and its commands are those that exist."""

import re
from pathlib import Path

import jax
import pytest

README = Path(__file__).parents[1] / "README.md"


def _blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def names():
    """What the tour has defined when it is through."""
    (code,) = _blocks("python")
    space = {}
    exec(compile(code, "README.md", "exec"), space)
    return space


def test_tour_runs(names):
    assert jax.tree.structure(names["slopes"]) == jax.tree.structure(names["silicon"])
    assert all(abs(float(leaf)) < 1e6 for leaf in jax.tree.leaves(names["slopes"]))
    assert abs(names["atoms"].get_potential_energy() / 8 + 4.3366) < 1e-3


def test_tour_is_short():
    (code,) = _blocks("python")
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith("#")]) <= 32


def test_commands():
    demo, tests = _blocks("sh")
    assert demo.strip() == "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/jaxpot demo"
    assert tests.strip().endswith(".venv/bin/pip install '.[test]' && .venv/bin/pytest")
