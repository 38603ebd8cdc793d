"""Weighted sums of invariant products as bilinear forms of halves: matrix products over the atoms.

A product of v factors is one of two halves, L R with sum of orders M and -M. A weighted sum of all products is

    sum_M sum_pq W_M,pq Re(L_M,p R_M,q^*)

with a matrix W for each M that all atoms share: with the parts of R of many atoms as columns, a matrix product. Of the
gradient, by L it is there already, and by R it is the product with W^T.
"""

import math
from collections import defaultdict
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.gemm import gemm
from jaxpot.typing import Array

_SMALL = 800  # numbers of a matrix: multiplying by zeros is no worse than a program of more parts

Half = tuple  # of factors (channel, m)


class Entry(NamedTuple):
    """One addend factor Re(left right), where either half may be conjugated.

    Attributes:
        left, right: halves as they are made; right is conjugated unless `plain`.
        plain: whether it is not.
        invariant: which weight it has.
        factor: times that weight.
    """

    left: Half
    right: Half
    plain: bool
    invariant: int
    factor: float


class _Step(NamedTuple):
    """Halves that are made of two factors: the different ones, and which two each is made of.

    Attributes:
        firsts, seconds: places of the different factors.
        conjugate_first, conjugate_second: 1.0 or, where the factor is conjugated, -1.0.
        first, second: for each half, its place among them.
    """

    firsts: np.ndarray
    conjugate_first: np.ndarray
    first: np.ndarray
    seconds: np.ndarray
    conjugate_second: np.ndarray
    second: np.ndarray


class _Block(NamedTuple):
    """One W: places of the rows of L and R, and signs of the imaginary parts of R."""

    left: np.ndarray
    right: np.ndarray
    signs: np.ndarray


class ProductForms:
    """Tables of the halves and of the forms.

    Args:
        singles: the factors (channel, m >= 0), in the order in which their parts are given: by m.
        levels: halves of two factors, of three, ... .
        made_of: for each of these, (half, whether it is conjugated) twice; a phase is part of the entries' factors.
        entries: of all products.
    """

    def __init__(
        self, singles: list[Half], levels: list[list[Half]], made_of: dict[Half, tuple], entries: list[Entry]
    ) -> None:
        blocks: dict = defaultdict(list)
        for entry in entries:
            blocks[sum(m for _, m in entry.left), len(entry.left), len(entry.right)].append(entry)
        for name, merged in _merged(blocks):
            blocks[merged] = blocks.get(merged, []) + blocks.pop(name)
        names = sorted(blocks)
        # Left halves of one block are one piece of a level: then no row is moved.
        first_use: dict = {}
        for number, name in enumerate(names):
            for entry in blocks[name]:
                first_use.setdefault(entry.left, number)
        place = {half: k for k, half in enumerate(singles)}
        self._steps, self._pieces = [], [_lengths([half[0][1] for half in singles])]
        for level in levels:
            uses = [first_use.get(half, len(names)) for half in level]
            level = [level[k] for k in np.argsort(uses, kind="stable")]
            self._steps.append(_step([made_of[half] for half in level], place))
            self._pieces.append(_lengths(sorted(uses)))
            begin = len(place)
            place |= {half: begin + k for k, half in enumerate(level)}
        self._blocks, self._sizes = [], []
        positions, which, values, start = [], [], [], 0
        for name in names:
            left = {p: k for k, p in enumerate(sorted({place[entry.left] for entry in blocks[name]}))}
            right = {key: k for k, key in enumerate(sorted({(place[e.right], e.plain) for e in blocks[name]}))}
            signs = np.array([-1.0 if plain else 1.0 for _, plain in right])
            self._blocks.append(_Block(np.array([*left]), np.array([p for p, _ in right]), signs))
            self._sizes.append((len(left), len(right)))
            for entry in blocks[name]:
                positions.append(start + left[place[entry.left]] * len(right) + right[place[entry.right], entry.plain])
                which.append(entry.invariant)
                values.append(entry.factor)
            start += len(left) * len(right)
        self._positions, self._which = np.array(positions, np.int32), np.array(which, np.int32)
        self._values, self._total = np.array(values), start

    def matrices(self, directions: Array) -> tuple[Array, ...]:
        """W of each block, (P p, q), of weights (P, F) of the invariants."""
        terms = directions[:, self._which] * jnp.asarray(self._values, directions.dtype)
        flat = jnp.zeros((len(directions), self._total), directions.dtype).at[:, self._positions].add(terms)
        ends = np.cumsum([p * q for p, q in self._sizes])
        parts = jnp.split(flat, ends[:-1], axis=1)
        return tuple(part.reshape(-1, q) for part, (_, q) in zip(parts, self._sizes, strict=True))

    def sums(self, matrices: tuple[Array, ...], parts: Array) -> tuple[Array]:
        """Weighted sums (P, n) for n atoms; for `core.lanes.in_lanes`.

        Args:
            matrices: as made above.
            parts: (2 S, n) real and imaginary part of each single factor, one after the other.
        """
        n = parts.shape[1]
        values = parts.reshape(-1, 2 * n)
        pieces = [*_split(values, self._pieces[0])]
        for step, lengths in zip(self._steps, self._pieces[1:], strict=True):
            pieces += _split(_products(step, pieces, n), lengths)
        results = []
        for block, matrix in zip(self._blocks, matrices, strict=True):
            left = _taken(pieces, block.left)
            slopes = gemm(matrix, _signed(_taken(pieces, block.right), block.signs, n))
            results.append(jnp.sum(slopes.reshape(-1, *left.shape) * left, axis=1))
        total = sum(results[1:], start=results[0])
        return (total[:, :n] + total[:, n:],)


