"""The command line as a newcomer uses it: results that read back, mistakes in one sentence."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

import jaxpot as jp
from jaxpot.cli import cache, card, demo
from jaxpot.cli.console import Console, to_json
from jaxpot.cli.main import main
from jaxpot.core.cache_folder import private_folder
from jaxpot.errors import DataError
from jaxpot.report.side_by_side import side_by_side
from jaxpot.report.table import rows

KEYS = "a0_A e_coh_eV bulk_GPa elastic_GPa phonons_THz gamma alpha_1_per_K heat_capacity vacancy_eV surface_J_per_m2".split()
SMALL = ["--mesh", "2", "--dos-mesh", "3", "--points", "12"]


@pytest.fixture
def run(call, tmp_path, monkeypatch):
    """Run the command in an empty folder: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    return call


@pytest.fixture(scope="module")
def frames():
    """Three rattled silicon crystals and a cluster, with labels that are off by known amounts."""
    potential = jp.load("sw-silicon")
    rng = np.random.default_rng(1)
    found = []
    for _ in range(3):
        atoms = bulk("Si")
        atoms.positions += rng.normal(0.0, 0.05, atoms.positions.shape)
        result = jp.evaluate(potential, atoms)
        atoms.calc = SinglePointCalculator(
            atoms, energy=float(result.energy) + 0.002, forces=np.array(result.forces) + 0.01
        )
        found.append(atoms)
    cluster = bulk("Si")
    cluster.pbc = False
    return [*found, cluster]


# Results ----------------------------------------------------------------------------------------------------


def test_models(run):
    code, out, _ = run("models")
    assert code == 0
    assert "sw-silicon" in out and "Phys. Rev. B 31, 5262" in out
    code, out, _ = run("models", "--json")
    assert {record["name"] for record in json.loads(out)["models"]} == {m.name for m in jp.models()}


def test_evaluate(run, frames):
    write("frames.xyz", frames)
    code, out, err = run("evaluate", "sw-silicon", "frames.xyz", "--out", "frames.json")
    assert code == 0
    assert "1" in out and "MAE" in out and "structures 1 to 4 of 4" in err
    document = json.load(open("frames.json"))
    assert list(document) == ["frames"]
    potential = jp.load("sw-silicon")
    for frame, atoms in zip(document["frames"], read("frames.xyz", ":"), strict=True):
        expected = jp.evaluate(potential, atoms)
        assert list(frame) == ["energy", "forces", "stress"]
        # Read back, the numbers are what was computed, to the last bit or nearly (another compiled program).
        assert frame["energy"] == pytest.approx(float(expected.energy), rel=1e-14)
        np.testing.assert_allclose(frame["forces"], expected.forces, rtol=0, atol=1e-13)
        if all(atoms.pbc):
            np.testing.assert_allclose(frame["stress"], expected.stress, rtol=0, atol=1e-14)
        else:
            assert frame["stress"] is None


def test_evaluate_errors_against_labels(run, frames):
    write("frames.xyz", frames)
    code, out, _ = run("evaluate", "sw-silicon", "frames.xyz", "--out", "frames.json", "--json", "--quiet")
    errors = json.loads(out)["errors"]
    assert errors["energy_per_atom_eV"]["mae"] == pytest.approx(0.001, abs=1e-7)
    assert errors["forces_eV_per_A"]["rmse"] == pytest.approx(0.01, abs=1e-7)
    assert errors["energy_per_atom_eV"]["frames"] == 3
    assert "stress_GPa" not in errors


def test_numbers_survive_json():
    values = [0.1, 1e-300, -1.0 / 3.0, 5e-324]
    assert json.loads(to_json(values)) == values
    assert json.loads(to_json({"x": [float("nan"), float("inf")]})) == {"x": [None, None]}


def test_relax(run):
    code, out, _ = run("relax", "sw-silicon", "diamond:Si", "--cell", "--out", "si.xyz", "--json")
    document = json.loads(out)
    assert code == 0 and document["converged"]
    assert document["energy_eV"] / 2 == pytest.approx(-4.3366, abs=1e-6)
    assert read("si.xyz").get_volume() == pytest.approx(5.43095**3 / 4, rel=1e-4)


