"""`jaxpot vibrations`: its table, its JSON, and wrong input."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

import jaxpot as jp


@pytest.fixture
def run(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("dimer.xyz", Atoms("Cu2", [[0.0, 0.0, 0.0], [2.2, 0.0, 0.0]]))
    return call


def test_a_dimer_as_oscillator_and_as_gas(run):
    command = ("vibrations", "cleri-rosato-copper", "dimer.xyz", "--relax", "--temperature", 300)
    code, out, _ = run(*command, "--out", "modes.json", "--quiet")
    assert code == 0 and out.count("rotation") == 2 and "zero-point energy" in out and "free energy" in out
    with open("modes.json") as file:
        document = json.load(file)
    assert np.shape(document["modes"]) == (6, 2, 3) and document["kinds"].count("vibration") == 1
    nu = document["frequencies_THz"][5] * jp.units.THz
    assert document["zero_point_energy_eV"] == pytest.approx(0.5 * jp.units.h * nu, rel=1e-12)
    code, out, _ = run(*command, "--symmetry-number", 2, "--pressure-bar", 0.5, "--json")
    gas = json.loads(out)
    assert code == 0 and gas["frequencies_THz"] == document["frequencies_THz"] and "modes" not in gas
    assert gas["gibbs_energy_eV"][0] == pytest.approx(gas["enthalpy_eV"][0] - 300.0 * gas["entropy_eV_per_K"][0], rel=1e-12)


@pytest.mark.parametrize(("words", "says"), [
    (["--symmetry-number", 2], "--temperature"),
    (["--relax", "--free", 0], "--free"),
    (["--free", 7], "free: expected"),
    (["--free", 0, "--temperature", 300, "--symmetry-number", 1], "ideal gas"),
    (["--out", "nowhere/x.json"], "--out"),
])
def test_wrong_input(run, words, says):
    code, _, err = run("vibrations", "cleri-rosato-copper", "dimer.xyz", *words)
    assert code == 2 and says in err
