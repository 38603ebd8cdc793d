"""The posterior variance of site energies: pure, so that it can be differentiated and biased with."""

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from jaxpot.core.pytree import pytree
from jaxpot.uncertainty.processes import KEPT, gaussian_terms, of_sites


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
def site_variance(posterior, inverses, structure, neighbors):
    """`SiteVariance` of a padded structure; `inverses` are those of `processes.inverse_factor` for each term."""
    terms = gaussian_terms(posterior)

    def chunk(environments):
        rows, residual = [], 0.0
        for term, inverse in zip(terms, inverses, strict=True):
            vectors, weights = jax.vmap(term.descriptor.instances)(environments)
            rows.append(jax.vmap(term.readout.features)(vectors, weights))
            explained = checkpoint_name(rows[-1] @ inverse.T, KEPT)
            left = jax.vmap(term.readout.prior)(vectors, weights) - jnp.sum(explained * explained, axis=1)
            residual = residual + jnp.maximum(left, 0.0)  # rounding alone can make it negative
        spread = checkpoint_name(jnp.concatenate(rows, axis=1) @ posterior.factor, KEPT)
        return jnp.stack([jnp.sum(spread * spread, axis=1), residual], axis=1)

    parametric, residual = of_sites(chunk, posterior.potential, structure, neighbors).T
    scale = posterior.calibration["energy"][0] ** 2 if "energy" in posterior.calibration else 1.0
    return SiteVariance(scale * parametric, scale * posterior.inflation**2 * residual)
