"""How long does a step of molecular dynamics take, everything included, and does energy stay where it is?

    taskset -c 0 python benchmarks/md.py speed      NVE of Stillinger-Weber silicon: 8,000 atoms beside LAMMPS's step,
                                                    64 atoms beside ASE's VelocityVerlet with our own calculator
    taskset -c 0 python benchmarks/md.py jax-md     the same 8,000 atoms beside jax-md's energy, list and integrator
    taskset -c 0 python benchmarks/md.py gap --model gap.xml
                                                    a published GAP, 64 atoms, beside quippy in ASE's VelocityVerlet
    taskset -c 0 python benchmarks/md.py drift [--ps 100] [--model gap.xml] [--single | --mixed]
                                                    NVE of 1,000 atoms at 600 K, 1 fs: slope of the energy with its
                                                    error from blocks; and the fluctuation at 2 fs over that at 1 fs;
                                                    with all numbers in single precision, or formulas alone
    taskset -c 0 python benchmarks/md.py order [--ps 20]
                                                    that quotient for every smooth kind of potential: 4 for a step of
                                                    second order
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import lammps_peer
import numpy as np
from ase.build import bulk
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from ase.units import fs as ase_fs
from gap import unpacked

import jaxpot as jp
from jaxpot.units import fs, kB


def ours(atoms, steps, potential=None):
    """Seconds a step of a run of its own; programs are there after the first call."""
    dynamics = jp.md.NVE(potential or jp.potentials.StillingerWeber.silicon(), 1.0 * fs)
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


def with_ase(atoms, steps, calculator=None):
    atoms = atoms.copy()
    atoms.calc = calculator or jp.ase_calculator(jp.potentials.StillingerWeber.silicon())
    MaxwellBoltzmannDistribution(atoms, temperature_K=600.0, rng=np.random.default_rng(1))
    dynamics = VelocityVerlet(atoms, 1.0 * ase_fs)
    dynamics.run(200)

    def measure():
        start = time.perf_counter()
        dynamics.run(steps)
        return (time.perf_counter() - start) / steps

    return measure


def with_jax_md(atoms, steps):
    """Stillinger-Weber NVE as jax-md's documentation writes it: the list is updated in every step."""
    from jax_md import energy, simulate, space

    displacement, shift = space.periodic(atoms.cell.lengths())
    neighbor_fn, energy_fn = energy.stillinger_weber_neighbor_list(displacement, atoms.cell.lengths())
    init, apply = simulate.nve(energy_fn, shift, 1.0 * fs)
    positions = jax.numpy.asarray(atoms.positions)
    listed = neighbor_fn.allocate(positions)
    mass = jp.Structure.of(atoms).masses[0]
    state = jax.jit(lambda key: init(key, positions, kB * 600.0, mass=mass, neighbor=listed))(jax.random.key(0))

    @jax.jit
    def advance(state, listed):
        def step(_, carry):
            state, listed = carry
            state = apply(state, neighbor=listed)
            return state, listed.update(state.position)

        return jax.lax.fori_loop(0, steps, step, (state, listed))

    def measure():
        nonlocal state, listed
        start = time.perf_counter()
        state, listed = jax.block_until_ready(advance(state, listed))
        if bool(listed.did_buffer_overflow):
            raise SystemExit("jax-md's list has overflowed")
        return (time.perf_counter() - start) / steps

    measure()
    return measure


def compared(runs, rounds):
    """Name -> median seconds a step of interleaved rounds."""
    times = {name: [] for name in runs}
    for _ in range(rounds):
        for name, (_, measure) in runs.items():
            times[name].append(measure())
    median = {name: statistics.median(own) for name, own in times.items()}
    for name, (atoms, _) in runs.items():
        print(f"{name}: {1e3 * median[name]:.3f} ms a step, {1e6 * median[name] / atoms:.3f} us an atom")
    return median


def jax_md(options):
    atoms = bulk("Si", cubic=True) * (10, 10, 10)
    median = compared({
        "ours": (len(atoms), ours(atoms, 300)), "jax-md": (len(atoms), with_jax_md(atoms, 20))
    }, options.rounds)
    print(f"jax-md / ours {median['jax-md'] / median['ours']:.1f}")


