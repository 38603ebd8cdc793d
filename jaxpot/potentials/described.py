"""A local potential made of a descriptor and a readout."""

import jax.numpy as jnp

from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors.base import Descriptor
from jaxpot.descriptors.batched_soap import batched
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.parameters import species_numbers
from jaxpot.readouts.sparse_gp import SparseGP


@pytree
class Described(Potential):
    """E_i = readout(descriptor(environment of i)): GAP is a sum of such terms.

    Args:
        descriptor: what it sees.
        readout: what it makes of that.
        species: the elements it serves; None: all of them.
    """

    descriptor: Descriptor
    readout: SparseGP
    species: tuple | None = static(default=None)

    double_only = True  # weights of 10^5 eV and more cancel: mlearn Si is off by 3e-3, Mo by 4e-2 eV an atom
    cutoff = property(lambda self: self.descriptor.cutoff)

    def __post_init__(self):
        width = self.readout.points.shape[1]
        if width != self.descriptor.dimension:
            raise DataError(
                f"{type(self.descriptor).__name__} makes vectors of {self.descriptor.dimension} components, but the "
                f"sparse points have {width}"
            )
        object.__setattr__(self, "species", species_numbers(self.species))

    @property
    def centers(self):
        described = self.descriptor.centers
        if described is None or (self.species is not None and set(self.species) <= set(described)):
            return None
        return described

    one_vector = property(lambda self: self.descriptor.one_vector)
    n_features = property(lambda self: len(self.readout.points))
    smoothness = property(lambda self: self.descriptor.smoothness)
    kinks = property(lambda self: self.descriptor.kinks)

    @property
    def chunk_elements(self):
        # Each neighbour brings a hundred numbers or more. Sparse points beyond the cache are read once a chunk.
        return 2560 if self.readout.points.size < 1 << 19 else 4096

    def site_energy(self, environment):
        """() eV."""
        return self.readout.energy(*self.descriptor.instances(environment))

    def batched(self):
        return Described(batched(self.descriptor), self.readout, self.species)

    def site_features(self, environment):
        """What the site energy is linear in, (M,), and its derivatives by the neighbours' x, y, z, (K, 3, M)."""
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
