"""Does learning on the fly ask for the right frames? Against an oracle that knows everything.

    python benchmarks/learning.py [--seeds 3] [--budget 60]

Stillinger-Weber silicon is the oracle. Ten frames of 54 atoms, strained and rattled a little, are the start; then 20 ps
under zero pressure while the temperature rises from 300 to 1500 K, and at most `budget` labels. Errors of forces are
those on ten frames of another run, at 1200 K with the oracle; beside them a fit to as many frames taken at random from
a run of the oracle itself.
"""

import argparse
import time
from dataclasses import replace

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np

import jaxpot as jp
from jaxpot.io import structure_from_spec
from jaxpot.units import GPa, fs

STEPS, START, END = 20000, 300.0, 1500.0
ORACLE = jp.load("sw-silicon")
CRYSTAL = structure_from_spec("diamond:Si:a=5.431")[0]
RECIPE = replace(jp.read_recipe("gap-small"), choice="fixed")


def warming(potential):
    temperature = jp.md.Ramp(START, END, STEPS)
    return jp.md.CellRescaling(potential, 1.0 * fs, temperature, 0.0, 100.0 * fs, 1000.0 * fs, 0.01 / GPa)


def frames_at(dynamics, cell, steps, key):
    state, found = dynamics.init(cell, key=key), []
    for step in steps:
        state = jp.md.run(dynamics, state, int(step) - int(state.step)).state
        found.append(jp.label(state.structure, ORACLE))
    return found


def fitted(train, seed):
    return jp.fit(train, RECIPE.measured(train), seed=seed, jitter=1e-8, predictions=False).potential


def elastic(potential):
    found = jp.elastic_constants(potential, jp.relax(potential, CRYSTAL, cell=True).structure)
    return np.array([found.c11, found.c12, found.c44])


def report(name, potential, test):
    off = np.concatenate([np.ravel(jp.forces(potential, frame.structure) - frame.forces) for frame in test])
    wrong = 100.0 * (elastic(potential) / elastic(ORACLE) - 1.0)
    print(f"  {name}: forces {np.sqrt(np.mean(off**2)):.4f} eV/A root mean square, {np.abs(off).max():.3f} at most; "
          f"C11, C12, C44 off by {wrong[0]:+.2f}, {wrong[1]:+.2f}, {wrong[2]:+.2f} %", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=60)
    options = parser.parse_args()
    cell = CRYSTAL.repeated((3, 3, 3))
    for seed in range(options.seeds):
        jax.clear_caches()
        train = jp.draw_dataset(ORACLE, cell, 10, seed, strain=0.01, displacements=(0.02, 0.05))
        hot = jp.md.Langevin(ORACLE, 1.0 * fs, 1200.0, 0.02 / fs)
        test = frames_at(hot, cell, range(2500, 7001, 500), 99 + seed)
        start = time.perf_counter()
        found = jp.learn_on_the_fly(
            train, ORACLE, cell, warming, STEPS, recipe=RECIPE, budget=options.budget, seed=seed
        )
        print(f"seed {seed}: {len(found.log)} labels, {'all' if found.finished else int(found.state.step)} steps done, "
              f"{time.perf_counter() - start:.0f} s")
        chosen = np.sort(np.random.default_rng(seed).choice(np.arange(1, STEPS // 20), len(found.log), replace=False))
        random = frames_at(warming(ORACLE), cell, 20 * chosen, seed + 7)
        report("the ten frames", fitted(train, seed), test)
        report("on the fly", found.potential, test)
        report("as many at random", fitted(replace(train, frames=(*train.frames, *random)), seed), test)


if __name__ == "__main__":
    main()
