"""Neural network potentials in the folders of n2p2 and RuNNer: `input.nn`, `scaling.data`, `weights.*.data`."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxpot.core.elements import symbol
from jaxpot.core.files import check_beside
from jaxpot.core.numbers import as_positive
from jaxpot.descriptors.symmetry_functions import SymmetryFunctions
from jaxpot.errors import DataError
from jaxpot.formats.n2p2_settings import ACTIVATIONS, SCALING, SETTINGS, Settings
from jaxpot.formats.n2p2_write import write_n2p2
from jaxpot.formats.record import Family, Format, Option
from jaxpot.formats.text import Lines
from jaxpot.potentials.base import Potential, Sum
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.described import Described
from jaxpot.readouts.network import MLP
from jaxpot.readouts.neural import Neural
from jaxpot.typing import FilePath

LENGTHS = {"angstrom": 1.0, "bohr": 0.529177210903}  # A, CODATA 2018
ENERGIES = {"ev": 1.0, "hartree": 27.211386245988}  # eV


def read_n2p2(path: FilePath, units: str | Sequence[str | float] | None = None) -> Potential:
    """Read a folder.

    E = sum_i [network of the element of i (scaled symmetry functions of i) / conv_energy + mean_energy + atom_energy]

    Args:
        path: the folder, with `input.nn`, `scaling.data` and a `weights.ZZZ.data` for each element.
        units: of lengths and energies in the folder, which does not name them: "Bohr Hartree", "Angstrom eV", or two
            numbers, how many A and eV one unit is (1 / cflength and 1 / cfenergy of LAMMPS's `pair_style hdnnp`). Not
            needed where a line `# units: Bohr Hartree` stands in `input.nn`.

    Returns:
        A `Described` for each element, plus `Constants` where there are atomic energies.

    Raises:
        FormatError: files that are missing or damaged, do not belong together, or hold what is not supported.
        DataError: units that are not known, or not given.

    References:
        A. Singraber, J. Behler, C. Dellago, Library-based LAMMPS implementation of high-dimensional neural network
        potentials, J. Chem. Theory Comput. 15, 1827 (2019), and the documentation of n2p2.
    """
    folder = Path(path)
    settings = Settings(Lines(folder / SETTINGS))
    length, energy = _units(settings, units)
    ranges = _ranges(_beside(folder, SCALING), settings)
    terms: list[Potential] = []
    for element in settings.elements:
        functions = settings.functions[element]
        shift, factor = settings.scaling(ranges, element)
        network = _network(_beside(folder, f"weights.{element:03d}.data"), settings, element)
        lower, upper = (ranges[element][:, k] for k in (0, 1))
        readout = Neural(
            network, shift, factor, settings.number("mean_energy", 0.0) * energy,
            energy / settings.number("conv_energy", 1.0), tuple(lower), tuple(upper),
        )
        try:
            descriptor = SymmetryFunctions(
                tuple(_in_angstrom(f, length) for f, _ in functions), settings.fade, settings.inner, (element,)
            )
        except DataError as error:
            raise settings.lines.error(str(error), "symfunction_short", functions[0][1]) from error
        terms.append(Described(descriptor, readout, settings.elements))
    if settings.atomic_energies:
        known = {z: settings.atomic_energies.get(z, 0.0) * energy for z in settings.elements}
        terms.append(Constants(known))
    return Sum.or_one(terms)


def _beside(folder, name):
    check_beside(folder / name, folder / SETTINGS)
    return folder / name


def _in_angstrom(function, length):
    return function._replace(
        eta=function.eta / length**2, shift=function.shift * length, cutoff=function.cutoff * length
    )


def _units(settings, given):
    """A and eV in one unit of length and energy."""
    declared = None if settings.units is None else _two_units(settings.units, settings.lines.path)
    if given is None:
        if declared is None:
            raise DataError(
                f"{settings.lines.path.parent}: the units of this folder are written nowhere: give units=\"Bohr "
                "Hartree\" (--units Bohr Hartree), \"Angstrom eV\" or two numbers, or add the line `# units: Bohr "
                "Hartree` to input.nn"
            )
        return declared
    found = _two_units(given.split() if isinstance(given, str) else given, "units")
    if declared is not None and not np.allclose(found, declared, rtol=1e-6):
        raise DataError(f"units: {given!r} was given, but {settings.lines.path} says {' '.join(settings.units)}")
    return found


def _two_units(words, where):
    expected = "a length and an energy, such as \"Bohr Hartree\", \"Angstrom eV\", or numbers in A and eV"
    if not isinstance(words, tuple | list) or len(words) != 2:
        raise DataError(f"{where}: expected {expected}; got {words!r}")
    found = []
    for word, table in zip(words, (LENGTHS, ENERGIES), strict=True):
        known = table.get(str(word).lower())
        found.append(as_positive(word, where, expected) if known is None else known)
    return tuple(found)


def _ranges(path, settings):
    """Element -> (d, 4): minimum, maximum, mean and sigma of each function in the training data."""
    lines, statistics = Lines(path), {z: {} for z in settings.elements}
    while lines.more():
        words = lines.next("scaling")
        if len(words) == 2:  # smallest and largest energy, at the end of some files
            continue
        if not 5 <= len(words) <= 6:
            raise lines.error(f"expected element, index, min, max, mean, sigma; got {len(words)} words", "scaling")
        element = settings.elements[lines.count(words[0], "element", 1, len(settings.elements)) - 1]
        count = len(settings.functions[element])
        index = lines.count(words[1], "index", 1, count)
        if index in statistics[element]:
            raise lines.error(f"function {index} of {symbol(element)} was given before", "index")
        lower, upper, mean, sigma = (lines.number(word, "scaling") for word in (*words[2:], "0")[:4])
        if lower > upper:
            raise lines.error(f"expected min <= max, got {lower:g} and {upper:g}", f"index {index}")
        statistics[element][index] = (lower, upper, mean, sigma)
    for element, rows in statistics.items():
        count = len(settings.functions[element])
        if len(rows) != count:
            raise lines.error(
                f"{len(rows)} functions of {symbol(element)}, but {count} in {SETTINGS}: the files belong to different "
                "potentials", "scaling",
            )
    return {z: np.array([rows[k] for k in sorted(rows)]) for z, rows in statistics.items()}


def _network(path, settings, element):
    """The network of an element."""
    widths, names = _layers(settings, element)
    lines, kernels, biases = Lines(path), [], []
    for before, after in zip(widths[:-1], widths[1:], strict=True):
        for kind, count, into in (("a", before * after, kernels), ("b", after, biases)):
            numbers = []
            while len(numbers) < count:
                if not lines.more():
                    raise _misfit(lines, widths)
                words = lines.next("weights")
                if len(words) < 2 or words[1] != kind:
                    raise _misfit(lines, widths)
                numbers.append(lines.number(words[0], "weights"))
            into.append(np.reshape(numbers, (before, after) if kind == "a" else (after,)))
    if lines.more():
        lines.next("weights")
        raise _misfit(lines, widths)
    return MLP(tuple(kernels), tuple(biases), names, "normalize_nodes" in settings.words)


def _misfit(lines, widths):
    return lines.error(
        f"expected weights (a) and biases (b) of layers of {', '.join(map(str, widths))} nodes, as symmetry functions "
        f"and layers in {SETTINGS} demand, and no others", "weights",
    )


def _layers(settings, element):
    """Widths of all layers, and activations."""
    lines, word = settings.lines, settings.one("global_hidden_layers_short", 1)
    lines.line = word.line
    hidden = lines.count(word.words[0], "global_hidden_layers_short", 1, 100)
    word = settings.one("global_nodes_short", hidden)
    lines.line = word.line
    nodes = [lines.count(w, "global_nodes_short", 1, 10**5) for w in word.words]
    names = settings.one("global_activation_short", hidden + 1)
    for layer, number in _of_element(settings, "element_nodes_short", element, hidden):
        nodes[layer] = lines.count(number, "element_nodes_short", 1, 10**5)
    found = list(names.words)
    for layer, letter in _of_element(settings, "element_activation_short", element, hidden + 1):
        found[layer] = letter
    for letter in found:
        if letter not in ACTIVATIONS:
            raise lines.error(
                f"expected some of {' '.join(ACTIVATIONS)}, got {letter!r}", "global_activation_short", names.line
            )
    return [len(settings.functions[element]), *nodes, 1], tuple(ACTIVATIONS[letter] for letter in found)


def _of_element(settings, keyword, element, layers):
    """(layer from 0, what it gets) of lines `keyword ELEMENT LAYER VALUE`."""
    for word in settings.words.get(keyword, ()):
        settings.lines.line = word.line
        if len(word.words) != 3:
            raise settings.lines.error("expected an element, a layer and a value", keyword)
        if settings.element(word, 0, keyword) == element:
            yield settings.lines.count(word.words[1], keyword, 1, layers) - 1, word.words[2]


def _has_settings(head, path):
    return os.path.isfile(os.path.join(path, SETTINGS))


FORMAT = Format(
    name=f"n2p2 or RuNNer (a folder with {SETTINGS})",
    family=Family.MACHINE_LEARNED,
    contents=_has_settings,
    read=read_n2p2,
    options=(
        Option(
            "units",
            "of the model, where its files name none (n2p2): Bohr Hartree, Angstrom eV, or how many A and eV one is",
            metavar=("LENGTH", "ENERGY"), nargs=2,
        ),
    ),
    write=write_n2p2,
    written_as=(os.sep,),
)
