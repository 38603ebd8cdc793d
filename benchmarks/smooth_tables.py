"""Tables made smooth: how far the EAM files that come with LAMMPS move, and what becomes of their crystals.

Of every file: knots, and the largest differences of the functions at the points of their tables. Of the crystal of each
element: the length a0 of its first lattice vector, C_ij and the Grueneisen parameter of one phonon; in brackets those
before, where the last is by differences of the cubics.

    python benchmarks/smooth_tables.py [--only NAME] [--tolerance eV] [--tables]
"""

import argparse
import time
import warnings

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from ase.build import bulk
from ase.data import atomic_numbers, reference_states
from lammps_peer import potentials_folder

import jaxpot as jp
from jaxpot.core.elements import symbol

ENDINGS = (".eam", ".eam.alloy", ".eam.fs")


def files():
    return sorted(path for path in potentials_folder().iterdir() if path.name.endswith(ENDINGS))


def crystal_of(element):
    """The element's crystal where that is fcc, bcc or hcp."""
    state = reference_states[atomic_numbers[element]]
    return bulk(element) if state and state["symmetry"] in ("fcc", "bcc", "hcp") else None


def numbers(potential, atoms):
    """a0 (A, the length of the first lattice vector), C11, C12, C44 (GPa) and gamma of the highest mode of one q."""
    crystal = jp.relax(potential, atoms, cell=True, fmax=1e-8).structure
    c = jp.elastic_constants(potential, crystal)
    gamma = jp.gruneisen(potential, crystal, [0.25, 0.1, 0.0]).gamma[-1]
    stiffness = (float(x) / jp.units.GPa for x in (c.c11, c.c12, c.c44))
    return float(np.linalg.norm(crystal.cell[0])), *stiffness, float(gamma)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="files whose names contain this")
    parser.add_argument("--tolerance", type=float, default=1e-9)
    parser.add_argument("--tables", action="store_true", help="print how each function differs")
    options = parser.parse_args()
    warnings.simplefilter("ignore", jp.errors.JaxpotWarning)  # that the cubics have kinks is what this is about
    for path in files():
        if options.only not in path.name:
            continue
        potential = jp.load(path)
        begin = time.perf_counter()
        found = jp.smoothed(potential, tolerance=options.tolerance)
        seconds = time.perf_counter() - begin
        knots = " ".join(str(d.intervals + 1) for d in found.differences)
        print(f"\n{path.name}: {seconds:.1f} s, knots {knots}")
        if options.tables:
            print(found)
        for label, start in (("F", "F("), ("f", "f("), ("phi", "phi(")):
            own = [d for d in found.differences if d.name.startswith(start)]
            if own:
                kinks = sum(len(d.missed) for d in own)
                print(f"  {label:4} largest {max(d.largest for d in own):.1e}, rms {max(d.rms for d in own):.1e}, "
                      f"{kinks} points missed, {sum(d.faded_from is not None for d in own)} faded")
        for number in potential.species:
            atoms = crystal_of(symbol(number))
            if atoms is None:
                continue
            try:
                before, after = (numbers(p, atoms) for p in (potential, found.potential))
            except jp.errors.ConvergenceError as error:
                print(f"  {symbol(number)}: {str(error).splitlines()[0]}")
                continue
            pairs = zip(("a0", "C11", "C12", "C44", "gamma"), after, before, strict=True)
            print(f"  {symbol(number):2} " + ", ".join(f"{name} {a:.4f} ({b:.4f})" for name, a, b in pairs), flush=True)


if __name__ == "__main__":
    main()