def test_relax_follows_soft_modes(run):
    code, out, _ = run("relax", "cleri-rosato-copper", "bcc:Cu", "--cell", "--follow-soft-modes", "--out", "cu.xyz", "--json")
    document = json.loads(out)
    assert code == 0 and document["energy_eV_per_atom"] < document["start_eV_per_atom"] - 0.01
    assert document["modes"][0]["frequency_THz"] < -0.5 and len(read("cu.xyz")) == 2
    code, out, _ = run("relax", "sw-silicon", "diamond:Si", "--cell", "--follow-soft-modes", "--out", "si.xyz")
    assert code == 0 and "there is no soft mode" in out


def test_relax_that_stops_early_says_so(run):
    code, out, _ = run("relax", "sw-silicon", "diamond:Si:a=5.6", "--cell", "--steps", "2", "--out", "si.xyz")
    assert code == 1
    assert "NOT CONVERGED" in out
    assert len(read("si.xyz")) == 2


@pytest.fixture(scope="module")
def pair_model(tmp_path_factory):
    """A Lennard-Jones metal in a file: smooth, stiff enough for 300 K, and quick to compile."""
    path = tmp_path_factory.mktemp("model") / "lj.jaxpot"
    jp.save(jp.potentials.LennardJones(epsilon=0.4, sigma=2.3, cutoff=5.0, shift="smooth"), path)
    return path


def test_card(run, pair_model):
    code, out, err = run("card", pair_model, "--structure", "fcc:Cu", "--out", "card", "--json", *SMALL)
    assert code == 0
    document = json.loads(out)
    assert document == json.load(open("card/card.json"))
    assert list(document) == [*KEYS, "meta"]
    for key in KEYS:
        assert list(document[key]) == ["value", "sd", "unit"]
        assert document[key]["sd"] is None and document[key]["value"] is not None
    elastic = document["elastic_GPa"]["value"]
    # Cauchy's relation for pair potentials without stress.
    assert elastic["c12"] == pytest.approx(elastic["c44"], rel=1e-5)
    assert np.shape(elastic["voigt"]) == (6, 6)
    assert [name for name in elastic if name[1:].isdigit()] == ["c11", "c12", "c44"]
    assert document["meta"]["elastic_axes"]["laue_class"] == "m-3m"
    assert {"Gamma", "X", "L"} <= set(document["phonons_THz"]["value"])
    assert document["gamma"]["value"]["modes"]["Gamma"] == [None, None, None]
    assert document["gamma"]["value"]["thermodynamic_300K"] > 1.0
    assert 0.0 < document["alpha_1_per_K"]["value"] < 1e-3
    assert document["heat_capacity"]["unit"] == "kB/atom"
    assert document["meta"]["structure"]["spacegroup"].startswith("Fm-3m")
    assert len(document["meta"]["model"]["sha256"]) == 64
    page = open("card/card.html").read()
    assert page.count("data:image/png;base64,") >= 4 and "http" not in page
    assert "thermal expansion" in err


def test_card_under_pressure_at_chosen_temperatures(run, pair_model):
    free = json.loads(run("card", pair_model, "--structure", "fcc:Cu", "--out", "free", "--no-defects", "--json", *SMALL)[1])
    code, out, _ = run(
        "card", pair_model, "--structure", "fcc:Cu", "--out", "card", "--pressure-GPa", "5", "--temperatures", "100", "60",
        *SMALL,
    )
    assert code == 0
    document = json.load(open("card/card.json"))
    volume = document["meta"]["structure"]["volume_per_atom_A3"] / free["meta"]["structure"]["volume_per_atom_A3"]
    assert volume == pytest.approx(1.0 - 5.0 / free["bulk_GPa"]["value"], abs=1e-3)
    assert document["bulk_GPa"]["value"] > free["bulk_GPa"]["value"] + 10.0
    assert document["meta"]["thermal"]["temperature_K"] == [60.0, 100.0, 300.0]
    thermal = document["meta"]["thermal"]
    assert document["alpha_1_per_K"]["value"] == thermal["alpha_1_per_K"][2]
    assert document["meta"]["equation_of_state"] is None and not os.path.exists("card/equation_of_state.png")
    assert "Pressure" in out and "At 60 K (quasi-harmonic)" in out and "Note: at 5 GPa" in out
    assert out.count("Linear thermal expansion") == 3 and out.count("Bulk modulus (isothermal)") == 3


