"""How many evaluations of the energy, and seconds, does it take to relax atoms and cell, beside ASE's optimisers?

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/relaxation.py [--melts 3] [--fmax 1e-6] [--steps 3000]

Stillinger-Weber silicon: two crystals of a few atoms, 216 atoms that were melted and quenched in 20 ps, and frames of
the melt. Peers have the same potential through `jp.ase_calculator` and `FrechetCellFilter`, and the same target: the
largest component of forces and of the cell's gradient per atom. All are run once before the clock starts where that is
compilation. Minima differ where a melt falls down: energies are shown.
"""

import argparse
import time

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, LBFGS
from ase.optimize.precon import Exp, PreconLBFGS

import jaxpot as jp
from jaxpot.units import fs

SIZE = 3  # cubic cells along each axis


def structures(potential, melts):
    """(name, structure) of what is relaxed."""
    pair = bulk("Si", a=5.3)
    pair.rattle(0.05, seed=1)
    nine = bulk("Si", cubic=True, a=5.43) + Atoms("Si", [[2.815, 2.665, 2.785]])
    nine.rattle(0.05, seed=3)
    yield "2 atoms", jp.Structure.of(pair)
    yield "8 + 1 atoms", jp.Structure.of(nine)

    def simulated(start, temperature, steps, seed):
        dynamics = jp.md.Langevin(potential, 1.0 * fs, temperature, 0.01 / fs)
        return jp.md.run(dynamics, start, steps, key=seed).state.structure

    melt = simulated(jp.Structure.of(bulk("Si", cubic=True, a=5.43)).repeated((SIZE,) * 3), 3500.0, 4000, 0)
    yield "quenched", simulated(melt, jp.md.Ramp(3500.0, 300.0, 20000), 20000, 1)
    for k in range(melts):
        melt = simulated(melt, 3500.0, 1000, 2 + k)
        yield f"melt {k + 1}", melt


class Counter(jp.interop.ase.JaxpotCalculator):
    """A calculator that counts."""

    count = 0

    def calculate(self, *args, **options):
        super().calculate(*args, **options)
        self.count += 1


def peer(name, potential, structure, fmax, steps):
    """Evaluations, energy and residual at the end of one of ASE's optimisers."""
    atoms = jp.to_ase(structure)
    atoms.calc = Counter(potential)
    moved = FrechetCellFilter(atoms)
    if name == "PreconLBFGS":
        optimizer = PreconLBFGS(moved, precon=Exp(A=3.0), logfile=None)
    else:
        optimizer = {"BFGS": BFGS, "LBFGS": LBFGS}[name](moved, logfile=None)
    try:
        for _ in optimizer.irun(fmax=0.0, steps=steps):
            if np.abs(moved.get_forces()).max() <= fmax or atoms.calc.count >= steps:
                break
    except ValueError:  # PreconLBFGS, whose line search met a direction that goes up
        pass
    return atoms.calc.count, atoms.get_potential_energy(), np.abs(moved.get_forces()).max()


def ours(potential, structure, fmax, steps):
    result = jp.relax(potential, structure, cell=True, fmax=fmax, steps=steps)
    return result.steps, float(result.energy), result.fmax


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--melts", type=int, default=3)
    parser.add_argument("--fmax", type=float, default=1e-6, help="eV/A")
    parser.add_argument("--steps", type=int, default=3000, help="most evaluations")
    parser.add_argument("--peers", nargs="*", default=["BFGS", "LBFGS", "PreconLBFGS"])
    options = parser.parse_args()
    potential = jp.potentials.StillingerWeber.silicon()
    print(f"{'':14}{'':14}{'evaluations':>12}{'s':>8}{'eV/atom':>12}{'largest gradient':>18}")
    for name, structure in structures(potential, options.melts):
        start = time.perf_counter()
        ours(potential, structure, options.fmax, options.steps)
        cold = time.perf_counter() - start
        for who in ("jp.relax", *options.peers):
            run = ours if who == "jp.relax" else lambda *a, who=who: peer(who, *a)
            if who != "jp.relax":
                run(potential, structure, options.fmax, 1)
            start = time.perf_counter()
            count, energy, residual = run(potential, structure, options.fmax, options.steps)
            seconds = time.perf_counter() - start
            note = f" (first time {cold:.1f} s)" if who == "jp.relax" else ""
            note += "" if residual <= options.fmax else " not converged"
            per_atom = energy / len(structure)
            print(f"{name:14}{who:14}{count:>12}{seconds:>8.2f}{per_atom:>12.5f}{residual:>18.1e}{note}", flush=True)


if __name__ == "__main__":
    main()
