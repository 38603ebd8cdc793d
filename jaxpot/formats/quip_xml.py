"""Gaussian approximation potentials in QUIP's XML format."""

import bz2
import hashlib
import io
import lzma
import math
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

import numpy as np

from jaxpot.core.elements import SYMBOLS, name_species
from jaxpot.descriptors import SOAP, Pair, Triplet
from jaxpot.errors import DataError, FormatError, JaxpotWarning
from jaxpot.formats.text import LARGEST_FILE
from jaxpot.kernels import DotProduct, SquaredExponential
from jaxpot.potentials.base import Sum
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.described import Described
from jaxpot.potentials.parameters import species_numbers
from jaxpot.readouts import SparseGP

_CHUNK = 1 << 20
_L_WEIGHT_SINCE = 1423143769  # gap_version from which power spectra carry (2 l + 1)^(-1/2)
_OWN_CHANNEL_SINCE = 1426512068  # before, central atoms were in every channel, whatever the descriptor says
_MOST_POINTS = 10_000_000
_SQUARED_EXPONENTIAL, _DOT_PRODUCT = "1", "2"

# What a descriptor may say beside its own settings: choices that were made for the fit and end in the file.
_OF_THE_FIT = {
    "delta", "f0", "n_sparse", "covariance_type", "sparse_method", "zeta", "theta", "theta_uniform", "theta_fac",
    "theta_file", "config_type_n_sparse", "add_species", "print_sparse_index", "sparse_file", "unique_hash_tolerance",
    "unique_descriptor_tolerance", "mark_sparse_atoms", "xml_version", "do_descriptor", "do_grad_descriptor",
}


def read_quip_xml(path, species=None):
    """Read a GAP as `gap_fit` writes it.

    The file holds reference energies e0 of the elements and any number of coordinates: a descriptor, a
    covariance, weights, and sparse points in the file itself or in files beside it. Those may be compressed
    (.xz, .bz2).

    Args:
        path: the XML file.
        species: the elements that the model serves. Needed only where neither the descriptors nor the training
            set in the file (`XYZ_data`) name any: that there is an e0 does not make an element known.

    Returns:
        A potential: `Constants`, plus one `Described` for each coordinate.

    Raises:
        FormatError: not such a file, a part that is not understood, or a missing or damaged side file.
        DataError: nothing says which elements the model serves.

    References:
        V. L. Deringer et al., Gaussian process regression for materials and molecules, Chem. Rev. 121, 10073
        (2021). Conventions by comparison with QUIP.
    """
    document = _Document(Path(path))
    document.check()
    terms = [_term(document, coordinate) for coordinate in document.coordinates]
    known = _species(document, species)
    terms = [Described(descriptor, readout, known) for descriptor, readout in terms]
    missing = [z for z in known if z not in document.e0]
    if missing:
        raise FormatError(f"there is no e0 for {name_species(missing)}", path, field="e0")
    constants = Constants(np.array([document.e0[z] for z in known]), known)
    return Sum.of(constants, *terms)


# The document ---------------------------------------------------------------------------------------------


@dataclass
class _Coordinate:
    """One `gpCoordinates`: its attributes, texts and sparse points."""

    attributes: dict
    line: int
    descriptor: str = ""
    theta: str = ""
    permutations: list = field(default_factory=list)
    weights: list = field(default_factory=list)
    point_weights: list = field(default_factory=list)
    inline: list = field(default_factory=list)


