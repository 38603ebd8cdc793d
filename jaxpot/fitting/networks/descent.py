"""Gradient descent: epochs, validation, checkpoints; on one device or several, whatever the models are."""

import hashlib
import math
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxpot.core.devices import AXIS, sharing
from jaxpot.core.pytree import Node, form_text, pytree, static
from jaxpot.core.save import load_tree, save_tree
from jaxpot.core.versions import versions
from jaxpot.data.dataset import Dataset
from jaxpot.errors import ConvergenceError, DataError

_EVERY = 60.0  # s between two checkpoints
_SAY = 5.0  # s between two lines of progress
_CLIP = 10.0  # largest norm of a gradient, in units of the loss
_MUON_STEP = 0.2  # rates, root mean square of the steps of matrices: about that of Adam's
_ALL, _OWN = PartitionSpec(), PartitionSpec(None, AXIS)  # what all devices have; what each has its part of
OPTIMISERS = ("adam", "muon")


def optimiser(name: str, rate: float, steps: int) -> Any:
    """Optimiser of optax, with a rate that falls by a cosine, and clipped gradients.

    Args:
        name: "adam"; or "muon": matrices take steps whose singular values are all alike, the rest Adam's.
        rate: at the beginning.
        steps: after which it is zero.

    References:
        D. P. Kingma, J. Ba, Adam: a method for stochastic optimization (2015); J. Liu et al., Muon is scalable for LLM
        training, arXiv:2502.16982 (2025), section 2.2 for the size of the steps.
    """
    import optax  # half a second, which only who trains has to wait

    schedule = optax.cosine_decay_schedule(rate, steps)
    return optax.chain(
        optax.clip_by_global_norm(_CLIP), optax.adam(schedule) if name == "adam" else _muon(schedule)
    )


def _muon(schedule):
    from optax.contrib import MuonDimensionNumbers, muon

    def matrices(tree):
        return jax.tree.map(lambda a: MuonDimensionNumbers() if a.ndim == 2 and min(a.shape) > 1 else None, tree)

    return muon(schedule, consistent_rms=_MUON_STEP, muon_weight_dimension_numbers=matrices)


