"""Do the properties of a GAP, derivatives of its energy, agree with finite differences through QUIP? And in what time?

The crystal is relaxed by jaxpot; everything that quippy is asked for are forces and stresses of displaced and strained
cells: elastic constants by central differences of relaxed cells, frequencies by phonopy in a supercell, mode Grueneisen
parameters by central differences of those frequencies over the volume.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/gap_properties.py gap.xml [--structure diamond:Si] [--size 5]
"""

import argparse
import statistics
import time

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from ase import Atoms
from ase.optimize import BFGS
from gap import here_and_there, model_arguments
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

import jaxpot as jp
from jaxpot.io.prototypes import structure_from_spec

POINTS = {"Gamma": (0.0, 0.0, 0.0), "X": (0.5, 0.0, 0.5), "L": (0.5, 0.5, 0.5)}
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def stiffness(peer, atoms, step):
    """C (6, 6) eV/A^3 by central differences of the stress, atoms relaxed in every strained cell."""
    result = np.zeros((6, 6))
    for k, (i, j) in enumerate(VOIGT):
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] += 0.5 * sign * step
            strain[j, i] += 0.5 * sign * step
            strained = atoms.copy()
            strained.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
            strained.calc = peer
            BFGS(strained, logfile=None).run(fmax=1e-5, steps=100)
            result[:, k] += sign * strained.get_stress() / (2.0 * step)
    return 0.5 * (result + result.T)


def frequencies(peer, atoms, points, size, distance):
    """Frequencies (nq, 3n) in THz by phonopy with quippy's forces."""
    unit = PhonopyAtoms(symbols=atoms.symbols, cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions(),
                        masses=atoms.get_masses())
    phonon = Phonopy(unit, np.eye(3, dtype=int) * size, primitive_matrix=np.eye(3))
    phonon.generate_displacements(distance=distance)
    forces = []
    for cell in phonon.supercells_with_displacements:
        displaced = Atoms(cell.symbols, positions=cell.positions, cell=cell.cell, pbc=True, calculator=peer)
        forces.append(displaced.get_forces())
    phonon.forces = forces
    phonon.produce_force_constants()
    w2 = []
    for point in points:
        phonon.dynamical_matrix.run(point)
        w2.append(np.linalg.eigvalsh(phonon.dynamical_matrix.dynamical_matrix))
    w2 = np.array(w2)
    return np.sign(w2) * np.sqrt(np.abs(w2)) / (2.0 * np.pi) / jp.units.THz


def seconds(call):
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    model_arguments(parser)
    parser.add_argument("--size", type=int, default=5, help="of the supercell")
    parser.add_argument("--distance", type=float, default=0.003, help="A")
    parser.add_argument("--strain", type=float, default=1e-3)
    options = parser.parse_args()
    with here_and_there(options) as (potential, peer):
        compare(potential, peer, options)


def compare(potential, peer, options):
    start, _ = structure_from_spec(options.structure)
    structure = jp.relax(potential, start, cell=True, fmax=1e-9).structure
    atoms = jp.to_ase(structure)
    atoms.calc = peer
    print(f"relaxed: quippy's largest force {np.abs(atoms.get_forces()).max():.1e} eV/A, "
          f"stress {np.abs(atoms.get_stress()).max():.1e} eV/A^3")
    ours = np.asarray(jp.elastic_constants(potential, structure).voigt) / jp.units.GPa
    theirs = stiffness(peer, atoms, options.strain) / jp.units.GPa
    print(f"elastic constants (GPa): C11 {ours[0, 0]:.3f} {theirs[0, 0]:.3f}, C12 {ours[0, 1]:.3f} {theirs[0, 1]:.3f}, "
          f"C44 {ours[3, 3]:.3f} {theirs[3, 3]:.3f}; largest difference {np.abs(ours - theirs).max():.1e}")

    q = np.array(list(POINTS.values()))
    ours = np.asarray(jp.phonons(potential, structure, q).frequencies) / jp.units.THz
    theirs = frequencies(peer, atoms, q, options.size, options.distance)
    gamma = np.asarray(jp.gruneisen(potential, structure, q).gamma)
    around = []
    for factor in (1 + 1e-3, 1 - 1e-3):
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell * factor, scale_atoms=True)
        around.append(frequencies(peer, scaled, q, options.size, options.distance))
    expected = -(np.log(np.abs(around[0])) - np.log(np.abs(around[1]))) / (3 * np.log((1 + 1e-3) / (1 - 1e-3)))
    for k, name in enumerate(POINTS):
        print(f"{name}: THz  ours {np.round(ours[k], 4)}  quippy {np.round(theirs[k], 4)}")
        print(f"{name}: gamma ours {np.round(gamma[k], 4)}  quippy {np.round(expected[k], 4)}")

    many = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 3))
    jax.clear_caches()
    both = lambda: (jp.phonons(potential, structure, many), jp.phonon_dos(potential, structure, mesh=(8, 8, 8)))  # noqa: E731
    cold = seconds(both)
    warm = statistics.median(seconds(both) for _ in range(5))
    begin = time.perf_counter()
    frequencies(peer, atoms, many, options.size, options.distance)
    print(f"200 q points and a density of states on 8^3: {cold:.1f} s cold, {warm:.3f} s warm; "
          f"phonopy and quippy, {options.size}^3 cells, the 200 q points alone: {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
