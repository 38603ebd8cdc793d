"""`train`: neural networks fitted to energies, forces and stresses by gradient descent."""

import hashlib
import math
import os
import time
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.elements import name_species, symbol
from jaxpot.core.numbers import as_number, as_positive, as_whole
from jaxpot.core.pytree import pytree, static
from jaxpot.core.save import load_tree, save_tree
from jaxpot.core.versions import versions
from jaxpot.descriptors import SymmetryFunctions
from jaxpot.errors import ConvergenceError, DataError
from jaxpot.fitting.atomic_energies import tells_of_atoms
from jaxpot.fitting.dataset import Dataset
from jaxpot.fitting.gap import Sigmas, check_data, residuals
from jaxpot.fitting.metrics import predict
from jaxpot.fitting.prepared import prepare_frames
from jaxpot.fitting.recipe import bond_length
from jaxpot.fitting.seen import batches, describe_frame, predicted
from jaxpot.potentials.base import Potential, Sum
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.described import Described
from jaxpot.potentials.posterior import Committee, named_leaves
from jaxpot.readouts.network import MLP, Averaged
from jaxpot.readouts.neural import Neural

_EVERY = 60.0  # s between two checkpoints
_SAY = 5.0  # s between two lines of progress
_LEAST = 1e-6  # variances of directions below this part of the largest are not made equal
_FURTHEST = 6.0  # the largest component of an input that networks of the training set read
_CLIP = 10.0  # largest norm of a gradient, in units of the loss


@dataclass(frozen=True)
class NetworkRecipe:
    """What a training is made of.

    Attributes:
        cutoff, nearest: in bond lengths (the median distance to the nearest neighbour in the data).
        radial, angular: of `SymmetryFunctions.automatic`.
        hidden: widths of the hidden layers.
        activation: of these.
        sigmas: what each error is divided by in the loss, where frames give none.
        epochs: passes over the training set.
        batch: frames in a step.
        rate: of Adam, at the beginning; it falls to zero like a cosine.
        validation: part of the training set that is not trained on, and tells when to stop.
        patience: epochs without a better error on these after which it stops.
        average: of the weights, exponential: how much of it stays from step to step.
        members: how many networks are trained at once.
    """

    cutoff: float = 2.0
    nearest: float = 0.8
    radial: int = 10
    angular: int = 3
    hidden: tuple = (32, 32)
    activation: str = "silu"
    sigmas: Sigmas = Sigmas(energy=0.005, forces=0.1)
    epochs: int = 500
    batch: int = 8
    rate: float = 2e-3
    validation: float = 0.1
    patience: int = 200
    average: float = 0.99
    members: int = 4

    def descriptors(self, species, bond):
        """The symmetry functions of each element."""
        return [
            SymmetryFunctions.automatic(
                species, self.cutoff * bond, self.radial, self.angular, z, self.nearest * bond
            )
            for z in species
        ]


@dataclass(frozen=True)
class Trained:
    """What `train` returns.

    Attributes:
        potential: e0 + the networks + the baseline; where there are several members the mean of their networks, which
            is better than each of them.
        committee: `Committee` of all members.
        history: epoch, training loss, validation errors of energy (eV/atom) and forces (eV/A): a list of tuples.
        best: the epoch that the weights are of.
        train, test: `Predictions`, or None.
        seconds: name of a step -> time it took.
    """

    potential: Potential
    committee: Committee
    history: tuple
    best: int
    train: object = field(repr=False)
    test: object = field(repr=False)
    seconds: dict


@pytree
class _State:
    """What goes from step to step: all with the members in front."""

    networks: tuple
    optimiser: tuple
    average: tuple
    steps: jax.Array


@pytree
class _Kept:
    """A checkpoint: leaves of the state and of the best weights, and where the training is."""

    leaves: tuple
    best: tuple
    numbers: jax.Array
    history: jax.Array
    run: str = static()