class _Document:
    """What the XML says, read as a stream: the training set in it is looked at, and not kept."""

    _TEXTS = ("descriptor", "theta", "permutation", "sparseX")

    def __init__(self, path):
        self.path = path
        self.version, self.label = None, None
        self.potentials, self.e0, self.coordinates = [], {}, []
        self.core = None
        self.announced = None
        self.trained_on = _Species()
        self._open, self._text = [], []
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise FormatError(f"the file has more than {LARGEST_FILE} bytes", path)
            with open(path, "rb") as file:
                self._parser.ParseFile(file)
        except expat.ExpatError as error:
            raise FormatError(f"this is not XML that is complete: {expat.ErrorString(error.code)}",
                              path, error.lineno) from error
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror or error}", path) from error

    def error(self, message, name=None, line=None):
        return FormatError(message, self.path, self._parser.CurrentLineNumber if line is None else line, name)

    def number(self, attributes, name, default=None, line=None):
        """A finite float among attributes, in Fortran's spelling too."""
        if name not in attributes:
            if default is not None:
                return default
            raise self.error("the attribute is missing", name, line)
        return self._finite(attributes[name], name, line)

    def count(self, attributes, name, most, default=None, line=None):
        value = self.number(attributes, name, default, line)
        if value != int(value) or not 0 <= value <= most:
            raise self.error(f"expected a whole number from 0 to {most}, got {attributes[name]!r}", name, line)
        return int(value)

    def _finite(self, word, name, line=None):
        try:
            value = float(word.strip().replace("D", "E").replace("d", "e"))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(f"expected a finite number, got {word!r}", name, line)
        return value

    def numbers(self, text, name, line=None):
        return [self._finite(word, name, line) for word in text.split()]

    def check(self):
        """What must be there, once everything has been read."""
        if self.version is None:
            raise FormatError("there is no GAP in this file (no GAP_params with a gap_version)", self.path)
        for text in self.potentials:
            _check_init_args(self, text)
        if self.core is not None:
            raise FormatError(
                f"the GAP stands on a core potential ({self.core or 'do_core=T'}), which is not read yet",
                self.path, field="do_core",
            )
        if self.announced is not None and self.announced != len(self.coordinates):
            raise FormatError(
                f"{self.announced} coordinates are announced, but there are {len(self.coordinates)}",
                self.path, field="n_coordinate",
            )
        if not self.coordinates:
            raise FormatError("there are no coordinates (gpCoordinates)", self.path)

    # Handlers of the parser.

    def _refuse_doctype(self, *_):
        raise self.error("a document type declaration is refused: it could make the file grow without bound")

    def _start(self, name, attributes):
        self._open.append(name)
        if name in self._TEXTS:
            self._text = []
        if name == "Potential":
            self.potentials.append(attributes.get("init_args", ""))
        elif name == "GAP_params":
            if self.version is not None:
                raise self.error("a second GAP in one file is not read", name)
            self.version = self.number(attributes, "gap_version", 0.0)
        elif name == "GAP_data":
            if attributes.get("do_core", "F").strip().upper().startswith(("T", ".T")):
                self.core = attributes.get("ip_args", attributes.get("core_ip_args", ""))
        elif name == "e0":
            z = self.count(attributes, "Z", len(SYMBOLS) - 1)
            self.e0[z] = self.number(attributes, "value")
        elif name == "gpSparse":
            self.announced = self.count(attributes, "n_coordinate", 10_000)
        elif name == "gpCoordinates":
            self.coordinates.append(_Coordinate(attributes, self._parser.CurrentLineNumber))
        elif name == "sparseX":
            if "gpCoordinates" not in self._open:
                raise self.error("a sparse point outside of gpCoordinates", name)
            here = self.coordinates[-1]
            if self.count(attributes, "i", _MOST_POINTS) != len(here.weights) + 1:
                raise self.error(f"expected sparse point {len(here.weights) + 1}, got i={attributes['i']}", name)
            here.weights.append(self.number(attributes, "alpha"))
            here.point_weights.append(self.number(attributes, "sparseCutoff", 1.0))

    def _end(self, name):
        self._open.pop()
        if name in self._TEXTS and self.coordinates:
            text, here = "".join(self._text).strip(), self.coordinates[-1]
            if name == "descriptor":
                here.descriptor = text
            elif name == "theta":
                here.theta = text
            elif name == "permutation":
                here.permutations.append([int(n) for n in self.numbers(text, name)])
            elif text:
                here.inline.append(self.numbers(text, name))
            self._text = []

    def _characters(self, text):
        inside = self._open[-1] if self._open else None
        if inside in self._TEXTS:
            self._text.append(text)
        elif inside == "XYZ_data":
            self.trained_on.feed(text)


class _Species:
    """The elements in frames of extended XYZ that come in pieces of text."""

    def __init__(self):
        self.numbers = set()
        self._rest, self._atoms, self._comment = "", 0, False

    def feed(self, text):
        lines = (self._rest + text).split("\n")
        self._rest = lines.pop()
        for line in lines:
            self._line(line.strip())

    def _line(self, line):
        if self._comment:
            self._comment = False
        elif self._atoms:
            words = line.split(None, 1)
            if words:
                if words[0] in SYMBOLS:
                    self.numbers.add(SYMBOLS.index(words[0]))
                self._atoms -= 1
        elif line.isdigit():
            self._atoms, self._comment = int(line), True


