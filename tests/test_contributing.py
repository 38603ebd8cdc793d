"""The examples in CONTRIBUTING.md are what they say: they run, keep the contract, and are shorter than a page."""

import json
import re
from pathlib import Path
from types import ModuleType

import jax
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.cli import main as command_line
from jaxpot.errors import FormatError
from jaxpot.testing import check

ROOT = Path(__file__).parents[1]
TEXT = re.sub(r"<!--.*?-->", "", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def example(heading, language="python"):
    """The code of a section; further blocks go on where the first one ends."""
    section = TEXT.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    return "\n\n".join(re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL))


def module(heading):
    """A module of the code of a section."""
    made = ModuleType(f"example_{heading.split()[-1]}")
    exec(compile(example(heading), "CONTRIBUTING.md", "exec"), made.__dict__)
    return made


@pytest.mark.thorough
def test_the_potentials_keep_the_contract():
    made = module("A potential")
    crystal = jp.Structure.of(bulk("MgO", "rocksalt", a=4.2))
    assert check(made.Exponential(900.0, 0.3, 6.0), crystal, directions=2).passed
    assert check(made.Handed(0.01), bulk("Si"), directions=2).passed


def test_the_descriptor_makes_a_potential():
    descriptor = module("A descriptor").Coordination(2.5, 3.8)
    network = jp.readouts.MLP.random(1, 1, (4,))
    potential = jp.potentials.Described(descriptor, jp.readouts.Neural(network, [-4.0], [0.5]), ("Si",))
    assert check(potential, bulk("Si"), directions=2, skip=("smoothness", "special places", "derivatives")).passed


def test_the_format_is_read_and_its_faults_are_named(tmp_path):
    read = module("A file format").read_morse
    path = tmp_path / "copper.morse"
    path.write_text("# D, alpha, r0, cutoff\nCu 0.34 1.36 2.87 6.0\n")
    assert read(path).species == (29,) and float(read(path).alpha) == 1.36
    for text, says in (("Cu 0.34 1.36\n", "4|5|words"), ("Cu 0.34 x 2.87 6.0\n", "line 1"), ("Q 1 1 1 1\n", "Q")):
        path.write_text(text)
        with pytest.raises(FormatError, match=says):
            read(path)


def test_the_property_is_a_derivative():
    pressure = module("A property").cauchy_pressure
    silicon = jp.potentials.StillingerWeber.silicon()
    crystal = jp.relax(silicon, bulk("Si"), cell=True).structure
    elastic = jp.elastic_constants(silicon, crystal)
    assert pressure(silicon, crystal) == elastic.c12 - elastic.c44
    slopes = jax.grad(pressure)(silicon, crystal)
    assert abs(float(slopes.lam)) > 1e-4


def test_the_recipe_is_one(tmp_path):
    path = tmp_path / "pairs.toml"
    path.write_text(example("A recipe", "toml"))
    assert jp.read_recipe(path).name == "pairs"
    data = jp.draw_dataset(jp.potentials.StillingerWeber.silicon(), bulk("Si", cubic=True), count=6)
    assert jp.fit(data, str(path), predictions=False).potential.cutoff > 4.0


def test_the_command_runs(capsys, monkeypatch):
    made = module("A command")
    monkeypatch.setattr(command_line, "COMMANDS", (*command_line.COMMANDS, made))
    monkeypatch.setattr(command_line, "use_cache", lambda: None)
    assert command_line.main(["volume", "fcc:Cu:a=3.6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["volume_A3"] == pytest.approx(3.6**3 / 4)


def test_named_files_exist():
    rooms = "potentials|properties|readouts|core|report|formats|fitting"
    named = re.findall(r"`((?:jaxpot|tests|benchmarks)/[\w/.]+\.(?:py|md|json))`", TEXT)
    named += [f"jaxpot/{path}" for path in re.findall(rf"`((?:{rooms})/[\w/]+\.py)`", TEXT)]
    for path in named:
        assert "NAME" in path or (ROOT / path).exists(), path
