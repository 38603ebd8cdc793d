"""`fit_linear`: from data and a recipe of a GAP to a potential that knows how well it was fitted."""

import os
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from jaxpot.core.elements import name_species
from jaxpot.core.numbers import as_positive, as_whole
from jaxpot.data.atomic_energies import tells_of_atoms
from jaxpot.data.clusters import frame_clusters
from jaxpot.data.dataset import Dataset
from jaxpot.data.padded_frames import Prepared
from jaxpot.data.predictions import predict
from jaxpot.data.targets import check_data, fit_targets
from jaxpot.errors import DataError
from jaxpot.fitting.clock import Clock
from jaxpot.fitting.linear import hyperparameters
from jaxpot.fitting.linear.accumulate import accumulate
from jaxpot.fitting.linear.checkpoint import FitCheckpoint, fingerprint
from jaxpot.fitting.linear.columns import Columns
from jaxpot.fitting.linear.curvatures import HessianProduct, StrainCurvature, check_curvatures, curvature_moments
from jaxpot.fitting.linear.elimination import chosen_components, error_path, of_columns, with_places
from jaxpot.fitting.linear.label_noise import label_noise, without
from jaxpot.fitting.linear.moments import posterior, unwhiten, weighted
from jaxpot.fitting.linear.radial_refinement import refined
from jaxpot.fitting.linear.recipe import Recipe
from jaxpot.fitting.linear.result import Fit, Solved
from jaxpot.fitting.linear.rows import linear_terms
from jaxpot.fitting.linear.stress_offsets import offset_types, without_offsets
from jaxpot.fitting.linear.terms import prior_factors, unfitted_potential, without_points
from jaxpot.fitting.linear.weights import common_scale, with_weights
from jaxpot.fitting.recipe_files import recipe_of
from jaxpot.potentials.base import Potential
from jaxpot.potentials.constants import Constants
from jaxpot.readouts.sparse_gp import SparseGP

_CLUSTERS = 1000  # groups of moments from here on are those of clusters; folds come before
_COPIES = 4  # matrices of weights by weights that a solution keeps of each group, and of the whole


