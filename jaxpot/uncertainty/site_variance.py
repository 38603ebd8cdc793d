"""The posterior variance of site energies: pure, so that it can be differentiated and biased with."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from jaxpot.core.graph import Environment, Graph
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.precision import is_traced
from jaxpot.core.pytree import pytree
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.observables import poison
from jaxpot.potentials.base import Potential, cast
from jaxpot.potentials.described import leaves_residual
from jaxpot.potentials.posterior import Posterior
from jaxpot.typing import Array
from jaxpot.uncertainty.linear_terms import (
    KEPT,
    checked_terms,
    inverse_factor,
    map_sites,
    site_features,
    uncertain_terms,
    whitening,
)

_BLOCKS = 5  # columns of a triangular matrix are cut so: 3/5 of its products remain


@pytree
class SiteVariance:
    """Variances of site energies of a posterior, eV^2, (n,) each, times the square of the calibrated factor.

    parametric: of the weights, given the data. residual: what the sparse points leave of the prior of Gaussian
    processes.
    """

    parametric: jax.Array
    residual: jax.Array

    @property
    def sites(self) -> Array:
        """The sum of both, (n,)."""
        return self.parametric + self.residual


def inverses_of(posterior: Posterior) -> tuple[Array | None, ...]:
    """For each linear term the inverse of the factor of the covariance of its sparse points; None without any."""
    return tuple(inverse_factor(t.readout, jitter) if leaves_residual(t) else None for t, jitter in _pairs(posterior))


def _pairs(posterior: Posterior) -> list[tuple[Any, float | None]]:
    pairs = checked_terms(posterior, "site energies have a variance")
    if any(leaves_residual(term) for term, _ in pairs) and not all(term.local for term, _ in pairs):
        raise DataError(
            "site energies have a variance where Gaussian processes or last layers of several hops are uncertain; this "
            "posterior is of both: jp.std has the variance of all of them by their weights"
        )
    return pairs


def _all_local(posterior):
    """Whether no last layer of several hops is uncertain."""
    return all(term.local for term, _ in uncertain_terms(posterior))


@jax.jit
def site_variance(
    posterior: Posterior, inverses: tuple[Array | None, ...], structure: Structure, neighbors: Neighbors
) -> SiteVariance:
    """`SiteVariance` of a padded structure; `inverses_of` the posterior."""

    if not _all_local(posterior):
        return _of_hops(posterior, structure, neighbors)

    def parts(environments):
        rows, residual = [], jnp.zeros(len(environments.number))
        for (term, _), inverse in zip(uncertain_terms(posterior), inverses, strict=True):
            features, prior = _features(term, environments)
            rows.append(features)
            if inverse is not None:
                explained = checkpoint_name(features @ inverse.T, KEPT)
                residual = residual + jnp.maximum(prior - jnp.sum(explained * explained, axis=1), 0.0)  # rounding
        spread = checkpoint_name(jnp.concatenate(rows, axis=1) @ posterior.factor, KEPT)
        return jnp.stack([jnp.sum(spread * spread, axis=1), posterior.inflation**2 * residual], axis=1)

    found = _calibrated(posterior, map_sites(parts, posterior.potential, structure, neighbors))
    return SiteVariance(*found.T)


def _of_hops(posterior, structure, neighbors):
    """`SiteVariance` where terms are of several hops."""
    terms = tuple(term for term, _ in uncertain_terms(posterior))
    spread = site_features(terms, structure, neighbors) @ posterior.factor
    bad = poison(posterior.potential, structure, neighbors)
    variances = _calibrated(posterior, jnp.sum(spread * spread, axis=1)) * bad
    return SiteVariance(variances, jnp.zeros_like(variances))


def _features(term, environments):
    """dE_i/dweights of one term, (rows, M), and prior variances of E_i, (rows,) eV^2, zero without a residual."""
    vectors, weights = jax.vmap(term.descriptor.instances)(environments)
    prior = jax.vmap(term.readout.prior)(vectors, weights) if leaves_residual(term) else jnp.zeros(len(weights))
    return jax.vmap(term.readout.features)(vectors, weights), prior


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
    with M x M numbers gives V and another half its gradient. That is most of the time of a large process. Of terms
    without a residual k and K^-1 are left out, and V = |a C|^2.

    Args:
        posterior: `Posterior` of weights that the energy is linear in.
        root: columns of P, upper triangular, in blocks: each the rows that are not zero, (up to M, w).
        excess: Q, (M, r); |a Q|^2 is added: C of terms without a residual. Of processes rounding leaves the weights a
            little more than the prior along a few directions.

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
    local = property(lambda self: _all_local(self.posterior))
    edges_only = property(lambda self: True)
    reach = property(lambda self: self.posterior.potential.reach)
    chunk_elements = 4096  # more rows than energies like: each chunk reads the whole root

    @classmethod
    def of(cls, posterior: Posterior) -> "VariancePotential":
        """Variance of a posterior: eigenvalues of an M x M matrix, once.

        Raises:
            DataError: no posterior, or one of something that the energy is not linear in.
        """
        inverses = inverses_of(posterior)
        if not _all_local(posterior):
            return cls(posterior, (), posterior.factor)
        if is_traced(posterior):  # eigenvectors have no derivatives where eigenvalues are equal
            blocks = [
                jnp.zeros((term.n_features, 0)) if inverse is None else inverse.T
                for (term, _), inverse in zip(_pairs(posterior), inverses, strict=True)
            ]
            root, excess = posterior.inflation * jax.scipy.linalg.block_diag(*blocks), posterior.factor
        else:
            root, excess = _root(posterior, inverses)
        cuts = np.linspace(0, root.shape[1], _BLOCKS + 1).astype(int)
        upper = 0 if root.shape[0] == root.shape[1] else len(root)  # rows below the diagonal are zero
        edges = zip(cuts[:-1], cuts[1:], strict=True)
        columns = tuple(jnp.asarray(root[: max(end, upper), start:end]) for start, end in edges)
        return cls(posterior, columns, jnp.asarray(excess))

    def site_energy(self, environment: Environment) -> Array:
        """V_i, () eV^2."""
        alone = jax.tree.map(lambda a: jnp.asarray(a)[None], environment)
        parts, prior = zip(*(_features(term, alone) for term, _ in _pairs(self.posterior)), strict=True)
        features = jnp.concatenate(parts, axis=1)[0]
        taken = sum(jnp.sum(jnp.square(features[: len(columns)] @ columns)) for columns in self.root)
        left = self.posterior.inflation**2 * sum(prior)[0] - taken + jnp.sum(jnp.square(features @ self.excess))
        return _calibrated(self.posterior, jnp.maximum(left, 0.0))  # rounding alone can make it negative

    def site_energies(self, graph: Graph) -> Array:
        """V_i of all rows, (m,) eV^2."""
        if self.local:
            return super().site_energies(graph)
        parts = [cast(term, graph.x.dtype).site_features(graph) for term, _ in _pairs(self.posterior)]
        return _calibrated(self.posterior, jnp.sum(jnp.square(jnp.concatenate(parts, axis=1) @ self.excess), axis=1))

    def extent(self) -> Any:
        return self.posterior.potential.extent()


def _root(posterior, inverses):
    """P and Q of `VariancePotential`: with K = L L^T and lambda^2 - L^T C C^T L = U D U^T, L^-T U has in its columns
    directions along which the prior takes lambda^2 and the data leave all but D.
    """
    pairs = uncertain_terms(posterior)
    with jax.ensure_compile_time_eval():
        factors = [np.asarray(whitening(term, jitter)) for term, jitter in pairs]
        inverses = [None if inverse is None else np.asarray(inverse) for inverse in inverses]
        weights, inflation = np.asarray(posterior.factor), float(posterior.inflation)
        spread = np.asarray(jax.scipy.linalg.block_diag(*factors)).T @ weights
    prior = np.concatenate([np.full(len(f), inflation**2 if leaves_residual(t) else 0.0)
                            for f, (t, _) in zip(factors, pairs, strict=True)])
    taken, directions = np.linalg.eigh(np.diag(prior) - spread @ spread.T)
    begin = 0
    for factor, inverse in zip(factors, inverses, strict=True):
        rows = slice(begin, begin + len(factor))
        if inverse is not None:
            directions[rows] = inverse.T @ directions[rows]
        begin = rows.stop
    if not (taken > 0.0).any():
        return np.zeros((begin, 0)), weights
    wide = directions * np.sqrt(np.maximum(taken, 0.0))
    lower = np.linalg.qr(wide[::-1].T, "r").T  # both orders reversed, a lower triangle is an upper one
    return lower[::-1, ::-1], directions[:, taken < 0.0] * np.sqrt(-taken[taken < 0.0])
