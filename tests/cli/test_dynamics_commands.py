"""`jaxpot md` and `jaxpot learn`: what they write, and wrong input of each kind."""

import json

import numpy as np
import pytest
from ase.io import read, write

import jaxpot as jp
from jaxpot.io import structure_from_spec

SILICON = "diamond:Si:a=5.431"
RECIPE = """
units = "A"
[[term]]
descriptor = "soap"
cutoff = 3.6
transition_width = 0.6
atom_sigma = 0.5
n_max = 4
l_max = 3
sparse_points = 30
[sigma]
energy = 0.0005
forces = 0.02
[choice]
method = "fixed"
"""


@pytest.fixture
def run(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return call


@pytest.fixture
def data(tmp_path):
    """train.xyz and small.toml."""
    cell = structure_from_spec(SILICON)[0].repeated((2, 2, 2))
    frames = []
    for frame in jp.draw_dataset(jp.load("sw-silicon"), cell, 4, strain=0.005, displacements=0.02):
        atoms = jp.to_ase(frame.structure)
        atoms.info["energy"], atoms.arrays["forces"] = frame.energy, np.array(frame.forces)
        frames.append(atoms)
    write(tmp_path / "train.xyz", frames)
    (tmp_path / "small.toml").write_text(RECIPE)


def test_md_writes_a_table_and_frames(run, tmp_path):
    common = ("md", "sw-silicon", SILICON, "--supercell", 2, 2, 2, "--temperature", 300, "--steps", 200, "--every", 50)
    code, out, _ = run(*common, "--out", "hot", "--json")
    document = json.loads(out)
    assert code == 0 and document["steps"] == 200 and 100.0 < document["temperature_K"] < 600.0
    assert len(read("hot/frames.xyz", ":")) == 5 and not (tmp_path / "hot" / "run.checkpoint").exists()
    assert np.loadtxt("hot/thermo.txt").shape == (5, 9)
    code, out, _ = run(*common, "--out", "cold", "--frames", "nc", "--quiet")
    assert code == 0 and "frames.nc" in out and (tmp_path / "cold" / "frames.nc").stat().st_size < 16 * 36 * 5 + 4000
    code, _, err = run(*common, "--out", "hot")
    assert code == 2 and "exists" in err


@pytest.mark.thorough
def test_md_of_replicas_has_a_folder_for_each(run, tmp_path):
    common = ("md", "sw-silicon", SILICON, "--supercell", 2, 2, 2, "--steps", 100, "--every", 50)
    code, out, _ = run(
        *common, "--temperatures", 300, 500, "--ensemble", "nve", "--observe", "msd", "--out", "two", "--json"
    )
    document = json.loads(out)
    assert code == 0 and [one["start_temperature_K"] for one in document["replicas"]] == [300.0, 500.0]
    assert [one["seed"] for one in document["replicas"]] == [0, 1] and "exchange" not in document
    rows = []
    for k, one in enumerate(document["replicas"]):
        assert one["folder"] == f"two/00{k}" and one["steps"] == 100 and "msd.txt" in one["files"]
        assert len(read(f"two/00{k}/frames.xyz", ":")) == 3
        rows.append(np.loadtxt(f"two/00{k}/thermo.txt"))
        assert rows[k].shape == (3, 9) and rows[k][0, 2] == pytest.approx((300.0, 500.0)[k])
    code, _, _ = run(*common, "--temperature", 500, "--ensemble", "nve", "--seed", 1, "--out", "one", "--quiet")
    assert code == 0
    np.testing.assert_allclose(np.loadtxt("one/thermo.txt"), rows[1], rtol=1e-8)


def test_md_with_exchanges(run, tmp_path):
    command = (
        "md", "sw-silicon", SILICON, "--temperatures", 300, 330, 370, "--exchange-every", 20, "--steps", 100,
        "--out", "ladder",
    )
    code, out, _ = run(*command, "--json")
    exchange = json.loads(out)["exchange"]
    assert code == 0 and exchange["attempts"] == 5 and exchange["temperatures_K"] == [300.0, 330.0, 370.0]
    assert len(exchange["acceptance"]) == 2 and sorted(exchange["replica_at_temperature"]) == [0, 1, 2]
    table = np.loadtxt("ladder/exchanges.txt")
    assert table.shape == (5, 7) and table[:, 0].tolist() == [20, 40, 60, 80, 100]
    assert table[-1, 1:4].tolist() == exchange["replica_at_temperature"]
    assert sorted(path.name for path in (tmp_path / "ladder").iterdir()) == ["000", "001", "002", "exchanges.txt"]
    code, _, err = run(*command)
    assert code == 2 and "exists" in err


@pytest.mark.parametrize(
    "more, message",
    [
        (("--temperature", 300, "--replicas", 0), "--replicas: expected a whole number of at least 1"),
        (("--temperature", 300, "--exchange-every", 10), "--exchange-every needs --temperatures"),
        (("--temperatures", 300, "--exchange-every", 10), "at least two"),
        (("--temperatures", 400, 300, "--exchange-every", 10), "each above the one before"),
        (("--temperatures", 300, 400, "--replicas", 3), "one replica at each temperature"),
        (("--temperatures", 300, 400, "--exchange-every", 10, "--observe", "msd"), "--observe msd would mix"),
        (("--temperatures", 300, 400, "--exchange-every", 10, "--ensemble", "nve"), "needs a thermostat"),
        (("--temperatures", 300, -4), "temperature: expected"),
        (("--temperature", 300, "--temperatures", 300, 400), "not allowed with"),
        ((), "one of the arguments --temperature --temperatures is required"),
    ],
)
def test_replicas_that_md_refuses(more, message, run):
    code, out, err = run("md", "sw-silicon", SILICON, "--steps", 10, "--out", "x", *more)
    assert code == 2 and message in err and out == "" and "Traceback" not in err


def test_md_that_breaks_keeps_its_last_good_state_in_a_file(run, tmp_path):
    code, out, err = run(
        "md", "sw-silicon", SILICON, "--supercell", 2, 2, 2, "--temperature", 3000, "--steps", 200, "--time-step-fs", 60,
        "--out", "wild",
    )
    assert code == 2 and "`state`" not in err and out == ""
    path, step = tmp_path / "wild" / "last_good.xyz", int(err.split("The last good state, of step ")[1].split(",")[0])
    assert f"is in {path.relative_to(tmp_path)}, with its momenta and forces" in err
    last = read(path)
    assert last.info["step"] == step and np.isfinite(last.get_momenta()).all() and len(last) == 16


@pytest.mark.parametrize("ensemble", ["nve", "rescaling", "langevin"])
def test_md_of_one_atom_says_that_it_has_no_temperature(ensemble, run):
    code, _, err = run(
        "md", "cleri-rosato-copper", "fcc:Cu:a=3.6", "--temperature", 300, "--steps", 10, "--ensemble", ensemble, "--out", "x",
    )
    assert code == 2 and "one atom has no temperature" in err and "--supercell 4 4 4" in err and "time step" not in err


@pytest.mark.thorough
def test_learn_names_the_files_that_it_has_written(run, data, tmp_path):
    code, out, _ = run(
        "learn", "train.xyz", "--source", "sw-silicon", "--structure", SILICON, "--supercell", 2, 2, 2, "--temperature",
        10, 10, "--steps", 20, "--recipe", "small.toml", "--threshold", 1e6, "--e0", "Si=0", "--out", "quiet",
    )
    assert code == 0 and "0 labels, all steps were done" in out
    assert out.splitlines()[-1] == "Written: quiet/model.posterior"
    assert not (tmp_path / "quiet" / "labels.xyz").exists()


@pytest.mark.thorough
def test_learn_asks_and_learns(run, data, tmp_path):
    command = (
        "learn", "train.xyz", "--source", "sw-silicon", "--structure", SILICON, "--supercell", 2, 2, 2, "--temperature",
        300, 2000, "--steps", 400, "--time-step-fs", 2, "--recipe", "small.toml", "--budget", 2, "--e0", "Si=0",
        "--out", "learned",
    )
    code, out, err = run(*command, "--json")
    document = json.loads(out)
    assert code == 0 and 1 <= document["labels"] <= 2 and "asks for a label" in err
    assert len(read("learned/labels.xyz", ":")) == document["labels"] == len(document["log"])
    assert isinstance(jp.load("learned/model.posterior"), jp.Posterior)
    code, out, _ = run(*command, "--quiet")  # it was done
    assert code == 0 and f"{document['labels']} labels" in out
    assert "Written: learned/model.posterior, learned/labels.xyz, learned/log.jsonl" in out


@pytest.mark.thorough
def test_learn_searches_random_crystals_and_pools(run, data, tmp_path):
    common = ("learn", "train.xyz", "--source", "sw-silicon", "--recipe", "small.toml", "--e0", "Si=0", "--budget", 1)
    code, out, _ = run(*common, "--random", "Si4", "--volume", 20, "--count", 3, "--out", "searched", "--json")
    document = json.loads(out)
    assert code == 0 and document["labels"] == 1 and document["candidates"] == 3 and not document["finished"]
    assert len(read("searched/labels.xyz", ":")) == 1
    code, out, _ = run(*common, "--pool", "searched/labels.xyz", "--out", "pooled", "--quiet")
    assert code == 0 and "1 labels, of 1 structures" in out and "structure 0: forces were off by" in out


@pytest.mark.parametrize(
    "more, message",
    [
        (("--random", "Si4"), "--random needs --volume"),
        (("--structure", SILICON), "--structure needs --steps"),
        (("--random", "water?", "--volume", 20), "a formula such as Si4O8"),
        (("--random", "Si4", "--volume", -20), "volume"),
        (("--pool", "train.xyz", "--structure", SILICON), "not allowed with"),
        ((), "one of the arguments --structure --pool --random is required"),
    ],
)
def test_learn_takes_one_kind_of_new_structures(more, message, run, data):
    code, _, err = run("learn", "train.xyz", "--source", "sw-silicon", "--recipe", "small.toml", "--out", "x", *more)
    assert code == 2 and message in err and "Traceback" not in err


@pytest.mark.parametrize(
    "source, more, message",
    [
        ("nothing.here:X", (), "No module named 'nothing'"),
        ("ase.calculators.lj:Nobody", (), "no attribute 'Nobody'"),
        ("ase.calculators.lj:LennardJones:rc", (), "expected KEY=VALUE, got 'rc'"),
        ("ase.calculators.lj:LennardJones:rc=5", ("--structure", "diamond:Si"), "give its size"),
        ("sw-silicon", ("--threshold", -1), "threshold"),
    ],
)
def test_what_learn_refuses(source, more, message, run, data):
    code, _, err = run(
        "learn", "train.xyz", "--source", source, "--structure", SILICON, "--steps", 10, "--recipe", "small.toml",
        "--e0", "Si=0", "--out", "learned", *more,
    )
    assert code == 2 and message in err and "Traceback" not in err