def fit_linear(
    dataset: Dataset, recipe: Recipe | str | os.PathLike = "gap", *, baseline: Potential | None = None,
    curvatures: Sequence[HessianProduct | StrainCurvature] = (), stress_offsets: bool | str | Sequence[str] = (),
    test: Dataset | None = None, seed: int = 0, jitter: float = 1e-10, progress: Callable[[str], None] | None = None,
    predictions: bool = True, checkpoint: str | os.PathLike | None = None, keep_folds: bool = False,
) -> Fit:
    """Fit a model that is linear in its weights: a Gaussian approximation potential, or a readout like `Linear`.

    Minimises sum_i (y_i - a_i . w)^2 / sigma_i^2 + sum_t w_t^T K_t w_t over the weights of all terms at once, y being
    energies, forces and (with a sigma) stresses less e0 and baseline, K_t the covariance of the sparse points, or
    whatever precision the readout gives the prior of its weights (`Readout.weight_precision`). Radial functions of
    moment tensors, of which nothing is linear, are fitted before (`radial_refinement.refined`).

    Args:
        dataset: `Dataset`, from `read_dataset` or `Dataset.of`.
        recipe: name of a recipe, path of a file, or a `Recipe`.
        baseline: any potential; what is fitted is the rest, and the result is their sum.
        curvatures: further targets, `HessianProduct`s and `StrainCurvature`s.
        stress_offsets: config types, or True for all, whose stresses are off by a pressure that is fitted, too: one
            for each (Pulay stress). Errors are those of the stresses without it.
        test: a `Dataset` that takes no part in the fit, for the errors reported.
        seed: of the choice of sparse points and of folds.
        jitter: see `Fit`; raised if rounding asks for it.
        progress: called with a sentence about what is being done.
        predictions: False: do not evaluate the training set in the end.
        checkpoint: path of a file that is written about once a minute. The same call finds it after an interruption,
            goes on from there and gives the same result; in the end it is removed. That of another fit is replaced,
            with a warning.
        keep_folds: keep the fits to all folds but one, too, and to all clusters of frames that look alike but one,
            for a calibration of error bars.

    Returns:
        `Fit`.

    Raises:
        DataError: data that cannot be fitted, with the reason.
        FormatError: a recipe that cannot be read; a checkpoint that is damaged or none at all.

    References:
        A. P. Bartok, G. Csanyi, Gaussian approximation potentials: a brief tutorial introduction, Int. J.
        Quantum Chem. 115, 1051 (2015).
        V. L. Deringer et al., Gaussian process regression for materials and molecules, Chem. Rev. 121, 10073
        (2021), section 2.
    """
    check_data(dataset, baseline)
    recipe = recipe_of(Recipe, recipe)
    say, clock = progress or (lambda text: None), Clock()
    curvatures, jitter = tuple(curvatures), as_positive(jitter, "jitter")
    seed = as_whole(seed, "seed", 0, 2**63 - 1)
    _check(dataset, recipe, curvatures, test, keep_folds)
    offsets = offset_types(stress_offsets, dataset, recipe.sigmas)
    recipe = recipe.measured(dataset)
    for change in recipe.lowered:
        say(change)
    given = baseline
    for core in recipe.cores(dataset):
        baseline = core if baseline is None else baseline + core
    clock.step("lengths of the data")
    recipe, measured = refined(recipe, dataset, baseline, seed, say), recipe
    if recipe is not measured:
        clock.step("radial functions")
    terms = recipe.linear_terms(dataset)
    kept = None
    if checkpoint is not None:
        settings = {"seed": seed, "jitter": jitter, "offsets": offsets, "keep_folds": keep_folds}
        kept = FitCheckpoint(checkpoint, fingerprint(dataset, recipe, given, **settings), say)
        terms = kept.given_points(terms)
    say(f"{len(dataset)} frames, {dataset.n_atoms} atoms, {name_species(dataset.species)}; e0: {dataset.e0_origin}")

    prepared = Prepared.for_potential([frame.structure for frame in dataset], without_points(terms, dataset.species))
    potential = unfitted_potential(terms, dataset, prepared, seed, say)
    if kept is not None:
        with_points = zip(terms, linear_terms(potential), strict=True)
        processes = [cast(SparseGP, unfitted.readout) for term, unfitted in with_points if term.has_points]
        kept.keep_points([np.asarray(process.points) for process in processes])
    clock.step("sparse points" if any(term.has_points for term in terms) else "neighbor lists")

    folds = dataset.folds(recipe.folds, seed) if recipe.choice == "cross-validation" or keep_folds else []
    clusters = frame_clusters(dataset) if keep_folds else []
    _check_memory(potential, fit_targets(dataset, baseline), max(len(folds), 1) + len(clusters))
    factors, jitters = prior_factors(potential, jitter)
    moments = accumulate(
        potential, dataset, prepared, fit_targets(dataset, baseline), recipe.sigmas, factors,
        _groups_of_frames(folds, clusters, len(dataset)), say, kept, offsets,
    )
    of_clusters = {key: moments.pop(key) for key in list(moments) if clusters and key[1] >= _CLUSTERS}
    clock.step("rows")
    if curvatures:
        say(f"rows of {len(curvatures)} curvatures")
        moments |= curvature_moments(potential, curvatures, factors, baseline, offsets)
    columns = Columns(
        factors, len(offsets), [term.blocks for term in terms], [term.can_have_fewer for term in terms],
        [None if term.has_points else term.name for term in terms],
    )

    choice = _choose(recipe, moments, columns, say, kept)
    clock.step("choice")

    noise = {kind: 1.0 for kind, _ in moments} if choice is None else choice.noise
    scales = (1.0,) * columns.n_blocks if choice is None else choice.scales
    path = error_path(moments, columns, noise, scales, say)
    counts = [term.components for term in terms]
    if any(count is not None for count in counts):
        whole = weighted(hyperparameters.total(moments), noise)
        places = chosen_components(*whole, hyperparameters.columns(scales, columns.widths), columns, counts)
        here = columns.numbers(places)
        moments, of_clusters = of_columns(moments, here), of_columns(of_clusters, here)
        potential, columns = with_places(potential, places), columns.picked(places)
    clock.step("components")
    left_out = [(moments, k, members) for k, members in enumerate(folds if keep_folds else ())]
    left_out += [(of_clusters, _CLUSTERS + k, members) for k, members in enumerate(clusters)]
    solved, weights = _solve(
        moments, columns, noise, scales, left_out, recipe.choice == "cross-validation", dataset.ranges(), say,
    )
    pressures = dict(zip(offsets, weights.pop().tolist(), strict=True)) if offsets else {}
    fitted = _with_the_rest(with_weights(potential, weights, solved.scales), dataset, baseline)
    clock.step("solution")

    say("errors")
    trained = predict(fitted, without_offsets(dataset, pressures), prepared) if predictions else None
    tested = None if test is None else predict(fitted, without_offsets(test, pressures))
    clock.step("errors")
    if kept is not None:
        kept.remove()
    return Fit(
        potential=fitted, recipe=recipe, sigmas=_used(recipe.sigmas, noise, solved.common),
        deltas=columns.deltas(terms, scales, solved.common), sparse=tuple(map(len, columns.factors)),
        jitter=tuple(jitters), e0=dataset.e0, e0_origin=dataset.e0_origin, stress_offsets=pressures, choice=choice,
        path=path, train=trained, test=tested, seconds=clock.seconds, solved=solved,
    )


