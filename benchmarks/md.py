"""How long does a step of molecular dynamics take, everything included, and does energy stay where it is?

    taskset -c 0 python benchmarks/md.py speed      NVE of Stillinger-Weber silicon: 8,000 atoms beside LAMMPS's step,
                                                    64 atoms beside ASE's VelocityVerlet with our own calculator
    taskset -c 0 python benchmarks/md.py drift [--ps 100]
                                                    NVE of 1,000 atoms at 600 K, 1 fs: slope of the energy with its
                                                    error from blocks; and the fluctuation at 2 fs over that at 1 fs
"""

import argparse
import statistics
import time

import jax

jax.config.update("jax_enable_x64", True)

import lammps_peer
import numpy as np
from ase.build import bulk
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from ase.units import fs as ase_fs

import jaxpot as jp
from jaxpot.units import fs


def ours(atoms, steps):
    """Seconds a step of a run of its own; programs are there after the first call."""
    dynamics = jp.md.NVE(jp.potentials.StillingerWeber.silicon(), 1.0 * fs)
    state = jp.md.run(dynamics, atoms, 200, temperature=600.0, key=1).state

    def measure():
        nonlocal state
        thermo = jp.md.Thermo(every=100)
        start = time.perf_counter()
        found = jp.md.run(dynamics, state, steps, [thermo])
        state = found.state
        return (time.perf_counter() - start) / steps

    measure()
    return measure


def with_ase(atoms, steps):
    atoms = atoms.copy()
    atoms.calc = jp.ase_calculator(jp.potentials.StillingerWeber.silicon())
    MaxwellBoltzmannDistribution(atoms, temperature_K=600.0, rng=np.random.default_rng(1))
    dynamics = VelocityVerlet(atoms, 1.0 * ase_fs)
    dynamics.run(200)

    def measure():
        start = time.perf_counter()
        dynamics.run(steps)
        return (time.perf_counter() - start) / steps

    return measure


def speed(options):
    folder = lammps_peer.potentials_folder()
    large, small = bulk("Si", cubic=True) * (10, 10, 10), bulk("Si", cubic=True) * (2, 2, 2)
    runs = {
        "8000 atoms, ours": (len(large), ours(large, 1000)),
        "8000 atoms, LAMMPS": (len(large), lambda: 1e-6 * len(large) * lammps_peer.time_per_step(
            large, "sw", f"* * {folder / 'Si.sw'} Si", ["Si"], skin=1.0, steps=100, rounds=1
        )[0]),
        "64 atoms, ours": (len(small), ours(small, 20000)),
        "64 atoms, ASE": (len(small), with_ase(small, 200)),
    }
    times = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, (_, measure) in runs.items():
            times[name].append(measure())
    median = {name: statistics.median(own) for name, own in times.items()}
    for name, (atoms, _) in runs.items():
        print(f"{name}: {1e3 * median[name]:.3f} ms a step, {1e6 * median[name] / atoms:.3f} us an atom")
    print(f"ours / LAMMPS {median['8000 atoms, ours'] / median['8000 atoms, LAMMPS']:.2f}; "
          f"ASE / ours {median['64 atoms, ASE'] / median['64 atoms, ours']:.1f}")


def drift(options):
    potential = jp.potentials.StillingerWeber.silicon()
    atoms = bulk("Si", cubic=True) * (5, 5, 5)
    warm = jp.md.VelocityRescaling(potential, 1.0 * fs, 600.0, 100 * fs)
    start = jp.md.run(warm, atoms, 2000, temperature=1200.0).state
    spread = {}
    for step in (2.0, 1.0):
        thermo = jp.md.Thermo(every=10)
        dynamics = jp.md.NVE(potential, step * fs)
        fresh = dynamics.init(start.structure, velocities=start.velocities)
        length = options.ps if step == 1.0 else 10.0
        jp.md.run(dynamics, fresh, round(1000 * length / step), [thermo], progress=lambda text: print(text, flush=True))
        kept = thermo.table["conserved_eV"] / len(atoms)
        spread[step] = kept[: round(1000 * 10.0 / step) // 10].std()
    nanoseconds = thermo.table["time_ps"] / 1000.0
    slope = np.polyfit(nanoseconds, kept, 1)[0]
    blocks = [b.mean() for b in np.array_split(kept, 10)]
    rest = np.array(blocks) - np.polyval(np.polyfit(np.arange(10), blocks, 1), np.arange(10))
    error = rest.std(ddof=2) / (nanoseconds[-1] * np.sqrt(10 / 12))
    print(f"{options.ps:g} ps: slope {slope:+.2e} eV/atom/ns, standard error {error:.1e}; "
          f"fluctuation at 2 fs over 1 fs {spread[2.0] / spread[1.0]:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "drift"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ps", type=float, default=100.0)
    options = parser.parse_args()
    {"speed": speed, "drift": drift}[options.what](options)


if __name__ == "__main__":
    main()
