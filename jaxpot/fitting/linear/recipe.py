"""`Recipe`: terms of a GAP or of another linear model, as a short file that people copy and edit."""

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import ClassVar, cast

import numpy as np

from jaxpot.basis.invariant_products import HIGHEST_ORDER
from jaxpot.basis.radial_bases import NAMES, RadialBasis, orthonormal_coefficients
from jaxpot.data.atomic_energies import tells_of_atoms
from jaxpot.data.bond_length import bond_length, shortest_distances, spacing
from jaxpot.data.dataset import Dataset
from jaxpot.data.targets import Sigmas
from jaxpot.descriptors import SOAP, Bispectrum, ClusterExpansion, Constant, MomentTensors, Pair, Triplet
from jaxpot.descriptors.cluster_expansion import components_by_orders, smooth_scales
from jaxpot.descriptors.moment_levels import moments_of_level, orthonormal_polynomials
from jaxpot.errors import DataError, FormatError
from jaxpot.fitting.linear.core_repulsion import core_of, with_core
from jaxpot.fitting.linear.hyperparameters import CHOICES
from jaxpot.fitting.linear.sparsify import METHODS
from jaxpot.fitting.linear.terms import FeatureTerm, GAPTerm, LinearTerm, without_points
from jaxpot.fitting.recipe_files import checked_number, checked_sigmas, checked_table, checked_whole
from jaxpot.kernels import DotProduct, SquaredExponential
from jaxpot.potentials.base import Potential
from jaxpot.readouts import TRAINABLE

_UNITS = ("bonds", "spacings", "A")
_SHARED = {"descriptor", "cutoff", "delta", "readout"}
_OF_PROCESSES = {"sparse_points", "sparse_method", "environments", "zeta", "theta"}  # which other readouts do not have
_PROCESS = "gaussian process"
REFINED, SCALES = "radial", "scales"  # of moment tensors: what `radial_refinement.refined` puts into a term
_CONSTANT = "constant"  # a linear readout of the number one
_OWN = {
    "soap": {"transition_width", "n_max", "l_max", "atom_sigma", "zeta", "central_weight"},
    "bispectrum": {"twojmax", "rfac0", "zeta"},
    "ace": {
        "nradmax_by_orders", "lmax_by_orders", "degree_by_orders", "radparameter", "radbase", "smoothness", "neighbors",
        "core", "components", "zeta",
    },
    "mtp": {"level", "radial_basis_size"},
    "constant": set(),
    "distance_2b": {"transition_width", "theta"},
    "angle_3b": {"transition_width", "theta"},
}
_NEEDED = {
    "soap": {"cutoff", "n_max", "l_max", "atom_sigma"}, "bispectrum": {"cutoff", "twojmax"},
    "ace": {"cutoff", "nradmax_by_orders", "lmax_by_orders"}, "mtp": {"cutoff", "level"}, "constant": set(),
    "distance_2b": {"cutoff", "theta"}, "angle_3b": {"cutoff", "theta"},
}
_WHOLE = {"n_max": 1, "l_max": 0, "twojmax": 1, "radial_basis_size": 1, "components": 1}  # and the least of each
_BY_ORDERS = {"nradmax_by_orders": 1, "lmax_by_orders": 0, "degree_by_orders": 0}  # and the least of each
_SELECT = ("ace",)  # descriptors of which some components may be used
_POLYNOMIALS = 8  # of moment tensors
_LENGTHS = {"distance_2b": (1,), "angle_3b": (1, 3)}  # of theta


