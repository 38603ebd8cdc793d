"""What a posterior learns from one more observation: a measured property, or a frame that could be computed."""

import jax.numpy as jnp
import numpy as np

from jaxpot.checks import prepare_padded
from jaxpot.core.structure import Structure
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.fitting.linear.rows import design_rows
from jaxpot.potentials.base import Sum
from jaxpot.potentials.posterior import check_posterior
from jaxpot.properties.relax import relax
from jaxpot.uncertainty.linear_terms import checked_terms
from jaxpot.uncertainty.propagation import flat, propagate, slope_rows

_STEPS = 20


def observe(posterior, slopes, sigmas):
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
    shrunk = _shrinking(slopes / sigmas[:, None])
    return posterior.replace(factor=jnp.asarray(shrunk(np.asarray(posterior.factor))))


def learn(posterior, function, value, sigma, structure=None, progress=None):
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
        found = propagate(here, function, at_rest)
        reached, slopes = flat(found.value), slope_rows(found.slopes)
        if reached.shape != target.shape:
            raise DataError(f"value: expected {reached.size} numbers as the function returns, got {target.size}")
        covariance = slopes @ slopes.T + np.diag(sigmas**2)
        moved = slopes.T @ np.linalg.solve(covariance, target - reached + slopes @ z)
        change, z = np.linalg.norm(moved - z), moved
        if progress:
            progress(f"step {step + 1}: off by {np.abs((reached - target) / sigmas).max():.3g} sigma")
        if change < 1e-4 * max(1.0, np.linalg.norm(z)):
            return observe(here, slopes, sigmas)
    raise ConvergenceError(f"the property was not reached in {_STEPS} steps: are value and units right?")


def observed_frame(posterior, structure, sigmas=None):
    """What computing a frame would observe: slopes of its energy and forces by z, (1 + 3 n, R), and their sigmas.

    Args:
        posterior: `Posterior` of weights that the energy is linear in.
        structure: `Structure` or `ase.Atoms`.
        sigmas: kind -> standard deviation; by default those of the posterior.
    """
    terms = [term for term, _ in checked_terms(posterior, "frames are weighed")]
    sigmas = posterior.sigmas if sigmas is None else sigmas
    n, (_, structure, neighbors) = prepare_padded(posterior.potential, structure, None)
    rows = design_rows(Sum.or_one(terms), structure, neighbors, False)
    parts, noise = [], []
    if "energy" in sigmas:
        parts.append(np.asarray(rows.energy)[None])
        noise.append([sigmas["energy"] * np.sqrt(n)])
    if "forces" in sigmas:
        parts.append(np.asarray(rows.forces)[:n].reshape(3 * n, -1))
        noise.append(np.full(3 * n, sigmas["forces"]))
    return np.concatenate(parts) @ np.asarray(posterior.factor), np.concatenate(noise)


def select_frames(posterior, target, candidates, count, progress=None):
    """The frames whose computation would most reduce the bar of a property, one after the other.

    var(q | frame) = s^T (1 + B^T B)^-1 s,  s = dq/dz,  B = slopes of the frame's energy and forces over their sigmas

    No label is needed: what a frame tells of a Gaussian depends on where it is, not on what comes out.

    Args:
        posterior: `Posterior` of weights that the energy is linear in.
        target: `Propagated`, of that posterior; the sum of the variances of its numbers is reduced. None: no
            property in particular; the frames that tell most of all weights, log det(1 + B B^T) / 2, are chosen.
        candidates: structures.
        count: how many to choose.
        progress: called with a sentence.

    Returns:
        (numbers of the frames chosen, in order; the standard deviations left after each, (count, K), or what each
        tells, (count,) nats, without a target).

    Raises:
        DataError: nothing to choose from, or more than there are.
    """
    candidates = [Structure.of(s) for s in candidates]
    if not 1 <= count <= len(candidates):
        raise DataError(f"count: expected 1 to {len(candidates)}, the number of candidates, got {count}")
    slopes, gain = None, _information
    if target is not None:
        slopes, gain = slope_rows(target.slopes), _gain
        slopes = slopes[np.isfinite(slopes).all(1)]
    frames = []
    for k, structure in enumerate(candidates):
        rows, noise = observed_frame(posterior, structure)
        frames.append(rows / noise[:, None])
        if progress and k % 10 == 9:
            progress(f"rows of {k + 1} of {len(candidates)} candidates")
    chosen, left = [], []
    for _ in range(count):
        gains = [-1.0 if k in chosen else gain(rows, slopes) for k, rows in enumerate(frames)]
        best = int(np.argmax(gains))
        chosen.append(best)
        shrunk = _shrinking(frames[best])
        frames = [shrunk(rows) for rows in frames]
        if target is None:
            left.append(gains[best])
        else:
            slopes = shrunk(slopes)
            left.append(np.sqrt((slopes * slopes).sum(1)))
        if progress:
            progress(f"frame {best} tells {gains[best]:.4g} nats" if target is None
                     else f"frame {best}: bar {left[-1].max():.4g} left")
    return chosen, np.array(left)


def _shrinking(rows):
    """What multiplies a matrix (any, R) by (1 + B^T B)^(-1/2), B the rows."""
    _, size, basis = np.linalg.svd(rows, full_matrices=False)
    part = 1.0 - 1.0 / np.sqrt(1.0 + size * size)
    return lambda matrix: matrix - (matrix @ basis.T * part) @ basis


def _information(rows, _):
    """What rows z with unit noise tell of z, in nats."""
    return 0.5 * float(np.linalg.slogdet(np.eye(len(rows)) + rows @ rows.T)[1])


def _gain(rows, slopes):
    """By how much the variances of S z fall, in sum, when rows z are observed with unit noise."""
    shared = rows @ slopes.T
    return float(np.sum(shared * np.linalg.solve(np.eye(len(rows)) + rows @ rows.T, shared)))
