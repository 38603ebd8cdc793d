"""Phonons from the primitive cell against phonopy's supercells with the same potential, in one run.

Stillinger-Weber silicon, 100 wave vectors. phonopy displaces atoms by `--distance` in supercells of growing
size; its forces are ours. Prints the largest difference of frequencies (it must fall to the error of the
displacement) and the times: ours cold (with compilation), and ours warm beside phonopy's, medians of
interleaved rounds.

    taskset -c 0 python benchmarks/phonons.py [--sizes 2 3 4] [--distance 0.003]
"""

import argparse
import statistics
import time

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from ase.build import bulk
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

import jaxpot as jp


def phonopy_frequencies(potential, structure, q, size, distance):
    """Frequencies (nq, 3n) in internal units by displacements in a size^3 supercell, and the seconds taken."""
    start = time.perf_counter()
    unit = PhonopyAtoms(symbols=structure.symbols, cell=np.asarray(structure.cell),
                        positions=np.asarray(structure.positions), masses=np.asarray(structure.masses))
    phonon = Phonopy(unit, np.eye(3, dtype=int) * size, primitive_matrix=np.eye(3))
    phonon.generate_displacements(distance=distance)
    forces = []
    for cell in phonon.supercells_with_displacements:
        displaced = jp.Structure(cell.positions, cell.cell, cell.numbers, masses=cell.masses)
        forces.append(np.asarray(jp.forces(potential, displaced)))
    phonon.forces = forces
    phonon.produce_force_constants()
    matrices = []
    for point in q:
        phonon.dynamical_matrix.run(point)
        matrices.append(phonon.dynamical_matrix.dynamical_matrix)
    w2 = np.linalg.eigvalsh(np.array(matrices))
    return np.sign(w2) * np.sqrt(np.abs(w2)) / (2 * np.pi), time.perf_counter() - start


def seconds(potential, structure, q):
    """What our frequencies take, compiled before."""
    start = time.perf_counter()
    jax.block_until_ready(jp.phonons(potential, structure, q))
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 3, 4, 6])
    parser.add_argument("--distance", type=float, default=0.003, help="A")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    potential = jp.potentials.StillingerWeber.silicon()
    structure = jp.relax(potential, bulk("Si", a=5.43), cell=True, fmax=1e-10).structure
    q = np.random.default_rng(0).uniform(-0.5, 0.5, (100, 3))
    start = time.perf_counter()
    exact = np.asarray(jp.phonons(potential, structure, q).frequencies)
    cold = time.perf_counter() - start
    print(f"{len(q)} wave vectors from the primitive cell: {cold:.2f} s cold")
    for size in options.sizes:
        found, _ = phonopy_frequencies(potential, structure, q, size, options.distance)
        error = np.abs(found - exact).max() / jp.units.THz
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours += [seconds(potential, structure, q) for _ in range(5)]
            theirs.append(phonopy_frequencies(potential, structure, q, size, options.distance)[1])
        ours, theirs = statistics.median(ours), statistics.median(theirs)
        print(f"phonopy {size}^3 ({2 * size**3} atoms): {theirs:.2f} s = {theirs / ours:.0f} x our "
              f"{ours * 1e3:.2f} ms, largest difference {error:.1e} THz", flush=True)
    for distance in (0.01, 0.003, 0.001):
        found, _ = phonopy_frequencies(potential, structure, q, options.sizes[-1], distance)
        print(f"phonopy {options.sizes[-1]}^3, displacement {distance} A: "
              f"{np.abs(found - exact).max() / jp.units.THz:.1e} THz")


if __name__ == "__main__":
    main()
