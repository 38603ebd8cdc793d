"""What do two devices give beside one: atoms that they share, replicas and structures that they divide?

    python benchmarks/devices.py atoms [--atoms 32000] [--gap FILE]  one `evaluate`: Stillinger-Weber, and a GAP
    python benchmarks/devices.py replicas                            64 replicas of 64 atoms, Langevin at 600 K, with a
                                                                     thread for each core, too
    python benchmarks/devices.py structures [--gap FILE]             `evaluate_many` of 2,000 clusters of 8 atoms
    python benchmarks/devices.py md [--atoms 32000]                  100 steps of `jp.md.run`, atoms shared
    python benchmarks/devices.py million [--atoms 1000000]           an `evaluate`, its search and its sum of forces

Devices are cores of the CPU (`jax_num_cpu_devices`) of one thread each, where XLA would give several to one. Rounds are
interleaved; given are medians and the fastest round. Other processes on the machine take cores away: where processor
time is less than the time that passes on one device, they have, and two devices cannot be faster by more than what is
left of the cores.
"""

import argparse
import contextlib
import os
import statistics
import time
from pathlib import Path

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)

import jax.numpy as jnp
import numpy as np
from ase.build import bulk
from jax.sharding import PartitionSpec

import jaxpot as jp
from jaxpot.md import many
from jaxpot.units import fs

SILICON = jp.potentials.StillingerWeber.silicon()
DEVICES = 2


def mesh(axis):
    """A mesh of all devices, to be entered; without an axis that of one device."""
    if axis is None:
        return contextlib.nullcontext()
    return jax.set_mesh(jax.make_mesh((DEVICES,), (axis,)))


def everywhere(axis, tree):
    """Arrays where a program needs them, so that no call has to take them there."""
    if axis is None:
        return jax.device_put(tree, jax.devices()[0])
    return jax.device_put(tree, jax.NamedSharding(jax.make_mesh((DEVICES,), (axis,)), PartitionSpec()))


def compared(runs, unit, count, rounds):
    """Print medians of interleaved rounds, after one to compile: name -> seconds."""
    for measure in runs.values():
        measure()
    walls, works = ({name: [] for name in runs} for _ in range(2))
    for _ in range(rounds):
        for name, measure in runs.items():
            start, used = time.perf_counter(), time.process_time()
            measure()
            walls[name].append(time.perf_counter() - start)
            works[name].append(time.process_time() - used)
    first = next(iter(walls))
    median = {name: statistics.median(wall) for name, wall in walls.items()}
    for name, wall in walls.items():
        print(
            f"{name}: {1e6 * median[name] / count:.4g} {unit} (fastest {1e6 * min(wall) / count:.4g}), processor time "
            f"{1e6 * statistics.median(works[name]) / count:.4g}, {median[first] / median[name]:.2f} times as fast as "
            f"{first}",
            flush=True,
        )
    return median


def crystal(atoms):
    """Silicon of about so many atoms, displaced."""
    side = round((atoms / 8 / 2) ** (1 / 3))
    structure = bulk("Si", cubic=True) * (max(1, round(atoms / 8 / side**2)), side, side)
    structure.rattle(0.05, seed=1)
    return jp.Structure.of(structure)


def evaluations(potential, structure, listed):
    """Calls of a compiled `evaluate` on one device and on all."""
    evaluate = jax.jit(jp.evaluate)

    def timed(axis):
        arguments = everywhere(axis, (potential, structure, listed))

        def measure():
            with mesh(axis):
                jax.block_until_ready(evaluate(*arguments))

        return measure

    return {"1 device": timed(None), f"{DEVICES} devices": timed("atoms")}


def atoms(options):
    models = {"Stillinger-Weber": (SILICON, options.atoms)}
    if options.gap:
        models["GAP"] = (jp.load(options.gap), options.gap_atoms)
    for name, (potential, count) in models.items():
        structure = crystal(count)
        print(f"{name}, {len(structure)} atoms")
        listed = jp.neighbors(structure, potential.cutoff, skin=0.5)
        compared(evaluations(potential, structure, listed), "us an atom", len(structure), options.rounds)