def train(
    dataset, recipe=None, *, start=None, frozen=(), baseline=None, test=None, seed=0, progress=None,
    predictions=True, checkpoint=None,
):
    """Train a neural network potential.

    Minimises the mean over frames of (dE / n sigma_E)^2, plus the means over components of (dF / sigma_F)^2 and, with a
    sigma, (dstress / sigma_S)^2, by Adam with a cosine schedule and an exponential average of the weights. A part of
    the training set tells when to stop. In single precision; the potential is one in double precision.

    Args:
        dataset: `Dataset`.
        recipe: `NetworkRecipe`.
        start: `Trained`, or a potential with networks, whose weights the training begins with (fine-tuning): symmetry
            functions, layers, shifts, offsets and scales are its own.
        frozen: numbers of the layers that stay as they are, from 0; of `start`.
        baseline: any potential; what is trained is the rest, and the result is their sum.
        test: a `Dataset` that takes no part, for the errors reported.
        seed: of first weights, batches and validation frames.
        progress: called with a sentence about what is being done.
        predictions: False: do not evaluate the training set in the end.
        checkpoint: path of a file that is written about once a minute: the same call goes on from there after an
            interruption, to the same result to the last bit. In the end it is removed.

    Returns:
        `Trained`.

    Raises:
        DataError: data that cannot be trained on; a checkpoint of another training.
        ConvergenceError: the loss is not a number; it names the frames. What was best is in the error's `best`.

    References:
        J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007); D. P. Kingma, J. Ba, Adam: a method for stochastic
        optimization (2015).
    """
    check_data(dataset, baseline)
    recipe, say, clock = recipe or NetworkRecipe(), progress or (lambda text: None), _Clock()
    _check(dataset, recipe, test)
    seed = as_whole(seed, "seed", 0, 2**31 - 1)
    species = tuple(int(z) for z in dataset.species)
    given = None if start is None else _networks_of(start, species)
    descriptors = (
        recipe.descriptors(species, bond_length(dataset)) if given is None else [term.descriptor for term in given]
    )
    frames = list(dataset)
    say(f"{len(frames)} frames, {dataset.n_atoms} atoms, {name_species(species)}; e0: {dataset.e0_origin}")
    described = _described(descriptors, frames, say)
    clock.step("descriptors")
    targets = residuals(dataset, baseline)
    if given is None:
        readouts = _first_readouts(descriptors, described, targets, frames, recipe, seed)
    else:
        readouts = [_stacked(term.readout, recipe.members) for term in given]
    training, validation = _parts(dataset, recipe, seed)
    mixings = [_mixing(r, parts) for r, parts in zip(readouts, described, strict=True)]
    scalings = [
        (np.asarray(r.shift[0]), np.asarray(r.factor[0])[:, None] * mixing)
        for r, mixing in zip(readouts, mixings, strict=True)
    ]
    if given is not None:
        readouts = [_mixed(r, np.linalg.inv(mixing)) for r, mixing in zip(readouts, mixings, strict=True)]
    made = [
        batches(own, described, frames, targets, recipe.sigmas, scalings, np.float32)
        for own in (_dealt(training, recipe.batch, seed), _dealt(validation, recipe.batch, seed))
    ]
    run = _identity(dataset, recipe, baseline, readouts, seed, frozen) if checkpoint is not None else ""
    scales = [(np.float32(r.offset[0]), np.float32(r.scale[0])) for r in readouts]
    weights = tuple(jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), r.network) for r in readouts)
    loop = _Loop(recipe, weights, scales, made, frozen, seed, say, checkpoint, run, bool(validation))
    best, history, epoch = loop.go()
    clock.step("training")
    # In double precision again: rounding of weights is no error of theirs.
    members = [
        _mixed(r.replace_network(jax.tree.map(lambda a: np.asarray(a, np.float64), network)), mixing)
        for r, network, mixing in zip(readouts, best, mixings, strict=True)
    ]
    committee = _committee(descriptors, members, species, dataset, baseline)
    potential = committee[0] if recipe.members == 1 else _mean(committee[0], members)
    say("errors")
    found = predict(potential, dataset) if predictions else None
    tested = None if test is None else predict(potential, test)
    clock.step("errors")
    loop.remove()
    return Trained(potential, committee, history, epoch, found, tested, clock.seconds)


