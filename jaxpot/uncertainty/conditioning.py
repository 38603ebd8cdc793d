"""A posterior after an observation: a measured property, or what is linear in its weights."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpot.errors import ConvergenceError, DataError
from jaxpot.potentials.posterior import Posterior, check_posterior
from jaxpot.properties.relax import relax
from jaxpot.typing import ArrayLike, PyTree, StructureLike
from jaxpot.uncertainty.propagation import flat, propagate, slope_rows

_STEPS = 20


def condition_linear(posterior: Posterior, slopes: ArrayLike, sigmas: Any) -> Posterior:
    """The posterior after observations that are linear in z, S z + noise; its mean stays.

    factor' = factor (1 + S^T Sigma^-1 S)^(-1/2)

    Args:
        posterior: `Posterior`.
        slopes: S, (K, R): derivatives of what is observed by z.
        sigmas: standard deviations of the noise, (K,) or one.

    Returns:
        `Posterior`.
    """
    check_posterior(posterior)
    slopes = np.atleast_2d(np.asarray(slopes, float))
    sigmas = np.broadcast_to(np.asarray(sigmas, float), slopes.shape[:1])
    if not (sigmas > 0.0).all() or not np.isfinite(slopes).all():
        raise DataError(f"sigmas: expected positive numbers, and finite slopes; got {sigmas}")
    shrunk = shrinking(slopes / sigmas[:, None])
    return posterior.replace(factor=jnp.asarray(shrunk(np.asarray(posterior.factor))))


def condition(
    posterior: Posterior, function: Callable, value: PyTree, sigma: PyTree, structure: StructureLike | None = None,
    progress: Callable[..., None] | None = None
) -> Posterior:
    """Condition a posterior on a measured property: elastic constants, frequencies, a lattice constant.

    Minimises |z|^2 + sum ((q(z) - value) / sigma)^2 by Gauss-Newton steps, q being linearised anew at each, and gives
    the covariance there (Laplace's approximation).

    Args:
        posterior: `Posterior`.
        function: as for `propagate`: of the potential, or with a structure of potential and relaxed crystal.
        value: what was measured, a tree like the function's value.
        sigma: its standard deviations: one number, or a tree like the value.
        structure: a crystal near its minimum; it is relaxed anew at each step.
        progress: called with a sentence.

    Returns:
        `Posterior` with another mean and less covariance.

    Raises:
        ConvergenceError: the steps do not settle.
        DataError: values that are not finite, deviations that are not positive.

    References:
        C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), section 3.4 (Laplace's
        approximation).
    """
    check_posterior(posterior)
    target = flat(value)
    sigmas = np.broadcast_to(flat(sigma), target.shape)
    if not np.isfinite(target).all() or not (sigmas > 0.0).all():
        raise DataError(f"expected finite values and positive deviations, got {target} and {sigmas}")
    z, scale = np.zeros(posterior.factor.shape[1]), float(posterior.property_factor)
    for step in range(_STEPS):
        here = posterior.replace(potential=posterior.at(jnp.asarray(scale * z)))
        at_rest = None if structure is None else relax(here.potential, structure, cell=True).structure
        property_here = propagate(here, function, at_rest)
        reached, slopes = flat(property_here.value), slope_rows(property_here.slopes)
        if reached.shape != target.shape:
            raise DataError(f"value: expected {reached.size} numbers as the function returns, got {target.size}")
        covariance = slopes @ slopes.T + np.diag(sigmas**2)
        moved = slopes.T @ np.linalg.solve(covariance, target - reached + slopes @ z)
        change, z = np.linalg.norm(moved - z), moved
        if progress:
            progress(f"step {step + 1}: off by {np.abs((reached - target) / sigmas).max():.3g} sigma")
        if change < 1e-4 * max(1.0, float(np.linalg.norm(z))):
            return condition_linear(here, slopes, sigmas)
    raise ConvergenceError(f"the property was not reached in {_STEPS} steps: are value and units right?")


def shrinking(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Function that multiplies a matrix (any, R) by (1 + B^T B)^(-1/2), B the rows."""
    _, size, basis = np.linalg.svd(rows, full_matrices=False)
    part = 1.0 - 1.0 / np.sqrt(1.0 + size * size)
    return lambda matrix: matrix - (matrix @ basis.T * part) @ basis
