"""Sums of products of rows by a table: out_k = sum over entries (i, j, k, w) of w a_i b_j.

For polynomials of many variables, such as contractions of tensors: each addend is a multiplication of two whole rows.
Under `vmap` the rows are along the mapped axis, so that a table of thousands of entries is a few loops over long rows;
as indices of one environment they would be read one number at a time. Derivatives are tables again: the products are
closed under differentiation, as those of `gemm` are, and nothing is ever scattered.
"""

from collections import defaultdict
from functools import cache, cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import ad, batching, mlir

from jaxpot.typing import Array, ArrayLike

_TOGETHER = 4  # addends in one loop: with more, compiling takes longer, and the loops no less


class RowProducts:
    """A table of products of rows; compared by identity, so that whoever makes one keeps it.

    Args:
        first, second, target: i, j and k of the entries, (n,).
        factors: w, (n,).
        sizes: how many rows there are of a, of b and of the sums.
    """

    def __init__(
        self, first: ArrayLike, second: ArrayLike, target: ArrayLike, factors: ArrayLike, sizes: tuple[int, int, int]
    ) -> None:
        self.first, self.second, self.target = (np.asarray(index, np.int32) for index in (first, second, target))
        self.factors, self.sizes = np.asarray(factors, float), sizes

    def __call__(self, a: Array, b: Array) -> Array:
        """Sums (k, ...) of products of rows of a (i, ...) and b (j, ...), which have the same axes behind the first."""
        return _product().bind(a, b, table=self)

    @cached_property
    def by_first(self) -> "RowProducts":
        """The table that makes slopes by a, of slopes by the sums and of b."""
        n_a, n_b, n_out = self.sizes
        return RowProducts(self.target, self.second, self.first, self.factors, (n_out, n_b, n_a))

    @cached_property
    def by_second(self) -> "RowProducts":
        """The table that makes slopes by b, of slopes by the sums and of a."""
        n_a, n_b, n_out = self.sizes
        return RowProducts(self.target, self.first, self.second, self.factors, (n_out, n_a, n_b))

    @cached_property
    def change(self) -> "RowProducts":
        """The table of the change of self(a, a), of a and its change."""
        pairs = ((self.first, self.second), (self.second, self.first))
        first, second = (np.concatenate(both) for both in zip(*pairs, strict=True))
        return RowProducts(first, second, np.tile(self.target, 2), np.tile(self.factors, 2), self.sizes)

    @cached_property
    def stages(self) -> list[tuple[list[np.ndarray], np.ndarray]]:
        """Sums of a few addends, then sums of these, ...: for each, groups of equal length, and the order of results.

        A group is an array (sums, addends) of places among the entries, or among the sums before. The order may have
        one place beyond the end, for rows that are zero.
        """
        entries = np.argsort(self.target, kind="stable")
        counts = np.bincount(self.target, minlength=self.sizes[2])
        addends = np.split(entries, np.cumsum(counts)[:-1])
        stages = []
        while True:
            pieces, owners = [], []
            for owner, places in enumerate(addends):
                for start in range(0, len(places), _TOGETHER):
                    pieces.append(places[start : start + _TOGETHER])
                    owners.append(owner)
            by_length = defaultdict(list)
            for number, piece in enumerate(pieces):
                by_length[len(piece)].append(number)
            order = [number for length in sorted(by_length) for number in by_length[length]]
            at: list[list[int]] = [[] for _ in addends]
            for place, number in enumerate(order):
                at[owners[number]].append(place)
            groups = [np.stack([pieces[number] for number in by_length[length]]) for length in sorted(by_length)]
            if max(map(len, at)) <= 1:
                stages.append((groups, np.array([places[0] if places else len(order) for places in at], np.int32)))
                return stages
            stages.append((groups, np.arange(len(order), dtype=np.int32)))
            addends = [np.array(places) for places in at]


def row_squares(table: RowProducts, a: Array) -> Array:
    """table(a, a), with a derivative that reads each entry once for each of its factors."""
    return _squares(table, a)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _squares(table, a):
    return table(a, a)


@_squares.defjvp
def _squares_jvp(table, values, changes):
    (a,), (change,) = values, changes
    return table(a, a), table.change(a, change)


@cache
def _product():
    """The primitive; made when it is first asked for, since `jax.extend` imports half of JAX."""
    from jax.extend.core import Primitive

    primitive = Primitive("jaxpot_row_products")
    primitive.def_impl(jax.jit(_plain, static_argnames="table"))
    primitive.def_abstract_eval(lambda a, b, *, table: jax.core.ShapedArray((table.sizes[2], *a.shape[1:]), a.dtype))
    ad.defbilinear(
        primitive, lambda slope, a, b, *, table: table.by_first(slope, b),
        lambda slope, a, b, *, table: table.by_second(slope, a),
    )
    batching.primitive_batchers[primitive] = _batched
    mlir.register_lowering(primitive, mlir.lower_fun(_plain, multiple_results=False))
    return primitive


def _batched(arrays, axes, *, table):
    """The mapped axis goes last: rows are along it."""
    size = next(array.shape[axis] for array, axis in zip(arrays, axes, strict=True) if axis is not None)
    a, b = (
        jnp.broadcast_to(array[..., None], (*array.shape, size)) if axis is None else jnp.moveaxis(array, axis, -1)
        for array, axis in zip(arrays, axes, strict=True)
    )
    return table(a, b), a.ndim - 1


def _plain(a, b, *, table):
    (groups, order), *stages = table.stages
    behind = (1,) * (a.ndim - 1)
    results = []
    for group in groups:
        total = 0.0
        for entries in group.T:
            factors = table.factors[entries]
            value = _rows(a, table.first[entries]) * _rows(b, table.second[entries])
            if (factors != 1.0).any():
                value = jnp.asarray(factors.reshape(-1, *behind), a.dtype) * value
            total = total + value
        results.append(total)
    rows = _ordered(results, order, a)
    for groups, order in stages:
        rows = _ordered([sum(_rows(rows, places) for places in group.T) for group in groups], order, a)
    return rows


def _ordered(results, order, like):
    """Groups of sums as one array, in an order that may name a row of zeros behind them."""
    count = sum(map(len, results))
    if count in order:
        results = [*results, jnp.zeros((1, *like.shape[1:]), like.dtype)]
    joined = jnp.concatenate(results)
    return joined if np.array_equal(order, np.arange(len(joined))) else _rows(joined, order)


def _rows(array, places):
    return array.at[np.asarray(places, np.int32)].get(mode="promise_in_bounds")
