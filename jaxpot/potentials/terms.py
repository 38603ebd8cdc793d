"""How the terms of a sum are evaluated on a chunk: each on the neighbours it sees, and for atoms it describes.

A three-body term of 3 A beside one of 5.5 A has a sixth of its neighbours, which are the first places of each row; a
term about silicon atoms is left out of chunks without silicon (rows are sorted by element).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.core.graph import Environment
from jaxpot.core.neighbors import Neighbors
from jaxpot.potentials.base import Potential, Sum, addends, terms_of
from jaxpot.potentials.committee import Committee
from jaxpot.potentials.described import Described
from jaxpot.typing import Array, PyTree


def inner_cutoffs(potential: Potential) -> tuple[float, ...]:
    """Cutoffs that rows are sorted by, in A: those that terms ask for, and those of terms that reach much less far."""
    terms = list(terms_of(potential))
    asked = {cutoff for term in terms for cutoff in term.shorter}
    near = [term for term in terms if 0.0 < term.cutoff <= _WORTHWHILE * potential.cutoff]
    return tuple(sorted(asked | {term.cutoff for term in near if _has_fixed_cutoff(term)}))


def chunk_energies(potential: Potential, environments: Environment, neighbors: Neighbors) -> Array:
    """Site energies of a chunk, (rows,) eV. Environments have the rows in front."""
    return sum(
        where_described(part, jax.vmap(part.site_energy), environments.first(places))
        for part, places in _parts(potential, neighbors)
    )


def chunk_gradients(
    potential: Potential, environments: Environment, neighbors: Neighbors
) -> tuple[Array, tuple[Array, ...]]:
    """Site energies (rows,), and their derivatives by x, y, z and distance, (rows, K) each."""
    energies: list[Any] = []
    gradients: list[list[Any]] = []
    for part, places in _parts(potential, neighbors):
        energy, gradient = where_described(part, partial(_pulled, part), environments.first(places))
        energies.append(energy)
        missing = environments.x.shape[1] - places
        gradients.append([jnp.pad(g, ((0, 0), (0, missing))) if missing else g for g in gradient])
    return sum(energies), tuple(sum(parts) for parts in zip(*gradients, strict=True))


def member_gradients(
    committee: Committee, environments: Environment, neighbors: Neighbors
) -> tuple[Array, tuple[Array, ...]]:
    """Evaluate `chunk_gradients` of all potentials of a committee: an axis of members in front of all arrays."""
    energies: list[Any] = []
    gradients: list[list[Any]] = []
    for part, axes in _stacked_parts(committee.potential, committee.axes):
        places = neighbors.places(part.cutoff) if _has_fixed_cutoff(part) else neighbors.capacity
        pulled = partial(_members_pulled, part, axes, len(committee))
        energy, gradient = where_described(part, pulled, environments.first(places))
        energies.append(energy)
        missing = ((0, 0), (0, 0), (0, environments.x.shape[1] - places))
        gradients.append([jnp.pad(g, missing) for g in gradient])
    return sum(energies), tuple(sum(parts) for parts in zip(*gradients, strict=True))


def _stacked_parts(potential, axes):
    """Terms of sums, each with its axes."""
    if not isinstance(potential, Sum):
        return [(potential, axes)]
    return [pair for own in zip(potential.terms, axes.terms, strict=True) for pair in _stacked_parts(*own)]


def _members_pulled(part, axes, count, environments):
    if not jax.tree.leaves(axes):  # nothing differs
        return jax.tree.map(lambda a: jnp.broadcast_to(a, (count, *a.shape)), _pulled(part, environments))
    if not isinstance(part, Described) or jax.tree.leaves(axes.descriptor):
        return jax.vmap(lambda own: _pulled(own, environments), in_axes=(axes,))(part)

    def instances(x, y, z, r):
        there = environments.replace(x=x, y=y, z=z, distances=r)
        return jax.vmap(part.descriptor.instances)(there)

    def slopes(readout):
        energies, pull = jax.vjp(lambda *own: jax.vmap(readout.energy)(*own), vectors, weights)
        return energies, pull(jnp.ones_like(energies))

    (vectors, weights), pull = jax.vjp(
        instances, environments.x, environments.y, environments.z, environments.distances
    )
    energies, found = jax.vmap(slopes, in_axes=(axes.readout,))(part.readout)
    # One after the other: under vmap what the members share would be computed anew for each.
    return energies, jax.lax.map(pull, found)


def _pulled(potential, environments):
    def energy(x, y, z, r):
        return jax.vmap(potential.site_energy)(environments.replace(x=x, y=y, z=z, distances=r))

    energies, pull = jax.vjp(energy, environments.x, environments.y, environments.z, environments.distances)
    return energies, pull(jnp.ones_like(energies))


def _parts(potential, neighbors):
    """Pairs (potential, places of a row it needs) that add up to a potential; what can be is left together."""
    whole, parts = [], []
    for factor, term in addends(potential) if isinstance(potential, Sum) else ((1.0, potential),):
        places = neighbors.places(term.cutoff) if _has_fixed_cutoff(term) else neighbors.capacity
        scaled = term if isinstance(factor, float) and factor == 1.0 else factor * term
        if places == neighbors.capacity and term.centers is None:
            whole.append(scaled)
        else:
            parts.append((scaled, places))
    together = Sum.or_one(whole) if whole else None
    return ([] if together is None else [(together, neighbors.capacity)]) + parts


def _has_fixed_cutoff(term):
    """Whether the range is a number, and no function of parameters."""
    return isinstance(term.extent(), float | int)


def where_described(part: Potential, function: Callable[[Environment], PyTree], environments: Environment) -> PyTree:
    """Evaluate function(environments), or return zeros if no atom of this chunk is one of the term's `centers`."""
    if part.centers is None:
        return function(environments)
    described = jnp.any(jnp.stack([environments.number == z for z in part.centers]))

    def nothing(environments):
        return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(function, environments))

    return jax.lax.cond(described, function, nothing, environments)


_WORTHWHILE = 0.8  # of the longest cutoff: half of the neighbours
