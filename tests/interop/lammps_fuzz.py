"""Random inputs of LAMMPS for test_lammps_inputs.py: `mpiexec -n 2 python lammps_fuzz.py OUT SEED ...`.

Each seed is a potential, a crystal, a way to act and a sequence of commands; after each command energy, forces and virial
are compared with `jp.evaluate` of the positions that LAMMPS has. Ranks draw the same numbers. Writes a JSON list.
"""

import json
import sys
from pathlib import Path

import numpy as np
from lammps_ranks import MODELS, act, compared, load, lower, perturbed
from models import ions, salt

from jaxpot.interop.lammps import mpi, start

WAYS = ("plugin", "external", "bundle")
KINDS = {  # name in models.py -> repeats
    "stillinger-weber": (3, 2, 2),
    "stillinger-weber, two elements": (2, 2, 2),
    "eam, two elements": (2, 2, 2),
    "lj, smooth, two elements": (2, 2, 1),
    "tersoff, two elements": (2, 2, 2),
    "meam, two elements": (2, 2, 1),
    "gap, sum for two elements": (2, 1, 2),
    "two hops with angles": (2, 2, 2),
    "sum": (1, 1, 1),
    "ions": (2, 2, 2),
}
REFUSALS = ("comm_style tiled cannot exceed periodic box length",)  # of LAMMPS itself, where a box is small
IN_BUNDLES = ("stillinger-weber", "eam, two elements", "two hops with angles")
PERIODIC = {"ions": (ions, salt())}


def kind(name):
    return PERIODIC.get(name) or MODELS[name][:2]


def bundle_of(name):
    return f"{name.replace(' ', '_').replace(',', '')}.bundle"


def case_of(seed):
    """Name of a potential and way, by number: all pairs in turn."""
    pairs = [(name, way) for name in KINDS for way in WAYS]
    pairs = [
        (name, way) for name, way in pairs if (way != "bundle" or name in IN_BUNDLES) and (name != "ions" or way == "plugin")
    ]
    return pairs[seed % len(pairs)]


def moves(rng, species, way, ranks):
    """Commands, as a list of (name, lines)."""
    def seed():
        return int(rng.integers(1, 90_000))

    def small(size):
        return f"{rng.uniform(-size, size):.5f}"

    dynamics = "fix move all nve\nrun 6\nunfix move"
    result = {
        "displace": f"displace_atoms all random 0.1 0.1 0.1 {seed()} units box",
        "shift": f"displace_atoms all move {small(3)} {small(3)} {small(3)} units box",
        "stretch": f"change_box all x scale {rng.uniform(0.97, 1.03):.5f} y scale {rng.uniform(0.98, 1.02):.5f} remap units box",
        "shear": f"change_box all xy delta {small(0.4)} yz delta {small(0.4)} remap units box",
        "delete": f"delete_atoms random fraction 0.1 yes all NULL {seed()}\nreset_atoms id",
        "vacuum": "change_box all z delta -3 3 units box",
        "nve": f"velocity all create 600 {seed()}\n{dynamics}",
        "npt": f"velocity all create 900 {seed()}\nfix move all npt temp 900 900 0.1 tri 5000 5000 0.3\nrun 15\nunfix move",
        "langevin": f"fix warm all langevin 600 600 0.1 {seed()}\n{dynamics}\nunfix warm",
        "deform": f"fix pull all deform 1 x erate 1 xy erate 0.7 remap x flip yes\n{dynamics}\nunfix pull",
        "minimize": "minimize 0 1e-2 15 40",
        "relax": "fix press all box/relax iso 1000 vmax 0.002\nminimize 0 1e-2 8 20\nunfix press",
        "skin": f"neighbor {rng.uniform(0.2, 2.0 if way == 'external' else 3.5):.3f} bin\n{dynamics}",
        "rare": f"neigh_modify every 2 delay 4\n{dynamics}\nneigh_modify every 1 delay 0",
        "unsorted": f"atom_modify sort 0 0.0\n{dynamics}",
        "again": "run 0\nrun 0 pre no",
        "dumped": "reset_timestep 0\nwrite_dump all custom fuzz.dump id type x y z modify sort id\nread_dump fuzz.dump 0 x y z box yes",
        "respa": f"run_style respa 2 2\n{dynamics}\nrun_style verlet",
    }
    if way != "external":  # a fix of it is there, and a halo that its input must leave alone
        result["replicate"] = "replicate 1 2 1"
        result["thin"] = f"comm_modify cutoff {rng.uniform(0.5, 3.0):.3f}\n{dynamics}"
    if len(species) > 1:
        result |= {
            "types": f"set group all type/fraction 2 0.3 {seed()}",
            "swap": f"fix swap all atom/swap 2 6 {seed()} 3000 types 1 2 ke no\nrun 4\nunfix swap",
        }
    if ranks > 1:
        result |= {
            "tiled": "comm_style tiled\nbalance 1.0 rcb",
            "shifted": "comm_style brick\nbalance 1.0 shift x 5 1.05",
        }
    names = rng.permutation(sorted(result))[:3]
    return [(str(name), result[name]) for name in names]


def fuzz(engine, seed):
    """Differences of one case: (name of a command, difference) for each, and of what."""
    rng, (name, way) = np.random.default_rng(seed), case_of(seed)
    make, structure = kind(name)
    species, potential = sorted(set(structure.symbols)), make()
    start_from = lower(perturbed(structure, KINDS[name], seed=seed, size=0.04, strain=0.02))
    load(engine, start_from, species)
    act(engine, potential, species, bundle_of(name) if way == "bundle" else way)
    steps = [("start", compared(engine, potential, species))]
    for step, lines in moves(rng, species, way, mpi.ranks()[1]):
        if step == "replicate" and engine.get_natoms() > 60:
            continue
        try:
            engine.commands_string(f"{lines}\nvelocity all set 0 0 0\nrun 0")
        except Exception as error:
            if any(refusal in str(error) for refusal in REFUSALS):
                break
            raise
        steps.append((step, compared(engine, potential, species)))
    return {"seed": seed, "model": name, "way": way, "steps": steps}


if __name__ == "__main__":
    from jaxpot.cli.cache import use_cache

    use_cache()
    out, *seeds = sys.argv[1:]
    engine = start(["-screen", "none", "-log", "none"])
    document = []
    for seed in map(int, seeds):
        try:
            document.append(fuzz(engine, seed))
        except Exception as error:
            name, way = case_of(seed)
            document.append({"seed": seed, "model": name, "way": way, "steps": [], "failed": str(error)})
    if mpi.ranks()[0] == 0:
        Path(out).write_text(json.dumps(document, indent=1))
    engine.finalize()