def _groups_of_frames(folds, clusters, count):
    """Numbers of the groups of each frame, its fold and its cluster; None without folds."""
    if not folds:
        return None
    groups: list[tuple[int, ...]] = [()] * count
    for first, parts in ((0, folds), (_CLUSTERS, clusters)):
        for k, members in enumerate(parts, first):
            for frame in members.tolist():
                groups[frame] += (k,)
    return groups


def _solve(moments, columns, noise, scales, left_out, up_to_a_factor, ranges, say):
    """`Solved`, and the weights of each block of columns; empties moments, which may fill most of the memory.

    Args:
        moments: (kind, fold) -> `Moments`.
        noise: kind -> factor for the sigmas of its rows.
        scales: factor for the delta of each block.
        left_out: triples (moments, group, frames) of each fold and each cluster: the fit to all others is kept.
        up_to_a_factor: noise and scales are known but for a common factor, as a cross-validation leaves them.
        ranges: of the data.
        say: called with a sentence.
    """
    column = hyperparameters.columns(scales, columns.widths)
    whole = hyperparameters.total(moments)
    # Gigabytes, with many folds and sparse points: those of a fold go when the fits without it have been made.
    held = [{kind: source.pop((kind, group)) for kind in whole if (kind, group) in source}
            for source, group, _ in left_out]
    moments.clear()
    fits = [without(whole, part, noise, column, say) for part in held]
    whitened = posterior(whole, noise, column)
    # Cross-validation chooses ratios of sigmas and deltas; what they are in eV is what makes the data most probable.
    common = 1.0
    if up_to_a_factor:
        width = sum(len(factor) for factor in columns.factors)
        common = common_scale(whole, noise, column * whitened.mean, whitened.mean, width)
    weights = [np.asarray(w) for w in unwhiten(column * whitened.mean, columns.priors)]
    sums = (*weighted(whole, noise), np.asarray(column)) if any(columns.removable) else None
    if left_out:
        whitened, fits = _with_label_noise(whitened, fits, whole, held, noise, column, say)
    parts: tuple[list, list] = ([], [])
    for fit, (_, group, members) in zip(fits, left_out, strict=True):
        parts[group >= _CLUSTERS].append((members, fit))
    solved = Solved(
        whitened, columns, columns.scales(scales, common), common, *map(tuple, parts), ranges, sums
    )
    return solved, weights


