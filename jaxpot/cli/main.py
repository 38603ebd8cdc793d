"""`jaxpot`: parse, run one command, and turn every refusal into one sentence and exit code 2."""

import argparse
import sys
import warnings
from collections.abc import Sequence

import jax

import jaxpot
from jaxpot.cli import (
    analyse,
    card,
    data,
    demo,
    evaluate,
    export,
    fit,
    lammps,
    learn,
    md,
    models,
    recipes,
    relax,
    serve,
    vibrations,
)
from jaxpot.cli.cache import use_cache
from jaxpot.cli.compiler import compile_sooner, silence
from jaxpot.cli.console import Console, to_json
from jaxpot.cli.parser import CommandParser, Parser, UsageError
from jaxpot.errors import JaxpotError

COMMANDS = (
    demo, models, evaluate, relax, vibrations, card, md, lammps, export, serve, analyse, data, recipes, fit, learn,
)

_EPILOG = """examples:
  jaxpot demo                                          a GAP fitted to data made on the spot, and its properties
  jaxpot models                                        the potentials that are built in, and those that are published
  jaxpot card sw-silicon --structure diamond:Si --out si-card
  jaxpot card Cu_mishin1.eam.alloy --structure fcc:Cu --out cu-card
  jaxpot relax sw-silicon slab.xyz --out relaxed.xyz
  jaxpot evaluate sw-silicon frames.xyz --out frames.json
  jaxpot vibrations sw-silicon cluster.xyz --relax      normal modes
  jaxpot md sw-silicon diamond:Si --supercell 4 4 4 --temperature 600 --steps 10000 --out hot
  mpiexec -n 2 jaxpot lammps in.melt                   LAMMPS with any potential, on any number of MPI ranks
  jaxpot export sw-silicon --structure diamond:Si --out si.bundle
  jaxpot serve sw-silicon start.xyz --unix driver      forces for i-PI, or any server of its protocol
  jaxpot analyse hot/frames.xyz --skip-ps 2 --out hot-analysis
  jaxpot data train.xyz                                what is in training data
  jaxpot fit train.xyz --test test.xyz --recipe gap --out si.model
  jaxpot learn train.xyz --source sw-silicon --structure diamond:Si --supercell 3 3 3 --steps 20000 --out learned

`jaxpot COMMAND --help` says more about one command.
"""


def parser(words: Sequence[str] = ()) -> Parser:
    """The parser of the whole command line, which is `words`: some arguments depend on it."""
    shared = Parser(add_help=False)
    group = shared.add_argument_group("output and cache")
    group.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
    group.add_argument("--quiet", action="store_true", help="no progress on standard error")
    group.add_argument(
        "--no-cache", action="store_true", help="do not keep compiled programs for the next run"
    )
    top = Parser(
        prog="jaxpot",
        description="Energies, forces and properties of crystals from one differentiable energy function.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"jaxpot {jaxpot.__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=CommandParser)
    for module in COMMANDS:
        command = commands.add_parser(
            module.NAME,
            parents=[shared],  # type: ignore[list-item]  # any parser serves as a parent
            words=words,
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(command)
        command.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0: done. 1: a relaxation stopped before it converged. 2: bad input, said in one sentence.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    # The library leaves JAX's configuration alone; a command owns its process.
    jax.config.update("jax_enable_x64", True)
    compile_sooner()
    silence()
    try:
        options = parser(argv).parse_args(argv)
        options.words = argv
        if options.command is None:
            *names, last = (module.NAME for module in COMMANDS)
            raise UsageError(f"a command is missing: {', '.join(names)} or {last}; see `jaxpot --help`")
        if not options.no_cache:
            use_cache()
        with Console(options.json, options.quiet) as console, warnings.catch_warnings():
            # Notes between authors of libraries are not for users.
            warnings.simplefilter("ignore", DeprecationWarning)
            said = set()  # each note once, wherever it comes from

            def show(message, *rest, **more):
                sentence = _sentence(message)
                if sentence not in said:
                    said.add(sentence)
                    console.note(f"note: {sentence}")

            warnings.showwarning = show
            return options.run(options, console) or 0
    except JaxpotError as error:
        sentence = _sentence(error)
        if "--json" in argv:
            print(to_json({"error": {"type": type(error).__name__, "message": sentence}}), flush=True)
        Console().note(f"jaxpot: {sentence}")
        return 2
    except KeyboardInterrupt:
        Console().note("jaxpot: interrupted")
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone: no error. Python must not flush at exit.
        sys.stdout = None
        return 0


def _sentence(error):
    """A message on one line."""
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
