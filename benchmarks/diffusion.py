"""Does liquid argon diffuse as in LAMMPS? Lennard-Jones, 256 atoms at 86 K and constant energy, from one state.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/diffusion.py [--ps 200]

Both series of unwrapped positions go through `md.MeanSquareDisplacement`: slopes and their standard errors from blocks.
"""

import argparse

import numpy as np
from conductivity import PHASES, STEP, Lammps, equilibrated

import jaxpot as jp
from jaxpot.units import fs, ps

EVERY, BLOCKS = 25, 10  # steps; 4 fs each


def with_lammps(state, looks):
    """What `MeanSquareDisplacement` would have kept."""
    engine = Lammps(state)
    engine.engine.command("fix move all nve")
    engine.engine.command("compute unwrapped all property/atom xu yu zu")
    found = jp.md.MeanSquareDisplacement(EVERY)
    structure = state.structure
    found.interval, found.masses = EVERY * STEP * fs, np.asarray(structure.masses)
    found.numbers, found.pbc = np.asarray(structure.numbers), structure.pbc
    for _ in range(looks):
        engine.engine.command(f"run {EVERY} post no")
        unwrapped = np.array(engine.engine.gather("c_unwrapped", 1, 3)).reshape(-1, 3)
        found.rows.append(np.concatenate([unwrapped, structure.cell]))
    engine.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ps", type=float, default=200.0, help="length of each run")
    options = parser.parse_args()
    dynamics, state = equilibrated(PHASES["liquid"])
    looks = round(1000.0 * options.ps / STEP / EVERY)
    ours, thermo = jp.md.MeanSquareDisplacement(EVERY), jp.md.Thermo(EVERY)
    jp.md.run(dynamics, state, looks * EVERY, [ours, thermo])
    print(f"{thermo.table['temperature_K'].mean():.1f} K")
    for name, observer in (("ours", ours), ("LAMMPS", with_lammps(state, looks))):
        value, error = observer.diffusion(BLOCKS)
        print(f"{name}: D = {value * ps:.4f} +- {error * ps:.4f} A^2/ps")


if __name__ == "__main__":
    main()
