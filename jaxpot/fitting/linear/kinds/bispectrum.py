"""The bispectrum (SNAP) in recipes."""

from collections.abc import Iterator

from jaxpot.descriptors import Bispectrum
from jaxpot.fitting.linear.kinds.base import Kind, Measures, whole_from
from jaxpot.fitting.recipe_files import checked_number
from jaxpot.kernels import DotProduct


def _descriptors(table: dict, measures: Measures) -> Iterator[Bispectrum]:
    """A density of each element, where there are several."""
    count = len(measures.species)
    further = {name: table[name] for name in ("rfac0",) if name in table}
    for z in measures.species:
        yield Bispectrum(
            measures.species, table["twojmax"], table["cutoff"] * measures.unit, (0.5,) * count, (1.0,) * count,
            chemflag=count > 1, centers=(z,), **further,
        )


KIND = Kind(
    keys={"twojmax": whole_from(1), "rfac0": checked_number, "zeta": checked_number},
    needed=frozenset({"cutoff", "twojmax"}), descriptors=_descriptors,
    kernel=lambda table, unit: DotProduct(table.get("zeta", 4)), of_processes=frozenset({"zeta"}),
)
