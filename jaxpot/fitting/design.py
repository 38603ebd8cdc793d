"""Rows of the design matrix: what energies, forces and stresses are linear in, for any model linear in its weights.

Forces are -dE/dr of a sum over atoms, so a row needs the derivatives of each site's features by its neighbours. The
potential gives them for one atom (`site_features`: the descriptor's Jacobian and one product with the sparse points);
here atoms are taken a few at a time, and what they owe to the rows of one structure is added up. One reverse pass
for every weight would be tens of times slower.
"""

import jax
import jax.numpy as jnp

from jaxpot.core.graph import connect_rows
from jaxpot.core.pytree import pytree
from jaxpot.errors import DataError
from jaxpot.potentials.base import Sum, cast, chunk_shape, cut
from jaxpot.potentials.terms import nearest, where_described

_CHUNK = 320  # neighbours in a chunk: each brings 3 M numbers


@pytree
class Rows:
    """What one structure's targets are linear in: energy (M,), forces (n, 3, M), stress (3, 3, M)."""

    energy: jax.Array
    forces: jax.Array
    stress: jax.Array


@jax.jit
def design_rows(potential, structure, neighbors):
    """Rows of the design matrix of one structure.

    E = energy @ w, F = forces @ w, stress = stress @ w (+1/V dE/dstrain; NaN with open axes)

    Pure and differentiable: a derivative along a displacement field gives the rows of Hessian-vector products, one
    along a strain those of second derivatives by strain.

    Args:
        potential: terms with `site_features`, alone or in a sum; w are their weights, one term after the other.
        structure, neighbors: as everywhere; rows of the list that are not real cost next to nothing.

    Returns:
        `Rows`.
    """
    potential = cast(potential, structure.positions.dtype)
    parts = [_term_rows(term, structure, neighbors) for term in linear_terms(potential)]
    return jax.tree.map(lambda *arrays: jnp.concatenate(arrays, axis=-1), *parts)


def linear_terms(potential):
    """The terms whose weights a fit finds.

    Raises:
        DataError: a term is not linear in its weights, or is multiplied with a number (which belongs into delta).
    """
    found = []
    for term in potential.terms if isinstance(potential, Sum) else (potential,):
        if not hasattr(term, "site_features"):
            raise DataError(
                f"{term!r} is not linear in its weights: expected a descriptor with sparse points; what is "
                "not fitted belongs into the baseline, a factor into delta"
            )
        found.append(term)
    return found


def _term_rows(term, structure, neighbors):
    places = neighbors.places(term.cutoff)
    n, width, dtype = len(structure), term.n_features, structure.positions.dtype

    def some(carry, rows):
        energy, forces, virial = carry
        graph = connect_rows(structure, neighbors, rows)
        environments = nearest(graph.environments(), places)
        values, slopes = where_described(term, jax.vmap(term.site_features), environments)
        others, keep = graph.others[:, :places], graph.filled[:, :places] & graph.real[:, None]
        slopes = jnp.where(keep[:, :, None, None], slopes, 0.0)  # (c, K, 3, M)
        energy = energy + jnp.where(graph.real[:, None], values, 0.0).sum(0)
        forces = forces.at[others].add(-slopes).at[graph.centers].add(slopes.sum(1))
        virial = virial + jnp.einsum("akb,akcm->bcm", environments.vectors, slopes)
        return energy, forces, virial

    def chunk(carry, rows):
        return jax.lax.cond(jnp.any(rows[-1]), some, lambda carry, rows: carry, carry, rows), None

    count, size = chunk_shape(neighbors.others.shape[0], places, _CHUNK)
    start = (jnp.zeros(width, dtype), jnp.zeros((n, 3, width), dtype), jnp.zeros((3, 3, width), dtype))
    (energy, forces, virial), _ = jax.lax.scan(chunk, start, cut(neighbors, count, size))
    stress = 0.5 * (virial + virial.swapaxes(0, 1)) / structure.volume
    return Rows(energy, forces, stress if all(structure.pbc) else stress * jnp.nan)
