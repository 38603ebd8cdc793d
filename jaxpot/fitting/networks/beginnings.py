"""Potentials that a training of whole potentials begins with: networks of random weights, copies of a published one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from jaxpot.core.neighbors import find_neighbors
from jaxpot.data.bond_length import bond_length
from jaxpot.data.dataset import Dataset
from jaxpot.data.targets import labels_minus
from jaxpot.errors import DataError
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.potentials.base import Potential, Sum, parameter_names
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.typing import PyTree

_APART = 0.01  # of each number, standard deviation of the copies of one potential
_LEAST = 1e-3  # unit of steps of what is zero
_OFFSET = 0.01  # eV, unit of steps of energies of elements: e0 is their place, and each step moves all energies
_FRAMES = 50  # whose neighbours are counted


def random_networks(dataset: Dataset, recipe: NetworkRecipe, seed: int) -> list[MessagePassing]:
    """Networks of several hops of random weights, one for each member, whose energies are of the size of the forces."""
    forces = [np.ravel(frame.forces) for frame in dataset if frame.forces is not None]
    scale = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else 1.0
    cutoff = recipe.cutoff * bond_length(dataset)
    some = [dataset[int(k)] for k in np.linspace(0, len(dataset) - 1, min(len(dataset), _FRAMES)).astype(int)]
    counts = np.concatenate([np.asarray(find_neighbors(frame.structure, cutoff).counts) for frame in some])
    keys = jax.random.split(jax.random.key(seed), recipe.members)
    neighbors = max(float(counts.mean()), 1.0)
    networks: list[Any] = [recipe.random_network(key, dataset.species, cutoff, neighbors) for key in keys]
    return [network.replace(scale=scale * network.scale) for network in networks]


def copies(start: Potential, count: int, seed: int) -> list[Potential]:
    """So many copies of a potential; of several, each number is off by about a hundredth.

    Numbers that cancel are not (`Descriptor.balanced`).

    What the data determine, they come to agree on; where they do not, the copies stay apart: their spread is a bar
    (I. Osband, J. Aslanides, A. Cassirer, Randomized prior functions for deep reinforcement learning, NeurIPS 31,
    2018).
    """
    if count == 1:
        return [start]
    random = np.random.default_rng(seed)

    leaves, structure = jax.tree.flatten(start)
    balanced = _balanced(start)

    def moved(array):
        return np.asarray(array) * (1.0 + _APART * random.normal(size=np.shape(array)))

    def copy():
        return [leaf if stays else moved(leaf) for leaf, stays in zip(leaves, balanced, strict=True)]

    return [jax.tree.unflatten(structure, copy()) for _ in range(count)]


def beside(dataset: Dataset, members: Sequence[Potential], baseline: Potential | None) -> Dataset:
    """Data with the e0 that is left to least squares beside the mean of some potentials, and a baseline.

    Other codes count energies from another zero.
    """
    mean = Sum.or_one([(1.0 / len(members)) * member for member in members])
    left = labels_minus(dataset, mean if baseline is None else mean + baseline)[0]
    known = [k for k, energy in enumerate(left) if energy is not None]
    species = list(dataset.species)
    counts = np.array([[np.sum(dataset[k].numbers == z) for z in species] for k in known], float)
    sizes = counts.sum(-1, keepdims=True)
    energies = np.array([left[k] for k in known], float)
    e0 = np.linalg.lstsq(counts / sizes, energies / sizes[:, 0], rcond=None)[0] if known else np.zeros(len(species))
    return replace(
        dataset, e0=dict(zip(species, map(float, e0), strict=True)), e0_origin="least squares of what the start leaves"
    )


def moving(potential: Potential, frozen: Sequence[int | str], relative: bool = False) -> PyTree:
    """Tree like a potential with the unit of steps: 1 for arrays that are trained, 0 for those with names of some.

    Args:
        frozen: what the names of arrays that stay begin with.
        relative: steps are in units of the root mean square of each array; what is balanced stays.

    Raises:
        DataError: no array has such a name.
    """
    names = parameter_names(potential)
    for name in frozen:
        if not isinstance(name, str) or not any(map(_begins(name), names)):
            roots = sorted({known.split("[")[0].split(".")[0] for known in names})
            raise DataError(f"frozen: no array of the start is called {name!r}; they begin with {', '.join(roots)}")
    free = [not any(_begins(name)(known) for name in frozen) for known in names]
    if not any(free):
        raise DataError("frozen: nothing is left to be trained")
    sizes = [float(np.sqrt(np.mean(np.square(leaf)))) if relative else 1.0 for leaf in jax.tree.leaves(potential)]
    units = [is_free * max(size, _LEAST) for is_free, size in zip(free, sizes, strict=True)]
    if relative:
        units = [0.0 if stays else unit for unit, stays in zip(units, _balanced(potential), strict=True)]
    units = [min(unit, _OFFSET) if name in potential.offsets else unit for name, unit in zip(names, units, strict=True)]
    return jax.tree.unflatten(jax.tree.structure(potential), units)


def _balanced(potential):
    """Flags of all arrays: which are those of `Descriptor.balanced`."""
    def flags(node):
        if not hasattr(node, "balanced"):
            return [False]
        return [path[0].name in node.balanced for path, _ in jax.tree_util.tree_leaves_with_path(node)]

    nodes = jax.tree.leaves(potential, is_leaf=lambda node: hasattr(node, "balanced"))
    return [flag for node in nodes for flag in flags(node)]


def _begins(name):
    return lambda known: known == name or known.startswith((f"{name}[", f"{name}."))
