"""SOAP in recipes."""

from collections.abc import Iterator

from jaxpot.descriptors import SOAP
from jaxpot.fitting.linear.kinds.base import Kind, Measures, anything, whole_from
from jaxpot.fitting.linear.kinds.transitions import lengths
from jaxpot.fitting.recipe_files import checked_number
from jaxpot.kernels import DotProduct

_COMPACT = 1e-18  # of scalar products: below rounding


def _descriptors(table: dict, measures: Measures) -> Iterator[SOAP]:
    species, unit = measures.species, measures.unit
    for z in species:
        yield SOAP(
            table["n_max"], table["l_max"], atom_sigma=table["atom_sigma"] * unit, centers=(z,),
            species=species if len(species) > 1 else None, central_weight=table.get("central_weight", 1.0),
            compact=True, compact_tolerance=_COMPACT, **lengths(table, unit),
        )


KIND = Kind(
    keys={
        "n_max": whole_from(1), "l_max": whole_from(0), "atom_sigma": checked_number, "central_weight": anything,
        "transition_width": checked_number, "zeta": checked_number,
    },
    needed=frozenset({"cutoff", "n_max", "l_max", "atom_sigma"}), descriptors=_descriptors,
    kernel=lambda table, unit: DotProduct(table.get("zeta", 4)), of_processes=frozenset({"zeta"}),
)