class Loss:
    """Labels that models predict for a batch; a descent minimises their errors.

    Attributes:
        apart: whether one member's step fills the caches of a processor, so that members take theirs in turn.
    """

    apart = False

    def predict(self, networks: tuple, batch: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Energies (B,) eV/atom, forces (A, 3) and stresses (B, 3, 3) for the weights of one member."""
        raise NotImplementedError  # a subclass's duty

    def hessian_products(self, networks: tuple, batch: Any) -> jax.Array:
        """Products of Hessians with displacements of a batch of these, (A, 3) eV/A."""
        raise NotImplementedError  # a subclass's duty, where Hessian products are trained on


@pytree
class _State(Node):
    """State that goes from step to step: all with the members in front."""

    networks: tuple
    optimiser: tuple
    average: tuple
    steps: jax.Array


@pytree(name="TrainingCheckpoint", former=("jaxpot.fitting.descent:_Kept",))
class _Kept(Node):
    """Checkpoint: leaves of the state and of the best weights, and where the training is."""

    leaves: tuple
    best: tuple
    numbers: jax.Array
    history: jax.Array
    run: str = static()


class Descent:
    """Epochs of a training.

    Args:
        recipe: `NetworkRecipe`: epochs, rate, patience, average, loss.
        networks: tuple of trees of weights, with the members in front.
        loss: `Loss`.
        moving: trees like the weights of one member: 1 for what is trained, 0 for the rest.
        names: frames of each batch of the training set, for messages.
        batches: batches of the training set, of the validation frames, and of Hessian products: lists of lists with
            the part of each device.
    """

    def __init__(
        self, recipe: Any, networks: tuple, loss: Loss, moving: tuple, names: list, batches: Sequence[list], seed: int,
        say: Callable[[str], None], checkpoint: Any, run: str,
    ) -> None:
        self.recipe, self.say, self.checkpoint, self.run = recipe, say, checkpoint, run
        self.training, self.validation, self.curved = map(_together, batches)
        self.names, self.key, self.validated = names, jax.random.key(seed), bool(batches[1])
        self.optimiser = optimiser(recipe.optimiser, recipe.rate, recipe.epochs * len(batches[0]))
        first = _State(networks, jax.vmap(self.optimiser.init)(networks), networks, jnp.zeros((), jnp.float32))
        loss_of = partial(_loss, loss, measure=MEASURES[recipe.loss])
        every = _in_turn if loss.apart and jax.default_backend() == "cpu" else jax.vmap
        epoch = partial(_epoch, self.optimiser, loss_of, recipe.average, moving, every)
        self.epoch_of = _divided(epoch, (_ALL, _OWN, _OWN, _ALL))
        self.errors_of = _divided(partial(_errors, loss, loss_of, every), (_ALL, _OWN))
        self.state, self.best, self.epoch, self.record = first, networks, 0, (math.inf, 0)
        self.history: list[tuple] = []
        self._resume()

    def go(self) -> tuple[tuple, tuple, int]:
        """Train; the best weights, the history, and the epoch of these weights."""
        last = said = time.monotonic()
        members, start, first = self.recipe.members, time.monotonic(), self.epoch
        while self.epoch < self.recipe.epochs and self.epoch - self.record[1] < self.recipe.patience:
            order = jax.random.permutation(jax.random.fold_in(self.key, self.epoch), len(self.names))
            state, losses = self.epoch_of(self.state, self.training, self.curved, order)
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
                left = (now - start) / max(self.epoch - first, 1) * (self.recipe.epochs - self.epoch)
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
        if self.checkpoint is not None:
            self._keep()  # what comes behind may be interrupted, too
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


def identity(
    dataset: Dataset, recipe: Any, baseline: Any, models: Any, seed: int, frozen: Sequence[int | str] = (),
    curvatures: Sequence[Any] = (),
) -> str:
    """Digest of all that a descent follows from: a checkpoint of the same one goes on, any other is refused."""
    digest = hashlib.sha256()
    forms = [form_text(tree) for tree in (baseline, models)]  # cutoffs, numbers of hops
    digest.update(repr((recipe, seed, tuple(frozen), sharing(), sorted(versions().items()), forms)).encode())
    trees = [baseline, models, [(c.structure, c.vector, c.product, c.sigma) for c in curvatures]]
    for frame in dataset:
        trees.append([frame.structure, frame.energy, frame.forces, frame.stress, frame.sigma_energy,
                      frame.sigma_forces, frame.sigma_stress])
    for leaf in jax.tree.leaves(trees):
        array = np.asarray(leaf)
        digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    digest.update(repr(sorted(dataset.e0.items())).encode())
    return digest.hexdigest()


def discard(checkpoint: str | os.PathLike | None) -> None:
    """Remove the file of a descent whose result is not needed any more."""
    if checkpoint is not None and os.path.lexists(checkpoint):
        os.unlink(checkpoint)


def _together(batches):
    """Batches of one shape as one tree with axes of batches and of parts in front, each part on its device."""
    if not batches:
        return None
    whole = jax.tree.map(lambda *a: np.stack(a).reshape(len(batches), len(batches[0]), *a[0].shape), *sum(batches, []))
    return jax.device_put(whole, None if sharing() == 1 else NamedSharding(jax.sharding.get_mesh(), _OWN))


def _divided(function, specs):
    """Compiled function that each device calls with its part of what is divided, and that says the same to all."""
    if sharing() == 1:
        return jax.jit(function)
    # Replication is not tracked: carries of loops inside a potential would have to say that they vary.
    return jax.jit(jax.shard_map(function, in_specs=specs, out_specs=_ALL, axis_names={AXIS}, check_vma=False))


def _shared():
    """Whether devices share the batches here."""
    return AXIS in jax.sharding.get_abstract_mesh().manual_axes


def _total(number):
    """Sum over the devices that share the batches."""
    return jax.lax.psum(number, AXIS) if _shared() else number


def _whole(gradient):
    """Gradient by weights that all devices have, of what each finds for a loss that is `_total` of their parts.

    Backwards, a sum over devices hands each the sum of what all hand back: so many times too much.
    """
    return jax.lax.pmean(gradient, AXIS) if _shared() else gradient


def _in_turn(function):
    """Function of all members, whose arrays stand behind one another, that maps one after the other."""
    return lambda *members: jax.lax.map(lambda one: function(*one), members)


def _huber(errors):
    size = jnp.abs(errors)
    return jnp.where(size < 1.0, errors * errors, 2.0 * size - 1.0)


# What a loss adds up, of errors over their sigmas: P. J. Huber, Ann. Math. Stat. 35, 73 (1964), times 2.
MEASURES = {"squared": jnp.square, "huber": _huber}


def _mean(measures, count):
    """Mean over all parts of a batch, where count is not zero."""
    return _total(jnp.sum(measures)) / jnp.maximum(_total(count), 1)


def _loss(loss, networks, batch, curved=None, measure=jnp.square):
    energies, forces, stresses = loss.predict(networks, batch)
    by_energy = measure(batch.energy_weights * (energies - batch.energies))
    by_force = measure(batch.force_weights[:, None] * (forces - batch.forces))
    by_stress = measure(batch.stress_weights[:, None, None] * (stresses - batch.stresses))
    total = (
        _mean(by_energy, jnp.sum(batch.energy_weights > 0))
        + _mean(by_force, 3 * jnp.sum(batch.force_weights > 0))
        + _mean(by_stress, 9 * jnp.sum(batch.stress_weights > 0))
    )
    if curved is None:
        return total
    by_product = measure(curved.weights[:, None] * (loss.hessian_products(networks, curved) - curved.products))
    return total + _mean(by_product, 3 * jnp.sum(curved.weights > 0))


def _epoch(optimiser, loss_of, average, moving, every, state, batches, curved, order):
    """One pass over the batches; the new state, and the losses (batches, members)."""

    def step(state, place):
        batch = jax.tree.map(lambda a: a[place, 0], batches)
        keep = jnp.minimum(average, (1.0 + state.steps) / (10.0 + state.steps))  # forgets the first weights soon
        turn = state.steps.astype(jnp.int32)  # each step sees the next of the products
        bends = jax.tree.map(lambda a: a[turn % len(a), 0], curved)

        def member(networks, optimiser_state, mean):
            value, gradient = jax.value_and_grad(loss_of)(networks, batch, bends)
            gradient = jax.tree.map(jnp.multiply, _whole(gradient), moving)
            change, optimiser_state = optimiser.update(gradient, optimiser_state, networks)
            networks = jax.tree.map(lambda w, d, on: w + on * d, networks, change, moving)
            mean = jax.tree.map(lambda a, b: keep * a + (1.0 - keep) * b, mean, networks)
            return networks, optimiser_state, mean, value

        *moved, losses = every(member)(state.networks, state.optimiser, state.average)
        return _State(*moved, state.steps + 1.0), losses

    return jax.lax.scan(step, state, order)


def _errors(loss, loss_of, every, networks, batches):
    """Of each member: the loss, and mean absolute errors of energies (eV/atom) and forces (eV/A)."""

    def of_batch(parts):
        batch = jax.tree.map(lambda a: a[0], parts)

        def member(networks):
            energies, forces, _ = loss.predict(networks, batch)
            has_energy, has_forces = batch.energy_weights > 0, batch.force_weights > 0
            return loss_of(networks, batch), *map(_total, (
                jnp.sum(jnp.where(has_energy, jnp.abs(energies - batch.energies), 0.0)), jnp.sum(has_energy),
                jnp.sum(jnp.where(has_forces[:, None], jnp.abs(forces - batch.forces), 0.0)), 3 * jnp.sum(has_forces),
            ))

        return every(member)(networks)

    losses, energy, energies, forces, components = (a.sum(0) for a in jax.lax.map(of_batch, batches))
    return losses, energy / jnp.maximum(energies, 1), forces / jnp.maximum(components, 1)


def _not_finite(frames, epoch, best):
    error = ConvergenceError(
        f"the loss is not a number in epoch {epoch + 1}, in the batch of frames {', '.join(map(str, frames))}: lower "
        "the rate, or look at these frames; the best potential so far is this error's `best`"
    )
    error.best = best
    return error
