"""Does the cost of an atom stay the same from 1,000 atoms to a million, and in how much memory?

Each size in a process of its own, so that its peak of memory is known: Stillinger-Weber silicon (or another of the
classes below) at 600 K; the list made on the host, energy, forces and stress (`jax.jit(jp.evaluate)`), and a step of
`jp.md.run` in constant energy, lists and all. Seconds of the process, which do not grow when others use the machine.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/scaling.py [--model eam] [--sizes 1000 8000 64000 1000000]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time


def systems(name):
    """Atoms of a conventional cell, and the potential."""
    import lammps_peer
    from ase.build import bulk

    import jaxpot as jp

    folder = lammps_peer.potentials_folder()
    return {
        "sw": lambda: (bulk("Si", cubic=True), jp.potentials.StillingerWeber.silicon()),
        "tersoff": lambda: (bulk("Si", cubic=True), jp.load(folder / "Si.tersoff")),
        "eam": lambda: (bulk("Cu", cubic=True), jp.load(folder / "Cu_mishin1.eam.alloy")),
        "lj": lambda: (bulk("Ar", "fcc", a=5.3, cubic=True), jp.potentials.LennardJones(0.0104, 3.4, 8.5)),
    }[name]()


def child(name, size):
    """Seconds an atom of each part, and the peak of memory in bytes, as JSON."""
    import jax

    jax.config.update("jax_enable_x64", True)

    import numpy as np

    import jaxpot as jp
    from jaxpot.units import fs

    class Watch(jp.md.Observer):
        """Seconds of the process."""

        def row(self, dynamics, state):
            return time.process_time()


    cell, potential = systems(name)
    side = round((size / len(cell)) ** (1 / 3))
    atoms = cell * (side, side, side)
    atoms.rattle(0.02, seed=0)
    structure, n, found = jp.Structure.of(atoms), len(atoms), {"atoms": len(atoms)}

    def timed(part, call, repeats=1):
        begin = time.process_time()
        for _ in range(repeats):
            result = jax.block_until_ready(call())
        found[part] = 1e6 * (time.process_time() - begin) / repeats / n
        return result

    repeats = max(1, 64000 // n)
    listed = timed("list on the host", lambda: jp.neighbors(structure, potential.cutoff, potential.skin))
    evaluate = jax.jit(jp.evaluate)
    jax.block_until_ready(evaluate(potential, structure, listed))
    timed("energy, forces and stress", lambda: evaluate(potential, structure, listed), repeats)
    dynamics = jp.md.NVE(potential, 1.0 * fs)
    temperature = 60.0 if name == "lj" else 600.0
    watch = Watch(every=10)
    jp.md.run(dynamics, structure, 100 + 20 * repeats, [watch], temperature=2.0 * temperature)
    # The median leaves out compilation and the first lists.
    found["step"] = 1e6 * statistics.median(np.diff(watch.rows)[3:]) / watch.every / n
    found["memory"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(found))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sw", choices=("sw", "tersoff", "eam", "lj"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 8000, 64000, 1000000])
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(options.model, options.child)
        return
    for size in options.sizes:
        command = [sys.executable, __file__, "--model", options.model, "--child", str(size)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        atoms, memory = found.pop("atoms"), found.pop("memory")
        parts = "; ".join(f"{part} {value:.2f}" for part, value in found.items())
        print(f"{options.model}, {atoms} atoms, us an atom: {parts}; peak {memory / 1e9:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
