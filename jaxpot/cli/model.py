"""The argument that every command takes: which model."""

from jaxpot import catalog
from jaxpot.potentials.posterior import Posterior


def model_argument(parser):
    """MODEL, and --species and --units for files that do not name theirs."""
    parser.add_argument(
        "model", metavar="MODEL",
        help="a file (a potential, or a .posterior), a folder of n2p2, or a built-in name (see `jaxpot models`)",
    )
    parser.add_argument(
        "--species",
        nargs="+",
        metavar="EL",
        help="the elements of the model, where its file names none (some GAPs)",
    )
    parser.add_argument(
        "--units",
        nargs=2,
        metavar=("LENGTH", "ENERGY"),
        help="of the model, where its files name none (n2p2): Bohr Hartree, Angstrom eV, or how many A and eV one is",
    )


def load_model(options):
    """The potential that the arguments name; that at the mean, if it is a posterior."""
    return load_posterior(options)[0]


def load_posterior(options):
    """The potential, and the posterior that it is the mean of or None."""
    found = catalog.load(options.model, species=options.species, units=options.units)
    return (found.potential, found) if isinstance(found, Posterior) else (found, None)
