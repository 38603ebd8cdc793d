"""Terms of a potential that are linear in their weights: which a posterior knows, their features, maps over sites."""

import math
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core import linalg
from jaxpot.core.chunks import map_rows
from jaxpot.core.graph import connect
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.precision import is_traced
from jaxpot.core.structure import Structure
from jaxpot.data.descriptor_vectors import vectors_of
from jaxpot.errors import DataError, PrecisionError
from jaxpot.observables import poison
from jaxpot.potentials.base import Potential, cast, summands
from jaxpot.potentials.described import is_linear, leaves_residual
from jaxpot.potentials.posterior import Posterior, check_posterior
from jaxpot.readouts.base import Readout
from jaxpot.typing import Array, Number

KEPT = "kept for derivatives"
# Readout -> {noise: Cholesky factor}, and -> {jitter: inverse of the factor}; forgotten with the readout.
_JITTER = 1e-8  # of a posterior that no fit has made: that of `fit` by default
_ROUNDING = 10.0  # times the number of points: jitter that rounding needs
_factors: weakref.WeakKeyDictionary[Readout, dict[Number, Array]] = weakref.WeakKeyDictionary()
_inverses: weakref.WeakKeyDictionary[Readout, dict[float | None, Array]] = weakref.WeakKeyDictionary()


def uncertain_terms(posterior: Posterior) -> list[tuple[Any, float | None]] | None:
    """Terms whose weights are all that is uncertain, each with its jitter: pairs, in the order of the parameters.

    Returns:
        None if something is uncertain that the energy is not linear in.
    """
    pairs, mask, jitters = [], list(posterior.mask), list(posterior.jitters)
    for term in summands(posterior.potential):
        count = len(jax.tree.leaves(term))
        uncertain, mask = mask[:count], mask[count:]
        if not any(uncertain):
            continue
        if not is_linear(term) or jax.tree.leaves(term.weight_mask()) != uncertain:
            return None
        pairs.append((term, jitters[0]))
        jitters = jitters[sum(uncertain) :]
    return pairs or None


def can_be_widened(posterior: Posterior) -> bool:
    """Whether a posterior is one of weights that leave a part of their prior, which `widened` can bring in."""
    return any(leaves_residual(term) for term, _ in uncertain_terms(posterior) or ())


def checked_terms(posterior: Posterior, what: str) -> list[tuple[Any, float | None]]:
    """`uncertain_terms` of a posterior.

    Args:
        what: is asked for, for the message: "frames are weighed".

    Raises:
        DataError: no posterior, or one of something that the energy is not linear in.
    """
    check_posterior(posterior)
    pairs = uncertain_terms(posterior)
    if pairs is None:
        raise DataError(
            f"{what} for posteriors of the weights that an energy is linear in (Gaussian processes, linear models, "
            f"last layers of networks); this one is of {', '.join(posterior.parameters[:4])}. See jp.std for the others"
        )
    return pairs


def whitening(term: Any, jitter: float | None) -> Array:
    """Lower factor of the precision of the weights that the residual is measured with, (M, M); the unit matrix for
    terms without one.
    """
    return factor_of(term.readout, jitter) if leaves_residual(term) else jnp.eye(term.n_features)


def factor_of(readout: Any, jitter: float | None) -> Array:
    """Lower Cholesky factor of the covariance of the sparse points, which the residual is measured with.

    With less jitter than the fit needed, as little as rounding allows. What jitter takes from the process is smooth
    and the same in all environments: in an energy it adds up over all pairs of atoms (1.8 eV for 64 atoms of silicon,
    known to 0.02 eV), and would hide what grows away from the data.
    """
    jitter = _JITTER if jitter is None else jitter
    least = min(jitter, _ROUNDING * len(readout.points) * np.finfo(readout.points.dtype).eps)
    with jax.ensure_compile_time_eval():  # a readout that is known is so under jit over the structure, too
        weights = 1.0 if readout.point_weights is None else readout.point_weights
        mean = readout.delta**2 * jnp.mean(weights**2 * readout.kernel.diagonal(readout.points))
        if is_traced(readout):
            return point_factor(readout, jnp.sqrt(least * mean))
        mean = float(mean)
        while least < jitter:
            try:
                return point_factor(readout, math.sqrt(least * mean))
            except DataError:  # points that are nearly equal
                least *= 10.0
        return point_factor(readout, math.sqrt(jitter * mean))


