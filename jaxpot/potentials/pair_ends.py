"""Pair potentials: their tables of parameters, and the ways of ending them that are in use.

    shift="none": v(r), cut off (the energy jumps).
    shift="energy": v(r) - v(rc) (forces jump).
    shift="slope": v(r) - (r - rc) v'(rc) (the energy jumps, forces do not).
    shift="force": v(r) - v(rc) - (r - rc) v'(rc) (second derivatives jump).
    shift="smooth": v(r) s(r), with s falling from 1 at `onset` to 0 at the cutoff, three times differentiable
        (`basis.cutoffs.switch`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.cutoffs import inside, switch
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.numbers import as_length
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.parameters import check_symmetric, pair_table, per_species, pick, species_numbers
from jaxpot.typing import Array

SMOOTHNESS = {"none": -1, "energy": 0, "slope": -1, "force": 1, "smooth": 3}


class Pairs(Potential):
    """A pair potential whose tables are those of `put_pairs`."""

    pairwise = True

    def of_pairs(self, environment: Environment, *names: str) -> tuple:
        """Parameters of the atom's pairs; of a table the mean with its transpose, whatever it has been traced as."""
        i = species_index(self.species, environment.number)
        j = species_index(self.species, environment.numbers)
        tables = (getattr(self, name) for name in names)
        return tuple(pick(0.5 * (table + table.T) if table.ndim else table, i, j) for table in tables)


class EndedPair(Pairs):
    """One with `cutoff`, `shift` and `onset`; subclasses check them with `put_end`."""

    shift: str
    onset: float

    @property
    def smoothness(self) -> int:
        return SMOOTHNESS[self.shift]

    def half_sum(self, environment: Environment, formula: Callable[[Array], Array]) -> Array:
        """Half the energy of the atom's pairs, () eV, of v = formula(r), for distances r or for one."""
        mask, r = inside(environment.distances, self.cutoff)
        pair = formula(r)
        end = jnp.asarray(self.cutoff, r.dtype)
        if self.shift in ("slope", "force"):
            value, slope = jax.jvp(formula, (end,), (jnp.ones_like(end),))
            pair = pair - (r - end) * slope - (value if self.shift == "force" else 0.0)
        elif self.shift == "energy":
            pair = pair - formula(end)
        elif self.shift == "smooth":
            pair = pair * switch(r, self.onset, self.cutoff)
        return 0.5 * jnp.sum(jnp.where(mask, pair, 0.0))


def put_end(potential: Any) -> None:
    """Check the cutoff, the way of ending and where it begins, while a potential is made."""
    object.__setattr__(potential, "cutoff", as_length(potential.cutoff, "cutoff"))
    if potential.shift not in SMOOTHNESS:
        raise DataError(f"shift: expected one of {list(SMOOTHNESS)}, got {potential.shift!r}")
    onset = as_length(0.8 * potential.cutoff if potential.onset is None else potential.onset, "onset")
    if onset >= potential.cutoff:
        raise DataError(f"onset ({onset} A) must lie below the cutoff ({potential.cutoff} A)")
    object.__setattr__(potential, "onset", onset)


def put_pairs(potential: Any, names: Sequence[str]) -> None:
    """Check the parameters of pairs: numbers, symmetric (S, S) arrays, or dicts {("Ar", "Kr"): ...}."""
    given = {name: getattr(potential, name) for name in names}
    if any(isinstance(value, dict) for value in given.values()):
        if not all(isinstance(value, dict) for value in given.values()):
            raise DataError(f"{', '.join(names)}: give all as dicts of pairs, or none")
        tables = {name: pair_table(value, name) for name, value in given.items()}
        species = tables[names[0]][0]
        if any(set(found) != set(species) for found, _ in tables.values()):
            raise DataError(f"{', '.join(names)}: the dicts name different elements")
        object.__setattr__(potential, "species", species)
        for name, (found, table) in tables.items():
            order = [found.index(z) for z in species]
            given[name] = table[np.ix_(order, order)]
    object.__setattr__(potential, "species", species_numbers(potential.species))
    for name, value in given.items():
        object.__setattr__(potential, name, per_species(value, potential.species, 2, name))
        check_symmetric(getattr(potential, name), potential.species, name)
