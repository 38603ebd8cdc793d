"""The melting point of Stillinger-Weber silicon, from a crystal and its melt in one cell.

    taskset -c 0 python benchmarks/melting.py [--cells 5] [--ps 150]

Half of a long cell is melted while the other half is held; then both run at zero pressure without a thermostat (one of
a microsecond): crystal grows or melts, and warms or cools what there is, until the temperature is that of melting.
Shown are its mean and standard error from blocks, and how crystalline either half is in the end: |mean exp(i G.r)|
along the cell, 1 for a cold crystal, 0 for a liquid. The literature has 1691 K (J. Q. Broughton, X. P. Li, Phys. Rev. B
35, 9120 (1987)).
"""

import argparse

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from ase.build import bulk

import jaxpot as jp
from jaxpot.units import GPa, fs

SOFT = 0.01 / GPa
GUESS = 1690.0  # K, to begin near
BLOCKS = 10


def at_zero_pressure(potential, thermostat):
    return jp.md.CellRescaling(potential, 1.0 * fs, GUESS, 0.0, thermostat, 1000.0 * fs, SOFT)


def two_phases(potential, cells, say):
    """A crystal of the size that it has at the guess, half of it melted; a `State`."""
    small = jp.Structure.of(bulk("Si", cubic=True, a=5.45)).repeated((3, 3, 3))
    settled = jp.md.run(at_zero_pressure(potential, 100.0 * fs), small, 4000, key=0).state
    thermo = jp.md.Thermo(10)
    jp.md.run(at_zero_pressure(potential, 100.0 * fs), settled, 4000, [thermo])
    a = (thermo.table["volume_A3"].mean() / 27.0) ** (1.0 / 3.0)
    say(f"lattice constant at {GUESS:g} K: {a:.4f} A")
    long = jp.Structure.of(bulk("Si", cubic=True, a=a)).repeated((cells, cells, 2 * cells))
    held = np.asarray(long.positions)[:, 2] < cells * a - 0.1
    for temperature, steps in ((4000.0, 8000), (GUESS, 6000)):
        dynamics = jp.md.Langevin(potential, 1.0 * fs, temperature, 0.01 / fs)
        state = dynamics.init(long, key=1, fixed=held)
        long = jp.md.run(dynamics, state, steps, progress=say).state.structure
    dynamics = at_zero_pressure(potential, 100.0 * fs)
    return jp.md.run(dynamics, dynamics.init(long, key=2), 5000, progress=say).state, a


def order(structure, cells):
    """|mean exp(i G.r)| of the atoms of the lower and of the upper half, G along z with the period of a/4."""
    along = np.asarray(structure.positions) @ np.linalg.inv(np.asarray(structure.cell))
    wave = np.exp(2j * np.pi * 4 * 2 * cells * along[:, 2])
    where = along[:, 2] % 1.0
    crystal, melt = abs(where - 0.25) < 0.15, abs(where - 0.75) < 0.15
    return [abs(wave[part].mean()) for part in (crystal, melt)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--ps", type=float, default=150.0)
    options = parser.parse_args()

    def say(text):
        print(text, flush=True)

    potential = jp.potentials.StillingerWeber.silicon()
    state, _ = two_phases(potential, options.cells, say)
    print(f"{len(state.structure)} atoms; order of the halves {np.round(order(state.structure, options.cells), 2)}")
    thermo = jp.md.Thermo(100)
    free = at_zero_pressure(potential, 1e9 * fs)
    state = jp.md.run(free, state, round(1000 * options.ps), [thermo], progress=say).state
    table = thermo.table
    half = len(table["step"]) // 2
    blocks = [part.mean() for part in np.array_split(table["temperature_K"][half:], BLOCKS)]
    print(f"order of the halves {np.round(order(state.structure, options.cells), 2)}; "
          f"pressure {table['pressure_GPa'][half:].mean():+.3f} GPa")
    print(f"melting point {np.mean(blocks):.0f} +- {np.std(blocks, ddof=1) / np.sqrt(BLOCKS):.0f} K "
          f"(quarters of the run: {', '.join(f'{q.mean():.0f}' for q in np.array_split(table['temperature_K'], 4))} K)")


if __name__ == "__main__":
    main()