def replicas(options):
    dynamics = jp.md.Langevin(SILICON, 1.0 * fs, 600.0, 0.01 / fs)
    start = list(jp.md.run_many(dynamics, [bulk("Si", cubic=True) * (2, 2, 2)] * options.replicas, 200, key=1).states)
    cores = many.cores

    def run(axis, most):
        states = {"now": start}

        def measure():
            many.cores = most
            with mesh(axis):
                states["now"] = list(jp.md.run_many(dynamics, states["now"], options.steps).states)

        return measure

    print(f"{options.replicas} replicas of 64 atoms")
    runs = {"1 device, 1 thread": run(None, lambda: 1), f"1 device, {cores()} threads": run(None, cores),
            f"{DEVICES} devices": run("systems", cores)}
    compared(runs, "us an atom and step", 64 * options.replicas * options.steps, options.rounds)


def structures(options):
    chance = np.random.default_rng(0)
    cluster = jp.Structure(bulk("Si", cubic=True).positions, np.zeros((3, 3)), [14] * 8, pbc=False)
    clusters = [cluster.moved(cluster.positions + 0.1 * chance.normal(size=(8, 3))) for _ in range(2000)]

    def run(axis):
        def measure():
            with mesh(axis):
                jp.evaluate_many(potential, clusters)

        return measure

    potential = jp.load(options.gap) if options.gap else SILICON
    print(f"{len(clusters)} clusters of 8 atoms")
    runs = {"1 device": run(None), f"{DEVICES} devices": run("systems")}
    compared(runs, "us a cluster", len(clusters), options.rounds)


def md(options):
    dynamics = jp.md.NVE(SILICON, 1.0 * fs)
    start = jp.md.run(dynamics, crystal(options.atoms), 100, key=1, temperature=600.0).state

    def run(axis):
        def measure():
            with mesh(axis):
                jp.md.run(dynamics, start, 100)

        return measure

    n = len(start.structure)
    print(f"{n} atoms")
    runs = {"1 device": run(None), f"{DEVICES} devices": run("atoms")}
    compared(runs, "us an atom and step", 100 * n, options.rounds)


def million(options):
    structure = crystal(1_000_000 if options.atoms == 32_000 else options.atoms)
    n = len(structure)
    print(f"Stillinger-Weber, {n} atoms")
    begin = time.perf_counter()
    listed = jp.neighbors(structure, SILICON.cutoff, skin=1.0)
    print(f"search on the host: {1e6 * (time.perf_counter() - begin) / n:.3g} us an atom")
    held = sum(leaf.nbytes for leaf in jax.tree.leaves((structure, listed)))
    print(f"structure and list: {held / n:.0f} bytes an atom on every device")
    forces = everywhere("atoms", jnp.zeros((n, 3)))
    alike = PartitionSpec()

    @jax.jit
    def summed(forces):
        return jax.shard_map(
            lambda share: jax.lax.psum(share, "atoms"), in_specs=(alike,), out_specs=alike, check_vma=False
        )(forces)

    def sum_of_forces():
        with mesh("atoms"):
            jax.block_until_ready(summed(forces))

    runs = evaluations(SILICON, structure, listed)
    compared({**runs, "sum of forces over devices": sum_of_forces}, "us an atom", n, options.rounds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("atoms", "replicas", "structures", "md", "million"))
    parser.add_argument("--atoms", type=int, default=32_000)
    parser.add_argument("--gap", type=Path, help="of silicon")
    parser.add_argument("--gap-atoms", type=int, default=1728)
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    {one.__name__: one for one in (atoms, replicas, structures, md, million)}[options.what](options)


if __name__ == "__main__":
    main()
