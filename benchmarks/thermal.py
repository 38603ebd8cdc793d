"""Thermal expansion against phonopy's quasi-harmonic approximation with the same potential.

Stillinger-Weber silicon or Cleri-Rosato copper: phonopy displaces atoms in supercells at eleven volumes, fits an
equation of state to F(V, T) at each temperature and differences the volumes; we differentiate F. The mesh is the same.

    python benchmarks/thermal.py [--model sw-silicon|cleri-rosato-copper]
"""

import argparse
import time

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from ase.build import bulk
from phonopy import Phonopy, PhonopyQHA
from phonopy.structure.atoms import PhonopyAtoms

import jaxpot as jp

START = {"sw-silicon": (bulk("Si", a=5.43), 3), "cleri-rosato-copper": (bulk("Cu", a=3.61), 5)}


def phonopy_properties(potential, structure, size, mesh, temperatures):
    """Free energy (kJ/mol), entropy and C_v (J/K/mol) per cell at one volume, by displacements."""
    unit = PhonopyAtoms(symbols=structure.symbols, cell=np.asarray(structure.cell),
                        positions=np.asarray(structure.positions), masses=np.asarray(structure.masses))
    phonon = Phonopy(unit, np.eye(3, dtype=int) * size, primitive_matrix=np.eye(3))
    phonon.generate_displacements(distance=0.003)
    phonon.forces = [
        np.asarray(jp.forces(potential, jp.Structure(c.positions, c.cell, c.numbers, masses=c.masses)))
        for c in phonon.supercells_with_displacements
    ]
    phonon.produce_force_constants()
    phonon.run_mesh([mesh] * 3, is_gamma_center=True)
    phonon.run_thermal_properties(temperatures=temperatures, cutoff_frequency=1e-3)
    found = phonon.get_thermal_properties_dict()
    return found["free_energy"], found["entropy"], found["heat_capacity"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=START, default="sw-silicon")
    parser.add_argument("--mesh", type=int, default=6)
    options = parser.parse_args()
    potential = jp.load(options.model)
    start, size = START[options.model]
    structure = jp.relax(potential, start, cell=True, fmax=1e-9).structure
    temperatures = np.arange(0.0, 640.0, 20.0)
    shown = [100.0, 200.0, 300.0, 400.0, 500.0]

    begin = time.perf_counter()
    ours = jp.thermal_expansion(potential, structure, shown, mesh=(options.mesh,) * 3)
    ours_seconds = time.perf_counter() - begin

    begin = time.perf_counter()
    scaled = [structure.strained(x * np.eye(3)) for x in np.linspace(-0.006, 0.014, 11)]
    found = [phonopy_properties(potential, s, size, options.mesh, temperatures) for s in scaled]
    free, entropy, heat = (np.array([f[k] for f in found]).T for k in range(3))
    qha = PhonopyQHA(
        volumes=[float(s.volume) for s in scaled],
        electronic_energies=[float(jp.energy(potential, s)) for s in scaled],
        temperatures=temperatures, free_energy=free, entropy=entropy, cv=heat, t_max=600.0, eos="birch_murnaghan",
    )
    theirs_seconds = time.perf_counter() - begin
    theirs = np.interp(shown, temperatures[: len(qha.thermal_expansion)], qha.thermal_expansion) / 3
    print(f"{options.model}: ours {ours_seconds:.1f} s (with compilation), phonopy {theirs_seconds:.1f} s")
    print("   T (K)   alpha (1e-6/K)   phonopy   difference")
    for t, a, b in zip(shown, np.asarray(ours.alpha), theirs, strict=True):
        print(f"  {t:6.0f}   {a * 1e6:14.4f}   {b * 1e6:7.4f}   {b / a - 1:10.1e}")


if __name__ == "__main__":
    main()
