"""Inputs of LAMMPS that nobody has written: random ones against `jp.evaluate`, wrong ones that must be one sentence, and NEB.

    pytest -m slow -n 0 -s tests/interop/test_lammps_inputs.py
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lammps_fuzz import IN_BUNDLES, KINDS, bundle_of, kind
from lammps_wrong import WRONG
from test_lammps import INPUT, command, needs_compiler  # noqa: F401  # a fixture

import jaxpot as jp
from jaxpot.cli.main import main
from jaxpot.errors import DataError
from jaxpot.interop.lammps import script

FOLDER = Path(__file__).parent
CLOSE = 1e-11
SEEDS = {1: range(100, 122, 3), 2: range(22)}  # ranks -> cases; 22 are every potential in every way


def run(folder, ranks, program, *words):
    """Run a program of this folder on so many ranks; its JSON."""
    start = [str(Path(sys.prefix) / "bin" / "mpiexec"), "-n", str(ranks)] if ranks > 1 else []
    out = folder / f"{program}{ranks}.json"
    environment = os.environ | {"PJRT_NPROC": "1", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [*start, sys.executable, str(FOLDER / program), str(out), *map(str, words)], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    for name in IN_BUNDLES:
        make, structure = kind(name)
        jp.lammps.export(make(), folder / bundle_of(name), structure, atoms=300, neighbors=150)
    return folder


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_random_inputs_are_equal_to_an_evaluation(bundles, ranks):
    pytest.importorskip("lammps_jax_pjrt_cpu")
    cases = run(bundles, ranks, "lammps_fuzz.py", *SEEDS[ranks])
    assert ranks == 1 or {case["model"] for case in cases} == set(KINDS)
    rows = [(case, step, result) for case in cases for step, result in case["steps"]]
    failed = [case for case in cases if "failed" in case]
    assert not failed, failed
    wrong = [
        (case["seed"], case["model"], case["way"], step, result) for case, step, result in rows
        if not max(result["energy"], result["forces"], result.get("virial", 0.0)) < CLOSE
    ]
    worst = {key: max(result.get(key, 0.0) for *_, result in rows) for key in ("energy", "forces", "virial")}
    print(f"{ranks} ranks, {len(rows)} comparisons, largest differences {worst}")
    assert not wrong, wrong


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What LAMMPS of one process says to each of the wrong inputs; None where it says nothing."""
    return run(tmp_path_factory.mktemp("wrong"), 1, "lammps_wrong.py")


@needs_compiler
@pytest.mark.thorough
@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs_are_one_sentence(said, name):
    sentence, message = said[name], WRONG[name][1]
    assert sentence is not None, "a silent number"
    assert message in sentence and "Traceback" not in sentence and "ERROR" not in sentence
    assert "\n" not in sentence and "pair_jaxpot.cpp" not in sentence


@needs_compiler
@pytest.mark.thorough
@pytest.mark.parametrize("words", [("--model", "nowhere.model", "--elements", "Si"), ("--model", "sw-silicon")])
def test_what_all_ranks_know_is_said_once(command, words):  # noqa: F811
    code, _, err = command(INPUT.replace("pair_style jaxpot", "pair_style zero 4.0"), *words, "--quiet", ranks=2)
    assert code == 2 and err.count("jaxpot: ") == 1 and "Traceback" not in err, err


@needs_compiler
@pytest.mark.thorough
def test_a_pair_style_of_an_included_file(command, tmp_path):  # noqa: F811
    lines = "pair_style jaxpot\npair_coeff * * sw-silicon Si\n"
    (tmp_path / "potential.mod").write_text(lines)
    code, out, err = command(INPUT.replace(lines, "include potential.mod\n"), "--json", "--", "-log", "none")
    assert code == 0 and json.loads(out)["atoms"] == 64, err


VACUUM = """units metal
boundary p p f
processors 1 1 2
lattice diamond 5.431
region box block 0 2 0 2 0 16
region low block 0 2 0 2 1 2
create_box 1 box
create_atoms 1 region low
mass 1 28.0855
pair_style zero 4.0
pair_coeff * *
thermo_style custom step pe
thermo_modify format float %.12f
run 0
"""


@needs_compiler
@pytest.mark.thorough
def test_a_rank_without_atoms(command):  # noqa: F811
    plugin = VACUUM.replace("style zero 4.0", "style jaxpot").replace("coeff * *", "coeff * * sw-silicon Si")
    energies = []
    for text, words in ((VACUUM, ("--model", "sw-silicon", "--elements", "Si")), (plugin, ())):
        code, out, err = command(text, *words, "--", "-log", "none", ranks=2)
        assert code == 0, err
        energies += [float(line.split()[1]) for line in out.splitlines() if line.split()[:1] == ["0"]]
    assert energies[0] == pytest.approx(energies[1], rel=1e-12) and energies[0] < -10.0


