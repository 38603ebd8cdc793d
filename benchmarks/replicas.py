"""How many atom-steps a second do replicas of a small system make, beside one large system of as many atoms?

    python benchmarks/replicas.py speed      64 replicas of 64 Stillinger-Weber silicon atoms, and one run of 4,096
                                             atoms: Langevin at 600 K, a line of the table every 100 steps
    python benchmarks/replicas.py designs    ways of putting replicas into programs, without observers

Rounds are interleaved; given are medians, the fastest round, and processor time over wall time. Other processes on the
machine take cores away: what is left of them can be seen there.
"""

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import jax

jax.config.update("jax_enable_x64", True)

from ase.build import bulk

import jaxpot as jp
from jaxpot.md import lists
from jaxpot.md.loop import advance
from jaxpot.md.replicas import lists_alike, stacked
from jaxpot.units import fs

POTENTIAL = jp.potentials.StillingerWeber.silicon()
DYNAMICS = jp.md.Langevin(POTENTIAL, 1.0 * fs, 600.0, 0.01 / fs)


def small(replicas):
    """States of 64 atoms each, on the way to equilibrium."""
    structure = bulk("Si", cubic=True) * (2, 2, 2)
    return list(jp.md.run_many(DYNAMICS, [structure] * replicas, 200, key=1).states)


def large(replicas):
    """The state of one crystal with as many atoms; `replicas` is a multiple of 8."""
    return jp.md.run(DYNAMICS, bulk("Si", cubic=True) * (8, 8, replicas // 8), 200, key=1).state


def compared(runs, atom_steps, rounds):
    """Name -> median seconds of interleaved rounds, after one to compile."""
    for measure in runs.values():
        measure()
    walls, shares = ({name: [] for name in runs} for _ in range(2))
    for _ in range(rounds):
        for name, measure in runs.items():
            start, used = time.perf_counter(), time.process_time()
            measure()
            walls[name].append(time.perf_counter() - start)
            shares[name].append((time.process_time() - used) / walls[name][-1])
    for name, wall in walls.items():
        print(
            f"{name}: {1e6 * statistics.median(wall) / atom_steps:.3f} us an atom and step "
            f"(fastest {1e6 * min(wall) / atom_steps:.3f}), {statistics.median(shares[name]):.2f} cores"
        )
    return {name: statistics.median(wall) for name, wall in walls.items()}


def speed(options):
    states = {"replicas": small(options.replicas), "one": large(options.replicas)}

    def replicas():
        tables = [[jp.md.Thermo(100)] for _ in range(options.replicas)]
        states["replicas"] = list(jp.md.run_many(DYNAMICS, states["replicas"], options.steps, tables, key=1).states)

    def one():
        states["one"] = jp.md.run(DYNAMICS, states["one"], options.steps, [jp.md.Thermo(100)]).state

    atom_steps = options.replicas * 64 * options.steps
    median = compared({"one system": one, f"{options.replicas} replicas": replicas}, atom_steps, options.rounds)
    first, second = median.values()
    print(f"atom-steps a second, replicas / one system: {first / second:.2f}")


def designs(options):
    states, steps = small(options.replicas), options.steps
    target = int(states[0].step) + steps
    alike = lists_alike(DYNAMICS, [state.structure for state in states], (POTENTIAL.skin, lists.WIDE_SKIN), None)
    both = jax.device_put((stacked(states), stacked(alike)))
    alike = jax.device_put(alike)
    half = options.replicas // 2
    halves = [jax.tree.map(lambda a, own=own: a[own], both) for own in (slice(half), slice(half, None))]
    big = large(options.replicas)
    big_lists = lists.build(POTENTIAL, big.structure, POTENTIAL.skin)
    pool = ThreadPoolExecutor(2)

    def one(own):
        return advance(DYNAMICS, *own, target)

    mapped = jax.jit(lambda own: jax.lax.map(one, own))
    vectorised = jax.jit(jax.vmap(one))

    def step(state, short):
        return DYNAMICS.second(DYNAMICS.forces_at(DYNAMICS.first(state), short, with_stress=False))

    @jax.jit
    def vectorised_step(own):
        return jax.lax.fori_loop(0, steps, lambda _, now: jax.vmap(step)(now, own[1].short), own[0])

    @jax.jit
    def mapped_step(own):
        return jax.lax.fori_loop(
            0, steps, lambda _, now: jax.lax.map(lambda pair: step(*pair), (now, own[1].short)), own[0]
        )

    done = jax.block_until_ready
    compared({
        "one system of as many atoms": lambda: done(advance(DYNAMICS, big, big_lists, int(big.step) + steps)),
        "a call for each replica": lambda: done([one(own) for own in zip(states, alike, strict=True)]),
        "map around stretches of steps": lambda: done(mapped(both)),
        "the same for halves, in two threads": lambda: list(pool.map(lambda own: done(mapped(own)), halves)),
        "vmap around stretches of steps": lambda: done(vectorised(both)),
        "vmap inside of steps, lists neither checked nor pruned": lambda: done(vectorised_step(both)),
        "map inside of steps, lists neither checked nor pruned": lambda: done(mapped_step(both)),
    }, options.replicas * 64 * steps, options.rounds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "designs"))
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    {"speed": speed, "designs": designs}[options.what](options)


if __name__ == "__main__":
    main()
