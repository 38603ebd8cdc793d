"""Row 15 of the reliability scoreboard: 10,000 damaged files of each format are refused with a typed error that names
the file, or give a finite potential; within 2 s and 200 MB + 4 times their size. Of what is accepted a hundred compute.

`pytest -m slow -n 0 -s tests/formats/test_fuzz.py` shows the figures.
"""

import bz2
import difflib
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from mutants import Outcome, computes, finite, mutated, network, watched
from test_ani import packed
from test_ani import write_model as write_ani
from test_chgnet import SETTINGS as CHGNET_SETTINGS
from test_chgnet import checkpoint as write_chgnet
from test_chgnet import state as chgnet_state
from test_nequix import arrays
from test_nequix import settings as nequix_settings
from test_nequix import written as write_nequix
from test_sevennet import checkpoint, settings, state
from torch_files import zipped

import jaxpot as jp
from jaxpot.core.save import MAGIC

FILES = Path(__file__).parent / "files"
COUNT = 10_000
COMPUTED = 100  # of those that are accepted: a few seconds each
LIBRARY, PARAMETERS = "made_up.library.meam", "two_kinds.meam"
CLASSICAL = tuple(f"with_{kind}.xml" for kind in ("LJ", "Morse", "SW", "Tersoff")) + ("core.xml",)


@dataclass
class Case:
    """What is written into a folder, how it is read, and how the files that are named (or all) get damaged."""

    write: Callable
    read: Callable
    changed: tuple = ()
    damage: Callable = mutated
    valid: Callable = finite
    potential: bool = True  # what is read has an energy


def copied(*names):
    return lambda folder: [shutil.copy(FILES / name, folder) for name in names]


def of_file(name, **options):
    return Case(copied(name), lambda folder: jp.load(folder / name, **options))


def meam(folder):
    return jp.load([folder / LIBRARY, folder / PARAMETERS], species=("Si", "Mg"))


def write_overlay(folder):
    snap = jp.load(FILES / "two_kinds.snapcoeff")
    jp.save(snap + jp.potentials.ZBL(3.0, 3.5, snap.species), folder / "TaW.snap")


def read_networks(folder):
    return jp.load(folder)


def write_networks(folder):
    jp.save(network(), f"{folder}/")


def write_core(name):
    """A GAP on a classical potential, and the sparse points beside it, which stay as they are."""

    def write(folder):
        shutil.copy(FILES / "gap" / name, folder)
        for side in (FILES / "gap").glob("core.xml.sparseX*"):
            shutil.copy(side, folder)

    return Case(write, lambda folder: jp.load(folder / name), (name,), damaged_core)


def damaged_core(data, rng):
    """The classical part is damaged, not the Gaussian process (`test_quip_xml` does that)."""
    begin, end = data.index(b"<Potential"), data.index(b"<GAP_params")
    return data[:begin] + mutated(data[begin:end], rng) + data[end:]


def write_saved(folder):
    jp.save(jp.load(FILES / "two_kinds.sw") + jp.potentials.Constants({"Si": -1.0, "Ge": -2.0}), folder / "sw.jaxpot")


def signed_anew(data, rng):
    """A header that is damaged, with hashes that fit: what then stands in it must be checked all the same."""
    length, _, rest = data.removeprefix(MAGIC).partition(b"\n")
    text, blob = mutated(rest[:int(length)], rng), rest[int(length):]
    try:
        header = json.loads(text)
        del header["header_sha256"]
    except (ValueError, KeyError, TypeError):
        header = {}
    header["header_sha256"] = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
    text = json.dumps(header).encode()
    return MAGIC + b"%d\n" % len(text) + text + blob


