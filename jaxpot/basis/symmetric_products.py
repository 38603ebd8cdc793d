"""Products of a tensor with itself that are coupled to tensors again: generalised Wigner 3j symbols, and their sums.

A tensor A holds parts A_l, l = 0 ... highest, that turn with a structure like harmonics. Products of its parts that are
coupled one after the other,

    P_l12,m12 = sum_m1,m2 C[m1, m2, m12] A_l1,m1 A_l2,m2,      B_L,M = sum_m12,m3 C[m12, m3, M] P_l12,m12 A_l3,m3

with the symbols of `coupling`, turn like harmonics of degree L. Factors commute, so that fewer of these are independent
than there are ways l12: those with a tensor of coefficients that is symmetric where degrees are equal.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement, count, permutations
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpot.basis.coupling import coupling
from jaxpot.core.gemm import gemm
from jaxpot.core.precision import product
from jaxpot.errors import DataError
from jaxpot.typing import Array

HIGHEST_ORDER = 3  # of products that `SymmetricProducts` evaluates
_INDEPENDENT = 1e-6  # norm of what is new in a coupling: 1e-15 or more than 0.3, up to degree 5


def coupled_in_turn(degrees: tuple[int, ...], to: int) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """All couplings of parts of these degrees to one of degree L, the first two first: an orthonormal basis.

    Args:
        degrees: l1, l2, ..., at least one.
        to: L.

    Yields:
        degrees between, one less than there are factors but without L: (), (l1,), or (l1, l12), ...; the tensor
        (2 l1 + 1, 2 l2 + 1, ..., 2 L + 1), with a sum of squares of 1.
    """
    *before, last = degrees
    if not before:
        if last == to:
            yield (), np.eye(2 * to + 1) / math.sqrt(2 * to + 1)
        return
    for between in range(abs(last - to), last + to + 1):
        symbols = math.sqrt(2 * between + 1) * coupling(between, last, to)
        for path, tensor in coupled_in_turn(tuple(before), between):
            yield (*path, between), np.tensordot(tensor, symbols, 1)


@lru_cache(maxsize=1024)
def symmetric_combinations(degrees: tuple[int, ...], to: int, labels: tuple[int, ...] | None = None) -> np.ndarray:
    """Coefficients (n, ways) by which couplings in turn make n orthonormal tensors, symmetric where factors are equal.

    Each coupling is averaged over the permutations of equal factors, in the order of `coupled_in_turn`, and what is new
    in it kept: by Gram and Schmidt rather than by singular vectors, whose choice among equal singular values, and whose
    sign, would be the library's.

    Args:
        degrees: l1, l2, ..., of the factors.
        to: L.
        labels: of the factors, the same for equal ones, which have equal degrees; None: all of one degree are equal.
    """
    labels = degrees if labels is None else labels
    tensors = [tensor for _, tensor in coupled_in_turn(degrees, to)]
    if not tensors:
        return np.zeros((0, 0))
    flat = np.stack([tensor.ravel() for tensor in tensors])
    order = len(degrees)
    same = [p for p in permutations(range(order)) if all(labels[a] == labels[b] for a, b in enumerate(p))]
    averaged = np.stack([np.mean([tensor.transpose(*p, order) for p in same], axis=0).ravel() for tensor in tensors])
    rows: list[np.ndarray] = []
    for row in averaged @ flat.T:
        for _ in range(2):  # once more, for what rounding has left
            for other in rows:
                row = row - (row @ other) * other
        if np.linalg.norm(row) > _INDEPENDENT:
            rows.append(row / np.linalg.norm(row))
    return np.stack(rows) if rows else np.zeros((0, len(tensors)))


def symmetric_couplings(degrees: tuple[int, ...], to: int) -> np.ndarray:
    """Coefficients U, (n, 2 l1 + 1, ..., 2 L + 1), of the n independent products of parts that turn with degree L.

    B_M = sum_m1,m2,... U[:, m1, m2, ..., M] A_l1,m1 A_l2,m2 ...; U is symmetric where degrees are equal, different U
    are orthogonal, and the sum of squares of each is 2 L + 1: of independent A with a mean square of 1 and different
    degrees, B has a mean square of 1.

    Args:
        degrees: l1 <= l2 <= ..., of the factors.
        to: L.

    References:
        R. Drautz, Phys. Rev. B 99, 014104 (2019); G. Dusson et al., J. Comput. Phys. 454, 110946 (2022); for networks:
        I. Batatia et al., NeurIPS 35 (2022), equation 10 (MACE).
    """
    combinations = symmetric_combinations(degrees, to)
    shape = (len(combinations), *(2 * degree + 1 for degree in degrees), 2 * to + 1)
    if not len(combinations):
        return np.zeros(shape)
    tensors = np.stack([tensor.ravel() for _, tensor in coupled_in_turn(degrees, to)])
    return math.sqrt(2 * to + 1) * (combinations @ tensors).reshape(shape)


@lru_cache(maxsize=256)
def products_of(highest: int, to: int, correlation: int) -> tuple[tuple[tuple[int, ...], int], ...]:
    """All independent products of 1 to `correlation` parts up to a degree: (degrees of the factors, number) in order.

    Only even sums of degrees and L: if a mirror image of a structure changes A_l by (-1)^l, it does B_L by (-1)^L.

    Raises:
        DataError: a correlation below 1 or above 3.
    """
    if not 1 <= correlation <= HIGHEST_ORDER:
        raise DataError(f"correlation: expected 1 to {HIGHEST_ORDER} factors of a product, got {correlation}")
    return tuple(
        (degrees, number)
        for order in range(1, correlation + 1)
        for degrees in combinations_with_replacement(range(highest + 1), order)
        if (sum(degrees) + to) % 2 == 0
        for number in range(len(symmetric_combinations(degrees, to)))
    )


class _Group(NamedTuple):
    """Leading factors that are coupled to the same degree with the same parity, and what multiplies them next.

    Attributes:
        pieces: leading factors, (degrees of them, degree that they are coupled to).
        targets: (degree of the last factor, L).
    """

    pieces: tuple[tuple[tuple[int, ...], int], ...]
    targets: tuple[tuple[int, int], ...]


class SymmetricProducts:
    """Weighted sums of all independent products of parts, by Horner's rule: the last factor is multiplied last.

        m_L,M = sum_n A_n sum_q T_L[q, M, n] sum_p w_p,L Q_p,q

    with n the entries of the last factor, and Q the leading ones (1, a part, two parts coupled), the same for all last
    factors and all L. Channels stand behind one another and do not mix.

    Args:
        highest: highest degree of A.
        outputs: highest degree L.
        correlation: most factors.

    Attributes:
        labels: of the products, for each L, as of `products_of`: the order of the weights.

    Raises:
        DataError: a correlation below 1 or above 3.

    References:
        I. Batatia et al., NeurIPS 35 (2022), equations 10 and 11 (MACE).
    """

    def __init__(self, highest: int, outputs: int, correlation: int) -> None:
        self.highest, self.outputs = highest, outputs
        self.labels = tuple(products_of(highest, to, correlation) for to in range(outputs + 1))
        ways = self._ways()
        self._groups = _grouped(ways)
        self._spread = self._spread_table(ways)
        self._leading = self._leading_tables()
        self._last = self._last_table()

    def _ways(self):
        """(leading degrees, degree between, last degree, L) -> [(column of the weights, coefficient)]."""
        ways = {}
        columns = count()
        for to, labels in enumerate(self.labels):
            for degrees, number in labels:
                column = next(columns)
                row = math.sqrt(2 * to + 1) * symmetric_combinations(degrees, to)[number]
                for coefficient, (path, _) in zip(row, coupled_in_turn(degrees, to), strict=True):
                    between, leading = path[-1] if path else 0, degrees[:-1]
                    # A part with itself couples to even degrees only: in symmetric tensors the others do not occur.
                    if not (len(leading) == 2 and leading[0] == leading[1] and between % 2):
                        norm = math.sqrt(2 * between + 1) if len(leading) == 2 else 1.0
                        ways.setdefault((leading, between, degrees[-1], to), []).append((column, coefficient * norm))
        return ways

    def _spread_table(self, ways):
        """Matrix from the weights of the products of all L to those of pieces and targets."""
        rows = [(*piece, *target) for group in self._groups for piece in group.pieces for target in group.targets]
        table = np.zeros((len(rows), sum(map(len, self.labels))))
        for row, way in enumerate(rows):
            for column, coefficient in ways.get(way, ()):
                table[row, column] = coefficient
        return table

    def _leading_tables(self):
        """For each first degree: it, its pairs, and a matrix to them from products with the same and higher degrees."""
        size, tables = (self.highest + 1) ** 2, []
        every = sorted({piece for group in self._groups for piece in group.pieces if len(piece[0]) == 2})
        for first in range(self.highest + 1):
            pairs = [piece for piece in every if piece[0][0] == first]
            columns = []
            for (_, second), between in pairs:
                block = np.zeros((2 * first + 1, size, 2 * between + 1))
                block[:, second**2 : (second + 1) ** 2] = coupling(first, second, between)
                columns.append(block[:, first**2 :].reshape(-1, 2 * between + 1))
            if pairs:
                tables.append((first, pairs, np.concatenate(columns, axis=1)))
        return tables

    def _last_table(self):
        """Matrix from entries of all groups and targets to (entries of all L, entries of A)."""
        size, height = (self.highest + 1) ** 2, (self.outputs + 1) ** 2
        rows = []
        for group in self._groups:
            between = group.pieces[0][1]
            for last, to in group.targets:
                block = np.zeros((2 * between + 1, height, size))
                symbols = np.moveaxis(coupling(between, last, to), 1, 2)
                block[:, to**2 : (to + 1) ** 2, last**2 : (last + 1) ** 2] = symbols
                rows.append(block.reshape(2 * between + 1, -1))
        return np.concatenate(rows)

    def spread(self, weights: Sequence[Array]) -> Array:
        """Weights (..., s, C) as `apply` takes them, of those of the products of each L, (..., products, C)."""
        together = jnp.concatenate(weights, axis=-2)
        return product(jnp.asarray(self._spread, together.dtype), together)

    def apply(self, parts: Array, weights: Array) -> list[Array]:
        """Sums over all products times their weights, a list over L of (2 L + 1, C).

        Args:
            parts: A, ((highest + 1)^2, C), degree by degree.
            weights: of `spread`, (s, C).
        """
        pieces, sums = self._pieces(parts), []
        factors = iter(jnp.split(weights, _ends(len(group.targets) for group in self._groups for _ in group.pieces)))
        for group in self._groups:
            # Added up one by one: sums along an axis take XLA twice the time.
            total = sum(next(factors)[:, None] * pieces[piece] for piece in group.pieces)
            sums.append(total.reshape(-1, parts.shape[1]))
        table = jnp.asarray(self._last, parts.dtype)
        inner = gemm(table, jnp.concatenate(sums), turn_a=True).reshape(-1, *parts.shape)
        return jnp.split(jnp.sum(inner * parts, axis=1), np.arange(1, self.outputs + 1) ** 2)

    def _pieces(self, parts):
        """Leading factors (2 l + 1, C), by what they are."""
        by_degree = jnp.split(parts, np.arange(1, self.highest + 1) ** 2)
        pieces = {((), 0): jnp.ones_like(parts[:1])}
        pieces |= {((degree,), degree): part for degree, part in enumerate(by_degree)}
        for first, pairs, table in self._leading:
            products = by_degree[first][:, None] * jnp.concatenate(by_degree[first:])
            coupled = gemm(jnp.asarray(table, parts.dtype), products.reshape(-1, parts.shape[1]), turn_a=True)
            pieces |= zip(pairs, jnp.split(coupled, _ends(2 * between + 1 for _, between in pairs)), strict=True)
        return pieces


@lru_cache(maxsize=32)
def symmetric_products_of(highest: int, outputs: int, correlation: int) -> SymmetricProducts:
    """`SymmetricProducts` of these degrees, made once."""
    return SymmetricProducts(highest, outputs, correlation)


def _grouped(ways):
    groups = []
    for kind in sorted({(between, sum(leading) % 2) for leading, between, _, _ in ways}):
        members = [way for way in ways if (way[1], sum(way[0]) % 2) == kind]
        pieces, targets = {way[:2] for way in members}, {way[2:] for way in members}
        groups.append(_Group(tuple(sorted(pieces)), tuple(sorted(targets))))
    return groups


def _ends(sizes):
    """Places at which to split what has parts of these sizes."""
    return np.cumsum([*sizes])[:-1]