def test_card_makes_tables_smooth_if_asked(run, monkeypatch):
    asked = {}

    def stop(potential, structure, name, **options):
        asked.update(options, potential=potential)
        raise DataError("far enough")

    monkeypatch.setattr(card, "property_card", stop)
    tables = Path(__file__).parents[1] / "formats" / "files" / "two_metals.eam.alloy"
    code, _, err = run("card", tables, "--smooth", "--structure", "fcc:Al", "--out", "card", "--temperatures", "50", "900")
    assert code == 2 and "far enough" in err and "Differences from the tables" in err
    assert asked["temperatures"] == [50.0, 300.0, 900.0] and asked["pressure"] == 0.0
    assert asked["potential"].smoothness == 4 and asked["model"]["name"] == "two_metals.eam.alloy, tables made smooth"


def test_cards_of_several_models_stand_side_by_side(run, pair_model):
    stronger = jp.load(pair_model)
    jp.save(stronger.replace(epsilon=1.1 * stronger.epsilon), "stronger.model")
    models = ["--model", pair_model, "--model", "stronger.model"]
    code, out, err = run("card", "--structure", "fcc:Cu", "--out", "both", "--json", *SMALL, *models)
    assert code == 0
    weak, strong = Path(pair_model).stem, "stronger"
    document = json.loads(out)
    assert list(document) == [weak, strong]
    for name in (weak, strong):
        assert document[name] == json.load(open(f"both/{name}/card.json"))
    ratio = document[strong]["bulk_GPa"]["value"] / document[weak]["bulk_GPa"]["value"]
    assert ratio == pytest.approx(1.1, rel=1e-6)  # a pair potential is linear in it
    jp.save(jp.potentials.StillingerWeber.silicon(), "si.model")
    code, _, err = run("card", "--structure", "fcc:Cu", "--out", "none", "--model", pair_model, "--model", "si.model")
    assert code == 2 and "Cu" in err and not Path("none").exists()


@pytest.mark.thorough
def test_card_of_an_unstable_crystal_says_what_is_missing(run, pair_model):
    code, out, _ = run("card", pair_model, "--structure", "sc:Cu", "--out", "card", *SMALL)
    assert code == 0
    document = json.load(open("card/card.json"))
    assert document["alpha_1_per_K"]["value"] is None
    assert min(min(v) for v in document["phonons_THz"]["value"].values()) < 0
    assert any("thermal" in note for note in document["meta"]["warnings"])
    assert "not available" in out and "Note:" in out


# The demo: all of it takes minutes (below, slow); here its course, with a tiny fit and cards made of nothing ------

TINY = """
units = "A"
[[term]]
descriptor = "distance_2b"
cutoff = 3.7
theta = 0.5
sparse_points = 8
sparse_method = "uniform"
[choice]
method = "fixed"
"""


def small_document(elastic):
    """A card's document with the numbers that a table needs."""
    entry = lambda value: {"value": value, "sd": None, "unit": ""}  # noqa: E731
    structure = {"formula": "Si", "spacegroup": "Fd-3m (227)", "volume_per_atom_A3": 20.0,
                 "lattice": {"a": 5.43, "b": 5.43, "c": 5.43, "alpha": 90.0, "beta": 90.0, "gamma": 90.0}}
    values = dict.fromkeys(KEYS, entry(None)) | {"a0_A": entry(5.43), "e_coh_eV": entry(4.3), "bulk_GPa": entry(98.0)}
    meta = {"name": "Silicon", "model": {"name": "x"}, "structure": structure, "warnings": []}
    return values | {"elastic_GPa": entry(elastic), "meta": meta}


def test_cards_side_by_side():
    one, two = small_document({"c11": 151.4, "c44": 56.4}), small_document(None)
    two["meta"]["warnings"] = ["no elastic constants: it melts"]
    lines = side_by_side("Both", {"Oracle": one, "GAP": two}).splitlines()
    assert lines[0] == "Both" and lines[2].split() == ["Oracle", "GAP"]
    table = {line.strip().split("  ")[0]: line.split()[-3:] for line in lines if line.startswith("  ")}
    assert table["Bulk modulus"] == ["98.00", "98.00", "GPa"]
    assert table["C11"] == ["151.40", "–", "GPa"]  # the other card says that it has none
    assert lines[-1] == "Note on GAP: no elastic constants: it melts"
    found = [line for line in lines if line.startswith("  C")]
    assert [line.split()[0] for line in found] == ["Cohesive", "C11", "C44"]