@dataclass(frozen=True)
class Recipe:
    """Terms of a Gaussian approximation potential, and how their fit goes.

    Attributes:
        terms: the tables of the file, one for each term.
        sigmas: where frames give none of their own.
        choice: how sigmas and scales are chosen: "cross-validation", "evidence" or "fixed".
        folds: of the cross-validation.
        units: "bonds", "spacings" or "A": what lengths are in.
        name: of the file.
        bond: A, the length of a bond; None: that of the data (see `measured`).
        spacing: A, the edge of the cube that an atom has for itself; None: that of the data.
        shortest: pairs (two atomic numbers, the shortest distance of such atoms in A); None: those of the data.
    """

    terms: tuple
    sigmas: Sigmas = Sigmas()
    choice: str = "cross-validation"
    folds: int = 4
    units: str = "bonds"
    name: str = ""
    bond: float | None = None
    spacing: float | None = None
    shortest: tuple | None = None

    family: ClassVar[str] = "Gaussian approximation potentials and other linear models"
    table: ClassVar[str] = "term"

    @classmethod
    def from_tables(cls, document: dict, file: str, name: str) -> "Recipe":
        """Recipe of the tables of a file.

        Raises:
            FormatError: says which table and field.
        """
        unknown = set(document) - {"term", "sigma", "choice", "units"}
        if unknown:
            raise FormatError(f"expected [[term]], [sigma], [choice] and units, found {sorted(unknown)}", file=file)
        units = document.get("units", "bonds")
        if units not in _UNITS:
            raise FormatError(f"expected one of {', '.join(_UNITS)}, got {units!r}", file=file, field="units")
        terms = document.get("term", [])
        if not isinstance(terms, list) or not terms:
            raise FormatError("expected at least one table [[term]]", file=file)
        terms = tuple(_checked_term(table, file, f"term {k}") for k, table in enumerate(terms, 1))
        if all(term["descriptor"] == _CONSTANT for term in terms):
            raise FormatError("expected a term that is not a constant", file=file, field="term")
        sigmas = checked_sigmas(document, file)
        choice = checked_table(document, "choice", {"method", "folds"}, file)
        method = choice.get("method", "cross-validation")
        if method not in CHOICES:
            raise FormatError(f"expected one of {', '.join(CHOICES)}, got {method!r}", file=file, field="choice.method")
        folds = choice.get("folds", 4)
        if type(folds) is not int or not 2 <= folds <= 100:
            raise FormatError(f"expected a whole number from 2 to 100, got {folds!r}", file=file, field="choice.folds")
        return cls(terms, sigmas, method, folds, units, name)

    def measured(self, dataset: Dataset) -> "Recipe":
        """Recipe with the lengths of a data set: fits to others have the same descriptors, and programs."""
        return replace(
            self, bond=self._bond(dataset), spacing=self._spacing(dataset),
            shortest=tuple(self.shortest_distances(dataset).items()),
        )

    def with_components(self, count: int) -> "Recipe":
        """Recipe of terms with that many components each, the others eliminated after the fit to all.

        Raises:
            DataError: no term can have fewer.
        """
        able = [term["descriptor"] in _SELECT and term.get("readout") == "linear" for term in self.terms]
        if not any(able):
            raise DataError(
                f"components: terms of {', '.join(_SELECT)} with the readout \"linear\" can have fewer; "
                f"{self.name or 'the recipe'} has none of these"
            )
        terms = (term | {"components": count} if fewer else term for term, fewer in zip(self.terms, able, strict=True))
        return replace(self, terms=tuple(terms))

    def _bond(self, dataset):
        return bond_length(dataset) if self.bond is None else self.bond

    def _spacing(self, dataset):
        return spacing(dataset, self._bond(dataset)) if self.spacing is None else self.spacing

    def linear_terms(self, dataset: Dataset) -> list[LinearTerm]:
        """Terms for the elements and the bond length of a data set: one for each kind of centre or pair.

        Without constants where the data tell the energies of isolated atoms.
        """
        bond, shortest = self._bond(dataset), self.shortest_distances(dataset)
        unit = {"bonds": lambda: bond, "spacings": lambda: self._spacing(dataset), "A": lambda: 1.0}[self.units]()
        known = tells_of_atoms(dataset.e0_origin)
        return [
            _term(table, descriptor, unit, f"term {k}")
            for k, table in enumerate(self.terms, 1) if not (known and table["descriptor"] == _CONSTANT)
            for descriptor in _DESCRIPTORS[table["descriptor"]](table, unit, dataset.species, bond, shortest)
        ]

    def shortest_distances(self, dataset: Dataset) -> dict[tuple[int, int], float]:
        """Two atomic numbers, ascending -> distance in A below which terms with a core have one; empty without any."""
        if not any(table.get("core", False) for table in self.terms):
            return {}
        return shortest_distances(dataset, self._bond(dataset)) if self.shortest is None else dict(self.shortest)

    def cores(self, dataset: Dataset) -> list[Potential]:
        """Repulsion below the shortest distances of the data, of each element; none if no term asks for it."""
        asking = [table for table in self.terms if table.get("core", False)]
        terms = replace(self, terms=tuple(asking[:1])).linear_terms(dataset)
        return [core_of(cast(ClusterExpansion, term.descriptor)) for term in terms]

    def unfitted(self, dataset: Dataset) -> Potential:
        """Potential of the same parts as a fit, with weights that are zero and one sparse point for all."""
        return without_points(self.linear_terms(dataset), dataset.species)

    def tables(self) -> dict:
        """Tables of the file of the recipe, but [sigma]; without what a refinement has put into terms."""
        choice = {"method": self.choice} | ({"folds": self.folds} if self.choice == "cross-validation" else {})
        terms = [{key: term[key] for key in term if key not in (REFINED, SCALES)} for term in self.terms]
        return {"units": self.units, "term": terms, "choice": choice}


