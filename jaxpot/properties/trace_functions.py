"""Functions of the dynamical matrix as traces, tr f(D), whose derivatives hold where bands touch.

Every harmonic thermodynamic function is a sum over modes, sum_a f(w2_a) = tr f(D), with w2 the squared
angular frequencies, the eigenvalues of the Hermitian, mass-weighted dynamical matrix D(q). The sum is smooth
in D; its single terms are not: eigenvectors turn by any angle where two bands touch, and differentiating
them divides by w2_a - w2_b = 0. Cubic crystals have such degeneracies at every symmetric q. So the rule here
is written for the matrix function and never differentiates an eigenvector (Daleckii and Krein):

    d tr f(D) = tr( f'(D) dD ),      d g(D) = U ( G o (U^H dD U) ) U^H,      G_ab = g[w2_a, w2_b]

with the divided difference g[a, b] = (g(a) - g(b)) / (a - b), and g'(a) in the limit. Higher derivatives
are sums over divided differences g[a, b, c, ...], which the same rule makes from itself: all orders are
exact at any degeneracy, in forward and reverse mode (the n-th derivative of a trace costs O(N^n)).

References:
    Yu. L. Daleckii and S. G. Krein, "Integration and differentiation of functions of Hermitian operators
    and applications to the theory of perturbations", AMS Translations (2) 47, 1 (1965).
    N. J. Higham, "Functions of Matrices: Theory and Computation", SIAM (2008), chapter 3.
"""

from collections.abc import Callable
from functools import partial
from itertools import combinations_with_replacement, permutations, product

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from jaxpot.core import linalg
from jaxpot.errors import DataError
from jaxpot.typing import AnyArray, Array, ArrayLike, Scalar

# Nodes closer than this fraction of the smallest take the integral form of a divided difference; with
# _GAUSS points per dimension it is exact to rounding for functions whose singularity nearest to them is 0.
_CLOSE = 0.25
_GAUSS = 8
# An excluded mode must have zero frequency: |w2| below this fraction of the largest.
_ZERO = 1e-6


def trace_function(
    f: Callable[..., Array], matrix: Array, *parameters: ArrayLike, exclude: int | AnyArray = 0
) -> Scalar:
    """Sum of a function over the eigenvalues of a Hermitian matrix, exactly differentiable at degeneracies.

    tr f(D) = sum_a f(w2_a, *parameters). Derivatives of any order, forward and reverse, with respect to the
    matrix and the parameters, real or complex, under jit and vmap.

    Args:
        f: smooth scalar function f(w2, *parameters) -> (). It may be singular at 0 (as a free energy is),
            and must be smooth over distances of a quarter of its argument. What it closes over is constant.
        matrix: (N, N) Hermitian or real symmetric; its Hermitian part is taken.
        parameters: floating scalars or arrays, the same for every eigenvalue (a temperature).
        exclude: () integer, traced or not: how many of the lowest eigenvalues f does not see, 3 for the rigid
            translations at Gamma, else 0. If one of them is not zero, the result is NaN. Derivatives hold
            for changes of the matrix that keep them zero, as the acoustic sum rule does.

    Returns:
        () the sum; NaN where f is (imaginary modes in a free energy).
    """
    return _trace(f, _hermitian(matrix), _floating(parameters, matrix), jnp.asarray(exclude))


def matrix_function(
    f: Callable[..., Array], matrix: Array, *parameters: ArrayLike, exclude: int | AnyArray = 0
) -> Array:
    """The matrix f(D) = U f(w2) U^H of a Hermitian matrix, exactly differentiable at degeneracies.

    Args and properties as in `trace_function`.

    Returns:
        (N, N) the matrix; the excluded eigenvectors contribute nothing.
    """
    return _frechet(f, _hermitian(matrix), _floating(parameters, matrix), jnp.asarray(exclude), ())


def mesh_average(
    f: Callable[..., Array], matrices: Array, weights: AnyArray, *parameters: ArrayLike, exclude: int | AnyArray = 0
) -> Scalar:
    """Average of tr f(D(q)) over a mesh of wave vectors: sum_q weight_q tr f(D_q), per primitive cell.

    Args:
        f: scalar function f(w2, *parameters) -> (), as in `trace_function`.
        matrices: (nq, N, N) dynamical matrices, amu-weighted, 1/time^2.
        weights: (nq,) summing to 1.
        parameters: as in `trace_function`.
        exclude: integer or (nq,) integers, zero modes left out at each q (`modes.zero_modes` counts them).

    Returns:
        () the average. The modes left out weigh nothing; no other mode takes their place.
    """
    exclude = jnp.asarray(exclude)

    def at_q(matrix, zeros):
        return trace_function(f, matrix, *parameters, exclude=zeros)

    return jnp.dot(weights, jax.vmap(at_q, in_axes=(0, 0 if exclude.ndim else None))(matrices, exclude))


