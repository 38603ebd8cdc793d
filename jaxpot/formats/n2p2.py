"""Neural network potentials in the folders of n2p2 and RuNNer: `input.nn`, `scaling.data`, `weights.*.data`."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxpot.core.elements import atomic_number, symbol
from jaxpot.core.files import check_beside
from jaxpot.core.numbers import as_positive
from jaxpot.descriptors.symmetry_functions import Angular, Radial, SymmetryFunctions
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.text import SMALLEST, Lines
from jaxpot.potentials.base import Sum
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.described import Described
from jaxpot.readouts.network import MLP
from jaxpot.readouts.neural import Neural

SETTINGS, SCALING = "input.nn", "scaling.data"
FADES = ("hard", "cosine", "tanh", "tanh-1", "exponential", "poly1", "poly2", "poly3", "poly4")  # cutoff_type 0 to 8
ACTIVATIONS = {
    "t": "tanh", "l": "identity", "s": "logistic", "p": "softplus", "r": "relu", "g": "gaussian", "c": "cosine",
    "S": "reversed logistic", "e": "exponential", "h": "square",
}
LENGTHS = {"angstrom": 1.0, "bohr": 0.529177210903}  # A, CODATA 2018
ENERGIES = {"ev": 1.0, "hartree": 27.211386245988}  # eV
_RADIAL, _NARROW, _WIDE, _WEIGHTED_RADIAL, _WEIGHTED_NARROW = 2, 3, 9, 12, 13
_TYPES = {_RADIAL: (6,), _NARROW: (8, 9), _WIDE: (8, 9), _WEIGHTED_RADIAL: (5,), _WEIGHTED_NARROW: (7,)}  # words
_LEAST_RANGE = 1e-200  # of a function that can be scaled; published files have 1e-54
_REFUSED = (
    "use_electrostatics", "fix_charges", "electrostatic_type", "use_vdw", "symfunction_electrostatic",
    "global_symfunction_short", "element_symfunction_short", "symfunction", "nnp_gen", "use_omp_mkl_ewald",
)


def read_n2p2(path, species=None, units=None):
    """Read a folder.

    E = sum_i [network of the element of i (scaled symmetry functions of i) / conv_energy + mean_energy + atom_energy]

    Args:
        path: the folder, with `input.nn`, `scaling.data` and a `weights.ZZZ.data` for each element.
        species: refused: the folder names its elements.
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
    if species is not None:
        raise DataError(f"{path}: this format names its elements: leave out species")
    settings = _Settings(Lines(folder / SETTINGS))
    length, energy = _units(settings, units)
    ranges = _ranges(_beside(folder, SCALING), settings)
    terms = []
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


@dataclass(frozen=True)
class _Word:
    """The arguments of a keyword, and its line."""

    words: tuple
    line: int


