"""`jaxpot md`: molecular dynamics of a structure, into a folder, and on from where it was interrupted."""

from argparse import Namespace

from jaxpot import md, units
from jaxpot.cli.analyse import diffusion_lines, note_lines, write_curves
from jaxpot.cli.console import Console
from jaxpot.cli.files import keeping_last_state, output_folder
from jaxpot.cli.model import load_model, model_argument, smooth_argument, smooth_if_asked
from jaxpot.cli.numbers import count
from jaxpot.cli.parser import CommandParser
from jaxpot.cli.structure import start
from jaxpot.errors import DataError, ResourceError
from jaxpot.md.curves import LEAST
from jaxpot.report.run_summary import summary, summary_text

NAME = "md"
HELP = "simulate a structure: constant energy, temperature or pressure"
EPILOG = """DIR gets thermo.txt (a table), frames.xyz (positions, momenta, forces; or frames.nc, a third of its size)
and, while it runs, run.checkpoint: after an interruption the same command goes on from there and ends in the same bits.

ensembles: nve; langevin, rescaling (stochastic velocity rescaling), nose-hoover: constant temperature; npt: constant
pressure and temperature, the cell free, by stochastic cell rescaling. Of a run that breaks, the last good state
is written into last_good.xyz.

--observe looks while it simulates: rdf (radial distribution), msd (mean square displacement and diffusion
coefficients) and vdos (vibrational density of states) become tables and pictures. `jaxpot analyse` makes the
same of frames that were written.

Means are of what is in equilibrium (Chodera 2016), their standard errors from block averages.

examples:
  jaxpot md sw-silicon diamond:Si --supercell 4 4 4 --temperature 600 --steps 10000 --out hot
  jaxpot md si.model slab.xyz --ensemble nve --temperature 300 --steps 100000 --time-step-fs 0.5 --out nve
  jaxpot md cleri-rosato-copper fcc:Cu --supercell 5 5 5 --ensemble npt --temperature 900 --pressure-GPa 1 \\
      --steps 20000 --out warm --observe rdf msd
"""


def arguments(parser: CommandParser) -> None:
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
    parser.add_argument(
        "--observe", nargs="+", choices=tuple(OBSERVERS), default=(), metavar="WHAT",
        help="rdf, msd and vdos: look at the run while it goes on (default: none)",
    )
    parser.add_argument(
        "--rdf-cutoff", type=float, default=8.0, metavar="R", help="of g(r) with --observe rdf, A (default: 8)"
    )
    parser.add_argument(
        "--vdos-every", type=count, metavar="N", help="steps between looks of vdos (default: those of about 5 fs)"
    )
    smooth_argument(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of velocities and thermostat (default: 0)")


def run(options: Namespace, console: Console) -> None:
    if options.pressure_GPa and options.ensemble != "npt":
        raise DataError(f"--pressure-GPa acts with --ensemble npt, not {options.ensemble}")
    potential = smooth_if_asked(options, load_model(options), None, console)
    structure = start(options.structure, potential, console).repeated(options.supercell)
    folder = output_folder(options.out)
    dynamics = ENSEMBLES[options.ensemble](potential, options)
    thermo = md.Thermo(options.every, folder / "thermo.txt")
    observers = {name: OBSERVERS[name](options) for name in dict.fromkeys(options.observe)}
    _refuse_long(observers, options.steps, len(structure))
    steps = f"{options.steps} steps of {options.time_step_fs:g} fs"
    console.progress(f"{len(structure)} atoms, {steps}, {options.ensemble}")
    kind = md.Trajectory if options.frames == "xyz" else md.NetCDFTrajectory
    frames = kind(folder / f"frames.{options.frames}", options.every)
    with keeping_last_state(folder, options.time_step_fs):
        end = md.run(
            dynamics, structure, options.steps, [thermo, *observers.values()], frames, folder / "run.checkpoint",
            options.seed, options.temperature, console.progress,
        )
    document = summary(thermo.table, len(structure)) | {"steps_per_s": end.steps / max(end.seconds, 1e-9)}
    console.text(summary_text(document))
    names, seen = _observed(observers, folder, console)
    console.text(f"Written: {', '.join([str(folder / 'thermo.txt'), f'frames.{options.frames}', *names])}")
    console.result(document | seen)


def _refuse_long(observers, steps, atoms):
    """Refuse observers whose rows would not fit into memory, before hours of steps."""
    for name, observer in observers.items():
        size = 0.0 if name == "rdf" else 24.0 * atoms * (steps // observer.every + 1)
        if size > _MOST_BYTES:
            flag = "--vdos-every" if name == "vdos" else "--every"
            raise ResourceError(
                f"--observe {name} would keep {size / 1e9:.1f} GB ({atoms} atoms, one look in {observer.every} steps) "
                f"of at most {_MOST_BYTES / 1e9:.0f} GB: make {flag} larger, or the run shorter"
            )


def _observed(observers, folder, console):
    """Write tables and pictures of what was observed; returns their names, and numbers for the document."""
    curves, coefficients, notes = {}, {}, {}
    for name, observer in observers.items():
        if len(observer.rows) < _LEAST_LOOKS[name]:
            notes[name] = [f"{len(observer.rows)} looks are too few: at least {_LEAST_LOOKS[name]}"]
            continue
        curves[name] = getattr(observer, _CURVES[name])()
        if name == "msd":
            try:
                coefficients, said = observer.coefficients()
                notes |= {"diffusion": list(said)} if said else {}
            except DataError as error:
                notes["diffusion"] = [str(error)]
    for line in (*diffusion_lines(coefficients), *note_lines(notes)):
        console.text(line)
    names = write_curves(folder, curves, coefficients)
    if not observers:
        return names, {}
    shown = {
        name: {"D_cm2_per_s": d.coefficient / units.cm2_per_s, "D_cm2_per_s_sd": d.error / units.cm2_per_s}
        for name, d in coefficients.items()
    }
    return names, {"diffusion": shown or None, "notes": notes, "files": names}


def _step(options):
    return options.time_step_fs * units.fs


ENSEMBLES = {
    "nve": lambda p, o: md.NVE(p, _step(o)),
    "langevin": lambda p, o: md.Langevin(p, _step(o), o.temperature, 1.0 / (o.time_constant_fs * units.fs)),
    "rescaling": lambda p, o: md.VelocityRescaling(p, _step(o), o.temperature, o.time_constant_fs * units.fs),
    "nose-hoover": lambda p, o: md.NoseHoover(p, _step(o), o.temperature, o.time_constant_fs * units.fs),
    "npt": lambda p, o: md.CellRescaling(
        p, _step(o), o.temperature, o.pressure_GPa * units.GPa, o.time_constant_fs * units.fs,
        o.barostat_time_fs * units.fs, 0.01 / units.GPa,
    ),
}
OBSERVERS = {
    "rdf": lambda o: md.RadialDistribution(o.every, o.rdf_cutoff),
    "msd": lambda o: md.MeanSquareDisplacement(o.every),
    "vdos": lambda o: md.VelocityAutocorrelation(o.vdos_every or max(1, round(5.0 / o.time_step_fs))),
}
_CURVES = {"rdf": "distribution", "msd": "displacement", "vdos": "spectrum"}
_LEAST_LOOKS = {"rdf": 1, "msd": 2, "vdos": LEAST}
_MOST_BYTES = 4e9
