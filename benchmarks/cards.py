"""Do properties from published files come out as the papers of these potentials state them? Writes `cards.md`.

    python benchmarks/cards.py [--out benchmarks/cards.md]

Ten elements and three compounds from the files that come with LAMMPS. Stated values were typed in from the papers'
tables as we know them, not copied from a data base: where two numbers differ by more than a rounding and the papers'
methods (cells of a few hundred atoms, relaxation by hand), the page shows it, and either may be at fault.
"""

import argparse
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import lammps_peer
import numpy as np
from ase.build import bulk

import jaxpot as jp
from jaxpot.units import GPa, J_per_m2

FOILES = "Foiles, Baskes, Daw, Phys. Rev. B 33, 7983 (1986)"
UNITS = {
    "a": "A", "c/a": "", "E": "eV/atom", "C11": "GPa", "C12": "GPa", "C44": "GPa", "vacancy": "eV", "(111)": "J/m2",
    "(100)": "J/m2", "(110)": "J/m2",
}


def foiles(*numbers):
    return dict(zip(("a", "E", "C11", "C12", "C44", "vacancy", "(100)", "(110)", "(111)"), numbers, strict=True))


def zincblende(symbols, a):
    return bulk(symbols, "zincblende", a=a)


# File, crystal, atoms of its conventional cubic cell, source, stated values.
CARDS = (
    ("Cu_mishin1.eam.alloy", bulk("Cu"), 4, "Mishin et al., Phys. Rev. B 63, 224106 (2001), EAM1", {
        "a": 3.615, "E": -3.54, "C11": 169.9, "C12": 122.6, "C44": 76.2, "vacancy": 1.272,
        "(100)": 1.345, "(110)": 1.475, "(111)": 1.239,
    }),
    ("Ag_u3.eam", bulk("Ag"), 4, FOILES, foiles(4.09, -2.85, 129, 91, 57, 0.97, 0.705, 0.770, 0.620)),
    ("Au_u3.eam", bulk("Au"), 4, FOILES, foiles(4.08, -3.93, 183, 159, 45, 1.03, 0.918, 0.980, 0.790)),
    ("Ni_u3.eam", bulk("Ni"), 4, FOILES, foiles(3.52, -4.45, 233, 154, 128, 1.63, 1.580, 1.730, 1.450)),
    ("Pd_u3.eam", bulk("Pd"), 4, FOILES, foiles(3.89, -3.91, 218, 184, 65, 1.44, 1.370, 1.490, 1.220)),
    ("Pt_u3.eam", bulk("Pt"), 4, FOILES, foiles(3.92, -5.77, 303, 273, 68, 1.68, 1.650, 1.750, 1.440)),
    ("Fe_mm.eam.fs", bulk("Fe"), 2, "Mendelev et al., Philos. Mag. 83, 3977 (2003), potential 2", {
        "a": 2.8553, "E": -4.122, "C11": 244, "C12": 145, "C44": 116, "vacancy": 1.71,
    }),
    ("W_zhou.eam.alloy", bulk("W"), 2, "Zhou et al., Acta Mater. 49, 4005 (2001): r_e and E_c, to which it is fitted", {
        "a": 2 * 2.740840 / 3**0.5, "E": -8.76,
    }),
    ("Mg_mm.eam.fs", bulk("Mg"), None, "Sun et al., Phys. Rev. B 73, 024116 (2006)", {"a": 3.184, "c/a": 1.628}),
    ("Si.sw", bulk("Si"), 8, "Stillinger, Weber, Phys. Rev. B 31, 5262 (1985), with the energy of Balamane et al., "
     "Phys. Rev. B 46, 2250 (1992), who give the constants", {
        "a": 5.431, "E": -4.3363, "C11": 151.4, "C12": 76.4, "C44": 56.4,
    }),
    ("Si.tersoff", bulk("Si"), 8, "Tersoff, Phys. Rev. B 37, 6991 (1988), T2; constants of Balamane et al. (1992)", {
        "a": 5.431, "E": -4.63, "C11": 121.7, "C12": 85.8, "C44": 10.3,
    }),
    ("SiC_1989.tersoff", zincblende("SiC", 4.3), 8, "Tersoff, Phys. Rev. B 39, 5566 (1989); constants quoted later", {
        "a": 4.32, "C11": 437, "C12": 118, "C44": 257,
    }),
    ("SiC_Erhart-Albe.tersoff", zincblende("SiC", 4.3), 8, "Erhart, Albe, Phys. Rev. B 71, 035211 (2005)", {
        "a": 4.359, "E": -6.340, "C11": 382, "C12": 145, "C44": 240,
    }),
    ("GaN.tersoff", zincblende("GaN", 4.5), 8, "Nord et al., J. Phys. Condens. Matter 15, 5649 (2003)", {
        "a": 4.498, "E": -4.529,
    }),
    ("CoAl.eam.alloy", bulk("CoAl", "cesiumchloride", a=2.86), 2, "Vailhe, Farkas, J. Mater. Res. 12, 2559 (1997)", {
        "a": 2.86, "E": -4.45,
    }),
)


