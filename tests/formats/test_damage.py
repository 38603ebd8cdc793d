"""Files damaged at random are refused with a typed error, or read: nothing else happens.

`test_fuzz` is the long form.
"""

from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from mutants import Outcome, finite, mutated, network, watched

import jaxpot as jp
from jaxpot.errors import FormatError
from jaxpot.formats.funcfl import read_funcfl
from jaxpot.formats.lammps_meam import read_meam
from jaxpot.formats.lammps_sw import read_sw
from jaxpot.formats.lammps_tersoff import read_tersoff
from jaxpot.formats.mtp import read_mtp
from jaxpot.formats.setfl import read_setfl, read_setfl_fs

FILES = Path(__file__).parent / "files"


READERS = {
    "two_metals.eam.alloy": read_setfl,
    "two_metals.eam.fs": read_setfl_fs,
    "copper.eam": read_funcfl,
    "two_kinds.sw": read_sw,
    "two_kinds.tersoff": read_tersoff,
    "made_up.library.meam": partial(read_meam, species=("Si", "Mg", "AlX", "Fe", "H")),
    "two_kinds.mtp": partial(read_mtp, species=("Ta", "W")),
    "two_kinds.meam": lambda path: read_meam(FILES / "made_up.library.meam", path, ("Si", "Mg")),
}


@pytest.mark.parametrize("name", READERS)
def test_damage(tmp_path, name):
    rng, outcome = np.random.default_rng(11), Outcome()
    whole = (FILES / name).read_bytes()
    path = tmp_path / name
    for _ in range(100):
        data = mutated(whole, rng)
        path.write_bytes(data)
        potential = watched(lambda: READERS[name](path), len(data), (name,), outcome)
        assert potential is None or finite(potential), data
    assert not outcome.wrong and outcome.refused > 30 and outcome.accepted > 10


def test_damage_of_a_folder(tmp_path):
    jp.save(network(), f"{tmp_path}/network/")
    folder, rng, outcome = tmp_path / "network", np.random.default_rng(11), Outcome()
    whole = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    for k in range(100):
        path = list(whole)[k % len(whole)]
        data = mutated(whole[path], rng)
        path.write_bytes(data)
        units = None if k % 2 else "Angstrom eV"
        potential = watched(partial(jp.load, folder, units=units), len(data), ("units", folder.name), outcome)
        assert potential is None or finite(potential), data
        path.write_bytes(whole[path])
    assert not outcome.wrong and outcome.refused > 30 and outcome.accepted > 10


# Each was found by `test_fuzz`: (the file, what is replaced, by what, what is said then).
FOUND = {
    "a letter whose second byte ends a line": ("two_kinds.sw", "# centre", "# 5 \u00c5 from the centre", None),
    "digits in groups": ("two_kinds.sw", "9.52380952", "9_5.2380952", "lambda: expected a number, got '9_5.2380952'"),
    "counts in groups": ("two_metals.eam.alloy", "60 0.32", "6_0 0.32", "n_rho: expected a whole number, got '6_0'"),
    "a number too large": ("two_kinds.sw", "9.52380952", "1e308", "lambda: expected a number up to 1e\\+50 in size"),
    "an exponent too large": ("two_kinds.sw", "7 0.6 4", "7 0.6 1e30", "p: expected an exponent up to 1000"),
    "a step too small": ("two_metals.eam.alloy", "0.045", "1e-320", "dr: expected a positive number, 1e-30 or more"),
    "steps too large": ("copper.eam", " 0.06 ", " 1e308 ", "dr: expected a number up to"),
    "too short a table": (
        "copper.eam", None, "x\n29 63.5 3.6 fcc\n5 1.0 6 1.0 5.0\n" + "1 " * 5 + "\n" + ("0 " * 6 + "\n") * 2,
        "at least 5 points",
    ),
    "a divisor too small": ("two_kinds.tersoff", None, "Si Si Si 3 1 0 4.8 1e-320 0 22 .3 1.3 95 3 .2 3.2 3264\n",
                            "d: expected a number above 0"),
    "a power too small": ("two_kinds.tersoff", None, "Si Si Si 3 1 0 4.8 2 0 1e-320 .3 1.3 95 3 .2 3.2 3264\n",
                          "n: expected a number above 0 where B is not 0"),
}


@pytest.mark.parametrize("what", FOUND)
def test_found(tmp_path, what):
    name, old, new, says = FOUND[what]
    text = (FILES / name).read_text()
    assert old is None or old in text
    (tmp_path / name).write_bytes((new if old is None else text.replace(old, new)).encode())
    if says is None:
        assert jax.tree.structure(READERS[name](tmp_path / name)) == jax.tree.structure(READERS[name](FILES / name))
        return
    with pytest.raises(FormatError, match=says) as caught:
        READERS[name](tmp_path / name)
    assert name in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("old, new, says", [
    ("symfunction_short Si 2", "symfunction_short Si \xb2", "of type '\xb2' are not supported"),
    (" 4.0\n", " 1e-200\n", "cutoff: expected a positive length"),
])
def test_found_in_folders(tmp_path, old, new, says):
    jp.save(network(), f"{tmp_path}/network/")
    path = tmp_path / "network" / "input.nn"
    path.write_text(path.read_text().replace(old, new, 1), encoding="latin-1")
    with pytest.raises(FormatError, match=says):
        jp.load(tmp_path / "network")