# Two functions with one rule each, closed under differentiation: the derivative of the trace is a matrix
# function, and that of a matrix function is its Frechet derivative of the next order. Derivatives with
# respect to parameters are the same functions of df/dp. A tangent that JAX knows to be zero costs nothing.


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _trace(f, matrix, parameters, exclude):
    w, _ = _spectrum(matrix, exclude)
    return jnp.sum(_values(f, w, parameters, exclude))


def _trace_jvp(f, primals, tangents):
    matrix, parameters, exclude = primals
    d_matrix, d_parameters, _ = tangents
    value = _trace(f, matrix, parameters, exclude)
    tangent = jnp.zeros_like(value)
    if not _is_zero(d_matrix):
        gradient = _frechet(_slope(f), matrix, parameters, exclude, ())
        tangent += jnp.sum(jnp.real(gradient) * jnp.real(d_matrix))
        if jnp.iscomplexobj(matrix):  # Re tr(g dD) of two Hermitian matrices
            tangent += jnp.sum(jnp.imag(gradient) * jnp.imag(d_matrix))
    if not _is_zero(d_parameters):
        tangent += _trace(_along(f), matrix, (parameters, _dense(d_parameters)), exclude)
    return value, tangent


_trace.defjvp(_trace_jvp, symbolic_zeros=True)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _frechet(f, matrix, parameters, exclude, directions):
    """The k-th Frechet derivative of f(D) along k Hermitian directions E (f(D) itself for none of them).

    In the eigenbasis: X_ac = sum_b f[a, b, c] E1_ab E2_bc, summed over the orders of E1 and E2; any k alike.
    """
    w, vectors = _spectrum(matrix, exclude)
    dagger = jnp.conj(vectors.T)
    table = _divided_differences(f, w, parameters, exclude, len(directions))
    if not directions:
        return (vectors * table) @ dagger
    rotated = [dagger @ direction @ vectors for direction in directions]
    letters = "abcdefghij"[: len(directions) + 1]
    pairs = ",".join(first + last for first, last in zip(letters, letters[1:], strict=False))
    formula = f"{letters},{pairs}->{letters[0]}{letters[-1]}"
    inner = sum(jnp.einsum(formula, table, *order) for order in permutations(rotated))
    return vectors @ inner @ dagger


def _frechet_jvp(f, primals, tangents):
    matrix, parameters, exclude, directions = primals
    d_matrix, d_parameters, _, d_directions = tangents
    value = _frechet(f, matrix, parameters, exclude, directions)
    tangent = jnp.zeros_like(value)
    if not _is_zero(d_matrix):
        tangent += _frechet(f, matrix, parameters, exclude, (*directions, d_matrix))
    if not _is_zero(d_parameters):
        tangent += _frechet(_along(f), matrix, (parameters, _dense(d_parameters)), exclude, directions)
    for k, d_direction in enumerate(d_directions):
        if not _is_zero(d_direction):
            changed = (*directions[:k], d_direction, *directions[k + 1 :])
            tangent += _frechet(f, matrix, parameters, exclude, changed)
    return value, tangent


_frechet.defjvp(_frechet_jvp, symbolic_zeros=True)


def _slope(f):
    """df/dw; forward mode, which makes the shorter program for a function of one number."""

    def derivative(w, *parameters):
        return jax.jvp(lambda w: f(w, *parameters), (w,), (jnp.ones_like(w),))[1]

    return derivative


def _along(f):
    """The derivative of f along its parameters, again a function of w and of (parameters, tangents).

    By `linearize`, which keeps what is linear in the tangents apart from the rest: reverse mode transposes
    this function where it stands in a rule, and can transpose no step that mixes the two.
    """

    def derivative(w, parameters, tangents):
        return jax.linearize(lambda *p: f(w, *p), *parameters)[1](*tangents)

    return derivative


def _is_zero(tangents):
    leaves = jax.tree.leaves(tangents, is_leaf=lambda leaf: isinstance(leaf, SymbolicZero))
    return all(isinstance(leaf, SymbolicZero) for leaf in leaves)


