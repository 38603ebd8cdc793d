"""Are ACE, MTP and NEP what their home codes make of the same file, and how much sooner?

Energies, forces and stress of one file in one run, on the same core. The peer is told by the file: python-ace for ACE
(the faster of its evaluators; `pip install --pre python-ace==0.4.0rc1 ase`), motep's C engine for MTP (`pip install
motep==0.2.0`), calorine's compiled NEP (`pip install calorine==4.1`). Each needs an environment of its own, whose
Python is `--peer`, and is asked in turns with the measurements here. Lists of neighbours are made before, but by
calorine, which makes its own within each call.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/linear_peers.py FILE --peer PYTHON [--species Cu]
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/linear_peers.py made-up.yace --peer PYTHON --components 492

With --components FILE is written first: an ACE of copper with some hundreds of components and weights at random. The
peer is asked at the end for what `jp.save` writes of the file as well.
"""

import argparse
import json
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import ase.build
import ase.io
import numpy as np
from ase.data import atomic_numbers, reference_states

import jaxpot as jp
from jaxpot.basis.radial_bases import RadialBasis, orthonormal_coefficients
from jaxpot.core.elements import symbol
from jaxpot.descriptors import ClusterExpansion
from jaxpot.descriptors.component_sets import components_by_orders, smooth_scales
from jaxpot.potentials import Described
from jaxpot.readouts import Linear

ASKED = """
import json, sys, time, ase
for line in sys.stdin:
    d = json.loads(line)
    atoms = ase.Atoms(d["numbers"], d["positions"], cell=d["cell"], pbc=True)
    best = None
    for name, calculator, compute in calculators(d["file"], d["species"]):
        atoms.calc = calculator
        atoms.get_forces()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            compute(atoms)
            times.append(time.perf_counter() - start)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        if best is None or min(times) < best["time"]:
            best = {"time": min(times), "energy": energy, "forces": forces.tolist(), "name": name}
    print(json.dumps(best), flush=True)
"""
ACE = """
from pyace import PyACECalculator
def calculators(path, species):
    for recursive, name in ((False, "product evaluator"), (True, "recursive evaluator")):
        c = PyACECalculator(path, recursive_evaluator=recursive, recursive=recursive)
        yield name, c, lambda atoms: c.ace.compute(c.ae)
"""
MTP = """
from motep.calculator import MTP
from motep.io.mlip.mtp import read_mtp
from ase.data import atomic_numbers
def calculators(path, species):
    data = read_mtp(path)
    data.species = [atomic_numbers[s] for s in species]
    c = MTP(data, engine="cext")
    yield "C engine", c, c.engine.calculate
"""
NEP = """
from calorine.calculators import CPUNEP
def calculators(path, species):
    c = CPUNEP(path)
    yield "its lists included", c, lambda atoms: c.nepy.get_potential_forces_and_virials()
"""
# Number of components -> highest n and l of products of one factor, of two, ..., and highest sums of n - 1 and l.
MADE_UP = {
    492: ((8, 6, 4, 2), (0, 4, 3, 2), None), 503: ((10, 8, 6, 4), (0, 6, 4, 3), (9, 13, 9, 7)),
    963: ((12, 12, 7, 4), (0, 9, 7, 5), (11, 15, 11, 8)),
}
CUBIC = ("fcc", "bcc", "diamond")
PEERS = {".yace": ("python-ace", ACE), ".ace": ("python-ace", ACE), ".mtp": ("motep", MTP)}