def test_all_constants_of_a_trigonal_crystal_and_their_axes_are_shown():
    names = ("c11", "c12", "c13", "c14", "c33", "c44", "c66")
    document = small_document(dict(zip(names, range(1, 8), strict=True)))
    document["elastic_GPa"]["sd"] = {"c14": 0.5}
    document["meta"]["elastic_axes"] = {"laue_class": "-3m", "rotation": np.diag([-1.0, -1.0, 1.0]).tolist()}
    shown = {row.name: row.value for row in rows(document) if row.section.startswith("Elasticity")}
    assert [name for name in shown if name[1:].isdigit()] == ["C11", "C12", "C13", "C14", "C33", "C44", "C66"]
    assert shown["C14"] == "4.00 ± 0.50" and shown["Laue class"] == "-3m"
    assert shown["IEEE axis X in those of the file"] == "(-1.0000, 0.0000, 0.0000)"
    document["meta"]["elastic_axes"]["rotation"] = np.eye(3).tolist()
    assert not any("axis" in row.name for row in rows(document))


def test_bars_stand_beside_numbers_and_say_how_far_off_they_are():
    one, two = small_document({"c11": 151.4, "c44": 56.4}), small_document({"c11": 150.0, "c44": 56.5})
    two["elastic_GPa"]["sd"] = {"c11": 0.7, "c44": 0.004}
    two["a0_A"] = {"value": 5.431, "sd": 0.002, "unit": "A"}
    lines = side_by_side("Both", {"Oracle": one, "GAP": two}, off=("Oracle", "GAP")).splitlines()
    table = {line.strip().split("  ")[0]: " ".join(line.split()) for line in lines if line.startswith("  ")}
    assert table["C11"] == "C11 151.40 150.00 ± 0.70 -2.0 σ GPa"
    assert table["C44"] == "C44 56.40 56.500 ± 0.004 +25.0 σ GPa"  # as many digits as the bar asks for
    assert table["Lattice constant a"] == "Lattice constant a 5.4300 5.4310 ± 0.0020 +0.5 σ Å"
    assert table["Bulk modulus"] == "Bulk modulus 98.00 98.00 – GPa"


@pytest.mark.thorough
def test_demo_fits_and_compares(run, tmp_path, monkeypatch):
    (tmp_path / "tiny.toml").write_text(TINY)
    monkeypatch.setattr(demo, "RECIPE", "tiny.toml")
    monkeypatch.setattr(demo, "FRAMES", 6)
    monkeypatch.setattr(demo, "HELD_OUT", 2)
    monkeypatch.setattr(demo, "STEPS", 200)
    seen, bars = [], []

    class NoCard:
        def write(self, folder):
            (folder / "card.json").write_text("{}")

        def document(self):
            return small_document({"c11": 100.0 + len(seen)})

    def no_card(potential, structure, name, **settings):
        seen.append((potential, len(structure), settings["model"]["name"]))
        bars.append(None if settings["posterior"] is None else settings["posterior"].parameters)
        return NoCard()

    monkeypatch.setattr(demo, "property_card", no_card)
    code, out, err = run("demo", "--json")
    document = json.loads(out)
    assert code == 0 and list(document) == ["oracle", "gap", "fit", "dynamics"]
    assert document["oracle"]["elastic_GPa"]["value"] == {"c11": 101.0}
    assert document["gap"]["elastic_GPa"]["value"] == {"c11": 102.0}
    assert document["fit"]["frames"] == {"test": 2} and document["fit"]["errors"]["test"]["all"]["forces"]["count"] == 96
    assert json.load(open("jaxpot-card/fit.json")) == document["fit"]
    assert "data:image/png" in open("jaxpot-card/fit.html").read()
    written = {path.name for path in (tmp_path / "jaxpot-card").iterdir()}
    assert written >= {"oracle", "gap", "gap.xml", "gap.posterior", "fit.html", "fit.json"}
    assert document["fit"]["error_bars"]["property_factor"] > 0.0
    posterior = jp.load("jaxpot-card/gap.posterior")
    assert float(jp.energy(posterior.potential, bulk("Si"))) == pytest.approx(float(jp.energy(seen[1][0], bulk("Si"))))
    assert bars == [None, posterior.parameters]
    (oracle, atoms, name), (gap, _, _) = seen
    assert atoms == 2 and name == "sw-silicon" and isinstance(oracle, jp.potentials.StillingerWeber)
    assert float(jp.energy(gap, bulk("Si"))) == pytest.approx(float(jp.energy(jp.load("jaxpot-card/gap.xml"), bulk("Si"))))
    assert "drawing 8 frames of 16 atoms" in err
    dynamics = document["dynamics"]
    assert dynamics["steps"] == 200 and 100.0 < dynamics["temperature_K"] < 500.0
    assert dynamics["inside_its_bars"] == (dynamics["within_two_sigma"] >= 0.9)
    code, out, _ = run("demo", "--quiet")
    assert code == 0 and "Forces (eV/A)" in out and "Stillinger-Weber" in out and "gap.xml" in out


