"""Potentials of several hops and of long range: what do waves, hops and a sum of both kinds cost?

waves     D(q) at 100 wave vectors of a crystal of two atoms, all columns, by lattice waves, in units of one evaluation
          of the forces of its 5 x 5 x 5 supercell; and D(q) against the Hessian of a supercell.
memory    memory of one evaluation (as XLA plans it) of 10,000 atoms by the number of hops: what is temporary, and all.
responses Grueneisen parameters beside differences, alpha(T) by both routes, relaxed C_ij beside finite strain, and the
          bar of C44 by `propagate`, relaxation included, beside re-relaxed crystals: relative differences, two hops.
sum       temporary memory of a GAP, of an Ewald sum, and of their sum, at 3,456 atoms.

The models are those of the contract (`tests/models.py`); the Ewald sum is a toy, here with an accuracy of 1e-2.

    taskset -c 0 python benchmarks/hops.py [waves] [memory] [responses] [sum] [--rounds 7] [--json FILE]
"""

import argparse
import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from models import Ewald, close_packed, diamond, fcc, hopping, small_gap

import jaxpot as jp
from jaxpot.checks import prepare
from jaxpot.core.pytree import pytree
from jaxpot.potentials.base import parameter_names

SIZE, VECTORS, ATOMS = 5, 100, 10_000


@pytree
class RoughEwald(Ewald):
    """Few wave vectors."""

    DECAY = 2.0