def repacked(data, rng):
    """One file in a zip file is damaged, most often the pickle, and its checksum fits."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    name = "data.pkl" if rng.random() < 0.8 else list(members)[rng.integers(len(members))]
    return zipped(members | {name: mutated(members[name], rng)})


def unpacked(data, rng):
    """What is packed in a file is damaged, most often, and packed again."""
    _, sign, rest = data.partition(b"=\n")
    if not sign or not rest.startswith(b"BZh") or rng.random() < 0.2:
        return mutated(data, rng)
    return packed(mutated(bz2.decompress(rest), rng))


def write_frames(folder):
    """Three frames with all labels, of which one is an isolated atom."""
    rng, frames = np.random.default_rng(0), []
    for k in range(3):
        atoms = ase.Atoms("Si", cell=[20.0] * 3, pbc=True) if k == 2 else ase.build.bulk("Si", cubic=True)
        atoms.rattle(0.1, seed=k)
        results = {"energy": rng.normal(), "forces": rng.normal(size=(len(atoms), 3)), "stress": rng.normal(size=6)}
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info["config_type"] = "isolated_atom" if k == 2 else "bulk"
        frames.append(atoms)
    ase.io.write(folder / "data.xyz", frames, format="extxyz")


def finite_frames(dataset):
    leaves = [leaf for f in dataset for leaf in (f.structure.positions, f.structure.cell, f.energy, f.forces, f.stress)]
    return all(np.isfinite(np.asarray(leaf)).all() for leaf in leaves if leaf is not None)


CASES = {
    "sw": of_file("two_kinds.sw"),
    "tersoff": of_file("two_kinds.tersoff"),
    "funcfl": of_file("copper.eam"),
    "setfl": of_file("two_metals.eam.alloy"),
    "setfl of pairs": of_file("two_metals.eam.fs"),
    "meam library": Case(copied(LIBRARY, PARAMETERS), meam, (LIBRARY,)),
    "meam parameters": Case(copied(LIBRARY, PARAMETERS), meam, (PARAMETERS,)),
    "n2p2": Case(write_networks, read_networks),
    **{f"QUIP {name}": write_core(name) for name in CLASSICAL},
    "saved": Case(write_saved, lambda folder: jp.load(folder / "sw.jaxpot")),
    # Numbers are where the header says, which may now be the middle of others.
    "saved, signed anew": Case(
        write_saved, lambda folder: jp.load(folder / "sw.jaxpot"), damage=signed_anew, valid=lambda found: True,
        potential=False,
    ),
    "nequix": Case(
        lambda folder: write_nequix(folder / "small.nqx", nequix_settings(), arrays()),
        lambda folder: jp.load(folder / "small.nqx"),
    ),
    "sevennet": Case(
        lambda folder: checkpoint(folder, state(), settings()), lambda folder: jp.load(folder / "small.pth"),
        damage=repacked,
    ),
    "chgnet": Case(
        lambda folder: write_chgnet(folder, chgnet_state(), CHGNET_SETTINGS),
        lambda folder: jp.load(folder / "small.pth.tar"), damage=repacked,
    ),
    "snap": Case(copied("two_kinds.snapcoeff", "two_kinds.snapparam"), lambda f: jp.load(f / "two_kinds.snapcoeff")),
    "snap, quadratic": Case(
        copied("quadratic.snapcoeff", "quadratic.snapparam"), lambda folder: jp.load(folder / "quadratic.snapparam")
    ),
    "snap with zbl": Case(write_overlay, lambda folder: jp.load(folder / "TaW.snap"), ("TaW.snap",)),
    "ace": of_file("two_kinds.yace"),
    "ace, embedded": of_file("embedded.yace"),
    "ace, older text": of_file("embedded.ace"),
    "nep": of_file("one_kind.nep"),
    "nep with zbl of pairs": of_file("flexible.nep"),
    "mtp": of_file("two_kinds.mtp", species=("Ta", "W")),
    "ani": Case(lambda folder: write_ani(folder, 1), lambda folder: jp.load(folder, member=0), damage=unpacked),
    "extxyz": Case(
        write_frames, lambda folder: jp.read_dataset(folder / "data.xyz", e0="least squares"), valid=finite_frames,
        potential=False,
    ),
}


def files_of(folder):
    """Name, with folders -> contents."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def fuzz(case, count, folder, seed):
    """(what became of `count` mutants, those that were accepted: [(name, bytes)])."""
    rng, outcome, accepted = np.random.default_rng(seed), Outcome(), []
    case.write(folder)
    whole = files_of(folder)
    names = case.changed or tuple(whole)
    assert case.valid(case.read(folder))
    for _ in range(count):
        name = names[rng.integers(len(names))]
        data = case.damage(whole[name], rng)
        (folder / name).write_bytes(data)
        before = len(outcome.wrong)
        found = watched(partial(case.read, folder), len(data), (*whole, str(folder)), outcome)
        if found is not None and not case.valid(found):
            outcome.wrong.append(("accepted", "not finite"))
        elif found is not None and data != whole[name]:
            accepted.append((name, data))
        if len(outcome.wrong) > before:
            outcome.wrong[-1] = (*outcome.wrong[-1], name, data)
        (folder / name).write_bytes(whole[name])
    chosen = rng.permutation(len(accepted))[:COMPUTED]
    return outcome, [accepted[k] for k in chosen]


def changed_lines(name, data, whole):
    """For messages: the lines that differ."""
    lines = [text.decode("latin-1").splitlines() for text in (whole, data)]
    return name, [line[:120] for line in difflib.unified_diff(*lines, lineterm="", n=0)][3:9]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_row_15_fuzzing(name, tmp_path):
    case = CASES[name]
    outcome, accepted = fuzz(case, COUNT, tmp_path, seed=15)
    whole = files_of(tmp_path)
    wrong = [(*what, *changed_lines(file, data, whole[file])) for *what, file, data in outcome.wrong]
    for file, data in accepted if case.potential else ():
        (tmp_path / file).write_bytes(data)
        if not computes(case.read(tmp_path), outcome):
            wrong.append(("accepted", "no energy or forces", *changed_lines(file, data, whole[file])))
        (tmp_path / file).write_bytes(whole[file])
    print(
        f"\n{name}: {outcome.tried} mutants, {outcome.refused} refused, {outcome.accepted} accepted, slowest "
        f"{outcome.slowest:.2f} s, memory {outcome.memory / 1e6:.0f} MB; {outcome.computed} computed, of which "
        f"{outcome.declined} refused; {len(wrong)} wrong"
    )
    assert not wrong, (len(wrong), wrong[:5])
    assert 0.05 * COUNT < outcome.refused and outcome.tried == COUNT
