"""Dynamical matrices of models of several hops, exact at any wave vector, from the primitive cell.

A displacement that is a lattice wave, u_a exp(2 pi i q.R) in cell R, changes every state of an atom by a wave of the
same q. So the framework, which gathers the states of neighbours, carries it through the hops: the tangent of a
neighbour's state in cell R is exp(2 pi i q.R) times that of its copy in the home cell, and the tangent of a vector to
it exp(2 pi i q.R) u_b - u_a. One linearised pass forward and one linearised pass backward, with the phase in every
gather and its conjugate in every scatter, give D(q) u: no supercell, no displacement, and for each column the cost of a
few evaluations of the forces of the primitive cell, whatever the number of hops. Complex tangents are pairs of real
ones. A strain of all vectors goes the same way, at q = 0: one compiled program serves phonons and elastic constants.

Results are differentiable by positions, cell (at fixed fractional q) and parameters.

References:
    K. Kunc, R. M. Martin, Phys. Rev. Lett. 48, 406 (1982), and P. Giannozzi, S. de Gironcoli, P. Pavone, S. Baroni,
    Phys. Rev. B 43, 7231 (1991): responses to monochromatic perturbations in the primitive cell.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxpot.core.graph import Graph, connect
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.precision import is_traced
from jaxpot.core.structure import Structure
from jaxpot.observables.edges import seen_by
from jaxpot.potentials.base import cast
from jaxpot.potentials.message_passing import MessagePassing, as_states, inputs_of, layers
from jaxpot.typing import Array, PyTree

_COLUMNS = 64  # at most, in one call of the program


class Responses(NamedTuple):
    """Changes of dE/dr_a, (c, n, 3) complex eV/A, and of the virial sum_ik r_ik (x) dE/dr_ik, (c, 3, 3) eV, in which
    r_ik stay, along c columns; and dE/dr_a (n, 3) and the virial (3, 3) themselves.
    """

    changes: Array
    virials: Array
    pull: Array
    virial: Array


def wave_matrices(potential: MessagePassing, structure: Structure, listed: Neighbors, q: Array) -> Array:
    """Second derivatives d2E / du_a(0) du_b(R) exp(2 pi i q.R), summed over R; (nq, 3n, 3n) complex eV/A^2.

    Args:
        potential: `MessagePassing`.
        q: (nq, 3) fractional wave vectors.
    """
    size = 3 * len(structure)
    every = jnp.eye(size, dtype=structure.positions.dtype).reshape(size, -1, 3)
    changes = responses(
        potential, structure, listed, jnp.repeat(q, size, axis=0), jnp.tile(every, (len(q), 1, 1)),
        jnp.zeros((len(q) * size, 3, 3), every.dtype),
    ).changes
    return jnp.swapaxes(changes.reshape(len(q), size, size), 1, 2)  # columns were computed row by row


def responses(
    potential: MessagePassing, structure: Structure, listed: Neighbors, q: Array, moves: Array, strains: Array
) -> Responses:
    """Linear responses to lattice waves, one column each.

    Args:
        potential: `MessagePassing`.
        q: (c, 3) fractional wave vectors.
        moves: (c, n, 3) A, displacements u of waves u_a exp(2 pi i q.R), real or complex.
        strains: (c, 3, 3) deformations of all vectors, r -> r + r e, beside them; of q = 0.

    Returns:
        `Responses`; for concrete values by one program, whatever the number of columns.
    """
    dtype = structure.positions.dtype
    moves = jnp.asarray(moves, jnp.result_type(dtype, jnp.complex64))
    columns = jnp.asarray(q, dtype), moves, jnp.asarray(strains, dtype)
    if is_traced(potential, structure, listed, *columns):
        return _responses(potential, structure, listed, columns)
    parts = []
    for begin in range(0, len(q), _COLUMNS):
        some = tuple(array[begin : begin + _COLUMNS] for array in columns)
        count = len(some[0])
        full = tuple(jnp.zeros((_COLUMNS, *array.shape[1:]), array.dtype).at[:count].set(array) for array in some)
        *of_columns, pull, virial = _first_responses(count, potential, structure, listed, full)
        parts.append([array[:count] for array in of_columns])
    changes, virials = (jnp.concatenate(part) for part in zip(*parts, strict=True))
    return Responses(changes, virials, pull, virial)


def sizes(potential: MessagePassing, structure: Structure, listed: Neighbors) -> tuple[int, int, list[int]]:
    """Numbers of rows, of their places for neighbours, and of the numbers of a state before each layer."""
    vectors, states = jax.eval_shape(_vectors_and_states, potential, structure, listed)
    numbers = [sum(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(state)) for state in states]
    return *vectors.shape, numbers


@jax.jit  # traced once for all who ask for its shapes
def _vectors_and_states(potential, structure, listed):
    graph = connect(structure, seen_by(potential, listed))
    return graph.x, _states(cast(potential, structure.positions.dtype), graph)


@jax.jit
def _responses(potential, structure, listed, columns):
    response, *first = _response(potential, structure, listed)
    return Responses(*jax.lax.map(response, columns), *first)


@jax.jit
def _first_responses(count, potential, structure, listed, columns):
    """Responses to the first few columns, zero for the others: how many is no part of the program."""
    response, *first = _response(potential, structure, listed)

    def add(k, results):
        of_one = response(jax.tree.map(lambda a: a[k], columns))
        return jax.tree.map(lambda all_of, one: all_of.at[k].set(one), results, of_one)

    shapes = jax.eval_shape(lambda: jax.lax.map(response, columns))
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    return Responses(*jax.lax.fori_loop(0, count, add, zeros), *first)


def _response(potential, structure, listed):
    """The response to a column, and the derivatives of first order; what does not depend on a column comes once."""
    listed = seen_by(potential, listed)
    graph = connect(structure, listed)
    linear, gradient = _linear_response(cast(potential, structure.positions.dtype), graph)
    by_vectors = jnp.where(graph.filled & graph.real[:, None], gradient, 0.0)
    pull = graph.from_neighbors(by_vectors.transpose(1, 2, 0)) - graph.on_atoms(by_vectors.sum(2).T)
    shifts = jnp.asarray(listed.shifts, structure.positions.dtype)

    def response(column):
        q, move, strain = column
        angle = 2.0 * jnp.pi * jnp.tensordot(q.astype(shifts.dtype), shifts, 1)
        change, virial = linear((jnp.cos(angle), jnp.sin(angle)), move, strain)
        return change[0] + 1j * change[1], virial

    return response, pull, jnp.einsum("amk,bmk->ab", _geometry(graph), by_vectors)


def passes(potential: MessagePassing, graph: Graph) -> tuple[list[PyTree], list[PyTree], Array]:
    """Inputs of each layer, the derivative of the energy by its outputs, of all atoms, and dE/dr_ik (3, m, K)."""
    functions, states = layers(potential), _states(potential, graph)
    slopes: list[PyTree] = [None] * len(functions)
    gradient = jnp.zeros_like(_geometry(graph))
    for k in reversed(range(len(functions))):
        pull = _pull(functions[k], graph)
        of_geometry, back, others = pull(
            _geometry(graph), *_rows(potential, graph, states[k]), seeds_of(graph, slopes[k])
        )
        gradient = gradient + of_geometry
        if k:
            passed_on = as_states(potential, states[k], graph.from_neighbors(others))
            slopes[k - 1] = jax.tree.map(jnp.add, graph.on_atoms(back), passed_on)
    return states, slopes, gradient


def _states(potential, graph):
    states = [None]
    for layer in layers(potential)[:-1]:
        states.append(graph.on_atoms(layer(*inputs_of(potential, graph, states[-1]))))
    return states


def _geometry(graph):
    return jnp.stack([graph.x, graph.y, graph.z])


def _rows(potential, graph, state):
    return inputs_of(potential, graph, state)[1:]


def seeds_of(graph: Graph, slopes: PyTree) -> PyTree:
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


def _linearised(function, primals):
    """The derivative of a function along two directions, real and imaginary part, an axis (2,) in front."""
    push = jax.linearize(function, *primals)[1]
    return lambda *pairs: jax.vmap(push)(*pairs)


def _linear_response(potential, graph):
    """The linearised gradient, and dE/dr_ik (3, m, K).

    (phase, displacements, strain) -> changes of dE/dr (2, n, 3), real and imaginary part, and of the virial (3, 3),
    real part.
    """
    states, slopes, gradient = passes(potential, graph)
    functions, n = layers(potential), graph.n_atoms
    filled, vectors = graph.filled & graph.real[:, None], _geometry(graph)
    forward, backward, seeds = [], [], []
    for layer, state, slope in zip(functions, states, slopes, strict=True):
        primals, seed = (vectors, *_rows(potential, graph, state)), seeds_of(graph, slope)
        forward.append(_linearised(_of_vectors(layer, graph), primals))
        backward.append(_linearised(_pull(layer, graph), (*primals, seed)))
        seeds.append(seed)

    def rows(pair):
        return jax.tree.map(lambda a: a[:, graph.centers], pair)

    def response(phase, displacement, strain):
        def at_neighbors(pair):
            return jax.tree.map(lambda a: _turned(jax.vmap(graph.at_neighbors)(a), phase), pair)

        def from_neighbors(pair):
            cosine, sine = phase
            return jax.tree.map(lambda a: jax.vmap(graph.from_neighbors)(_turned(a, (cosine, -sine))), pair)

        still = jnp.stack([displacement.real, displacement.imag])
        along = at_neighbors(still) - rows(still)[:, :, None]  # (2, m, K, 3)
        along = along.at[0].add(jnp.einsum("amk,ab->mkb", vectors, strain))
        along = jnp.where(filled[None, :, :, None], along, 0.0).transpose(0, 3, 1, 2)
        tangents, moved = [(along, None, None)], [None]
        for push in forward[:-1]:
            moved.append(jax.vmap(graph.on_atoms)(push(*tangents[-1])))
            tangents.append((along, rows(moved[-1]), at_neighbors(potential.shown(moved[-1]))))
        change, virial, turned = jnp.zeros((2, n, 3), vectors.dtype), jnp.zeros((3, 3), vectors.dtype), None
        for k in reversed(range(len(functions))):
            moved_seeds = jnp.zeros((2, *seeds[k].shape), vectors.dtype) if slopes[k] is None else jax.vmap(
                lambda a: _of_real_rows(graph, a)
            )(rows(turned))
            pulled = backward[k](*tangents[k], moved_seeds)
            by_vectors = jnp.where(filled[None, :, :, None], pulled[0].transpose(0, 2, 3, 1), 0.0)
            change = change + from_neighbors(by_vectors) - jax.vmap(graph.on_atoms)(by_vectors.sum(2))
            virial = virial + jnp.einsum("amk,mkb->ab", vectors, by_vectors[0])
            if k:
                passed_on = as_states(potential, moved[k], from_neighbors(pulled[2]))
                turned = jax.tree.map(jnp.add, jax.vmap(graph.on_atoms)(pulled[1]), passed_on)
        return change, virial

    return response, gradient


def _turned(pair, phase):
    """A pair of real and imaginary parts, (2, m, K, ...), times cos + i sin."""
    cosine, sine = (part.reshape(*part.shape, *[1] * (pair.ndim - 3)) for part in phase)
    real, imaginary = pair
    return jnp.stack([cosine * real - sine * imaginary, sine * real + cosine * imaginary])