def inverse_factor(readout: Any, jitter: float | None) -> Array:
    """The inverse of `factor_of`: products with it are faster than solutions with triangles; kept likewise."""
    factor = factor_of(readout, jitter)
    with jax.ensure_compile_time_eval():
        unit = jnp.eye(len(factor), dtype=factor.dtype)
        if is_traced(factor):
            return linalg.solve_lower(factor, unit)
        kept = _inverses.setdefault(readout, {})
        if jitter not in kept:
            kept[jitter] = linalg.solve_lower(factor, unit)
        return kept[jitter]


def point_factor(readout: Any, noise: Number) -> Array:
    """Lower Cholesky factor of `point_covariance(noise)`; kept with a readout that is concrete.

    Raises:
        DataError: it is numerically singular. (Traced: NaN.)
    """
    if is_traced(readout):
        return linalg.cholesky(readout.point_covariance(noise))
    kept = _factors.setdefault(readout, {})
    if noise not in kept:
        with jax.ensure_compile_time_eval():
            kept[noise] = _checked_factor(np.asarray(readout.point_covariance(noise)), noise)
    return kept[noise]


def _checked_factor(covariance, noise):
    rounding = len(covariance) * np.finfo(covariance.dtype).eps * covariance.diagonal().max()
    try:
        factor = np.linalg.cholesky(covariance)
        smallest = factor.diagonal().min() ** 2
    except np.linalg.LinAlgError:
        smallest = 0.0
    if smallest <= rounding:
        raise DataError(
            f"the covariance of {len(covariance)} sparse points is numerically singular (a pivot of {smallest:.1e} "
            f"eV^2 is lost in rounding): give a regularisation larger than {noise:g} eV (the default is 0.001 eV), or "
            "fit with a larger jitter"
        )
    return jnp.asarray(factor)


def refuse_single(structure: Structure) -> None:
    """A variance in single precision would be rounding."""
    if structure.positions.dtype != np.float64:
        raise PrecisionError("the variance is a small difference of large numbers: it needs a structure in float64")


def map_sites(function: Callable, potential: Potential, structure: Structure, neighbors: Neighbors) -> Array:
    """Map a function of one chunk's environments, (rows, k), over all atoms: (n, k); NaN if the list is outgrown."""

    def block(graph, per_chunk):
        # What a chunk names so is kept for derivatives; the rest is computed again.
        kept = jax.checkpoint_policies.save_only_these_names(KEPT)
        found = per_chunk(jax.checkpoint(function, policy=kept), graph.environments())
        return jnp.where(graph.real[:, None], found * graph.sound[:, None], 0.0), graph.centers

    found, centers = map_rows(block, potential, structure, neighbors, max_blocks=32)
    found = found * poison(potential, structure, neighbors)
    return jnp.zeros((len(structure), found.shape[1]), found.dtype).at[centers].add(found)


@jax.jit
def site_features(terms: tuple, structure: Structure, neighbors: Neighbors) -> Array:
    """dE_i/dweights of the site energies of a padded structure, (n, M), those of all terms beside each other; of terms
    that are not linear what stands for them in grades (`Readout.grading`).
    """
    parts = []
    for term in terms:
        if term.local:
            rows = jax.vmap(term.readout.grading)(*vectors_of(term.descriptor, structure, neighbors))
            parts.append(jnp.zeros((len(structure), rows.shape[1])).at[neighbors.centers].add(rows))
        else:
            graph = connect(structure, neighbors)
            rows = cast(term, structure.positions.dtype).site_features(graph)
            parts.append(graph.on_atoms(rows))
    return jnp.concatenate(parts, axis=1)