@pytest.mark.parametrize(("line", "message"), [
    ("clear", "`clear` behind its pair_coeff would end it"),
    ("pair_style zero 5.0", "would end it: split the input"),
    ("unfix jaxpot", "would end it"),
    ("comm_modify mode single cutoff 1.0", "atoms would be missing"),
    ("neighbor 4.0 bin", "skin of 2 A at most"),
    ("neighbor ${skin} bin", "skin of 2 A at most"),
])
def test_what_would_end_a_model_by_fix_external_is_refused(tmp_path, monkeypatch, capsys, line, message):
    monkeypatch.chdir(tmp_path)
    text = INPUT.replace("pair_style jaxpot", "pair_style zero 4.0").replace("sw-silicon Si", "")
    (tmp_path / "in.lammps").write_text(text.replace("run 0", f"run 0\n{line}\nrun 0"))
    assert main(["lammps", "in.lammps", "--model", "sw-silicon", "--elements", "Si"]) == 2
    assert message in capsys.readouterr().err


def test_lines_that_a_model_by_fix_external_can_stand():
    lines = "neighbor 1.0 bin\nclear\npair_style zero 5.0\npair_coeff * *\nneighbor 2.0 bin\ncomm_modify vel yes\nrun 0\n"
    script.check_stays(script.cut_at_zero(lines))
    with pytest.raises(DataError, match="skin"):
        script.check_stays(script.cut_at_zero(lines.replace("1.0", "3.0")))
    assert script.goes_elsewhere("include a") and script.goes_elsewhere("pair_style ${s}")
    assert not script.goes_elsewhere("pair_style zero 5.0\nprint ${s}\n")


def test_a_bundle_is_no_model_of_fix_external(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "si.bundle").write_text("jaxpot bundle 1\n")
    (tmp_path / "in.lammps").write_text("units metal\npair_style zero 4.0\npair_coeff * *\n")
    assert main(["lammps", "in.lammps", "--model", "si.bundle", "--elements", "Si"]) == 2
    assert "name it in pair_coeff * * si.bundle Si, and leave --model out" in capsys.readouterr().err


NEB = """units metal
atom_modify map array sort 0 0.0
lattice diamond 5.431
region box block 0 2 0 2 0 2
create_box 1 box
create_atoms 1 box
mass 1 28.0855
group hole id 1
delete_atoms group hole compress no
pair_style jaxpot
pair_coeff * * sw-silicon Si
variable i world 1 2 3
thermo_style custom step pe
thermo_modify format float %.17g
fix path all neb 1.0
min_style quickmin
timestep 0.01
neb 0.0 0.05 60 40 20 final moved.txt
unfix path
run 0
write_dump all custom image.$i.dump id x y z modify sort id format float %.17g
variable e equal pe
print "$(v_e:%.17g)" file image.$i.energy
"""


@needs_compiler
@pytest.mark.slow
def test_images_of_a_hop_have_our_energies(command, tmp_path):  # noqa: F811
    """A neighbour moves into a vacancy, on three ranks with an image each."""
    (tmp_path / "moved.txt").write_text("1\n2 0.0 0.0 0.0\n")
    code, _, err = command(NEB, "--quiet", "--", "-log", "neb.log", "-partition", "3x1", ranks=3)
    assert code == 0, err
    potential, energies = jp.load("sw-silicon"), []
    for image in (1, 2, 3):
        lines = (tmp_path / f"image.{image}.dump").read_text().splitlines()
        low, high = np.array([line.split() for line in lines[5:8]], float).T
        positions = np.array([line.split()[1:] for line in lines[9:]], float)
        ours = float(jp.evaluate(potential, jp.Structure(positions, np.diag(high - low), [14] * len(positions))).energy)
        theirs = float((tmp_path / f"image.{image}.energy").read_text())
        assert len(positions) == 63 and theirs == pytest.approx(ours, rel=1e-10)
        energies.append(ours)
    last = (tmp_path / "neb.log").read_text().split("\n")
    last = [line.split() for line in last if line.split() and line.split()[0].isdigit()][-1]
    assert energies[1] > energies[0] + 0.1, "a barrier"
    assert [float(word) for word in last[10::2][:3]] == pytest.approx(energies, rel=1e-7)
