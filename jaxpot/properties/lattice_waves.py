"""Dynamical matrices of models of several hops, exact at any wave vector, from the primitive cell.

A displacement that is a lattice wave, u_a exp(2 pi i q.R) in cell R, changes every state of an atom by a wave of the
same q. So the framework, which gathers the states of neighbours, carries it through the hops: the tangent of a
neighbour's state in cell R is exp(2 pi i q.R) times that of its copy in the home cell, and the tangent of a vector to
it exp(2 pi i q.R) u_b - u_a. One linearised pass forward and one linearised pass backward, with the phase in every
gather and its conjugate in every scatter, give D(q) u: no supercell, no displacement, and for each column the cost of a
few evaluations of the forces of the primitive cell, whatever the number of hops. Complex tangents are pairs of real
ones. For many wave vectors the derivatives of each hop are made once instead, between cells, and each wave vector costs
a few products of small matrices (`_of_cells`); both ways give the same numbers.

Results are differentiable by positions, cell (at fixed fractional q) and parameters.

References:
    K. Kunc, R. M. Martin, Phys. Rev. Lett. 48, 406 (1982), and P. Giannozzi, S. de Gironcoli, P. Pavone, S. Baroni,
    Phys. Rev. B 43, 7231 (1991): responses to monochromatic perturbations in the primitive cell.
"""

import jax
import jax.flatten_util
import jax.numpy as jnp

from jaxpot.core.graph import connect
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.precision import product
from jaxpot.core.structure import Structure
from jaxpot.observables.edges import seen_by
from jaxpot.potentials.base import cast
from jaxpot.potentials.message_passing import MessagePassing, inputs_of, layers
from jaxpot.typing import AnyArray, Array

_BATCH = 2_000_000  # numbers in the states of neighbours of all waves that are computed at once
_HELD = 1 << 25  # numbers in the second derivatives of all layers that are held: 256 MB
_DIRECTIONS = 64  # along which second derivatives of a layer are computed at once
_WAVES = 1 << 20  # numbers in the matrices of wave vectors that are multiplied at once


def wave_matrices(
    potential: MessagePassing, structure: Structure, listed: Neighbors, q: Array, cells: AnyArray, index: AnyArray
) -> Array:
    """Second derivatives d2E / du_a(0) du_b(R) exp(2 pi i q.R), summed over R; (nq, 3n, 3n) complex eV/A^2.

    Few wave vectors are carried through the hops one column after the other. For many it is cheaper to make the
    derivatives of each hop once, between cells, and to multiply matrices for each wave vector (`_of_cells`).

    Args:
        potential: `MessagePassing`.
        q: (nq, 3) fractional wave vectors.
        cells, index: lattice vectors between the atoms of each row of the list, see `force_constants.cell_index`.
    """
    listed = seen_by(potential, listed)
    potential = cast(potential, structure.positions.dtype)
    graph = connect(structure, listed)
    states, slopes = _passes(potential, graph)
    numbers = [0 if state is None else sum(leaf[0].size for leaf in jax.tree.leaves(state)) for state in states]
    slots = graph.x.shape[1] + 1
    directions = sum(slots * (3 + width) for width in numbers)
    held = len(graph.x) * sum((slots * (3 + width)) ** 2 for width in numbers)
    if directions < 2 * len(numbers) * 3 * len(structure) * len(q) and held < _HELD:
        return _of_cells(potential, graph, states, slopes, q, jnp.asarray(cells), jnp.asarray(index))
    return _of_waves(potential, graph, states, slopes, q, jnp.asarray(listed.shifts, graph.x.dtype), sum(numbers) + 8)


