"""`jaxpot analyse` and `jaxpot md --observe`: what they write, that they agree, and wrong input of each kind."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

import jaxpot as jp
from jaxpot.report.run_summary import summary, summary_text

PNG = b"\x89PNG"


@pytest.fixture
def run(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return call


def walk(path, frames=120, momenta=True, time=True):
    """A random walk of two elements."""
    rng = np.random.default_rng(0)
    places = np.cumsum(rng.normal(size=(frames, 8, 3)) * 0.1, axis=0)
    shown = []
    for k, positions in enumerate(places):
        atoms = Atoms("Li4O4", positions=positions + bulk("LiO", "rocksalt", a=4.0, cubic=True).positions, cell=[4.0] * 3, pbc=True)
        if momenta:
            atoms.set_momenta(rng.normal(size=(8, 3)))
        if time:
            atoms.info["time_fs"] = 10.0 * k
        shown.append(atoms)
    write(path, shown)


def test_md_observes_and_analyse_agrees(run, tmp_path):
    code, out, err = run(
        "md", "sw-silicon", "diamond:Si:a=5.431", "--supercell", 1, 1, 2, "--temperature", 300, "--steps", 600, "--every", 5,
        "--observe", "rdf", "msd", "vdos", "--vdos-every", 5, "--out", "hot", "--json",
    )
    document = json.loads(out)
    assert code == 0 and document["files"] == [f"{x}.{y}" for x in ("rdf", "msd", "vdos") for y in ("txt", "png")]
    assert set(document) >= {"pressure_GPa", "pressure_GPa_sd", "equilibrated_from_ps", "temperature_K_sd", "diffusion"}
    code, out, _ = run("analyse", "hot/frames.xyz", "--out", "seen", "--quiet")
    assert code == 0 and "121 frames of 4 atoms (Si), one in 5 fs, 0.6 ps" in out and "4.000 Si around Si" in out
    for name in ("rdf", "msd", "vdos"):
        one, two = (np.loadtxt(tmp_path / folder / f"{name}.txt") for folder in ("hot", "seen"))
        np.testing.assert_allclose(one, two, atol=1e-4 if name != "rdf" else 0.3)
        assert (tmp_path / "seen" / f"{name}.png").read_bytes().startswith(PNG)
    whole = json.loads((tmp_path / "seen" / "analysis.json").read_text())
    assert whole["frames"] == 121 and len(whole["rdf"]["g"]) == 200 and whole["interval_ps"] == pytest.approx(0.005)


def test_observers_go_on_after_an_interruption(run, tmp_path, monkeypatch):
    """The tables of a run that was interrupted are those of one that was not, to the last byte."""
    from jaxpot.md import host

    command = (
        "md", "sw-silicon", "diamond:Si:a=5.431", "--temperature", 300, "--steps", 120, "--every", 5, "--supercell", 1, 1, 2,
        "--observe", "vdos", "rdf", "msd", "--quiet", "--ensemble", "nve",
    )
    assert run(*command, "--out", "whole")[0] == 0
    look = jp.md.RadialDistribution.look

    def stop(self, dynamics, state):
        if int(state.step) == 70:
            raise KeyboardInterrupt
        return look(self, dynamics, state)

    with monkeypatch.context() as patch:
        patch.setattr(host, "_EVERY", 0.0)
        patch.setattr(host, "_SHARE", 1e9)
        patch.setattr(jp.md.RadialDistribution, "look", stop)
        assert run(*command, "--out", "cut")[0] == 130
    assert (tmp_path / "cut" / "run.checkpoint").exists() and not (tmp_path / "cut" / "rdf.txt").exists()
    assert run(*command, "--out", "cut")[0] == 0
    for name in ("rdf.txt", "msd.txt", "vdos.txt", "rdf.png", "thermo.txt", "frames.xyz"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_analyse_says_what_cannot_be_computed(run, tmp_path):
    walk(tmp_path / "bare.xyz", momenta=False, time=False)
    code, out, err = run("analyse", "bare.xyz", "--json")
    document = json.loads(out)
    assert code == 0 and document["rdf"] and document["msd"] is None and document["vdos"] is None
    assert "--time-step-fs" in document["notes"]["msd"][0] and "no velocities" in document["notes"]["vdos"][0]
    assert "distances" in err and not list(tmp_path.glob("*/"))
    code, out, _ = run("analyse", "bare.xyz", "--time-step-fs", 10, "--start", 10, "--json", "--quiet")
    coefficients = json.loads(out)["diffusion"]
    assert set(coefficients) == {"all", "Li", "O"}
    known = 0.1**2 / (2.0 * 10.0) * 1e-16 / 1e-15  # width^2 / (2 time), A^2/fs in cm2/s
    assert coefficients["all"]["D_cm2_per_s"] == pytest.approx(known, rel=0.5)
    assert coefficients["all"]["D_cm2_per_s_sd"] < 0.5 * known


@pytest.mark.parametrize(
    "words, message",
    [
        (("none.xyz",), "none.xyz: no such file"),
        (("walk.xyz", "--skip-ps", 5), "5 ps are to be left out, and there are 120 frames, 1.19 ps"),
        (("walk.xyz", "--start", 120), "120 frames are to be left out"),
        (("walk.xyz", "--start", -1), "start"),
        (("walk.xyz", "--skip-ps", 1, "--start", 1), "not allowed with"),
        (("walk.xyz", "--cutoff", 0), "cutoff: expected a positive length"),
        (("walk.xyz", "--time-step-fs", 0), "interval: expected a positive time"),
        (("walk.xyz", "--bins", 0), "--bins"),
        (("timeless.xyz", "--skip-ps", 1), "--time-step-fs"),
        (("walk.xyz", "--out", "walk.xyz"), "there is a file of that name"),
    ],
)
def test_what_analyse_refuses(words, message, run, tmp_path):
    walk(tmp_path / "walk.xyz")
    walk(tmp_path / "timeless.xyz", 3, time=False)
    code, out, err = run("analyse", *words)
    assert code == 2 and message in err and "Traceback" not in err and out == ""


def test_looks_beyond_memory_are_refused_before_the_run(run):
    code, _, err = run(
        "md", "sw-silicon", "diamond:Si:a=5.431", "--temperature", 300, "--steps", 10**9, "--observe", "vdos", "--out", "x",
    )
    assert code == 2 and "--vdos-every" in err and "GB" in err


def table(rows, drift):
    rng, late = np.random.default_rng(0), np.exp(-np.arange(rows) / 30.0)
    noise = lambda width: width * rng.normal(size=rows)  # noqa: E731
    return {
        "step": 100 * np.arange(rows), "time_ps": 0.1 * np.arange(rows), "temperature_K": 300.0 + noise(9.0),
        "potential_eV": -40.0 + noise(0.2) + drift * late, "conserved_eV": noise(1e-6),
        "pressure_GPa": 0.5 + noise(2.0), "volume_A3": 200.0 + noise(1.0),
    }


def test_the_summary_of_md_has_errors_and_leaves_out_the_beginning():
    document = summary(table(400, 5.0), 10)
    assert 6.0 < document["equilibrated_from_ps"] < 20.0
    assert document["potential_eV_per_atom"] == pytest.approx(-4.0, abs=0.01)
    assert document["pressure_GPa_sd"] == pytest.approx(2.0 / 300**0.5, rel=0.4)
    assert abs(document["pressure_GPa"] - 0.5) < 4 * document["pressure_GPa_sd"]
    text = summary_text(document)
    assert f"pressure {document['pressure_GPa']:.3f} ± {document['pressure_GPa_sd']:.3f} GPa" in text
    assert f"means from {document['equilibrated_from_ps']:.4g} ps on" in text
    short = summary(table(7, 0.0), 10)
    assert short["equilibrated_from_ps"] is None and short["pressure_GPa_sd"] is None
    assert "too short to tell" in summary_text(short) and "±" not in summary_text(short)


def test_the_summary_of_a_molecule_has_no_pressure():
    rows = table(50, 0.0) | {"pressure_GPa": np.full(50, np.nan), "volume_A3": np.zeros(50)}
    document = summary(rows, 10)
    assert document["pressure_GPa"] is None and document["volume_per_atom_A3"] is None
    assert "GPa" not in summary_text(document) and "A3" not in summary_text(document)
