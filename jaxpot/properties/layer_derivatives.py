"""Dynamical matrices of models of several hops from derivatives of each hop: many wave vectors, narrow states.

The derivatives of what a layer leaves, and of what it adds to the energy, are folded into cells; each wave vector costs
a few products of small matrices. The same numbers as columns carried through the hops (`properties.lattice_waves`).
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
from jaxpot.potentials.message_passing import MessagePassing, layers
from jaxpot.properties.lattice_waves import passes, seeds_of, sizes
from jaxpot.typing import AnyArray, Array

_HELD = 1 << 25  # numbers in the second derivatives of all layers that are held: 256 MB
_DIRECTIONS = 32  # along which second derivatives of a layer are computed at once: more leave the cache
_WAVES = 1 << 20  # numbers in the matrices of wave vectors that are multiplied at once


def pays(potential: MessagePassing, structure: Structure, listed: Neighbors, waves: int) -> bool:
    """Whether derivatives of each hop cost less than columns at so many wave vectors, and fit into memory."""
    rows, slots, numbers = sizes(potential, structure, listed)
    variables = [(slots + 1) * (3 + width) for width in numbers[:-1]] + [3 * (slots + 1) + numbers[-1]]
    held = rows * sum(count**2 for count in variables)
    return held < _HELD and sum(variables) < 2 * len(numbers) * 3 * len(structure) * waves


@jax.jit
def wave_matrices(
    potential: MessagePassing, structure: Structure, listed: Neighbors, q: Array, cells: AnyArray, index: AnyArray,
    near: AnyArray,
) -> Array:
    """Second derivatives d2E / du_a(0) du_b(R) exp(2 pi i q.R), summed over R; (nq, 3n, 3n) complex eV/A^2.

    Args:
        potential: `MessagePassing`.
        q: (nq, 3) fractional wave vectors.
        cells, index: lattice vectors between the atoms of each row of the list, see `force_constants.cell_index`.
        near: (nN,) which of the cells neighbours of an atom of the home cell are in, ascending.
    """
    listed = seen_by(potential, listed)
    potential = cast(potential, structure.positions.dtype)
    graph = connect(structure, listed)
    states, slopes, _ = passes(potential, graph)
    return _by_layers(potential, graph, states, slopes, q, jnp.asarray(cells), jnp.asarray(index), jnp.asarray(near))


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


def _by_layers(potential, graph, states, slopes, q, cells, index, near):
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
    seeds, environments, n = seeds_of(graph, slopes), graph.environments(), graph.n_atoms
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