def computed(potential, crystal, atoms_in_cell, wanted):
    """The wanted numbers of a crystal, relaxed."""
    crystal = jp.relax(potential, crystal, cell=True).structure
    edges = np.linalg.norm(np.asarray(crystal.cell), axis=1)
    elastic = jp.elastic_constants(potential, crystal).voigt / GPa
    cube = atoms_in_cell and (atoms_in_cell * float(crystal.volume) / len(crystal)) ** (1 / 3)
    found = {
        "a": cube or edges[0], "c/a": edges[2] / edges[0], "E": jp.energy(potential, crystal) / len(crystal),
        "C11": elastic[0, 0], "C12": elastic[0, 1], "C44": elastic[3, 3],
    }
    if "vacancy" in wanted:
        found["vacancy"] = jp.vacancy_energy(potential, crystal).energy
    for name in wanted:
        if name.startswith("("):
            miller = tuple(int(digit) for digit in name[1:-1])
            found[name] = jp.surface_energy(potential, crystal, miller).energy / J_per_m2
    return {name: float(found[name]) for name in wanted}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="file to write the page to, beside printing it")
    options = parser.parse_args()
    lines = [
        "# Published files, and what their papers state", "",
        "Made by `python benchmarks/cards.py --out benchmarks/cards.md`; all of a card, phonons and thermal expansion "
        "too, is made by", "`jaxpot card FILE --structure fcc:Cu --out folder`. Stated values were typed in from the "
        "papers' tables as we know them.", "",
    ]
    folder, begin, off = lammps_peer.potentials_folder(), time.monotonic(), []
    for file, atoms, atoms_in_cell, source, stated in CARDS:
        print(f"{file}: {time.monotonic() - begin:.0f} s", flush=True)
        species = tuple(dict.fromkeys(atoms.get_chemical_symbols())) if ".tersoff" in file or ".sw" in file else None
        found = computed(jp.load(folder / file, species=species), atoms, atoms_in_cell, stated)
        lines += [f"## {atoms.get_chemical_formula('metal', True)}: `{file}`", "", f"{source}.", ""]
        lines += ["| | computed | stated |", "|---|---|---|"]
        for name, value in stated.items():
            digits = len(f"{value}".partition(".")[2]) if name != "a" else 4
            unit = f" ({UNITS[name]})" if UNITS[name] else ""
            lines.append(f"| {name}{unit} | {found[name]:.{max(digits, 1)}f} | {value:.{digits}f} |")
            off.append((abs(found[name] / value - 1.0), name, file))
        lines.append("")
    worst = ", ".join(f"{name} of {file} {100 * share:.1f} %" for share, name, file in sorted(off, reverse=True)[:5])
    share = 100.0 * np.mean([relative < 0.01 for relative, *_ in off])
    lines.append(f"{len(off)} numbers, {share:.0f} % within 1 % of the stated ones; furthest off: {worst}.")
    page = "\n".join(lines) + "\n"
    print(page)
    if options.out:
        options.out.write_text(page)


if __name__ == "__main__":
    main()
