"""`jaxpot md`: molecular dynamics of a structure, into a folder, and on from where it was interrupted."""

import numpy as np

from jaxpot import md, units
from jaxpot.cli.card import count, start
from jaxpot.cli.files import keeping_last_state, output_folder
from jaxpot.cli.model import load_model, model_argument, smooth_argument, smooth_if_asked
from jaxpot.errors import DataError

NAME = "md"
HELP = "simulate a structure: constant energy, temperature or pressure"
EPILOG = """DIR gets thermo.txt (a table), frames.xyz (positions, momenta, forces; or frames.nc, a third of its size)
and, while it runs, run.checkpoint: after an interruption the same command goes on from there and ends in the same bits.

ensembles: nve; langevin, rescaling (stochastic velocity rescaling), nose-hoover: constant temperature; npt: constant
pressure and temperature, the cell free, by stochastic cell rescaling. Of a run that breaks, the last good state
is written into last_good.xyz.

examples:
  jaxpot md sw-silicon diamond:Si --supercell 4 4 4 --temperature 600 --steps 10000 --out hot
  jaxpot md si.model slab.xyz --ensemble nve --temperature 300 --steps 100000 --time-step-fs 0.5 --out nve
  jaxpot md cleri-rosato-copper fcc:Cu --supercell 5 5 5 --ensemble npt --temperature 900 --pressure-GPa 1 \\
      --steps 20000 --out warm
"""


def arguments(parser):
    model_argument(parser)
    parser.add_argument("structure", metavar="STRUCTURE", help="a file or PROTOTYPE:ELEMENTS[:a=A]")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write into; made if it is not there")
    parser.add_argument("--steps", type=count, required=True, metavar="N", help="how many")
    parser.add_argument("--temperature", type=float, required=True, metavar="K", help="of thermostat and start")
    parser.add_argument("--ensemble", choices=tuple(ENSEMBLES), default="rescaling", help="default: rescaling")
    parser.add_argument("--time-step-fs", type=float, default=1.0, metavar="T", help="default: 1")
    parser.add_argument("--time-constant-fs", type=float, default=100.0, metavar="T", help="of the thermostat (100)")
    parser.add_argument("--barostat-time-fs", type=float, default=1000.0, metavar="T", help="of the cell (1000)")
    parser.add_argument("--pressure-GPa", type=float, default=0.0, metavar="P", help="of npt (default: 0)")
    parser.add_argument(
        "--supercell", type=count, nargs=3, default=(1, 1, 1), metavar="N", help="repeats along the three vectors"
    )
    parser.add_argument("--every", type=count, default=100, metavar="N", help="steps between frames and lines (100)")
    parser.add_argument(
        "--frames", choices=("xyz", "nc"), default="xyz", help="extended XYZ or NetCDF by AMBER's convention (xyz)"
    )
    smooth_argument(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of velocities and thermostat (default: 0)")


def run(options, console):
    if options.pressure_GPa and options.ensemble != "npt":
        raise DataError(f"--pressure-GPa acts with --ensemble npt, not {options.ensemble}")
    potential = smooth_if_asked(options, load_model(options), None, console)
    structure = start(options.structure, potential, console).repeated(options.supercell)
    folder = output_folder(options.out)
    dynamics = ENSEMBLES[options.ensemble](potential, options)
    thermo = md.Thermo(options.every, folder / "thermo.txt")
    steps = f"{options.steps} steps of {options.time_step_fs:g} fs"
    console.progress(f"{len(structure)} atoms, {steps}, {options.ensemble}")
    kind = md.Trajectory if options.frames == "xyz" else md.NetCDFTrajectory
    frames = kind(folder / f"frames.{options.frames}", options.every)
    with keeping_last_state(folder, options.time_step_fs):
        found = md.run(
            dynamics, structure, options.steps, [thermo], frames, folder / "run.checkpoint", options.seed,
            options.temperature, console.progress,
        )
    document = _document(thermo.table, found, len(structure))
    pressure = document["pressure_GPa"]
    console.text(
        f"temperature {document['temperature_K']:.1f} K, potential energy {document['potential_eV_per_atom']:.6f} "
        f"eV/atom{'' if pressure is None else f', pressure {pressure:.3f} GPa'}: means of the second half\n"
        f"conserved quantity: {document['drift_eV_per_atom_ns']:+.2e} eV/atom/ns\n"
        f"Written: {folder / 'thermo.txt'}, frames.{options.frames}"
    )
    console.result(document)


def _document(table, found, atoms):
    half = len(table["step"]) // 2
    time, kept = table["time_ps"][half:] / 1000.0, table["conserved_eV"][half:] / atoms
    drift = np.polyfit(time, kept, 1)[0] if len(time) > 2 else 0.0
    pressure = float(table["pressure_GPa"][half:].mean())  # not a number where there is no volume
    pressure = pressure if np.isfinite(pressure) else None
    return {
        "steps": int(table["step"][-1]),
        "temperature_K": float(table["temperature_K"][half:].mean()),
        "potential_eV_per_atom": float(table["potential_eV"][half:].mean()) / atoms,
        "pressure_GPa": pressure,
        "volume_per_atom_A3": None if pressure is None else float(table["volume_A3"][half:].mean()) / atoms,
        "drift_eV_per_atom_ns": float(drift),
        "steps_per_s": found.steps / max(found.seconds, 1e-9),
    }


def _thermal(options):
    return options.time_step_fs * units.fs, options.temperature


ENSEMBLES = {
    "nve": lambda p, o: md.NVE(p, o.time_step_fs * units.fs),
    "langevin": lambda p, o: md.Langevin(p, *_thermal(o), 1.0 / (o.time_constant_fs * units.fs)),
    "rescaling": lambda p, o: md.VelocityRescaling(p, *_thermal(o), o.time_constant_fs * units.fs),
    "nose-hoover": lambda p, o: md.NoseHoover(p, *_thermal(o), o.time_constant_fs * units.fs),
    "npt": lambda p, o: md.CellRescaling(
        p, *_thermal(o), o.pressure_GPa * units.GPa, o.time_constant_fs * units.fs, o.barostat_time_fs * units.fs,
        0.01 / units.GPa,
    ),
}
