"""A kernel made invariant under permutations of the components."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.pytree import pytree, static
from jaxpot.errors import DataError
from jaxpot.kernels.base import Kernel
from jaxpot.typing import Array

_MOST = 120  # of five atoms


@pytree
class Permuted(Kernel):
    """k(x, y) = s(x, y) / sqrt(s(x, x) s(y, y)),  s(x, y) = sum_P k0(P x, y).

    Args:
        kernel: k0, positive, and the same where both its vectors are permuted: k0(P x, P y) = k0(x, y).
        permutations: a group, static; each a tuple of indices of the components, from 0.

    Raises:
        DataError: no permutations, or no group of them.

    References:
        A. P. Bartok, G. Csanyi, Int. J. Quantum Chem. 115, 1051 (2015), equation 21; the normalisation by
        comparison with QUIP.
    """

    kernel: Kernel
    permutations: tuple = static()

    def __post_init__(self):
        permutations = tuple(tuple(int(k) for k in p) for p in self.permutations)
        if not permutations or any(sorted(p) != list(range(len(permutations[0]))) for p in permutations):
            raise DataError(f"permutations: expected each of 0 ... d - 1 once in every one, got {permutations}")
        if len(set(permutations)) != len(permutations):
            raise DataError(f"permutations: expected each once, got {permutations}")
        if len(permutations) > _MOST or not _is_closed(set(permutations)):
            raise DataError(
                f"permutations: expected a group of at most {_MOST}, which contains the products of its own, got "
                f"{len(permutations)}: {permutations[:6]}"
            )
        object.__setattr__(self, "permutations", permutations)

    def matrix(self, first: Array, second: Array) -> Array:
        total = sum(self.kernel.matrix(first[:, np.array(p)], second) for p in self.permutations)
        return total / jnp.sqrt(self._squares(first)[:, None] * self._squares(second))

    def diagonal(self, vectors: Array) -> Array:
        return jnp.ones(vectors.shape[:-1], vectors.dtype)

    def _squares(self, vectors):
        """s(x, x) of vectors (m, d): (m,)."""
        one = jax.vmap(lambda x, y: self.kernel.matrix(x[None], y[None])[0, 0])
        return sum(one(vectors[:, np.array(p)], vectors) for p in self.permutations)


def _is_closed(permutations):
    return permutations >= {tuple(p[k] for k in q) for p in permutations for q in permutations}
