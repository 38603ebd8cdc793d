"""How uncertain the parameters of a formula are, and the posterior that follows: least squares with real scatter."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.errors import DataError
from jaxpot.fitting.formulas.least_squares import Minimum
from jaxpot.fitting.formulas.problem import Problem
from jaxpot.fitting.formulas.residuals import residuals
from jaxpot.potentials.base import Potential
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.posterior import Posterior

_SINGULAR = 1e-8  # of the largest singular value of the Jacobian with columns of length one
_IN_IT = 0.05  # part of a direction that data do not determine from which a parameter is named
_AT_BOUND = 1e-7  # of the way between the bounds


def at_bounds(y: np.ndarray) -> np.ndarray:
    """Mask of the parameters at a bound, (P,)."""
    return np.minimum(y, 1.0 - y) < _AT_BOUND


def covariance(problem: Problem, best: Minimum) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of y, and which of them are not determined.

    H^-1 (sum_k s_k^2 J_k^T J_k) H^-1 with H = J^T J: residuals of kind k scatter by s_k, those of targets by 1.

    Args:
        problem: whose residuals are at a minimum.
        best: there.

    Returns:
        (P, P), zero in directions that are not determined, and of parameters at a bound; (P,) bool.
    """
    inside = ~at_bounds(best.y)
    slopes = best.jacobian[:, inside]
    norms = np.linalg.norm(slopes, axis=0)
    norms = np.where(norms > 0.0, norms, 1.0)
    _, size, directions = np.linalg.svd(slopes / norms, full_matrices=False)
    known = size > _SINGULAR * size.max(initial=0.0)
    unsure = 1.0 - np.sum(directions[known] ** 2, axis=0) > _IN_IT**2
    inverse = (directions[known].T / size[known] ** 2) @ directions[known] / np.outer(norms, norms)
    scatter = _scatter(problem, best.residuals, slopes.shape[1])
    whole, names = np.zeros((len(inside), len(inside))), np.zeros(len(inside), bool)
    whole[np.ix_(inside, inside)] = inverse @ ((slopes * scatter[:, None]).T @ slopes) @ inverse
    names[inside] = unsure
    return whole, names


def _scatter(problem, residuals_at_minimum, count):
    """Variance of each residual at the minimum, (N,): the mean of its kind, 1 of targets."""
    kinds = problem.kinds()
    total = sum(number for _, number in kinds.values()) + sum(t.value.size for t in problem.targets)
    spare = total - count
    scatter = np.ones(len(residuals_at_minimum))
    for part, number in kinds.values():
        if number:
            scatter[part] = np.sum(residuals_at_minimum[part] ** 2) / number * (total / spare if spare > 0 else np.nan)
    return scatter


def form_posterior(
    problem: Problem, best: Minimum, fitted: Potential, e0: Mapping[int, float], loose: tuple[int, ...],
    sigmas: Mapping[str, float | None], ranges: dict,
) -> Posterior:
    """`Posterior` of a formula with the energies of its atoms, from the covariance of its parameters.

    Parameters at a bound are certain, and so are directions that data do not determine. Constants that were found with
    the parameters follow these, and are uncertain by themselves.

    Args:
        problem, best: of `covariance`.
        fitted: the potential there.
        e0: atomic number -> eV.
        loose: of the elements whose constants were found.
        sigmas: kind -> sigma where frames give none of their own.
        ranges: of the data.

    Raises:
        DataError: no more labels and targets than parameters.
    """
    matrix = covariance(problem, best)[0]
    if not np.isfinite(matrix).all():
        raise DataError(
            f"error bars of {len(best.y)} parameters need more labels and targets than these: give more frames, leave "
            "some parameters out of free, or keep no folds"
        )
    values, vectors = np.linalg.eigh(matrix)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    by_y = np.diagonal(np.asarray(jax.jacfwd(problem.parameters.values)(jnp.asarray(best.y))))
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(fitted)]
    parts = [np.zeros((leaf.size, root.shape[1])) for leaf in leaves]
    for k, (leaf, members) in enumerate(problem.parameters.places):
        parts[leaf][list(members)] = by_y[k] * root[k]
    mask = [leaf in {place for place, _ in problem.parameters.places} for leaf in range(len(leaves))]
    potential = fitted
    if e0:
        constants = Constants(e0, isolated=not loose)
        potential, mask = fitted + constants, [*mask, bool(loose)]
        parts.append(np.zeros((len(e0), root.shape[1])))
        if loose:
            of_parameters, alone = _of_constants(problem, best)
            rows = [constants.species.index(z) for z in loose]  # type: ignore[union-attr]
            parts[-1][rows] = of_parameters @ root
            extra = [np.zeros((len(part), len(loose))) for part in parts]
            extra[-1][rows] = alone
            parts = [np.concatenate(pair, axis=1) for pair in zip(parts, extra, strict=True)]
    factor = np.concatenate([part for part, uncertain in zip(parts, mask, strict=True) if uncertain])
    kinds = {} if problem.labels is None else problem.labels.counts()
    return Posterior(
        potential, jnp.asarray(factor), {kind: sigmas[kind] for kind in kinds}, ranges=ranges, mask=tuple(mask),
        jitters=(None,) * sum(mask),
    )


def _of_constants(problem, best):
    """Slopes of the constants of elements by y, (S, P) eV, and a root of the covariance that they have besides."""
    labels, count = problem.labels, len(problem.labels.energies)
    slopes = np.asarray(_energy_slopes(jnp.asarray(best.y), problem.parameters, labels))
    inverse = np.linalg.pinv(labels.contents, rcond=1e-10)
    numbers = max(np.count_nonzero(labels.energy_weights) - inverse.shape[0], 1)
    scatter = np.sum(best.residuals[:count] ** 2) / numbers
    vectors, sizes, _ = np.linalg.svd(inverse, full_matrices=False)
    return -inverse @ slopes, np.sqrt(scatter) * vectors * sizes


@jax.jit
def _energy_slopes(y: Any, parameters: Any, labels: Any) -> jax.Array:
    return jax.jacfwd(lambda y: residuals(parameters.at(y), labels)[: labels.energies.shape[0]])(y)
