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
from jaxpot.errors import DataError, PrecisionError
from jaxpot.fitting.clock import Clock
from jaxpot.fitting.linear.curvatures import HessianProduct
from jaxpot.fitting.networks.batching import labelled
from jaxpot.fitting.networks.beginnings import moving
from jaxpot.fitting.networks.committees import spread_of_mean
from jaxpot.fitting.networks.descent import Descent, identity
from jaxpot.fitting.networks.division import Division, by_device, dealt
from jaxpot.fitting.networks.evaluated_loss import EvaluatedLoss
from jaxpot.fitting.networks.last_layer import has_last_layer, last_layer_posterior
from jaxpot.fitting.networks.precomputed import Batch, HessianBatch
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.fitting.networks.result import Training
from jaxpot.potentials.base import WHY_DOUBLE, Potential, Sum, has_plan, summands, terms_of
from jaxpot.potentials.committee import Committee
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.posterior import Posterior

_SKIN = 0.05  # A: lists hold although positions are rounded


def potential_training(
    dataset: Dataset, targets: tuple[list, list, list], division: Division, sigmas: dict[str, float], *,
    members: Sequence[Potential], recipe: NetworkRecipe, baseline: Potential | None, seed: int, checkpoint: Any,
    say: Callable[[str], None], clock: Clock, frozen: Sequence[int | str] = (),
    relative: bool = False, curvatures: Sequence[HessianProduct] = (), bars: bool = True,
) -> Training:
    """`Training` of all parameters of some potentials of one form.

    Args:
        members: from `checked_start`.
        frozen, relative: as for `moving`.
        curvatures: `HessianProduct`s.
        bars: whether a single member has the posterior of its last layer, if that is linear.
        others: as for `from_descriptors.network_training`.
    """
    dtype = np.float32
    make = partial(
        frame_batches, dataset=dataset, targets=targets, sigmas=recipe.sigmas, cutoff=members[0].cutoff, dtype=dtype
    )
    divided = [by_device(make, part, sharing()) for part in (division.batches, division.validation_batches)]
    curved = partial(
        product_batches, curvatures=curvatures, baseline=baseline, cutoff=members[0].cutoff, dtype=dtype
    )
    divided.append(by_device(curved, dealt(range(len(curvatures)), recipe.batch, seed), sharing()))
    clock.step("batches")
    stacked = jax.tree.map(lambda *arrays: jnp.stack([jnp.asarray(a, dtype) for a in arrays]), *members)
    how = (*frozen, "in relative steps" if relative else "")
    run = "" if checkpoint is None else identity(
        dataset, recipe, baseline, list(members), seed, how, curvatures
    )
    trained = (moving(members[0], frozen, relative),)
    descent = Descent(
        recipe, (stacked,), EvaluatedLoss(), trained, division.batches, divided, seed, say, checkpoint, run
    )
    count = len(members)

    def spread(potential):
        """`Posterior` of several members, or of the last layer of a single one if bars are wanted; else None."""
        if count > 1:
            return spread_of_members(potential, count, sigmas)
        if not bars or not has_last_layer(members[0]):
            return None
        of_layer = last_layer_posterior(
            potential, dataset[np.array(division.training)], recipe.sigmas, baseline=baseline, progress=say
        )
        clock.step("bars")
        return of_layer

    return Training(descent, lambda weights: assembled(weights[0], count, dataset, baseline), spread)


def checked_start(start: Potential | Sequence[Potential], dataset: Dataset, count: int) -> list[Potential]:
    """Potentials to begin with, one for each member.

    Raises:
        DataError: none of one form, another number than members, or a potential that batches cannot train; frames of
            different periodicity.
        PrecisionError: a potential that single precision would ruin, such as a Gaussian process.
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
    if members[0].double_only:
        raise PrecisionError(
            f"start: {members[0]!r} needs double precision: {WHY_DOUBLE}, and trainings are in single precision: fit "
            "it again with the new data (jp.fit), or give it as the baseline of networks"
        )
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
    ready, size = _padded([frame.structure for frame in frames], cutoff, dtype)
    complete = []
    for chosen in members:
        some = list(chosen or members[0])
        inputs, firsts = _stacked(ready, some, count), [size * n for n in range(len(some))]
        batch = labelled(some, inputs, firsts, count * size, frames, targets, sigmas, dtype, count)
        complete.append(batch if chosen else _without_weights(batch))
    return complete


def product_batches(
    members: Sequence[Sequence[int]], curvatures: Sequence[HessianProduct], baseline: Potential | None, cutoff: float,
    dtype: np.dtype | type,
) -> list[HessianBatch]:
    """`HessianBatch`es of one shape, for `EvaluatedLoss.hessian_products`.

    Args:
        members: for each batch, which of the products: some in the first; a batch without any has weights zero.
        baseline: a potential whose products are not trained, or None.
        cutoff, dtype: as for `frame_batches`.
    """
    ready, size = _padded([target.structure for target in curvatures], cutoff, dtype)
    count, complete = max(map(len, members)), []
    for chosen in members:
        vectors, products, weights = np.zeros((count, size, 3)), np.zeros((count, size, 3)), np.zeros((count, size))
        for n, target in enumerate(curvatures[k] for k in chosen):
            atoms = len(target.structure)
            vectors[n, :atoms], products[n, :atoms] = target.vector, target.beside(baseline)
            weights[n, :atoms] = 1.0 / target.sigma
        arrays: list[Any] = [a.astype(dtype) for a in (vectors, products.reshape(-1, 3), weights.ravel())]
        complete.append(HessianBatch(_stacked(ready, chosen or members[0], count), (arrays[0],), *arrays[1:]))
    return complete


def _padded(structures, cutoff, dtype):
    """Structures and their lists, padded to one shape, and how many atoms that has."""
    size = max(map(len, structures))
    padded = [structure.padded(size) for structure in structures]
    capacity = max(find_neighbors(s, cutoff, _SKIN, rows=size).capacity for s in padded)
    lists = [find_neighbors(s, cutoff, _SKIN, rows=size, capacity=capacity) for s in padded]
    return [_rounded(pair, dtype) for pair in zip(padded, lists, strict=True)], size


def _stacked(ready, chosen, count):
    """Some of them as one tree with an axis in front, so many: the first again where there are fewer."""
    rows = [ready[k] for k in [*chosen] + [*chosen][:1] * (count - len(chosen))]
    return jax.tree.map(lambda *arrays: np.stack(arrays), *rows)


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
