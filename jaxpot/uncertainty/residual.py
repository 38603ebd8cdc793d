"""Energies, forces and stresses as linear functionals of a Gaussian process: their rows, and what these leave.

An energy, a force component or a stress component is a linear functional L of the process. Its prior variance is
L L' k(x, x'), both arguments of the covariance being acted on; the part that the sparse points explain is
a (K_MM)^-1 a^T with a = L k(x, points), the row of the design matrix. What is left is never negative but for rounding.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.graph import connect
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import pytree
from jaxpot.core.structure import Structure
from jaxpot.observables import Evaluation
from jaxpot.potentials.described import Described
from jaxpot.potentials.terms import where_described
from jaxpot.typing import AnyArray

_ATOMS = 16  # whose vectors and derivatives are made at once: what is on the way stays in the cache
_HELD = 1 << 16  # covariances that are held at once: half a megabyte an array, likewise
_FEW = 3  # components of a vector: covariances are cheap, and derivatives by each component are made once
_STRAINS = np.array([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]).T


def rows_and_residuals(
    term: Described, inverse: AnyArray, structure: Structure, neighbors: Neighbors
) -> tuple[Evaluation, Evaluation]:
    """Rows of the design matrix of one term, and what is left of its prior.

    Args:
        term: `Described`.
        inverse: that of the lower Cholesky factor of the covariance of its sparse points.
        structure, neighbors: as everywhere, padded.

    Returns:
        Two `Evaluation`s of padded arrays: rows, with the weights behind, and variances, eV^2 and so on.
    """
    readout, instances = term.readout, _instances(term, structure, neighbors)
    every = _merged(instances, *_groups(instances))
    energy, sites = _energies(readout, instances, every, neighbors.centers, structure)
    forces = _forces(readout, instances, _movers(instances, len(structure)))
    stress = _stresses(readout, every, structure)
    rows, priors = (Evaluation(*parts) for parts in zip(energy, sites, forces, stress, strict=True))
    return rows, _left(rows, priors, inverse, readout.delta)


@jax.jit
def _left(rows, priors, inverse, delta):
    def left(row, prior):
        half = row.reshape(-1, row.shape[-1]) @ inverse.T
        return jnp.maximum(delta**2 * prior - jnp.sum(half * half, axis=1).reshape(prior.shape), 0.0)

    return jax.tree.map(left, rows, priors)


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
    environments = graph.environments().first(neighbors.places(term.cutoff))
    describe = partial(jax.lax.map, term.descriptor.jacobian, batch_size=_ATOMS)
    vectors, weights, places, slopes, weight_slopes = where_described(term, describe, environments)
    rows, count, _, _, dimension = slopes.shape
    real = graph.real[:, None]
    weights = jnp.where(real, weights, 0.0)
    slopes = jnp.where(real[:, :, None, None, None], slopes, 0.0)
    weight_slopes = jnp.where(real[:, :, None, None], weight_slopes, 0.0)
    row = jnp.arange(rows)[:, None, None]
    arms = environments.vectors[row, places]  # (rows, m, q, 3)

    def strained(slopes):  # (rows, m, q, 3, ...) -> (6, I, ...)
        along = arms.reshape(*arms.shape, *[1] * (slopes.ndim - 4))
        return jnp.stack([
            0.5 * jnp.sum(along[:, :, :, a] * slopes[:, :, :, b] + along[:, :, :, b] * slopes[:, :, :, a], axis=2)
            for a, b in _STRAINS.T
        ]).reshape(6, rows * count, *slopes.shape[4:])

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
    """For each atom the rows of `slopes` that are derivatives by its position, padded with -1: (n, E)."""
    entries = np.flatnonzero(np.asarray(instances.moves))
    atoms = np.asarray(instances.atoms)[entries]
    order = np.argsort(atoms, kind="stable")
    counts = np.bincount(atoms, minlength=n)
    found = np.full((n, _rounded(counts.max(initial=0))), -1)
    column = np.arange(len(atoms)) - np.repeat(np.cumsum(counts) - counts, counts)
    found[atoms[order], column] = entries[order]
    return found


def _groups(instances):
    """Entries of the instances and their groups of equal ones (I,), and one entry of each group (G,).

    Pairs are seen from both their atoms, at distances that are equal to the last bit; a crystal has many more.
    """
    entries = np.flatnonzero(np.asarray(instances.weights))
    vectors = np.asarray(instances.vectors)
    first, groups = np.arange(len(entries)), np.arange(len(entries))
    if vectors.shape[1] <= _FEW:
        _, first, groups = np.unique(vectors[entries], axis=0, return_index=True, return_inverse=True)
    spare = _rounded(len(entries)) - len(entries), _rounded(len(first)) - len(first)
    return (
        np.pad(entries, (0, spare[0]), constant_values=-1), np.pad(groups.ravel(), (0, spare[0])),
        np.pad(entries[first], (0, spare[1])),
    )


@jax.jit
def _merged(instances, entries, groups, first):
    """Instances with equal vectors merged: distinct vectors, summed weights, and their derivatives by strain."""
    there = entries >= 0
    weights = jnp.where(there, instances.weights[entries], 0.0)
    slopes = jnp.where(there[:, None], weights[:, None] * instances.strains[:, entries], 0.0)
    weight_slopes = jnp.where(there, instances.weight_strains[:, entries], 0.0)

    def summed(array, axis):
        shape = array.shape[:axis] + (len(first),) + array.shape[axis + 1 :]
        place = (slice(None),) * axis + (groups,)
        return jnp.zeros(shape, array.dtype).at[place].add(array)

    weights = summed(weights, 0)
    slopes = summed(slopes, 1) / jnp.where(weights == 0.0, 1.0, weights)[:, None]
    return instances.vectors[first], weights, slopes, summed(weight_slopes, 1)


def _rounded(count):
    """The next of 8, 10, 12, 14, 16, 20, 24, 28, 32, 40 ...: few programs serve all."""
    step = 1 << max(int(count - 1).bit_length() - 3, 1)
    return max(-(-int(count) // step) * step, 8)


@jax.jit
def _energies(readout, instances, every, centers, structure):
    """(row, prior over delta^2) of the total energy, (M,) and (), and of the site energies, (n, M) and (n,)."""
    rows = len(centers)
    vectors, weights = (a.reshape(rows, -1, *a.shape[1:]) for a in (instances.vectors, instances.weights))
    matrix = readout.kernel.matrix
    own = jax.vmap(readout.features)(vectors, weights), jax.vmap(lambda x, w: w @ matrix(x, x) @ w)(vectors, weights)
    x, w = every[:2]
    prior = jax.lax.map(lambda own: own[1] @ matrix(own[0], x) @ w, _blocks((x, w), len(w), 1)).sum()
    sites = (jnp.zeros((len(structure), *a.shape[1:]), a.dtype).at[centers].add(a) for a in own)
    return (own[0].sum(0), prior), tuple(sites)


@jax.jit
def _forces(readout, instances, movers):
    """(rows, priors over delta^2) of the force components, (n, 3, M) and (n, 3)."""
    places = len(instances.atoms) // len(instances.weights)

    def atom(entries):
        there, own = entries >= 0, entries // places
        slopes = jnp.where(there[:, None, None], instances.slopes[entries], 0.0).swapaxes(0, 1)
        weight_slopes = jnp.where(there[:, None], instances.weight_slopes[entries], 0.0).T
        found = instances.vectors[own], jnp.where(there, instances.weights[own], 0.0), -slopes, -weight_slopes
        return _slopes(readout, *found), _curvature(readout.kernel, *found)

    def nothing(entries):
        return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(atom, entries))

    return jax.lax.map(lambda entries: jax.lax.cond(entries[0] >= 0, atom, nothing, entries), movers)


@jax.jit
def _stresses(readout, every, structure):
    """(rows, priors over delta^2) of the stress components, (3, 3, M) and (3, 3); NaN without a volume."""
    volume = structure.volume if all(structure.pbc) else jnp.nan
    vectors, weights, slopes, weight_slopes = every
    own = vectors, weights, slopes / volume, weight_slopes / volume
    found = _slopes(readout, *own), _curvature(readout.kernel, *own)

    def matrix(values):
        empty = jnp.zeros((3, 3, *values.shape[1:]), values.dtype)
        return empty.at[tuple(_STRAINS)].set(values).at[tuple(_STRAINS[::-1])].set(values)

    return tuple(map(matrix, found))


def _slopes(readout, vectors, weights, slopes, weight_slopes):
    """Rows (q, M) of functionals of the features. Arguments as of `_curvature`."""
    return jax.vmap(lambda dx, dw: jax.jvp(readout.features, (vectors, weights), (dx, dw))[1])(slopes, weight_slopes)


def _curvature(kernel, vectors, weights, slopes, weight_slopes):
    """d2/ds dt sum_ij w_i(s) w_j(t) k(x_i(s), x_j(t)) at 0: variances of functionals, (q,).

    Args:
        vectors, weights: of instances, (I, d) and (I,).
        slopes, weight_slopes: how they change along each functional, (q, I, d) and (q, I).
    """
    block = _by_components if vectors.shape[1] <= _FEW else _by_functionals
    own = (vectors, weights, slopes.swapaxes(0, 1), weight_slopes.T)
    return jax.lax.map(lambda part: block(kernel, own, part), _blocks(own, len(weights), len(slopes))).sum(0)


def _by_functionals(kernel, every, part):
    """The sum over i of a part of the instances: derivatives along each functional; what none changes is shared."""
    y, v, dy, dv = every
    x, w, dx, dw = part

    def along(dx, dw, dy, dv):
        def first(y, v):
            return jax.jvp(lambda x, w: w @ kernel.matrix(x, y) @ v, (x, w), (dx, dw))[1]

        return jax.jvp(first, (y, v), (dy, dv))[1]

    return jax.vmap(along, in_axes=1)(dx, dw, dy, dv)


def _by_components(kernel, every, part):
    """The same: derivatives of the covariances by the components of x_i and x_j, made once for all functionals."""
    y, v, dy, dv = every
    x, w, dx, dw = part
    units = [None, *jnp.eye(x.shape[1], dtype=x.dtype)]

    def shares(w, dx, dw):
        return [dw, *jnp.moveaxis(w[:, None, None] * dx, 2, 0)]

    total = 0.0
    for first, own in zip(units, shares(w, dx, dw), strict=True):
        for second, others in zip(units, shares(v, dy, dv), strict=True):
            covariance = _derivative(lambda x, y=y: kernel.matrix(x, y), x, first) if second is None else _derivative(
                lambda y, first=first: _derivative(lambda x: kernel.matrix(x, y), x, first), y, second
            )
            total = total + jnp.sum(own * (covariance @ others), axis=0)
    return total


def _derivative(function, vectors, along):
    """Of a function of vectors (I, d), all changed along one direction; along None: the function itself."""
    if along is None:
        return function(vectors)
    return jax.jvp(function, (vectors,), (jnp.broadcast_to(along, vectors.shape),))[1]


def _blocks(arrays, count, functionals):
    """Arrays cut along their first axis, so that what is held between a block and all instances is not too much."""
    parts = 1
    while count % (2 * parts) == 0 and count // parts * count * functionals > _HELD and count // parts > 16:
        parts *= 2
    return jax.tree.map(lambda a: a.reshape(parts, count // parts, *a.shape[1:]), arrays)
