"""The settings of n2p2 and RuNNer: `input.nn`, and the names and numbers that files of theirs go by."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxpot.core.elements import atomic_number, symbol
from jaxpot.descriptors.symmetry_functions import Angular, Radial
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.text import SMALLEST, Lines

SETTINGS, SCALING = "input.nn", "scaling.data"
FADES = ("hard", "cosine", "tanh", "tanh-1", "exponential", "poly1", "poly2", "poly3", "poly4")  # cutoff_type 0 to 8
ACTIVATIONS = {
    "t": "tanh", "l": "identity", "s": "logistic", "p": "softplus", "r": "relu", "g": "gaussian", "c": "cosine",
    "S": "reversed logistic", "e": "exponential", "h": "square",
}
_RADIAL, _NARROW, _WIDE, _WEIGHTED_RADIAL, _WEIGHTED_NARROW = 2, 3, 9, 12, 13
_TYPES = {_RADIAL: (6,), _NARROW: (8, 9), _WIDE: (8, 9), _WEIGHTED_RADIAL: (5,), _WEIGHTED_NARROW: (7,)}  # words
_LEAST_RANGE = 1e-200  # of a function that can be scaled; published files have 1e-54
_REFUSED = (
    "use_electrostatics", "fix_charges", "electrostatic_type", "use_vdw", "symfunction_electrostatic",
    "global_symfunction_short", "element_symfunction_short", "symfunction", "nnp_gen", "use_omp_mkl_ewald",
)


@dataclass(frozen=True)
class _Word:
    """The arguments of a keyword, and its line."""

    words: tuple
    line: int


class Settings:
    """The keywords of `input.nn`, checked.

    Args:
        lines: `Lines` of the file.
    """

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.words: dict[str, list[_Word]] = {}
        self.atomic_energies: dict[int, float] = {}
        function_words = []
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
                function_words.append(word)
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
        self.functions: dict[int, list] = {element: [] for element in self.elements}
        for word in function_words:
            element, function = self._function(word)
            self.functions[element].append((function, word.line))
        for element, functions in self.functions.items():
            if not functions:
                raise lines.error(f"there is no symfunction_short of {symbol(element)}", "symfunction_short", None)
            functions.sort(key=lambda pair: file_order(pair[0]))

    def one(self, name: str, count: int | None = None) -> Any:
        """The arguments of a keyword that must be there."""
        if name not in self.words:
            raise self.lines.error("this keyword is missing", name, None)
        word = self.words[name][0]
        if count is not None and len(word.words) != count:
            raise self.lines.error(f"expected {count} words, got {len(word.words)}", name, word.line)
        return word

    def number(self, name: str, default: float) -> float:
        """The number that a keyword gives."""
        if name not in self.words:
            return default
        word = self.one(name, 1)
        value = self._float(word, 0, name)
        if name.startswith("conv") and value <= 0.0:
            raise self.lines.error(f"expected a positive number, got {value:g}", name, word.line)
        return value

    def scaling(self, ranges: np.ndarray, element: int) -> tuple[np.ndarray, np.ndarray]:
        """Shift that is subtracted from the functions, and the factor then: (d,), (d,)."""
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
            elements = tuple(sorted({atomic_number(name) for name in word.words}))
        except DataError as error:
            raise self.lines.error(str(error), "elements", word.line) from error
        if "number_of_elements" in self.words:
            given = self.one("number_of_elements", 1)
            if given.words[0] != str(len(elements)):
                raise self.lines.error(
                    f"{given.words[0]} elements are announced, {len(elements)} named", "elements", word.line
                )
        if not elements:
            raise self.lines.error("expected symbols", "elements", word.line)
        return elements

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

    def element(self, word: Any, k: int, field: str) -> int:
        """The atomic number that an argument of a keyword names; outside of atom_energy, one of the elements."""
        try:
            number = atomic_number(word.words[k])
        except DataError as error:
            raise self.lines.error(str(error), field, word.line) from error
        if field != "atom_energy" and number not in self.elements:
            raise self.lines.error(f"{word.words[k]} is none of the elements", field, word.line)
        return number

    def _float(self, word, k, field):
        self.lines.line = word.line
        return self.lines.number(word.words[k], field)

    def _cutoff(self, word, k):
        value = self._float(word, k, "symfunction_short")
        if value < SMALLEST:
            message = f"cutoff: expected a positive length, {SMALLEST:g} or more, got {value:g}"
            raise self.lines.error(message, "symfunction_short")
        return value


def file_order(function: Radial | Angular) -> tuple:
    """n2p2 sorts the functions of an element; the other files have them in this order."""
    if isinstance(function, Radial):
        kind = _WEIGHTED_RADIAL if function.weighted else _RADIAL
        return kind, function.cutoff, function.eta, function.shift, function.element or 0
    kind = _WEIGHTED_NARROW if function.weighted else _NARROW if function.narrow else _WIDE
    return (
        kind, function.cutoff, function.eta, function.shift, function.zeta, function.sign, function.elements or (0, 0)
    )

