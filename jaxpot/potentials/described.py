"""A local potential made of a descriptor and a readout."""

from typing import TypeGuard

import jax
import jax.numpy as jnp

from jaxpot.core.graph import Environment
from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors.base import Descriptor
from jaxpot.descriptors.batched_soap import batched
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.parameters import species_numbers
from jaxpot.readouts.base import Readout
from jaxpot.typing import Array

# Two terms of one element each look at a chunk with atoms of both: so theirs are smaller, but no smaller than pays.
_FEWER, _LEAST = 3, 768


@pytree
class Described(Potential):
    """E_i = readout(descriptor(environment of i)): GAP is a sum of such terms.

    Args:
        descriptor: what it sees.
        readout: what it makes of that: a `SparseGP`, a `Neural`, a `Linear`.
        species: the elements it serves; None: those that the descriptor was made for.
    """

    descriptor: Descriptor
    readout: Readout
    species: tuple | None = static(default=None)

    double_only = property(lambda self: self.readout.double_only)
    cutoff = property(lambda self: self.descriptor.cutoff)

    def __post_init__(self) -> None:
        width = self.readout.dimension
        if width != self.descriptor.dimension:
            raise DataError(
                f"{type(self.descriptor).__name__} makes vectors of {self.descriptor.dimension} components, but the "
                f"{type(self.readout).__name__} reads {width}"
            )
        served = self.descriptor.species if self.species is None else self.species
        object.__setattr__(self, "species", species_numbers(served))

    @property
    def centers(self) -> tuple | None:
        described = self.descriptor.centers
        if described is None or (self.species is not None and set(self.species) <= set(described)):
            return None
        return described

    one_vector = property(lambda self: self.descriptor.one_vector)
    n_features = property(lambda self: self.readout.n_features)
    smoothness = property(lambda self: min(self.descriptor.smoothness, self.readout.smoothness))
    kinks = property(lambda self: self.descriptor.kinks)
    shorter = property(lambda self: self.descriptor.shorter)

    @property
    def chunk_elements(self) -> int:
        """Neighbours in a chunk, of terms of one element among others a third, but not below 768."""
        most = min(self.descriptor.chunk_elements, self.readout.chunk_elements)
        return most if self.centers is None else max(most // _FEWER, min(most, _LEAST))

    def site_energy(self, environment: Environment) -> Array:
        """() eV."""
        return self.readout.energy_of(self.descriptor, environment)

    def batched(self) -> "Described":
        return Described(batched(self.descriptor), self.readout, self.species)

    def weight_mask(self) -> "Potential | None":
        mask = self.readout.weight_mask()
        if mask is None:
            return None
        others = [False] * len(jax.tree.leaves(self.descriptor))
        return jax.tree.unflatten(jax.tree.structure(self), others + jax.tree.leaves(mask))

    def site_features(self, environment: Environment) -> tuple[Array, Array]:
        """dE_i/dweights of the site energy, (M,), and its derivatives by the neighbours' x, y, z, (K, 3, M)."""
        vectors, weights, places, changes, weight_changes = self.descriptor.jacobian(environment)
        count, seen = places.shape
        features, slopes = self.readout.feature_changes(
            vectors, weights,
            changes.reshape(count, seen * 3, -1), weight_changes.reshape(count, seen * 3),
        )
        slopes = slopes.reshape(count, seen, 3, -1)
        if count == 1 and seen == len(environment.x):
            return features, slopes[0]
        total = jnp.zeros((len(environment.x), 3, slopes.shape[-1]), slopes.dtype)
        return features, total.at[places].add(slopes)


def is_linear(term: Potential) -> bool:
    """Whether the energy of a term is linear in some of its arrays: weights of a readout, or of a last layer."""
    return term.weight_mask() is not None


def is_graded(term: Potential) -> bool:
    """Whether environments can be graded by a term (`jp.ActiveSet`): it is linear, or its readout knows a stand-in."""
    return term.readout.is_graded if isinstance(term, Described) else is_linear(term)


def leaves_residual(term: Potential) -> TypeGuard[Described]:
    """Whether the prior of a term allows more than its features span, as that of a Gaussian process does."""
    return isinstance(term, Described) and term.readout.has_residual