def _with_label_noise(whitened, fits, whole, held, noise, column, say):
    """The fit to all rows, and those without what is held, with covariances of `label_noise`; empties held."""
    factors = label_noise(whole, list(zip(held, fits, strict=True)), noise, column, say)
    sigmas = {kind: factors[kind] * noise[kind] for kind in whole}
    fits = list(fits)
    while held:
        k, part = len(held) - 1, held.pop()
        fits[k] = fits[k].replace(factor=without(whole, part, sigmas, column).factor)
    return whitened.replace(factor=without(whole, {}, sigmas, column).factor), fits


def _with_the_rest(fitted, dataset, baseline):
    """Whole potential: energies of isolated atoms, the terms that were fitted, and the baseline."""
    whole = Constants(dataset.e0, isolated=tells_of_atoms(dataset.e0_origin)) + fitted
    return whole if baseline is None else whole + baseline


def _used(sigmas, noise, common):
    """Kind of label -> standard deviation that was used, of the kinds that were fitted."""
    given = {"energy": sigmas.energy, "forces": sigmas.forces, "stress": sigmas.stress}
    return {kind: sigma * noise[kind] * common for kind, sigma in given.items() if kind in noise}


def _check_memory(potential, targets, groups):
    """Refuse a fit whose matrices of weights by weights are larger than the memory of the machine.

    Besides the sums for each kind of label and group of frames, a solution keeps four for each group and four of the
    whole: 3,444 weights, three kinds and four folds took 32 times 8 * 3,444^2 bytes at most, one group 10 times.
    """
    count = sum(term.n_features for term in linear_terms(potential))
    kinds = sum(any(value is not None for value in column) for column in targets)
    try:
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return
    needed = 8 * count**2 * ((kinds + _COPIES) * groups + _COPIES)
    if needed > available:
        raise DataError(
            f"{count} weights: a fit keeps several matrices of {count}^2 numbers for each fold and cluster, "
            f"{needed / 1e9:.0f} GB, and this machine has {available / 1e9:.0f}: expected fewer weights (max_weights, "
            "lower degrees or twojmax, fewer sparse points), fewer folds, or no error bars"
        )


def _check(dataset, recipe, curvatures, test, keep_folds):
    """Refuse test sets and curvatures of other elements, and fewer frames than folds."""
    if test is not None and not isinstance(test, Dataset):
        raise DataError(f"test: expected a Dataset, got {type(test).__name__}")
    check_curvatures(curvatures)
    others = {"the test set": [] if test is None else test.species}
    others |= {f"curvature {k}": np.unique(c.structure.numbers).tolist() for k, c in enumerate(curvatures)}
    for name, species in others.items():
        if not set(species) <= set(dataset.species):
            raise DataError(
                f"{name} contains {name_species(species)}, the training set {name_species(dataset.species)}"
            )
    if (recipe.choice == "cross-validation" or keep_folds) and len(dataset) < recipe.folds:
        raise DataError(
            f"{recipe.folds} folds (of a cross-validation or a calibration) need as many frames, there are "
            f'{len(dataset)}: use fewer folds, or method = "fixed" and no calibration'
        )


def _choose(recipe, moments, columns, say, kept):
    """`Chosen` hyperparameters; None where the recipe fixes them."""
    if recipe.choice == "fixed":
        return None
    search = hyperparameters.by_evidence if recipe.choice == "evidence" else hyperparameters.by_cross_validation
    trials = {} if kept is None else {"known": kept.trials, "offer": kept.offer_trials}
    return search(moments, columns.widths, say, shared=columns.shared, scales_first=any(columns.blocks), **trials)
