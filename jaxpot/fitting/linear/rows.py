"""Rows of the design matrix: what energies, forces and stresses are linear in, for any model linear in its weights.

Forces are -dE/dr of a sum over atoms, so a row needs the derivatives of each site's features by its neighbours. The
potential gives them for one atom (`site_features`: the descriptor's Jacobian and one product with the sparse points);
here atoms are taken a few at a time, and what they owe to the rows of one structure is added up. One reverse pass
for every weight would be tens of times slower; only the few weights of the last layer of several hops have it.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.core.chunks import chunk_shape, cut
from jaxpot.core.graph import connect, connect_rows
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import pytree
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential, cast, summands
from jaxpot.potentials.described import is_linear
from jaxpot.potentials.terms import where_described

_BLOCK = 4  # places at a time, of descriptors with one vector an atom


@pytree
class DesignRows:
    """Rows of the design matrix of one structure: energy (M,), forces (n, 3, M), stress (3, 3, M)."""

    energy: jax.Array
    forces: jax.Array
    stress: jax.Array


@partial(jax.jit, static_argnames="stress")
def design_rows(potential: Potential, structure: Structure, neighbors: Neighbors, stress: bool = True) -> DesignRows:
    """Compute the rows of the design matrix of one structure.

    E = energy @ w, F = forces @ w, stress = stress @ w (+1/V dE/dstrain; NaN with open axes)

    Pure, and differentiable in forward mode: a derivative along a displacement field gives the rows of Hessian-vector
    products, one along a strain those of second derivatives by strain.

    Args:
        potential: terms with a `weight_mask`, alone or in a sum; w are their weights, one term after the other.
        structure, neighbors: as everywhere; rows of the list that are not real cost next to nothing.
        stress: False: without those of the stress (NaN), a tenth of the time.

    Returns:
        `DesignRows`.
    """
    potential = cast(potential, structure.positions.dtype)
    with_stress = stress and all(structure.pbc)
    parts = [
        (_term_rows if term.local else _hop_rows)(term, structure, neighbors, with_stress)
        for term in linear_terms(potential)
    ]
    return jax.tree.map(lambda *arrays: jnp.concatenate(arrays, axis=-1), *parts)


def linear_terms(potential: Potential) -> list[Any]:
    """Terms whose weights a fit finds.

    Raises:
        DataError: a term is not linear in its weights, or is multiplied with a number (which belongs into delta).
    """
    terms = []
    for term in summands(potential):
        if not is_linear(term):
            raise DataError(
                f"{term!r} is not linear in its weights: expected a descriptor with a readout that is; what is "
                "not fitted belongs into the baseline, a factor into delta"
            )
        terms.append(term)
    return terms


def _term_rows(term, structure, neighbors, with_stress):
    places = neighbors.places(term.cutoff)
    n, width, dtype = len(structure), term.n_features, structure.positions.dtype
    add_slopes = _add_in_blocks if getattr(term, "one_vector", False) else _add_slopes

    def chunk(k, carry):
        energy, *sums = carry
        graph = connect_rows(structure, neighbors, jax.tree.map(lambda a: a[k], rows))
        environments = graph.environments().first(places)
        values, sums = add_slopes(term, graph, environments, with_stress, tuple(sums))
        return energy + jnp.where(graph.real[:, None], values, 0.0).sum(0), *sums

    count, size = chunk_shape(neighbors.others.shape[0], places, term.descriptor.jacobian_elements)
    rows = cut(neighbors, count, size)
    busy = jnp.max(jnp.where(jnp.any(rows[-1], axis=1), jnp.arange(1, count + 1), 0))  # the others have no atoms
    start = (jnp.zeros(width, dtype), jnp.zeros((n, 3, width), dtype), jnp.zeros((3, 3, width), dtype))
    energy, gradient, virial = jax.lax.fori_loop(0, busy, chunk, start)
    stress = 0.5 * (virial + virial.swapaxes(0, 1)) / structure.volume
    return DesignRows(energy, -gradient, stress if with_stress else jnp.full_like(stress, jnp.nan))


def _hop_rows(term, structure, neighbors, with_stress):
    """Rows of a term of several hops: its features backwards through the hops, one weight after the other."""
    def features(positions, strain):
        graph = connect(structure.moved(positions).strained(strain), neighbors)
        return jnp.where(graph.real[:, None], term.site_features(graph), 0.0).sum(0)

    none = jnp.zeros((3, 3), structure.positions.dtype)
    energy, pull = jax.vjp(features, structure.positions, none)
    gradient, virial = jax.lax.map(pull, jnp.eye(len(energy), dtype=energy.dtype))
    gradient, virial = jnp.moveaxis(gradient, 0, -1), jnp.moveaxis(virial, 0, -1)
    stress = 0.5 * (virial + virial.swapaxes(0, 1)) / structure.volume
    return DesignRows(energy, -gradient, stress if with_stress else jnp.full_like(stress, jnp.nan))


def _add_slopes(term, graph, environments, with_stress, sums):
    """Features of the sites of a chunk (c, M), and what their derivatives add to the gradient and the virial."""
    values, slopes = where_described(term, jax.vmap(term.site_features), environments)  # (c, K, 3, M)
    slopes = jnp.where(graph.real[:, None, None, None], slopes, 0.0)  # copies fill the last chunk
    others = graph.others[:, : slopes.shape[1]]
    return values, _added(sums, graph.centers, others, environments.vectors, slopes, with_stress)


def _add_in_blocks(term, graph, environments, with_stress, sums):
    """`_add_slopes` for one vector an atom: a few places at a time, as far as the neighbours of this chunk go.

    A block of slopes stays in the cache while it is made and added up, and rows that are longer than these atoms need
    cost nothing.
    """
    readout = term.readout
    vectors, weights, _, changes, weight_changes = where_described(
        term, jax.vmap(term.descriptor.jacobian), environments
    )
    values = jax.vmap(readout.features)(vectors, weights)
    serves = graph.real & (weights[:, 0] != 0.0)
    changes = jnp.where(graph.real[:, None, None, None, None], changes, 0.0)  # copies fill the last chunk
    atoms, _, places, _, dimension = changes.shape
    spare = -places % _BLOCK
    changes, weight_changes = (
        jnp.pad(a, [(0, spare if axis == 2 else 0) for axis in range(a.ndim)]) for a in (changes, weight_changes)
    )
    others = jnp.pad(graph.others[:, :places], ((0, 0), (0, spare)))
    along = jnp.pad(environments.vectors, ((0, 0), (0, spare), (0, 0)))
    seen = (environments.distances < term.cutoff) & serves[:, None]
    last = jnp.max(jnp.where(seen, jnp.arange(1, places + 1), 0))

    def block(k, sums):
        def part(array, axis):
            return jax.lax.dynamic_slice_in_dim(array, k * _BLOCK, _BLOCK, axis)

        _, slopes = jax.vmap(readout.feature_changes)(
            vectors, weights, part(changes, 2).reshape(atoms, 1, _BLOCK * 3, dimension),
            part(weight_changes, 2).reshape(atoms, 1, _BLOCK * 3),
        )
        slopes = slopes.reshape(atoms, _BLOCK, 3, -1)
        return _added(sums, graph.centers, part(others, 1), part(along, 1), slopes, with_stress)

    return values, jax.lax.fori_loop(0, (last + _BLOCK - 1) // _BLOCK, block, sums)


def _added(sums, centers, others, along, slopes, with_stress):
    gradient, virial = sums
    # With the sign of the gradient: the array of the slopes is large, and each look at it costs.
    gradient = gradient.at[others].add(slopes).at[centers].add(-slopes.sum(1))
    if with_stress:
        virial = virial + jnp.einsum("akb,akcm->bcm", along, slopes)
    return gradient, virial
