"""`Recipe`: terms of a Gaussian approximation potential, as a short file that people copy and edit."""

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import ClassVar

import numpy as np

from jaxpot.data.bond_length import bond_length
from jaxpot.data.dataset import Dataset
from jaxpot.data.targets import Sigmas
from jaxpot.descriptors import SOAP, Pair, Triplet
from jaxpot.errors import FormatError
from jaxpot.fitting.linear.hyperparameters import CHOICES
from jaxpot.fitting.linear.sparse_terms import GAPTerm
from jaxpot.fitting.linear.sparsify import METHODS
from jaxpot.fitting.recipe_files import checked_number, checked_sigmas, checked_table, checked_whole
from jaxpot.kernels import DotProduct, SquaredExponential

_SHARED = {"descriptor", "cutoff", "transition_width", "sparse_points", "sparse_method", "environments", "delta"}
_OWN = {
    "soap": {"n_max", "l_max", "atom_sigma", "zeta", "central_weight"},
    "distance_2b": {"theta"},
    "angle_3b": {"theta"},
}
_NEEDED = {
    "soap": {"cutoff", "n_max", "l_max", "atom_sigma"}, "distance_2b": {"cutoff", "theta"},
    "angle_3b": {"cutoff", "theta"},
}
_WHOLE = {"n_max": 1, "l_max": 0}  # and the least of each
_LENGTHS = {"distance_2b": (1,), "angle_3b": (1, 3)}  # of theta


@dataclass(frozen=True)
class Recipe:
    """Terms of a Gaussian approximation potential, and how their fit goes.

    Attributes:
        terms: the tables of the file, one for each term.
        sigmas: where frames give none of their own.
        choice: how sigmas and scales are chosen: "cross-validation", "evidence" or "fixed".
        folds: of the cross-validation.
        units: "bonds" or "A": what lengths are in.
        name: of the file.
        bond: A, the length of a bond; None: that of the data (see `measured`).
    """

    terms: tuple
    sigmas: Sigmas = Sigmas()
    choice: str = "cross-validation"
    folds: int = 4
    units: str = "bonds"
    name: str = ""
    bond: float | None = None

    family: ClassVar[str] = "Gaussian approximation potentials"
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
        if units not in ("bonds", "A"):
            raise FormatError(f'expected "bonds" or "A", got {units!r}', file=file, field="units")
        terms = document.get("term", [])
        if not isinstance(terms, list) or not terms:
            raise FormatError("expected at least one table [[term]]", file=file)
        terms = tuple(_checked_term(table, file, f"term {k}") for k, table in enumerate(terms, 1))
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
        """Recipe with the bond length of a data set: fits to others have the same descriptors, and programs."""
        return replace(self, bond=self._bond(dataset))

    def _bond(self, dataset):
        return bond_length(dataset) if self.bond is None else self.bond

    def gap_terms(self, dataset: Dataset) -> list[GAPTerm]:
        """`GAPTerm`s for the elements and the bond length of a data set: one for each kind of centre or pair."""
        unit = self._bond(dataset) if self.units == "bonds" else 1.0
        return [
            replace(term, name=f"term {k}")
            for k, table in enumerate(self.terms, 1)
            for term in _TERMS[table["descriptor"]](table, unit, dataset.species)
        ]


def _checked_term(table, file, field):
    kind = table.get("descriptor") if isinstance(table, dict) else None
    if kind not in _OWN:
        raise FormatError(f"descriptor: expected one of {', '.join(_OWN)}, got {kind!r}", file=file, field=field)
    unknown = set(table) - _SHARED - _OWN[kind]
    if unknown:
        known = ", ".join(sorted(_SHARED | _OWN[kind]))
        raise FormatError(f"{kind} has no {', '.join(sorted(unknown))}; it has {known}", file=file, field=field)
    missing = _NEEDED[kind] - set(table)
    if missing:
        raise FormatError(f"{kind} needs {', '.join(sorted(missing))}", file=file, field=field)
    method = table.get("sparse_method", "cur")
    if method not in METHODS:
        expected = ", ".join(METHODS)
        raise FormatError(f"expected one of {expected}, got {method!r}", file=file, field=f"{field}, sparse_method")
    if "environments" in table and table.keys() & {"sparse_points", "sparse_method"}:
        message = "environments are the sparse points: leave sparse_points and sparse_method out"
        raise FormatError(message, file=file, field=field)
    for key in set(table) - {"descriptor", "sparse_method"}:
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
        elif key in _WHOLE:
            checked_whole(table[key], _WHOLE[key], file, f"{field}, {key}")
        elif key != "central_weight":
            checked_number(table[key], file, f"{field}, {key}")
    return dict(table)


def _is_pair(pair):
    return isinstance(pair, list) and len(pair) == 2 and all(type(k) is int and k >= 0 for k in pair)


def _lengths(table, unit):
    width = table.get("transition_width")
    cutoff = table["cutoff"] * unit
    return {"cutoff": cutoff, "cutoff_transition_width": min(0.5, cutoff) if width is None else width * unit}


def _common(table):
    return {
        "n_sparse": table.get("sparse_points", 1000), "sparse_method": table.get("sparse_method", "cur"),
        "environments": table.get("environments"), "delta": float(table.get("delta", 1.0)),
    }


def _soaps(table, unit, species):
    for z in species:
        soap = SOAP(
            table["n_max"], table["l_max"], atom_sigma=table["atom_sigma"] * unit, centers=(z,),
            species=species if len(species) > 1 else None, central_weight=table.get("central_weight", 1.0),
            compact=True, compact_tolerance=_COMPACT, **_lengths(table, unit),
        )
        yield GAPTerm(soap, DotProduct(table.get("zeta", 4)), **_common(table))


def _pairs(table, unit, species):
    for pair in combinations_with_replacement(species, 2):
        kernel = SquaredExponential(np.atleast_1d(table["theta"]) * unit)
        yield GAPTerm(Pair(elements=pair, **_lengths(table, unit)), kernel, **_common(table))


def _triplets(table, unit, species):
    # Components are a sum of lengths, a squared difference, and a length.
    theta = np.broadcast_to(np.asarray(table["theta"], float), (3,)) * np.array([unit, unit**2, unit])
    for centre in species:
        for pair in combinations_with_replacement(species, 2):
            descriptor = Triplet(elements=(centre, *pair), **_lengths(table, unit))
            yield GAPTerm(descriptor, SquaredExponential(theta), **_common(table))


_TERMS = {"soap": _soaps, "distance_2b": _pairs, "angle_3b": _triplets}
_COMPACT = 1e-18  # of scalar products: below rounding
