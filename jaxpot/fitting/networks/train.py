"""`train`: neural networks, and other potentials, fitted to energies, forces and stresses by gradient descent."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from jaxpot.core.elements import name_species
from jaxpot.core.numbers import as_whole
from jaxpot.data.bond_length import bond_length
from jaxpot.data.dataset import Dataset
from jaxpot.data.predictions import KINDS, predict
from jaxpot.data.targets import check_data, fit_targets
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.fitting.clock import Clock
from jaxpot.fitting.left_out import clusters_of, folds_of, without_each
from jaxpot.fitting.linear.curvatures import HessianProduct
from jaxpot.fitting.networks.beginnings import beside, copies, moving, random_networks
from jaxpot.fitting.networks.descent import discard
from jaxpot.fitting.networks.division import Division
from jaxpot.fitting.networks.evaluated import checked_start, potential_training
from jaxpot.fitting.networks.from_descriptors import has_networks, network_training
from jaxpot.fitting.networks.last_layer import has_last_layer
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.fitting.networks.replay import with_replay
from jaxpot.fitting.networks.result import Trained
from jaxpot.fitting.recipe_files import recipe_of
from jaxpot.potentials.base import Potential
from jaxpot.typing import StructureLike

_CLUSTERS = 4  # that are left out: each takes another training, of three quarters of the frames


def train(
    dataset: Dataset, recipe: NetworkRecipe | str | os.PathLike = "behler-parrinello", *,
    start: Trained | Potential | Sequence[Potential] | None = None, frozen: Sequence[int | str] = (),
    pretrained: bool = False, replay: Sequence[StructureLike] = (), curvatures: Sequence[HessianProduct] = (),
    baseline: Potential | None = None, test: Dataset | None = None, seed: int = 0,
    progress: Callable[[str], None] | None = None, predictions: bool = True,
    checkpoint: str | os.PathLike | None = None, keep_folds: bool = False,
) -> Trained:
    """Train a neural network potential.

    Minimises the mean over frames of (dE / n sigma_E)^2, plus the means over components of (dF / sigma_F)^2 and, with a
    sigma, (dstress / sigma_S)^2, and of Hessian products that are given (or the Huber loss of these), by Adam with a
    cosine schedule and an exponential average of the weights. A part of the training set tells when to stop. In single
    precision; the potential is one in double precision. Devices that share a mesh (`jaxpot.core.devices`) divide each
    batch, and the result is that of one device but for rounding.

    Args:
        dataset: `Dataset`.
        recipe: name of a recipe of networks, path of a file like these, or `NetworkRecipe`.
        start: `Trained`, or a potential with networks, whose weights the training begins with (fine-tuning): symmetry
            functions, layers, shifts, offsets and scales are its own. Or any other potential, such as a published one
            of several hops: its parameters are trained, by evaluating padded batches of frames, and the recipe's
            architecture is not used; with several members, those of copies whose numbers are off by a hundredth. Or a
            list of potentials of one form, one for each member.
        frozen: what of `start` stays as it is: numbers of the layers of its networks, from 0; of other potentials names
            that its arrays begin with (`potentials.base.parameter_names`), such as "embedding" or "interactions[0]".
        pretrained: `start` is a published model, say. Its energies count from another zero: e0 is what least squares
            leave to the elements beside it; and the steps of each array are in units of its root mean square. Arrays
            whose numbers cancel stay as they are: the coefficients of an ACE's radial functions.
        replay: structures on which a `pretrained` start is to stay what it is: frames with its own energies, forces and
            stresses are trained on beside the data, each like one of these, in every fold; they tell neither when to
            stop nor what the errors are.
        curvatures: `HessianProduct`s: each step of the descent sees some of them, in turn.
        baseline: any potential; what is trained is the rest, and the result is their sum.
        test: a `Dataset` that takes no part, for the errors reported.
        seed: of first weights, batches and validation frames.
        progress: called with a sentence about what is being done.
        predictions: False: do not evaluate the training set in the end, and give a single network no bars. (Those of a
            single one of several hops cost an evaluation of each frame for each weight of its last layer.)
        checkpoint: path of a file that is written about once a minute: the same call goes on from there after an
            interruption, to the same result to the last bit. In the end it is removed. Folds have files of their own,
            `.fold1` and so on behind this name.
        keep_folds: train again as often as the recipe has folds, each time without one of them, and without each of
            four clusters of frames that look alike (`frame_clusters`), for a calibration of error bars on all frames
            (`jp.calibrate`). Without, the validation frames have to do. What `start` was trained on is not left out.

    Returns:
        `Trained`.

    Raises:
        DataError: data that cannot be trained on, or not without one of the folds; a checkpoint of another training;
            a replay without a pretrained start, or of structures that it does not know.
        ConvergenceError: the loss is not a number; it names the frames. The best potential is the error's `best`.

    References:
        J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007); D. P. Kingma, J. Ba, Adam: a method for stochastic
        optimization (2015).
    """
    check_data(dataset, baseline)
    recipe = recipe_of(NetworkRecipe, recipe)
    say, clock = progress or (lambda text: None), Clock()
    _check(dataset, test, curvatures)
    seed = as_whole(seed, "seed", 0, 2**31 - 1)
    folds = folds_of(dataset, recipe.folds, seed) if keep_folds else []
    parts = folds + (clusters_of(dataset, _CLUSTERS) if keep_folds else [])
    replayed: Callable[[Dataset], Dataset] | None = None
    if len(replay) and not pretrained:
        raise DataError("replay keeps what a published model knew: give it as start=, with pretrained=True")
    if isinstance(start, Trained):
        start = start.potential
        if not has_networks(start):
            raise DataError(
                "start: this training was of whole potentials, and its result holds e0 as well: start from "
                "its members, [trained.committee[k].terms[0] for k in range(len(trained.committee))]"
            )
    if start is None and recipe.reads == "hops":
        start = random_networks(dataset, recipe, seed)
    if start is None or isinstance(start, Potential) and has_networks(start):
        if pretrained:
            raise DataError(
                "pretrained is for the start from a potential that reads no descriptor: "
                + ("there is none" if start is None else "networks of descriptors are given as start alone")
            )
        prepare = partial(
            network_training, bond=bond_length(dataset), start=start, frozen=_layers(frozen), curvatures=curvatures,
            bars=predictions or keep_folds,
        )
    else:
        several = copies(start, recipe.members, seed) if isinstance(start, Potential) else start
        members = checked_start(several, dataset, recipe.members)
        if keep_folds and recipe.members == 1 and not has_last_layer(members[0]):
            raise DataError(
                "keep_folds: error bars of potentials that are evaluated are the spread of several members, where the "
                "last layer is not linear: give a recipe with members=2 or more, and as many potentials to start from"
            )
        prepare = partial(
            potential_training, members=members, frozen=frozen, relative=pretrained, curvatures=curvatures,
            bars=predictions or keep_folds,
        )
        moving(members[0], frozen)  # are there arrays of these names?
        if pretrained:
            dataset = beside(dataset, members, baseline)
            parts = without_each(dataset, [numbers for numbers, _ in parts])
        if len(replay):
            replayed = partial(with_replay, structures=replay, members=members, baseline=baseline)
    run = partial(_train, prepare, recipe=recipe, baseline=baseline, seed=seed, replayed=replayed)
    trained = run(dataset, test=test, predictions=predictions, checkpoint=checkpoint, say=say, clock=clock)
    files, kept = [checkpoint], []
    for k, (left_out, rest) in enumerate(parts, 1):
        files.append(None if checkpoint is None else f"{os.fspath(checkpoint)}.fold{k}")
        begin = f"fold {k} of {len(folds)}: " if k <= len(folds) else f"without cluster {k - len(folds)}: "
        try:
            of_fold = run(
                rest, test=None, predictions=False, checkpoint=files[-1], clock=Clock(),
                say=lambda text, begin=begin: say(begin + text),
            )
        except ConvergenceError as error:
            error.best = trained.potential  # type: ignore[attr-defined]  # for those who catch it
            raise
        kept.append((left_out, of_fold.posterior))
    if parts:
        clock.step("folds")
    for file in files:
        discard(file)
    return replace(trained, folds=tuple(kept[: len(folds)]), clusters=tuple(kept[len(folds) :]))


def _layers(frozen):
    """Numbers of layers, checked."""
    for number in frozen:
        if isinstance(number, str):
            raise DataError(f"frozen: of networks expected numbers of layers, from 0, got {number!r}")
    return frozen


def _check(dataset, test, curvatures):
    for target in curvatures:
        if not isinstance(target, HessianProduct):
            raise DataError(f"curvatures: expected HessianProducts, got {type(target).__name__}")
        species = set(target.structure.numbers.tolist())
        if not species <= set(dataset.species):
            raise DataError(f"curvatures: a target contains {name_species(species)}, the training set "
                            f"{name_species(dataset.species)}")
    if test is not None:
        if not isinstance(test, Dataset):
            raise DataError(f"test: expected a Dataset, got {type(test).__name__}")
        if not set(test.species) <= set(dataset.species):
            raise DataError(f"the test set contains {name_species(test.species)}, the training set "
                            f"{name_species(dataset.species)}")


def _train(prepare, dataset, recipe, baseline, seed, replayed, test, predictions, checkpoint, say, clock):
    """`Trained` on all frames; the checkpoint stays."""
    say(f"{len(dataset)} frames, {dataset.n_atoms} atoms, {name_species(dataset.species)}; e0: {dataset.e0_origin}")
    seen, division = dataset, Division.of(dataset, recipe, seed)
    if replayed is not None:
        seen = replayed(dataset)
        division = division.with_more(range(len(dataset), len(seen)), recipe, seed)
        say(f"{len(seen) - len(dataset)} frames of replay beside them")
    targets = fit_targets(seen, baseline)
    sigmas = _noise(recipe.sigmas, targets)
    training = prepare(
        seen, targets, division, sigmas, recipe=recipe.lengthened(len(division.batches)), baseline=baseline,
        seed=seed, checkpoint=checkpoint, say=say, clock=clock,
    )
    try:
        best, history, epoch = training.descent.go()
    except ConvergenceError as error:
        _, error.best = training.assemble(error.best)
        raise
    clock.step("training")

    committee, potential = training.assemble(best)
    say("errors")
    on_training_set = predict(potential, dataset, training.prepared) if predictions else None
    on_test_set = None if test is None else predict(potential, test)
    clock.step("errors")
    spread = training.spread(potential)
    return Trained(
        potential, committee, None if spread is None else spread.replace(ranges=seen.ranges()), history, epoch,
        tuple(division.validation), on_training_set, on_test_set, clock.seconds, recipe, sigmas, dataset.e0,
        dataset.e0_origin,
    )


def _noise(sigmas, targets):
    """Kind of label -> sigma, of the kinds that were trained on."""
    given = {kind: getattr(sigmas, kind) for kind in KINDS}
    fitted = (kind for kind, values in zip(KINDS, targets, strict=True) if any(v is not None for v in values))
    return {kind: given[kind] for kind in fitted if given[kind]}
