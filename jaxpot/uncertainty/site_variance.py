"""The posterior variance of site energies: pure, so that it can be differentiated and biased with."""

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from jaxpot.core.pytree import pytree
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior, check_posterior
from jaxpot.uncertainty.processes import KEPT, gaussian_terms, inverse_factor, of_sites


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


@pytree
class VariancePotential(Potential):
    """The posterior variance of site energies as a potential: "energies" in eV^2, "forces" in eV^2/A.

    E = sum_i V_i, V_i = parametric_i + residual_i of `variance`

    What evaluates potentials evaluates it, with the gradient taken in chunks as that of any other; and dynamics under
    `potential - tau * VariancePotential.of(posterior)`, tau in 1/eV, are biased to where the potential knows little.

    Args:
        posterior: `Posterior` of the weights of Gaussian processes.
        inverses: of the factors of their covariances (`VariancePotential.of` finds them).

    References:
        C. van der Oord et al., npj Comput. Mater. 9, 168 (2023): biased to the standard deviation of the energy.
    """

    posterior: Posterior
    inverses: tuple

    double_only = True  # a small difference of large numbers
    cutoff = property(lambda self: self.posterior.potential.cutoff)
    species = property(lambda self: self.posterior.potential.species)
    smoothness = property(lambda self: self.posterior.potential.smoothness)
    kinks = property(lambda self: self.posterior.potential.kinks)
    chunk_elements = property(lambda self: self.posterior.potential.chunk_elements)

    @classmethod
    def of(cls, posterior):
        """That of a posterior.

        Raises:
            DataError: no posterior, or one of something else than the weights of Gaussian processes.
        """
        check_posterior(posterior)
        terms = gaussian_terms(posterior)
        if terms is None:
            raise DataError("site energies have a variance here only for weights of Gaussian processes; see jp.std")
        inverses = (inverse_factor(t.readout, jitter) for t, jitter in zip(terms, posterior.jitters, strict=True))
        return cls(posterior, tuple(inverses))

    def parts(self, environments):
        """Parametric variances and residuals of the atoms of a chunk, (rows, 2) eV^2."""
        rows, residual = [], 0.0
        for term, inverse in zip(gaussian_terms(self.posterior), self.inverses, strict=True):
            vectors, weights = jax.vmap(term.descriptor.instances)(environments)
            rows.append(jax.vmap(term.readout.features)(vectors, weights))
            explained = checkpoint_name(rows[-1] @ inverse.T, KEPT)
            left = jax.vmap(term.readout.prior)(vectors, weights) - jnp.sum(explained * explained, axis=1)
            residual = residual + jnp.maximum(left, 0.0)  # rounding alone can make it negative
        spread = checkpoint_name(jnp.concatenate(rows, axis=1) @ self.posterior.factor, KEPT)
        calibration = self.posterior.calibration
        scale = calibration["energy"][0] ** 2 if "energy" in calibration else 1.0
        found = jnp.stack([jnp.sum(spread * spread, axis=1), self.posterior.inflation**2 * residual], axis=1)
        return scale * found

    def site_energy(self, environment):
        """V_i, () eV^2."""
        return jnp.sum(self.parts(jax.tree.map(lambda a: jnp.asarray(a)[None], environment)))

    def extent(self):
        return self.posterior.potential.extent()


@jax.jit
def site_variance(potential, structure, neighbors):
    """`SiteVariance` of a padded structure, of a `VariancePotential`."""
    parametric, residual = of_sites(potential.parts, potential, structure, neighbors).T
    return SiteVariance(parametric, residual)
