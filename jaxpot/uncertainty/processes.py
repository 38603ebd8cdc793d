"""The Gaussian processes in a potential whose weights a posterior knows."""

import weakref

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.fitting.describe import vectors_of
from jaxpot.potentials.base import Sum
from jaxpot.potentials.described import Described

_factors = weakref.WeakKeyDictionary()  # readout -> {jitter: Cholesky factor}; forgotten with the readout


def gaussian_terms(posterior):
    """The terms whose weights are all that is uncertain, in the order of the parameters; None if something else is."""
    potential = posterior.potential
    if isinstance(potential, Sum):
        named = {f"terms[{k}].readout.weights": term for k, term in enumerate(potential.terms)}
    else:
        named = {"readout.weights": potential}
    terms = [named.get(name) for name in posterior.parameters]
    return terms if all(isinstance(term, Described) for term in terms) else None


def factor_of(readout, jitter):
    """Lower Cholesky factor of the covariance of the sparse points, as the fit had it."""
    kept = _factors.setdefault(readout, {})
    if jitter not in kept:
        covariance = np.asarray(readout.point_covariance(0.0))
        covariance = covariance + jitter * covariance.diagonal().mean() * np.eye(len(covariance))
        kept[jitter] = jnp.asarray(np.linalg.cholesky(covariance))
    return kept[jitter]


@jax.jit
def site_features(terms, structure, neighbors):
    """What the site energies of a padded structure are linear in, (n, M), those of all terms beside each other."""
    parts = []
    for term in terms:
        found = jax.vmap(term.readout.features)(*vectors_of(term.descriptor, structure, neighbors))
        parts.append(jnp.zeros((len(structure), term.n_features)).at[neighbors.centers].add(found))
    return jnp.concatenate(parts, axis=1)
