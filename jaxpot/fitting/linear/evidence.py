"""`evidence`: the log marginal likelihood of a data set, and its gradient by every number of a recipe."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.data.dataset import Dataset
from jaxpot.data.padded_frames import Prepared
from jaxpot.data.targets import check_data, fit_targets
from jaxpot.errors import DataError
from jaxpot.fitting.linear.accumulate import VOIGT, accumulate, target_rows
from jaxpot.fitting.linear.hyper_shapes import reshaped, shapes, vectors_and_slopes
from jaxpot.fitting.linear.hyperparameters import columns, total
from jaxpot.fitting.linear.moments import log_evidence, posterior, unwhiten, whiten
from jaxpot.fitting.linear.recipe import Recipe
from jaxpot.fitting.linear.rows import design_rows, linear_terms
from jaxpot.fitting.linear.terms import prior_factors, sparse_points, unfitted_potential, without_points
from jaxpot.fitting.recipe_files import recipe_of
from jaxpot.potentials.base import Potential, Sum


@dataclass(frozen=True)
class Evidence:
    """Log marginal likelihood of a data set.

    Attributes:
        value: log p(targets), natural logarithm.
        gradient: name -> derivative by the logarithm of that number: "sigma.energy" and so on, "term 1.delta",
            "term 1.zeta", "term 1.atom_sigma", "term 2.theta" (an array where the kernel has several lengths; the
            derivative by a factor that they share is its sum).
        environments: for each term, the places of its sparse points in the data, (M, 3): frame, atom, instance; (0, 3)
            without any.
    """

    value: float
    gradient: dict
    environments: tuple


def evidence(
    dataset: Dataset, recipe: Recipe | str | os.PathLike = "gap", *, environments: Sequence[np.ndarray] | None = None,
    baseline: Potential | None = None, seed: int = 0, jitter: float = 1e-10,
    progress: Callable[[str], None] | None = None, gradient: bool = True,
) -> Evidence:
    """Log probability of the data under a recipe: log N(y | 0, A K^-1 A^T + Sigma), and its gradient.

    A are the rows of the design matrix, K the covariance of the sparse points with its jitter, Sigma the sigmas
    squared. With A whitened, A L^-T, G its Gram matrix, P = I + G and m = P^-1 A^T Sigma^-1 y, the derivative is

        sum_rows (1 / sigma^2) [(y - a . m) m - P^-1 a] L^-1 . da  -  1/2 tr L^-T [P^-1 - I + m m^T] L^-1 dK

    where da comes from forward-mode differentiation of the rows, frame by frame: a second and a third look at the
    data, and no more memory than a fit. The sparse points are atoms of the data; they stay the same atoms, and what
    the descriptor makes of them changes with atom_sigma.

    Args:
        dataset, recipe, baseline, seed, jitter, progress: as for `fit`; how the recipe chooses does not matter.
        environments: those that another call has returned, to keep the same sparse points.
        gradient: False: without what takes another look at the data: derivatives by the shapes.

    Returns:
        `Evidence`.

    Raises:
        DataError: as `fit`.

    References:
        C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), equations 5.8 and 5.9.
    """
    check_data(dataset, baseline)
    recipe = recipe_of(Recipe, recipe)
    say = progress or (lambda text: None)
    terms = recipe.linear_terms(dataset)
    frames = [frame.structure for frame in dataset]
    prepared = Prepared.for_potential(frames, without_points(terms, dataset.species))
    say("sparse points")
    if environments is None:
        environments = tuple(
            sparse_points(t, dataset, prepared, seed + k)[1] if t.has_points else np.zeros((0, 3), int)
            for k, t in enumerate(terms)
        )
    if len(environments) != len(terms):
        raise DataError(
            f"environments: expected those of {len(terms)} terms, as another call returned them, got "
            f"{len(environments)}"
        )
    chosen = [_at(t.descriptor, places, prepared) for t, places in zip(terms, environments, strict=True)]
    terms = [
        replace(t, points=points) if t.has_points else t for t, (points, _) in zip(terms, chosen, strict=True)
    ]
    potential = unfitted_potential(terms, dataset, prepared)
    factors, jitters = prior_factors(potential, jitter)
    targets = fit_targets(dataset, baseline)
    moments = total(accumulate(potential, dataset, prepared, targets, recipe.sigmas, factors, progress=say))
    value, slopes_by_name = _of_sigmas_and_deltas(moments, terms, [len(f) for f in factors])
    if not gradient:
        return Evidence(value, slopes_by_name, tuple(environments))
    names = tuple(
        (k, name, size) for k, term in enumerate(linear_terms(potential)) for name, size in shapes(term).items()
    )
    data = list(zip(dataset, prepared, zip(*targets, strict=True), strict=True))
    widenings = tuple(widening for _, widening in chosen)
    slopes = _of_shapes(names, potential, data, recipe.sigmas, moments, factors, jitters, widenings, say)
    for (k, name, size), end in zip(names, np.cumsum([size for *_, size in names]), strict=True):
        key, slope = f"{terms[k].name}.{name}", slopes[end - size : end]
        slopes_by_name[key] = slopes_by_name.get(key, 0.0) + (slope if size > 1 else float(slope[0]))
    return Evidence(value, slopes_by_name, tuple(environments))


def _at(descriptor, places, prepared):
    """Vectors (M, d) at places of the data, and their derivatives by atom_sigma (zero without one)."""
    vectors = np.empty((len(places), descriptor.dimension))
    widening = np.zeros_like(vectors)
    for k in np.unique(places[:, 0]):
        here = places[:, 0] == k
        structure, neighbors = prepared[k]
        (instances, weights), slopes = vectors_and_slopes(descriptor, structure, neighbors)
        real = np.flatnonzero(np.asarray(weights).any(1))
        row_of = dict(zip(np.asarray(neighbors.centers)[real].tolist(), real.tolist(), strict=True))
        rows = [row_of[atom] for atom in places[here, 1]]
        vectors[here] = np.asarray(instances)[rows, places[here, 2]]
        if slopes is not None:
            widening[here] = np.asarray(slopes)[rows, places[here, 2]]
    return vectors, widening


def _of_sigmas_and_deltas(moments, terms, widths):
    """Log evidence, and its derivatives by sigmas and deltas, which need only moments."""
    kinds = sorted(moments)

    @jax.value_and_grad
    def value_and_slopes(logs):
        factors = jnp.exp(logs)
        noise = dict(zip(kinds, factors[: len(kinds)], strict=True))
        return log_evidence(moments, noise, columns(factors[len(kinds):], widths))

    value, slopes = value_and_slopes(jnp.zeros(len(kinds) + len(widths)))
    gradient = {f"sigma.{kind}": float(s) for kind, s in zip(kinds, slopes[: len(kinds)], strict=True)}
    for term, slope in zip(terms, slopes[len(kinds):], strict=True):
        gradient[f"{term.name}.delta"] = gradient.get(f"{term.name}.delta", 0.0) + float(slope)
    return float(value), gradient


def _of_shapes(names, potential, data, sigmas, moments, factors, jitters, widenings, say):
    """Derivatives by the logarithms of all shape parameters, in the order of `names`."""
    with_stress = sigmas.stress is not None
    solved = posterior(moments, dict.fromkeys(moments, 1.0))
    mean, covariance = solved.mean, solved.covariance()
    curvature = covariance - np.eye(len(mean)) + np.outer(mean, mean)
    cuts = np.cumsum([len(f) for f in factors])
    blocks = [curvature[end - len(f) : end, end - len(f) : end] for f, end in zip(factors, cuts, strict=True)]
    back = tuple(-0.5 * _unwhitened(_unwhitened(b, [f]).T, [f]) for b, f in zip(blocks, factors, strict=True))
    slopes = np.array(_covariance_slopes(names, potential, tuple(jitters), back, widenings))
    for k, (frame, (structure, neighbors), targets) in enumerate(data, 1):
        rows = design_rows(potential, structure, neighbors, with_stress)
        back = jax.tree.map(lambda a: np.zeros(a.shape), rows)
        places = {
            "energy": back.energy[None], "forces": back.forces[: len(frame)].reshape(3 * len(frame), -1),
            "stress": back.stress,
        }
        for kind, select, values, sigma in target_rows(frame, targets, sigmas):
            white = np.asarray(whiten(select(rows) / sigma, factors))
            pull = np.outer(np.asarray(values) / sigma - white @ mean, mean) - white @ covariance
            places[kind][VOIGT if kind == "stress" else ...] = _unwhitened(pull.T, factors).T / sigma
        slopes += np.asarray(_row_slopes(names, with_stress, potential, structure, neighbors, back, widenings))
        say(f"slopes of {k} frames")
    return slopes


def _unwhitened(columns, factors):
    return np.concatenate([np.asarray(part) for part in unwhiten(columns, factors)])


@partial(jax.jit, static_argnums=(0, 1))
def _row_slopes(names, with_stress, potential, structure, neighbors, back, widenings):
    """d/dlogs of the sum of the rows times `back`."""

    def contracted(logs):
        rows = design_rows(_reshaped(names, potential, logs, widenings), structure, neighbors, with_stress)
        parts = ("energy", "forces", "stress") if with_stress and all(structure.pbc) else ("energy", "forces")
        return sum(jnp.vdot(getattr(rows, part), getattr(back, part)) for part in parts)

    return jax.jacfwd(contracted)(jnp.zeros(sum(size for *_, size in names)))


@partial(jax.jit, static_argnums=0)
def _covariance_slopes(names, potential, jitters, back, widenings):
    """d/dlogs of the sum of the covariances of the sparse points times `back`."""

    def contracted(logs):
        terms = linear_terms(_reshaped(names, potential, logs, widenings))
        precisions = [term.readout.weight_precision() for term in terms]
        return jnp.asarray(sum(
            jnp.vdot(c, b) + jitter * jnp.mean(jnp.diagonal(c)) * jnp.trace(b)
            for c, b, jitter in zip(precisions, back, jitters, strict=True) if c is not None
        ))

    return jax.jacfwd(contracted)(jnp.zeros(sum(size for *_, size in names)))


def _reshaped(names, potential, logs, widenings):
    terms, changes = list(linear_terms(potential)), {}
    for (k, name, size), end in zip(names, np.cumsum([size for *_, size in names]), strict=True):
        changes.setdefault(k, {})[name] = logs[end - size : end]
    for k, numbers in changes.items():
        terms[k] = reshaped(terms[k], numbers, widenings[k])
    return Sum.or_one(terms)