def _merged(blocks):
    """Pairs (name, name of another block that it becomes a part of) of small blocks, one after the other."""
    sizes = {
        name: (len({entry.left for entry in some}), len({(entry.right, entry.plain) for entry in some}))
        for name, some in blocks.items()
    }
    while len(sizes) > 1:
        name, other = sorted(sizes, key=lambda name: (math.prod(sizes[name]), name))[:2]
        joined = tuple(map(sum, zip(sizes[name], sizes[other], strict=True)))
        if math.prod(joined) > _SMALL:
            return
        sizes[other] = joined
        del sizes[name]
        yield name, other


def _lengths(labels):
    """Lengths of runs of equal labels."""
    ends = [k for k in range(1, len(labels) + 1) if k == len(labels) or labels[k] != labels[k - 1]]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def _step(pairs, place):
    columns = []
    for k in (0, 1):
        factors = {key: i for i, key in enumerate(sorted({(place[pair[k][0]], pair[k][1]) for pair in pairs}))}
        columns += [
            np.array([p for p, _ in factors]), np.array([-1.0 if turned else 1.0 for _, turned in factors]),
            np.array([factors[place[pair[k][0]], pair[k][1]] for pair in pairs], np.int32),
        ]
    return _Step(*columns)


def _products(step, pieces, n):
    """Complex products of rows, whose imaginary parts are behind the real ones: (a, a) (c, d) + (-b, b) (d, c)."""
    one = _signed(_taken(pieces, step.firsts), step.conjugate_first, n)
    other = _signed(_taken(pieces, step.seconds), step.conjugate_second, n)
    (a, b), (c, d) = jnp.split(one, 2, axis=1), jnp.split(other, 2, axis=1)
    real, imaginary = jnp.concatenate([a, a], axis=1), jnp.concatenate([-b, b], axis=1)
    swapped = jnp.concatenate([d, c], axis=1)
    return _rows(real, step.first) * _rows(other, step.second) + _rows(imaginary, step.first) * _rows(
        swapped, step.second
    )


def _signed(rows, signs, n):
    """Rows with the imaginary part times a sign."""
    if (signs == 1.0).all():
        return rows
    table = np.concatenate([np.ones((len(signs), n)), np.repeat(signs[:, None], n, axis=1)], axis=1)
    return rows * jnp.asarray(table, rows.dtype)


def _split(rows, lengths):
    return [rows] if len(lengths) < 2 else jax.lax.split(rows, lengths)


def _taken(pieces, places):
    """Rows by their places in all pieces: whole pieces as they are."""
    results, begin = [], 0
    for piece in pieces:
        inside = places[(places >= begin) & (places < begin + len(piece))] - begin
        if len(inside):
            results.append(piece if np.array_equal(inside, np.arange(len(piece))) else _rows(piece, inside))
        begin += len(piece)
    return results[0] if len(results) == 1 else jnp.concatenate(results)


def _rows(array, places):
    return array.at[np.asarray(places, np.int32)].get(mode="promise_in_bounds", wrap_negative_indices=False)
