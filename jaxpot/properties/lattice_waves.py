"""Dynamical matrices of models of several hops, exact at any wave vector, from the primitive cell.

A displacement that is a lattice wave, u_a exp(2 pi i q.R) in cell R, changes every state of an atom by a wave of the
same q. So the framework, which gathers the states of neighbours, carries it through the hops: the tangent of a
neighbour's state in cell R is exp(2 pi i q.R) times that of its copy in the home cell, and the tangent of a vector to
it exp(2 pi i q.R) u_b - u_a. One linearised pass forward and one linearised pass backward, with the phase in every
gather and its conjugate in every scatter, give D(q) u: no supercell, no displacement, and for each column the cost of a
few evaluations of the forces of the primitive cell, whatever the number of hops. Complex tangents are pairs of real
ones.

Results are differentiable by positions, cell (at fixed fractional q) and parameters.

References:
    K. Kunc, R. M. Martin, Phys. Rev. Lett. 48, 406 (1982), and P. Giannozzi, S. de Gironcoli, P. Pavone, S. Baroni,
    Phys. Rev. B 43, 7231 (1991): responses to monochromatic perturbations in the primitive cell.
"""

import jax
import jax.numpy as jnp

from jaxpot.core.graph import connect
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.structure import Structure
from jaxpot.observables.edges import seen_by
from jaxpot.potentials.base import cast
from jaxpot.potentials.message_passing import MessagePassing, inputs_of, layers
from jaxpot.typing import Array

_BATCH = 2_000_000  # numbers in the states of neighbours of all waves that are computed at once


def wave_matrices(potential: MessagePassing, structure: Structure, listed: Neighbors, q: Array) -> jax.Array:
    """Second derivatives d2E / du_a(0) du_b(R) exp(2 pi i q.R), summed over R; (nq, 3n, 3n) complex eV/A^2.

    Args:
        potential: `MessagePassing`.
        q: (nq, 3) fractional wave vectors.
    """
    listed = seen_by(potential, listed)
    potential = cast(potential, structure.positions.dtype)
    graph = connect(structure, listed)
    size = 3 * len(structure)
    columns = jnp.eye(size, dtype=graph.x.dtype).reshape(size, len(structure), 3)
    states, slopes = _passes(potential, graph)
    shifts = jnp.asarray(listed.shifts, graph.x.dtype)  # (3, m, K)

    def one(wave):
        index, column = wave
        angle = 2.0 * jnp.pi * jnp.tensordot(q[index].astype(graph.x.dtype), shifts, 1)
        return _response(potential, graph, states, slopes, (jnp.cos(angle), jnp.sin(angle)), columns[column])

    waves = (jnp.repeat(jnp.arange(len(q)), size), jnp.tile(jnp.arange(size), len(q)))
    width = sum(leaf[0].size for state in states if state is not None for leaf in jax.tree.leaves(state)) + 8
    batch = max(1, min(len(q) * size, _BATCH // (graph.x.size * width)))
    real, imaginary = jnp.moveaxis(jax.lax.map(one, waves, batch_size=batch), 1, 0)
    matrices = (real + 1j * imaginary).reshape(len(q), size, size)
    return jnp.swapaxes(matrices, -1, -2)  # columns were computed row by row


def _passes(potential, graph):
    """What enters each layer, and the derivative of the energy by what leaves it, of all atoms; no waves yet."""
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
