"""`jaxpot vibrations`: normal modes of a molecule, a cluster or a slab, and what follows from them."""

from argparse import Namespace

import numpy as np

from jaxpot import io, units
from jaxpot.checks import check_species
from jaxpot.cli.console import Console, to_json
from jaxpot.cli.files import output_file, write_text
from jaxpot.cli.model import load_model, model_argument
from jaxpot.cli.parser import CommandParser
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.properties.relax import relax
from jaxpot.properties.vibrations import vibrations

NAME = "vibrations"
HELP = "normal modes of a molecule, a cluster or a slab, and free energies"
EPILOG = """The structure is taken as it is: relax it before, or give --relax. With --temperature there are the
free energies of the modes as harmonic oscillators; with --symmetry-number as well, those of a gas of these
molecules. It says how many rotations leave the molecule as it is: 2 of N2 or water, 12 of methane.

examples:
  jaxpot vibrations sw-silicon cluster.xyz --relax
  jaxpot vibrations sw-silicon slab.xyz --free 12 13 14 --temperature 300 600 --out modes.json
  jaxpot vibrations model.xml water.xyz --relax --temperature 298.15 --symmetry-number 2 --pressure-bar 0.03
"""


def arguments(parser: CommandParser) -> None:
    model_argument(parser)
    parser.add_argument("structure", metavar="STRUCTURE", help="a file or PROTOTYPE:ELEMENTS[:a=A]")
    parser.add_argument("--out", metavar="FILE", help="where to write the result with all modes, as JSON")
    parser.add_argument("--relax", action="store_true", help="relax the atoms first")
    parser.add_argument("--free", type=int, nargs="+", metavar="I", help="atoms that move, from 0 (default: all)")
    parser.add_argument("--temperature", type=float, nargs="+", metavar="K", help="of free energies")
    parser.add_argument("--pressure-bar", type=float, default=1.0, metavar="P", help="of the gas (default: 1)")
    parser.add_argument("--symmetry-number", type=float, metavar="N", help="of a molecule that is a gas")
    parser.add_argument("--spin", type=float, default=0.0, metavar="S", help="of a molecule that is a gas (default: 0)")


def run(options: Namespace, console: Console) -> None:
    out = output_file(options.out) if options.out else None
    if options.symmetry_number is not None and not options.temperature:
        raise DataError("--symmetry-number makes a gas of the molecule: give its --temperature as well")
    if options.relax and options.free:
        raise DataError("--relax moves all atoms, --free only some: relax the structure before")
    potential = load_model(options)
    structure, _ = io.structure_from_spec(options.structure)
    check_species(potential, structure)
    if options.relax:
        console.progress(f"relaxing {len(structure)} atoms")
        relaxed = relax(potential, structure)
        if not relaxed.converged:
            raise ConvergenceError(
                f"--relax: after {relaxed.steps} evaluations the largest force is {relaxed.fmax:.3g} eV/A, expected "
                "1e-6; start closer to a minimum"
            )
        structure = relaxed.structure
    console.progress(f"vibrations of {len(structure)} atoms")
    modes = vibrations(potential, structure, free=options.free)
    document = {
        "kinds": list(modes.kinds),
        "frequencies_THz": (np.asarray(modes.frequencies) / units.THz).tolist(),
        "frequencies_per_cm": (np.asarray(modes.frequencies) / units.invcm).tolist(),
        "reduced_masses_amu": np.asarray(modes.reduced_masses).tolist(),
        "zero_point_energy_eV": float(modes.zero_point_energy),
        "symbols": structure.symbols,
        "positions_A": np.asarray(structure.positions).tolist(),
    }
    console.text(_modes(document))
    if options.temperature:
        document |= _thermal(modes, options)
        console.text(_free_energies(document))
    if out:
        write_text(out, to_json(document | {"modes": np.asarray(modes.modes).tolist()}, indent=None) + "\n")
        console.text(f"Written: {out}")
    console.result(document)


def _thermal(modes, options):
    if options.symmetry_number is None:
        sums = modes.harmonic(options.temperature)
        names = {"free_energy_eV": sums.free_energy}
    else:
        sums = modes.ideal_gas(
            options.temperature, options.pressure_bar * units.bar, options.symmetry_number, options.spin
        )
        names = {"gibbs_energy_eV": sums.gibbs_energy, "enthalpy_eV": sums.enthalpy}
    names |= {"energy_eV": sums.energy, "entropy_eV_per_K": sums.entropy, "heat_capacity_eV_per_K": sums.heat_capacity}
    return {"temperatures_K": list(options.temperature)} | {k: np.asarray(v).tolist() for k, v in names.items()}


def _modes(document):
    lines = [f"{'mode':>6}{'THz':>12}{'1/cm':>12}{'amu':>10}"]
    rows = zip(
        document["kinds"], document["frequencies_THz"], document["frequencies_per_cm"], document["reduced_masses_amu"],
        strict=True,
    )
    for k, (kind, thz, wave, mass) in enumerate(rows):
        sign = "i" if thz < 0.0 else " "
        tail = "" if kind == "vibration" else f"  {kind}"
        lines.append(f"{k:>6}{abs(thz):>11.5f}{sign}{abs(wave):>11.3f}{sign}{mass:>10.3f}{tail}")
    return "\n".join([*lines, f"zero-point energy: {document['zero_point_energy_eV']:.6f} eV"])


def _free_energies(document):
    gas = "gibbs_energy_eV" in document
    free = document["gibbs_energy_eV" if gas else "free_energy_eV"]
    lines = [f"{'K':>10}{'Gibbs energy, eV' if gas else 'free energy, eV':>20}{'entropy, meV/K':>18}"]
    for t, f, s in zip(document["temperatures_K"], free, document["entropy_eV_per_K"], strict=True):
        lines.append(f"{t:>10.2f}{f:>20.6f}{1e3 * s:>18.6f}")
    return "\n".join([*lines, "with the zero-point energy, without the static energy"])
