"""Where new frames may come from when no dynamics leads there: random structures, and the best of a pool."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from jaxpot.core.elements import atomic_number
from jaxpot.core.neighbors import find_neighbors
from jaxpot.core.numbers import as_positive, as_whole
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.potentials.posterior import Posterior
from jaxpot.typing import StructureLike
from jaxpot.uncertainty.linear_terms import can_be_widened
from jaxpot.uncertainty.selection import select_frames
from jaxpot.uncertainty.widening import widened

_CELLS, _PLACES = 200, 100  # tried for each structure, and for each atom
_FLAT = 0.4  # of the volume of a cell with right angles


def random_structures(
    symbols: Sequence[str | int], volume: float, count: int, closest: float, seed: int = 0
) -> list[Structure]:
    """Crystals of random cells and positions, none with atoms too close: the start of a random structure search.

    Args:
        symbols: chemical symbols or atomic numbers of the atoms of one cell.
        volume: A^3 of an atom; each structure has 0.8 to 1.2 times that.
        count: how many.
        closest: A, the smallest distance allowed; a number.
        seed: whole number.

    Returns:
        A list of `Structure`s.

    Raises:
        DataError: atoms do not fit so far apart.

    References:
        C. J. Pickard, R. J. Needs, J. Phys.: Condens. Matter 23, 053201 (2011), section 3.
    """
    numbers = [atomic_number(s) for s in symbols]
    volume, closest = as_positive(volume, "volume"), as_positive(closest, "closest")
    count, chance = as_whole(count, "count", 1, 10**6), np.random.default_rng(as_whole(seed, "seed", 0, 2**63 - 1))
    return [_one(numbers, volume, closest, chance) for _ in range(count)]


def _one(numbers, volume, closest, chance):
    for _ in range(_CELLS):
        cell = chance.normal(size=(3, 3)) + 2.0 * np.eye(3)
        size = np.linalg.det(cell)
        if size < _FLAT * np.linalg.norm(cell, axis=1).prod():  # flat cells hold atoms near their own images
            continue
        cell *= (len(numbers) * volume * chance.uniform(0.8, 1.2) / size) ** (1.0 / 3.0)
        positions = _placed(len(numbers), cell, closest, chance)
        if positions is not None:
            structure = Structure(positions, cell, numbers)
            if not np.asarray(find_neighbors(structure, closest).counts).any():
                return structure
    raise DataError(
        f"{len(numbers)} atoms of {volume:g} A^3 each were never {closest:g} A apart in {_CELLS} cells: give more "
        "volume or a smaller distance"
    )


def _placed(count, cell, closest, chance):
    """Positions, one atom after the other, each away from those before it; None if one finds no place."""
    images = np.array(list(product((-1, 0, 1), repeat=3))) @ cell
    positions = np.empty((0, 3))
    for _ in range(count):
        tried = chance.uniform(size=(_PLACES, 3)) @ cell
        between = tried[:, None, None] - positions[None, :, None] - images
        free = np.flatnonzero((np.linalg.norm(between, axis=-1) > closest).all((1, 2)))
        if not len(free):
            return None
        positions = np.concatenate([positions, tried[free[:1]]])
    return positions


def select_batch(
    posterior: Posterior, candidates: Sequence[StructureLike], count: int, progress: Callable[..., None] | None = None
) -> list[int]:
    """The structures of a pool whose energies and forces would tell most, one after the other.

    Each has the largest gain of information about the weights, log det(1 + B B^T) / 2, once those before it are known;
    a Gaussian process is widened by sparse points in the pool first, so that what it cannot yet represent counts, too.

    Args:
        posterior: `Posterior` of weights that the energy is linear in.
        candidates: structures.
        count: how many to choose.
        progress: called with a sentence.

    Returns:
        Numbers of the structures chosen, in order.

    References:
        D. J. C. MacKay, Neural Computation 4, 590 (1992), equation 9.
    """
    candidates = list(candidates)
    if can_be_widened(posterior):
        posterior = widened(posterior, candidates)
    chosen, _ = select_frames(posterior, None, candidates, count, progress)
    return chosen