def _dense(tangents):
    instantiate = lambda t: jnp.zeros(t.shape, t.dtype) if isinstance(t, SymbolicZero) else t  # noqa: E731
    return jax.tree.map(instantiate, tangents, is_leaf=lambda leaf: isinstance(leaf, SymbolicZero))


def _divided_differences(f, w, parameters, exclude, order):
    """The symmetric tensor f[w_a, w_b, ...] of `order` + 1 indices, w ascending; f is zero on the excluded.

    Nodes far apart: f[a..c] = (f[b..c] - f[a..b]) / (w_c - w_a) between the outermost ones. Close together
    this would cancel, and the integral of Hermite and Genocchi takes its place, which has no difference in
    it and is the confluent limit where nodes coincide: the k-th derivative of f, integrated over the simplex
    that the nodes span.
    """
    n = w.shape[0]
    table = _values(f, w, parameters, exclude)
    derivative = f
    for k in range(1, order + 1):
        derivative = _slope(derivative)
        # w is sorted, so that ascending index tuples have their extreme nodes at the ends.
        tuples = np.array(list(combinations_with_replacement(range(n), k + 1)))
        nodes = w[tuples]
        seen, unseen = tuples[:, 0] >= exclude, tuples[:, -1] < exclude  # all of them, none of them
        spread = nodes[:, -1] - nodes[:, 0]
        nearest = jnp.min(jnp.abs(nodes), axis=1)
        rounding = 100.0 * jnp.finfo(w.dtype).eps * jnp.max(jnp.abs(w))
        close = seen & (spread <= jnp.maximum(_CLOSE * nearest, rounding))
        far = table[tuple(tuples[:, 1:].T)] - table[tuple(tuples[:, :-1].T)]
        far = far / jnp.where(close | unseen, 1.0, spread)
        points, weights = _simplex_rule(k)
        inside = jnp.where(close[:, None], nodes, w[-1]) @ points.T.astype(w.dtype)
        near = _vectorized(derivative, inside, parameters) @ weights.astype(w.dtype)
        entries = jnp.where(unseen, 0.0, jnp.where(close, near, far))
        # Back to the full tensor: each index tuple reads the entry of its sorted self.
        position = np.zeros((n,) * (k + 1), int)
        position[tuple(tuples.T)] = np.arange(len(tuples))
        ascending = np.sort(np.indices(position.shape), axis=0)
        table = entries[position[tuple(ascending)]]
    return table


def _simplex_rule(dimension):
    """Barycentric points (m, k + 1) and weights (m,) of a Gauss rule on the k-simplex, of volume 1/k!."""
    x, weight = np.polynomial.legendre.leggauss(_GAUSS)
    x, weight = 0.5 * (x + 1.0), 0.5 * weight
    points, weights = [], []
    for index in product(range(_GAUSS), repeat=dimension):
        # 1 >= s_1 >= ... >= s_k >= 0 as products of independent variables; the Jacobian is s_1 ... s_(k-1).
        s = np.concatenate([[1.0], np.cumprod(x[list(index)]), [0.0]])
        points.append(s[:-1] - s[1:])
        weights.append(np.prod(weight[list(index)]) * np.prod(s[1:-2]))
    return np.array(points), np.array(weights)


def _spectrum(matrix, exclude):
    """Ascending eigenvalues and eigenvectors; all NaN if an excluded eigenvalue is not zero."""
    w, vectors = linalg.eigh(matrix)
    excluded = jnp.arange(w.shape[0]) < exclude
    wrong = jnp.any(excluded & (jnp.abs(w) > _ZERO * jnp.max(jnp.abs(w))))
    return jnp.where(wrong, jnp.nan, w), vectors


def _values(f, w, parameters, exclude):
    """f at every eigenvalue, 0 at the excluded ones (where f, not evaluated there, may be singular)."""
    excluded = jnp.arange(w.shape[0]) < exclude
    return jnp.where(excluded, 0.0, _vectorized(f, jnp.where(excluded, w[-1], w), parameters))


def _vectorized(f, w, parameters):
    return jax.vmap(lambda x: f(x, *parameters))(w.reshape(-1)).reshape(w.shape)


def _hermitian(matrix):
    matrix = jnp.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.shape[0]:
        raise DataError(f"expected one square matrix (N, N), got {matrix.shape}; map over q with jax.vmap")
    return 0.5 * (matrix + jnp.conj(matrix.T))


def _floating(parameters, matrix):
    dtype = jnp.finfo(jnp.asarray(matrix).dtype).dtype  # the real type of a complex one
    return tuple(jnp.asarray(p, dtype) for p in parameters)
