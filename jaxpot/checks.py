"""What is checked, and completed, before anything is computed.

Wrong arguments, elements that a potential does not know, positions that are not finite and outgrown neighbour
lists are refused with a typed error wherever the values are known. Under jit nothing can be raised: there
`observables.poison` turns the same violations into NaN.
"""

import math
import numbers
import warnings

import jax
import numpy as np

from jaxpot.core.distances import closest_pair
from jaxpot.core.elements import name_species
from jaxpot.core.few_shapes import rounded
from jaxpot.core.neighbors import Neighbors, find_neighbors
from jaxpot.core.precision import concrete, is_traced
from jaxpot.core.structure import Structure
from jaxpot.errors import CapacityError, DataError, GeometryError, JaxpotWarning, PrecisionError
from jaxpot.potentials.base import WHY_DOUBLE, Potential, has_plan, terms_of
from jaxpot.potentials.terms import inner_cutoffs
from jaxpot.typing import StructureLike

_STEP = 1.05  # between two reaches of lists
_SHORTEST = 64  # places of a row where lengths are rounded up
# A. ZBL's screened repulsion, which cascades of 100 keV need, is above 10 keV here for silicon: such atoms are on their
# way through each other, and no crystal, no molecule and no start of a simulation has them.
_FUSED = 0.1


def prepare(
    potential: Potential, structure: StructureLike, neighbors: Neighbors | None = None
) -> tuple[Potential, Structure, Neighbors]:
    """The three arguments checked and completed; the list is built if there is none."""
    check_potential(potential)
    structure = Structure.of(structure, potential.needs)
    if len(structure) == 0:
        raise DataError("there are no atoms: only energy, site_energies, forces and evaluate have a value then")
    if neighbors is None:
        listed = checked_neighbors(potential, structure)
        check_distances(structure, listed)
        return potential, structure, listed
    _check_list(potential, structure, neighbors)
    return potential, structure, _with_missing_plans(potential, structure, neighbors)


def checked_neighbors(
    potential: Potential, structure: Structure, skin: float = 0.0, rows: int | None = None, capacity: int | None = None
) -> Neighbors:
    """A neighbour list for a potential, after the checks on species and positions.

    It reaches as far as the parameters do, where they have been changed since the cutoff was found: in steps of 5 %,
    since programs are compiled for each reach. In NumPy arrays: `jax.device_put` it where it is used many times.
    """
    check_species(potential, structure)
    check_precision(potential, structure)
    extent = concrete(potential.extent())
    reach = potential.cutoff if extent is None else _reach(potential.cutoff, float(extent))
    check_data(potential, structure)
    listed = find_neighbors(structure, reach, skin, capacity, rows, inner_cutoffs(potential))
    if capacity is None and rows is None:
        listed = _in_few_lengths(listed)
    return with_plans(potential, structure, listed)


def _in_few_lengths(listed):
    """The list with rows of the lengths that `few_shapes` asks for."""
    longer = rounded(listed.capacity, _SHORTEST)
    if longer == listed.capacity:
        return listed
    inner = tuple((cutoff, min(longer, rounded(places, _SHORTEST))) for cutoff, places in listed.inner)
    return listed.in_rows_of(longer).replace(inner=inner)


def with_plans(potential: Potential, structure: Structure, listed: Neighbors) -> Neighbors:
    """The list with what the addends of a potential prepare beside it (`Potential.plan`)."""
    plans = tuple(term.plan(structure) for term in terms_of(potential))
    return listed.replace(plans=plans) if any(plan is not None for plan in plans) else listed


def _with_missing_plans(potential, structure, listed):
    """The list with plans, where it has been made without the potential, as `jp.neighbors` makes it."""
    if listed.plans or not any(has_plan(term) for term in terms_of(potential)):
        return listed
    known = jax.tree.map(concrete, structure)
    if len(jax.tree.leaves(known)) < len(jax.tree.leaves(structure)):  # a value that is not known became None
        raise DataError(
            f"{potential!r} prepares something beside the neighbour list, and this list was made without it: make it "
            "with jaxpot.checks.checked_neighbors(potential, structure), outside of jit"
        )
    return with_plans(potential, known, listed)


def _reach(cutoff, extent):
    """The cutoff, or the first number of steps beyond it that takes in the extent."""
    if not 0.0 < cutoff < extent < math.inf:
        return max(cutoff, extent)
    return max(extent, cutoff * _STEP ** math.ceil(math.log(extent / cutoff) / math.log(_STEP)))


def check_potential(potential: object) -> None:
    """Refuse what is not a potential, first of all: arguments in the wrong order are a common mistake."""
    if not isinstance(potential, Potential):
        raise DataError(f"expected a jaxpot potential as the first argument, got {type(potential).__name__}")
    if getattr(potential, "cutoff", None) is None:
        raise DataError(f"{type(potential).__name__} has no cutoff: a potential declares its range, in A")
    if not isinstance(potential.reach, numbers.Real):
        raise DataError(
            f"{type(potential).__name__}.reach: expected a number of A (how far the energy of a site reaches), got "
            f"{type(potential.reach).__name__}; a parameter of this name needs another one"
        )


