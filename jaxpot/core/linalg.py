"""Linear algebra that cannot lock up: on CPUs LAPACK is called for one matrix at a time.

jaxlib up to 0.11.1 cuts a batch of matrices into tasks for XLA's own threads, and one of these threads waits for them.
Where as many programs (or independent operations of one program) wait as there are threads, nobody is left to do the
tasks, and all of them wait for ever: seconds are enough on two cores. A single matrix is solved by the thread that asks
for it and waits for nobody. So the matrices of a batch follow each other here, at about the speed of the batch for
matrices of 6 to 60 rows (`benchmarks/jaxlib_lockup.py` measures both); GPUs keep their batched routines.

Everything in jaxpot that needs a decomposition of a traced matrix takes it from here.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.scipy.linalg import solve_triangular

from jaxpot.core.precision import product
from jaxpot.typing import AnyArray, Array


def _one_at_a_time(function):
    """A function of one matrix whose batches, under `vmap`, run one after another on CPUs."""
    single = custom_vmap(function)

    @single.def_vmap
    def batched(size, in_batched, matrices):
        if not in_batched[0]:
            result = single(matrices)
            return result, jax.tree.map(lambda _: False, result)
        result = _on_cpu(partial(jax.lax.map, single), jax.vmap(function), matrices)
        return result, jax.tree.map(lambda _: True, result)

    return single


def _on_cpu(mapped, batched, *arguments):
    return jax.lax.platform_dependent(*arguments, cpu=mapped, default=batched)


def _over_batch(function, matrix):
    """Apply a function of one matrix to all of an array (..., n, n)."""
    for _ in range(matrix.ndim - 2):
        function = jax.vmap(function)
    return function(matrix)


_eigh = _one_at_a_time(lambda matrix: tuple(jnp.linalg.eigh(matrix, symmetrize_input=False)))
_cholesky = _one_at_a_time(lambda matrix: jnp.linalg.cholesky(matrix, symmetrize_input=False))


def eigh(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues (..., n), ascending, and eigenvectors (..., n, n) of Hermitian matrices.

    Not differentiable: `basis.hermitian.eigh` is, with a rule that survives degeneracies.

    Args:
        matrix: (..., n, n), Hermitian or real symmetric; the lower triangle is read.
    """
    return _over_batch(_eigh, matrix)


def _columns_at_once(function):
    """A solver of (n, n), (n, k) whose batches of right-hand sides are columns, and of matrices follow each other."""
    single = custom_vmap(function)

    @single.def_vmap
    def batched(size, in_batched, matrix, right):
        if not in_batched[0]:
            n = matrix.shape[-1]
            columns = single(matrix, jnp.moveaxis(right, 0, 1).reshape(n, -1))
            return jnp.moveaxis(columns.reshape(n, size, -1), 1, 0), True
        if not in_batched[1]:
            right = jnp.broadcast_to(right, (size, *right.shape))
        mapped = lambda a, b: jax.lax.map(lambda pair: single(*pair), (a, b))  # noqa: E731
        return _on_cpu(mapped, jax.vmap(function), matrix, right), True

    return single


_solve = _columns_at_once(jnp.linalg.solve)
_solve_lower = _columns_at_once(partial(solve_triangular, lower=True))
_solve_upper = _columns_at_once(partial(solve_triangular, lower=False))


def _linear_solve(matrix, right, solver, transposed):
    """x of A x = b, differentiable in A and b; `solver` is for A, `transposed` for A^T."""
    fixed = jax.lax.stop_gradient(matrix)
    columns = right[:, None] if right.ndim == 1 else right
    solution = jax.lax.custom_linear_solve(
        lambda x: product(matrix, x), columns, lambda _, b: solver(fixed, b), lambda _, b: transposed(fixed.T, b)
    )
    return solution[:, 0] if right.ndim == 1 else solution


def solve(matrix: AnyArray, right: AnyArray) -> Array:
    """The solution x of A x = b by LU decomposition, differentiable in both.

    Args:
        matrix: A, (n, n).
        right: b, (n,) or (n, k).
    """
    return _linear_solve(matrix, right, _solve, _solve)


def solve_lower(factor: AnyArray, right: AnyArray, transposed: bool = False) -> Array:
    """The solution x of L x = b, or of L^T x = b, with the lower triangle L of a matrix; differentiable in both.

    Args:
        factor: (n, n); entries above the diagonal are not read.
        right: b, (n,) or (n, k).
        transposed: solve L^T x = b.
    """
    lower = jnp.tril(factor)
    if transposed:
        return _linear_solve(lower.T, right, _solve_upper, _solve_lower)
    return _linear_solve(lower, right, _solve_lower, _solve_upper)


def inverse(matrix: Array) -> Array:
    """The inverse of a square matrix (n, n), differentiable."""
    return solve(matrix, jnp.eye(matrix.shape[-1], dtype=matrix.dtype))


def cholesky(matrix: AnyArray) -> Array:
    """Lower Cholesky factor L of a positive definite matrix A = L L^T, (n, n); NaN where it is not.

    The symmetric part of the matrix is taken. Differentiable: dL = L tril(L^-1 dA L^-T), the diagonal halved.

    References:
        I. Murray, Differentiation of the Cholesky decomposition, arXiv:1602.07527 (2016), equation 8.
    """
    return _cholesky_of_symmetric(0.5 * (matrix + matrix.T))


@jax.custom_jvp
def _cholesky_of_symmetric(matrix):
    return _cholesky(matrix)


@_cholesky_of_symmetric.defjvp
def _cholesky_jvp(primals, tangents):
    (matrix,), (change,) = primals, tangents
    factor = _cholesky_of_symmetric(matrix)
    inner = solve_lower(factor, solve_lower(factor, change).T).T
    return factor, factor @ (jnp.tril(inner) - 0.5 * jnp.diag(jnp.diagonal(inner)))
