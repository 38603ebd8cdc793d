"""`train`: neural networks fitted to energies, forces and stresses by gradient descent."""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.devices import sharing
from jaxpot.core.elements import name_species, symbol
from jaxpot.core.numbers import as_whole
from jaxpot.core.versions import versions
from jaxpot.data.bond_length import bond_length
from jaxpot.data.dataset import Dataset
from jaxpot.data.frame import Frame
from jaxpot.data.padded_frames import Prepared
from jaxpot.data.predictions import KINDS, Predictions, predict
from jaxpot.data.targets import check_data, fit_targets
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.fitting.clock import Clock
from jaxpot.fitting.linear.curvatures import HessianProduct
from jaxpot.fitting.networks.batching import batches, hessian_batches
from jaxpot.fitting.networks.committees import (
    committee_of,
    first_readouts,
    mean_of,
    mixing_of,
    posterior_of,
    readouts_from,
    with_mixing,
)
from jaxpot.fitting.networks.descent import Descent, discard
from jaxpot.fitting.networks.evaluated import (
    EvaluatedLoss,
    assembled,
    checked_start,
    frame_batches,
    spread_of_members,
)
from jaxpot.fitting.networks.last_layer import last_layer_posterior
from jaxpot.fitting.networks.precomputed import PrecomputedLoss, frame_inputs
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.fitting.recipe_files import recipe_of
from jaxpot.potentials.base import Potential, summands
from jaxpot.potentials.committee import Committee
from jaxpot.potentials.described import Described
from jaxpot.potentials.posterior import Posterior
from jaxpot.readouts.neural import Neural

_SAY = 5.0  # s between two lines of progress


@dataclass(frozen=True)
class Trained:
    """Networks that were trained, and how well.

    Attributes:
        potential: e0 + the networks + the baseline; where there are several members, with the mean of their
            networks.
        committee: `Committee` of all members.
        posterior: `Posterior` of `potential`, for error bars of all that follows from it (`jp.std`, `jp.propagate`):
            the spread of its members, or what data leave uncertain of the last layers of a single one
            (`last_layer_posterior`; None without `predictions`).
        history: epoch, training loss, validation errors of energy (eV/atom) and forces (eV/A): a list of tuples.
        best: the epoch that the weights are of.
        validation: numbers of the frames that no gradient has seen.
        train, test: `Predictions`, or None.
        seconds: name of a step -> time it took.
        recipe: `NetworkRecipe`.
        sigmas: kind of label -> what errors were divided by in the loss.
        e0, e0_origin: of the data set.
        folds: pairs (numbers of the frames of a part of the data, `Posterior` of networks trained on the other parts).
    """

    potential: Potential
    committee: Committee
    posterior: Posterior | None
    history: tuple
    best: int
    validation: tuple
    train: Predictions | None = field(repr=False)
    test: Predictions | None = field(repr=False)
    seconds: dict
    recipe: NetworkRecipe
    sigmas: dict
    e0: dict
    e0_origin: str
    folds: tuple = field(default=(), repr=False)

    stress_offsets: ClassVar[dict] = {}  # none are found

    def left_out(self) -> list[tuple[np.ndarray, Posterior]]:
        """Pairs (numbers of frames, a `Posterior` that was not trained on them), for `jp.calibrate`.

        The folds, if they were kept. Else the validation frames: these are few, and have told when to stop.

        Raises:
            DataError: no bars, or neither folds nor validation frames.
        """
        if self.folds:
            return list(self.folds)
        if self.posterior is None or not self.validation:
            raise DataError("a calibration needs error bars, and frames that were not trained on (validation)")
        return [(np.array(self.validation), self.posterior)]


