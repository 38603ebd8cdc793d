"""Terms with sums over all atoms on the ranks of LAMMPS: each sums over its own, and the sums are added over ranks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jaxpot.core.graph import connect
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.structure import Structure
from jaxpot.observables.edges import Part, seen_by
from jaxpot.potentials.shared_sums import pulls_of_sites, pulls_through_sums


@dataclass(frozen=True)
class Box:
    """LAMMPS's box as it is now.

    Attributes:
        cell: (3, 3) A.
        pbc: three booleans.
        charges: (n,) e, of a rank's atoms and of those around, in the order of their positions; None: not read.
        over_ranks: array -> the sum of it over all ranks.
    """

    cell: np.ndarray
    pbc: tuple[bool, bool, bool]
    charges: np.ndarray | None
    over_ranks: Callable[[np.ndarray], np.ndarray]


@dataclass
class SharedTerms:
    """Addends of a potential that are `SharedSums`.

    Args:
        parts: of `observables.edges.parts`.
    """

    parts: Sequence[Part]
    _plans: list[Any] = field(default_factory=list, init=False)

    def evaluate(
        self, positions: np.ndarray, numbers: np.ndarray, listed: Neighbors, own: int, box: Box
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """Energy of the rank's atoms (eV), site energies (n,), forces (n, 3) and dE/dstrain (3, 3).

        The first `own` rows of the list are those of the rank's atoms; models of several hops have others behind. Sums
        of energies and of dE/dstrain over ranks, and of forces over images, are those of the crystal.
        """
        data = {}
        if box.charges is not None:
            data["charges"] = np.zeros(len(numbers))
            data["charges"][: len(box.charges)] = box.charges
        structure = Structure(positions, box.cell, numbers, pbc=box.pbc, atom_data=data)
        # Each of the rank's atoms once: copies of rows name some atom again.
        counted = np.zeros(len(numbers), bool)
        counted[np.asarray(listed.centers)[:own]] = True
        of_rank = np.arange(len(listed.centers)) < own
        self._make_plans(structure, counted)
        results = []
        for part, plan in zip(self.parts, self._plans, strict=True):
            arguments = part.potential, structure, seen_by(part.potential, listed), plan
            sums = _over_ranks(box, _own_sums(*arguments, counted))
            value, sites, near, strain, slopes = _of_sites(*arguments, of_rank, sums)
            forces, strained = _through_sums(*arguments, counted, _over_ranks(box, slopes))
            whole = value, sites, near + forces, strain + strained
            results.append([float(part.factor) * np.asarray(array) for array in whole])
        value, sites, forces, strain = (sum(arrays[1:], arrays[0]) for arrays in zip(*results, strict=True))
        return float(value), sites, forces, strain

    def _make_plans(self, structure, counted):
        """Plans of this cell: wave vectors are the same on all ranks, which have the same box."""
        for k, part in enumerate(self.parts):
            plan = self._plans[k] if k < len(self._plans) else None
            if plan is None or not (hasattr(plan, "covers") and bool(plan.covers(structure))):
                new = jax.device_put(part.potential.plan(structure.replace(numbers=structure.numbers * counted)))
                self._plans[k:] = [new, *self._plans[k + 1 :]]


def _over_ranks(box, tree):
    """Sums over ranks of the arrays of a tree, by one message."""
    leaves, kind = jax.tree.flatten(tree)
    flat = box.over_ranks(np.concatenate([np.asarray(leaf, float).ravel() for leaf in leaves]))
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    arrays = [array.reshape(leaf.shape) for array, leaf in zip(np.split(flat, ends), leaves, strict=True)]
    return jax.tree.unflatten(kind, arrays)


@jax.jit
def _own_sums(term, structure, listed, plan, counted):
    return term.sums(connect(structure, listed, plan), counted)


@jax.jit
def _of_sites(term, structure, listed, plan, of_rank, sums):
    return pulls_of_sites(term, lambda now: connect(now, listed, plan), structure, of_rank, sums)


@jax.jit
def _through_sums(term, structure, listed, plan, counted, slopes):
    return pulls_through_sums(term, lambda now: connect(now, listed, plan), structure, counted, slopes)
