"""Many small structures in one program: stacked, and mapped together.

Ten small molecules take hardly longer than one: as many are stacked as have about the numbers that fit into the cache.
On the host, lists of open structures of one size are made for all of them at once. Devices of a mesh with the axis
"systems" take as many each, and then large structures are stacked, too: one for each device.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxpot.checks import check_data, check_precision, check_species, checked_neighbors, round_atoms
from jaxpot.core.chunks import on_this_device
from jaxpot.core.devices import dividing
from jaxpot.core.few_shapes import few_shapes, rounded
from jaxpot.core.neighbors import Neighbors, open_neighbors
from jaxpot.core.structure import Structure
from jaxpot.potentials.base import Potential, has_plan, terms_of
from jaxpot.potentials.terms import inner_cutoffs
from jaxpot.typing import PyTree

_LARGEST = 64  # atoms of what is stacked
_SHORTEST = 4  # places of a row


def in_batches(
    function: Callable[..., PyTree], potential: Potential, given: Sequence[Structure]
) -> list[PyTree]:
    """Map a function of stacked structures and lists over small structures.

    Args:
        function: (potential, structures, lists), arrays with an axis in front -> a tree of arrays with that axis.
        given: structures in which nothing is traced.

    Returns:
        A tree of NumPy arrays for each structure, of the padded size.
    """
    groups: dict[tuple, list[int]] = {}
    for k, structure in enumerate(given):
        data = tuple(sorted(structure.atom_data)), tuple(sorted(structure.system_data))
        groups.setdefault((round_atoms(len(structure)), structure.pbc, structure.positions.dtype, data), []).append(k)
    results: list[Any] = [None] * len(given)
    for (size, *_), members in groups.items():
        stacked, lists = _ready(potential, [given[k] for k in members], size)
        count = _together(potential, size, lists.others.shape[2])
        for begin in range(0, len(members), count):
            taken = np.minimum(np.arange(begin, begin + count), len(members) - 1)
            some = jax.tree.map(lambda a, taken=taken: a[taken], (stacked, lists))
            batch = jax.device_get(function(potential, *some))
            for place, k in enumerate(members[begin : begin + count]):
                results[k] = jax.tree.map(lambda a, place=place: a[place], batch)
    return results


def can_be_stacked(potential: Potential, structures: Sequence[Structure]) -> bool:
    """Whether several structures can be one batch: no plans beside their lists, whose shapes each has its own.

    They are small, and their energies sums over environments, unless devices divide them: then each has few anyway.
    """
    if len(structures) < 2 or any(has_plan(term) for term in terms_of(potential)):
        return False
    return dividing() > 1 or (potential.local and max(map(len, structures)) <= _LARGEST)


def _together(potential, size, capacity):
    """Number of structures in a batch: for each device a power of two, so that few programs serve."""
    elements = on_this_device(potential.chunk_elements)
    return dividing() << max(0, (elements // max(1, size * capacity)).bit_length() - 1)


def _ready(potential, structures, size):
    """Structures, padded to a size, and their lists, stacked (NumPy)."""
    check_precision(potential, structures[0])
    for structure in structures:
        check_data(potential, structure)
    stacked = _stacked(structures, size)
    kinds = {kind.tobytes(): k for k, kind in reversed(list(enumerate(stacked.numbers)))}
    for k in kinds.values():
        check_species(potential, structures[k])
    if not any(structures[0].pbc):
        with few_shapes():
            reach = max(potential.cutoff, float(potential.extent()))
            return stacked, open_neighbors(stacked, reach, inner_cutoffs(potential), lambda n: rounded(n, _SHORTEST))
    lists = [checked_neighbors(potential, structure.padded(size), rows=size) for structure in structures]
    return stacked, _alike(lists)


def _stacked(structures, size):
    """Structures padded to a size as one tree of NumPy arrays: the constructor of each costs more than its energy."""
    stacked = jax.tree.map(lambda leaf: leaf, structures[0].padded(size))

    def put(name, get, fill=0):
        first = np.asarray(get(structures[0]))
        array = np.full((len(structures), size, *first.shape[1:]), fill, first.dtype)
        for k, structure in enumerate(structures):
            values = get(structure)
            array[k, : len(values)] = values
        object.__setattr__(stacked, name, array)

    put("positions", lambda one: one.positions)
    put("numbers", lambda one: one.numbers)
    put("masses", lambda one: one.masses, 1)
    object.__setattr__(stacked, "cell", np.stack([np.asarray(one.cell) for one in structures]))
    object.__setattr__(stacked, "atom_data", _stacked_data(structures, "atom_data", size))
    object.__setattr__(stacked, "system_data", _stacked_data(structures, "system_data", None))
    return stacked


def _stacked_data(structures, which, size):
    """Data of atoms, padded with zeros, or of systems, stacked by name."""
    stacked = {}
    for name in getattr(structures[0], which):
        values = [np.asarray(getattr(structure, which)[name]) for structure in structures]
        if size is not None:
            values = [np.concatenate([v, np.zeros((size - len(v), *v.shape[1:]), v.dtype)]) for v in values]
        stacked[name] = np.stack(values)
    return stacked


def _alike(lists: Sequence[Neighbors]) -> Neighbors:
    """Lists in rows of the same length, stacked."""
    with few_shapes():
        capacity = rounded(max(listed.capacity for listed in lists), _SHORTEST)
        counts = zip(*([count for _, count in one.inner] for one in lists), strict=True)
        places = [rounded(max(of_cutoff), _SHORTEST) for of_cutoff in counts]
    inner = tuple((cutoff, min(count, capacity)) for (cutoff, _), count in zip(lists[0].inner, places, strict=True))
    widest = np.result_type(*(listed.shifts.dtype for listed in lists))
    same = [listed.in_rows_of(capacity).replace(inner=inner) for listed in lists]
    same = [listed.replace(shifts=np.asarray(listed.shifts, widest)) for listed in same]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *same)
