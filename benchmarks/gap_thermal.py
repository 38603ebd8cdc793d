"""Does the thermal expansion of a GAP agree with the quasi-harmonic approximation through QUIP, and what limits that?

Diamond-like crystals with one length. quippy gives energies and the forces of displaced atoms in supercells at eleven
lengths; these phonopy turns into free energies on a mesh as large as the supercell: there its frequencies are exact,
however far force constants reach. From the same free energies alpha follows in two ways: as PhonopyQHA makes it (an
equation of state fitted at each temperature, volumes differenced over temperatures), and from the derivatives of
polynomials in the length, a = (dS/dx) / (d2F/dx dx) / (1 + x). We differentiate the free energy, once in itself
("free_energy") and once through mode Grueneisen parameters ("gruneisen").

A GAP's second derivatives jump where a shell of neighbours passes a kink: the lengths at which that happens are
printed. Windows of strains with a kink inside show what it does to either side (`--window -0.02 0.014` for silicon).

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/gap_thermal.py gap.xml [--size 6] [--window -0.006 0.014]
"""

import argparse
import time
import warnings

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from ase import Atoms
from gap import here_and_there, model_arguments
from phonopy import Phonopy, PhonopyQHA
from phonopy.structure.atoms import PhonopyAtoms

import jaxpot as jp
from jaxpot.io.prototypes import structure_from_spec

KJ_MOL = 1.0 / 96.48533212331  # eV
SHOWN = np.array([50.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0])


def quasi_harmonic(peer, atoms, size, distance, temperatures):
    """Energy (eV), free energy (kJ/mol), entropy and C_v (J/K/mol) per cell at one volume, by displacements."""
    unit = PhonopyAtoms(symbols=atoms.symbols, cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions(),
                        masses=atoms.get_masses())
    phonon = Phonopy(unit, np.eye(3, dtype=int) * size, primitive_matrix=np.eye(3))
    phonon.generate_displacements(distance=distance)
    phonon.forces = [
        Atoms(cell.symbols, positions=cell.positions, cell=cell.cell, pbc=True, calculator=peer).get_forces()
        for cell in phonon.supercells_with_displacements
    ]
    phonon.produce_force_constants()
    phonon.run_mesh([size] * 3, is_gamma_center=True)
    phonon.run_thermal_properties(temperatures=temperatures, cutoff_frequency=1e-3)
    found = phonon.get_thermal_properties_dict()
    atoms.calc = peer
    return atoms.get_potential_energy(), found["free_energy"], found["entropy"], found["heat_capacity"]


def from_polynomials(strains, energies, free, entropy, degree):
    """alpha (t,) 1/K from the derivatives of F(x, T) and S(x, T), polynomials in the linear strain x."""
    alpha = []
    for vibration, s in zip(free, entropy, strict=True):
        total = np.polynomial.Polynomial.fit(strains, energies + vibration * KJ_MOL, degree)
        slopes = [x.real for x in total.deriv().roots() if abs(x.imag) < 1e-9 and total.deriv(2)(x.real) > 0]
        x = min(slopes, key=abs)
        s = np.polynomial.Polynomial.fit(strains, s * KJ_MOL * 1e-3, degree)
        alpha.append(s.deriv()(x) / total.deriv(2)(x) / (1.0 + x))
    return np.array(alpha)


def report_kinks(potential, atoms, window):
    """Where, in linear strain, a shell of neighbours passes a distance at which a derivative jumps."""
    wide = (1.0 + max(map(abs, window))) * potential.cutoff + 1.0
    rows = np.unique(np.round(atoms.repeat(5).get_all_distances(mic=True)[0], 6))
    for kink in potential.kinks:
        for shell in rows[(rows > 0) & (rows < wide)]:
            strain = kink / shell - 1.0
            if abs(strain) < 0.03:
                inside = "inside" if window[0] < strain < window[1] else "outside"
                print(f"the shell at {shell:.4f} A passes {kink:.4g} A at a strain of {strain:+.4f}, {inside} the "
                      f"window of {window[0]:+.3f} to {window[1]:+.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    model_arguments(parser)
    parser.add_argument("--size", type=int, default=6, help="of the supercell and of the mesh")
    parser.add_argument("--distance", type=float, default=0.003, help="A")
    parser.add_argument("--window", type=float, nargs=2, default=(-0.006, 0.014), help="linear strains")
    parser.add_argument("--lengths", type=int, default=11)
    parser.add_argument("--degree", type=int, default=5, help="of the polynomials")
    options = parser.parse_args()
    with here_and_there(options) as (potential, peer):
        compare(potential, peer, options)


def compare(potential, peer, options):
    start, _ = structure_from_spec(options.structure)
    structure = jp.relax(potential, start, cell=True, fmax=1e-9).structure
    atoms, mesh = jp.to_ase(structure), (options.size,) * 3
    report_kinks(potential, atoms, options.window)

    ours, cold = {}, {}
    for method in ("free_energy", "gruneisen"):
        begin = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", jp.errors.JaxpotWarning)  # of the kinks reported above
            ours[method] = np.asarray(jp.thermal_expansion(potential, structure, SHOWN, mesh=mesh, method=method).alpha)
        cold[method] = time.perf_counter() - begin

    begin = time.perf_counter()
    temperatures = np.arange(0.0, 560.0, 10.0)
    strains = np.linspace(*options.window, options.lengths)
    found = []
    for strain in strains:
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell * (1.0 + strain), scale_atoms=True)
        found.append((scaled.get_volume(), *quasi_harmonic(peer, scaled, options.size, options.distance, temperatures)))
    volumes, energies, free, entropy, heat = (np.array(column) for column in zip(*found, strict=True))
    qha = PhonopyQHA(volumes=volumes, electronic_energies=energies, temperatures=temperatures, free_energy=free.T,
                     entropy=entropy.T, cv=heat.T, t_max=510.0, eos="birch_murnaghan")
    fitted = np.interp(SHOWN, temperatures[: len(qha.thermal_expansion)], qha.thermal_expansion) / 3
    taken = time.perf_counter() - begin
    rows = np.searchsorted(temperatures, SHOWN)
    smooth = from_polynomials(strains, energies, free.T[rows], entropy.T[rows], options.degree)
    print(f"ours {cold['free_energy']:.1f} s (with compilation), quippy and phonopy {taken:.1f} s; "
          f"our two routes differ by {np.abs(ours['free_energy'] - ours['gruneisen']).max():.1e} /K")
    print("  T (K)   alpha (1e-6/K)   QUIP, polynomials   difference   PhonopyQHA   difference")
    for t, a, b, c in zip(SHOWN, ours["free_energy"] * 1e6, smooth * 1e6, fitted * 1e6, strict=True):
        print(f"  {t:5.0f}   {a:14.5f}   {b:17.5f}   {b - a:+10.1e}   {c:10.5f}   {c - a:+10.1e}")


if __name__ == "__main__":
    main()
