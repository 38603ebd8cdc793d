"""The coordinates of a GAP file: each is a descriptor, a kernel and a sparse Gaussian process."""

import re
from typing import Any

import numpy as np

from jaxpot.core.elements import SYMBOLS
from jaxpot.descriptors import SOAP, Pair, Triangle, Triplet
from jaxpot.descriptors.base import Descriptor
from jaxpot.errors import DataError
from jaxpot.formats.quip_document import MOST_POINTS, Coordinate, Document
from jaxpot.formats.quip_points import read_points
from jaxpot.kernels import DotProduct, Permuted, SquaredExponential
from jaxpot.readouts import SparseGP
from jaxpot.readouts.compaction import compact

_L_WEIGHT_SINCE = 1423143769  # gap_version from which power spectra carry (2 l + 1)^(-1/2)
_OWN_CHANNEL_SINCE = 1426512068  # before, central atoms were in every channel, whatever the descriptor says
_SQUARED_EXPONENTIAL, _DOT_PRODUCT = "1", "2"

# What a descriptor may say beside its own settings: choices that were made for the fit and end in the file.
_OF_THE_FIT = {
    "delta", "f0", "n_sparse", "covariance_type", "sparse_method", "zeta", "theta", "theta_uniform", "theta_fac",
    "theta_file", "config_type_n_sparse", "add_species", "print_sparse_index", "sparse_file", "unique_hash_tolerance",
    "unique_descriptor_tolerance", "mark_sparse_atoms", "xml_version", "do_descriptor", "do_grad_descriptor",
}


def read_term(document: Document, coordinate: Coordinate, tolerance: float = 0.0) -> tuple[Descriptor, Any]:
    """(descriptor, readout) of one coordinate; by shorter vectors site energies may change by `tolerance` eV."""
    name, options = descriptor_words(document, coordinate)
    if name not in _DESCRIPTORS:
        known = ", ".join(_DESCRIPTORS)
        raise document.error(f"the descriptor {name!r} is not known; known are {known}", "descriptor", coordinate.line)
    try:
        descriptor = _DESCRIPTORS[name](document, options)
    except DataError as error:
        raise document.error(str(error), name, coordinate.line) from error
    options.refuse_rest()
    kernel = _kernel(document, coordinate, descriptor)
    vectors = read_points(document, coordinate, descriptor)
    delta = document.number(coordinate.attributes, "signal_variance", line=coordinate.line)
    if isinstance(descriptor, SOAP) and isinstance(kernel, DotProduct) and not descriptor.covariance_sigma0:
        weights = delta**2 * np.multiply(coordinate.weights, coordinate.point_weights)
        descriptor, vectors = compact(descriptor, kernel, vectors, weights, tolerance)
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
        return self.document.finite(str(self.get(name, default, also)), name, self.line)

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


def descriptor_words(document: Document, coordinate: Coordinate) -> tuple[str, Any]:
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


def _distance_nb(document, options):
    order = options.whole("order")
    if order not in (2, 3):
        raise document.error(f"expected clusters of 2 or 3 atoms, got {order}", "order", options.line)
    elements = options.elements("Z") or (0,) * order
    if len(elements) != order:
        raise document.error(f"expected {order} atomic numbers, got {elements}", "Z", options.line)
    if 0 in elements:
        # QUIP counts every cluster there, whatever the other numbers are.
        if order == 3 and any(elements):
            raise document.error(f"expected three elements, or three times 0, got {elements}", "Z", options.line)
        elements = None
    compact = options.flag("compact_clusters", "T")
    cutoff, width = options.number("cutoff"), options.number("cutoff_transition_width", 0.5)
    if order == 2:
        return Pair(cutoff, width, elements, once=not compact)
    return Triangle(cutoff, width, elements, compact)


def _named(options, *names):
    """Elements by key; None where 0 stands for all of them."""
    found = [options.elements(name, "0") for name in names]
    found = [None if z == (0,) else z[0] for z in found]
    return None if all(z is None for z in found) else tuple(found)


_DESCRIPTORS = {"soap": _soap, "distance_2b": _distance_2b, "angle_3b": _angle_3b, "distance_Nb": _distance_nb}


def _kernel(document, coordinate, descriptor):
    attributes, line = coordinate.attributes, coordinate.line
    dimension = document.count(attributes, "dimensions", MOST_POINTS, line=line)
    kind = attributes.get("covariance_type", "").strip()
    if kind == _DOT_PRODUCT:
        return DotProduct(document.number(attributes, "zeta", line=line))
    if kind != _SQUARED_EXPONENTIAL:
        raise document.error(f"expected 1 (squared exponential) or 2 (dot product), got {kind!r}",
                             "covariance_type", line)
    theta = document.numbers(coordinate.theta, "theta", line)
    if len(theta) != dimension or min(theta, default=0.0) <= 0.0:
        raise document.error(f"expected {dimension} positive lengths, got {len(theta)}", "theta", line)
    kernel = SquaredExponential(np.array(theta))
    permutations = [tuple(k - 1 for k in permutation) for permutation in coordinate.permutations]
    if isinstance(descriptor, Triangle) and set(permutations) != set(descriptor.permutations):
        # Otherwise energies would depend on the order of like atoms.
        expected = " and ".join(" ".join(str(k + 1) for k in p) for p in descriptor.permutations)
        raise document.error(f"expected {expected} for these triangles", "permutation", line)
    if all(permutation == tuple(range(dimension)) for permutation in permutations):
        return kernel
    try:
        kernel = Permuted(kernel, permutations)
    except DataError as error:
        raise document.error(str(error), "permutation", line) from error
    if any([theta[k] for k in p] != theta for p in permutations):
        raise document.error("expected equal theta of components that change places", "permutation", line)
    return kernel
