"""`Recipe`: terms of a GAP or of another linear model, as a short file that people copy and edit."""

from dataclasses import dataclass, replace
from typing import ClassVar, cast

from jaxpot.data.atomic_energies import tells_of_atoms
from jaxpot.data.bond_length import bond_length, shortest_distances, spacing
from jaxpot.data.dataset import Dataset
from jaxpot.data.targets import Sigmas
from jaxpot.descriptors import ClusterExpansion
from jaxpot.errors import DataError, FormatError
from jaxpot.fitting.linear.core_repulsion import core_of
from jaxpot.fitting.linear.hyperparameters import CHOICES
from jaxpot.fitting.linear.kinds import CONSTANT, KINDS, Measures
from jaxpot.fitting.linear.recipe_terms import checked_term, lowered, terms_of_table
from jaxpot.fitting.linear.terms import LinearTerm, without_points
from jaxpot.fitting.recipe_files import checked_sigmas, checked_table
from jaxpot.potentials.base import Potential

_UNITS = ("bonds", "spacings", "A")


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
        lowered: what the elements of a data set have lowered in the terms, in words.
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
    lowered: tuple[str, ...] = ()

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
        terms = tuple(checked_term(table, file, f"term {k}") for k, table in enumerate(terms, 1))
        if all(term["descriptor"] == CONSTANT for term in terms):
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
        """Recipe with the lengths of a data set, and as many functions as its elements allow.

        Fits to other data sets have the same descriptors, then, and programs.
        """
        terms, changes = zip(*(lowered(table, dataset.species) for table in self.terms), strict=True)
        return replace(
            self, terms=terms, bond=self._bond(dataset), shortest=tuple(self.shortest_distances(dataset).items()),
            spacing=self._spacing(dataset) if self.units == "spacings" else None,
            lowered=self.lowered + tuple(f"term {k}: {change}" for k, change in enumerate(changes, 1) if change),
        )

    def with_components(self, count: int) -> "Recipe":
        """Recipe of terms with that many components each, the others eliminated after the fit to all.

        Raises:
            DataError: no term can have fewer.
        """
        can = [name for name, kind in KINDS.items() if "components" in kind.keys]
        able = [term["descriptor"] in can and term.get("readout") == "linear" for term in self.terms]
        if not any(able):
            raise DataError(
                f"components: terms of {', '.join(can)} with the readout \"linear\" can have fewer; "
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
        measures = Measures(unit, bond, shortest, dataset.species)
        return [
            term for k, table in enumerate(self.terms, 1) if not (known and table["descriptor"] == CONSTANT)
            for term in terms_of_table(table, measures, f"term {k}")
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
        """Tables of the file of the recipe, but [sigma]; without what a fit has put into terms."""
        choice = {"method": self.choice} | ({"folds": self.folds} if self.choice == "cross-validation" else {})
        terms = [
            {key: value for key, value in term.items() if key not in KINDS[term["descriptor"]].from_fit}
            for term in self.terms
        ]
        return {"units": self.units, "term": terms, "choice": choice}
