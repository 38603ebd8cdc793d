"""ACE potentials in PACE's older text files `.ace`."""

import re

import numpy as np

from jaxpot.basis.invariant_products import HIGHEST_ORDER
from jaxpot.basis.radial_bases import NAMES, RadialBasis
from jaxpot.core.elements import atomic_number
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.ace_parts import Bond, Embedding, Expansion, Function, NotInvariant, potential_of
from jaxpot.formats.ace_text_write import write_ace
from jaxpot.formats.record import Family, Format
from jaxpot.formats.text import Lines, shown
from jaxpot.potentials.base import Potential
from jaxpot.readouts.embedded_densities import FORMS
from jaxpot.typing import FilePath

_MOST = 100


def read_ace(path: FilePath) -> Potential:
    """Read an atomic cluster expansion from PACE's text, the form of before `.yace`.

    Args and results as of `read_yace`.

    Raises:
        FormatError: what is missing, not known or impossible, with its line.

    References:
        Y. Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021).
    """
    words = Words(Lines(path))
    count = words.whole("nelements=", 1, 118)
    words.expect("elements:")
    species = tuple(words.element() for _ in range(count))
    if len(set(species)) != count:
        raise words.error("expected different elements")
    degree = words.whole("lmax=", 0, _MOST)
    words.expect("embedding-function:")
    form = words.one_of("embedding-function", FORMS)
    parameters = words.whole("", 2, 2 * _MOST)
    words.expect("FS", "parameters:")
    values = [words.number("FS parameters") for _ in range(parameters)]
    if parameters % 2 or min(values[1::2]) <= 0.0:
        raise words.error("expected pairs of a factor and an exponent above zero")
    words.expect("core", "energy-cutoff", "parameters:")
    # One for each element.
    cores = [(words.number("core energy-cutoff"), words.number("core energy-cutoff")) for _ in range(count)]
    if min(width for _, width in cores) <= 0.0:
        raise words.error("expected widths above zero")
    if any(cut < width for cut, width in cores):
        raise words.error("expected core energy-cutoffs of at least their widths: atoms without a core would be off")
    words.expect("E0:")
    energies = tuple(words.number("E0") for _ in range(count))
    words.expect("radbasename=")
    name = words.one_of("radbasename", NAMES)
    functions, radials = words.whole("nradbase=", 1, _MOST), words.whole("nradmax=", 0, _MOST)
    for label in ("cutoffmax=", "deltaSplineBins="):
        words.expect(label)
        words.number(label)
    pairs = [(one, other) for one in range(count) for other in range(count)]
    words.expect("core", "repulsion", "parameters:")
    repulsion = {pair: (words.number("core repulsion"), words.number("core repulsion")) for pair in pairs}
    told = {}
    for label in ("radparameter=", "cutoff=", "dcut="):
        words.expect(label)
        told[label] = {pair: words.number(label) for pair in pairs}
    words.expect("crad=")
    size = (functions, radials, degree + 1)
    words.check(count**2 * int(np.prod(size)))
    bonds = {}
    for pair in pairs:
        table = np.array([words.number("crad") for _ in range(int(np.prod(size)))]).reshape(size)
        basis = RadialBasis(name, *(told[label][pair] for label in ("radparameter=", "cutoff=", "dcut=")))
        bonds[pair] = Bond(basis, np.moveaxis(table, 0, -1), repulsion[pair])
    embeddings = {
        e: Embedding(form, tuple(values[0::2]), tuple(values[1::2]), core) for e, core in enumerate(cores)
    }
    listed = _functions(words, count, parameters // 2)
    try:
        return potential_of(Expansion(species, energies, embeddings, bonds, listed))
    except NotInvariant as error:
        raise FormatError(str(error), path, error.function.line, "ctilde_basis_func") from error
    except DataError as error:
        raise FormatError(str(error), path) from error


def _functions(words, count, densities):
    """Functions of each element: those of one factor first, then the others."""
    words.whole("rankmax=", 1, _MOST)
    words.whole("ndensitymax=", densities, densities)
    for label in ("num_c_tilde_max=", "num_ms_combinations_max="):
        words.whole(label, 0, 10**9)
    functions: dict[int, list[Function]] = {e: [] for e in range(count)}
    for label in ("total_basis_size_rank1:", "total_basis_size:"):
        words.expect(label)
        sizes = [words.whole("", 0, 10**6) for _ in range(count)]
        for e, size in enumerate(sizes):
            for _ in range(size):
                function = _function(words, count, densities, e)
                functions[e].append(function)
    words.expect_end()
    return functions


def _function(words, count, densities, element):
    words.expect("ctilde_basis_func:")
    line = words.line
    rank = words.whole("rank=", 1, HIGHEST_ORDER)
    words.whole("ndens=", densities, densities)
    words.whole("mu0=", element, element)

    def listed(label, least, most):
        words.expect(label, "(")
        values = tuple(words.whole("", least, most) for _ in range(rank))
        words.expect(")")
        return values

    elements = listed("mu=", 0, count - 1)
    radials, degrees = listed("n=", 1, _MOST), listed("l=", 0, _MOST)
    products = words.whole("num_ms=", 0, 10**6)
    words.check(products * rank)
    orders, coefficients = np.zeros((products, rank), int), np.zeros((products, densities))
    for k in range(products):
        words.expect("<")
        orders[k] = [words.whole("", -ell, ell) for ell in degrees]
        if orders[k].sum():
            raise words.error("expected orders m that add up to zero")
        words.expect(">:")
        coefficients[k] = [words.number("coefficient") for _ in range(densities)]
    return Function(elements, radials, degrees, orders, coefficients, line)


class Words:
    """The words of a text, one after the other, with the line of the last."""

    _WORD = re.compile(r">:|[<>()]|[^\s<>()=]+=|[^\s<>()=]+")

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._left: list[str] = []
        self.line = 0

    def error(self, message: str, field: str | None = None) -> FormatError:
        return self._lines.error(message, field, self.line or None)

    def word(self, field: str) -> str:
        while not self._left:
            text = " ".join(self._lines.next(field))
            self._left = self._WORD.findall(text)[::-1]
            self.line = self._lines.line
        return self._left.pop()

    def check(self, numbers: int) -> None:
        """Whether the file is large enough for so many numbers.

        Raises:
            FormatError: it is not.
        """
        if numbers > self._lines.size:
            raise self.error(f"expected {numbers} numbers, more than the file has room for")

    def expect(self, *words: str) -> None:
        for wanted in words:
            got = self.word(wanted)
            if got != wanted:
                raise self.error(f"expected {wanted}, got {shown(got)}")

    def expect_end(self) -> None:
        if self._left or self._lines.more():
            raise self.error(f"expected the end of the file, got {shown(self.word('end'))}")

    def number(self, field: str) -> float:
        return self._lines.number(self.word(field), field)

    def whole(self, label: str, least: int, most: int) -> int:
        """A whole number, behind a label if there is one."""
        if label:
            self.expect(label)
        return self._lines.count(self.word(label or "number"), label or "number", least, most)

    def one_of(self, field: str, names: tuple[str, ...]) -> str:
        word = self.word(field)
        if word not in names:
            raise self.error(f"expected one of {', '.join(names)}; got {shown(word)}", field)
        return word

    def element(self) -> int:
        word = self.word("elements")
        try:
            return atomic_number(word)
        except DataError as error:
            raise self.error(str(error), "elements") from error


FORMAT = Format(
    name="PACE atomic cluster expansion (.ace)",
    family=Family.MACHINE_LEARNED,
    endings=(".ace",),
    read=read_ace,
    write=write_ace,
    written_as=(".ace",),
)