class _Settings:
    """What `input.nn` says."""

    def __init__(self, lines):
        self.lines, self.words, self.atomic_energies, found = lines, {}, {}, []
        self.units = None
        for number, text in enumerate(lines.all(), 1):
            declared = re.match(r"#\s*units:\s*(\S+)\s+(\S+)\s*$", text)
            if declared:
                self.units = declared.groups()
            words = text.partition("#")[0].split()
            if not words:
                continue
            word = _Word(tuple(words[1:]), number)
            if words[0] == "symfunction_short":
                found.append(word)
            elif words[0] == "atom_energy":
                self._atomic_energy(word)
            elif words[0] in _REFUSED:
                raise lines.error("this keyword is not supported: it changes energies", words[0], number)
            elif words[0] == "nnp_type" and word.words[:1] not in (("1",), ("2",), ("2G-HDNNP",), ("HDNNP_2G",)):
                raise lines.error(f"expected a short-ranged network (2G), got {' '.join(word.words)}", words[0], number)
            elif words[0] in self.words and words[0] not in ("element_nodes_short", "element_activation_short"):
                raise lines.error(f"given before, on line {self.words[words[0]][0].line}", words[0], number)
            else:
                self.words.setdefault(words[0], []).append(word)
        self.elements = self._elements()
        strange = [z for z in self.atomic_energies if z not in self.elements]
        if strange:
            raise lines.error(f"{symbol(strange[0])} is none of the elements", "atom_energy", self.energy_line)
        self.fade, self.inner = self._fade()
        self.functions = {element: [] for element in self.elements}
        for word in found:
            element, function = self._function(word)
            self.functions[element].append((function, word.line))
        for element, functions in self.functions.items():
            if not functions:
                raise lines.error(f"there is no symfunction_short of {symbol(element)}", "symfunction_short", None)
            functions.sort(key=lambda pair: file_order(pair[0]))

    def one(self, name, count=None):
        """The arguments of a keyword that must be there."""
        if name not in self.words:
            raise self.lines.error("this keyword is missing", name, None)
        word = self.words[name][0]
        if count is not None and len(word.words) != count:
            raise self.lines.error(f"expected {count} words, got {len(word.words)}", name, word.line)
        return word

    def number(self, name, default):
        """The number that a keyword gives."""
        if name not in self.words:
            return default
        word = self.one(name, 1)
        value = self._float(word, 0, name)
        if name.startswith("conv") and value <= 0.0:
            raise self.lines.error(f"expected a positive number, got {value:g}", name, word.line)
        return value

    def scaling(self, ranges, element):
        """What is subtracted from the functions, and the factor then: (d,), (d,)."""
        lower, upper, mean, sigma = ranges[element].T
        scale, center, by_sigma = (
            name in self.words
            for name in ("scale_symmetry_functions", "center_symmetry_functions", "scale_symmetry_functions_sigma")
        )
        if by_sigma and (scale or center):
            raise self.lines.error(
                "cannot be combined with scale_symmetry_functions or center_symmetry_functions",
                "scale_symmetry_functions_sigma", self.words["scale_symmetry_functions_sigma"][0].line,
            )
        if not (scale or by_sigma):
            return (mean if center else np.zeros_like(mean)), np.ones_like(mean)
        low, high = self.number("scale_min_short", 0.0), self.number("scale_max_short", 1.0)
        if high - low < SMALLEST:
            message = f"expected more than scale_min_short ({low:g}), got {high:g}"
            raise self.lines.error(message, "scale_max_short", None)
        width = sigma if by_sigma else upper - lower
        flat = np.flatnonzero(~(width > _LEAST_RANGE))
        if len(flat):
            k = int(flat[0])
            function, _ = self.functions[element][k]
            raise FormatError(
                f"function {k + 1} of {symbol(element)}, {function}, has "
                + ("sigma 0" if by_sigma else f"min = max = {upper[k]:g}")
                + ": it was the same in all training data and cannot be scaled; leave it out and train again",
                self.lines.path.parent / SCALING, None, f"{symbol(element)} {k + 1}",
            )
        factor = (high - low) / width
        return (mean if center or by_sigma else lower) - low / factor, factor

    def _elements(self):
        word = self.one("elements")
        try:
            found = tuple(sorted({atomic_number(name) for name in word.words}))
        except DataError as error:
            raise self.lines.error(str(error), "elements", word.line) from error
        if "number_of_elements" in self.words:
            given = self.one("number_of_elements", 1)
            if given.words[0] != str(len(found)):
                raise self.lines.error(
                    f"{given.words[0]} elements are announced, {len(found)} named", "elements", word.line
                )
        if not found:
            raise self.lines.error("expected symbols", "elements", word.line)
        return found

    def _atomic_energy(self, word):
        self.energy_line = word.line
        if len(word.words) != 2:
            raise self.lines.error("expected an element and an energy", "atom_energy", word.line)
        self.atomic_energies[self.element(word, 0, "atom_energy")] = self._float(word, 1, "atom_energy")

    def _fade(self):
        word = self.one("cutoff_type")
        kinds = [str(k) for k in range(len(FADES))]
        if not 1 <= len(word.words) <= 2 or word.words[0] not in kinds:
            raise self.lines.error(
                f"expected a number from 0 to {len(FADES) - 1}, and perhaps alpha; got {' '.join(word.words)!r}",
                "cutoff_type", word.line,
            )
        inner = self._float(word, 1, "cutoff_type") if len(word.words) == 2 else 0.0
        if not 0.0 <= inner < 1.0:
            message = f"alpha: expected a number from 0 to below 1, got {inner:g}"
            raise self.lines.error(message, "cutoff_type", word.line)
        return FADES[int(word.words[0])], inner

    def _function(self, word):
        """Element of the atom and function, lengths in the units of the file."""
        field, kind = "symfunction_short", word.words[1] if len(word.words) > 1 else ""
        if kind not in map(str, _TYPES):
            raise self.lines.error(
                f"symmetry functions of type {kind!r} are not supported; supported are "
                f"{', '.join(map(str, sorted(_TYPES)))}", field, word.line,
            )
        kind = int(kind)
        if len(word.words) not in _TYPES[kind]:
            expected = " or ".join(map(str, _TYPES[kind]))
            raise self.lines.error(
                f"expected {expected} words for type {kind}, got {len(word.words)}", field, word.line
            )
        center = self.element(word, 0, field)
        if kind in (_RADIAL, _WEIGHTED_RADIAL):
            element = self.element(word, 2, field) if kind == _RADIAL else None
            eta, shift, cutoff = self._float(word, -3, field), self._float(word, -2, field), self._cutoff(word, -1)
            return center, Radial(eta, shift, cutoff, element, kind == _WEIGHTED_RADIAL)
        if kind == _WEIGHTED_NARROW:
            eta, shift, sign, zeta = (self._float(word, k, field) for k in range(2, 6))
            cutoff = self._cutoff(word, 6)
            return center, Angular(eta, zeta, sign, cutoff, shift, None, True, True)
        elements = tuple(sorted(self.element(word, k, field) for k in (2, 3)))
        eta, sign, zeta = (self._float(word, k, field) for k in range(4, 7))
        cutoff = self._cutoff(word, 7)
        shift = self._float(word, 8, field) if len(word.words) > 8 else 0.0
        return center, Angular(eta, zeta, sign, cutoff, shift, elements, kind == _NARROW)

    def element(self, word, k, field):
        try:
            found = atomic_number(word.words[k])
        except DataError as error:
            raise self.lines.error(str(error), field, word.line) from error
        if field != "atom_energy" and found not in self.elements:
            raise self.lines.error(f"{word.words[k]} is none of the elements", field, word.line)
        return found

    def _float(self, word, k, field):
        self.lines.line = word.line
        return self.lines.number(word.words[k], field)

    def _cutoff(self, word, k):
        value = self._float(word, k, "symfunction_short")
        if value < SMALLEST:
            message = f"cutoff: expected a positive length, {SMALLEST:g} or more, got {value:g}"
            raise self.lines.error(message, "symfunction_short")
        return value


