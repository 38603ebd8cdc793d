"""Does dynamics hold out: few programs, the same bits in every process, mixtures that are heated and crushed?

    taskset -c 0 python benchmarks/endurance.py programs            compilations of the step in 100,000 steps, and while
                                                                    a fifth of the volume is squeezed out of silicon
    taskset -c 0 python benchmarks/endurance.py bits [--times 20]   forces and 200 steps of every ensemble, in so many
                                                                    processes: how many different results there are
    taskset -c 0 python benchmarks/endurance.py mixtures [--seeds 200] [--ps 10] [--only GPa]
                                                                    random mixtures of H, Al and Ni, NVT from 300 to
                                                                    3000 K and squeezed from 0 to 500 GPa: with a
                                                                    repulsive core, and a tenth of them with the
                                                                    published tables alone

A run of a mixture has to reach its last step with finite numbers, or to end in a `SimulationError` that names atoms and
holds a last state whose energy, computed anew, is what it says.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from collections import Counter

import jax

jax.config.update("jax_enable_x64", True)

import lammps_peer
import numpy as np
from ase.build import bulk

import jaxpot as jp
from jaxpot.errors import SimulationError
from jaxpot.md.loop import advance
from jaxpot.units import GPa, fs

TABLES = "NiAlH_jea.eam.alloy"
ATOMS = 32  # of a mixture
PROGRAMS = 45  # then they are forgotten: each takes a thousand of the 65,530 pieces of memory that Linux allows
ALL = []  # seconds of every compilation

jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: ALL.append(seconds) if event.endswith("backend_compile_duration") else None
)


def ensembles(potential, temperature=500.0):
    """One of each, with usual settings."""
    return {
        "NVE": jp.md.NVE(potential, 1.0 * fs),
        "Langevin": jp.md.Langevin(potential, 1.0 * fs, temperature, 0.02 / fs),
        "VelocityRescaling": jp.md.VelocityRescaling(potential, 1.0 * fs, temperature, 50 * fs),
        "NoseHoover": jp.md.NoseHoover(potential, 1.0 * fs, temperature, 50 * fs),
        "CellRescaling": squeezed(potential, temperature, 0.0, 1),
    }


def squeezed(potential, temperature, pressure, steps):
    """Full-cell dynamics while the pressure rises from zero."""
    ramp = jp.md.Ramp(0.0, pressure, steps)
    return jp.md.CellRescaling(potential, 1.0 * fs, temperature, ramp, 50 * fs, 200 * fs, 0.01 / GPa)


def programs():
    silicon = jp.potentials.StillingerWeber.silicon()
    atoms = bulk("Si", cubic=True) * (2, 2, 2)
    for name, dynamics, steps in (
        ("NVE, 100,000 steps", ensembles(silicon)["NVE"], 100_000),
        ("NVT, 100,000 steps", ensembles(silicon, 1500.0)["VelocityRescaling"], 100_000),
        ("NPT, 0 to 35 GPa in 20,000 steps", squeezed(silicon, 600.0, 35.0 * GPa, 20_000), 20_000),
    ):
        jax.clear_caches()
        before, events = advance._cache_size(), len(ALL)
        found = jp.md.run(dynamics, atoms, steps, temperature=1200.0, key=1)
        volume = float(found.state.structure.volume) / atoms.get_volume()
        print(f"{name}: the step compiled {advance._cache_size() - before} x, all programs of the process "
              f"{len(ALL) - events}; volume {100.0 * (volume - 1.0):+.1f} %; {found.seconds:.0f} s", flush=True)


def digest():
    """Of forces, and of the last states of short runs."""
    silicon = jp.potentials.StillingerWeber.silicon()
    tables = jp.load(lammps_peer.potentials_folder() / TABLES)
    atoms = bulk("Si", cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=1)
    mixed = mixture(3)
    kept = hashlib.sha256()
    for found in (jp.evaluate(silicon, atoms), jp.evaluate(tables, mixed)):
        for part in (found.energy, found.forces, found.stress):
            kept.update(np.asarray(part).tobytes())
    for dynamics in ensembles(silicon).values():
        state = jp.md.run(dynamics, atoms, 200, temperature=600.0, key=1).state
        for leaf in jax.tree.leaves((state.structure.positions, state.structure.cell, state.velocities, state.energy)):
            kept.update(np.asarray(leaf).tobytes())
    return kept.hexdigest()


def bits(times):
    found = Counter()
    for k in range(times):
        done = subprocess.run([sys.executable, __file__, "digest"], capture_output=True, text=True, env=os.environ)
        if done.returncode:
            raise SystemExit(done.stderr)
        found[done.stdout.strip()] += 1
        print(f"process {k + 1}: {done.stdout.strip()[:16]}", flush=True)
    print(f"{times} processes, {len(found)} different results")
    return len(found) == 1


def mixture(seed):
    """Atoms of H, Al and Ni at random places no nearer than 1.2 A, at a random density."""
    rng = np.random.default_rng(seed)
    length = (ATOMS * rng.uniform(8.0, 22.0)) ** (1 / 3)
    shape = np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3))
    cell = shape * length / np.linalg.det(shape) ** (1 / 3)
    places = []
    while len(places) < ATOMS:
        place = rng.uniform(size=3)
        apart = np.array([place - other for other in places]).reshape(-1, 3)
        apart = (apart - np.round(apart)) @ cell
        if not len(places) or np.linalg.norm(apart, axis=1).min() > 1.2:
            places.append(place)
    symbols = rng.choice(["H", "Al", "Ni"], size=ATOMS, p=rng.dirichlet([1.0, 2.0, 2.0]))
    return jp.Structure(np.array(places) @ cell, cell, symbols.tolist())


def outcome(dynamics, start, steps, seed):
    """How a run ends: "finished", "stopped", or what is wrong."""
    try:
        found = jp.md.run(dynamics, start, steps, temperature=300.0, key=seed)
    except SimulationError as error:
        if not re.search(r"atoms \d+ \(", str(error)):
            return f"no atoms named: {error}"
        return "stopped" if sound(dynamics.potential, error.state) else "the last state is not sound"
    except Exception as error:  # noqa: BLE001 - any other kind is what this looks for
        return f"{type(error).__name__}: {error}"
    if int(found.state.step) != steps:
        return f"ended at step {int(found.state.step)}"
    return "finished" if sound(dynamics.potential, found.state) else "the last state is not sound"


def sound(potential, state):
    """Whether numbers are finite and the energy is that of the positions."""
    if not all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(state.replace(key=None))):
        return False
    anew = jp.evaluate(potential, state.structure)
    scale = 1.0 + np.abs(np.asarray(state.energy))
    return bool(np.abs(anew.energy - state.energy) <= 1e-9 * scale)


def mixtures(seeds, picoseconds, only):
    tables = jp.load(lammps_peer.potentials_folder() / TABLES)
    core = jp.potentials.ZBL(1.0, 1.8)
    steps, good = round(1000.0 * picoseconds), True  # 1 fs each
    for name, potential, count in (("tables and repulsive core", tables + core, seeds),
                                   ("tables alone", tables, max(seeds // 10, 1))):
        heated = jp.md.VelocityRescaling(potential, 1.0 * fs, jp.md.Ramp(300.0, 3000.0, steps), 50 * fs)
        crushed = squeezed(potential, 300.0, 500.0 * GPa, steps)
        for title, dynamics in (("300 to 3000 K", heated), ("0 to 500 GPa", crushed)):
            if only not in f"{name}, {title}":
                continue
            start, found = time.perf_counter(), Counter()
            for seed in range(count):
                ended = outcome(dynamics, mixture(seed), steps, seed)
                found[ended] += 1
                if advance._cache_size() > PROGRAMS:
                    jax.clear_caches()
                if ended not in ("finished", "stopped"):
                    print(f"  seed {seed}: {ended}", flush=True)
                if (seed + 1) % 20 == 0:
                    print(f"  {seed + 1} of {count}, {advance._cache_size()} programs", file=sys.stderr, flush=True)
            good = good and set(found) <= {"finished", "stopped"}
            print(f"{name}, {title}: {dict(found)}, {time.perf_counter() - start:.0f} s", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["programs", "bits", "mixtures", "digest"])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--ps", type=float, default=10.0)
    parser.add_argument("--only", default="", help="mixtures whose title contains this")
    options = parser.parse_args()
    if options.what == "digest":
        print(digest())
    elif options.what == "programs":
        programs()
    else:
        good = bits(options.times) if options.what == "bits" else mixtures(options.seeds, options.ps, options.only)
        raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