def gap(options):
    from quippy.potential import Potential as Quippy

    atoms = bulk("Si", cubic=True) * (2, 2, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = str(unpacked(options.model, Path(folder)))
        median = compared({
            "ours": (len(atoms), ours(atoms, 1000, jp.load(path))),
            "quippy in ASE": (len(atoms), with_ase(atoms, 10, Quippy(param_filename=path))),
        }, options.rounds)
    print(f"quippy in ASE / ours {median['quippy in ASE'] / median['ours']:.1f}")


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
    median = compared(runs, options.rounds)
    print(f"ours / LAMMPS {median['8000 atoms, ours'] / median['8000 atoms, LAMMPS']:.2f}; "
          f"ASE / ours {median['64 atoms, ASE'] / median['64 atoms, ours']:.1f}")


def heated(potential, atoms, kelvin):
    """A state at about a temperature, after 2 ps."""
    warm = jp.md.VelocityRescaling(potential, 1.0 * fs, kelvin, 100 * fs)
    return jp.md.run(warm, atoms, 2000, temperature=2.0 * kelvin).state


def kept(potential, start, step, ps):
    """Times in ns and the conserved energy in eV/atom of a run of constant energy from a state, steps in fs."""
    thermo, dynamics = jp.md.Thermo(every=10), jp.md.NVE(potential, step * fs)
    fresh = dynamics.init(start.structure, velocities=start.velocities)
    jp.md.run(dynamics, fresh, round(1000 * ps / step), [thermo], progress=lambda text: print(text, flush=True))
    return thermo.table["time_ps"] / 1000.0, thermo.table["conserved_eV"] / len(start.structure)


def drift(options):
    potential = jp.load(options.model) if options.model else jp.potentials.StillingerWeber.silicon()
    atoms = bulk("Si", cubic=True) * ((2, 2, 2) if options.model else (5, 5, 5))
    start = heated(potential, atoms, 600.0)
    dtype = np.float32 if options.single else np.float64
    potential = jp.mixed_precision(potential) if options.mixed else potential
    start = jax.tree.map(lambda a: a.astype(dtype) if a.dtype == np.float64 else a, start)
    _, coarse = kept(potential, start, 2.0, 10.0)
    times, energies = kept(potential, start, 1.0, options.ps)
    slope = np.polyfit(times, energies, 1)[0]
    blocks = [b.mean() for b in np.array_split(energies, 10)]
    rest = np.array(blocks) - np.polyval(np.polyfit(np.arange(10), blocks, 1), np.arange(10))
    error = rest.std(ddof=2) / (times[-1] * np.sqrt(10 / 12))
    print(f"{options.ps:g} ps: slope {slope:+.2e} eV/atom/ns, standard error {error:.1e}; "
          f"fluctuation at 2 fs over 1 fs {coarse.std() / energies[: 1 + round(10.0 / 0.01)].std():.2f}")


def smooth_models():
    """Name, potential, atoms, temperature and the longer time step in fs, of forms with two derivatives or more."""
    folder = lammps_peer.potentials_folder()
    silicon, copper = bulk("Si", cubic=True) * (2, 2, 2), bulk("Cu", cubic=True) * (3, 3, 3)
    argon = bulk("Ar", "fcc", a=5.3, cubic=True) * (3, 3, 3)
    forms = jp.potentials
    yield "Stillinger-Weber Si", forms.StillingerWeber.silicon(), silicon, 600.0, 2.0
    yield "second moments Cu", forms.SecondMoment.copper(), copper, 600.0, 2.0
    yield "Morse Cu, smooth", forms.Morse(0.3429, 1.3588, 2.866, 6.0, shift="smooth"), copper, 600.0, 2.0
    yield "Lennard-Jones Ar, smooth", forms.LennardJones(0.0104, 3.4, 8.5, shift="smooth"), argon, 40.0, 4.0
    mishin = jp.smoothed(jp.load(folder / "Cu_mishin1.eam.alloy"))
    yield "EAM Cu (Mishin), splines", mishin.potential, copper, 600.0, 2.0
    networks = Path(os.environ.get("JAXPOT_DATA", "")) / "mlearn" / "Si" / "published" / "nnp"
    if networks.is_dir():
        yield "n2p2's networks of Si", jp.load(networks, units="Bohr Hartree"), silicon, 600.0, 2.0


def order(options):
    for name, potential, atoms, kelvin, step in smooth_models():
        if options.only not in name:
            continue
        start = heated(potential, atoms, kelvin)
        coarse, fine = (kept(potential, start, own, options.ps)[1].std() for own in (step, step / 2.0))
        print(f"{name}, {len(atoms)} atoms, {options.ps:g} ps: {1e6 * coarse:.3g} ueV/atom at {step:g} fs over "
              f"{1e6 * fine:.3g} at {step / 2.0:g} fs: {coarse / fine:.2f} (smoothness {potential.smoothness})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "jax-md", "gap", "drift", "order"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ps", type=float, default=100.0)
    parser.add_argument("--single", action="store_true", help="drift with all numbers in single precision")
    parser.add_argument("--mixed", action="store_true", help="drift with formulas alone in single precision")
    parser.add_argument("--only", default="", help="of order: models whose name contains this")
    parser.add_argument("--model", help="of gap and drift: a published GAP; drift then takes 64 atoms")
    options = parser.parse_args()
    if options.what == "gap" and not options.model:
        parser.error("gap needs --model")
    {"speed": speed, "jax-md": jax_md, "gap": gap, "drift": drift, "order": order}[options.what](options)


if __name__ == "__main__":
    main()
