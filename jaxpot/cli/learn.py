"""`jaxpot learn`: molecular dynamics with a fitted potential that has what it does not know labelled, and learns it."""

from importlib import import_module

from jaxpot import catalog, md, units
from jaxpot.active import learn_on_the_fly
from jaxpot.cli.card import count, start
from jaxpot.cli.data import atomic_energies, data_arguments, read
from jaxpot.cli.files import output_folder
from jaxpot.errors import DataError
from jaxpot.fitting import recipes
from jaxpot.io import structure_from_spec
from jaxpot.potentials.base import Potential

NAME = "learn"
HELP = "simulate, and label and learn what the potential does not know"
EPILOG = """SOURCE is what is taken for the truth: a model as every command takes it, or an ASE calculator as
MODULE:CLASS:KEY=VALUE,... such as tblite.ase:TBLite:method=GFN1-xTB.

DIR gets labels.xyz (the frames that were asked for), log.jsonl (a line for each: how far forces were off before),
model.posterior (the potential of now, which every command takes, with error bars), labels/ and walk.checkpoint: after
an interruption the same command goes on from there, and no label is lost.

examples:
  jaxpot learn train.xyz --source sw-silicon --structure diamond:Si --supercell 3 3 3 --temperature 300 1500 \\
      --steps 20000 --recipe gap-small --out learned
  jaxpot learn train.xyz --source tblite.ase:TBLite:method=GFN1-xTB --structure molecule.xyz --temperature 300 800 \\
      --steps 10000 --budget 30 --out learned
"""


def arguments(parser):
    parser.usage = "%(prog)s TRAIN [TRAIN ...] --source SOURCE --structure STRUCTURE --steps N --out DIR [options]"
    parser.add_argument("train", metavar="TRAIN", nargs="+", help="files with structures and labels to begin with")
    parser.add_argument("--source", required=True, metavar="SOURCE", help="a model, or MODULE:CLASS:KEY=VALUE,...")
    parser.add_argument("--structure", required=True, metavar="STRUCTURE", help="a file or PROTOTYPE:ELEMENTS[:a=A]")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write into; made if it is not there")
    parser.add_argument("--steps", type=count, required=True, metavar="N", help="how many")
    parser.add_argument(
        "--temperature", type=float, nargs=2, default=(300.0, 1000.0), metavar=("FROM", "TO"),
        help="K, rising from the first step to the last (default: 300 1000)",
    )
    parser.add_argument("--pressure-GPa", type=float, metavar="P", help="let the cell change under this pressure")
    parser.add_argument("--time-step-fs", type=float, default=1.0, metavar="T", help="default: 1")
    parser.add_argument(
        "--supercell", type=count, nargs=3, default=(1, 1, 1), metavar="N", help="repeats along the three vectors"
    )
    parser.add_argument(
        "--recipe", default="gap", metavar="NAME_OR_FILE",
        help=f"one of {', '.join(recipes())}, or a file like these (default: gap)",
    )
    parser.add_argument("--signal", choices=("deviation", "grade"), default="deviation", help="default: deviation")
    parser.add_argument("--threshold", type=float, metavar="X", help="of the signal: eV, or a grade")
    parser.add_argument("--budget", type=count, default=50, metavar="N", help="labels at most (default: 50)")
    parser.add_argument("--every", type=count, default=20, metavar="N", help="steps between two looks (default: 20)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of fits and velocities (default: 0)")
    data_arguments(parser)


def run(options, console):
    source = _source(options.source)
    console.progress(f"reading {', '.join(options.train)}")
    dataset = read(options, options.train, atomic_energies(options.e0))
    structure = _start(options.structure, source, console).repeated(options.supercell)
    folder = output_folder(options.out)

    def dynamics(potential):
        step = options.time_step_fs * units.fs
        temperature = md.Ramp(*options.temperature, options.steps)
        if options.pressure_GPa is None:
            return md.Langevin(potential, step, temperature, 0.01 / units.fs)
        return md.CellRescaling(
            potential, step, temperature, options.pressure_GPa * units.GPa, 100.0 * units.fs, 1000.0 * units.fs,
            0.01 / units.GPa,
        )

    found = learn_on_the_fly(
        dataset, source, structure, dynamics, options.steps, recipe=options.recipe, signal=options.signal,
        threshold=options.threshold, budget=options.budget, every=options.every, folder=folder, seed=options.seed,
        progress=console.progress,
    )
    steps = int(found.state.step)
    end = "all steps were done" if found.finished else f"the budget was spent at step {steps} of {options.steps}"
    console.text(
        f"{len(found.log)} labels, {end}\n" + "".join(
            f"  step {int(e['step'])}, {e['temperature_K']:.0f} K: forces were off by {e['force_rmse_eV_per_A']:.4f} "
            "eV/A\n" for e in found.log
        ) + f"Written: {folder / 'model.posterior'}, labels.xyz, log.jsonl"
    )
    console.result({
        "labels": len(found.log), "finished": found.finished, "steps": steps, "threshold": found.threshold,
        "log": list(found.log),
    })


def _start(text, source, console):
    if isinstance(source, Potential):
        return start(text, source, console)
    structure, given = structure_from_spec(text)
    if not given:
        raise DataError(f"--structure {text}: give its size, such as diamond:Si:a=5.43")
    return structure


def _source(text):
    """What a word of the command line names: a potential, or an ASE calculator."""
    module, _, rest = text.partition(":")
    if "." not in module or not rest or "/" in module:
        return catalog.load(text)
    name, _, settings = rest.partition(":")
    try:
        made = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise DataError(f"--source {text}: {error}") from error
    found = dict(_setting(item, text) for item in settings.split(",") if item)
    try:
        return made(**found)
    except TypeError as error:
        raise DataError(f"--source {text}: {error}") from error


def _setting(item, text):
    key, equals, value = item.partition("=")
    if not equals or not key:
        raise DataError(f"--source {text}: expected KEY=VALUE, got {item!r}")
    for kind in (int, float):
        try:
            return key, kind(value)
        except ValueError:
            continue
    return key, value
