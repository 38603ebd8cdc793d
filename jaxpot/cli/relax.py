"""`jaxpot relax`: atoms, and on request the cell, to the nearest minimum."""

from argparse import Namespace

import numpy as np

from jaxpot import units
from jaxpot.cli.console import Console
from jaxpot.cli.files import output_file, write_structure
from jaxpot.cli.model import load_model, model_argument
from jaxpot.cli.parser import CommandParser
from jaxpot.cli.structure import start
from jaxpot.errors import DataError
from jaxpot.observables import energy
from jaxpot.properties.instabilities import follow_soft_modes
from jaxpot.properties.relax import relax

NAME = "relax"
HELP = "relax the atoms of a structure, and with --cell its cell"
EPILOG = """The format of FILE follows from its ending (.xyz, .cif, .vasp, ...: what ASE writes). If the
relaxation stops before it converged, the structure it came to is written and the exit code is 1.

examples:
  jaxpot relax sw-silicon slab.xyz --out relaxed.xyz
  jaxpot relax cleri-rosato-copper fcc:Cu --cell --pressure-GPa 10 --out cu-10GPa.cif
  jaxpot relax sevennet-0 perovskite.cif --cell --follow-soft-modes --out phase.cif
"""
_EVERY = 20  # evaluations between two lines of progress


def arguments(parser: CommandParser) -> None:
    model_argument(parser)
    parser.add_argument("structure", metavar="STRUCTURE", help="a file or PROTOTYPE:ELEMENTS[:a=A]")
    parser.add_argument("--out", required=True, metavar="FILE", help="where to write the relaxed structure")
    parser.add_argument("--cell", action="store_true", help="relax the cell too; of a slab only in its plane")
    parser.add_argument(
        "--pressure-GPa", type=float, default=0.0, metavar="P", help="pressure (needs --cell)"
    )
    parser.add_argument(
        "--fmax", type=float, default=1e-6, metavar="F", help="target in eV/A (default: 1e-6)"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="most evaluations (default: while it gets better)")
    parser.add_argument(
        "--follow-soft-modes", action="store_true",
        help="of a crystal, with --cell: displace it along its softest mode and relax it, until no frequency is "
        "imaginary at the wave vectors that two cells along each axis hold",
    )
    parser.add_argument("--no-symmetry", action="store_true", help="do not keep the space group of the start")


def run(options: Namespace, console: Console) -> int:
    for name, value in (("--pressure-GPa", options.pressure_GPa), ("--fmax", options.fmax)):
        if not np.isfinite(value):
            raise DataError(f"{name}: expected a finite number, got {value}")
    if options.pressure_GPa and not options.cell:
        raise DataError("--pressure-GPa acts on the cell: give --cell as well")
    if options.follow_soft_modes and (not options.cell or options.no_symmetry or options.steps):
        raise DataError("--follow-soft-modes relaxes cells in space groups: with --cell, no --no-symmetry, no --steps")
    out = output_file(options.out)
    potential = load_model(options)
    structure = start(options.structure, potential, console)
    write_structure(out, structure, rehearse=True)

    if options.follow_soft_modes:
        return _follow(options, potential, structure, out, console)

    def report(step, value, residual):
        if step % _EVERY == 0:
            console.progress(f"step {step}: {value:.8f} eV, largest gradient {residual:.2e} eV/A")

    console.progress(f"relaxing {len(structure)} atoms" + (" and the cell" if options.cell else ""))
    relaxed = relax(
        potential,
        structure,
        cell=options.cell,
        pressure=options.pressure_GPa * units.GPa,
        fmax=options.fmax,
        steps=options.steps,
        symmetry=not options.no_symmetry,
        callback=report,
    )
    write_structure(out, relaxed.structure)
    total = float(energy(potential, relaxed.structure))
    state = "converged" if relaxed.converged else "NOT CONVERGED"
    console.text(
        f"{state} after {relaxed.steps} evaluations: energy {total:.8f} eV "
        f"({total / len(structure):.8f} eV/atom), largest gradient {relaxed.fmax:.2e} eV/A\nWritten: {out}"
    )
    console.result(
        {
            "converged": relaxed.converged,
            "steps": relaxed.steps,
            "fmax_eV_per_A": relaxed.fmax,
            "energy_eV": total,
            "cell_A": np.asarray(relaxed.structure.cell).tolist(),
            "positions_A": np.asarray(relaxed.structure.positions).tolist(),
            "symbols": relaxed.structure.symbols,
            "file": str(out),
        }
    )
    return 0 if relaxed.converged else 1


def _follow(options, potential, structure, out, console):
    """Relax, displace along the softest mode, relax, until there is none."""
    console.progress(f"relaxing {len(structure)} atoms and the cell, and looking for soft modes")
    path = follow_soft_modes(potential, structure, options.pressure_GPa * units.GPa, console.progress)
    write_structure(out, path.structure)
    modes = [
        {"q": mode.q.tolist(), "frequency_THz": mode.frequency / units.THz, "energy_eV_per_atom": after}
        for mode, after in zip(path.modes, path.energies[1:], strict=True)
    ]
    for mode in modes:
        point = ", ".join(f"{x:g}" for x in mode["q"])
        console.text(f"{mode['frequency_THz']:.3g} THz at ({point}): then {mode['energy_eV_per_atom']:.8f} eV/atom")
    gain = path.energies[0] - path.energies[-1]
    console.text(
        f"no soft mode is left: {len(path.structure)} atoms, {path.energies[-1]:.8f} eV/atom, {1e3 * gain:.4g} "
        f"meV/atom below the start\nWritten: {out}" if modes else
        f"there is no soft mode: {path.energies[-1]:.8f} eV/atom\nWritten: {out}"
    )
    console.result({
        "converged": True, "modes": modes, "energy_eV_per_atom": path.energies[-1],
        "start_eV_per_atom": path.energies[0], "atoms": len(path.structure), "file": str(out),
    })
    return 0
