"""Do jaxpot's classical potentials give LAMMPS's numbers? Live comparison, to 1e-10 relative.

Pair styles, made-up files, and every `.sw`, `.tersoff`, `.eam`, `.eam.alloy`, `.eam.fs`, `.meam` and `.snapcoeff`
file that comes with LAMMPS (of the libraries of MEAM every element; of `.snapcoeff` also what `jp.save` writes), each
on rattled, strained (triclinic), compressed, left-handed and alloyed cells, on cells smaller than the cutoff, on
isolated atoms, and on many pairs at random distances up to beyond the cutoff.

    python benchmarks/parity_lammps.py            # the table; exit code 1 if anything differs
    python benchmarks/parity_lammps.py --only sw  # the cases whose name contains this
    python benchmarks/parity_lammps.py --store    # also writes tests/potentials/reference.json

Errors are relative to the largest energy per cell, force and stress component of LAMMPS, or to 0.01 eV per
atom, 0.01 eV/A and 1e-4 eV/A^3 where those are smaller (a perfect crystal has no forces).
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import lammps_peer
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from lammps_cases import own_cases, published_cases

from jaxpot.core.neighbors import neighbors
from jaxpot.core.structure import Structure
from jaxpot.observables import evaluate
from jaxpot.potentials.eam import EAM

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "tests" / "potentials" / "reference.json"


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
    places = [[30.0 * k, 0.0, 0.0] for k in range(len(case.species))]
    yield "isolated", Atoms(case.species, places, cell=[30.0 * len(places), 31.0, 32.0], pbc=True)
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


def beyond_tables(case, atoms):
    """Of an EAM: how many pairs and densities lie between the last point of a table and where it is continued.

    There LAMMPS holds the values constant, but not the slopes: its forces are not the derivatives of its energy. Ours
    are, and the energy is the same.
    """
    potential = case.potential
    if not isinstance(potential, EAM):
        return 0
    end = (potential.pair.shape[1] - 1) * potential.dr
    i, j, d = neighbor_list("ijd", atoms, potential.cutoff)
    count = int((d > end).sum())
    if potential.line_from is not None:
        grid = potential.dr * np.arange(potential.pair.shape[1])
        kinds = [potential.species.index(z) for z in atoms.numbers]
        brought = [np.interp(r, grid, potential.density[kinds[k]]) for k, r in zip(j, d, strict=True)]
        rho = np.bincount(i, brought, len(atoms)) / potential.drho
        count += int(((rho > potential.embedding.shape[1] - 1) & (rho < potential.line_from / potential.drho)).sum())
    return count


def evaluations(case, cells):
    """Ours of all cells; padded to one size, so that one program is compiled."""
    cells = [Structure.of(atoms) for atoms in cells]
    rows = max(map(len, cells))
    capacity = max(neighbors(cell, case.potential.cutoff).capacity for cell in cells)
    run = jax.jit(evaluate)
    for cell in cells:
        padded = cell.padded(rows)
        found = run(case.potential, padded, neighbors(padded, case.potential.cutoff, rows=rows, capacity=capacity))
        yield found.replace(forces=found.forces[: len(cell)])


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
    failed, stored, largest, left_out = 0, [], {}, {}
    print(f"{'potential':42s} {'structure':22s} {'atoms':>5s} {'energy':>9s} {'forces':>9s} {'stress':>9s}")
    with tempfile.TemporaryDirectory() as scratch:
        for case in (*own_cases(), *published_cases(scratch)):
            if options.only not in case.name:
                continue
            cells = list(structures(case))
            for (name, atoms), ours in zip(cells, evaluations(case, [atoms for _, atoms in cells]), strict=True):
                theirs = lammps_peer.evaluate(atoms, case.style, case.coefficients, case.species)
                errors = relative_errors(ours, theirs.energy, theirs.forces, theirs.stress)
                beyond = beyond_tables(case, atoms)
                judged = errors[:1] if beyond else errors
                left_out[case.name] = left_out.get(case.name, 0) + 3 - len(judged)
                largest[case.name] = max(largest.get(case.name, 0.0), *judged)
                good = max(judged) <= case.tolerance
                failed += not good
                shown = " ".join(f"{e:9.1e}" for e in errors) + ("" if good else "  DIFFERS")
                shown += f"  {beyond} pairs or densities beyond the tables" if beyond else ""
                print(f"{case.name:42s} {name:22s} {len(atoms):5d} {shown}", flush=True)
                if case.stored and len(atoms) <= 9:
                    stored.append(_record(case, name, atoms, theirs))
    print("\nlargest relative difference of energy, forces, stress; forces and stresses left out: `beyond_tables`")
    for name, value in largest.items():
        print(f"{name:60s} {value:9.1e}" + (f"  {left_out[name]} left out" if left_out[name] else ""))
    print(f"{failed} comparisons differ" if failed else "all agree")
    if options.store:
        kept = [record for record in json.loads(REFERENCE.read_text()) if record["case"] not in largest]
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
