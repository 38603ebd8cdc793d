"""Training of potentials whose inputs cannot be computed once: batches of padded frames that are evaluated.

States of atoms that hand messages to one another change with every step of a training. Here the loss evaluates the
potential, energies, forces and stresses, for all frames of a batch at once.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.devices import sharing
from jaxpot.core.neighbors import find_neighbors
from jaxpot.data.atomic_energies import tells_of_atoms
from jaxpot.data.dataset import Dataset
from jaxpot.data.targets import Sigmas
from jaxpot.errors import DataError
from jaxpot.fitting.clock import Clock
from jaxpot.fitting.networks.batching import labelled
from jaxpot.fitting.networks.beginnings import moving
from jaxpot.fitting.networks.committees import spread_of_mean
from jaxpot.fitting.networks.descent import Descent, Loss, identity
from jaxpot.fitting.networks.division import Division, by_device
from jaxpot.fitting.networks.precomputed import Batch
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.fitting.networks.result import Training
from jaxpot.observables import evaluate
from jaxpot.potentials.base import Potential, Sum, has_plan, summands, terms_of
from jaxpot.potentials.committee import Committee
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.posterior import Posterior

_SKIN = 0.05  # A: lists hold although positions are rounded


class EvaluatedLoss(Loss):
    """Loss of whole potentials, which are evaluated for padded frames."""

    def predict(self, networks: tuple, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Energies (B,) eV/atom, forces (A, 3), stresses (B, 3, 3) of a batch with structures and lists as inputs."""
        (potential,), (structures, lists) = networks, batch.inputs
        values = jax.vmap(evaluate, in_axes=(None, 0, 0))(potential, structures, lists)
        stresses = values.stress if all(structures.pbc) else jnp.zeros_like(batch.stresses)
        return values.energy * batch.per_atom, values.forces.reshape(-1, 3), stresses


def potential_training(
    dataset: Dataset, targets: tuple[list, list, list], division: Division, sigmas: dict[str, float], *,
    members: Sequence[Potential], recipe: NetworkRecipe, baseline: Potential | None, seed: int, checkpoint: Any,
    say: Callable[[str], None], clock: Clock, frozen: Sequence[int | str] = (),
    relative: bool = False,
) -> Training:
    """`Training` of all parameters of some potentials of one form.

    Args:
        members: from `checked_start`.
        frozen, relative: as for `moving`.
        others: as for `from_descriptors.network_training`.
    """
    dtype = np.float64 if members[0].double_only else np.float32
    make = partial(
        frame_batches, dataset=dataset, targets=targets, sigmas=recipe.sigmas, cutoff=members[0].cutoff, dtype=dtype
    )
    divided = [by_device(make, part, 1) for part in (division.batches, division.validation_batches)]
    clock.step("batches")
    stacked = jax.tree.map(lambda *arrays: jnp.stack([jnp.asarray(a, dtype) for a in arrays]), *members)
    how = (*frozen, "in relative steps" if relative else "")
    run = "" if checkpoint is None else identity(dataset, recipe, baseline, list(members), seed, how)
    trained = (moving(members[0], frozen, relative),)
    descent = Descent(
        recipe, (stacked,), EvaluatedLoss(), trained, division.batches, [*divided, []], seed, say, checkpoint, run
    )
    count = len(members)
    return Training(
        descent, lambda weights: assembled(weights[0], count, dataset, baseline),
        lambda potential: None if count == 1 else spread_of_members(potential, count, sigmas),
    )


def checked_start(start: Potential | Sequence[Potential], dataset: Dataset, count: int) -> list[Potential]:
    """Potentials to begin with, one for each member.

    Raises:
        DataError: none of one form, another number than members, or a potential that batches cannot train; frames of
            different periodicity; devices that share a mesh.
    """
    members = [start] if isinstance(start, Potential) else list(start)
    if not members or not all(isinstance(member, Potential) for member in members):
        raise DataError("start: expected what was trained, a potential, or a list of potentials, one for each member")
    if len({jax.tree.structure(member) for member in members}) > 1:
        raise DataError("start: expected potentials of one form that differ in their parameters only")
    if len(members) != count:
        raise DataError(
            f"start: {len(members)} potentials, but members={count}: give as many, or members={len(members)}"
        )
    if members[0].species is not None and not set(dataset.species) <= set(members[0].species):
        raise DataError(f"start: {members[0]!r} does not know all elements of the data, {tuple(dataset.species)}")
    if any(has_plan(term) for term in terms_of(members[0])):
        raise DataError(
            f"start: {members[0]!r} prepares a plan for each structure, which batches do not have: give that part as "
            "the baseline, or minimise a cost of your own (jax.grad of jp.evaluate)"
        )
    if sharing() > 1:
        raise DataError("start: potentials that are evaluated in each step are trained on one device: unset the mesh")
    if len({tuple(frame.structure.pbc) for frame in dataset}) > 1:
        raise DataError("frames of different periodicity are trained on apart: there are several kinds of pbc")
    return members


