"""Parts of potentials for files that hold one term for each element and a constant."""

from jaxpot.core.elements import symbol
from jaxpot.descriptors.base import Descriptor
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.constants import apart_from_constants
from jaxpot.potentials.described import Described
from jaxpot.readouts.base import Readout


def terms_by_element(
    potential: Potential, descriptor: type[Descriptor], readouts: tuple[type[Readout], ...], file: str
) -> tuple[dict[int, tuple[float, Described]], dict[int, float]]:
    """Element -> (factor, term), and element -> constant.

    Args:
        potential: a sum of `Described` and `Constants`, with factors.
        descriptor, readouts: classes of the parts that the file holds.
        file: its kind, for messages: "SNAP".

    Raises:
        DataError: other terms, two of an element, or none at all.
    """
    terms: dict[int, tuple[float, Described]] = {}
    energies, others = apart_from_constants(potential)
    for factor, term in others:
        if not isinstance(term, Described) or not (
            isinstance(term.descriptor, descriptor) and isinstance(term.readout, readouts)
        ):
            kinds = " or ".join(kind.__name__ for kind in readouts)
            raise DataError(
                f"{term!r} has no place in a file of {file}: expected Constants, and Described with a "
                f"{descriptor.__name__} and {kinds}"
            )
        for z in term.descriptor.centers or term.species or ():
            if z in terms:
                raise DataError(f"{term!r}: {symbol(z)} has a term already; files of {file} hold one of each element")
            terms[z] = float(factor), term
    if not terms:
        raise DataError(f"{potential!r} has no {descriptor.__name__} in it")
    return terms, energies