def train(
    dataset: Dataset, recipe: NetworkRecipe | str | os.PathLike = "behler-parrinello", *,
    start: Trained | Potential | Sequence[Potential] | None = None, frozen: Sequence[int] = (),
    curvatures: Sequence[HessianProduct] = (),
    baseline: Potential | None = None, test: Dataset | None = None, seed: int = 0,
    progress: Callable[[str], None] | None = None, predictions: bool = True,
    checkpoint: str | os.PathLike | None = None, keep_folds: bool = False,
) -> Trained:
    """Train a neural network potential.

    Minimises the mean over frames of (dE / n sigma_E)^2, plus the means over components of (dF / sigma_F)^2 and, with a
    sigma, (dstress / sigma_S)^2, and of Hessian products that are given, by Adam with a cosine schedule and an
    exponential average of the weights. A part of the training set tells when to stop. In single precision; the
    potential is one in double precision. Devices that share a mesh (`jaxpot.core.devices`) divide each batch, and the
    result is that of one device but for rounding.

    Args:
        dataset: `Dataset`.
        recipe: name of a recipe of networks, path of a file like these, or `NetworkRecipe`.
        start: `Trained`, or a potential with networks, whose weights the training begins with (fine-tuning): symmetry
            functions, layers, shifts, offsets and scales are its own. Or any other potential, such as one of several
            hops, or a list of potentials of one form, one for each of the recipe's members: all their parameters are
            trained, by evaluating padded batches of frames; the architecture of the recipe is not used then.
        frozen: numbers of the layers that stay as they are, from 0; of `start`.
        curvatures: `HessianProduct`s: each step of the descent sees some of them, in turn.
        baseline: any potential; what is trained is the rest, and the result is their sum.
        test: a `Dataset` that takes no part, for the errors reported.
        seed: of first weights, batches and validation frames.
        progress: called with a sentence about what is being done.
        predictions: False: do not evaluate the training set in the end, and give a single network no bars.
        checkpoint: path of a file that is written about once a minute: the same call goes on from there after an
            interruption, to the same result to the last bit. In the end it is removed. Folds have files of their own,
            `.fold1` and so on behind this name.
        keep_folds: train again as often as the recipe has folds, each time without one of them, for a calibration of
            error bars on all frames (`jp.calibrate`). Without, the validation frames have to do. What `start` was
            trained on is not left out.

    Returns:
        `Trained`.

    Raises:
        DataError: data that cannot be trained on, or not without one of the folds; a checkpoint of another training.
        ConvergenceError: the loss is not a number; it names the frames. The best potential is the error's `best`.

    References:
        J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007); D. P. Kingma, J. Ba, Adam: a method for stochastic
        optimization (2015).
    """
    check_data(dataset, baseline)
    recipe = cast(NetworkRecipe, recipe_of(NetworkRecipe, recipe))
    say, clock = progress or (lambda text: None), Clock()
    _check(dataset, test, curvatures)
    seed = as_whole(seed, "seed", 0, 2**31 - 1)
    parts = _folds(dataset, recipe, seed) if keep_folds else ()
    if start is None or isinstance(start, Trained) or _has_networks(start):
        run = partial(
            _train, recipe=recipe, bond=bond_length(dataset), start=start, frozen=frozen, curvatures=curvatures,
            baseline=baseline, seed=seed, bars=predictions or keep_folds,
        )
    else:
        if frozen or curvatures:
            raise DataError("frozen and curvatures are for networks that read a descriptor; this start has none")
        members = checked_start(start, dataset, recipe.members)
        run = partial(_train_whole, recipe=recipe, members=members, baseline=baseline, seed=seed)
    trained = run(dataset, test=test, predictions=predictions, checkpoint=checkpoint, say=say, clock=clock)
    files, kept = [checkpoint], []
    for k, (members, rest) in enumerate(parts, 1):
        files.append(None if checkpoint is None else f"{os.fspath(checkpoint)}.fold{k}")
        begin = f"fold {k} of {len(parts)}: "
        try:
            of_fold = run(
                rest, test=None, predictions=False, checkpoint=files[-1], clock=Clock(),
                say=lambda text, begin=begin: say(begin + text),
            )
        except ConvergenceError as error:
            error.best = trained.potential  # type: ignore[attr-defined]  # for those who catch it
            raise
        kept.append((members, of_fold.posterior))
    if parts:
        clock.step("folds")
    for file in files:
        discard(file)
    return replace(trained, folds=tuple(kept))