def _check(dataset, recipe, test):
    if not isinstance(recipe, NetworkRecipe):
        raise DataError(f"recipe: expected a NetworkRecipe, got {type(recipe).__name__}")
    for name, least, most in (("epochs", 1, 10**7), ("batch", 1, 10**6), ("members", 1, 1000), ("patience", 1, 10**7)):
        as_whole(getattr(recipe, name), name, least, most)
    as_positive(recipe.rate, "rate")
    for name in ("validation", "average"):
        value = as_number(getattr(recipe, name), name)
        if not 0.0 <= value < 1.0:
            raise DataError(f"{name}: expected a number from 0 to below 1, got {value:g}")
    if test is not None:
        if not isinstance(test, Dataset):
            raise DataError(f"test: expected a Dataset, got {type(test).__name__}")
        if not set(test.species) <= set(dataset.species):
            raise DataError(f"the test set contains {name_species(test.species)}, the training set "
                            f"{name_species(dataset.species)}")


def _networks_of(start, species):
    """The term of each element, in their order."""
    potential = start.potential if isinstance(start, Trained) else start
    terms = getattr(potential, "terms", (potential,))
    found = {}
    for term in terms:
        if isinstance(term, Described) and isinstance(term.readout, Neural) and term.descriptor.centers:
            found[term.descriptor.centers[0]] = term
    missing = [symbol(z) for z in species if z not in found]
    if missing:
        raise DataError(f"start: {potential!r} has no network of {', '.join(missing)}")
    return [found[z] for z in species]


def _described(descriptors, frames, say):
    cutoff = max(descriptor.cutoff for descriptor in descriptors)
    prepared, found, last = prepare_frames([f.structure for f in frames], cutoff), [[] for _ in descriptors], 0.0
    for k, pair in enumerate(prepared):
        for parts, descriptor in zip(found, descriptors, strict=True):
            parts.append(describe_frame(descriptor, *pair, np.float32))
        if time.monotonic() - last > _SAY:
            last = time.monotonic()
            say(f"descriptors of {k + 1} of {len(frames)} frames")
    return found


def _first_readouts(descriptors, described, targets, frames, recipe, seed):
    """Random networks whose inputs have mean 0 and deviation 1, and whose output is of the size of the forces."""
    energies, forces, _ = targets
    per_atom = [e / len(f) for e, f in zip(energies, frames, strict=True) if e is not None]
    known = [np.ravel(f) for f in forces if f is not None]
    offset = float(np.mean(per_atom)) if per_atom else 0.0
    scale = float(np.sqrt(np.mean(np.concatenate(known) ** 2))) if known else float(np.std(per_atom))
    readouts = []
    for k, (descriptor, parts) in enumerate(zip(descriptors, described, strict=True)):
        vectors = np.concatenate([p.vectors for p in parts])
        spread = vectors.std(0)
        flat = spread <= 1e-10 * np.abs(vectors).max(0)
        factor = 1.0 / np.where(flat, 1.0, spread)
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), k), recipe.members)
        make = partial(
            MLP.random, inputs=descriptor.dimension, hidden=tuple(recipe.hidden), activation=recipe.activation
        )
        readout = Neural(
            make(keys[0]), vectors.mean(0), factor, offset, scale or 1.0, tuple(vectors.min(0)), tuple(vectors.max(0))
        )
        readouts.append(_stacked(readout, recipe.members).replace_network(jax.vmap(make)(keys)))
    return readouts


def _stacked(readout, members):
    """A readout with all arrays repeated for the members."""
    return _Readouts(jax.tree.map(lambda a: np.repeat(np.asarray(a)[None], members, axis=0), readout))


