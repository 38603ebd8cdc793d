"""Weighted sums of invariant products as bilinear forms of halves: matrix products over the atoms.

A product of v factors is one of two halves, L R with sum of orders M and -M. A weighted sum of all products is

    sum_M sum_pq W_M,pq Re(L_M,p R_M,q^*)

with a matrix W for each M that all atoms share: with the parts of R of many atoms as columns, a matrix product. Of the
gradient, by L it is there already, and by R it is the product with W^T.
"""

from collections import defaultdict
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpot.core.gemm import gemm
from jaxpot.core.precision import product
from jaxpot.typing import Array

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
    """Halves that are made of two rows: places of both, and -1.0 where a factor is conjugated."""

    first: np.ndarray
    second: np.ndarray
    turned_first: np.ndarray
    turned_second: np.ndarray


class _Block(NamedTuple):
    """One W: places of the rows of L and R, and signs of the imaginary parts of R."""

    left: np.ndarray
    right: np.ndarray
    signs: np.ndarray


class ProductForms:
    """Tables of the halves and of the forms.

    Args:
        singles: the factors (channel, m >= 0), in the order in which their parts are given.
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
        names = sorted(blocks)
        # Left halves of one block are side by side: then no row is moved.
        used = defaultdict(list)
        for number, name in enumerate(names):
            for half in dict.fromkeys(entry.left for entry in blocks[name]):
                used[half].append(number)
        place = {half: k for k, half in enumerate(singles)}
        self.steps = []
        for level in levels:
            level = sorted(level, key=lambda half: (used.get(half, [len(names)]), half))
            pairs = [made_of[half] for half in level]
            signs = [np.array([-1.0 if pair[k][1] else 1.0 for pair in pairs]) for k in (0, 1)]
            self.steps.append(_Step(*(np.array([place[pair[k][0]] for pair in pairs], np.int32) for k in (0, 1)), *signs))
            place |= {half: len(place) + k for k, half in enumerate(level)}
        self.blocks, positions, which, values, self._sizes = [], [], [], [], []
        start = 0
        for name in names:
            left = {p: k for k, p in enumerate(sorted({place[entry.left] for entry in blocks[name]}))}
            right = {key: k for k, key in enumerate(sorted({(place[e.right], e.plain) for e in blocks[name]}))}
            signs = np.array([-1.0 if plain else 1.0 for _, plain in right])
            rows = np.array([p for p, _ in right], np.int32)
            self.blocks.append(_Block(np.array([*left], np.int32), rows, signs))
            for entry in blocks[name]:
                positions.append(start + left[place[entry.left]] * len(right) + right[place[entry.right], entry.plain])
                which.append(entry.invariant)
                values.append(entry.factor)
            start += len(left) * len(right)
            self._sizes.append((len(left), len(right)))
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
        both = parts.reshape(-1, 2 * n)
        real, imaginary = [both[:, :n]], [both[:, n:]]
        for step in self.steps:
            a, b = _joined(real), _joined(imaginary)
            a, b, c, d = _rows(a, step.first), _rows(b, step.first), _rows(a, step.second), _rows(b, step.second)
            s, t = (jnp.asarray(signs[:, None], parts.dtype) for signs in (step.turned_first, step.turned_second))
            real.append(a * c - s * t * (b * d))
            imaginary.append(t * (a * d) + s * (b * c))
        real, imaginary = _joined(real), _joined(imaginary)
        total = 0.0
        for block, matrix in zip(self.blocks, matrices, strict=True):
            right = jnp.concatenate([
                _rows(real, block.right),
                _rows(imaginary, block.right) * jnp.asarray(block.signs[:, None], parts.dtype),
            ], axis=1)
            slopes = gemm(matrix, right).reshape(-1, len(block.left), 2 * n)
            left = jnp.concatenate([_rows(real, block.left), _rows(imaginary, block.left)], axis=1)
            by_part = jnp.sum(slopes * left, axis=1)
            total = total + by_part[:, :n] + by_part[:, n:]
        return (total,)


def _joined(arrays):
    return arrays[0] if len(arrays) == 1 else jnp.concatenate(arrays)


def _rows(array, places):
    """Rows of an array, as a slice where they are side by side."""
    if len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places))):
        return array[int(places[0]) : int(places[0]) + len(places)]
    return array.at[places].get(mode="promise_in_bounds")
