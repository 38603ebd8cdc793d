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

from typing import NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp

from jaxpot.core.graph import connect
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.precision import product
from jaxpot.core.structure import Structure
from jaxpot.observables.edges import seen_by
from jaxpot.potentials.base import cast
from jaxpot.potentials.message_passing import MessagePassing, as_states, inputs_of, layers
from jaxpot.typing import AnyArray, Array

_BATCH = 2_000_000  # numbers in the states of neighbours of all waves that are computed at once
_HELD = 1 << 25  # numbers in the second derivatives of all layers that are held: 256 MB
_DIRECTIONS = 32  # along which second derivatives of a layer are computed at once: more leave the cache
_WAVES = 1 << 20  # numbers in the matrices of wave vectors that are multiplied at once


def wave_matrices(
    potential: MessagePassing, structure: Structure, listed: Neighbors, q: Array, cells: AnyArray, index: AnyArray,
    near: AnyArray,
) -> Array:
    """Second derivatives d2E / du_a(0) du_b(R) exp(2 pi i q.R), summed over R; (nq, 3n, 3n) complex eV/A^2.

    Few wave vectors are carried through the hops one column after the other. For many it is cheaper to make the
    derivatives of each hop once, between cells, and to multiply matrices for each wave vector (`_of_cells`).

    Args:
        potential: `MessagePassing`.
        q: (nq, 3) fractional wave vectors.
        cells, index: lattice vectors between the atoms of each row of the list, see `force_constants.cell_index`.
        near: (nN,) which of the cells neighbours of an atom of the home cell are in, ascending.
    """
    listed = seen_by(potential, listed)
    potential = cast(potential, structure.positions.dtype)
    graph = connect(structure, listed)
    states, slopes = _passes(potential, graph)
    numbers = [0 if state is None else sum(leaf[0].size for leaf in jax.tree.leaves(state)) for state in states]
    slots = graph.x.shape[1] + 1
    variables = [slots * (3 + width) for width in numbers[:-1]] + [3 * slots + numbers[-1]]
    held = len(graph.x) * sum(count**2 for count in variables)
    if sum(variables) < 2 * len(numbers) * 3 * len(structure) * len(q) and held < _HELD:
        return _of_cells(potential, graph, states, slopes, q, *map(jnp.asarray, (cells, index, near)))
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


class _Layer(NamedTuple):
    """Derivatives of a layer between atoms of cells: of what it leaves by displacements u and by states s that enter
    it, and of what it adds to the energy (its outputs times dE by these) twice. None where there are none.

    uu (R, 3n, 3n) eV/A^2, us (R, 3n, S), ss (R, S, S), from the home cell to cell R; by_u (N, S', 3n) and by_s
    (N, S', S), to cells that are near; ss of R = 0 alone, (1, S, S), where a layer reads no neighbour's state.
    """

    uu: Array
    us: Array | None
    ss: Array | None
    by_u: Array | None
    by_s: Array | None


