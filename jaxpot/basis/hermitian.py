"""Eigenvalues and eigenvectors of Hermitian matrices, with derivatives that survive degeneracies."""

import jax
import jax.numpy as jnp

from jaxpot.core import linalg
from jaxpot.typing import Array

DEGENERATE = 1e-7  # of the largest |eigenvalue|: closer ones count as equal


@jax.custom_jvp
def eigh(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues (ascending) and eigenvectors of a Hermitian matrix, (N,), (N, N).

    The derivative leaves out the turning of eigenvectors within a degenerate subspace, which has no
    meaning: invariants of the subspace (its projector, traces over it) are differentiated exactly, where
    the textbook formula divides by zero.
    """
    return linalg.eigh(0.5 * (matrix + _adjoint(matrix)))


@eigh.defjvp
def _eigh_jvp(primals, tangents):
    (matrix,), (change,) = primals, tangents
    values, vectors = eigh(matrix)
    inner = _adjoint(vectors) @ change @ vectors
    gap = values[None, :] - values[:, None]
    same = _same(values)
    turn = jnp.where(same, 0.0, inner / jnp.where(same, 1.0, gap))
    return (values, vectors), (jnp.real(jnp.diagonal(inner)).astype(values.dtype), vectors @ turn)


def lift(values: Array, vectors: Array, perturbation: Array) -> Array:
    """First-order changes of eigenvalues under a Hermitian perturbation, degenerate subspaces lifted by it.

    Within each degenerate subspace the perturbation is diagonalised (degenerate perturbation theory); the
    changes come back in the order of the eigenvalues, ascending within a subspace. (N,).
    """
    inner = _adjoint(vectors) @ perturbation @ vectors
    block = jnp.where(_same(values), inner, 0.0)
    # Blocks are kept apart by offsets larger than any eigenvalue of the blocks.
    group = jnp.cumsum(jnp.concatenate([jnp.zeros(1, int), (~_near(values)).astype(int)]))
    offset = jax.lax.stop_gradient(group * (4.0 * jnp.max(jnp.abs(block)) * len(values) + 1e-30))
    lifted, _ = eigh(block + jnp.diag(offset))
    return lifted - offset


def _near(values):
    return jnp.diff(values) < DEGENERATE * jnp.max(jnp.abs(values))


def _same(values):
    """(N, N) bool: in one degenerate subspace (neighbours in a chain of close values)."""
    group = jnp.cumsum(jnp.concatenate([jnp.zeros(1, int), (~_near(values)).astype(int)]))
    return group[:, None] == group[None, :]


def _adjoint(matrix):
    return jnp.conj(jnp.swapaxes(matrix, -1, -2))