class _Readouts:
    """Readouts of all members: a stacked `Neural`, whose constructor would refuse the axis in front."""

    def __init__(self, stacked):
        self.stacked = stacked

    def __getattr__(self, name):
        return getattr(self.stacked, name)

    def replace_network(self, network):
        leaves, tree = jax.tree.flatten(self.stacked)
        own = jax.tree.leaves(network)
        return _Readouts(jax.tree.unflatten(tree, [*own, *leaves[len(own):]]))


def _mixing(readout, parts):
    """Directions in which the scaled inputs vary independently, each by about one: (d, d).

    Symmetry functions are much alike, and gradient descent is slow along directions in which they hardly differ. Those
    that vary least are enlarged by a bounded factor only, and so are those in which a few atoms are far from all others:
    what is ten times as far as the rest is no place for a network to guess at.
    """
    x = (np.concatenate([p.vectors for p in parts]) - readout.shift[0]) * readout.factor[0]
    values, directions = np.linalg.eigh(x.T @ x / len(x))
    furthest = np.abs(x @ directions).max(0)
    return directions / np.maximum(np.sqrt(np.maximum(values, _LEAST * values[-1])), furthest / _FURTHEST)


def _mixed(readout, mixing):
    """The readout whose networks take inputs that are not mixed."""
    network = readout.network
    leaves, tree = jax.tree.flatten(network)
    return readout.replace_network(jax.tree.unflatten(tree, [np.matmul(mixing, leaves[0]), *leaves[1:]]))


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


class _Loop:
    """The epochs."""

    def __init__(self, recipe, networks, scales, made, frozen, seed, say, checkpoint, run, validated):
        self.recipe, self.say, self.checkpoint, self.run = recipe, say, checkpoint, run
        self.training, self.validation = (_together(own) for own in made)
        self.names = [b.frames for b in made[0]]
        self.key, self.validated = jax.random.key(seed), validated
        import optax  # half a second, which only who trains has to wait

        schedule = optax.cosine_decay_schedule(recipe.rate, recipe.epochs * len(made[0]))
        moving = tuple(_moving(network, frozen) for network in networks)
        self.optimiser = optax.chain(optax.clip_by_global_norm(_CLIP), optax.adam(schedule))
        self.scales = scales
        first = _State(networks, jax.vmap(self.optimiser.init)(networks), networks, jnp.zeros((), jnp.float32))
        self.epoch_of = jax.jit(partial(_epoch, self.optimiser, scales, recipe.average, moving))
        self.errors_of = jax.jit(partial(_errors, scales))
        self.state, self.best, self.history, self.epoch, self.record = first, networks, [], 0, (math.inf, 0)
        self._resume()

    def go(self):
        """The best weights, the history and the epoch they are of."""
        last = said = time.monotonic()
        members, begun, first = self.recipe.members, time.monotonic(), self.epoch
        while self.epoch < self.recipe.epochs and self.epoch - self.record[1] < self.recipe.patience:
            order = jax.random.permutation(jax.random.fold_in(self.key, self.epoch), len(self.names))
            state, losses = self.epoch_of(self.state, self.training, order)
            losses = np.asarray(losses)  # (batches, members)
            if not np.isfinite(losses).all():
                place = int(np.flatnonzero(~np.isfinite(losses).all(1))[0])
                raise _not_finite(self.names[int(order[place])], self.epoch, self.best)
            self.state, self.epoch = state, self.epoch + 1
            shown = self.validation if self.validated else self.training
            score, energy, forces = (np.asarray(x) for x in self.errors_of(self.state.average, shown))
            self.history.append((self.epoch, float(losses.mean()), float(energy.mean()), float(forces.mean())))
            if score.mean() < self.record[0]:
                self.record, self.best = (float(score.mean()), self.epoch), self.state.average
            now = time.monotonic()
            if now - said > _SAY or self.epoch == self.recipe.epochs:
                said = now
                left = (now - begun) / max(self.epoch - first, 1) * (self.recipe.epochs - self.epoch)
                what = "validation" if self.validated else "training"
                several = f", {members} members" if members > 1 else ""
                self.say(
                    f"epoch {self.epoch} of {self.recipe.epochs}{several}: loss {losses.mean():.4g}, {what} "
                    f"{1e3 * energy.mean():.2f} meV/atom, {forces.mean():.4f} eV/A (best at {self.record[1]}), "
                    f"{left:.0f} s left"
                )
            if self.checkpoint is not None and now - last > _EVERY:
                last = now
                self._keep()
        return self.best, tuple(self.history), self.record[1]

    def _keep(self):
        numbers = np.array([self.epoch, *self.record], float)
        save_tree(_Kept(
            tuple(np.asarray(a) for a in jax.tree.leaves(self.state)),
            tuple(np.asarray(a) for a in jax.tree.leaves(self.best)), numbers, np.array(self.history), self.run,
        ), self.checkpoint)

    def _resume(self):
        if self.checkpoint is None or not os.path.lexists(self.checkpoint):
            return
        kept = load_tree(self.checkpoint, on_host=True)
        if not isinstance(kept, _Kept) or kept.run != self.run:
            raise DataError(
                f"{self.checkpoint} is the checkpoint of something else (other data, recipe, seed, start or version): "
                "remove it or choose another name"
            )
        self.state = jax.tree.unflatten(jax.tree.structure(self.state), map(jnp.asarray, kept.leaves))
        self.best = jax.tree.unflatten(jax.tree.structure(self.best), map(jnp.asarray, kept.best))
        self.epoch, self.record = int(kept.numbers[0]), (float(kept.numbers[1]), int(kept.numbers[2]))
        self.history = [(int(row[0]), *map(float, row[1:])) for row in kept.history]
        self.say(f"going on from epoch {self.epoch}")

    def remove(self):
        if self.checkpoint is not None and os.path.lexists(self.checkpoint):
            os.unlink(self.checkpoint)