def _train(
    dataset, recipe, bond, start, frozen, curvatures, baseline, test, seed, predictions, bars, checkpoint, say, clock
):
    """`Trained` on all frames; the checkpoint stays."""
    species = tuple(int(z) for z in dataset.species)
    given = None if start is None else _networks_of(start, species)
    descriptors = recipe.descriptors(species, bond) if given is None else [term.descriptor for term in given]
    say(f"{len(dataset)} frames, {dataset.n_atoms} atoms, {name_species(species)}; e0: {dataset.e0_origin}")
    cutoff = max(descriptor.cutoff for descriptor in descriptors)
    prepared = Prepared.within([frame.structure for frame in dataset], cutoff)
    inputs = _inputs(descriptors, prepared, [None] * len(dataset), say)
    curved = _inputs(
        descriptors, Prepared.within([c.structure for c in curvatures], cutoff), [c.vector for c in curvatures], say
    )
    clock.step("descriptors")

    targets = fit_targets(dataset, baseline)
    if given is None:
        readouts = first_readouts(descriptors, inputs, targets, list(dataset), recipe, seed)
    else:
        readouts = [readouts_from(term, recipe.members) for term in given]
    _check_frozen(frozen, readouts)
    mixings = [mixing_of(readout, parts) for readout, parts in zip(readouts, inputs, strict=True)]
    if given is not None:
        trained = [with_mixing(r, np.linalg.inv(mixing)) for r, mixing in zip(readouts, mixings, strict=True)]
    else:
        trained = readouts
    scalings = [_scaling(readout, mixing) for readout, mixing in zip(readouts, mixings, strict=True)]
    training, validation = _parts(dataset, recipe, seed)
    dealt = _dealt(training, recipe.batch, seed)
    divided = [
        *_label_batches((dealt, _dealt(validation, recipe.batch, seed)), dataset, inputs, targets, recipe, scalings),
        _curvature_batches(_dealt(range(len(curvatures)), recipe.batch, seed), curvatures, curved, baseline, scalings),
    ]
    run = ""
    if checkpoint is not None:
        run = _identity(dataset, curvatures, recipe, baseline, [r.stacked for r in trained], seed, frozen)
    scales = [(np.float32(r.offset[0]), np.float32(r.scale[0])) for r in trained]
    weights = tuple(jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), r.network) for r in trained)
    moving = tuple(_moving(network, frozen) for network in weights)
    descent = Descent(
        recipe, weights, PrecomputedLoss(scales), moving, dealt, divided, seed, say, checkpoint, run
    )

    def assemble(weights):
        """Committee, and the mean of it, in double precision."""
        members = [
            with_mixing(r.replace_network(jax.tree.map(lambda a: np.asarray(a, np.float64), network)), mixing)
            for r, network, mixing in zip(trained, weights, mixings, strict=True)
        ]
        committee = committee_of(descriptors, members, species, dataset, baseline)
        return committee, committee[0] if recipe.members == 1 else mean_of(committee[0], members)

    sigmas = _noise(recipe.sigmas, targets)
    return _finished(
        descent, assemble, lambda potential: _spread(potential, dataset, training, recipe, sigmas, bars, say, clock),
        dataset, test, predictions, prepared, validation, recipe, sigmas, say, clock,
    )


