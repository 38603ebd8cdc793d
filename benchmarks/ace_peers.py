"""Is ACE python-ace's, and how much sooner? Energies and forces of one file, in one run, on the same core.

Neighbour lists are made before, on both sides. python-ace needs an environment of its own (`pip install --pre
python-ace==0.4.0rc1 ase`), whose Python is `--peer`; it is called in turns with the measurements here, and its fastest
evaluator is taken.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/ace_peers.py FILE --peer PYTHON [--atoms 250] [--rounds 5]
"""

import argparse
import json
import subprocess
import time
from functools import partial

import jax

jax.config.update("jax_enable_x64", True)

import ase.build
import numpy as np

import jaxpot as jp
from jaxpot.core.elements import symbol

PEER = """
import json, sys, time, ase
import numpy as np
from pyace import PyACECalculator
for line in sys.stdin:
    d = json.loads(line)
    atoms = ase.Atoms(d["numbers"], d["positions"], cell=d["cell"], pbc=True)
    best = None
    for recursive in (False, True):
        calculator = PyACECalculator(d["file"], recursive_evaluator=recursive, recursive=recursive)
        atoms.calc = calculator
        atoms.get_forces()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            calculator.ace.compute(calculator.ae)
            times.append(time.perf_counter() - start)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        if best is None or min(times) < best["time"]:
            best = {"time": min(times), "energy": energy, "forces": forces.tolist(), "recursive": recursive}
    print(json.dumps(best), flush=True)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--peer", required=True, help="Python with python-ace")
    parser.add_argument("--atoms", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    potential = jp.load(options.file)
    element = symbol(potential.species[0])
    cell = ase.build.bulk(element, cubic=True)
    repeats = round((options.atoms / len(cell)) ** (1.0 / 3.0))
    atoms = cell.repeat(repeats)
    atoms.rattle(0.05, seed=0)
    structure = jp.Structure.of(atoms)
    peer = subprocess.Popen([options.peer, "-c", PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    question = {
        "file": options.file, "numbers": atoms.numbers.tolist(), "positions": atoms.positions.tolist(),
        "cell": atoms.cell.tolist(),
    }
    neighbors = jp.neighbors(structure, potential.cutoff, 0.0)
    evaluate = partial(jax.jit(jp.evaluate), potential)
    jax.block_until_ready(evaluate(structure, neighbors))
    ours, theirs = [], []
    for _ in range(options.rounds):
        for _ in range(3):
            start = time.perf_counter()
            result = jax.block_until_ready(evaluate(structure, neighbors))
            ours.append(time.perf_counter() - start)
        peer.stdin.write(json.dumps(question) + "\n")
        peer.stdin.flush()
        answer = json.loads(next(line for line in iter(peer.stdout.readline, "") if line.startswith("{")))
        theirs.append(answer["time"])
    mine, other = (1e6 * float(np.median(times)) / len(atoms) for times in (ours, theirs))
    print(
        f"{element}, {len(atoms)} atoms: {mine:.1f} us/atom, python-ace {other:.1f} "
        f"({'recursive' if answer['recursive'] else 'product'} evaluator): {other / mine:.1f} x; energy "
        f"{abs(float(result.energy) - answer['energy']) / len(atoms):.1e} eV/atom apart, forces "
        f"{np.abs(np.asarray(result.forces) - answer['forces']).max():.1e} eV/A"
    )


if __name__ == "__main__":
    main()
