"""The variance that a Gaussian process potential has left, given its sparse points."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import check_potential, prepare_padded
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.numbers import as_number
from jaxpot.core.pytree import pytree
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential, addends
from jaxpot.potentials.described import leaves_residual
from jaxpot.potentials.posterior import Posterior
from jaxpot.typing import StructureLike
from jaxpot.uncertainty.linear_terms import map_sites, point_factor, refuse_single
from jaxpot.uncertainty.site_variance import SiteVariance, inverses_of, site_variance

_BATCH = 1 << 21  # covariances between the vectors of one atom that are held at once: 16 MB an array


@pytree
class Variance:
    """Variances of site energies, result of `variance`: `sites` (n,) eV^2, and of each process `terms` (T, n) eV^2."""

    sites: jax.Array
    terms: jax.Array


def variance(
    potential: Potential | Posterior, structure: StructureLike, neighbors: Neighbors | None = None, *,
    regularisation: float = 0.001, correlated: bool = True
) -> Variance | SiteVariance:
    """Prior variance of each site energy that the sparse points leave, by term and in sum.

    V_i = sum_jk w_j w_k [delta^2 k(x_j, x_k) + sigma^2 [j = k] - k_j^T (K_MM + sigma^2)^-1 k_k]

    over the weighted vectors x_j that a descriptor makes of the environment of atom i: one for SOAP, pairs or
    triplets for the others. Terms of a sum are independent processes: their variances add up, those of a
    scaled potential with the square of the factor. Potentials that are no Gaussian processes have none.

    This is NOT a calibrated error bar. It is the part of the prior that functions spanned by the sparse points
    cannot represent: near zero where an environment is like a sparse point, delta^2 k(x, x) far from all. It
    knows neither the training energies nor how well they were fitted (the covariance of the training data is
    not in a GAP file), and the errors of neighbouring atoms are correlated: do not add V_i up to the variance
    of a total energy. Use it to tell environments that a model knows from those that it does not.

    With `correlated=False` the numbers are QUIP's `local_gap_variance`. They are the same for SOAP, but
    QUIP takes the pairs and the triplets of one atom for independent (j = k only, and each triplet twice), which
    they are not: nearly equal distances err together.

    Of a `Posterior` it is the posterior variance, `SiteVariance`: what the data leave of the weights, and the
    residual with the jitter of the fit; regularisation and `correlated` are of no concern there. For energies, forces
    and stresses see `std`.

    Args:
        potential: a GAP, or a sum that contains one; or a `Posterior` of such.
        structure: `Structure` or `ase.Atoms`; double precision.
        neighbors: as everywhere; then the function is pure, and `jit` and `grad` apply.
        regularisation: sigma, eV: a white part of the covariance. K_MM alone is often singular in double
            precision. The default is QUIP's (`gap_variance_regularisation`), and no variance of a SOAP lies below
            its square.
        correlated: see above.

    Returns:
        `Variance`.

    Raises:
        DataError: the potential has no variance, a wrong regularisation, `correlated=False` with a descriptor of
            which QUIP's way is not known, or K_MM + sigma^2 that is numerically singular. (Under jit with a traced
            potential: NaN.)
        PrecisionError: single precision; the variance is a small difference of large numbers.

    References:
        C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), equation 2.26.
        V. L. Deringer et al., Chem. Rev. 121, 10073 (2021), section 2.
        Conventions by comparison with QUIP.
    """
    if isinstance(potential, Posterior):
        return _of_posterior(potential, structure, neighbors)
    check_potential(potential)
    noise = as_number(regularisation, "regularisation", "an energy in eV")
    if noise < 0.0:
        raise DataError(f"regularisation: expected an energy in eV that is not negative, got {noise:g}")
    terms = _terms(potential)
    if not terms:
        raise DataError(
            f"{potential!r} has no variance: expected a Gaussian process (Described with a SparseGP), or a sum with one"
        )
    if not correlated and (names := _uncounted(terms)):
        raise DataError(
            f"how QUIP counts the instances of {', '.join(names)} in its variance is not known: use correlated=True"
        )
    n, (potential, structure, neighbors) = prepare_padded(potential, structure, neighbors)
    refuse_single(structure)
    factors = tuple(point_factor(term.readout, noise) for _, term in terms)
    found = _variance(potential, terms, factors, noise, structure, neighbors, correlated)
    return _stripped(found, n)


def _of_posterior(posterior, structure, neighbors):
    inverses = inverses_of(posterior)
    n, (_, structure, neighbors) = prepare_padded(posterior.potential, structure, neighbors)
    refuse_single(structure)
    return _stripped(site_variance(posterior, inverses, structure, neighbors), n)


def _stripped(found, n):
    # Slicing an array on the device would compile a small program for every n.
    if jax.tree.leaves(found)[0].shape[-1] == n:
        return found
    return jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[..., :n]), found)


def has_variance(potential: Potential, correlated: bool = True) -> bool:
    """Whether `variance` has a value: whether there are Gaussian processes, with descriptors that it knows."""
    terms = _terms(potential)
    return bool(terms) and (correlated or not _uncounted(terms))


def _terms(potential):
    """The Gaussian processes in a potential, each with the factor it is multiplied with."""
    return tuple((factor, term) for factor, term in addends(potential) if leaves_residual(term))


def _uncounted(terms):
    """Names of descriptors of which is not known how QUIP counts their instances."""
    return sorted({type(t.descriptor).__name__ for _, t in terms if t.descriptor.multiplicity is None})


@partial(jax.jit, static_argnames="correlated")
def _variance(potential, terms, factors, noise, structure, neighbors, correlated):
    def chunk(environments):
        return jnp.stack([
            _rows(scale, term, factor, noise, environments, correlated)
            for (scale, term), factor in zip(terms, factors, strict=True)
        ], axis=1)

    found = map_sites(chunk, potential, structure, neighbors)
    return Variance(found.sum(1), found.T)


def _rows(scale, term, factor, noise, environments, correlated):
    """Variances of one term in some environments, (rows,)."""
    vectors, weights = jax.vmap(term.descriptor.instances)(environments)
    if not correlated:
        weights = weights / np.sqrt(term.descriptor.multiplicity).item()
    rows, count, _ = vectors.shape
    batch = max(1, _BATCH // (count * max(count, len(factor))))

    def site(instances):
        return scale**2 * term.readout.variance(*instances, factor, noise, correlated)

    if batch >= rows:
        return jax.vmap(site)((vectors, weights))
    return jax.lax.map(site, (vectors, weights), batch_size=batch)