def _of_waves(potential, graph, states, slopes, q, shifts, width):
    """Column after column: a wave is carried through all hops, forward and backward."""
    n = graph.n_atoms
    size = 3 * n
    columns = jnp.eye(size, dtype=graph.x.dtype).reshape(size, n, 3)

    def one(wave):
        number, column = wave
        angle = 2.0 * jnp.pi * jnp.tensordot(q[number].astype(graph.x.dtype), shifts, 1)
        return _response(potential, graph, states, slopes, (jnp.cos(angle), jnp.sin(angle)), columns[column])

    waves = (jnp.repeat(jnp.arange(len(q)), size), jnp.tile(jnp.arange(size), len(q)))
    batch = max(1, min(len(q) * size, _BATCH // (graph.x.size * width)))
    real, imaginary = jnp.moveaxis(jax.lax.map(one, waves, batch_size=batch), 1, 0)
    matrices = (real + 1j * imaginary).reshape(len(q), size, size)
    return jnp.swapaxes(matrices, -1, -2)  # columns were computed row by row


def _of_cells(potential, graph, states, slopes, q, cells, index):
    """Matrix products for each wave vector, of derivatives of the layers that are folded into cells once.

    With Y_k = (1, X_k) the displacements and the changes of the states that enter layer k, A_k(q) its Jacobian and
    H_k(q) the second derivatives of what it adds to the energy (its outputs times dE by these),

        X_(k+1) = A_k(q) Y_k,    D(q) = sum_k Y_k^+ H_k(q) Y_k
    """
    n = graph.n_atoms
    folded = [
        _layer_between_cells(layer, graph, state, slope, len(cells), index)
        for layer, state, slope in zip(layers(potential), states, slopes, strict=True)
    ]
    unit = jnp.eye(3 * n, dtype=graph.x.dtype).reshape(n, 3, 3 * n)

    def one(q):
        angle = 2.0 * jnp.pi * product(cells.astype(graph.x.dtype), q.astype(graph.x.dtype))
        phases = jnp.stack([jnp.cos(angle), jnp.sin(angle)])

        def times(between, pair):
            """Matrices between cells (R, n, i, n, j) at q, times a complex matrix, a pair of real ones side by side."""
            matrix = product(phases, between.reshape(len(cells), -1)).reshape(-1, pair.shape[0])
            rows = len(matrix) // 2
            parts = product(matrix, pair)  # real and imaginary part of the matrix, times those of the other
            real = parts[:rows, : 3 * n] - parts[rows:, 3 * n :]
            imaginary = parts[:rows, 3 * n :] + parts[rows:, : 3 * n]
            return jnp.concatenate([real, imaginary], axis=1)

        first = jnp.concatenate([unit, jnp.zeros_like(unit)], axis=2)
        moved, total = first, jnp.zeros((3 * n, 3 * n), phases.dtype) + 0j
        for jacobian, curvature in folded:
            pair = moved.reshape(-1, 6 * n)
            parts = product(pair.T, times(curvature, pair))
            total = total + (parts[: 3 * n, : 3 * n] + parts[3 * n :, 3 * n :])
            total = total + 1j * (parts[: 3 * n, 3 * n :] - parts[3 * n :, : 3 * n])
            if jacobian is not None:
                moved = jnp.concatenate([first, times(jacobian, pair).reshape(n, -1, 6 * n)], axis=1)
        return total

    return jax.lax.map(one, q, batch_size=max(1, min(len(q), _WAVES // folded[-1][1][0].size)))


def _layer_between_cells(layer, graph, state, slopes, count, index):
    """Jacobian of a layer and second derivatives of outputs times dE by these, between atoms of cells.

    Variables of an atom are its displacement and its state: width 3 + S.

    Returns:
        (count, n, S', n, 3 + S), None for the last layer; (count, n, 3 + S, n, 3 + S).
    """
    seeds, environments, n = _seeds(graph, slopes), graph.environments(), graph.n_atoms
    unravel, width = None, 0
    if state is not None:
        flat, unravel = jax.flatten_util.ravel_pytree(jax.tree.map(lambda a: a[0], state))
        width = len(flat)
    flat_states = jnp.zeros((n, 0), graph.x.dtype) if state is None else jax.vmap(
        lambda one: jax.flatten_util.ravel_pytree(one)[0]
    )(state)
    owners = jnp.concatenate([graph.others, graph.centers[:, None]], axis=1)  # (m, K + 1), the centre last
    filled = jnp.concatenate([graph.filled, jnp.ones((len(owners), 1), bool)], axis=1) & graph.real[:, None]
    slots = jnp.concatenate([jnp.zeros((*owners.shape, 3), graph.x.dtype), flat_states[owners]], axis=2)

    def output(environment, slots):
        along = slots[:-1, :3] - slots[-1, :3]
        x, y, z = environment.x + along[:, 0], environment.y + along[:, 1], environment.z + along[:, 2]
        environment = environment.replace(x=x, y=y, z=z, distances=jnp.sqrt(x * x + y * y + z * z))
        state, others = None, None
        if unravel is not None:
            state, others = unravel(slots[-1, 3:]), jax.vmap(unravel)(slots[:-1, 3:])
        one_row = jax.tree.map(lambda a: a[None], (environment, state, others))
        return jax.tree.map(lambda a: a[0], layer(*one_row))

    def second(row):
        environment, slots, seed, mask = row

        def slope(slots):
            return jax.vjp(lambda slots: output(environment, slots), slots)[1](seed)[0]

        push = jax.linearize(slope, slots)[1]
        units = jnp.eye(slots.size, dtype=slots.dtype).reshape(-1, *slots.shape)
        full = jax.lax.map(push, units, batch_size=_DIRECTIONS).reshape(*slots.shape, *slots.shape)
        mask = mask[:, None, None, None] & mask[None, None, :, None]
        return jnp.where(mask, full, 0.0)

    def first(row):
        environment, slots, _, mask = row
        rows = jax.jacrev(lambda slots: jax.flatten_util.ravel_pytree(output(environment, slots))[0])(slots)
        return jnp.where(mask[None, :, None], rows, 0.0)  # (S', K + 1, 3 + S)

    rows = (environments, slots, seeds, filled)
    full = jax.lax.map(second, rows).transpose(0, 1, 3, 2, 4)
    curvature = jnp.zeros((count, n, n, 3 + width, 3 + width), full.dtype)
    curvature = curvature.at[index, owners[:, :, None], owners[:, None, :]].add(full).swapaxes(2, 3)
    if slopes is None:
        return None, curvature
    slopes_of_rows = jax.lax.map(first, rows).transpose(0, 2, 1, 3)
    jacobian = jnp.zeros((count, n, n, slopes_of_rows.shape[2], 3 + width), full.dtype)
    jacobian = jacobian.at[index[:, -1], graph.centers[:, None], owners].add(slopes_of_rows)
    return jacobian.swapaxes(2, 3), curvature


def _passes(potential, graph):
    """Inputs of each layer, and the derivative of the energy by its outputs, of all atoms; no waves yet."""
    functions, states = layers(potential), [None]
    for layer in functions[:-1]:
        states.append(graph.on_atoms(layer(*inputs_of(graph, states[-1]))))
    slopes = [None] * len(functions)
    for k in reversed(range(1, len(functions))):
        pull = _pull(functions[k], graph)
        _, back, others = pull(_geometry(graph), *_rows(graph, states[k]), _seeds(graph, slopes[k]))
        slopes[k - 1] = jax.tree.map(jnp.add, graph.on_atoms(back), graph.from_neighbors(others))
    return states, slopes


def _geometry(graph):
    return jnp.stack([graph.x, graph.y, graph.z])


def _rows(graph, state):
    return inputs_of(graph, state)[1:]


def _seeds(graph, slopes):
    """Derivatives of the energy by what a layer leaves in rows; copies have none."""
    if slopes is None:
        return graph.real.astype(graph.x.dtype)
    return _of_real_rows(graph, jax.tree.map(lambda a: a[graph.centers], slopes))


def _of_real_rows(graph, rows):
    return jax.tree.map(lambda a: jnp.where(graph.real.reshape(-1, *[1] * (a.ndim - 1)), a, 0), rows)


def _of_vectors(layer, graph):
    """A layer as a function of the vectors to neighbours (3, m, K), states of rows, and of neighbours."""
    def function(vectors, rows, others):
        x, y, z = vectors
        distances = jnp.sqrt(x * x + y * y + z * z)
        return layer(graph.environments().replace(x=x, y=y, z=z, distances=distances), rows, others)

    return function


def _pull(layer, graph):
    """Derivatives by what a layer reads: (vectors, rows, others, seeds) -> (by vectors, by rows, by others)."""
    def function(vectors, rows, others, seeds):
        return jax.vjp(_of_vectors(layer, graph), vectors, rows, others)[1](seeds)

    return function


def _along(function, primals, pairs):
    """Derivatives of a function along two directions, real and imaginary part, an axis (2,) in front."""
    push = jax.linearize(function, *primals)[1]
    return jax.vmap(push)(*pairs)


def _response(potential, graph, states, slopes, phase, displacement):
    """dF of the linearised gradient: (2, n, 3), real and imaginary part."""
    functions, n = layers(potential), graph.n_atoms
    filled = graph.filled & graph.real[:, None]

    def at_neighbors(pair):
        return jax.tree.map(lambda a: _turned(jax.vmap(graph.at_neighbors)(a), phase), pair)

    def from_neighbors(pair):
        cosine, sine = phase
        return jax.tree.map(lambda a: jax.vmap(graph.from_neighbors)(_turned(a, (cosine, -sine))), pair)

    def rows(pair):
        return jax.tree.map(lambda a: a[:, graph.centers], pair)

    still = jnp.stack([displacement, jnp.zeros_like(displacement)])
    along = at_neighbors(still) - rows(still)[:, :, None]  # (2, m, K, 3)
    along = jnp.where(filled[None, :, :, None], along, 0.0).transpose(0, 3, 1, 2)
    vectors, moved = _geometry(graph), [None]
    for k, layer in enumerate(functions[:-1]):
        tangents = (along, None, None) if k == 0 else (along, rows(moved[k]), at_neighbors(moved[k]))
        output = _along(_of_vectors(layer, graph), (vectors, *_rows(graph, states[k])), tangents)
        moved.append(jax.vmap(graph.on_atoms)(output))
    change, turned = jnp.zeros((2, n, 3), vectors.dtype), None
    for k in reversed(range(len(functions))):
        seeds = _seeds(graph, slopes[k])
        moved_seeds = jnp.zeros((2, *seeds.shape), seeds.dtype) if slopes[k] is None else jax.vmap(
            lambda a: _of_real_rows(graph, a)
        )(rows(turned))
        tangents = (along, None, None) if k == 0 else (along, rows(moved[k]), at_neighbors(moved[k]))
        pulled = _along(
            _pull(functions[k], graph), (vectors, *_rows(graph, states[k]), seeds), (*tangents, moved_seeds)
        )
        by_vectors = jnp.where(filled[None, :, :, None], pulled[0].transpose(0, 2, 3, 1), 0.0)
        change = change + from_neighbors(by_vectors) - jax.vmap(graph.on_atoms)(by_vectors.sum(2))
        if k:
            turned = jax.tree.map(jnp.add, jax.vmap(graph.on_atoms)(pulled[1]), from_neighbors(pulled[2]))
    return change


def _turned(pair, phase):
    """A pair of real and imaginary parts, (2, m, K, ...), times cos + i sin."""
    cosine, sine = (part.reshape(*part.shape, *[1] * (pair.ndim - 3)) for part in phase)
    real, imaginary = pair
    return jnp.stack([cosine * real - sine * imaginary, sine * real + cosine * imaginary])
