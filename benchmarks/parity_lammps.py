"""Do jaxpot's classical potentials give LAMMPS's numbers? Live comparison, to 1e-10 relative.

Every pair style is tried on rattled, strained (triclinic), left-handed and alloyed cells, on cells smaller
than the cutoff, on an isolated atom, and on many pairs at random distances up to beyond the cutoff.

    python benchmarks/parity_lammps.py            # the table; exit code 1 if anything differs
    python benchmarks/parity_lammps.py --store    # also writes tests/potentials/reference.json

Errors are relative to the largest energy per cell, force and stress component of LAMMPS, or to 0.01 eV per
atom, 0.01 eV/A and 1e-4 eV/A^3 where those are smaller (a perfect crystal has no forces).
"""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import lammps_peer
import numpy as np
from ase import Atoms
from ase.build import bulk

from jaxpot.core.neighbors import neighbors
from jaxpot.formats.funcfl import read_funcfl
from jaxpot.formats.lammps_sw import read_sw
from jaxpot.formats.lammps_tersoff import read_tersoff
from jaxpot.formats.setfl import read_setfl, read_setfl_fs
from jaxpot.observables import evaluate
from jaxpot.potentials.base import Potential
from jaxpot.potentials.buckingham import Buckingham
from jaxpot.potentials.lennard_jones import LennardJones
from jaxpot.potentials.morse import Morse
from jaxpot.potentials.stillinger_weber import StillingerWeber
from jaxpot.potentials.wang_frenkel import WangFrenkel
from jaxpot.potentials.zbl import ZBL

ROOT = Path(__file__).parents[1]
FILES = ROOT / "tests" / "formats" / "files"
REFERENCE = ROOT / "tests" / "potentials" / "reference.json"
TOLERANCE = 1e-10


@dataclass
class Case:
    """One potential on both sides, and the crystals it is tried on."""

    name: str
    potential: Potential
    style: str
    coefficients: list
    species: list
    lattice: str = "fcc"
    a: float = 4.0
    tolerance: float = TOLERANCE
    stored: bool = False


def cases(scratch):
    """All cases; files that have to be made go to the folder `scratch`."""
    folder = lammps_peer.potentials_folder()
    found = [
        Case("lj/cut", LennardJones(0.4, 2.3, 6.0), "lj/cut 6.0", ["* * 0.4 2.3"], ["Cu"],
             a=3.6, stored=True),
        Case(
            "lj/cut, two species",
            LennardJones([[0.40, 0.35], [0.35, 0.30]], [[2.3, 2.4], [2.4, 2.5]], 5.5, species=("Cu", "Ag")),
            "lj/cut 5.5",
            ["1 1 0.40 2.3", "1 2 0.35 2.4", "2 2 0.30 2.5"],
            ["Cu", "Ag"],
            a=3.8,
            stored=True,
        ),
        Case(
            "buck, two species",
            Buckingham([[900.0, 1300.0], [1300.0, 2000.0]], [[0.29, 0.30], [0.30, 0.31]], [[9.0, 15.0], [15.0, 27.0]],
                       5.5, species=("Mg", "O")),
            "buck 5.5", ["1 1 900.0 0.29 9.0", "1 2 1300.0 0.30 15.0", "2 2 2000.0 0.31 27.0"], ["Mg", "O"],
            a=4.2, stored=True,
        ),
        Case(
            "wf/cut, two species",
            WangFrenkel([[0.40, 0.35], [0.35, 0.30]], [[2.3, 2.4], [2.4, 2.5]], [[4.6, 4.9], [4.9, 5.2]], nu=1, mu=2,
                        species=("Cu", "Ag")),
            "wf/cut 5.2", ["1 1 0.40 2.3 1 2 4.6", "1 2 0.35 2.4 1 2 4.9", "2 2 0.30 2.5 1 2 5.2"], ["Cu", "Ag"],
            a=3.8, stored=True,
        ),
        Case(
            "morse, two species",
            Morse([[0.40, 0.35], [0.35, 0.30]], [[1.3, 1.4], [1.4, 1.5]], [[2.5, 2.6], [2.6, 2.7]], 5.5,
                  species=("Cu", "Ag")),
            "morse 5.5", ["1 1 0.40 1.3 2.5", "1 2 0.35 1.4 2.6", "2 2 0.30 1.5 2.7"], ["Cu", "Ag"], a=3.8, stored=True,
        ),
        Case("zbl", ZBL(2.0, 3.5), "zbl 2.0 3.5", ["1 1 14 14", "1 2 14 29", "2 2 29 29"], ["Si", "Cu"],
             a=3.4, stored=True),
        Case("zbl, named species", ZBL(3.0, 4.0, species=("W", "H")), "zbl 3.0 4.0",
             ["1 1 74 74", "1 2 74 1", "2 2 1 1"], ["W", "H"], a=3.2),
        Case("sw Si", StillingerWeber.silicon(), "sw", [f"* * {folder}/Si.sw Si"], ["Si"],
             "diamond", 5.431, stored=True),
        Case("sw made-up", read_sw(FILES / "two_kinds.sw"), "sw", [f"* * {FILES}/two_kinds.sw Si Ge"],
             ["Si", "Ge"], "diamond", 5.5, stored=True),
        Case("tersoff made-up", read_tersoff(FILES / "two_kinds.tersoff"), "tersoff",
             [f"* * {FILES}/two_kinds.tersoff Si C"], ["Si", "C"], "diamond", 4.6, stored=True),
        Case("eam/alloy made-up", read_setfl(FILES / "two_metals.eam.alloy"), "eam/alloy",
             [f"* * {FILES}/two_metals.eam.alloy Ni Al"], ["Ni", "Al"], a=3.7, stored=True),
        Case("eam/fs made-up", read_setfl_fs(FILES / "two_metals.eam.fs"), "eam/fs",
             [f"* * {FILES}/two_metals.eam.fs Fe Zr"], ["Fe", "Zr"], a=3.9, stored=True),
        Case("eam made-up", read_funcfl(FILES / "copper.eam"), "eam", [f"1 1 {FILES}/copper.eam"], ["Cu"], stored=True),
        Case("eam made-up, alloy", read_funcfl(FILES / "copper.eam", FILES / "nickel.eam"), "eam",
             [f"1 1 {FILES}/copper.eam", f"2 2 {FILES}/nickel.eam"], ["Cu", "Ni"], stored=True),
    ]
    for path in sorted(folder.glob("*.sw")):
        found += _sw_cases(path, scratch)
    for path in sorted(folder.glob("*.eam.alloy")):
        potential = read_setfl(path)
        species = [Atoms(numbers=[z]).get_chemical_symbols()[0] for z in potential.species]
        command = [f"* * {path} " + " ".join(species)]
        found.append(Case(f"eam/alloy {path.name}", potential, "eam/alloy", command, species))
    return found