def _train_whole(dataset, recipe, members, baseline, seed, test, predictions, checkpoint, say, clock):
    """`Trained` on all frames, of potentials that are evaluated in each step; the checkpoint stays."""
    say(f"{len(dataset)} frames, {dataset.n_atoms} atoms, {name_species(dataset.species)}; e0: {dataset.e0_origin}")
    targets = fit_targets(dataset, baseline)
    training, validation = _parts(dataset, recipe, seed)
    dealt = _dealt(training, recipe.batch, seed)
    dtype = np.float64 if members[0].double_only else np.float32
    make = partial(
        frame_batches, dataset=dataset, targets=targets, sigmas=recipe.sigmas, cutoff=members[0].cutoff, dtype=dtype
    )
    divided = [_by_device(make, part, sharing()) for part in (dealt, _dealt(validation, recipe.batch, seed))]
    clock.step("batches")
    stacked = jax.tree.map(lambda *arrays: jnp.stack([jnp.asarray(a, dtype) for a in arrays]), *members)
    run = "" if checkpoint is None else _identity(dataset, (), recipe, baseline, members, seed, ())
    moving = (jax.tree.map(lambda _: 1.0, members[0]),)
    descent = Descent(recipe, (stacked,), EvaluatedLoss(), moving, dealt, [*divided, []], seed, say, checkpoint, run)
    sigmas = _noise(recipe.sigmas, targets)

    def spread(potential):
        if len(members) == 1:
            return None
        return spread_of_members(potential, len(members), sigmas).replace(ranges=dataset.ranges())

    return _finished(
        descent, lambda weights: assembled(weights[0], len(members), dataset, baseline), spread, dataset, test,
        predictions, None, validation, recipe, sigmas, say, clock,
    )


def _finished(
    descent, assemble, spread, dataset, test, predictions, prepared, validation, recipe, sigmas, say, clock
):
    """`Trained` after a descent.

    Args:
        assemble: function from weights to a committee and its mean.
        spread: function from that to a `Posterior` or None.
    """
    try:
        best, history, epoch = descent.go()
    except ConvergenceError as error:
        _, error.best = assemble(error.best)
        raise
    clock.step("training")

    committee, potential = assemble(best)
    say("errors")
    on_training_set = predict(potential, dataset, prepared) if predictions else None
    on_test_set = None if test is None else predict(potential, test)
    clock.step("errors")
    return Trained(
        potential, committee, spread(potential), history, epoch, tuple(validation), on_training_set, on_test_set,
        clock.seconds, recipe, sigmas, dataset.e0, dataset.e0_origin,
    )


def _spread(potential, dataset, training, recipe, sigmas, bars, say, clock):
    """`Posterior` of several members, or of the last layers of a single one if bars are wanted; else None."""
    if recipe.members > 1:
        return posterior_of(potential, sigmas).replace(ranges=dataset.ranges())
    if not bars:
        return None
    spread = last_layer_posterior(potential, dataset[np.array(training)], recipe.sigmas, progress=say)
    clock.step("bars")
    return spread.replace(ranges=dataset.ranges())


def _scaling(readout, mixing):
    """Shift (d,) of the inputs of a network, and the matrix (d, d) they are multiplied with then."""
    return np.asarray(readout.shift[0]), np.asarray(readout.factor[0])[:, None] * mixing


def _label_batches(parts, dataset, inputs, targets, recipe, scalings):
    """Batches with labels of each part of the frames, divided between devices."""
    make = partial(
        batches, described=inputs, frames=list(dataset), targets=targets, sigmas=recipe.sigmas, scalings=scalings,
        dtype=np.float32,
    )
    return [_by_device(make, part, sharing()) for part in parts]


def _curvature_batches(dealt, curvatures, inputs, baseline, scalings):
    """Batches of Hessian products, divided between devices."""
    make = partial(
        hessian_batches, described=inputs, frames=[Frame(c.structure) for c in curvatures],
        targets=[(_less_baseline(c, baseline), c.sigma) for c in curvatures], scalings=scalings, dtype=np.float32,
    )
    return _by_device(make, dealt, sharing())


def _folds(dataset, recipe, seed):
    """Pairs (numbers of the frames of a fold, the data without them), if there is enough to train on without."""
    if len(dataset) < recipe.folds:
        raise DataError(f"keep_folds: {recipe.folds} folds of {len(dataset)} frames: give the recipe fewer")
    folds = dataset.folds(recipe.folds, seed)
    parts = [(members, dataset[np.setdiff1d(np.arange(len(dataset)), members)]) for members in folds]
    for _, rest in parts:
        missing = set(dataset.species) - set(rest.species)
        if missing:
            raise DataError(f"keep_folds: {name_species(missing)} is in one fold only: more such frames are needed")
    return parts


