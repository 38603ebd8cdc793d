"""`jaxpot serve`: energies, forces and virials for i-PI, and for whatever else has its sockets."""

import math
from argparse import ArgumentTypeError, Namespace
from dataclasses import asdict

from jaxpot.checks import check_species
from jaxpot.cli.console import Console
from jaxpot.cli.model import load_posterior, model_argument
from jaxpot.cli.parser import CommandParser
from jaxpot.cli.structure import read_structure
from jaxpot.errors import DataError
from jaxpot.interop.ipi import CONSTANTS, serve

NAME = "serve"
HELP = "compute forces for i-PI, or another server of its socket protocol"
EPILOG = """The server moves the atoms: i-PI for path integrals, replica exchange, metadynamics and more; ASE's
SocketIOCalculator, with --constants ase. Start it, and as many clients as there are replicas or cores.

In i-PI's input, for the first of these examples (for the second: mode='inet', <address>, <port>):

    <ffsocket name='jaxpot' mode='unix'> <address> driver </address> </ffsocket>

STRUCTURE has the elements, in the order of the server's file, and says which axes are periodic; positions, cell and
masses are those of the server. The command ends when the server does, with exit code 0.

With --std, of a .posterior, the extra string of each step is {"energy_std_eV": ...}, in JSON, which i-PI writes.

examples:
  jaxpot serve sw-silicon start.xyz --unix driver
  jaxpot serve si.model start.xyz --socket localhost:31415 --wait-s 60
  jaxpot serve si.posterior start.xyz --unix driver --std --json
"""


def arguments(parser: CommandParser) -> None:
    model_argument(parser)
    parser.add_argument("structure", metavar="STRUCTURE", help="a file or PROTOTYPE:ELEMENTS[:a=A]")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", metavar="HOST:PORT", help="of a server with mode='inet'")
    where.add_argument("--unix", metavar="NAME", help="of a server with mode='unix', whose file is /tmp/ipi_NAME")
    parser.add_argument("--wait-s", type=_seconds, default=10.0, metavar="T", help="for a server to start (10)")
    parser.add_argument(
        "--constants", choices=tuple(CONSTANTS), default="ipi",
        help="whose bohr and hartree, which differ in the eighth digit (default: ipi)",
    )
    parser.add_argument("--skin", type=float, default=1.0, metavar="A", help="of the neighbour list (default: 1)")
    parser.add_argument("--std", action="store_true", help="send the standard deviation of the energy, too")


def run(options: Namespace, console: Console) -> None:
    potential, posterior = load_posterior(options)
    if options.std and posterior is None:
        raise DataError("--std: error bars are known of a .posterior alone, which `jaxpot fit` writes")
    structure, _ = read_structure(options.structure)
    check_species(potential, structure)
    address = options.socket if options.unix is None else f"unix:{options.unix}"

    def say(sentence):
        console.progress(f"{sentence}, {len(structure)} atoms")
        console.close()  # a server may let its clients wait for hours

    served = serve(
        posterior if options.std and posterior is not None else potential, structure, address,
        constants=options.constants, skin=options.skin, wait=options.wait_s, progress=say,
    )
    rate = served.steps / max(served.seconds, 1e-9)
    how = "the server said EXIT" if served.end == "exit" else "the server closed the connection"
    console.text(f"{served.steps} steps in {served.seconds:.1f} s, {rate:.4g} a second; {how}")
    console.result(asdict(served) | {"steps_per_s": rate, "atoms": len(structure)})


def _seconds(text):
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds < math.inf:
        raise ArgumentTypeError(f"expected a number of seconds, not negative, got {text!r}")
    return seconds
