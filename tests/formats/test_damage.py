"""Files damaged at random are refused with a typed error, or read: nothing else happens."""

from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.descriptors import SymmetryFunctions
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.funcfl import read_funcfl
from jaxpot.formats.lammps_meam import read_meam
from jaxpot.formats.lammps_sw import read_sw
from jaxpot.formats.lammps_tersoff import read_tersoff
from jaxpot.formats.setfl import read_setfl, read_setfl_fs
from jaxpot.potentials import Constants, Described
from jaxpot.readouts import MLP, Neural

FILES = Path(__file__).parent / "files"


def damaged(data, rng):
    """One of: bytes replaced, a piece lost, a piece repeated, the end lost, digits turned into words."""
    data = bytearray(data)
    kind = rng.integers(5)
    a, b = sorted(rng.integers(0, len(data), 2))
    if kind == 0:
        for k in rng.integers(0, len(data), rng.integers(1, 4)):
            data[k] = rng.integers(0, 256)
    elif kind == 1:
        del data[a:min(b, a + 60)]
    elif kind == 2:
        data[a:a] = data[a:min(b, a + 60)]
    elif kind == 3:
        del data[a:]
    else:
        data[a:a + 3] = rng.choice([b"nan", b"inf", b"1e9", b"-1 ", b"0 0", b"\n\n\n", b"#  "])
    return bytes(data)


READERS = {
    "two_metals.eam.alloy": read_setfl,
    "two_metals.eam.fs": read_setfl_fs,
    "copper.eam": read_funcfl,
    "two_kinds.sw": read_sw,
    "two_kinds.tersoff": read_tersoff,
    "made_up.library.meam": partial(read_meam, species=("Si", "Mg", "AlX", "Fe", "H")),
    "two_kinds.meam": lambda path: read_meam(FILES / "made_up.library.meam", path, ("Si", "Mg")),
}


@pytest.mark.parametrize("name", READERS)
def test_damage(tmp_path, name):
    rng = np.random.default_rng(11)
    whole = (FILES / name).read_bytes()
    path = tmp_path / name
    refused = 0
    for _ in range(150):
        path.write_bytes(damaged(whole, rng))
        try:
            potential = READERS[name](path)
        except FormatError as error:
            refused += 1
            assert name in str(error)
        else:
            assert np.isfinite(potential.cutoff)
    assert refused > 50


def test_damage_of_a_folder(tmp_path):
    descriptor = SymmetryFunctions.automatic(("Si",), 4.0, 2, 1, "Si")
    width = descriptor.dimension
    lower, upper = np.zeros(width), np.linspace(1.0, 2.0, width)
    readout = Neural(MLP.random(0, width, (4,)), lower, 1.0 / upper, -1.0, 0.5, tuple(lower), tuple(upper))
    jp.save(Described(descriptor, readout, ("Si",)) + Constants({"Si": -5.0}), f"{tmp_path}/network/")
    folder, rng, refused = tmp_path / "network", np.random.default_rng(11), 0
    whole = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    for k in range(150):
        path = list(whole)[k % len(whole)]
        path.write_bytes(damaged(whole[path], rng))
        try:
            potential = jp.load(folder, units=None if k % 2 else "Angstrom eV")
        except (FormatError, DataError) as error:
            refused += 1
            assert "units" in str(error) or folder.name in str(error)
        else:
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(potential))
        path.write_bytes(whole[path])
    assert refused > 50
