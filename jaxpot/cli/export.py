"""`jaxpot export`: a potential as compiled programs in one file, which LAMMPS runs without Python."""

from argparse import Namespace
from dataclasses import asdict

from jaxpot.cli.console import Console
from jaxpot.cli.files import output_file
from jaxpot.cli.model import load_posterior, model_argument
from jaxpot.cli.numbers import count
from jaxpot.cli.parser import CommandParser
from jaxpot.cli.structure import start
from jaxpot.errors import ResourceError
from jaxpot.interop.lammps.bundles import export, words_of_input
from jaxpot.interop.lammps.plugin import plugin_library

NAME = "export"
HELP = "write a potential as a compiled bundle, which LAMMPS runs without Python"
EPILOG = """In LAMMPS's input, in metal units:

    plugin load PLUGIN.so                (its path is printed; `jaxpot lammps` does so itself)
    pair_style jaxpot
    pair_coeff * * model.bundle Si C     (the element of each atom type; NULL: another style's)

The bundle runs on a PJRT plugin of XLA: that of `pip install lammps-jax-pjrt-cpu`, or that of jax[cuda12] where
JAX computes on a GPU as it exports; the environment variable JAXPOT_PJRT may name another one. It has to be as new as
the jax that exports.

Programs have arrays of fixed lengths, made for a crystal as dense as STRUCTURE: for as many as --atoms of a rank's own
atoms, and half as many neighbours again as an atom has there, or --neighbors. LAMMPS stops where they do not suffice.
Of a .posterior the mean potential is exported: a bundle has no error bars.

examples:
  jaxpot export sw-silicon --structure diamond:Si --out si.bundle
  jaxpot export CuNi.eam.alloy --structure melt.xyz --atoms 40000 --neighbors 120 --out cuni.bundle
  mpiexec -n 8 -bind-to core jaxpot lammps in.melt
"""


def arguments(parser: CommandParser) -> None:
    model_argument(parser)
    parser.add_argument("--structure", required=True, help="a crystal: a file or PROTOTYPE:ELEMENTS[:a=A]")
    parser.add_argument("--out", required=True, metavar="FILE", help="the bundle")
    parser.add_argument(
        "--atoms", type=count, default=10_000, metavar="N", help="a rank's own atoms, at most (default: 10000)"
    )
    parser.add_argument("--neighbors", type=count, metavar="K", help="neighbours of an atom, at most")


def run(options: Namespace, console: Console) -> None:
    potential, posterior = load_posterior(options)
    structure = start(options.structure, potential, console)
    if posterior is not None:
        console.note("note: the mean potential of the posterior is exported; error bars need the .posterior itself")
    out = output_file(options.out)
    console.progress(f"exporting to {out}")
    bundle = export(potential, out, structure, atoms=options.atoms, neighbors=options.neighbors)
    try:
        plugin = str(plugin_library())
    except ResourceError as error:
        plugin = None
        console.note(f"note: {error}")
    console.text(
        f"{bundle.path}: {bundle.programs} programs, {bundle.bytes / 1e6:.3g} MB, for {bundle.atoms} atoms of a rank, "
        f"{bundle.with_those_around} with those around, and {bundle.neighbors} neighbours of each, on {bundle.platform}"
    )
    lines = ([f"plugin load {plugin}"] if plugin else []) + list(words_of_input(bundle, sorted(set(structure.symbols))))
    console.text("in LAMMPS's input:\n\n" + "\n".join(f"    {line}" for line in lines) + "\n")
    console.result(asdict(bundle) | {"plugin": plugin, "input": lines})
