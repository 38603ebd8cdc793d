"""`jaxpot md`: molecular dynamics of a structure, into a folder, and on from where it was interrupted."""

from argparse import Namespace
from functools import partial

from jaxpot import md, units
from jaxpot.cli.console import Console
from jaxpot.cli.files import keeping_last_state, output_folder
from jaxpot.cli.model import load_model, model_argument, smooth_argument, smooth_if_asked
from jaxpot.cli.numbers import count
from jaxpot.cli.observers import OBSERVERS, observed, observers_of, refuse_long
from jaxpot.cli.parser import CommandParser
from jaxpot.cli.replicas import are_replicas, simulate_replicas
from jaxpot.cli.structure import start
from jaxpot.errors import DataError
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

--replicas N simulates N of them at once, with seeds counted up from --seed, each in a folder DIR/000, DIR/001, ...;
--temperatures does so at one temperature each. With --exchange-every, replicas at neighbouring temperatures exchange
them (parallel tempering): DIR/exchanges.txt says which was where, and its potential energy.

Means are of what is in equilibrium (Chodera 2016), their standard errors from block averages.

examples:
  jaxpot md sw-silicon diamond:Si --supercell 4 4 4 --temperature 600 --steps 10000 --out hot
  jaxpot md si.model slab.xyz --ensemble nve --temperature 300 --steps 100000 --time-step-fs 0.5 --out nve
  jaxpot md cleri-rosato-copper fcc:Cu --supercell 5 5 5 --ensemble npt --temperature 900 --pressure-GPa 1 \\
      --steps 20000 --out warm --observe rdf msd
  jaxpot md sw-silicon diamond:Si --supercell 2 2 2 --temperature 600 --replicas 8 --steps 10000 --out eight
  jaxpot md sw-silicon cluster.xyz --temperatures 300 360 430 520 --exchange-every 100 --steps 100000 --out ladder
"""


def arguments(parser: CommandParser) -> None:
    model_argument(parser)
    parser.add_argument("structure", metavar="STRUCTURE", help="a file or PROTOTYPE:ELEMENTS[:a=A]")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write into; made if it is not there")
    parser.add_argument("--steps", type=count, required=True, metavar="N", help="how many")
    temperature = parser.add_mutually_exclusive_group(required=True)
    temperature.add_argument("--temperature", type=float, metavar="K", help="of thermostat and start")
    temperature.add_argument(
        "--temperatures", type=float, nargs="+", metavar="K", help="a replica at each, into folders of their own"
    )
    parser.add_argument("--replicas", type=count, metavar="N", help="how many, with seeds that are counted up")
    parser.add_argument(
        "--exchange-every", type=count, metavar="N",
        help="steps between exchanges of neighbouring --temperatures (parallel tempering)",
    )
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
    if are_replicas(options):
        ensemble = partial(ENSEMBLES[options.ensemble], potential, options)
        return simulate_replicas(options, console, structure, folder, ensemble)
    dynamics = ENSEMBLES[options.ensemble](potential, options, options.temperature)
    thermo = md.Thermo(options.every, folder / "thermo.txt")
    observers = observers_of(options)
    refuse_long(observers, options.steps, len(structure))
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
    names, seen = observed(observers, folder, console)
    console.text(f"Written: {', '.join([str(folder / 'thermo.txt'), f'frames.{options.frames}', *names])}")
    console.result(document | seen)


def _step(options):
    return options.time_step_fs * units.fs


ENSEMBLES = {
    "nve": lambda p, o, t: md.NVE(p, _step(o)),
    "langevin": lambda p, o, t: md.Langevin(p, _step(o), t, 1.0 / (o.time_constant_fs * units.fs)),
    "rescaling": lambda p, o, t: md.VelocityRescaling(p, _step(o), t, o.time_constant_fs * units.fs),
    "nose-hoover": lambda p, o, t: md.NoseHoover(p, _step(o), t, o.time_constant_fs * units.fs),
    "npt": lambda p, o, t: md.CellRescaling(
        p, _step(o), t, o.pressure_GPa * units.GPa, o.time_constant_fs * units.fs,
        o.barostat_time_fs * units.fs, 0.01 / units.GPa,
    ),
}