@pytest.mark.slow
def test_the_gap_of_the_demo_is_near_its_oracle(run):
    code, out, _ = run("demo", "--json", *SMALL)
    found = json.loads(out)
    assert code == 0
    oracle, gap = found["oracle"], found["gap"]
    assert gap["a0_A"]["value"] == pytest.approx(oracle["a0_A"]["value"], rel=1e-3)
    assert gap["e_coh_eV"]["value"] == pytest.approx(oracle["e_coh_eV"]["value"], abs=0.002)
    for key in ("c11", "c12", "c44"):
        assert gap["elastic_GPa"]["value"][key] == pytest.approx(oracle["elastic_GPa"]["value"][key], rel=0.03)
    for point, frequencies in oracle["phonons_THz"]["value"].items():
        assert gap["phonons_THz"]["value"][point] == pytest.approx(frequencies, abs=0.2)
    assert gap["heat_capacity"]["value"] == pytest.approx(oracle["heat_capacity"]["value"], rel=0.02)
    # Bars: none for the oracle, and most numbers of the GAP lie within two of theirs.
    assert all(oracle[key]["sd"] is None for key in KEYS)
    off = [(gap["a0_A"]["value"] - oracle["a0_A"]["value"]) / gap["a0_A"]["sd"]]
    off += [
        (gap["elastic_GPa"]["value"][key] - oracle["elastic_GPa"]["value"][key]) / gap["elastic_GPa"]["sd"][key]
        for key in ("c11", "c12", "c44")
    ]
    for point, row in gap["phonons_THz"]["value"].items():
        triples = zip(row, oracle["phonons_THz"]["value"][point], gap["phonons_THz"]["sd"][point], strict=True)
        off += [(value - true) / sd for value, true, sd in triples if sd]
    assert np.mean(np.abs(off) < 2.0) > 0.85


# Mistakes ---------------------------------------------------------------------------------------------------

