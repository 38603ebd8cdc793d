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
from jaxpot.core.pytree import pytree
from jaxpot.observables import Evaluation
from jaxpot.potentials.terms import nearest, where_described

_HELD = 1 << 21  # covariances that are held at once: 16 MB an array
_STRAINS = np.array([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]).T


def residual_variances(term, factor, rows, structure, neighbors):
    """Variances, an `Evaluation` of padded arrays: what is left of the prior of one term.

    Args:
        term: `Described`.
        factor: lower Cholesky factor of the covariance of its sparse points.
        rows: `Evaluation` whose arrays have the weights of this term behind: rows of the design matrix.
        structure, neighbors: as everywhere, padded.
    """
    explained = jax.tree.map(lambda a: _explained(a, factor), rows)
    kernel, instances = term.readout.kernel, _instances(term, structure, neighbors)
    used = _padded(np.flatnonzero(np.asarray(instances.weights)))
    energy, energies = _energies(kernel, instances, used, neighbors.centers, structure)
    forces = _forces(kernel, instances, _movers(instances, len(structure)))
    if all(structure.pbc):
        stress = _stresses(kernel, instances, used, structure)
    else:
        stress = jnp.full((3, 3), jnp.nan)
    prior, scale = Evaluation(energy, energies, forces, stress), float(term.readout.delta) ** 2
    return jax.tree.map(lambda p, e: np.maximum(scale * np.asarray(p) - np.asarray(e), 0.0), prior, explained)


@jax.jit
def _explained(rows, factor):
    half = solve_triangular(factor, rows.reshape(-1, rows.shape[-1]).T, lower=True)
    return jnp.sum(half * half, axis=0).reshape(rows.shape[:-1])


@pytree
class _Instances:
    """The vectors x_i of all rows, one after the other, and how each depends on the atoms that move it.

    An instance has q + 1 movers: q neighbours, and the atom of its row, which moves as all of them together the other
    way.
    """

    vectors: jax.Array  # (I, d)
    weights: jax.Array  # (I,), 0 for what is no instance
    slopes: jax.Array  # (I (q + 1), 3, d), derivatives by the coordinates of each mover
    weight_slopes: jax.Array  # (I (q + 1), 3)
    atoms: jax.Array  # (I (q + 1),), the movers
    moves: jax.Array  # (I (q + 1),) bool, whether a mover does anything
    strains: jax.Array  # (6, I, d), derivatives by the components of a symmetric strain
    weight_strains: jax.Array  # (6, I)


@jax.jit
def _instances(term, structure, neighbors):
    graph = connect(structure, neighbors)
    environments = nearest(graph.environments(), neighbors.places(term.cutoff))
    vectors, weights, places, slopes, weight_slopes = where_described(
        term, jax.vmap(term.descriptor.jacobian), environments
    )
    rows, count, _, _, dimension = slopes.shape
    real = graph.real[:, None]
    weights = jnp.where(real, weights, 0.0)
    slopes = jnp.where(real[:, :, None, None, None], slopes, 0.0)
    weight_slopes = jnp.where(real[:, :, None, None], weight_slopes, 0.0)
    row = jnp.arange(rows)[:, None, None]
    arms = environments.vectors[row, places]  # (rows, m, q, 3)

    def strained(slopes):
        both = jnp.einsum("imqa,imqb...->abim...", arms, slopes)
        both = 0.5 * (both + both.swapaxes(0, 1))[_STRAINS[0], _STRAINS[1]]
        return both.reshape(6, rows * count, *slopes.shape[4:])

    def of_movers(slopes):
        return jnp.concatenate([slopes, -slopes.sum(2, keepdims=True)], axis=2).reshape(-1, *slopes.shape[3:])

    centers = jnp.broadcast_to(graph.centers[:, None, None], (rows, count, 1))
    moved = of_movers(slopes), of_movers(weight_slopes)
    return _Instances(
        vectors.reshape(-1, dimension), weights.ravel(), *moved,
        jnp.concatenate([graph.others[row, places], centers], axis=2).ravel(),
        jnp.any(moved[0] != 0.0, axis=(1, 2)) | jnp.any(moved[1] != 0.0, axis=1),
        strained(slopes), strained(weight_slopes),
    )


