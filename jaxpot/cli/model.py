"""The argument that every command takes: which model."""

from jaxpot import catalog


def model_argument(parser):
    """MODEL, and --species for files that do not name their elements."""
    parser.add_argument("model", metavar="MODEL", help="a file, or a built-in name (see `jaxpot models`)")
    parser.add_argument(
        "--species",
        nargs="+",
        metavar="EL",
        help="the elements of the model, where its file names none (some GAPs)",
    )


def load_model(options):
    """The potential that the arguments name."""
    return catalog.load(options.model, species=options.species)