MISTAKES = [
    ([], "a command is missing"),
    (["frobnicate"], "invalid choice"),
    (["models", "--frobnicate"], "`jaxpot models` has no flag --frobnicate (see"),
    (["--quiet", "models"], "`jaxpot` has no flag --quiet; flags of a command stand after its name"),
    (["evaluate", "sw-silicon", "good.xyz", "--otu", "x.json"], "has no flag --otu; did you mean --out?"),
    (["md", "sw-silicon", "good.xyz", "--tempreature", "300"], "has no flag --tempreature; did you mean --temperature?"),
    (["evaluate", "sw-silicon", "good.xyz", "two.xyz", "--out", "x.json"], "a word too many: two.xyz; `jaxpot evaluate`"),
    (["evaluate", "sw-silicon", "good.xyz"], "--out"),
    (["evaluate", "no-such-model", "good.xyz", "--out", "x.json"], "no built-in model"),
    (["evaluate", "sw-silicon", "missing.xyz", "--out", "x.json"], "missing.xyz: no such file"),
    (["evaluate", "sw-silicon", "copper.xyz", "--out", "x.json"], "structure 0: StillingerWeber knows Si"),
    (["evaluate", "sw-silicon", "torn.xyz", "--out", "x.json"], "torn.xyz"),
    (["evaluate", "sw-silicon", "empty.xyz", "--out", "x.json"], "empty.xyz"),
    (["evaluate", "sw-silicon", "nan.xyz", "--out", "x.json"], "not finite"),
    (["evaluate", "sw-silicon", "overlap.xyz", "--out", "x.json"], "atoms 0 (Si) and 1 (Si)"),
    (["evaluate", "torn.sw", "good.xyz", "--out", "x.json"], "torn.sw, line 1"),
    (["evaluate", "good.xyz", "good.xyz", "--out", "x.json"], "format is not recognised"),
    (["evaluate", "sw-silicon", "good.xyz", "--out", "nowhere/x.json"], "does not exist"),
    (["evaluate", "sw-silicon", "good.xyz", "--out", "."], "this is a folder"),
    (["evaluate", "sw-silicon", "good.xyz", "--out", 300 * "x"], "File name too long"),
    (["card", "sw-silicon", "--structure", "diamond:Si", "--out", 300 * "x"], "File name too long"),
    (["relax", "sw-silicon", "fcc:Xx", "--out", "x.xyz"], "'Xx'"),
    (["relax", "sw-silicon", "cube:Si", "--out", "x.xyz"], "prototypes: fcc, bcc"),
    (["relax", "sw-silicon", "diamond:Si:a=big", "--out", "x.xyz"], "a must be a number"),
    (["relax", "sw-silicon", "diamond:Si", "--out", "x.unknown"], "ending"),
    (["relax", "sw-silicon", "diamond:Si", "--pressure-GPa", "1", "--out", "x.xyz"], "--cell"),
    (["relax", "sw-silicon", "diamond:Si", "--follow-soft-modes", "--out", "x.xyz"], "relaxes cells in space groups: with --cell"),
    (["relax", "sw-silicon", "diamond:Si", "--fmax", "nan", "--out", "x.xyz"], "--fmax"),
    (["relax", "sw-silicon", "diamond:Si", "--fmax", "small", "--out", "x.xyz"], "--fmax"),
    (["relax", "sw-silicon", "two.xyz", "--out", "x.xyz"], "holds 2 structures"),
    (["relax", "sw-silicon", "diamond:Si:a=20", "--out", "x.xyz"], "within 3.771 A"),
    (["card", "sw-silicon", "--structure", "fcc:Cu", "--out", "d"], "knows Si"),
    (["card", "sw-silicon", "--structure", "cluster.xyz", "--out", "d"], "periodic"),
    (["card", "sw-silicon", "--structure", "diamond:Si", "--out", "good.xyz"], "a file of that name"),
    (["card", "sw-silicon", "--structure", "diamond:Si", "--out", "a/b/c"], "does not exist"),
    (["card", "sw-silicon", "--structure", "diamond:Si", "--out", "d", "--mesh", "0"], "at least 1"),
    (["card", "sw-silicon", "--out", "d"], "--structure"),
    (["card", "sw-silicon", "--structure", "diamond:Si", "--out", "d", "--smooth"], "--smooth: expected a potential with ta"),
    (["md", "sw-silicon", "diamond:Si", "--out", "d", "--steps", "1", "--temperature", "1", "--smooth"], "nothing to smooth"),
    (["card", "sw-silicon", "--structure", "diamond:Si", "--out", "d", "--temperatures", "-5"], "a temperature in K, not"),
    (["card", "sw-silicon", "--structure", "diamond:Si", "--out", "d", "--pressure-GPa", "high"], "a pressure in GPa"),
    (["demo", "--out", "good.xyz"], "a file of that name"),
]


@pytest.fixture
def mistaken_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    silicon = bulk("Si")
    write("good.xyz", silicon)
    write("two.xyz", [silicon, silicon])
    write("copper.xyz", bulk("Cu"))
    overlap = bulk("Si")
    overlap.positions[1] = overlap.positions[0]
    write("overlap.xyz", overlap)
    cluster = bulk("Si")
    cluster.pbc = False
    write("cluster.xyz", cluster)
    (tmp_path / "empty.xyz").write_text("")
    (tmp_path / "torn.xyz").write_text("3\ntitle\nSi 0 0\n")
    (tmp_path / "torn.sw").write_text("Si Si Si 1.0 2.0\n")
    box = 'Lattice="5 0 0 0 5 0 0 0 5" pbc="T T T"'
    (tmp_path / "nan.xyz").write_text(f"2\n{box}\nSi nan 0 0\nSi 1 2 1\n")


@pytest.mark.parametrize(("argv", "expected"), MISTAKES, ids=[" ".join(row[0])[:80] for row in MISTAKES])
def test_mistakes_get_one_sentence(run, mistaken_files, argv, expected):
    code, out, err = run(*argv)
    sentences = [line for line in err.splitlines() if not line.startswith("[")]
    assert code == 2
    assert len(sentences) == 1 and sentences[0].startswith("jaxpot: ")
    assert expected in sentences[0]
    assert "Traceback" not in err and out == ""


