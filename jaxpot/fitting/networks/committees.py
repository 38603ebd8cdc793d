"""Committees of networks: their first readouts, and the potentials and the posterior that follow from them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxpot.data.atomic_energies import tells_of_atoms
from jaxpot.data.dataset import Dataset
from jaxpot.data.frame import Frame
from jaxpot.descriptors.base import Descriptor
from jaxpot.errors import DataError
from jaxpot.fitting.networks.precomputed import FrameInputs
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.potentials.base import Potential, Sum, summands, weight_mask
from jaxpot.potentials.committee import Committee
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.described import Described
from jaxpot.potentials.posterior import Posterior
from jaxpot.readouts.network import MLP, Averaged
from jaxpot.readouts.neural import Neural

_LEAST_SPREAD = 1e-6  # of the largest: inputs that vary less are left as they are
_LEAST = 1e-6  # variances of directions below this part of the largest are not made equal
_FURTHEST = 6.0  # the largest component of an input that networks of the training set read


def first_readouts(
    descriptors: Sequence[Descriptor], described: Sequence[Sequence[FrameInputs]], targets: tuple[list, list, list],
    frames: Sequence[Frame], recipe: NetworkRecipe, seed: int,
) -> list["Readouts"]:
    """Random networks whose inputs have mean 0 and deviation 1, and whose output is of the size of the forces."""
    energies, forces, _ = targets
    # Each atom has the weight 1, but where networks read its bonds.
    weights = [sum(parts[k].weights.sum() for parts in described) for k in range(len(frames))]
    shares = [e / w for e, w in zip(energies, weights, strict=True) if e is not None and w > 0.0]
    known = [np.ravel(f) for f in forces if f is not None]
    offset = float(np.mean(shares)) if shares else 0.0
    scale = float(np.sqrt(np.mean(np.concatenate(known) ** 2))) if known else float(np.std(shares))
    readouts = []
    for k, (descriptor, parts) in enumerate(zip(descriptors, described, strict=True)):
        vectors = np.concatenate([p.vectors for p in parts])
        if not len(vectors):
            raise DataError(f"{descriptor!r} sees nothing in any frame: a longer cutoff, or other data")
        spread = vectors.std(0)
        # Constants; and functions that see next to nothing, as of a pair just inside the cutoff: scaled they would be
        # rounding to networks of the training set, and anything to atoms a little further in.
        flat = spread <= np.maximum(1e-10 * np.abs(vectors).max(0), _LEAST_SPREAD * spread.max())
        factor = 1.0 / np.where(flat, 1.0, spread)
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), k), recipe.members)
        make = partial(
            MLP.random, inputs=descriptor.dimension, hidden=tuple(recipe.hidden), activation=recipe.activation
        )
        readout = Neural(
            make(keys[0]), vectors.mean(0), factor, offset, scale or 1.0, tuple(vectors.min(0)), tuple(vectors.max(0))
        )
        readouts.append(stacked(readout, recipe.members).replace_network(jax.vmap(make)(keys)))
    return readouts


def stacked(readout: Neural, members: int) -> "Readouts":
    """Readout with all arrays repeated for the members."""
    return Readouts(jax.tree.map(lambda a: np.repeat(np.asarray(a)[None], members, axis=0), readout))


def readouts_from(term: Described, members: int) -> "Readouts":
    """Initial readouts that continue the networks of a term.

    Raises:
        DataError: networks that are no MLPs, or another number of them than members.
    """
    readout: Any = term.readout
    network = readout.network
    networks = network.networks if isinstance(network, Averaged) else network
    if not isinstance(networks, MLP):
        raise DataError(f"start: expected networks that are MLPs, got {type(networks).__name__}")
    count = len(networks.kernels[0]) if isinstance(network, Averaged) else 1
    if count != members:
        raise DataError(f"start has {count} networks for an element, but members={members}: give members={count}")
    if count == 1:
        return stacked(readout, 1)
    single = readout.replace(network=jax.tree.map(lambda a: a[0], networks))
    return stacked(single, members).replace_network(networks)


class Readouts:
    """Readouts of all members: a stacked `Neural`, whose constructor would refuse the axis in front."""

    def __init__(self, stacked: Any) -> None:
        self.stacked = stacked

    def __getattr__(self, name):
        return getattr(self.stacked, name)

    def replace_network(self, network: MLP) -> "Readouts":
        leaves, tree = jax.tree.flatten(self.stacked)
        new = jax.tree.leaves(network)
        return Readouts(jax.tree.unflatten(tree, [*new, *leaves[len(new):]]))


def mixing_of(readout: "Readouts", parts: Sequence[FrameInputs]) -> np.ndarray:
    """Directions in which the scaled inputs vary independently, each by about one: (d, d).

    Symmetry functions are much alike, and gradient descent is slow along directions in which they hardly differ. Those
    that vary least are enlarged by a bounded factor only, and so are those in which a few atoms are far from all
    others: there a network would have to guess.
    """
    x = (np.concatenate([p.vectors for p in parts]) - readout.shift[0]) * readout.factor[0]
    values, directions = np.linalg.eigh(x.T @ x / len(x))
    furthest = np.abs(x @ directions).max(0)
    return directions / np.maximum(np.sqrt(np.maximum(values, _LEAST * values[-1])), furthest / _FURTHEST)


def with_mixing(readout: "Readouts", mixing: np.ndarray) -> "Readouts":
    """Readout whose first layers do the mixing of the inputs themselves."""
    network = readout.network
    leaves, tree = jax.tree.flatten(network)
    return readout.replace_network(jax.tree.unflatten(tree, [np.matmul(mixing, leaves[0]), *leaves[1:]]))


def committee_of(
    descriptors: Sequence[Descriptor], members: Sequence["Readouts"], species: tuple[int, ...], dataset: Dataset,
    baseline: Potential | None,
) -> Committee:
    """`Committee` of the potentials of all members."""
    terms, count = [], 0
    for descriptor, readout in zip(descriptors, members, strict=True):
        single = jax.tree.map(lambda a: a[0], readout.stacked)
        member = Described(descriptor, single, species)
        stacked = Described.__new__(Described)
        for name, value in (("descriptor", descriptor), ("readout", readout.stacked), ("species", member.species)):
            object.__setattr__(stacked, name, value)
        terms.append((member, stacked))
        count += len(jax.tree.leaves(member))
    rest = [Constants(dataset.e0, isolated=tells_of_atoms(dataset.e0_origin))]
    whole = Sum.of(*(member for member, _ in terms), *rest, *(() if baseline is None else (baseline,)))
    parts = [stacked for _, stacked in terms] + list(whole.terms[len(terms):])
    leaves = jax.tree.leaves(parts)
    mask = tuple(k < count for k in range(len(leaves)))  # the fitted terms come first
    return Committee(jax.tree.unflatten(jax.tree.structure(whole), leaves), mask)


def mean_of(potential: Sum, members: Sequence["Readouts"]) -> Potential:
    """Potential of one member with the mean of all networks in place of its own."""
    terms = list(potential.terms)
    for k, readout in enumerate(members):
        single = terms[k].readout
        terms[k] = terms[k].replace(readout=single.replace(network=Averaged(readout.network)))
    return Sum.of(*terms)


def spread_of_mean(count: int) -> np.ndarray:
    """Factor (M, M) of the covariance of the M shares of a mean, see `posterior_of`."""
    return (np.eye(count) - 1.0 / count) / np.sqrt(count - 1.0)


def posterior_of(potential: Potential, sigmas: dict[str, float]) -> Posterior:
    """Spread of the networks of `mean_of`, as a distribution of the weights that they are averaged with.

    E = sum_m c_m E_m is linear in c, with mean 1 / M. With the covariance (1 - 1 / M) / (M - 1) of c, a matrix, the
    variance of whatever is linear in E is that of the members, sum_m (q_m - q)^2 / (M - 1); and what is not linear has
    bars by its derivatives, as those of any `Posterior`.

    Args:
        potential: what `mean_of` returns.
        sigmas: kind of label -> standard deviation of labels.
    """
    terms = [term for term in summands(potential) if isinstance(term, Described)]
    terms = [t for t in terms if isinstance(t.readout, Neural) and isinstance(t.readout.network, Averaged)]
    count = terms[0].n_features
    return Posterior(
        potential, np.tile(spread_of_mean(count), (len(terms), 1)), sigmas, mask=weight_mask(potential, terms),
        jitters=(None,) * len(terms),
    )