def _check_init_args(document, text):
    """Only a GAP alone is read; other parts of a sum are named."""
    parts = re.findall(r"\bIP\s+(\w+)", text)
    others = [part for part in parts if part.upper() != "GAP"]
    if others:
        raise FormatError(
            f"this is a sum of a GAP and {', '.join(others)}, which is not read yet", document.path, field="init_args"
        )


# From coordinates to terms --------------------------------------------------------------------------------


def _term(document, coordinate):
    """(descriptor, readout) of one coordinate."""
    name, options = _words(document, coordinate)
    if name not in _DESCRIPTORS:
        known = ", ".join(_DESCRIPTORS)
        raise document.error(f"the descriptor {name!r} is not known; known are {known}", "descriptor", coordinate.line)
    try:
        descriptor = _DESCRIPTORS[name](document, options)
    except DataError as error:
        raise document.error(str(error), name, coordinate.line) from error
    options.refuse_rest()
    kernel = _kernel(document, coordinate)
    vectors = _points(document, coordinate, descriptor)
    if isinstance(descriptor, SOAP) and isinstance(kernel, DotProduct) and not descriptor.covariance_sigma0:
        # The same scalar products from shorter vectors.
        descriptor = descriptor.replace(compact=True)
        vectors = descriptor.compress(vectors)
    delta = document.number(coordinate.attributes, "signal_variance", line=coordinate.line)
    point_weights = None if set(coordinate.point_weights) == {1.0} else np.array(coordinate.point_weights)
    return descriptor, SparseGP(kernel, vectors, np.array(coordinate.weights), delta, point_weights)


class _Options:
    """The `key=value` words of a descriptor; what nobody asks for is refused at the end."""

    def __init__(self, document, line, words):
        self.document, self.line, self.words, self.used = document, line, words, set()

    def get(self, name, default=None, also=()):
        for key in (name, *also):
            self.used.add(key)
            if key in self.words:
                return self.words[key]
        if default is None:
            raise self.document.error("the setting is missing", name, self.line)
        return default

    def number(self, name, default=None, also=()):
        return self.document._finite(str(self.get(name, default, also)), name, self.line)

    def whole(self, name, default=None):
        value = self.number(name, default)
        if value != int(value) or abs(value) > 1e6:
            raise self.document.error(f"expected a whole number, got {value}", name, self.line)
        return int(value)

    def flag(self, name, default, also=()):
        word = str(self.get(name, default, also)).strip(".").upper()
        if word[:1] not in ("T", "F"):
            raise self.document.error(f"expected T or F, got {word!r}", name, self.line)
        return word[:1] == "T"

    def elements(self, name, default=""):
        found = [int(n) for n in self.document.numbers(str(self.get(name, default or " ")), name, self.line)]
        if any(not 0 <= z < len(SYMBOLS) for z in found):
            raise self.document.error(f"expected atomic numbers, got {found}", name, self.line)
        return tuple(found)

    def only(self, name, expected, default):
        """A setting that is understood for one value only."""
        value = str(self.get(name, default)).strip()
        if value.upper() not in expected:
            raise self.document.error(f"{name}={value} is not understood; expected {expected[0]}", name, self.line)

    def refuse_rest(self):
        unknown = sorted(set(self.words) - self.used - _OF_THE_FIT)
        if unknown:
            raise self.document.error(f"settings that are not known: {', '.join(unknown)}", "descriptor", self.line)


def _words(document, coordinate):
    """Name and options of a descriptor."""
    text = coordinate.descriptor
    name, _, rest = text.partition(" ")
    pattern = r"\s*(\w+)\s*=\s*(\{[^{}]*\}|\"[^\"]*\"|[^\s{}\"]+)"
    words, position = {}, 0
    while rest[position:].strip():
        match = re.compile(pattern).match(rest, position)
        if not match:
            message = f"expected key=value words, got {rest[position:][:40]!r}"
            raise document.error(message, "descriptor", coordinate.line)
        words[match.group(1)] = match.group(2).strip('{}"').strip()
        position = match.end()
    return name, _Options(document, coordinate.line, words)