def _together(made):
    """Batches of one shape as one tree, stacked."""
    return jax.tree.map(lambda *a: jnp.stack(a), *(b.replace(frames=()) for b in made)) if made else None


def _moving(network, frozen):
    """1 for the layers that are trained, 0 for the others, as a tree of numbers."""
    layers = [0.0 if k in frozen else 1.0 for k in range(len(network.kernels))]
    flat, tree = jax.tree.flatten(network)
    return jax.tree.unflatten(tree, layers + layers if len(flat) == 2 * len(layers) else [1.0] * len(flat))


def _energies_of(networks, scales):
    return [
        lambda x, network=network, offset=offset, scale=scale: offset + scale * network(x)
        for network, (offset, scale) in zip(networks, scales, strict=True)
    ]


def _loss(scales, networks, batch):
    energies, forces, stresses = predicted(_energies_of(networks, scales), batch)
    by_energy = (batch.energy_weights * (energies - batch.energies)) ** 2
    by_force = (batch.force_weights[:, None] * (forces - batch.forces)) ** 2
    by_stress = (batch.stress_weights[:, None, None] * (stresses - batch.stresses)) ** 2
    return (
        jnp.sum(by_energy) / jnp.maximum(jnp.sum(batch.energy_weights > 0), 1)
        + jnp.sum(by_force) / jnp.maximum(3 * jnp.sum(batch.force_weights > 0), 1)
        + jnp.sum(by_stress) / jnp.maximum(9 * jnp.sum(batch.stress_weights > 0), 1)
    )


def _epoch(optimiser, scales, average, moving, state, made, order):
    """One pass over the batches; the new state, and the losses (batches, members)."""

    def step(state, place):
        batch = jax.tree.map(lambda a: a[place], made)
        keep = jnp.minimum(average, (1.0 + state.steps) / (10.0 + state.steps))  # forgets the first weights soon

        def member(networks, own, mean):
            loss, gradient = jax.value_and_grad(partial(_loss, scales))(networks, batch)
            gradient = jax.tree.map(jnp.multiply, gradient, moving)
            change, own = optimiser.update(gradient, own, networks)
            networks = jax.tree.map(lambda w, d, on: w + on * d, networks, change, moving)
            mean = jax.tree.map(lambda a, b: keep * a + (1.0 - keep) * b, mean, networks)
            return networks, own, mean, loss

        *found, losses = jax.vmap(member)(state.networks, state.optimiser, state.average)
        return _State(*found, state.steps + 1.0), losses

    return jax.lax.scan(step, state, order)


