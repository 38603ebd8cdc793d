"""`jaxpot data`: what is in training data, and the arguments that say how they are read."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from jaxpot.cli.console import Console
from jaxpot.data.atomic_energies import LEAST_SQUARES
from jaxpot.data.dataset import Dataset
from jaxpot.errors import DataError
from jaxpot.fitting import read_dataset

NAME = "data"
HELP = "look at training data before fitting: labels, ranges, duplicates, outliers, contradictions"
EPILOG = """Files are extended XYZ or anything else that ASE reads. Nothing is guessed: labels are read under the
keys that are named, a stress is +1/V dE/dstrain in eV/A^3, a virial -V times that in eV.

examples:
  jaxpot data train.xyz
  jaxpot data train.xyz more.xyz --energy dft_energy --forces dft_forces --stress none --virial dft_virial --json
"""
_LABELS = ("energy", "forces", "stress", "virial", "config_type")


def arguments(parser: ArgumentParser) -> None:
    parser.usage = "%(prog)s TRAIN [TRAIN ...] [options]"
    parser.add_argument("train", metavar="TRAIN", nargs="+", help="files with structures and labels")
    data_arguments(parser)


def data_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that say how files are read."""
    group = parser.add_argument_group("labels")
    group.add_argument("--energy", metavar="KEY", help='key of energies, eV (default: energy; "none": not wanted)')
    group.add_argument("--forces", metavar="KEY", help='key of forces, eV/A (default: forces; "none": not wanted)')
    group.add_argument("--stress", metavar="KEY", help="key of stresses, eV/A^3 (default: stress, where it is)")
    group.add_argument("--virial", metavar="KEY", help="key of virials, eV (default: not wanted)")
    group.add_argument(
        "--config-type", metavar="KEY", help="key of the name of a frame's group (default: config_type, where it is)"
    )
    group.add_argument("--incomplete", action="store_true", help="frames may lack an energy or forces")
    group.add_argument(
        "--e0", nargs="+", metavar="EL=E",
        help='energies of isolated atoms, eV, such as Si=-0.8, or "least squares" (default: isolated atoms in the '
        "data or, if there are none, least squares)",
    )


def read(options: Namespace, files: Sequence[str], e0: Any) -> Dataset:
    """The `Dataset` of some files, read as the arguments say."""
    found = {name: getattr(options, name) for name in _LABELS if getattr(options, name) is not None}
    keys: dict[str, Any] = {name: None if key.lower() == "none" else key for name, key in found.items()}
    if options.incomplete:
        keys["require"] = ()
    return read_dataset(files, e0=e0, **keys)


def atomic_energies(words: Sequence[str] | None) -> str | dict[str, float] | None:
    """Meaning of --e0: None, "least squares" or {element: eV}.

    Raises:
        DataError: words that are no energies.
    """
    if words is None:
        return None
    if " ".join(words).replace("-", " ").lower() == LEAST_SQUARES:
        return LEAST_SQUARES
    found = {}
    for word in words:
        element, equals, energy = word.partition("=")
        try:
            number = float(energy)
        except ValueError:
            equals = ""
        if not equals or element in found:
            expected = 'expected each element once, such as Si=-0.8 (eV), or "least squares"'
            raise DataError(f"--e0 {' '.join(words)}: {expected}")
        found[element] = number
    return found


def run(options: Namespace, console: Console) -> None:
    console.progress(f"reading {', '.join(options.train)}")
    dataset = read(options, options.train, atomic_energies(options.e0))
    console.progress(f"looking at {len(dataset)} frames")
    summary = dataset.summary()
    console.text(str(summary))
    console.result(summary.to_dict())