def frame_batches(
    members: Sequence[Sequence[int]], dataset: Dataset, targets: tuple[list, list, list], sigmas: Sigmas,
    cutoff: float, dtype: np.dtype | type,
) -> list[Batch]:
    """`Batch`es of one shape whose inputs are padded structures and their lists, stacked.

    Args:
        members: for each batch, which frames: some in the first; a batch without any has weights zero.
        dataset: of all frames.
        targets, sigmas, dtype: as for `batching.batches`.
        cutoff: A, of the lists.
    """
    frames, count = list(dataset), max(map(len, members))
    size = max(len(frame) for frame in frames)
    padded = [frame.structure.padded(size) for frame in frames]
    capacity = max(find_neighbors(s, cutoff, _SKIN, rows=size).capacity for s in padded)
    ready = [_rounded((s, find_neighbors(s, cutoff, _SKIN, rows=size, capacity=capacity)), dtype) for s in padded]
    complete = []
    for chosen in members:
        some = list(chosen or members[0])
        rows = [ready[k] for k in some + some[:1] * (count - len(some))]
        inputs = jax.tree.map(lambda *arrays: np.stack(arrays), *rows)
        firsts = [size * n for n in range(len(some))]
        batch = labelled(some, inputs, firsts, count * size, frames, targets, sigmas, dtype, count)
        complete.append(batch if chosen else _without_weights(batch))
    return complete


def _rounded(tree, dtype):
    return jax.tree.map(lambda a: np.asarray(a, dtype if np.asarray(a).dtype.kind == "f" else None), tree)


def _without_weights(batch):
    # Not zeros everywhere, as other batches that are spare: atoms at one point have no energy.
    names = ("energy_weights", "force_weights", "stress_weights")
    return batch.replace(**{name: np.zeros_like(getattr(batch, name)) for name in names})


def assembled(
    stacked: Potential, count: int, dataset: Dataset, baseline: Potential | None
) -> tuple[Committee, Potential]:
    """`Committee` of all members, and their mean as one potential: the sum of all, each over their number."""
    stacked = jax.tree.map(lambda a: jnp.asarray(np.asarray(a, np.float64)), stacked)
    members = [jax.tree.map(lambda a, k=k: a[k], stacked) for k in range(count)]
    rest: list[Potential] = [Constants(dataset.e0, isolated=tells_of_atoms(dataset.e0_origin))]
    rest += [] if baseline is None else [baseline]
    whole = Sum.of(members[0], *rest)
    leaves, trained = jax.tree.leaves(whole), jax.tree.leaves(stacked)  # those of the member come first
    mask = tuple(k < len(trained) for k in range(len(leaves)))
    committee = Committee(jax.tree.unflatten(jax.tree.structure(whole), trained + leaves[len(trained) :]), mask)
    mean = whole if count == 1 else Sum.of(*((1.0 / count) * member for member in members), *rest)
    return committee, mean


def spread_of_members(potential: Potential, count: int, sigmas: dict[str, float]) -> Posterior:
    """`Posterior` of the factors that the members of `assembled` are averaged with (`committees.posterior_of`).

    Args:
        potential: the mean of so many members.
        sigmas: kind of label -> standard deviation of labels.
    """
    mask: list[bool] = []
    for k, term in enumerate(summands(potential)):
        mask += [False] * len(jax.tree.leaves(term))
        if k < count:
            mask[-1] = True  # the factor is the last array of a potential times a number
    return Posterior(potential, jnp.asarray(spread_of_mean(count)), sigmas, mask=tuple(mask), jitters=(None,) * count)