def _checked_term(table, file, field):
    kind = table.get("descriptor") if isinstance(table, dict) else None
    if kind not in _OWN:
        raise FormatError(f"descriptor: expected one of {', '.join(_OWN)}, got {kind!r}", file=file, field=field)
    readout = table.get("readout", _PROCESS)
    if readout != _PROCESS and readout not in TRAINABLE:
        expected = ", ".join([_PROCESS, *TRAINABLE])
        raise FormatError(f"expected one of {expected}, got {readout!r}", file=file, field=f"{field}, readout")
    processes = {"sparse_points", "sparse_method", "environments"} if readout == _PROCESS else set()
    known = _SHARED | processes | (_OWN[kind] if readout == _PROCESS else _OWN[kind] - _OF_PROCESSES)
    if kind == _CONSTANT:
        known = {"descriptor", "delta"}
    unknown = set(table) - known
    if unknown:
        name = kind if readout == _PROCESS or kind == _CONSTANT else f"{kind} with the readout {readout!r}"
        message = f"{name} has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}"
        raise FormatError(message, file=file, field=field)
    missing = (_NEEDED[kind] & known) - set(table)
    if missing:
        raise FormatError(f"{kind} needs {', '.join(sorted(missing))}", file=file, field=field)
    method = table.get("sparse_method", "cur")
    if method not in METHODS:
        expected = ", ".join(METHODS)
        raise FormatError(f"expected one of {expected}, got {method!r}", file=file, field=f"{field}, sparse_method")
    if "environments" in table and table.keys() & {"sparse_points", "sparse_method"}:
        message = "environments are the sparse points: leave sparse_points and sparse_method out"
        raise FormatError(message, file=file, field=field)
    orders = table.get("nradmax_by_orders")
    if kind == "mtp":
        orders = _checked_moments(table, readout, file, field)
    for key in set(table) - {"descriptor", "readout", "sparse_method"}:
        if key == "sparse_points":
            counts = table[key] if isinstance(table[key], dict) and table[key] else {None: table[key]}
            for name, count in counts.items():
                checked_whole(count, 1, file, f"{field}, {key}" + ("" if name is None else f", {name}"))
        elif key == "environments":
            pairs = table[key]
            if not isinstance(pairs, list) or not pairs or not all(_is_pair(pair) for pair in pairs):
                raise FormatError(
                    "expected pairs of numbers, of a frame and of its atom, counted from 0, such as [[0, 3], [2, 17]]",
                    file=file, field=f"{field}, {key}",
                )
        elif key == "theta":
            values = table[key] if isinstance(table[key], list) else [table[key]]
            if len(values) not in _LENGTHS[kind]:
                expected = " or ".join(map(str, _LENGTHS[kind]))
                raise FormatError(f"expected {expected} numbers, got {values}", file=file, field=f"{field}, theta")
            for value in values:
                checked_number(value, file, f"{field}, theta")
        elif key == "delta" and isinstance(table[key], list):
            if readout != "linear" or not isinstance(orders, list) or len(table[key]) != len(orders):
                raise FormatError(
                    "expected a number; or, of ace with the readout \"linear\", as many as nradmax_by_orders has, of "
                    f"mtp one for each number of moments, got {table[key]}", file=file, field=f"{field}, {key}",
                )
            for value in table[key]:
                checked_number(value, file, f"{field}, {key}")
        elif key in _BY_ORDERS:
            counts = table[key] if isinstance(table[key], list) else []
            if not 1 <= len(counts) <= HIGHEST_ORDER or any(type(c) is not int or c < _BY_ORDERS[key] for c in counts):
                raise FormatError(
                    f"expected whole numbers from {_BY_ORDERS[key]}, one for each number of factors up to "
                    f"{HIGHEST_ORDER}, got {table[key]!r}", file=file, field=f"{field}, {key}",
                )
        elif key == "radbase":
            if table[key] not in NAMES:
                raise FormatError(
                    f"expected one of {', '.join(NAMES)}; got {table[key]!r}", file=file, field=f"{field}, {key}"
                )
        elif key == "core":
            if not isinstance(table[key], bool):
                raise FormatError(f"expected true or false, got {table[key]!r}", file=file, field=f"{field}, {key}")
        elif key == "radparameter":
            if isinstance(table[key], bool) or not isinstance(table[key], int | float) or not table[key]:
                message = f"lambda: expected a number other than 0, got {table[key]!r}"
                raise FormatError(message, file=file, field=f"{field}, {key}")
        elif key in _WHOLE:
            checked_whole(table[key], _WHOLE[key], file, f"{field}, {key}")
        elif key not in ("central_weight", "level"):
            checked_number(table[key], file, f"{field}, {key}")
    if len({len(table[key]) for key in _BY_ORDERS if key in table}) > 1:
        message = f"{', '.join(_BY_ORDERS)}: expected as many numbers in one as in the others"
        raise FormatError(message, file=file, field=field)
    return dict(table)


