"""How fast is `jax.jit(jp.evaluate)`? Energy, site energies, forces and stress of 8,000 atoms (SNAP: 1,000), one core.

Interleaved in one process with LAMMPS's MD step (neighbour list included; `evaluate` leaves ours out, `md.run` has
everything in) and with jax-md's Stillinger-Weber forces. Ratios of medians.

    taskset -c 0 python benchmarks/speed.py [--rounds 9] [--skip-jax-md] [--only Tersoff]
"""

import argparse
import itertools
import statistics
import time

import jax

jax.config.update("jax_enable_x64", True)

import lammps_peer
import numpy as np
from ase.build import bulk

import jaxpot as jp
from jaxpot.formats.lammps_meam import read_meam
from jaxpot.units import fs


def timer(call, repeats):
    """A function that times `repeats` calls, in seconds a call; compiled before."""
    jax.block_until_ready(call())

    def measure():
        start = time.perf_counter()
        for _ in range(repeats):
            jax.block_until_ready(call())
        return (time.perf_counter() - start) / repeats

    return measure


def jax_md_forces(atoms):
    """jax-md's Stillinger-Weber energy and forces with its dense neighbour list."""
    from jax_md import energy, quantity, space

    displacement, _ = space.periodic(atoms.cell.lengths())
    neighbor_fn, energy_fn = energy.stillinger_weber_neighbor_list(displacement, atoms.cell.lengths())
    positions = jax.numpy.asarray(atoms.positions)
    listed = neighbor_fn.allocate(positions)
    force = jax.jit(lambda r, n: (energy_fn(r, neighbor=n), quantity.force(energy_fn)(r, neighbor=n)))
    return lambda: force(positions, listed)


def md_step(atoms, potential, steps, temperature):
    """A function that times a step of `jp.md.run`, everything included."""
    dynamics = jp.md.NVE(potential, 1.0 * fs)
    state = jp.md.run(dynamics, atoms, steps, temperature=temperature, key=1).state

    def measure():
        nonlocal state
        found = jp.md.run(dynamics, state, steps)
        state = found.state
        return found.seconds / steps

    return measure


def systems():
    """Name, atoms, potential, LAMMPS's pair style and coefficients, its species, our skin."""
    folder = lammps_peer.potentials_folder()
    silicon = bulk("Si", "diamond", a=5.431, cubic=True) * (10, 10, 10)
    copper = bulk("Cu", "fcc", a=3.615, cubic=True) * (13, 13, 12)
    nickel = bulk("Ni", "fcc", a=3.52, cubic=True) * (13, 13, 12)
    argon = bulk("Ar", "fcc", a=5.3, cubic=True) * (13, 13, 12)
    eam, library, alloy = (folder / name for name in ("Cu_mishin1.eam.alloy", "library.meam", "Ni.meam"))
    yield "SW Si", silicon, jp.potentials.StillingerWeber.silicon(), "sw", f"* * {folder / 'Si.sw'} Si", ["Si"], 0.5
    yield "EAM Cu", copper, jp.load(eam), "eam/alloy", f"* * {eam} Cu", ["Cu"], 0.5
    yield ("LJ Ar", argon, jp.potentials.LennardJones(0.0104, 3.4, 8.5), "lj/cut 8.5", "* * 0.0104 3.4", ["Ar"], 0.5)
    tersoff = folder / "Si.tersoff"
    yield "Tersoff Si", silicon, jp.load(tersoff), "tersoff", f"* * {tersoff} Si", ["Si"], 0.5
    yield ("MEAM Ni", nickel, read_meam(library, alloy, ("Ni",)), "meam", f"* * {library} Ni {alloy} Ni", ["Ni"], 0.5)
    crystals = {"Si": (5, 5, 5), "Cu": (6, 6, 6), "Mo": (8, 8, 8)}
    for (element, size), kind in itertools.product(crystals.items(), ("", ".quadratic")):
        files = [folder / f"{element}_Zuo_JPCA2020{kind}.{ending}" for ending in ("snapcoeff", "snapparam")]
        command = f"* * {files[0]} {files[1]} {element}"
        name = f"{'quadratic ' if kind else ''}SNAP {element}"
        yield name, bulk(element, cubic=True) * size, jp.load(files), "snap", command, [element], 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--skip-jax-md", action="store_true")
    parser.add_argument("--only", default="", help="systems whose name contains this")
    options = parser.parse_args()
    for name, atoms, potential, style, coefficients, species, skin in systems():
        if options.only not in name:
            continue
        atoms.rattle(0.08, seed=0)
        structure = jp.Structure.of(atoms)
        listed = jp.neighbors(structure, potential.cutoff, skin)
        evaluate, forces = jax.jit(jp.evaluate), jax.jit(jp.forces)
        gradient = jax.jit(lambda p, s, n: jax.grad(lambda x: jp.energy(p, s.moved(x), n))(s.positions))
        arguments = (potential, structure, listed)
        runs = {
            "evaluate": timer(lambda f=evaluate, a=arguments: f(*a), 5),
            "forces": timer(lambda f=forces, a=arguments: f(*a), 5),
            "grad(energy)": timer(lambda f=gradient, a=arguments: f(*a), 5),
        }
        if name == "SW Si" and not options.skip_jax_md:
            runs["jax-md"] = timer(jax_md_forces(atoms), 1)
        slow = name.startswith("MEAM") or "SNAP" in name
        temperature = 60.0 if name == "LJ Ar" else 600.0
        runs["md.run"] = md_step(atoms, potential, 20 if slow else 200, temperature)
        runs["LAMMPS"] = lambda a=(atoms, style, coefficients, species), t=temperature: (
            1e-6 * len(a[0]) * lammps_peer.time_per_step(*a, skin=1.0, steps=20, rounds=1, temperature=t)[0]
        )
        found = {key: [] for key in runs}
        for _ in range(options.rounds):
            for key, run in runs.items():
                found[key].append(run())
        median = {key: statistics.median(times) for key, times in found.items()}
        print(f"\n{name}: {len(atoms)} atoms, skin {skin} A, {listed.capacity} places a row")
        for key, value in median.items():
            print(f"  {key:14s} {value / len(atoms) * 1e6:8.3f} us/atom   {value / median['LAMMPS']:6.2f} x LAMMPS")
        print(f"  grad(energy) / forces = {median['grad(energy)'] / median['forces']:.2f}")
        if "jax-md" in median:
            print(f"  jax-md / evaluate = {median['jax-md'] / median['evaluate']:.1f}")
        peer = lammps_peer.evaluate(atoms, style, coefficients, species).forces
        error = np.abs(np.asarray(forces(*arguments)) - peer)
        print(f"  largest difference of forces from LAMMPS {error.max():.1e} eV/A")


if __name__ == "__main__":
    main()