def _of_cells(potential, graph, states, slopes, q, cells, index, near):
    """Matrix products for each wave vector, of derivatives of the layers that are folded into cells once.

    With X_k the changes of the states that enter layer k along the displacements,

        X_(k+1) = A_u(q) + A_s(q) X_k,    D(q) = sum_k H_uu(q) + H_us(q) X_k + (H_us(q) X_k)^+ + X_k^+ H_ss(q) X_k

    Complex matrices are pairs of real ones: those that multiply one above the other, the others side by side.
    """
    size, count = 3 * graph.n_atoms, len(cells)
    folded = [
        _layer_between_cells(potential, layer, graph, state, slope, count, index, near)
        for layer, state, slope in zip(layers(potential), states, slopes, strict=True)
    ]
    uu = sum(layer.uu for layer in folded)
    halves = [None if layer.ss is None else _even_and_odd(layer.ss) for layer in folded]

    def one(q):
        angle = 2.0 * jnp.pi * product(cells.astype(graph.x.dtype), q.astype(graph.x.dtype))
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        phases = jnp.stack([cosine, sine])
        phases_near = phases[:, near]

        def at_q(between, phases=phases):
            return product(phases, between.reshape(len(between), -1)).reshape(-1, between.shape[2])

        def curved(half, pair):
            """H_ss(q) X: its real part is even in R, its imaginary part odd."""
            even, odd = half
            if odd is None:
                return product(even[0], pair)
            width = even.shape[1]
            real, imaginary = (
                product(along[: len(part)], part.reshape(len(part), -1)).reshape(width, width)
                for along, part in ((cosine, even), (sine, odd))
            )
            return product(real, pair) + _times_i(product(imaginary, pair))

        pair, mixed, squares = None, 0.0, 0.0
        for layer, half in zip(folded, halves, strict=True):
            if half is not None:
                mixed = mixed + _times(at_q(layer.us), pair)
                squares = squares + product(pair.T, curved(half, pair))
            if layer.by_u is not None:
                moved = _side_by_side(at_q(layer.by_u, phases_near))
                pair = moved if pair is None else moved + _times(at_q(layer.by_s, phases_near), pair)
        straight = at_q(uu)
        real = straight[:size] + mixed[:, :size] + mixed[:, :size].T + squares[:size, :size] + squares[size:, size:]
        turned = mixed[:, size:] - mixed[:, size:].T + squares[:size, size:] - squares[size:, :size]
        return real + 1j * (straight[size:] + turned)

    largest = max(layer.ss[0].size for layer in folded[1:])
    return jax.lax.map(one, q, batch_size=max(1, min(len(q), _WAVES // largest)))


def _even_and_odd(between):
    """Parts of Hermitian matrices that multiply cosines and sines, of half of the cells: M(-R) is M(R) transposed."""
    half = len(between) // 2
    if half == 0:
        return between, None
    ahead, turned = between[:half], jnp.swapaxes(between[:half], 1, 2)
    return jnp.concatenate([ahead + turned, between[half : half + 1]]), ahead - turned


def _times(matrix, pair):
    """Product of a complex matrix, real part above imaginary part, and a pair side by side."""
    parts, rows = product(matrix, pair), len(matrix) // 2
    return parts[:rows] + _times_i(parts[rows:])


def _times_i(pair):
    real, imaginary = jnp.split(pair, 2, axis=1)
    return jnp.concatenate([-imaginary, real], axis=1)


def _side_by_side(matrix):
    return jnp.concatenate(jnp.split(matrix, 2), axis=1)


def _layer_between_cells(potential, layer, graph, state, slopes, count, index, near):
    """`_Layer` of a layer; the last one, which has no slopes, reads no states of neighbours."""
    seeds, environments, n = _seeds(graph, slopes), graph.environments(), graph.n_atoms
    owners = jnp.concatenate([graph.others, graph.centers[:, None]], axis=1)  # (m, K + 1), the centre last
    filled = jnp.concatenate([graph.filled, jnp.ones((len(owners), 1), bool)], axis=1) & graph.real[:, None]
    slots, unravel, width = owners.shape[1], None, 0
    readers, read = owners[:, :0], jnp.zeros((len(owners), 0, 0), graph.x.dtype)  # whose states are read, and these
    if state is not None:
        flat, unravel = jax.flatten_util.ravel_pytree(jax.tree.map(lambda a: a[0], state))
        width = len(flat)
        flat_states = jax.vmap(lambda one: jax.flatten_util.ravel_pytree(one)[0])(state)
        readers = owners if slopes is not None else owners[:, -1:]
        read = flat_states[readers]
    size = 3 * slots
    variables = jnp.concatenate([jnp.zeros((len(owners), size), read.dtype), read.reshape(len(read), -1)], axis=1)
    masks = jnp.concatenate([
        jnp.repeat(filled, 3, axis=1),
        jnp.repeat(filled[:, slots - readers.shape[1] :], width, axis=1, total_repeat_length=width * readers.shape[1]),
    ], axis=1)

    def output(environment, variables):
        moved, states = variables[:size].reshape(slots, 3), variables[size:].reshape(readers.shape[1], width)
        along = moved[:-1] - moved[-1]
        x, y, z = environment.x + along[:, 0], environment.y + along[:, 1], environment.z + along[:, 2]
        environment = environment.replace(x=x, y=y, z=z, distances=jnp.sqrt(x * x + y * y + z * z))
        of_centre = None if unravel is None else unravel(states[-1])
        others = None if len(states) < slots else potential.shown(jax.vmap(unravel)(states[:-1]))
        one_row = jax.tree.map(lambda a: a[None], (environment, of_centre, others))
        return jax.tree.map(lambda a: a[0], layer(*one_row))

    def second(row):
        """Second derivatives of a row: by displacements and all variables; by states twice, geometry apart."""
        environment, variables, seed, mask = row
        moved, states = variables[:size], variables[size:]

        def slopes_of(moved, states):
            return jax.vjp(lambda u, s: output(environment, jnp.concatenate([u, s])), moved, states)[1](seed)

        def along_each(function, primal):
            push = jax.linearize(function, primal)[1]
            return jax.lax.map(push, jnp.eye(len(primal), dtype=primal.dtype), batch_size=_DIRECTIONS)

        by_moved = along_each(lambda moved: jnp.concatenate(slopes_of(moved, states)), moved)
        by_moved = jnp.where(mask[:size, None] & mask, by_moved, 0.0)
        if not len(states):
            return by_moved, jnp.zeros((0, 0), moved.dtype)
        by_states = along_each(lambda states: slopes_of(moved, states)[1], states)
        return by_moved, jnp.where(mask[size:, None] & mask[size:], by_states, 0.0)

    def first(row):
        environment, variables, _, mask = row
        rows = jax.jacrev(lambda v: jax.flatten_util.ravel_pytree(output(environment, v))[0])(variables)
        return jnp.where(mask, rows, 0.0)

    def between(full, index, left, right, count=count):
        """Blocks (m, slots, a, slots, b) of rows as matrices between all atoms of cells, (R, n a, n b)."""
        sums = jnp.zeros((count, n, n, full.shape[2], full.shape[4]), full.dtype)
        sums = sums.at[index, left[:, :, None], right[:, None, :]].add(full.transpose(0, 1, 3, 2, 4))
        return sums.transpose(0, 1, 3, 2, 4).reshape(count, n * full.shape[2], n * full.shape[4])

    def of_slots(full, rows, columns):
        return full.reshape(len(full), *rows, *columns)

    rows = (environments, variables, seeds, masks)
    by_moved, by_states = jax.lax.map(second, rows)
    u, s = (slots, 3), (readers.shape[1], width)
    uu = between(of_slots(by_moved[..., :size], u, u), index, owners, owners)
    us = ss = by_u = by_s = None
    if state is not None:
        us = between(of_slots(by_moved[..., size:], u, s), index[:, :, slots - s[0] :], owners, readers)
        of_states = of_slots(by_states, s, s)
        if s[0] == slots:
            ss = between(of_states, index, owners, owners)
        else:  # of one atom each
            ss = jnp.zeros((n, n, width, width), by_states.dtype)
            ss = ss.at[graph.centers, graph.centers].add(of_states[:, 0, :, 0])
            ss = ss.transpose(0, 2, 1, 3).reshape(1, n * width, n * width)
    if slopes is not None:
        along = jax.lax.map(first, rows)[:, None]  # (m, 1, S', variables): what the centre hands on
        where = jnp.searchsorted(near, index[:, -1:]), owners[:, -1:], owners, len(near)
        by_u = between(along[..., :size].reshape(*along.shape[:3], *u), *where)
        if state is not None:
            by_s = between(along[..., size:].reshape(*along.shape[:3], *s), *where)
    return _Layer(uu, us, ss, by_u, by_s)


def _passes(potential, graph):
    """Inputs of each layer, and the derivative of the energy by its outputs, of all atoms; no waves yet."""
    functions, states = layers(potential), [None]
    for layer in functions[:-1]:
        states.append(graph.on_atoms(layer(*inputs_of(potential, graph, states[-1]))))
    slopes = [None] * len(functions)
    for k in reversed(range(1, len(functions))):
        pull = _pull(functions[k], graph)
        _, back, others = pull(_geometry(graph), *_rows(potential, graph, states[k]), _seeds(graph, slopes[k]))
        passed_on = as_states(potential, states[k], graph.from_neighbors(others))
        slopes[k - 1] = jax.tree.map(jnp.add, graph.on_atoms(back), passed_on)
    return states, slopes


def _geometry(graph):
    return jnp.stack([graph.x, graph.y, graph.z])


def _rows(potential, graph, state):
    return inputs_of(potential, graph, state)[1:]


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

    def seen(pair):
        return at_neighbors(potential.shown(pair))

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
        tangents = (along, None, None) if k == 0 else (along, rows(moved[k]), seen(moved[k]))
        output = _along(_of_vectors(layer, graph), (vectors, *_rows(potential, graph, states[k])), tangents)
        moved.append(jax.vmap(graph.on_atoms)(output))
    change, turned = jnp.zeros((2, n, 3), vectors.dtype), None
    for k in reversed(range(len(functions))):
        seeds = _seeds(graph, slopes[k])
        moved_seeds = jnp.zeros((2, *seeds.shape), seeds.dtype) if slopes[k] is None else jax.vmap(
            lambda a: _of_real_rows(graph, a)
        )(rows(turned))
        tangents = (along, None, None) if k == 0 else (along, rows(moved[k]), seen(moved[k]))
        pulled = _along(
            _pull(functions[k], graph), (vectors, *_rows(potential, graph, states[k]), seeds), (*tangents, moved_seeds)
        )
        by_vectors = jnp.where(filled[None, :, :, None], pulled[0].transpose(0, 2, 3, 1), 0.0)
        change = change + from_neighbors(by_vectors) - jax.vmap(graph.on_atoms)(by_vectors.sum(2))
        if k:
            passed_on = as_states(potential, moved[k], from_neighbors(pulled[2]))
            turned = jax.tree.map(jnp.add, jax.vmap(graph.on_atoms)(pulled[1]), passed_on)
    return change


def _turned(pair, phase):
    """A pair of real and imaginary parts, (2, m, K, ...), times cos + i sin."""
    cosine, sine = (part.reshape(*part.shape, *[1] * (pair.ndim - 3)) for part in phase)
    real, imaginary = pair
    return jnp.stack([cosine * real - sine * imaginary, sine * real + cosine * imaginary])