def _noise(sigmas, targets):
    """Kind of label -> sigma, of the kinds that were trained on."""
    given = {kind: getattr(sigmas, kind) for kind in KINDS}
    fitted = (kind for kind, values in zip(KINDS, targets, strict=True) if any(v is not None for v in values))
    return {kind: given[kind] for kind in fitted if given[kind]}


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


def _check_frozen(frozen, readouts):
    layers = len(readouts[0].network.kernels)
    for layer in frozen:
        as_whole(layer, "frozen", 0, layers - 1)


def _moving(network, frozen):
    """1 for the layers that are trained, 0 for the others, as a tree of numbers."""
    layers = [0.0 if k in frozen else 1.0 for k in range(len(network.kernels))]
    return jax.tree.unflatten(jax.tree.structure(network), layers + layers)  # kernels, then biases


def _has_networks(start):
    """Whether a training begins with networks that read a descriptor."""
    if not isinstance(start, Potential):
        return False
    return any(isinstance(term, Described) and isinstance(term.readout, Neural) for term in summands(start))


def _networks_of(start, species):
    """Terms with networks of these elements."""
    potential = start.potential if isinstance(start, Trained) else start
    terms_with_networks = [
        term for term in summands(potential)
        if isinstance(term, Described) and isinstance(term.readout, Neural) and set(_elements(term)) <= set(species)
    ]
    missing = [symbol(z) for z in species if z not in {_elements(term)[0] for term in terms_with_networks}]
    if missing:
        raise DataError(f"start: {potential!r} has no network of {', '.join(missing)}")
    return terms_with_networks


def _elements(term):
    """Elements of the atoms, or of the bonds, that a term describes."""
    return getattr(term.descriptor, "elements", None) or term.descriptor.centers or (None,)


def _inputs(descriptors, prepared, vectors, say):
    """`FrameInputs` of each descriptor; atoms of a frame are displaced along its vector, unless that is None."""
    inputs = [[] for _ in descriptors]
    last = 0.0
    for k, (pair, vector) in enumerate(zip(prepared, vectors, strict=True)):
        for parts, descriptor in zip(inputs, descriptors, strict=True):
            parts.append(frame_inputs(descriptor, *pair, np.float32, vector))
        if time.monotonic() - last > _SAY:
            last = time.monotonic()
            say(f"descriptors of {k + 1} of {len(prepared)} frames")
    return inputs


def _less_baseline(target, baseline):
    """Product of a `HessianProduct` (n, 3) minus the contribution of the baseline."""
    return target.product if baseline is None else target.product - target.baseline(baseline).reshape(-1, 3)


def _by_device(make, dealt, count):
    """Batches that are divided between devices: lists with the part of each."""
    if not dealt:
        return []
    parts = make([chosen[k::count] for chosen in dealt for k in range(count)])
    return [parts[begin : begin + count] for begin in range(0, len(parts), count)]


def _parts(dataset, recipe, seed):
    """Frames to train on, and frames that tell when to stop."""
    count = round(recipe.validation * len(dataset))
    if count == 0 or len(dataset) < 3:
        return list(range(len(dataset))), []
    folds = dataset.folds(max(2, round(len(dataset) / count)), seed)
    kept = set(folds[0].tolist())
    return [k for k in range(len(dataset)) if k not in kept], sorted(kept)


def _dealt(frames, size, seed):
    """Batches by chance, all but the last of one size."""
    order = np.random.default_rng(seed).permutation(frames)
    return [order[start : start + size].tolist() for start in range(0, len(order), size)]


def _identity(dataset, curvatures, recipe, baseline, models, seed, frozen):
    digest = hashlib.sha256()
    digest.update(repr((recipe, seed, tuple(frozen), sharing(), sorted(versions().items()))).encode())
    trees = [baseline, models, [(c.structure, c.vector, c.product, c.sigma) for c in curvatures]]
    for frame in dataset:
        trees.append([frame.structure, frame.energy, frame.forces, frame.stress, frame.sigma_energy,
                      frame.sigma_forces, frame.sigma_stress])
    for leaf in jax.tree.leaves(trees):
        array = np.asarray(leaf)
        digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    digest.update(repr(sorted(dataset.e0.items())).encode())
    return digest.hexdigest()
