"""How long do the phonons of a GAP take in a process that has just started, without and with kept programs?

Each round starts Python anew: without JAX's persistent cache, and with a temporary one that an uncounted run has
filled (the command line of jaxpot keeps such a cache by itself). Counted are 200 wave vectors and a density of states
on 8^3, compilation included, of a crystal relaxed before; and what comes before: imports, reading the file, relaxing.
Medians, by the clock and in brackets in seconds of that process, which do not grow when others use the machine.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/gap_start.py gap.xml [--structure diamond:Si] [--rounds 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

STEPS = ("import", "load", "relax", "phonons", "phonons again")


def child(path, species, spec):
    """The seconds of each step, by the clock and of this process, as JSON."""
    times, last = {}, [(time.perf_counter(), time.process_time())]

    def done(step):
        last.append((time.perf_counter(), time.process_time()))
        times[step] = [b - a for a, b in zip(last[-2], last[-1], strict=True)]

    import jax

    jax.config.update("jax_enable_x64", True)

    import numpy as np

    import jaxpot as jp
    from jaxpot.io.prototypes import structure_from_spec

    done("import")
    potential = jp.load(path, species=species)
    done("load")
    structure = jp.relax(potential, structure_from_spec(spec)[0], cell=True, fmax=1e-9).structure
    done("relax")
    many = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 3))
    for step in STEPS[-2:]:
        jax.block_until_ready(jp.phonons(potential, structure, many))
        jax.block_until_ready(jp.phonon_dos(potential, structure, mesh=(8, 8, 8)))
        done(step)
    print(json.dumps(times))


def started(options, cache=None):
    """Times of a new process; `cache` is a folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    if cache:
        environment |= {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2"}
    command = [sys.executable, "-W", "ignore", __file__, options.model, "--structure", options.structure, "--child"]
    if options.species:
        command += ["--species", *options.species]
    found = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(found.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--species", nargs="+")
    parser.add_argument("--structure", default="diamond:Si")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.model, options.species, options.structure)
        return
    with tempfile.TemporaryDirectory() as cache:
        started(options, cache)
        rounds = [(started(options), started(options, cache)) for _ in range(options.rounds)]
        kept = sum(entry.stat().st_size for entry in os.scandir(cache)) / 1e6
    for name, runs in zip(("without a cache", f"with a cache ({kept:.1f} MB)"), zip(*rounds, strict=True), strict=True):
        parts = []
        for step in STEPS:
            clock, own = (statistics.median(run[step][k] for run in runs) for k in range(2))
            parts.append(f"{step} {clock:.2f} s ({own:.2f})")
        print(f"{name}: " + ", ".join(parts), flush=True)


if __name__ == "__main__":
    main()
