"""The posterior variance of site energies: pure, so that it can be differentiated and biased with."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from jaxpot.core.pytree import pytree
from jaxpot.observables import poison
from jaxpot.potentials.base import map_rows
from jaxpot.uncertainty.processes import gaussian_terms


@pytree
class SiteVariance:
    """What `variance` of a posterior returns, eV^2, (n,) each, times the square of the calibrated factor for energies.

    parametric: of the weights, given the data. residual: what the sparse points leave of the prior.
    """

    parametric: jax.Array
    residual: jax.Array

    @property
    def sites(self):
        """The sum of both, (n,)."""
        return self.parametric + self.residual


@jax.jit
def site_variance(posterior, factors, structure, neighbors):
    """`SiteVariance` of a padded structure; `factors` are those of `processes.factor_of` for each term."""
    terms = gaussian_terms(posterior)

    def block(graph, per_chunk):
        def chunk(environments):
            rows, residual = [], 0.0
            for term, factor in zip(terms, factors, strict=True):
                vectors, weights = jax.vmap(term.descriptor.instances)(environments)
                rows.append(jax.vmap(term.readout.features)(vectors, weights))
                half = solve_triangular(factor, rows[-1].T, lower=True)
                prior = jax.vmap(_prior, in_axes=(None, 0, 0))(term.readout, vectors, weights)
                # Rounding alone can make it negative.
                residual = residual + jnp.maximum(prior - jnp.sum(half * half, axis=0), 0.0)
            spread = jnp.concatenate(rows, axis=1) @ posterior.factor
            return jnp.stack([jnp.sum(spread * spread, axis=1), residual], axis=1)

        found = per_chunk(jax.checkpoint(chunk), graph.environments())
        return jnp.where(graph.real[:, None], found * graph.sound[:, None], 0.0), graph.centers

    potential = posterior.potential
    found, centers = map_rows(block, potential, structure, neighbors, max_blocks=32)
    found = found * poison(potential, structure, neighbors)
    parametric, residual = jnp.zeros((len(structure), 2), found.dtype).at[centers].add(found).T
    scale = posterior.calibration["energy"][0] ** 2 if "energy" in posterior.calibration else 1.0
    return SiteVariance(scale * parametric, scale * posterior.inflation**2 * residual)


def _prior(readout, vectors, weights):
    if len(weights) == 1:
        return readout.delta**2 * weights[0] ** 2 * readout.kernel.diagonal(vectors)[0]
    return readout.delta**2 * (weights @ readout.kernel.matrix(vectors, vectors) @ weights)