def crystal(species, like, count):
    """The lattice of an element, with those of a potential at random on its places, and atoms off these.

    Args:
        species: atomic numbers.
        like: symbol of the element; None: the first of the species that has a cubic lattice.
        count: of atoms, about.
    """
    candidates = [like] if like else [symbol(z) for z in species]
    lattices = (atomic_numbers[name] for name in candidates if name in atomic_numbers)
    cubic = [z for z in lattices if (reference_states[z] or {}).get("symmetry") in CUBIC]
    if not cubic:
        raise SystemExit(f"no cubic lattice of {', '.join(candidates)} is known; name an element: --crystal Si")
    cell = ase.build.bulk(symbol(cubic[0]), cubic=True)
    atoms = cell.repeat(round((count / len(cell)) ** (1.0 / 3.0)))
    atoms.rattle(0.05, seed=0)
    atoms.numbers = np.random.default_rng(0).choice(species, len(atoms))
    return atoms


def write_made_up(path, count):
    """Write an ACE of copper whose radial functions reach 4.7 A: 44 neighbours."""
    radials, degrees, totals = MADE_UP[count]
    components, basis = components_by_orders(1, radials, degrees, totals), RadialBasis("ChebExpCos", -1.0, 4.7)
    if len(components) != count:
        raise SystemExit(f"{len(components)} components: correct MADE_UP")
    radial = np.repeat(orthonormal_coefficients(basis, max(radials), 2.0)[:, None], max(degrees) + 1, axis=1)
    scales = smooth_scales(components, 2.0, 12.0)
    descriptor = ClusterExpansion(("Cu",), components, (basis,), radial[None], ("Cu",), scales)
    weights = 0.01 * np.random.default_rng(0).normal(size=count)
    jp.save(Described(descriptor, Linear(weights), ("Cu",)), path)


def asked(python, calculators):
    """A function that asks a process of another Python for energies, forces and times."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    peer = subprocess.Popen([python, "-c", calculators + ASKED], **pipes)

    def ask(question):
        peer.stdin.write(json.dumps(question) + "\n")
        peer.stdin.flush()
        answer = next((line for line in iter(peer.stdout.readline, "") if line.startswith("{")), None)
        if answer is None:
            raise SystemExit(f"{python} gave no answer for {question['file']}; what it says stands above")
        return json.loads(answer)

    return ask


def apart(result, answer):
    """Words on how far an `Evaluation` and an answer are apart."""
    forces = np.asarray(result.forces)
    energy = abs(float(result.energy) - answer["energy"]) / len(forces)
    return f"energy {energy:.1e} eV/atom apart, forces {np.abs(forces - answer['forces']).max():.1e} eV/A"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--peer", required=True, help="Python with python-ace, motep or calorine")
    parser.add_argument("--species", nargs="+", help="elements of the types of a .mtp")
    parser.add_argument("--crystal", help="element whose lattice is taken; default: the first with a cubic one")
    parser.add_argument("--structure", help="file of a cell to take instead, as it is")
    parser.add_argument("--atoms", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--components", type=int, choices=sorted(MADE_UP), help="write FILE first")
    options = parser.parse_args()
    if options.components:
        write_made_up(options.file, options.components)
    potential = jp.load(options.file, **({"species": tuple(options.species)} if options.species else {}))
    atoms = ase.io.read(options.structure) if options.structure else None
    atoms = atoms or crystal(potential.species, options.crystal, options.atoms)
    structure = jp.Structure.of(atoms)
    peer_name, calculators = PEERS.get(Path(options.file).suffix, ("calorine", NEP))
    ask = asked(options.peer, calculators)
    question = {
        "file": options.file, "species": options.species, "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(), "cell": atoms.cell.tolist(),
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
        answer = ask(question)
        theirs.append(answer["time"])
    mine, other = (1e6 * float(np.median(times)) / len(atoms) for times in (ours, theirs))
    with tempfile.TemporaryDirectory() as scratch:
        written = str(Path(scratch) / Path(options.file).name)
        jp.save(potential, written)
        of_written = ask(question | {"file": written})
    print(
        f"{Path(options.file).name}, {len(atoms)} atoms: {mine:.1f} us/atom, {peer_name} {other:.1f} "
        f"({answer['name']}): {other / mine:.1f} x; {apart(result, answer)}; as written {apart(result, of_written)}"
    )


if __name__ == "__main__":
    main()
