"""SOAP as a program of a third of the size: for second derivatives, whose compilation takes longer than they do."""

import jax.numpy as jnp

from jaxpot.basis.batched import padded_harmonics, series_sum
from jaxpot.core.pytree import pytree, static_fields
from jaxpot.descriptors.base import Descriptor
from jaxpot.descriptors.soap import SOAP


def batched(descriptor: Descriptor) -> Descriptor:
    """A descriptor with the same vectors in fewer operations, where there is one."""
    return BatchedSOAP(**static_fields(descriptor)) if type(descriptor) is SOAP and descriptor.l_max else descriptor


@pytree
class BatchedSOAP(SOAP):
    """The vectors of `SOAP`, all l > 0 at once in arrays padded with zeros.

    It compiles in a third of the time and runs in twice the time: arrays of all l have to be reordered for the
    density, which is one matrix product for each l and atom.
    """

    def _power(self, environment):
        space = self._space()
        r, fade = self.switch(environment)
        inverse = 1.0 / environment.distances
        unit = (environment.x * inverse, environment.y * inverse, environment.z * inverse)
        radial = series_sum(r, self.cutoff, space.series) * fade[:, None]
        width, others = space.turns[0].shape[1], space.turns[-1].shape[1]
        first = self._by_species(radial[:, :width], environment.numbers)
        first, _ = self._density(environment, [first], [None])
        radial = radial[:, width:].reshape(-1, others)
        numbers = jnp.repeat(environment.numbers, self.l_max)
        radial = self._by_species(radial, numbers).reshape(len(r), self.l_max, -1)
        density = jnp.einsum("klb,klm->lbm", radial, padded_harmonics(self.l_max, *unit)[:, 1:])
        weights = jnp.asarray([self._weight(degree) for degree in range(1, self.l_max + 1)], r.dtype)
        products = jnp.einsum("lbm,lcm->lbc", density, density * weights[:, None, None])
        return first[:, None] * first[None, :], products