def check_species(potential: Potential, structure: Structure) -> None:
    """Refuse elements that the potential does not know (concrete values only)."""
    if potential.species is None or is_traced(structure.numbers):
        return
    numbers = np.asarray(structure.numbers)
    unknown = set(numbers[numbers > 0].tolist()) - set(potential.species)
    if unknown:
        raise DataError(
            f"{type(potential).__name__} knows {name_species(potential.species)}, "
            f"but the structure contains {name_species(unknown)}"
        )


def check_data(potential: Potential, structure: Structure) -> None:
    """Refuse a structure without the data of atoms or of the system that the potential reads."""
    missing = [name for name in potential.needs if name not in structure.atom_data | structure.system_data]
    if missing:
        raise DataError(
            f"{type(potential).__name__} reads {', '.join(missing)}, and the structure has no such data: give them as "
            f"Structure(..., atom_data={{{missing[0]!r}: ...}}) or system_data, or as initial charges, arrays, info of "
            "ASE"
        )


def check_precision(potential: Potential, structure: Structure) -> None:
    """Refuse single precision where a potential cannot bear it, under jit too."""
    if potential.double_only and structure.positions.dtype == np.float32:
        raise PrecisionError(
            f"{potential!r} needs double precision, and the structure is in float32: {WHY_DOUBLE}; give float64 arrays"
        )


def check_distances(structure: Structure, listed: Neighbors | None = None, refuse: bool = False) -> None:
    """Warn of atoms that are closer than half of the sum of their covalent radii, as in nm or listed twice.

    Args:
        structure: `Structure`, concrete.
        listed: `Neighbors` of it in NumPy arrays; by default a short list is made.
        refuse: refuse what is no matter: two atoms within 0.1 A, or nearly all atoms with neighbours ten times too
            close. For properties and commands; an energy is a number at any distance, as in a collision.

    Raises:
        GeometryError: if `refuse`.
    """
    pair = closest_pair(structure, listed)
    if pair is None:
        return
    what = str(pair)
    if pair.tenfold:
        what += ", and nearly all atoms are about ten times too close: are these lengths in nm? They are taken for A"
    if refuse and (pair.crowded or pair.distance < _FUSED):
        raise GeometryError(f"{what}. No crystal or molecule is like that; check the units, and remove doubled atoms")
    warnings.warn(f"{what}. Energies and forces there are those of a collision", JaxpotWarning, stacklevel=4)


def _check_list(potential, structure, neighbors):
    check_precision(potential, structure)
    check_data(potential, structure)
    if neighbors.cutoff < potential.cutoff:
        raise CapacityError(
            f"the neighbour list reaches {neighbors.cutoff:.6g} A, but the potential needs "
            f"{potential.cutoff:.6g} A: build it with jp.neighbors(structure, potential.cutoff)"
        )
    if neighbors.positions.shape != structure.positions.shape:
        raise DataError(
            f"the neighbour list belongs to {neighbors.positions.shape[0]} atoms, "
            f"the structure has {len(structure)}"
        )
    if neighbors.pbc != structure.pbc:
        raise DataError(
            f"the neighbour list was built for pbc={neighbors.pbc}, the structure has pbc={structure.pbc}: "
            "build a list of this structure"
        )
    if is_traced(structure.positions, structure.cell, structure.numbers, neighbors):
        return
    check_species(potential, structure)
    if not np.isfinite(np.asarray(structure.positions)).all():
        raise DataError("positions: not all numbers are finite")
    extent = concrete(potential.extent())
    with jax.ensure_compile_time_eval():  # a structure that is known is so under jit over the potential, too
        outgrown = extent is not None and not bool(neighbors.covers(structure, extent))
    if outgrown:
        raise CapacityError(
            "the neighbour list has been outgrown: atoms or cell have changed too much since it was built, "
            "or it belongs to another structure; build a new one, or one with a larger skin"
        )


def prepare_padded(
    potential: Potential, structure: StructureLike, neighbors: Neighbors | None
) -> tuple[int, tuple[Potential, Structure, Neighbors]]:
    check_potential(potential)
    structure = Structure.of(structure, potential.needs)
    n = len(structure)
    if neighbors is not None or is_traced(structure, potential):
        return n, prepare(potential, structure, neighbors)
    size = round_atoms(n)
    structure = structure.padded(size)
    listed = checked_neighbors(potential, structure, rows=size)
    check_distances(structure, listed)
    return n, (potential, structure, listed)


def round_atoms(n: int) -> int:
    """The padded size for n atoms: powers of two (at most 2x too many rows, 10 programs up to 512 atoms)."""
    return 1 << max(2, (max(n, 1) - 1).bit_length())
