"""The posterior variance of site energies: pure, so that it can be differentiated and biased with."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from jaxpot.core.precision import is_traced
from jaxpot.core.pytree import pytree
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior, check_posterior
from jaxpot.uncertainty.processes import KEPT, factor_of, gaussian_terms, inverse_factor, of_sites

_BLOCKS = 5  # columns of a triangular matrix are cut so: 3/5 of its products remain


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


def checked_terms(posterior):
    """The Gaussian processes of a posterior.

    Raises:
        DataError: no posterior, or one of something else than the weights of Gaussian processes.
    """
    check_posterior(posterior)
    terms = gaussian_terms(posterior)
    if terms is None:
        raise DataError("site energies have a variance here only for weights of Gaussian processes; see jp.std")
    return terms


def inverses_of(posterior):
    """Inverses of the factors of the covariances of the processes of a posterior."""
    terms = checked_terms(posterior)
    return tuple(inverse_factor(t.readout, jitter) for t, jitter in zip(terms, posterior.jitters, strict=True))


@jax.jit
def site_variance(posterior, inverses, structure, neighbors):
    """`SiteVariance` of a padded structure; `inverses_of` the posterior."""

    def parts(environments):
        rows, residual = [], 0.0
        for term, inverse in zip(gaussian_terms(posterior), inverses, strict=True):
            features, prior = _features(term, environments)
            rows.append(features)
            explained = checkpoint_name(features @ inverse.T, KEPT)
            residual = residual + jnp.maximum(prior - jnp.sum(explained * explained, axis=1), 0.0)  # rounding
        spread = checkpoint_name(jnp.concatenate(rows, axis=1) @ posterior.factor, KEPT)
        return jnp.stack([jnp.sum(spread * spread, axis=1), posterior.inflation**2 * residual], axis=1)

    found = _calibrated(posterior, of_sites(parts, posterior.potential, structure, neighbors))
    return SiteVariance(*found.T)


def _features(term, environments):
    """What the site energies of one process are linear in, (rows, M), and their prior variances, (rows,) eV^2."""
    vectors, weights = jax.vmap(term.descriptor.instances)(environments)
    return jax.vmap(term.readout.features)(vectors, weights), jax.vmap(term.readout.prior)(vectors, weights)


def _calibrated(posterior, variances):
    calibration = posterior.calibration
    return variances * (calibration["energy"][0] ** 2 if "energy" in calibration else 1.0)


@pytree
class VariancePotential(Potential):
    """The posterior variance of site energies as a potential: "energies" in eV^2, "forces" in eV^2/A.

    E = sum_i V_i, V_i = parametric_i + residual_i of `variance`

    What evaluates potentials evaluates it, with the gradient taken in chunks as that of any other; and dynamics under
    `potential - tau * VariancePotential.of(posterior)`, tau in 1/eV, are biased to where the potential knows little.

    With a the features of an atom, C C^T the covariance of the weights, K that of the sparse points and lambda the
    inflation of the residual, V = lambda^2 k(x, x) - a (lambda^2 K^-1 - C C^T) a^T. The data only take from the
    prior, and what they take has a root: V = lambda^2 k(x, x) - |a P|^2, where P is triangular, so that half a product
    with M x M numbers gives V and another half its gradient. That is most of the time of a large process.

    Args:
        posterior: `Posterior` of the weights of Gaussian processes.
        root: columns of P, upper triangular, in blocks: each the rows that are not zero, (up to M, w).
        excess: Q, (M, r); |a Q|^2 is added. Rounding leaves the weights a little more than the prior along a few
            directions.

    References:
        C. van der Oord et al., npj Comput. Mater. 9, 168 (2023): biased to the standard deviation of the energy.
    """

    posterior: Posterior
    root: tuple
    excess: jax.Array

    double_only = True  # a small difference of large numbers
    cutoff = property(lambda self: self.posterior.potential.cutoff)
    species = property(lambda self: self.posterior.potential.species)
    smoothness = property(lambda self: self.posterior.potential.smoothness)
    kinks = property(lambda self: self.posterior.potential.kinks)
    chunk_elements = 4096  # more rows than energies like: each chunk reads the whole root

    @classmethod
    def of(cls, posterior):
        """That of a posterior: eigenvalues of an M x M matrix, once.

        Raises:
            DataError: no posterior, or one of something else than the weights of Gaussian processes.
        """
        inverses = inverses_of(posterior)
        if is_traced(posterior):  # eigenvectors have no derivatives where eigenvalues are equal
            root, excess = posterior.inflation * jax.scipy.linalg.block_diag(*(i.T for i in inverses)), posterior.factor
        else:
            root, excess = _root(posterior, inverses)
        cuts = np.linspace(0, len(root), _BLOCKS + 1).astype(int)
        columns = (jnp.asarray(root[:end, start:end]) for start, end in zip(cuts[:-1], cuts[1:], strict=True))
        return cls(posterior, tuple(columns), jnp.asarray(excess))

    def site_energy(self, environment):
        """V_i, () eV^2."""
        alone = jax.tree.map(lambda a: jnp.asarray(a)[None], environment)
        features, prior = zip(*(_features(term, alone) for term in gaussian_terms(self.posterior)), strict=True)
        features = jnp.concatenate(features, axis=1)[0]
        taken = sum(jnp.sum(jnp.square(features[: len(columns)] @ columns)) for columns in self.root)
        left = self.posterior.inflation**2 * sum(prior)[0] - taken + jnp.sum(jnp.square(features @ self.excess))
        return _calibrated(self.posterior, jnp.maximum(left, 0.0))  # rounding alone can make it negative

    def extent(self):
        return self.posterior.potential.extent()


def _root(posterior, inverses):
    """P and Q of `VariancePotential`: with K = L L^T and L^T C C^T L = U D U^T, L^-T U has in its columns directions
    along which the prior takes 1 and the data leave D.
    """
    with jax.ensure_compile_time_eval():
        factors = (factor_of(t.readout, j) for t, j in zip(gaussian_terms(posterior), posterior.jitters, strict=True))
        spread = np.asarray(jax.scipy.linalg.block_diag(*factors)).T @ np.asarray(posterior.factor)
        inverses = [np.asarray(i) for i in inverses]
        left, directions = np.linalg.eigh(spread @ spread.T)
        taken, begin = float(posterior.inflation) ** 2 - left, 0
    for inverse in inverses:
        rows = slice(begin, begin + len(inverse))
        directions[rows] = inverse.T @ directions[rows]
        begin = rows.stop
    wide = directions * np.sqrt(np.maximum(taken, 0.0))
    lower = np.linalg.qr(wide[::-1].T, "r").T  # both orders reversed, a lower triangle is an upper one
    return lower[::-1, ::-1], directions[:, taken < 0.0] * np.sqrt(-taken[taken < 0.0])
