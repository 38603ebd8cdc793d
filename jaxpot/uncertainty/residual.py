"""What the sparse points of a Gaussian process cannot represent: the residual of its prior.

An energy, a force component or a stress component is a linear functional L of the process. Its prior variance is
L L' k(x, x'), both arguments of the covariance being acted on; the part that the sparse points explain is
a (K_MM)^-1 a^T with a the row of the design matrix. What is left is never negative but for rounding.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from jaxpot.core.graph import connect
from jaxpot.observables import Evaluation
from jaxpot.potentials.terms import nearest, where_described

_BLOCK = 256  # instances whose covariances with all others are held at once


def residual_variances(term, factor, rows, structure, neighbors):
    """Variances, an `Evaluation` of padded arrays: what is left of the prior of one term.

    Args:
        term: `Described`.
        factor: lower Cholesky factor of the covariance of its sparse points.
        rows: `Evaluation` whose arrays have the weights of this term behind: rows of the design matrix.
        structure, neighbors: as everywhere, padded.
    """
    explained = jax.tree.map(lambda a: _explained(a, factor), rows)
    vectors, weights, places, changes, weight_changes = map(np.asarray, _jacobians(term, structure, neighbors))
    scale = float(term.readout.delta) ** 2
    prior = Evaluation(
        *_energies(term.readout.kernel, vectors, weights, neighbors, len(structure)),
        _forces(term.readout.kernel, vectors, weights, places, changes, weight_changes, neighbors, len(structure)),
        _stresses(term.readout.kernel, vectors, weights, places, changes, weight_changes, structure, neighbors),
    )
    return jax.tree.map(lambda p, e: np.maximum(scale * np.asarray(p) - np.asarray(e), 0.0), prior, explained)


@jax.jit
def _explained(rows, factor):
    half = solve_triangular(factor, rows.reshape(-1, rows.shape[-1]).T, lower=True)
    return jnp.sum(half * half, axis=0).reshape(rows.shape[:-1])


@jax.jit
def _jacobians(term, structure, neighbors):
    graph = connect(structure, neighbors)
    environments = nearest(graph.environments(), neighbors.places(term.cutoff))
    found = where_described(term, jax.vmap(term.descriptor.jacobian), environments)
    real = graph.real
    return tuple(
        a if k in (0, 2) else jnp.where(real.reshape(-1, *[1] * (a.ndim - 1)), a, 0.0) for k, a in enumerate(found)
    )


def _energies(kernel, vectors, weights, neighbors, n):
    """Prior variance of the total energy, () and of the site energies, (n,), over delta^2."""
    sites = _site_priors(kernel, vectors, weights)
    row, instance = np.nonzero(weights)
    x, w = vectors[row, instance], weights[row, instance]
    none = np.zeros((1, len(w))), np.zeros((1, *x.shape))
    energies = np.zeros(n)
    np.add.at(energies, np.asarray(neighbors.centers), np.asarray(sites))
    # The functional itself rather than a derivative: weights that grow from zero.
    return _variances(kernel, x, np.zeros_like(w), none[1], w[None])[0], energies


@jax.jit
def _site_priors(kernel, vectors, weights):
    return jax.vmap(lambda x, w: w @ kernel.matrix(x, x) @ w)(vectors, weights)


def _forces(kernel, vectors, weights, places, changes, weight_changes, neighbors, n):
    """Prior variance of each force component, (n, 3), over delta^2."""
    row, instance = np.nonzero(np.abs(changes).sum((2, 3, 4)) + np.abs(weight_changes).sum((2, 3)))
    count = changes.shape[2]
    others, centers = np.asarray(neighbors.others), np.asarray(neighbors.centers)
    moved = np.concatenate([others[row[:, None], places[row, instance]], centers[row][:, None]], axis=1)
    own, own_weight = changes[row, instance], weight_changes[row, instance]  # (I, q, 3, d), (I, q, 3)
    slopes = np.concatenate([own, -own.sum(1, keepdims=True)], axis=1)
    weight_slopes = np.concatenate([own_weight, -own_weight.sum(1, keepdims=True)], axis=1)
    entry = np.repeat(np.arange(len(row)), count + 1)
    atoms = moved.ravel()
    slopes, weight_slopes = slopes.reshape(-1, *slopes.shape[2:]), weight_slopes.reshape(-1, 3)
    used = np.flatnonzero(np.abs(slopes).sum((1, 2)) + np.abs(weight_slopes).sum(1))
    # Several images of one atom in one environment move together.
    key, index = np.unique(atoms[used].astype(np.int64) * len(row) + entry[used], return_inverse=True)
    total, total_weight = np.zeros((len(key), *slopes.shape[1:])), np.zeros((len(key), 3))
    np.add.at(total, index, slopes[used])
    np.add.at(total_weight, index, weight_slopes[used])
    atom, entry = key // max(len(row), 1), key % max(len(row), 1)
    found = np.zeros((n, 3))
    begins = np.searchsorted(atom, np.arange(n + 1))
    for a in np.flatnonzero(np.diff(begins)):
        part = slice(begins[a], begins[a + 1])
        at = row[entry[part]], instance[entry[part]]
        found[a] = _variances(kernel, vectors[at], weights[at], total[part].swapaxes(0, 1), total_weight[part].T)
    return found


def _stresses(kernel, vectors, weights, places, changes, weight_changes, structure, neighbors):
    """Prior variance of each stress component, (3, 3), over delta^2; NaN without a volume."""
    if not all(structure.pbc):
        return np.full((3, 3), np.nan)
    along = np.asarray(_vectors(structure, neighbors))  # (rows, K, 3)
    row, instance = np.nonzero(weights)
    arms = along[row[:, None], places[row, instance]]  # (I, q, 3)
    first, second = np.array([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]).T
    slopes = np.einsum("iqa,iqbd->abid", arms, changes[row, instance])
    weight_slopes = np.einsum("iqa,iqb->abi", arms, weight_changes[row, instance])
    slopes, weight_slopes = (0.5 * (a + a.swapaxes(0, 1))[first, second] for a in (slopes, weight_slopes))
    x, w = vectors[row, instance], weights[row, instance]
    values = _variances(kernel, x, w, slopes, weight_slopes) / float(structure.volume) ** 2
    found = np.zeros((3, 3))
    found[first, second] = found[second, first] = values
    return found


@jax.jit
def _vectors(structure, neighbors):
    graph = connect(structure, neighbors)
    return jnp.stack([graph.x, graph.y, graph.z], axis=-1)


def _variances(kernel, vectors, weights, slopes, weight_slopes):
    """d2/ds dt sum_ij w_i(s) w_j(t) k(x_i(s), x_j(t)) at 0: variances of functionals, (q,).

    Args:
        vectors, weights: of instances, (I, d) and (I,).
        slopes, weight_slopes: how they change along each functional, (q, I, d) and (q, I).
    """
    size = _rounded(len(vectors))
    pad = size - len(vectors)
    vectors, weights = np.pad(vectors, [(0, pad), (0, 0)]), np.pad(weights, (0, pad))
    slopes, weight_slopes = np.pad(slopes, [(0, 0), (0, pad), (0, 0)]), np.pad(weight_slopes, [(0, 0), (0, pad)])
    return np.asarray(_padded_variances(kernel, vectors, weights, slopes, weight_slopes))


def _rounded(count):
    """The next power of two, or multiple of the block: few programs serve all."""
    return 1 << max(count - 1, 7).bit_length() if count <= _BLOCK else -(-count // _BLOCK) * _BLOCK


@jax.jit
def _padded_variances(kernel, vectors, weights, slopes, weight_slopes):
    size = min(_BLOCK, len(vectors))

    def of(slope, weight_slope):
        arrays = (vectors, weights, slope, weight_slope)
        blocks = jax.tree.map(lambda a: a.reshape(-1, size, *a.shape[1:]), arrays)

        def block(own):
            x, w, dx, dw = own

            def both(s, t):
                covariance = kernel.matrix(x + s * dx, vectors + t * slope)
                return (w + s * dw) @ covariance @ (weights + t * weight_slope)

            return jax.jvp(lambda t: jax.jvp(lambda s: both(s, t), (0.0,), (1.0,))[1], (0.0,), (1.0,))[1]

        return jnp.sum(jax.lax.map(block, blocks))

    return jax.lax.map(lambda pair: of(*pair), (slopes, weight_slopes))
