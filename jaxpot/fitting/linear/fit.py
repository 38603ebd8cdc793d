"""`fit`: from data and a recipe to a potential that knows how well it was fitted."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from jaxpot.core.elements import name_species
from jaxpot.core.numbers import as_positive, as_whole
from jaxpot.data.atomic_energies import tells_of_atoms
from jaxpot.data.dataset import Dataset
from jaxpot.data.padded_frames import prepare_frames
from jaxpot.data.predictions import predict
from jaxpot.data.targets import check_data, fit_targets
from jaxpot.errors import DataError
from jaxpot.fitting.clock import Clock
from jaxpot.fitting.linear import hyperparameters
from jaxpot.fitting.linear.accumulate import accumulate
from jaxpot.fitting.linear.checkpoint import Checkpoint, fingerprint
from jaxpot.fitting.linear.curvatures import check_curvatures, curvature_moments
from jaxpot.fitting.linear.moments import posterior, unwhiten
from jaxpot.fitting.linear.recipe import Recipe
from jaxpot.fitting.linear.rows import linear_terms
from jaxpot.fitting.linear.sparse_terms import factors_of, sparse_potential
from jaxpot.fitting.linear.stress_offsets import offset_factor, offset_types, without_offsets
from jaxpot.fitting.linear.weights import common_scale, weight_posterior, with_weights
from jaxpot.fitting.recipe_files import recipe_of
from jaxpot.potentials.base import Potential
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.terms import inner_cutoffs


@dataclass(frozen=True)
class Fit:
    """What `fit` returns.

    Attributes:
        potential: e0 + the fitted terms + the baseline.
        recipe: what was asked for.
        sigmas: standard deviations of the targets that were used: kind -> eV/atom, eV/A, eV/A^3.
        deltas: standard deviation of each term, eV.
        sparse: number of sparse points of each term.
        jitter: part of their mean variance that was added to the covariance of each term's sparse points.
        e0, e0_origin: energies of isolated atoms.
        stress_offsets: config type -> eV/A^3, the pressure that its stresses have too much.
        choice: `Chosen` of the hyperparameters; None where they were fixed.
        train: `Predictions` on the training set; None if not wanted.
        test: `Predictions` on the test set, if there is one.
        seconds: name of a step -> time it took.
        solved: `Solved`, what `posterior` is made of; None in a result that was not fitted here.
    """

    potential: Potential
    recipe: Recipe
    sigmas: dict
    deltas: tuple
    sparse: tuple
    jitter: tuple
    e0: dict
    e0_origin: str
    stress_offsets: dict
    choice: hyperparameters.Chosen | None
    train: object
    test: object
    seconds: dict
    solved: object = field(default=None, repr=False)

    @cached_property
    def posterior(self):
        """The distribution of potentials that the data leave: `Posterior` of all weights. Made when asked for."""
        return self._posterior(self.solved.whole)

    def left_out(self):
        """Pairs (numbers of the frames of a fold, `Posterior` of the fit to all others), for `jp.calibrate`.

        Raises:
            DataError: the fit was not asked to keep them (`keep_folds=True`).
        """
        if self.solved is None or not self.solved.folds:
            raise DataError("no fits to all folds but one were kept: give keep_folds=True to fit")
        return [(members, self._posterior(found)) for members, found in self.solved.folds]

    def _posterior(self, found):
        solved = self.solved
        spread = weight_posterior(
            self.potential, found, solved.factors, solved.scales, solved.common, self.sigmas, self.jitter
        )
        return spread.replace(ranges=solved.ranges)


@dataclass(frozen=True)
class Solved:
    """Whitened weights, what unwhitens them, those of the fits to all folds but one, and what the data cover."""

    whole: object
    factors: tuple
    scales: tuple
    common: float
    folds: tuple
    ranges: dict


def fit_linear(
    dataset, recipe="gap", *, baseline=None, curvatures=(), stress_offsets=(), test=None, seed=0, jitter=1e-10,
    progress=None, predictions=True, checkpoint=None, keep_folds=False,
):
    """Fit a Gaussian approximation potential.

    Minimises sum_i (y_i - a_i . w)^2 / sigma_i^2 + sum_t w_t^T K_t w_t over the weights of all terms at once, y being
    energies, forces and (with a sigma) stresses less e0 and baseline.

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
        keep_folds: keep the fits to all folds but one, too, for a calibration of error bars.

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
    say = progress or (lambda text: None)
    clock = Clock()
    curvatures, jitter = tuple(curvatures), as_positive(jitter, "jitter")
    seed = as_whole(seed, "seed", 0, 2**63 - 1)
    _check(dataset, recipe, curvatures, test, keep_folds)
    offsets = offset_types(stress_offsets, dataset, recipe.sigmas)
    terms = recipe.gap_terms(dataset)
    kept = None
    if checkpoint is not None:
        settings = {"seed": seed, "jitter": jitter, "offsets": offsets}
        kept = Checkpoint(checkpoint, fingerprint(dataset, recipe, baseline, **settings), say)
        terms = kept.given_points(terms)
    cutoff = max(term.descriptor.cutoff for term in terms)
    frames = [frame.structure for frame in dataset]
    say(f"{len(dataset)} frames, {dataset.n_atoms} atoms, {name_species(dataset.species)}; e0: {dataset.e0_origin}")
    potential = sparse_potential(terms, dataset, prepare_frames(frames, cutoff), seed, say)
    if kept is not None:
        kept.keep_points([np.asarray(term.readout.points) for term in linear_terms(potential)])
    clock.step("sparse points")
    prepared = prepare_frames(frames, potential.cutoff, inner_cutoffs(potential))
    factors, jitters = factors_of(potential, jitter)
    targets = fit_targets(dataset, baseline)
    groups = None
    folds = []
    if recipe.choice == "cross-validation" or keep_folds:
        folds = dataset.folds(recipe.folds, seed)
        groups = np.zeros(len(dataset), int)
        for k, members in enumerate(folds):
            groups[members] = k
    moments = accumulate(potential, dataset, prepared, targets, recipe.sigmas, factors, groups, say, kept, offsets)
    clock.step("rows")
    if curvatures:
        say(f"rows of {len(curvatures)} curvatures")
        moments |= curvature_moments(potential, curvatures, factors, baseline, offsets)
    if offsets:
        factors = [*factors, offset_factor(offsets)]
    widths = [len(f) for f in factors]
    choice = _choose(recipe, moments, widths, len(terms), say, kept)
    clock.step("choice")
    noise = {kind: 1.0 for kind, _ in moments} if choice is None else choice.noise
    scales = (1.0,) * len(terms) if choice is None else choice.scales
    column = hyperparameters.columns(scales, widths)
    whole, parts = hyperparameters.total(moments), []
    for k, members in enumerate(folds if keep_folds else ()):
        # Gigabytes, with many folds and sparse points: those of a fold go as its fit comes.
        own = {kind: moments.pop((kind, k)) for kind in whole if (kind, k) in moments}
        others = {kind: part - own[kind] if kind in own else part for kind, part in whole.items()}
        parts.append((members, posterior(others, noise, column)))
    del moments
    found = posterior(whole, noise, column)
    # Cross-validation chooses ratios of sigmas and deltas; what they are in eV is what makes the data most probable.
    common = 1.0
    if recipe.choice == "cross-validation":
        common = common_scale(whole, noise, column * found.mean, found.mean, sum(widths[: len(terms)]))
    del whole
    weights = [np.asarray(w) for w in unwhiten(column * found.mean, factors)]
    found_offsets = dict(zip(offsets, weights.pop().tolist(), strict=True)) if offsets else {}
    scales = [s * common for s in scales]
    atoms = Constants(dataset.e0, isolated=tells_of_atoms(dataset.e0_origin))
    fitted = atoms + with_weights(potential, weights, scales)
    fitted = fitted if baseline is None else fitted + baseline
    given = {"energy": recipe.sigmas.energy, "forces": recipe.sigmas.forces, "stress": recipe.sigmas.stress}
    used = {kind: sigma * noise[kind] * common for kind, sigma in given.items() if kind in noise}
    clock.step("solution")
    say("errors")
    train = predict(fitted, without_offsets(dataset, found_offsets)) if predictions else None
    tested = None if test is None else predict(fitted, without_offsets(test, found_offsets))
    clock.step("errors")
    if kept is not None:
        kept.remove()
    return Fit(
        potential=fitted, recipe=recipe, sigmas=used,
        deltas=tuple(t.delta * s for t, s in zip(terms, scales, strict=True)),
        sparse=tuple(widths[: len(terms)]), jitter=tuple(jitters), e0=dataset.e0, e0_origin=dataset.e0_origin,
        stress_offsets=found_offsets, choice=choice, train=train, test=tested, seconds=clock.seconds,
        solved=Solved(found, factors[: len(terms)], tuple(scales), common, tuple(parts), dataset.ranges()),
    )


def _check(dataset, recipe, curvatures, test, keep_folds):
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


def _choose(recipe, moments, widths, terms, say, kept):
    if recipe.choice == "fixed":
        return None
    search = hyperparameters.by_evidence if recipe.choice == "evidence" else hyperparameters.by_cross_validation
    trials = {} if kept is None else {"known": kept.trials, "offer": kept.offer_trials}
    return search(moments, widths, say, terms=terms, **trials)