def test_mistakes_as_json(run, mistaken_files):
    code, out, _ = run("evaluate", "sw-silicon", "missing.xyz", "--out", "x.json", "--json")
    assert code == 2
    assert json.loads(out)["error"]["type"] == "FormatError"


def test_a_mistake_leaves_no_file(run, mistaken_files, tmp_path):
    before = set(tmp_path.iterdir())
    run("evaluate", "sw-silicon", "overlap.xyz", "--out", "x.json")
    run("relax", "sw-silicon", "diamond:Si:a=20", "--out", "x.xyz")
    assert set(tmp_path.iterdir()) == before


# Help, terminal, cache --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["demo", "models", "evaluate", "relax", "card"])
def test_help_has_examples(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "examples:" in out and "--json" in out


def test_python_runs_the_package_as_the_command(tmp_path):
    command = [sys.executable, "-m", "jaxpot"]
    done = subprocess.run([*command, "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == f"jaxpot {jp.__version__}"
    done = subprocess.run([*command, "frobnicate"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("jaxpot: ") and "Traceback" not in done.stderr


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"jaxpot {jp.__version__}"


def test_ascii_terminals(monkeypatch):
    import io as streams

    stream = streams.TextIOWrapper(streams.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    Console().text("At Γ: γ = 1.5 ×2, 3 Å")
    stream.flush()
    assert stream.buffer.getvalue().decode().strip() == "At Gamma: gamma = 1.5 x2, 3 A"


def test_cache_folder_is_private(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = private_folder("programs")
    assert folder.is_dir() and (folder.stat().st_mode & 0o077) == 0
    folder.chmod(0o755)
    assert private_folder("programs") is None


def test_cache_refuses_what_others_can_replace(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "jaxpot").symlink_to(tmp_path / "elsewhere")
    assert private_folder("programs") is None


def test_cache_is_pruned(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_LARGEST", 250)
    for age in range(4):
        path = tmp_path / f"{age}"
        path.write_bytes(b"x" * 100)
        os.utime(path, (1000 - age, 1000 - age))
    cache._prune(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "1"]


def test_a_kept_program_is_run_without_a_word(tmp_path):
    """A second process reads what the first has compiled; XLA would write pages about that."""
    said = []
    for name in ("first", "second"):
        command = [sys.executable, "-m", "jaxpot.cli.main", "relax", "sw-silicon", "diamond:Si", "--out", f"{name}.xyz"]
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "kept")}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        said.append(done.stderr)
    assert list(tmp_path.glob("kept/jaxpot/*/*")), "nothing was kept"
    assert all(line.startswith("[") for text in said for line in text.splitlines()), said


def test_a_folder_of_n2p2_is_a_model(run, tmp_path):
    width = 3
    descriptor = jp.descriptors.SymmetryFunctions(
        tuple(jp.descriptors.Radial(0.1 * k, 0.0, 4.0, "Si") for k in range(width)), centers=("Si",)
    )
    readout = jp.readouts.Neural(jp.readouts.MLP.random(0, width, (4,)), np.zeros(width), np.ones(width))
    jp.save(jp.potentials.Described(descriptor, readout, ("Si",)), f"{tmp_path}/network/")
    settings = tmp_path / "network" / "input.nn"
    settings.write_text(settings.read_text().replace("# units: Angstrom eV", ""))
    write(tmp_path / "si.xyz", bulk("Si"))
    command = ["evaluate", "network", "si.xyz", "--out", "si.json"]
    code, _, error = run(*command)
    assert code == 2 and "--units Bohr Hartree" in error
    energies = []
    for units in (("Angstrom", "eV"), ("1.0", "2.0")):
        assert run(*command, "--units", *units)[0] == 0
        energies.append(json.loads((tmp_path / "si.json").read_text())["frames"][0]["energy"])
    assert energies[1] == pytest.approx(2.0 * energies[0], rel=1e-12)
    described = card.describe(f"{tmp_path}/network/", None)
    assert described["name"] == "network" and len(described["sha256"]) == 64
    settings.write_text("# changed\n" + settings.read_text())
    assert card.describe(f"{tmp_path}/network", None)["sha256"] != described["sha256"]