def _soap(document, options):
    for name, expected, default in (
        ("radial_basis", ("EQUISPACED_GAUSS",), "EQUISPACED_GAUSS"),
        ("average", ("F", "FALSE"), "F"),
        ("diagonal_radial", ("F", "FALSE"), "F"),
        ("n_Z", ("1",), "1"),
        ("nu_R", ("2",), "2"),
        ("nu_S", ("2",), "2"),
        ("R_mix", ("F", "FALSE"), "F"),
        ("Z_mix", ("F", "FALSE"), "F"),
        ("sym_mix", ("F", "FALSE"), "F"),
        ("coupling", ("T", "TRUE"), "T"),
    ):
        options.only(name, expected, default)
    if options.number("cutoff_dexp", 0):
        raise document.error("a radially scaled density is not understood; expected 0", "cutoff_dexp", options.line)
    for name in ("cutoff_scale", "cutoff_rate"):
        options.number(name, 1)  # of the radial scaling, which is off
    channels = options.whole("n_species", 1)
    elements = options.elements("species_Z")
    if elements in ((), (0,)):
        elements = None
    if len(elements or (0,)) != channels:
        message = f"{channels} species are announced, but species_Z has {elements}"
        raise document.error(message, "species_Z", options.line)
    centre = options.elements("Z", "0")
    return SOAP(
        n_max=options.whole("n_max"),
        l_max=options.whole("l_max"),
        cutoff=options.number("cutoff"),
        cutoff_transition_width=options.number("cutoff_transition_width", 0.5),
        atom_sigma=options.number("atom_sigma", also=("atom_gaussian_width",)),
        species=elements,
        central_weight=options.number("central_weight", 1.0),
        normalise=options.flag("normalise", "T", also=("normalize",)),
        central_reference_all_species=(
            options.flag("central_reference_all_species", "F") or document.version < _OWN_CHANNEL_SINCE
        ),
        centers=None if centre == (0,) else centre,
        covariance_sigma0=options.number("covariance_sigma0", 0.0),
        basis_error_exponent=options.number("basis_error_exponent", 10.0),
        l_weight=document.version >= _L_WEIGHT_SINCE,
    )


def _distance_2b(document, options):
    for name, expected, default in (
        ("only_intra", ("F", "FALSE"), "F"),
        ("only_inter", ("F", "FALSE"), "F"),
        ("n_exponents", ("1",), "1"),
        ("exponents", ("1",), "1"),
        ("tail_range", ("1.0", "1"), "1.0"),
        ("tail_exponent", ("0", "0.0"), "0"),
    ):
        options.only(name, expected, default)
    return Pair(
        cutoff=options.number("cutoff"),
        cutoff_transition_width=options.number("cutoff_transition_width", 0.5),
        elements=_named(options, "Z1", "Z2"),
    )


def _angle_3b(document, options):
    return Triplet(
        cutoff=options.number("cutoff"),
        cutoff_transition_width=options.number("cutoff_transition_width", 0.5),
        elements=_named(options, "Z", "Z1", "Z2"),
    )


def _named(options, *names):
    """Elements by key; None where 0 stands for all of them."""
    found = [options.elements(name, "0") for name in names]
    found = [None if z == (0,) else z[0] for z in found]
    return None if all(z is None for z in found) else tuple(found)


_DESCRIPTORS = {"soap": _soap, "distance_2b": _distance_2b, "angle_3b": _angle_3b}


def _kernel(document, coordinate):
    attributes, line = coordinate.attributes, coordinate.line
    dimension = document.count(attributes, "dimensions", _MOST_POINTS, line=line)
    identity = list(range(1, dimension + 1))
    kind = attributes.get("covariance_type", "").strip()
    if kind == _DOT_PRODUCT:
        return DotProduct(document.number(attributes, "zeta", line=line))
    if kind != _SQUARED_EXPONENTIAL:
        raise document.error(f"expected 1 (squared exponential) or 2 (dot product), got {kind!r}",
                             "covariance_type", line)
    if any(permutation != identity for permutation in coordinate.permutations):
        raise document.error("kernels that are summed over permutations are not read yet", "permutation", line)
    theta = document.numbers(coordinate.theta, "theta", line)
    if len(theta) != dimension or min(theta, default=0.0) <= 0.0:
        raise document.error(f"expected {dimension} positive lengths, got {len(theta)}", "theta", line)
    return SquaredExponential(np.array(theta))


