"""The polynomial kernel of normalised vectors."""

import jax.numpy as jnp

from jaxpot.core.numbers import as_positive
from jaxpot.core.pytree import pytree, static
from jaxpot.kernels.base import Kernel
from jaxpot.typing import Array


@pytree
class DotProduct(Kernel):
    """k(x, y) = (x . y)^zeta.

    Args:
        zeta: positive exponent, static; whole numbers spare the power.

    References:
        A. P. Bartok, R. Kondor, G. Csanyi, Phys. Rev. B 87, 184115 (2013), equation 37.
    """

    zeta: float = static(default=1)

    def __post_init__(self):
        zeta = as_positive(self.zeta, "zeta")
        object.__setattr__(self, "zeta", int(zeta) if zeta.is_integer() else zeta)

    def matrix(self, first: Array, second: Array) -> Array:
        return (first @ second.T) ** self.zeta

    def diagonal(self, vectors: Array) -> Array:
        return jnp.sum(vectors * vectors, axis=-1) ** self.zeta
