"""Energies, forces, stresses that LAMMPS gave, kept in reference.json (see benchmarks/parity_lammps.py)."""

import json
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxpot.core.neighbors import neighbors
from jaxpot.core.structure import Structure
from jaxpot.formats.funcfl import read_funcfl
from jaxpot.formats.lammps_meam import read_meam
from jaxpot.formats.lammps_snap import read_snap
from jaxpot.formats.lammps_sw import read_sw
from jaxpot.formats.lammps_tersoff import read_tersoff
from jaxpot.formats.setfl import read_setfl, read_setfl_fs
from jaxpot.observables import evaluate
from jaxpot.potentials.buckingham import Buckingham
from jaxpot.potentials.lennard_jones import LennardJones
from jaxpot.potentials.morse import Morse
from jaxpot.potentials.stillinger_weber import StillingerWeber
from jaxpot.potentials.wang_frenkel import WangFrenkel
from jaxpot.potentials.zbl import ZBL

HERE = Path(__file__).parent
FILES = HERE.parent / "formats" / "files"
LIBRARY = FILES / "made_up.library.meam"
RECORDS = json.loads((HERE / "reference.json").read_text())
ROWS = 8

POTENTIALS = {
    "lj/cut": lambda: LennardJones(0.4, 2.3, 6.0),
    "lj/cut, two species": lambda: LennardJones(
        [[0.40, 0.35], [0.35, 0.30]], [[2.3, 2.4], [2.4, 2.5]], 5.5, species=("Cu", "Ag")
    ),
    "buck, two species": lambda: Buckingham(
        [[900.0, 1300.0], [1300.0, 2000.0]], [[0.29, 0.30], [0.30, 0.31]], [[9.0, 15.0], [15.0, 27.0]], 5.5,
        species=("Mg", "O"),
    ),
    "wf/cut, two species": lambda: WangFrenkel(
        [[0.40, 0.35], [0.35, 0.30]], [[2.3, 2.4], [2.4, 2.5]], [[4.6, 4.9], [4.9, 5.2]], nu=1, mu=2, species=("Cu", "Ag")
    ),
    "morse, two species": lambda: Morse(
        [[0.40, 0.35], [0.35, 0.30]], [[1.3, 1.4], [1.4, 1.5]], [[2.5, 2.6], [2.6, 2.7]], 5.5, species=("Cu", "Ag")
    ),
    "zbl": lambda: ZBL(2.0, 3.5),
    "sw Si": StillingerWeber.silicon,
    "sw made-up": lambda: read_sw(FILES / "two_kinds.sw"),
    "tersoff made-up": lambda: read_tersoff(FILES / "two_kinds.tersoff"),
    "eam/alloy made-up": lambda: read_setfl(FILES / "two_metals.eam.alloy"),
    "eam/fs made-up": lambda: read_setfl_fs(FILES / "two_metals.eam.fs"),
    "eam made-up": lambda: read_funcfl(FILES / "copper.eam"),
    "meam made-up, Si": lambda: read_meam(LIBRARY, species="Si"),
    "meam made-up, Si Mg": lambda: read_meam(LIBRARY, FILES / "two_kinds.meam", ("Si", "Mg")),
    "meam made-up, AlX Fe H": lambda: read_meam(LIBRARY, FILES / "three_kinds.meam", ("AlX", "Fe", "H")),
    **{f"snap made-up, {path.stem}": partial(read_snap, path) for path in sorted(FILES.glob("*.snapcoeff"))},
    "eam made-up, alloy": lambda: read_funcfl(FILES / "copper.eam", FILES / "nickel.eam"),
}


@pytest.mark.parametrize("case", POTENTIALS)
def test_lammps(case):
    potential = POTENTIALS[case]()
    records = [record for record in RECORDS if record["case"] == case]
    assert len(records) >= 4
    structures = [Structure(r["positions"], r["cell"], r["symbols"]) for r in records]
    # One compiled program for all: the same number of rows, and of neighbours in a row.
    capacity = max(neighbors(s, potential.cutoff).capacity for s in structures)
    run = jax.jit(evaluate)
    for record, structure in zip(records, structures, strict=True):
        padded = structure.padded(ROWS)
        found = run(potential, padded, neighbors(padded, potential.cutoff, rows=ROWS, capacity=capacity))
        count = len(structure)
        forces, stress = np.array(record["forces"]), np.array(record["stress"])
        assert abs(found.energy - record["energy"]) <= 1e-10 * max(abs(record["energy"]), 0.01 * count)
        assert np.abs(found.forces[:count] - forces).max() <= 1e-10 * max(np.abs(forces).max(), 0.01)
        assert np.abs(found.stress - stress).max() <= 1e-10 * max(np.abs(stress).max(), 1e-4)


def test_every_record_is_used():
    assert {record["case"] for record in RECORDS} == set(POTENTIALS)
