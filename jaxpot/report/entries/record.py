"""The records of a property card: a property with its entries, figures, rows and error bars."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxpot.core.structure import Structure
from jaxpot.errors import ConvergenceError, JaxpotWarning
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior
from jaxpot.properties.second_order import Route
from jaxpot.report.rows import Row
from jaxpot.uncertainty.propagation import propagate

ROOM = 300.0  # K, the temperature of the card's thermal numbers


@dataclass(frozen=True)
class Study:
    """The crystal of a card, and how its properties are computed.

    Attributes:
        potential: any.
        crystal: the relaxed primitive cell.
        route: the standard path of the Brillouin zone (`io.band_path`).
        special: name -> wave vector of the special points, in the order of the tables.
        mesh: divisions of the reciprocal lattice for thermal properties.
        dos_mesh: those for the density of states.
        temperatures: K, ascending.
        pressure: eV/A^3.
        say: called with a few words before each step.
        notes: sentences for the reader; computations add theirs.
        way: `Route` that serves phonons and what is made of them; None where each makes its own.
        temperatures_done: numbers of the temperatures whose thermal properties are known.
    """

    potential: Potential
    crystal: Structure
    route: Any
    special: Mapping[str, Any]
    mesh: int
    dos_mesh: int
    temperatures: Any
    pressure: float
    say: Callable[..., object]
    notes: list[str]
    way: Route | None = None
    temperatures_done: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Uncertain:
    """A study whose potential is uncertain: how what follows from it varies.

    Attributes:
        study: `Study`, of the mean.
        posterior: `Posterior`, widened to the structures of the study.
        response: how the crystal relaxes with the parameters, from `shape_response`.
    """

    study: Study
    posterior: Posterior
    response: Any

    def spread(self, about: str, function: Callable, relaxed: bool = True) -> Any:
        """Propagate the posterior to a property; None, with a warning, where that does not exist nearby.

        Args:
            about: the property, in a few words.
            function: `function(potential, crystal)`, of the crystal as it relaxes with the parameters, or with
                `relaxed=False`, `function(potential)`.

        Returns:
            As `propagate`.
        """
        self.study.say(f"error bars: {about}")
        try:
            if not relaxed:
                return propagate(self.posterior, function)
            return propagate(self.posterior, function, self.study.crystal, self.response)
        except ConvergenceError as error:  # of the crystal strained by a thousandth, at its limit of stability
            warnings.warn(f"no error bars of the {about}: {error}", JaxpotWarning, stacklevel=2)
            return None


@dataclass(frozen=True)
class Entry:
    """One key of the card's document.

    Attributes:
        key: its name, with the unit in it: "bulk_GPa".
        unit: of the value.
        definition: what the number means, to the last ambiguity.
        value: `value(results, study)`, plain numbers, lists and dicts; None where the crystal has none.
        deviation: `deviation(spreads, study)`, the standard deviation in the shape of the value; None without one.
    """

    key: str
    unit: str
    definition: str
    value: Callable[[Mapping[str, Any], Study], Any]
    deviation: Callable[[Mapping[str, Any], Study], Any]


@dataclass(frozen=True)
class Figure:
    """A picture of a result.

    Attributes:
        name: of the result, and of the file.
        draw: `draw(results, spreads)` -> a figure.
        caption: under the picture on the page; None: a file only.
    """

    name: str
    draw: Callable[[Mapping[str, Any], Mapping[str, Any]], Any]
    caption: str | None = None


@dataclass(frozen=True, kw_only=True)
class Property:
    """A property of a crystal on the card: a file of `report/entries` ends with its own, `PROPERTIES` lists them.

    Attributes:
        about: a few words, for progress and for notes of what the crystal has not got: "elastic constants".
        compute: `compute(study)` -> results by name. A `ConvergenceError` becomes a note, and the card goes on.
        entries: of the document.
        figures: of its results, as far as they exist.
        rows: `rows(document)`, its lines of the table.
        meta: `meta(results, spreads, study)`, its part of the document's "meta".
        spreads: `spreads(uncertain, results)` -> what `deviation` and `draw` need of the posterior, by name; None
            where there is none.
        structures: `structures(results)`, those beyond the crystal on which its numbers depend.
        under_pressure: whether it has a meaning for a crystal under pressure.
        progress: `progress(study)`, how far its computation is, in words; such a one takes longest, and goes on in the
            background from the beginning.
    """

    about: str
    compute: Callable[[Study], dict[str, Any]]
    entries: tuple[Entry, ...] = ()
    figures: tuple[Figure, ...] = ()
    rows: Callable[[Mapping[str, Any]], Iterable[Row]] | None = None
    meta: Callable[[Mapping[str, Any], Mapping[str, Any], Study], dict[str, Any]] | None = None
    spreads: Callable[[Uncertain, Mapping[str, Any]], dict[str, Any]] | None = None
    structures: Callable[[Mapping[str, Any]], list[Structure]] | None = None
    under_pressure: bool = True
    progress: Callable[[Study], str] | None = None
