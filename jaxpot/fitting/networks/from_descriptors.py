"""Training of networks that read a descriptor, whose vectors are computed once."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.devices import sharing
from jaxpot.core.elements import symbol
from jaxpot.core.numbers import as_whole
from jaxpot.data.dataset import Dataset
from jaxpot.data.frame import Frame
from jaxpot.data.padded_frames import Prepared
from jaxpot.errors import DataError
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
from jaxpot.fitting.networks.descent import Descent, identity
from jaxpot.fitting.networks.division import Division, by_device, dealt
from jaxpot.fitting.networks.last_layer import last_layer_posterior
from jaxpot.fitting.networks.precomputed import PrecomputedLoss, frame_inputs
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.fitting.networks.result import Training
from jaxpot.potentials.base import Potential, summands
from jaxpot.potentials.described import Described
from jaxpot.readouts.neural import Neural

_SAY = 5.0  # s between two lines of progress


def network_training(
    dataset: Dataset, targets: tuple[list, list, list], division: Division, sigmas: dict[str, float], *,
    recipe: NetworkRecipe, bond: float, start: Potential | None, frozen: Sequence[int],
    curvatures: Sequence[HessianProduct], baseline: Potential | None, seed: int, bars: bool, checkpoint: Any,
    say: Callable[[str], None], clock: Clock,
) -> Training:
    """`Training` of the networks of a recipe, or of those of a potential to begin with.

    Args:
        dataset, targets, division: frames, their labels less all that is not fitted, and what each is for.
        sigmas: kind of label -> standard deviation, for bars.
        bond: A, length of a bond.
        bars: whether a single network gets bars, by its last layer.
        recipe, start, frozen, curvatures, baseline, seed, checkpoint: as for `train`.

    Raises:
        DataError: networks of `start` that do not serve, or layers to freeze that do not exist.
    """
    species = tuple(int(z) for z in dataset.species)
    given = None if start is None else _networks_of(start, species)
    descriptors = recipe.descriptors(species, bond) if given is None else [term.descriptor for term in given]
    cutoff = max(descriptor.cutoff for descriptor in descriptors)
    prepared = Prepared.within([frame.structure for frame in dataset], cutoff)
    inputs = _inputs(descriptors, prepared, [None] * len(dataset), say)
    curved = _inputs(
        descriptors, Prepared.within([c.structure for c in curvatures], cutoff), [c.vector for c in curvatures], say
    )
    clock.step("descriptors")

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
    divided = [
        *_label_batches(
            (division.batches, division.validation_batches), dataset, inputs, targets, recipe, scalings
        ),
        _curvature_batches(dealt(range(len(curvatures)), recipe.batch, seed), curvatures, curved, baseline, scalings),
    ]
    run = ""
    if checkpoint is not None:
        run = identity(dataset, recipe, baseline, [r.stacked for r in trained], seed, frozen, curvatures)
    scales = [(np.float32(r.offset[0]), np.float32(r.scale[0])) for r in trained]
    weights = tuple(jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), r.network) for r in trained)
    moving = tuple(_moving(network, frozen) for network in weights)
    descent = Descent(
        recipe, weights, PrecomputedLoss(scales), moving, division.batches, divided, seed, say, checkpoint, run
    )

    def assemble(weights):
        """Committee, and the mean of it, in double precision."""
        members = [
            with_mixing(r.replace_network(jax.tree.map(lambda a: np.asarray(a, np.float64), network)), mixing)
            for r, network, mixing in zip(trained, weights, mixings, strict=True)
        ]
        committee = committee_of(descriptors, members, species, dataset, baseline)
        return committee, committee[0] if recipe.members == 1 else mean_of(committee[0], members)

    def spread(potential):
        """`Posterior` of several members, or of the last layers of a single one if bars are wanted; else None."""
        if recipe.members > 1:
            return posterior_of(potential, sigmas)
        if not bars:
            return None
        of_layers = last_layer_posterior(
            potential, dataset[np.array(division.training)], recipe.sigmas, baseline=baseline, progress=say
        )
        clock.step("bars")
        return of_layers

    return Training(descent, assemble, spread, prepared)


def has_networks(potential: Potential) -> bool:
    """Whether a potential has networks that read a descriptor without parameters of its own, whose vectors stay."""
    return any(
        isinstance(term, Described) and isinstance(term.readout, Neural) and not jax.tree.leaves(term.descriptor)
        for term in summands(potential)
    )


def _networks_of(potential, species):
    """Terms with networks of these elements."""
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


def _check_frozen(frozen, readouts):
    layers = len(readouts[0].network.kernels)
    for layer in frozen:
        as_whole(layer, "frozen", 0, layers - 1)


def _moving(network, frozen):
    """Tree of numbers like a network: 1 for the layers that are trained, 0 for the others."""
    layers = [0.0 if k in frozen else 1.0 for k in range(len(network.kernels))]
    return jax.tree.unflatten(jax.tree.structure(network), layers + layers)  # kernels, then biases


def _scaling(readout, mixing):
    """Shift (d,) of the inputs of a network, and the matrix (d, d) they are multiplied with then."""
    return np.asarray(readout.shift[0]), np.asarray(readout.factor[0])[:, None] * mixing


def _label_batches(parts, dataset, inputs, targets, recipe, scalings):
    """Batches with labels of each part of the frames, divided between devices."""
    make = partial(
        batches, described=inputs, frames=list(dataset), targets=targets, sigmas=recipe.sigmas, scalings=scalings,
        dtype=np.float32,
    )
    return [by_device(make, part, sharing()) for part in parts]


def _curvature_batches(dealt, curvatures, inputs, baseline, scalings):
    """Batches of Hessian products, divided between devices."""
    make = partial(
        hessian_batches, described=inputs, frames=[Frame(c.structure) for c in curvatures],
        targets=[(c.beside(baseline), c.sigma) for c in curvatures], scalings=scalings, dtype=np.float32,
    )
    return by_device(make, dealt, sharing())