def _checked_moments(table, readout, file, field):
    """Numbers of moments in the scalars of moment tensors, each once."""
    if readout != "linear":
        raise FormatError(f'mtp: expected "linear", got {readout!r}', file=file, field=f"{field}, readout")
    size = checked_whole(table.get("radial_basis_size", _POLYNOMIALS), 1, file, f"{field}, radial_basis_size")
    try:
        basis = moments_of_level(table["level"])
        orthonormal_polynomials(basis.functions, size, 1.0, 2.0)
    except DataError as error:
        raise FormatError(str(error), file=file, field=field) from error
    return sorted(set(basis.orders))


def _is_pair(pair):
    return isinstance(pair, list) and len(pair) == 2 and all(type(k) is int and k >= 0 for k in pair)


def _lengths(table, unit):
    width = table.get("transition_width")
    cutoff = table["cutoff"] * unit
    return {"cutoff": cutoff, "cutoff_transition_width": min(0.5, cutoff) if width is None else width * unit}


def _term(table, descriptor, unit, name):
    delta = table.get("delta", 1.0)
    readout = "linear" if table["descriptor"] == _CONSTANT else table.get("readout", _PROCESS)
    if readout == "linear" and table["descriptor"] in ("ace", "mtp"):
        orders = descriptor.orders if table["descriptor"] == "ace" else moments_of_level(table["level"]).orders
        blocks = np.unique(orders, return_counts=True)[1]
        deltas = tuple(np.broadcast_to(np.asarray(delta, float), len(blocks)).tolist())
        scales = tuple(table[SCALES]) if SCALES in table else None
        blocks = tuple(blocks.tolist())
        return FeatureTerm(descriptor, TRAINABLE[readout], deltas, name, blocks, table.get("components"), scales)
    if readout != _PROCESS:
        return FeatureTerm(descriptor, TRAINABLE[readout], float(delta), name)
    return GAPTerm(
        descriptor, _KERNELS[table["descriptor"]](table, unit), table.get("sparse_points", 1000), float(delta),
        table.get("sparse_method", "cur"), table.get("environments"), name=name,
    )