def interleaved(functions, rounds):
    """Median seconds of each function, called in turn."""
    times = [[] for _ in functions]
    for k in range(rounds + 1):
        for of_function, function in zip(times, functions, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(function())
            if k:  # the first call compiles
                of_function.append(time.perf_counter() - start)
    return [statistics.median(one) for one in times]


def waves(rounds):
    """Time of D(q) over that of the forces of a supercell, by the number of hops; and the largest difference of D."""
    rows = []
    for hops in (1, 2, 3):
        potential, crystal = hopping(hops, 16), close_packed()
        crystal = crystal.moved(np.asarray(crystal.positions) + [[0.0, 0.0, 0.0], [0.03, -0.02, 0.05]])
        q = np.random.default_rng(0).uniform(-0.5, 0.5, (VECTORS, 3))
        exact = jp.second_order(potential, crystal)
        matrices = jax.jit(lambda exact, q: exact.dynamical_matrix(q))
        big = prepare(potential, crystal.repeated((SIZE,) * 3))
        forces = jax.jit(jp.forces)
        ours, theirs = interleaved((partial(matrices, exact, q), partial(forces, *big)), rounds)
        size = (2 * hops + 1,) * 3
        commensurate = np.stack(np.meshgrid(*[np.arange(s) / s for s in size], indexing="ij"), -1).reshape(-1, 3)[::17]
        expected = jp.second_order(potential, crystal, supercell=size).dynamical_matrix(commensurate)
        largest = float(np.abs(expected - exact.dynamical_matrix(commensurate)).max() / np.abs(expected).max())
        row = {
            "hops": hops, "matrices_ms": 1e3 * ours, "forces_ms": 1e3 * theirs,
            "atoms_of_supercell": len(big[1]), "difference": largest,
        }
        row["evaluations"] = row["matrices_ms"] / row["forces_ms"]
        rows.append(row)
        print(
            f"{hops} hops: {VECTORS} q in {row['matrices_ms']:.0f} ms, forces of {row['atoms_of_supercell']} atoms in "
            f"{row['forces_ms']:.1f} ms: {row['evaluations']:.2f} evaluations; D is off by {largest:.1e} of the largest"
        )
    return rows


def planned(potential, structure):
    """Bytes of one evaluation as XLA plans it: beside its arguments and results, and with them."""
    ready = prepare(potential, structure)
    plan = jax.jit(jp.evaluate).lower(*ready).compile().memory_analysis()
    temporary = plan.temp_size_in_bytes
    return temporary, temporary + plan.argument_size_in_bytes + plan.output_size_in_bytes


def memory(rounds):
    """Memory by the number of hops."""
    crystal = close_packed()
    repeats = (18, 18, -(-ATOMS // (2 * 18 * 18)))
    big = crystal.repeated(repeats)
    sizes = {hops: planned(hopping(hops, 16), big) for hops in (1, 2, 3, 5)}
    for hops, (temporary, whole) in sizes.items():
        print(
            f"{len(big)} atoms, {hops} hops: {temporary / 1e6:.1f} MB, {temporary / sizes[1][0]:.2f} of one hop; with "
            f"structure, list and results {whole / 1e6:.1f} MB, {whole / sizes[1][1]:.2f}"
        )
    return {str(hops): {"temporary": temporary, "whole": whole} for hops, (temporary, whole) in sizes.items()}


def responses(rounds):
    """Relative differences between two routes to properties of a model of two hops."""
    q = np.array([[0.5, 0.0, 0.5], [0.27, 0.1, 0.0]])
    potential = hopping()
    cubic = jp.relax(potential, fcc(3.5, "Cu"), cell=True).structure
    crystal = jp.relax(potential, close_packed(), cell=True, fmax=1e-10).structure

    def largest(one, other):
        return float(np.abs(np.asarray(one) - np.asarray(other)).max() / np.abs(np.asarray(other)).max())

    gamma = [jp.gruneisen(potential, cubic, q, differences=flag).gamma for flag in (False, True)]
    alpha = [
        jp.thermal_expansion(potential, cubic, [300.0], mesh=(3, 3, 3), method=method, differences=True).alpha
        for method in ("free_energy", "gruneisen")
    ]

    def c44(potential):
        relaxed = jp.relax(potential, crystal, cell=True, fmax=1e-10).structure
        return float(jp.elastic_constants(potential, relaxed).c44)

    stresses = []
    for step in (-2e-4, -1e-4, 1e-4, 2e-4):
        strained = crystal.strained(np.diag([step, 0.0, 0.0]))
        relaxed = jp.relax(potential, strained, fmax=1e-10).structure
        stresses.append(np.diag(np.asarray(jp.stress(potential, relaxed))))
    slope = (8.0 * (stresses[2] - stresses[1]) - (stresses[3] - stresses[0])) / 12e-4
    posterior = jp.Posterior.of(potential, {parameter_names(potential)[0]: 1e-3})
    bar = jp.propagate(posterior, lambda p, x: jp.elastic_constants(p, x).c44, crystal)
    along, step = np.eye(posterior.factor.shape[1]), 0.05
    moved = [(c44(posterior.at(step * z)) - c44(posterior.at(-step * z))) / (2.0 * step) for z in along]
    table = {
        "Grueneisen parameters": largest(*gamma), "alpha(300 K)": largest(*alpha),
        "C11, C12, C13": largest(np.asarray(jp.elastic_constants(potential, crystal).voigt)[:3, 0], slope),
        "bar of C44": abs(float(bar.std) / float(np.linalg.norm(moved)) - 1.0),
    }
    for name, difference in table.items():
        print(f"{name}: {difference:.1e}", flush=True)
    return table


def of_sum(rounds):
    """Temporary memory of parts and of their sum."""
    crystal = diamond(4.6, ["Si", "C"]).replace(atom_data={"charges": [1.0, -1.0]}).repeated((12, 12, 12))
    parts = {"GAP": small_gap(), "Ewald": RoughEwald(np.array(1.0))}
    sizes = {name: planned(part, crystal)[0] for name, part in parts.items()}
    sizes["sum"] = planned(parts["GAP"] + parts["Ewald"], crystal)[0]
    share = sizes["sum"] / (sizes["GAP"] + sizes["Ewald"])
    print(f"{len(crystal)} atoms: " + ", ".join(f"{k} {v / 1e6:.1f} MB" for k, v in sizes.items()) + f": {share:.3f}")
    return sizes | {"share": share}


QUESTIONS = {"waves": waves, "memory": memory, "responses": responses, "sum": of_sum}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="*", choices=[[], *QUESTIONS], default=[])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json")
    options = parser.parse_args()
    answers = {name: QUESTIONS[name](options.rounds) for name in options.questions or QUESTIONS}
    if options.json:
        Path(options.json).write_text(json.dumps(answers, indent=1))


if __name__ == "__main__":
    main()
