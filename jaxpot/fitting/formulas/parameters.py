"""Parameters of a formula that are searched for: their names, their bounds, and a potential for each choice."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.numbers import as_number
from jaxpot.core.precision import as_float
from jaxpot.core.pytree import Node, leaf_fields, pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential, Sum, cast, parameter_names

_WIDE = 4.0  # bounds by default: a quarter to four times the first value
_MOST = 200  # parameters
_NUDGE = 1e-3  # relative: far more than the rounding that symmetric tables may have


@pytree
class Parameters(Node):
    """Numbers of a potential that are searched for, as coordinates y from 0 to 1 between their bounds.

    Where both bounds have one sign, y is linear in the logarithm.
    """

    template: Potential
    begin: Any  # (P,) the lower bound, or the logarithm of its size, and the upper one
    end: Any
    sign: Any  # (P,) 1 or -1: of the value, where it is a logarithm; 0 where it is none
    names: tuple = static()
    places: tuple = static()  # of each: which leaf, and where in it: several numbers that must be equal

    @classmethod
    def of(cls, template: Potential, names: tuple, places: tuple, low: np.ndarray, high: np.ndarray) -> "Parameters":
        """Parameters between bounds (P,)."""
        sign = np.where(low * high > 0.0, np.sign(low), 0.0)
        begin, end = (np.where(sign, np.log(np.abs(np.where(sign, b, 1.0))), b) for b in (low, high))
        return cls(template, begin, end, sign, names, places)

    def values(self, y: jax.Array) -> jax.Array:
        """Values of the parameters, (P,)."""
        t = self.begin + y * (self.end - self.begin)
        return jnp.where(self.sign == 0.0, t, self.sign * jnp.exp(jnp.where(self.sign == 0.0, 0.0, t)))

    def coordinates(self, values: np.ndarray) -> np.ndarray:
        """y of some values, (P,)."""
        t = np.where(self.sign, np.log(np.abs(np.where(self.sign, values, 1.0))), values)
        return np.clip((t - self.begin) / (self.end - self.begin), 0.0, 1.0)

    def at(self, y: jax.Array) -> Potential:
        """Potential of y; its static fields, the cutoff among them, stay those of the first values."""
        leaves, form = jax.tree.flatten(self.template)
        for (leaf, members), value in zip(self.places, self.values(y), strict=True):
            array = leaves[leaf]
            leaves[leaf] = array.ravel().at[np.array(members)].set(value).reshape(array.shape)
        return jax.tree.unflatten(form, leaves)

    def first(self) -> np.ndarray:
        """Values of the parameters of the template, (P,)."""
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(self.template)]
        return np.array([leaves[leaf].ravel()[list(members)].mean() for leaf, members in self.places])


potential_at = jax.jit(Parameters.at)
values_at = jax.jit(Parameters.values)


def parameters_of(
    potential: Potential, free: Sequence[str] | None, bounds: dict[str, tuple[float, float]] | None
) -> Parameters:
    """`Parameters` of a potential, by the names of leaves or of numbers in them."""
    if not jax.tree.leaves(potential):
        raise DataError(f"{potential!r} has no parameters")
    as_float(np.zeros(()), "parameters")  # double precision, or a typed error
    template = cast(potential, jnp.float64)
    leaves, numbers = parameter_names(template), {}
    for leaf, (name, array) in enumerate(zip(leaves, jax.tree.leaves(template), strict=True)):
        for k, index in enumerate(np.ndindex(array.shape)):
            numbers[name if array.size == 1 else f"{name}[{','.join(map(str, index))}]"] = (name, leaf, k)

    def members(name, what):
        if name not in numbers and name not in leaves:
            raise DataError(f"{what}: there is no parameter {name!r}; there are {', '.join(leaves)} (and numbers of "
                            "tables, as in depth[0,1])")
        return [member for member, (leaf, *_) in numbers.items() if name in (member, leaf)]

    free = [free] if isinstance(free, str) else leaves if free is None else free
    chosen = list(dict.fromkeys(member for name in free for member in members(name, "free")))
    if not 0 < len(chosen) <= _MOST:
        raise DataError(f"free: {len(chosen)} parameters; expected 1 to {_MOST}")
    given: dict = {}
    for name, pair in sorted((bounds or {}).items(), key=lambda item: item[0] in numbers):  # of leaves first
        given |= dict.fromkeys(members(name, "bounds"), _checked_bounds(name, pair))
    idle = [name for name in bounds or {} if not set(members(name, "bounds")) & set(chosen)]
    if idle:
        raise DataError(f"bounds: {', '.join(idle)} is not among the free parameters {', '.join(free)}")
    groups = _ties(template, [numbers[name][1:] for name in chosen])
    names = tuple(chosen[group[0]] for group in groups)
    places = tuple((numbers[chosen[group[0]]][1], tuple(numbers[chosen[k]][2] for k in group)) for group in groups)
    unbounded = Parameters(template, None, None, None, names, places)
    first = unbounded.first()
    pairs = [given.get(name) or _default_bounds(name, value) for name, value in zip(names, first, strict=True)]
    for name, value, (low, high) in zip(names, first, pairs, strict=True):
        if not low <= value <= high:
            raise DataError(f"bounds: the first value of {name}, {value:g}, is not between {low:g} and {high:g}")
    return Parameters.of(template, names, places, *np.array(pairs).T)


def _checked_bounds(name, pair):
    try:
        low, high = pair
    except (TypeError, ValueError) as error:
        raise DataError(f"bounds: {name}: expected (low, high), got {pair!r}") from error
    low, high = (as_number(value, f"bounds: {name}") for value in (low, high))
    if low >= high:
        raise DataError(f"bounds: {name}: expected low < high, got {low:g} and {high:g}")
    return low, high


def _default_bounds(name, value):
    if value == 0.0:
        raise DataError(
            f"bounds: {name} is 0 at first, which says nothing about its size: give bounds, or leave it out of free"
        )
    return tuple(sorted((value / _WIDE, value * _WIDE)))


def remade(potential: Potential) -> Potential:
    """Make the potential anew by its constructors, with their checks, and cutoffs that follow from parameters."""
    if isinstance(potential, Sum):
        return Sum.of(*map(remade, potential.terms))
    if not isinstance(potential, Potential):
        return potential
    return potential.replace(**{name: remade(value) for name, value in leaf_fields(potential).items()})


def _ties(template, places):
    """Groups of free numbers (leaf, place) that constructors want to be equal, lists of their positions.

    A number of a table that may not change alone, may with another one: that of the pair (or triplet) the other way
    round.
    """
    leaves, form = jax.tree.flatten(template)

    def complaint(members):
        changed = [np.array(leaf) for leaf in leaves]
        for k in members:
            leaf, place = places[k]
            flat = changed[leaf].reshape(-1)
            flat[place] += _NUDGE * (abs(flat[place]) or 1.0)
            changed[leaf] = flat.reshape(changed[leaf].shape)
        try:
            remade(jax.tree.unflatten(form, changed))
        except DataError as error:
            return str(error)
        return None

    groups, done = [], set()
    for k, (leaf, _) in enumerate(places):
        if k in done:
            continue
        why = complaint([k]) if leaves[leaf].ndim > 1 and leaves[leaf].size > 1 else None
        others = [o for o in range(k + 1, len(places)) if places[o][0] == leaf and o not in done] if why else []
        group = next(([k, o] for o in others if complaint([k, o]) is None), [k])
        if why and len(group) == 1:
            raise DataError(f"free: a number of a table can change neither alone nor with one that is free, too: {why}")
        groups.append(group)
        done.update(group)
    return groups


def longest(parameters: Parameters) -> tuple[float, list[str]]:
    """Longest extent within the bounds, A, and the names of the parameters it grows with.

    Each parameter goes to the bound where the extent is longer, which is the longest of all if it rises or falls with
    each of them; should it be longer elsewhere, `residuals` are NaN there.
    """
    extent = jax.jit(lambda y: jnp.asarray(parameters.at(y).extent(), float))
    y, longer = np.ones(len(parameters.names)), set()
    for _ in range(2):
        for k, name in enumerate(parameters.names):
            ends = np.tile(y, (2, 1))
            ends[:, k] = 0.0, 1.0
            low, high = (float(extent(end)) for end in ends)
            y = ends[int(high >= low)]
            longer |= {name} if low != high else set()
    return float(extent(y)) * (1.0 + 1e-12), sorted(longer)