def _sw_cases(path, scratch):
    """A published file; and where rounding made entries i j k and i k j differ, a copy with their mean."""
    potential = read_sw(path)
    species = [Atoms(numbers=[z]).get_chemical_symbols()[0] for z in potential.species]

    def case(name, file, tolerance=TOLERANCE):
        command = [f"* * {file} " + " ".join(species)]
        return Case(f"sw {name}", read_sw(file), "sw", command, species, "diamond", 6.0, tolerance)

    strength = np.asarray(potential.lam * potential.epsilon)
    if strength.ndim == 0 or (strength == strength.transpose(0, 2, 1)).all():
        return [case(path.name, path)]
    # LAMMPS takes one or the other entry, by the order of its atoms: parity is that of the rounded digits.
    copy = Path(scratch) / path.name
    _write_symmetric(potential, species, copy)
    return [case(f"{path.name} (as rounded)", path, 1e-6), case(f"{path.name} (symmetric)", copy)]


def _write_symmetric(potential, species, path):
    get = {name: np.asarray(getattr(potential, name))
           for name in ("epsilon", "sigma", "a", "lam", "gamma", "cos_theta0", "A", "B")}
    strength = get["lam"] * get["epsilon"]
    strength = 0.5 * (strength + strength.transpose(0, 2, 1))
    lines = []
    for (i, j, k), eps in np.ndenumerate(get["epsilon"]):
        pair = {name: get[name][i, k] for name in ("sigma", "a", "gamma", "A", "B")}
        eps = eps if j == k else 1.0
        numbers = (eps, pair["sigma"], pair["a"], strength[i, j, k] / eps, pair["gamma"],
                   get["cos_theta0"][i, j, k], pair["A"], pair["B"], 4.0, 0.0, 0.0)
        names = " ".join(species[m] for m in (i, j, k))
        lines.append(names + " " + " ".join(f"{v:.17g}" for v in numbers))
    path.write_text("\n".join(lines) + "\n")