def _movers(instances, n):
    """Which entries of the slopes belong to each atom, (n, E) with -1 behind them."""
    entries = np.flatnonzero(np.asarray(instances.moves))
    atoms = np.asarray(instances.atoms)[entries]
    order = np.argsort(atoms, kind="stable")
    counts = np.bincount(atoms, minlength=n)
    found = np.full((n, _rounded(counts.max(initial=0))), -1)
    column = np.arange(len(atoms)) - np.repeat(np.cumsum(counts) - counts, counts)
    found[atoms[order], column] = entries[order]
    return found


def _padded(entries):
    return np.concatenate([entries, np.full(_rounded(len(entries)) - len(entries), -1)])


def _rounded(count):
    """The next of 8, 10, 12, 14, 16, 20, 24, 28, 32, 40 ...: few programs serve all."""
    step = 1 << max(int(count - 1).bit_length() - 3, 1)
    return max(-(-int(count) // step) * step, 8)


@jax.jit
def _energies(kernel, instances, used, centers, structure):
    """Prior variance of the total energy, () and of the site energies, (n,), over delta^2."""
    rows = len(centers)
    vectors, weights = (a.reshape(rows, -1, *a.shape[1:]) for a in (instances.vectors, instances.weights))
    sites = jax.vmap(lambda x, w: w @ kernel.matrix(x, x) @ w)(vectors, weights)
    x, w = instances.vectors[used], jnp.where(used >= 0, instances.weights[used], 0.0)
    total = jax.lax.map(lambda own: own[1] @ kernel.matrix(own[0], x) @ w, _blocks((x, w), len(used), 1)).sum()
    return total, jnp.zeros(len(structure), sites.dtype).at[centers].add(sites)


@jax.jit
def _forces(kernel, instances, movers):
    """Prior variance of each force component, (n, 3), over delta^2."""
    places = len(instances.atoms) // len(instances.weights)

    def atom(entries):
        there, own = entries >= 0, entries // places
        slopes = jnp.where(there[:, None, None], instances.slopes[entries], 0.0)
        weight_slopes = jnp.where(there[:, None], instances.weight_slopes[entries], 0.0)
        return _curvature(
            kernel, instances.vectors[own], jnp.where(there, instances.weights[own], 0.0),
            slopes.swapaxes(0, 1), weight_slopes.T,
        )

    def found(entries):
        return jax.lax.cond(entries[0] >= 0, atom, lambda _: jnp.zeros(3, instances.weights.dtype), entries)

    return jax.lax.map(found, movers)


@jax.jit
def _stresses(kernel, instances, used, structure):
    """Prior variance of each stress component, (3, 3), over delta^2."""
    there = used >= 0
    slopes = jnp.where(there[:, None], instances.strains[:, used], 0.0)
    weights = jnp.where(there, instances.weights[used], 0.0)
    weight_slopes = jnp.where(there, instances.weight_strains[:, used], 0.0)
    found = _curvature(kernel, instances.vectors[used], weights, slopes, weight_slopes) / structure.volume**2
    return jnp.zeros((3, 3), found.dtype).at[tuple(_STRAINS)].set(found).at[tuple(_STRAINS[::-1])].set(found)


def _curvature(kernel, vectors, weights, slopes, weight_slopes):
    """d2/ds dt sum_ij w_i(s) w_j(t) k(x_i(s), x_j(t)) at 0: variances of functionals, (q,).

    Args:
        vectors, weights: of instances, (I, d) and (I,).
        slopes, weight_slopes: how they change along each functional, (q, I, d) and (q, I).
    """

    def block(own):
        x, w, slopes_here, weight_slopes_here = own

        def along(dx, dw, dy, dv):
            def first(y, v):
                return jax.jvp(lambda x, w: w @ kernel.matrix(x, y) @ v, (x, w), (dx, dw))[1]

            return jax.jvp(first, (vectors, weights), (dy, dv))[1]

        # What no functional changes is computed once for all.
        return jax.vmap(along)(slopes_here.swapaxes(0, 1), weight_slopes_here.T, slopes, weight_slopes)

    own = (vectors, weights, slopes.swapaxes(0, 1), weight_slopes.T)
    return jax.lax.map(block, _blocks(own, len(weights), len(slopes))).sum(0)


def _blocks(arrays, count, functionals):
    """Arrays cut along their first axis, so that what is held between a block and all instances is not too much."""
    parts = 1
    while count % (2 * parts) == 0 and count // parts * count * functionals > _HELD:
        parts *= 2
    return jax.tree.map(lambda a: a.reshape(parts, count // parts, *a.shape[1:]), arrays)
