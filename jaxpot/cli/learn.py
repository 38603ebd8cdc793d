"""`jaxpot learn`: molecular dynamics with a fitted potential that has what it does not know labelled, and learns it."""

from argparse import ArgumentParser, Namespace
from importlib import import_module
from typing import Any, cast

from jaxpot import catalog, io, md, units
from jaxpot.active import learn_from_pool, learn_on_the_fly, random_structures
from jaxpot.active.record import FRAMES, LOG, POSTERIOR
from jaxpot.cli.console import Console
from jaxpot.cli.data import atomic_energies, data_arguments, read
from jaxpot.cli.files import keeping_last_state, output_folder
from jaxpot.cli.numbers import count
from jaxpot.cli.start_model import reading_arguments, start_model
from jaxpot.cli.structure import start
from jaxpot.errors import DataError
from jaxpot.fitting import recipes
from jaxpot.io import structure_from_spec
from jaxpot.md.state import State
from jaxpot.potentials.base import Potential

NAME = "learn"
HELP = "simulate, or search a pool, and label and learn what the potential does not know"
EPILOG = """New structures come from one of three: a simulation (--structure, --steps), files of structures (--pool), or
random crystals (--random with --volume and --closest). Of the last two the most informative are chosen, batch by batch.

SOURCE is what is taken for the truth: a model as every command takes it, or an ASE calculator as
MODULE:CLASS:KEY=VALUE,... such as tblite.ase:TBLite:method=GFN1-xTB.

DIR gets labels.xyz (the frames that were asked for), log.jsonl (a line for each: how far forces were off before),
model.posterior (the potential of now, which every command takes, with error bars), labels/ and walk.checkpoint: after
an interruption the same command goes on from there, and no label is lost.

examples:
  jaxpot learn train.xyz --source sw-silicon --structure diamond:Si --supercell 3 3 3 --temperature 300 1500 \\
      --steps 20000 --recipe gap-small --out learned
  jaxpot learn train.xyz --source tblite.ase:TBLite:method=GFN1-xTB --structure molecule.xyz --temperature 300 800 \\
      --steps 10000 --budget 30 --out learned
  jaxpot learn train.xyz --source tblite.ase:TBLite:method=GFN1-xTB --start sevennet-0 --structure POSCAR \\
      --steps 5000 --out learned
  jaxpot learn train.xyz --source sw-silicon --random Si8 --volume 20 --closest 2.1 --count 200 --out searched
"""


def arguments(parser: ArgumentParser) -> None:
    parser.usage = (
        "%(prog)s TRAIN [TRAIN ...] --source SOURCE --out DIR\n"
        "                    {--structure S --steps N | --pool FILE ... | --random FORMULA --volume V} [options]"
    )
    parser.add_argument("train", metavar="TRAIN", nargs="+", help="files with structures and labels to begin with")
    parser.add_argument("--source", required=True, metavar="SOURCE", help="a model, or MODULE:CLASS:KEY=VALUE,...")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write into; made if it is not there")
    origin = parser.add_mutually_exclusive_group(required=True)
    origin.add_argument("--structure", metavar="STRUCTURE", help="to simulate: a file or PROTOTYPE:ELEMENTS[:a=A]")
    origin.add_argument("--pool", nargs="+", metavar="FILE", help="files of structures; their labels are not read")
    origin.add_argument("--random", metavar="FORMULA", help="random crystals with these atoms in a cell, such as Si4O8")
    _simulation_arguments(parser.add_argument_group("with --structure"))
    _pool_arguments(parser.add_argument_group("with --pool or --random"))
    parser.add_argument(
        "--recipe", metavar="NAME_OR_FILE",
        help=f"one of {', '.join(recipes())}, or a file like these; of networks one is trained (default: gap; with "
        "--start fine-tuning)",
    )
    parser.add_argument("--start", metavar="MODEL", help="networks: fine-tune this model, a file or a name, each time")
    reading_arguments(parser)
    parser.add_argument("--budget", type=count, default=50, metavar="N", help="labels at most (default: 50)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of fits and velocities (default: 0)")
    data_arguments(parser)


def _simulation_arguments(group):
    group.add_argument("--steps", type=count, metavar="N", help="how many")
    group.add_argument(
        "--temperature", type=float, nargs=2, default=(300.0, 1000.0), metavar=("FROM", "TO"),
        help="K, rising from the first step to the last (default: 300 1000)",
    )
    group.add_argument("--pressure-GPa", type=float, metavar="P", help="let the cell change under this pressure")
    group.add_argument("--time-step-fs", type=float, default=1.0, metavar="T", help="default: 1")
    group.add_argument(
        "--supercell", type=count, nargs=3, default=(1, 1, 1), metavar="N", help="repeats along the three vectors"
    )
    group.add_argument("--signal", choices=("deviation", "grade"), default="deviation", help="default: deviation")
    group.add_argument("--threshold", type=float, metavar="X", help="of the signal: eV, or a grade")
    group.add_argument("--every", type=count, default=20, metavar="N", help="steps between two looks (default: 20)")