def file_order(function):
    """n2p2 sorts the functions of an element; the other files have them in this order."""
    if isinstance(function, Radial):
        kind = _WEIGHTED_RADIAL if function.weighted else _RADIAL
        return kind, function.cutoff, function.eta, function.shift, function.element or 0
    kind = _WEIGHTED_NARROW if function.weighted else _NARROW if function.narrow else _WIDE
    return (
        kind, function.cutoff, function.eta, function.shift, function.zeta, function.sign, function.elements or (0, 0)
    )


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
    lines, found = Lines(path), {z: {} for z in settings.elements}
    while lines.more():
        words = lines.next("scaling")
        if len(words) == 2:  # smallest and largest energy, at the end of some files
            continue
        if not 5 <= len(words) <= 6:
            raise lines.error(f"expected element, index, min, max, mean, sigma; got {len(words)} words", "scaling")
        element = settings.elements[lines.count(words[0], "element", 1, len(settings.elements)) - 1]
        count = len(settings.functions[element])
        index = lines.count(words[1], "index", 1, count)
        if index in found[element]:
            raise lines.error(f"function {index} of {symbol(element)} was given before", "index")
        lower, upper, mean, sigma = (lines.number(word, "scaling") for word in (*words[2:], "0")[:4])
        if lower > upper:
            raise lines.error(f"expected min <= max, got {lower:g} and {upper:g}", f"index {index}")
        found[element][index] = (lower, upper, mean, sigma)
    for element, rows in found.items():
        count = len(settings.functions[element])
        if len(rows) != count:
            raise lines.error(
                f"{len(rows)} functions of {symbol(element)}, but {count} in {SETTINGS}: the files belong to different "
                "potentials", "scaling",
            )
    return {z: np.array([rows[k] for k in sorted(rows)]) for z, rows in found.items()}


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
