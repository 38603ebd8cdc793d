"""Do the integrators sample their ensembles? The tests of physical_validation, in a process of their own.

    python benchmarks/ensembles.py [NAME ...] [--steps 200000] [--seed 1]

Lennard-Jones argon, a crystal of 108 atoms (a liquid does not hold the shape of a cell): each thermostat at two
temperatures, the barostats at two temperatures and at two pressures. Numbers are how many standard errors an estimate
is off: of the mean and the width of the kinetic energies from their canonical distribution, and of the slope of
log(P_2/P_1) over energies, or volumes, from the one that the two states demand. Below 3 is fine.
"""

import argparse

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
import physical_validation as validation
from ase.build import bulk

import jaxpot as jp
from jaxpot.units import GPa, fs, kB

EVERY, SETTLING, STEP = 50, 10000, 4.0 * fs
POTENTIAL = jp.potentials.LennardJones(0.0104, 3.4, 8.5)
CRYSTAL = jp.Structure.of(bulk("Ar", a=5.35, cubic=True)).repeated((3, 3, 3))
COOL, HOT, LOW, HIGH = 50.0, 53.0, 0.0, 0.02 * GPa
ENSEMBLES = {
    "Langevin": lambda t, p: jp.md.Langevin(POTENTIAL, STEP, t, 0.002 / fs),
    "velocity rescaling": lambda t, p: jp.md.VelocityRescaling(POTENTIAL, STEP, t, 200.0 * fs),
    "Nose-Hoover chain": lambda t, p: jp.md.NoseHoover(POTENTIAL, STEP, t, 200.0 * fs),
    "cell rescaling, volume": lambda t, p: jp.md.CellRescaling(
        POTENTIAL, STEP, t, p, 200.0 * fs, 1000.0 * fs, 0.4 / GPa, False
    ),
    "cell rescaling, full": lambda t, p: jp.md.CellRescaling(
        POTENTIAL, STEP, t, p, 200.0 * fs, 1000.0 * fs, 0.4 / GPa
    ),
}


def sampled(make, temperature, pressure, steps, seed):
    """What physical_validation needs of a run."""
    dynamics = make(temperature, pressure)
    state = jp.md.run(dynamics, CRYSTAL, SETTLING, key=seed, temperature=2.0 * temperature).state
    thermo = jp.md.Thermo(EVERY)
    jp.md.run(dynamics, state, steps, [thermo])
    table, constant = thermo.table, not dynamics.barostat
    volume = float(np.mean(table["volume_A3"]))
    data = validation.data
    return data.SimulationData(
        units=data.UnitData(
            kb=kB, energy_str="eV", energy_conversion=96.485, length_str="A", length_conversion=0.1,
            volume_str="A^3", volume_conversion=1e-3, temperature_str="K", temperature_conversion=1.0,
            pressure_str="eV/A^3", pressure_conversion=1602176.6, time_str="ps", time_conversion=1.0,
        ),
        ensemble=data.EnsembleData(
            "NVT" if constant else "NPT", natoms=len(CRYSTAL), volume=volume if constant else None,
            pressure=None if constant else pressure, temperature=temperature,
        ),
        system=data.SystemData(natoms=len(CRYSTAL), nconstraints=0, ndof_reduction_tra=3, ndof_reduction_rot=0),
        observables=data.ObservableData(
            kinetic_energy=table["kinetic_eV"], potential_energy=table["potential_eV"],
            total_energy=table["total_eV"], volume=table["volume_A3"],
        ),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(ENSEMBLES), metavar="NAME", help=", ".join(ENSEMBLES))
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for name in options.names:
        make = ENSEMBLES[name]
        cool = sampled(make, COOL, LOW, options.steps, options.seed)
        hot = sampled(make, HOT, LOW, options.steps, options.seed)
        mean, width = validation.kinetic_energy.distribution(cool, strict=False, verbosity=0, bootstrap_seed=1)
        found = [f"kinetic energies: mean {mean:.1f}, width {width:.1f}"]
        other = validation.ensemble.check(cool, hot, verbosity=0, bootstrap_seed=1)
        found.append(f"temperatures: {', '.join(f'{x:.1f}' for x in np.atleast_1d(other))}")
        if make(COOL, LOW).barostat:
            pressed = sampled(make, COOL, HIGH, options.steps, options.seed)
            other = validation.ensemble.check(cool, pressed, verbosity=0, bootstrap_seed=1)
            found.append(f"pressures: {', '.join(f'{x:.1f}' for x in np.atleast_1d(other))}")
        print(f"{name}: " + "; ".join(found), flush=True)


if __name__ == "__main__":
    main()
