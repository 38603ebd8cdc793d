"""The structure that a word on the command line means: a file, or a prototype with its elements."""

from collections.abc import Callable

from jaxpot import io
from jaxpot.checks import check_distances, check_species, checked_neighbors
from jaxpot.cli.console import Console
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.report.crystal import find_volume


def start(
    spec: str, potential: Potential, console: Console, check_size: Callable[[int], object] | None = None
) -> Structure:
    """Read the crystal that a word on the command line means, at about its volume where that is not given.

    Args:
        spec: a file or PROTOTYPE:ELEMENTS[:a=A].
        potential: for which the volume is looked for.
        console: `Console`.
        check_size: called with the number of atoms, if a file declares it even before it is read.
    """
    structure, given = read_structure(spec, check_size)
    check_species(potential, structure)
    if not given:
        console.progress(f"{spec}: looking for the volume")
        structure = find_volume(potential, structure)
    return ready(spec, structure, potential)


def ready(spec: str, structure: Structure, potential: Potential) -> Structure:
    """The structure, if the potential knows its elements, no atoms are too close and something holds it together."""
    check_species(potential, structure)
    listed = checked_neighbors(potential, structure)
    check_distances(structure, listed, refuse=True)
    if not listed.counts.any():
        raise DataError(
            f"{spec}: no atom has another one within {potential.cutoff:.4g} A, the cutoff of the potential: "
            "nothing holds it together; check its size and its units (A)"
        )
    return structure


def read_structure(spec: str, check_size: Callable[[int], object] | None = None) -> tuple[Structure, bool]:
    """Read the structure that a word means; returns it, and whether its size is given.

    Args: those of `start`.
    """
    declared = io.declared_atoms(spec) if check_size else None
    if check_size and declared is not None:
        check_size(declared)
    structure, given = io.structure_from_spec(spec)
    if check_size:
        check_size(len(structure))
    return structure, given