def _soaps(table, unit, species, *_):
    for z in species:
        yield SOAP(
            table["n_max"], table["l_max"], atom_sigma=table["atom_sigma"] * unit, centers=(z,),
            species=species if len(species) > 1 else None, central_weight=table.get("central_weight", 1.0),
            compact=True, compact_tolerance=_COMPACT, **_lengths(table, unit),
        )


def _bispectra(table, unit, species, *_):
    """A density of each element, where there are several."""
    count, further = len(species), {name: table[name] for name in ("rfac0",) if name in table}
    for z in species:
        yield Bispectrum(
            species, table["twojmax"], table["cutoff"] * unit, (0.5,) * count, (1.0,) * count, chemflag=count > 1,
            centers=(z,), **further,
        )


def _expansions(table, unit, species, bond, shortest):
    """Invariants of the densities of all elements; radial functions are orthonormal from nine tenths of a bond on."""
    radials, degrees = table["nradmax_by_orders"], table["lmax_by_orders"]
    components = components_by_orders(len(species), radials, degrees, table.get("degree_by_orders"))
    basis = RadialBasis(
        table.get("radbase", "ChebExpCos"), float(table.get("radparameter", -1.0)), table["cutoff"] * unit,
    )
    lowest = min(0.9 * bond, 0.5 * basis.cutoff)
    radial = orthonormal_coefficients(basis, max(radials), lowest)
    coefficients = np.repeat(radial[:, None], max(degrees) + 1, axis=1)
    scales = smooth_scales(components, table.get("smoothness", 2.0), table.get("neighbors", 12.0))
    for z in species:
        bases = (basis,) * len(species)
        if table.get("core", False):
            bases = tuple(with_core(basis, shortest[min(z, other), max(z, other)]) for other in species)
        yield ClusterExpansion(species, components, bases, np.stack([coefficients] * len(species)), (z,), scales)


def _moment_tensors(table, unit, species, bond, _):
    """Moments of all elements, with radial functions that fit the data, or those that a refinement begins with."""
    basis = moments_of_level(table["level"])
    cutoff, shortest = table["cutoff"] * unit, min(_SHORTEST * bond, 0.5 * table["cutoff"] * unit)
    radial = table.get(REFINED)
    if radial is None:
        one = orthonormal_polynomials(basis.functions, table.get("radial_basis_size", _POLYNOMIALS), shortest, cutoff)
        radial = np.broadcast_to(one, (len(species),) * 2 + one.shape)
    scaling = (cutoff - shortest) ** -2
    yield MomentTensors(
        np.array(radial), species, cutoff, shortest, scaling, basis.basic, basis.products, basis.scalars
    )


def _constants(table, unit, species, *_):
    for z in species:
        yield Constant(species, (z,))


def _pairs(table, unit, species, *_):
    for pair in combinations_with_replacement(species, 2):
        yield Pair(elements=pair, **_lengths(table, unit))


def _triplets(table, unit, species, *_):
    for centre in species:
        for pair in combinations_with_replacement(species, 2):
            yield Triplet(elements=(centre, *pair), **_lengths(table, unit))


def _of_triplets(table, unit):
    # Components are a sum of lengths, a squared difference, and a length.
    theta = np.broadcast_to(np.asarray(table["theta"], float), (3,)) * np.array([unit, unit**2, unit])
    return SquaredExponential(theta)


_DESCRIPTORS = {
    "soap": _soaps, "bispectrum": _bispectra, "ace": _expansions, "mtp": _moment_tensors, "constant": _constants,
    "distance_2b": _pairs, "angle_3b": _triplets,
}
_KERNELS = {
    "soap": lambda table, unit: DotProduct(table.get("zeta", 4)),
    "bispectrum": lambda table, unit: DotProduct(table.get("zeta", 4)),
    "ace": lambda table, unit: DotProduct(table.get("zeta", 4)),
    "distance_2b": lambda table, unit: SquaredExponential(np.atleast_1d(table["theta"]) * unit),
    "angle_3b": _of_triplets,
}
_SHORTEST = 0.75  # of a bond: about the shortest distances of data with hot liquids
_COMPACT = 1e-18  # of scalar products: below rounding