def structures(case):
    """Name and atoms of the cells a case is tried on."""
    rng = np.random.default_rng(7)
    primitive = bulk("Cu", case.lattice, a=case.a)
    cubic = bulk("Cu", case.lattice, a=case.a, cubic=True)
    shear = np.eye(3) + np.array([[0.03, 0.02, -0.01], [0.0, -0.02, 0.04], [0.05, 0.0, 0.01]])

    def dressed(atoms, rattle=0.1, deform=None):
        atoms = atoms.copy()
        if deform is not None:
            atoms.set_cell(atoms.cell.array @ deform, scale_atoms=True)
        atoms.positions += rng.normal(0.0, rattle, atoms.positions.shape)
        atoms.symbols = rng.permutation([case.species[k % len(case.species)] for k in range(len(atoms))])
        return atoms

    yield "rattled", dressed(cubic * (2, 2, 2))
    yield "strained", dressed(cubic * (2, 2, 1), deform=shear)
    yield "compressed", dressed(cubic * (2, 2, 2), rattle=0.05, deform=0.82 * np.eye(3))
    yield "small", dressed(cubic, deform=shear)
    yield "primitive", dressed(primitive, rattle=0.05, deform=shear)
    mirrored = dressed(primitive * (2, 1, 2), deform=shear)
    mirrored.set_cell(mirrored.cell.array[[1, 0, 2]])
    mirrored.positions += rng.integers(-3, 4, (len(mirrored), 3)) @ mirrored.cell.array
    yield "left-handed, outside", mirrored
    yield "isolated", Atoms(case.species[0], cell=[30.0, 31.0, 32.0], pbc=True)
    yield "pairs", _pairs(case, rng)


def _pairs(case, rng):
    """Dimers far from each other, at distances up to a little more than the cutoff."""
    box, side = 2.2 * case.potential.cutoff + 1.0, 5
    places = box * np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    count = len(places)
    distance = rng.uniform(0.4, 1.01, count) * case.potential.cutoff
    distance[:3] = case.potential.cutoff * np.array([1 - 1e-4, 1 - 1e-7, 1 + 1e-7])
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    symbols = rng.choice(case.species, 2 * count)
    positions = np.concatenate([places, places + distance[:, None] * direction])
    return Atoms(symbols, positions, cell=np.eye(3) * box * side, pbc=True)


def compare(case, atoms):
    """Largest relative errors of energy, forces and stress; and LAMMPS's result."""
    theirs = lammps_peer.evaluate(atoms, case.style, case.coefficients, case.species)
    ours = evaluate(case.potential, atoms, neighbors(atoms, case.potential.cutoff))
    return relative_errors(ours, theirs.energy, theirs.forces, theirs.stress), theirs


def relative_errors(ours, energy, forces, stress):
    """Errors of an `Evaluation` against reference numbers, relative as the text at the top says."""
    return (
        abs(float(ours.energy) - energy) / max(abs(energy), 0.01 * len(forces)),
        np.abs(np.asarray(ours.forces) - forces).max() / max(np.abs(forces).max(), 0.01),
        np.abs(np.asarray(ours.stress) - stress).max() / max(np.abs(stress).max(), 1e-4),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", action="store_true", help=f"write {REFERENCE.relative_to(ROOT)}")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    options = parser.parse_args()
    failed, stored, ran = 0, [], set()
    print(f"{'potential':42s} {'structure':22s} {'atoms':>5s} {'energy':>9s} {'forces':>9s} {'stress':>9s}")
    with tempfile.TemporaryDirectory() as scratch:
        for case in cases(scratch):
            if options.only not in case.name:
                continue
            ran.add(case.name)
            for name, atoms in structures(case):
                errors, theirs = compare(case, atoms)
                good = max(errors) <= case.tolerance
                failed += not good
                shown = " ".join(f"{e:9.1e}" for e in errors) + ("" if good else "  DIFFERS")
                print(f"{case.name:42s} {name:22s} {len(atoms):5d} {shown}", flush=True)
                if case.stored and len(atoms) <= 9:
                    stored.append(_record(case, name, atoms, theirs))
    print(f"{failed} comparisons differ" if failed else "all agree")
    if options.store:
        kept = [record for record in json.loads(REFERENCE.read_text()) if record["case"] not in ran]
        stored = kept + stored
        text = json.dumps(stored, separators=(",", ":")).replace("},{", "},\n{")
        REFERENCE.write_text(text + "\n")
    return 1 if failed else 0


def _record(case, name, atoms, theirs):
    return {
        "case": case.name,
        "structure": name,
        "symbols": atoms.get_chemical_symbols(),
        "cell": atoms.cell.array.tolist(),
        "positions": atoms.positions.tolist(),
        "energy": theirs.energy,
        "forces": theirs.forces.tolist(),
        "stress": theirs.stress.tolist(),
    }


if __name__ == "__main__":
    sys.exit(main())