def _points(document, coordinate, descriptor):
    """Sparse points (M, d), from the file itself or from the one beside it."""
    attributes, line = coordinate.attributes, coordinate.line
    count = document.count(attributes, "n_sparseX", _MOST_POINTS, line=line)
    dimension = document.count(attributes, "dimensions", _MOST_POINTS, line=line)
    if dimension != descriptor.dimension:
        raise document.error(
            f"the descriptor has {descriptor.dimension} components, the file says {dimension}", "dimensions", line
        )
    if count != len(coordinate.weights) or count == 0:
        raise document.error(f"{count} sparse points are announced, but there are weights of "
                             f"{len(coordinate.weights)}", "n_sparseX", line)
    if "sparseX_filename" not in attributes:
        points = coordinate.inline
        if len(points) != count or any(len(point) != dimension for point in points):
            raise document.error(f"expected {count} points of {dimension} numbers in the file", "sparseX", line)
        return np.array(points)
    path, data = _side_file(document, attributes["sparseX_filename"], line)
    expected = attributes.get("sparseX_md5sum", "").strip()
    if expected and hashlib.md5(data, usedforsecurity=False).hexdigest() != expected:
        raise FormatError(f"the file has changed since the GAP was written: its md5 is not {expected}", path)
    numbers = _side_numbers(path, data)
    if numbers.size != count * dimension:
        raise FormatError(f"expected {count} x {dimension} numbers, found {numbers.size}", path)
    return numbers.reshape(count, dimension)


def _side_file(document, name, line):
    """Path and contents of a file beside the XML, decompressed if need be."""
    name = name.strip()
    if Path(name).name != name or name in ("", ".", ".."):
        message = f"expected the plain name of a file beside the XML, got {name!r}"
        raise document.error(message, "sparseX_filename", line)
    plain = document.path.parent / name
    for ending, read in (("", io.open), (".xz", lzma.open), (".bz2", bz2.open)):
        path = plain.with_name(name + ending)
        if not path.is_file():
            continue
        try:
            with read(path, "rb") as file:
                data = file.read(LARGEST_FILE + 1)
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise FormatError(f"cannot be read: {error}", path) from error
        if len(data) > LARGEST_FILE:
            raise FormatError(f"the file has more than {LARGEST_FILE} bytes", path)
        return path, data
    raise FormatError(
        f"the sparse points are in a file that is missing (also as .xz or .bz2): put it beside {document.path.name}",
        plain, field="sparseX_filename",
    )


def _side_numbers(path, data):
    """All numbers of a side file."""
    pieces, begin, line = [], 0, 1
    while begin < len(data):
        end = data.find(b"\n", begin + _CHUNK)
        piece = data[begin : len(data) if end < 0 else end + 1]
        try:
            numbers = np.array(piece.translate(bytes.maketrans(b"Dd", b"Ee")).split(), dtype=np.float64)
        except ValueError as error:
            raise FormatError(f"expected numbers: {error}", path, line) from error
        if not np.isfinite(numbers).all():
            raise FormatError("not all numbers are finite", path, line)
        pieces.append(numbers)
        line += piece.count(b"\n")
        begin += len(piece)
    return np.concatenate(pieces) if pieces else np.zeros(0)


def _species(document, given):
    """The elements that a file serves: named by descriptors, else by the training set, else by the user."""
    named = set()
    general = False
    for coordinate in document.coordinates:
        _, options = _words(document, coordinate)
        found = {z for key in ("Z", "Z1", "Z2", "species_Z") for z in options.elements(key, "0")} - {0}
        general = general or not found
        named |= found
    if general or not named:
        named |= document.trained_on.numbers
    if given is not None:
        chosen = species_numbers(given)
        if named and not set(chosen) <= named:
            warnings.warn(
                f"{document.path}: the file speaks of {name_species(sorted(named))}, not of {name_species(chosen)}",
                JaxpotWarning, stacklevel=4,
            )
        return chosen
    if not named:
        raise DataError(
            f"{document.path}: nothing in the file says for which elements it was made (the descriptors have no Z, "
            "and there is no training set): give them, as in jp.load(path, species=['Si']) or --species Si"
        )
    return tuple(sorted(named))
