"""Is this working tree slower than an earlier commit?

Three processes on one core serve the same cases in turn: the commit, the commit once more, and this tree; a round
measures each of them, in seconds of the process. What the commit differs from itself by is the spread that a ratio
must leave to mean something. Last, cold: a whole fit in a process of its own.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/commits.py COMMIT --mlearn FOLDER [--rounds 9] [--only GAP]

FOLDER holds mlearn's data, with a folder for each element.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()
LEAST = 0.3  # seconds that one measurement lasts at least


def cases(mlearn):
    """(name, function that returns what is timed), each made when its turn comes."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import numpy as np
    from ase.build import bulk
    from speed import systems

    import jaxpot as jp

    def evaluation(potential, atoms, skin=0.5, verb=jp.evaluate):
        structure = jp.Structure.of(atoms)
        arguments = (potential, structure, jp.neighbors(structure, potential.cutoff, skin))
        program = jax.jit(verb)
        return lambda: jax.block_until_ready(program(*arguments))

    def steps(potential, atoms, count, kelvin=600.0):
        dynamics = jp.md.NVE(potential, jp.units.fs)
        state = jp.md.run(dynamics, atoms, count, temperature=kelvin, key=1).state

        def step():
            nonlocal state
            state = jp.md.run(dynamics, state, count).state

        return step

    def rattled(size, amplitude=0.05):
        atoms = bulk("Si", cubic=True) * (size, size, size)
        atoms.rattle(amplitude, seed=1)
        return atoms

    for name, atoms, potential, *_, skin in systems():
        atoms.rattle(0.08, seed=0)
        kelvin, count = (60.0 if name == "LJ Ar" else 600.0), (10 if name == "MEAM Ni" else 50)
        yield f"speed: {name}, evaluate", lambda p=potential, a=atoms, s=skin: evaluation(p, a, s)
        yield f"speed: {name}, a step", lambda p=potential, a=atoms, t=kelvin, n=count: steps(p, a, n, t)
    gap = jp.load(mlearn / "Si" / "published" / "gap" / "gap.xml")
    for size in (2, 3):
        yield f"gap: {8 * size**3} atoms, evaluate", lambda size=size: evaluation(gap, rattled(size), 0.3)
    network = jp.load(mlearn / "Si" / "published" / "nnp", units="Bohr Hartree")
    yield "neural: 216 atoms, evaluate", lambda: evaluation(network, rattled(3), 0.3)
    yield "neural: 216 atoms, energy", lambda: evaluation(network, rattled(3), 0.3, jp.energy)
    silicon = jp.load("sw-silicon")
    yield "md: SW, 64 atoms, steps", lambda: steps(silicon, rattled(2, 0.0), 500)
    yield "md: GAP, 64 atoms, steps", lambda: steps(gap, rattled(2, 0.0), 20)
    crystal = jp.relax(silicon, bulk("Si", a=5.43), cell=True, fmax=1e-10).structure
    q = np.random.default_rng(0).uniform(-0.5, 0.5, (100, 3))
    for name, potential in (("SW", silicon), ("GAP", gap)):
        yield f"phonons: {name}, 100 q", lambda p=potential: lambda: jax.block_until_ready(jp.phonons(p, crystal, q))
    data = jp.draw_dataset(silicon, bulk("Si", cubic=True), count=24)
    yield "gap_fit: gap-small, 24 frames", lambda: lambda: jp.fit(data, "gap-small")


def seconds(call):
    """Process seconds of a call, among as many as last `LEAST`."""
    start, count = time.process_time(), 0
    while time.process_time() - start < LEAST:
        call()
        count += 1
    return (time.process_time() - start) / count


def serve(mlearn):
    """Answer the lines of the standard input: a name prepares, an empty line measures."""
    prepared, makers = None, dict(cases(mlearn))
    print(json.dumps(list(makers)), flush=True)
    for line in sys.stdin:
        if line.strip():
            prepared = makers[line.strip()]()
            prepared()
            print(0.0, flush=True)
        else:
            print(seconds(prepared), flush=True)


class Served:
    """A process that serves the cases with the package of one tree."""

    def __init__(self, tree, mlearn):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tree), str(HERE.parent)))}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE), "serve", "--mlearn", str(mlearn)], env=environment, text=True, cwd=tree,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        self.names = json.loads(self.process.stdout.readline())

    def ask(self, line=""):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def cold_fit(tree, mlearn, frames, folder):
    """Process seconds of `jaxpot fit` in a process of its own, without kept programs."""
    environment = os.environ | {"PYTHONPATH": str(tree), "XDG_CACHE_HOME": tempfile.mkdtemp(dir=folder)}
    out = str(Path(tempfile.mkdtemp(dir=folder)) / "gap.xml")
    before = os.times()
    subprocess.run([sys.executable, "-m", "jaxpot", "fit", str(frames), "--recipe", "gap-small", "--out", out],
                   env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def report(name, rounds):
    """Print a line: the median time, and ratios with the range of the middle half of the rounds."""
    now = [row[2] / statistics.median(row[:2]) for row in rounds]
    itself = [row[1] / row[0] for row in rounds]
    text = [f"{name:32s} {1e3 * statistics.median(row[2] for row in rounds):9.2f} ms"]
    for label, ratios in (("now", now), ("itself", itself)):
        low, middle, high = statistics.quantiles(ratios, n=4)
        text.append(f"{label} {middle:.3f} ({low:.3f} to {high:.3f})")
    print("  ".join(text), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--mlearn", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    mlearn = options.mlearn.resolve()
    if options.commit == "serve":
        serve(mlearn)
        return
    root = HERE.parent.parent
    with tempfile.TemporaryDirectory() as scratch:
        earlier = Path(scratch) / "earlier"
        earlier.mkdir()
        archive = subprocess.run(["git", "archive", options.commit], cwd=root, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", earlier], input=archive, check=True)
        trees = (earlier, earlier, root)
        served = [Served(tree, mlearn) for tree in trees]
        for name in served[0].names:
            if options.only not in name:
                continue
            for process in served:
                process.ask(name)
            rounds = [[process.ask() for process in served] for _ in range(options.rounds)]
            report(name, rounds)
        for process in served:
            process.process.stdin.close()
        if options.only in "cold fit":
            frames = mlearn / "Si" / "train.xyz"
            report("cold fit", [[cold_fit(t, mlearn, frames, scratch) for t in trees] for _ in range(3)])


if __name__ == "__main__":
    main()