def _errors(scales, networks, made):
    """Of each member: the loss, and mean absolute errors of energies (eV/atom) and forces (eV/A)."""

    def of_batch(batch):
        def member(networks):
            energies, forces, _ = predicted(_energies_of(networks, scales), batch)
            has_energy, has_forces = batch.energy_weights > 0, batch.force_weights > 0
            return (
                _loss(scales, networks, batch),
                jnp.sum(jnp.where(has_energy, jnp.abs(energies - batch.energies), 0.0)), jnp.sum(has_energy),
                jnp.sum(jnp.where(has_forces[:, None], jnp.abs(forces - batch.forces), 0.0)), 3 * jnp.sum(has_forces),
            )

        return jax.vmap(member)(networks)

    losses, energy, energies, forces, components = (a.sum(0) for a in jax.lax.map(of_batch, made))
    return losses, energy / jnp.maximum(energies, 1), forces / jnp.maximum(components, 1)


def _not_finite(frames, epoch, best):
    error = ConvergenceError(
        f"the loss is not a number in epoch {epoch + 1}, in the batch of frames {', '.join(map(str, frames))}: lower "
        "the rate, or look at these frames; the last good weights are in this error's `best`"
    )
    error.best = best
    return error


def _committee(descriptors, members, species, dataset, baseline):
    """The potentials of all members, stacked."""
    terms, names = [], []
    for k, (descriptor, readout) in enumerate(zip(descriptors, members, strict=True)):
        single = jax.tree.map(lambda a: a[0], readout.stacked)
        own = Described(descriptor, single, species)
        stacked = Described.__new__(Described)
        for name, value in (("descriptor", descriptor), ("readout", readout.stacked), ("species", own.species)):
            object.__setattr__(stacked, name, value)
        terms.append((own, stacked))
        names += [f"terms[{k}].{name}" for name in named_leaves(own)]
    rest = [Constants(dataset.e0, isolated=tells_of_atoms(dataset.e0_origin))]
    whole = Sum.of(*(own for own, _ in terms), *rest, *(() if baseline is None else (baseline,)))
    parts = [stacked for _, stacked in terms] + list(whole.terms[len(terms):])
    leaves = jax.tree.leaves(parts)
    return Committee(jax.tree.unflatten(jax.tree.structure(whole), leaves), tuple(names))


def _mean(potential, members):
    """The potential of one member with the mean of all networks in place of its own."""
    terms = list(potential.terms)
    for k, readout in enumerate(members):
        single = terms[k].readout
        terms[k] = terms[k].replace(readout=single.replace(network=Averaged(readout.network)))
    return Sum.of(*terms)


def _identity(dataset, recipe, baseline, readouts, seed, frozen):
    found = hashlib.sha256()
    found.update(repr((recipe, seed, tuple(frozen), sorted(versions().items()))).encode())
    trees = [baseline, [r.stacked for r in readouts]]
    for frame in dataset:
        trees.append([frame.structure, frame.energy, frame.forces, frame.stress, frame.sigma_energy,
                      frame.sigma_forces, frame.sigma_stress])
    for leaf in jax.tree.leaves(trees):
        array = np.asarray(leaf)
        found.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    found.update(repr(sorted(dataset.e0.items())).encode())
    return found.hexdigest()


class _Clock:
    def __init__(self):
        self.seconds, self.last = {}, time.monotonic()

    def step(self, name):
        now = time.monotonic()
        self.seconds[name], self.last = now - self.last, now