def _pool_arguments(group):
    group.add_argument("--batch", type=count, default=10, metavar="N", help="how many are chosen at once (default: 10)")
    group.add_argument("--volume", type=float, metavar="V", help="with --random: of an atom, A^3")
    group.add_argument(
        "--closest", type=float, metavar="D", help="with --random: smallest distance, A (default: 0.8 V^(1/3))"
    )
    group.add_argument("--count", type=count, default=100, metavar="N", help="with --random: crystals (default: 100)")


def run(options: Namespace, console: Console) -> None:
    needed = {"structure": "steps", "random": "volume"}
    for given, further in needed.items():
        if getattr(options, given) is not None and getattr(options, further) is None:
            raise DataError(f"--{given} needs --{further}")
    source = _source(options.source)
    console.progress(f"reading {', '.join(options.train)}")
    dataset = read(options, options.train, atomic_energies(options.e0))
    common: dict[str, Any] = {
        "recipe": options.recipe or ("gap" if options.start is None else "fine-tuning"), "model": start_model(options),
        "budget": options.budget, "seed": options.seed, "progress": console.progress,
    }
    document: dict[str, Any]
    if options.structure is None:
        candidates = _candidates(options)
        folder = output_folder(options.out)
        learned = learn_from_pool(dataset, source, candidates, batch=options.batch, folder=folder, **common)
        end, document = f"of {len(candidates)} structures", {"candidates": len(candidates)}
        told = "  structure {candidate:.0f}: forces were off by {force_rmse_eV_per_A:.4f} eV/A\n"
    else:
        structure = _start(options.structure, source, console).repeated(options.supercell)
        folder = output_folder(options.out)
        with keeping_last_state(folder, options.time_step_fs):
            learned = learn_on_the_fly(
                dataset, source, structure, lambda potential: _dynamics(options, potential), options.steps,
                signal=options.signal, threshold=options.threshold, every=options.every, folder=folder, **common,
            )
        steps = int(cast(State, learned.state).step)  # dynamics has ended in one
        document = {"steps": steps, "threshold": learned.threshold}
        end = "all steps were done" if learned.finished else f"the budget was spent at step {steps} of {options.steps}"
        told = "  step {step:.0f}, {temperature_K:.0f} K: forces were off by {force_rmse_eV_per_A:.4f} eV/A\n"
    # Frames and log are made with the first label.
    written = [folder / name for name in (POSTERIOR, FRAMES, LOG) if (folder / name).exists()]
    console.text(
        f"{len(learned.log)} labels, {end}\n" + "".join(told.format(**entry) for entry in learned.log)
        + "Written: " + ", ".join(map(str, written))
    )
    console.result({"labels": len(learned.log), "finished": learned.finished, **document, "log": list(learned.log)})


def _dynamics(options, potential):
    step = options.time_step_fs * units.fs
    temperature = md.Ramp(*options.temperature, options.steps)
    if options.pressure_GPa is None:
        return md.Langevin(potential, step, temperature, 0.01 / units.fs)
    return md.CellRescaling(
        potential, step, temperature, options.pressure_GPa * units.GPa, 100.0 * units.fs, 1000.0 * units.fs,
        0.01 / units.GPa,
    )


def _candidates(options):
    """The structures of a pool."""
    if options.pool is not None:
        return [atoms for path in options.pool for atoms in io.read_atoms(path)]
    closest = 0.8 * abs(options.volume) ** (1.0 / 3.0) if options.closest is None else options.closest
    return random_structures(io.symbols_of(options.random), options.volume, options.count, closest, options.seed)


def _start(text, source, console):
    if isinstance(source, Potential):
        return start(text, source, console)
    structure, given = structure_from_spec(text)
    if not given:
        raise DataError(f"--structure {text}: give its size, such as diamond:Si:a=5.43")
    return structure


def _source(text):
    """The source that a word of the command line names: a potential, or an ASE calculator."""
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
    except (TypeError, ValueError, KeyError, RuntimeError, OSError) as error:  # what calculators raise at settings
        raise DataError(f"--source {text}: {type(error).__name__}: {error}") from error


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
