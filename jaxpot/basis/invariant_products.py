"""Invariant products of the parts of tensors A, of any order: what the atomic cluster expansion is made of.

A product of factors A_c1,m1 A_c2,m2 ..., c a channel with a degree l and complex harmonics, with m1 + m2 + ... = 0, is
a product of two halves. All products of up to twice as many factors as a half has are quadratic in the halves x,

    sum_f w_f B_f = sum_M x_M^* . D_M(w) x_M,     B_f = sum_m1,m2,... U_f[m1, m2, ...] A_c1,m1 A_c2,m2 ...,

with one symmetric matrix D_M of real numbers for each sum M >= 0 of the orders of a half: those with M < 0 are complex
conjugates of others. U couples the factors to an invariant and is symmetric where they are equal.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.coupling import real_from_complex
from jaxpot.basis.symmetric_products import coupled_in_turn, symmetric_combinations
from jaxpot.core.precision import product
from jaxpot.errors import DataError
from jaxpot.typing import Array

Channel = tuple[int, ...]  # a degree, and what else tells one channel from another
HIGHEST_ORDER = 6
_TINY = 1e-12


class Invariant(NamedTuple):
    """One product: its factors, sorted, and which of the independent couplings of these it is.

    Attributes:
        channels: of the factors; the first entry of each is its degree l.
        number: from 0 to below `n_couplings`.
    """

    channels: tuple[Channel, ...]
    number: int


def n_couplings(channels: tuple[Channel, ...]) -> int:
    """How many independent invariants the factors have; none where the degrees add up to an odd number."""
    return len(_couplings(*_pattern(channels))[1])


def orders_and_couplings(channels: tuple[Channel, ...]) -> tuple[tuple[tuple[int, ...], ...], np.ndarray]:
    """Orders (m1, m2, ...) of distinct products of these factors, and U of each coupling for them, (couplings, orders).

    Products that differ by a permutation of equal factors, or are complex conjugates, are one: U is their sum.
    """
    return _couplings(*_pattern(channels))


def in_couplings(
    channels: tuple[Channel, ...], orders: np.ndarray, coefficients: np.ndarray
) -> tuple[np.ndarray, float]:
    """Weights of the independent couplings whose sum is a given sum of products.

    Args:
        channels: of the factors, c1, c2, ..., sorted.
        orders: (n, factors) m1, m2, ... of each product.
        coefficients: (n, P) of the real parts of the products, for P sums at once.

    Returns:
        (couplings, P), and the largest part of the coefficients that no coupling has: not zero where the sum is no
        invariant.
    """
    _, labels = _pattern(channels)
    names, u = orders_and_couplings(channels)
    sums: dict = {name: np.zeros(coefficients.shape[1]) for name in names}
    for ms, values in zip(orders, coefficients, strict=True):
        name = _first_of_equals(tuple(int(m) for m in ms), labels)
        sums[name] = sums.get(name, 0.0) + values  # terms of products that no coupling has may cancel
    wanted = np.array([*sums.values()]).reshape(len(sums), -1)
    table = np.zeros((len(sums), len(u)))
    table[: len(names)] = u.T
    weights = np.linalg.lstsq(table, wanted, rcond=None)[0]
    return weights, float(np.abs(wanted - table @ weights).max(initial=0.0))


def _pattern(channels):
    """Degrees, and labels that are the same for equal factors."""
    order: dict = {}
    return tuple(c[0] for c in channels), tuple(order.setdefault(c, len(order)) for c in channels)


@lru_cache(maxsize=4096)
def _couplings(degrees, labels):
    if sum(degrees) % 2:
        return (), np.zeros((0, 0))
    combinations = symmetric_combinations(degrees, 0, labels)
    if not len(combinations):
        return (), np.zeros((0, 0))
    tensors = np.stack([tensor[..., 0] for _, tensor in coupled_in_turn(degrees, 0)])
    real = np.tensordot(combinations, tensors, 1)
    complex_ = real.astype(complex)
    for axis, degree in enumerate(degrees, 1):
        turned = np.tensordot(complex_, real_from_complex(degree), (axis, 0))
        complex_ = np.moveaxis(turned, -1, axis)
    sums: dict = defaultdict(lambda: np.zeros(len(combinations)))
    for place in itertools.product(*(range(2 * degree + 1) for degree in degrees)):
        orders = tuple(i - degree for i, degree in zip(place, degrees, strict=True))
        if sum(orders) == 0:
            sums[_first_of_equals(orders, labels)] += complex_[(slice(None), *place)].real
    kept = {orders: u for orders, u in sums.items() if np.abs(u).max() > _TINY}
    return tuple(kept), np.stack([*kept.values()], axis=1)


def _first_of_equals(orders, labels):
    """The smallest of all orders that make the same product."""
    def smallest(signed):
        by_label = defaultdict(list)
        for m, label in zip(signed, labels, strict=True):
            by_label[label].append(m)
        ranked = {label: iter(sorted(ms)) for label, ms in by_label.items()}
        return tuple(next(ranked[label]) for label in labels)

    return min(smallest(orders), smallest([-m for m in orders]))


class InvariantProducts:
    """Tables to evaluate invariants, one by one or as a weighted sum.

    Args:
        invariants: at least two factors each.

    Attributes:
        channels: that occur, by degree.

    Raises:
        DataError: more than six factors, or a coupling that does not exist.
    """

    def __init__(self, invariants: tuple[Invariant, ...]) -> None:
        self.invariants = invariants
        self._hash = hash(invariants)
        for invariant in invariants:
            factors, number = invariant
            if not 2 <= len(factors) <= HIGHEST_ORDER or not 0 <= number < n_couplings(factors):
                raise DataError(
                    f"expected 2 to {HIGHEST_ORDER} factors and one of their {n_couplings(factors)} couplings, got "
                    f"{invariant}"
                )
        self.channels = tuple(sorted({channel for factors, _ in invariants for channel in factors}))
        self._make_tables()

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InvariantProducts) and self.invariants == other.invariants

    def __len__(self) -> int:
        return len(self.invariants)

    def _make_tables(self):
        monomials, halves = self._split()
        singles = [((channel, m),) for channel in self.channels for m in range(channel[0] + 1)]
        needed = set(singles) | set(halves)
        # A half is one that is shorter by a factor, times that factor.
        levels: dict[int, list] = {1: singles}
        for length in range(max(map(len, needed)), 1, -1):
            level = sorted(half for half in needed if len(half) == length)
            levels[length] = level
            needed |= {_canonical(half[:-1])[0] for half in level}
        entries = [half for length in sorted(levels) for half in levels[length]]
        at = {half: k for k, half in enumerate(entries)}
        self._steps = tuple(_step(levels[length], at) for length in sorted(levels)[1:])
        by_order = defaultdict(list)
        for half in sorted({half for pair in monomials.values() for half in pair[:2]}, key=at.__getitem__):
            by_order[abs(_order(half))].append(half)
        self._blocks = tuple(np.array([at[half] for half in by_order[m]], np.int32) for m in sorted(by_order))
        starts = np.cumsum([0, *(len(block) ** 2 for block in self._blocks)])
        row = {half: k for halves in by_order.values() for k, half in enumerate(halves)}
        place = {m: k for k, m in enumerate(sorted(by_order))}
        positions, which, values, signs, self._size = [], [], [], [], int(starts[-1])
        for f, (factors, number) in enumerate(self.invariants):
            orders, u = orders_and_couplings(factors)
            for ms, coefficient in zip(orders, u[number], strict=True):
                if abs(coefficient) > _TINY:
                    left, right, phase, sign = monomials[_monomial(factors, ms)]
                    block = place[abs(_order(left))]
                    count = len(self._blocks[block])
                    for a, b in ((left, right), (right, left)):
                        which.append(f)
                        values.append(0.5 * phase * coefficient)
                        positions.append(starts[block] + row[a] * count + row[b])
                        signs.append(sign)
        self._which, self._values = np.array(which, np.int32), np.array(values)
        self._positions, self._signs = np.array(positions, np.int32), np.array(signs, float)
        self._starts = starts
        self._groups = self._grouped(monomials, at)

    def _split(self):
        """Monomial -> (left half, right half, phase, sign of the product of the imaginary parts)."""
        wanted = {
            _monomial(factors, ms)
            for factors, _ in self.invariants for ms in orders_and_couplings(factors)[0]
        }
        used: Counter = Counter()
        for monomial in wanted:
            used.update({half for pair in _splits(monomial) for half in (_canonical(h)[0] for h in pair)})
        halves: set = set()
        result = {}
        for monomial in sorted(wanted, key=lambda one: (len(one), one)):
            left, right = min(_splits(monomial), key=partial(_cost, halves, used))
            if _order(left) < 0:
                left, right = (tuple((c, -m) for c, m in half) for half in (left, right))
            (a, phase_a, turned_a), (b, phase_b, turned_b) = _canonical(left), _canonical(right)
            # Re(x y) = re re - im im; with one of them conjugated, re re + im im.
            result[monomial] = a, b, phase_a * phase_b, 1.0 if turned_a != turned_b else -1.0
            halves |= {a, b}
        return result, halves

    def _grouped(self, monomials, at):
        """Invariants whose factors have the same pattern: (numbers, left, right, signs, U)."""
        groups = defaultdict(list)
        for f, (factors, number) in enumerate(self.invariants):
            groups[_pattern(factors)].append((factors, number, f))
        tables = []
        for pattern, members in groups.items():
            orders, u = _couplings(*pattern)
            names = sorted({factors for factors, _, _ in members})
            ways = [[monomials[_monomial(factors, ms)] for ms in orders] for factors in names]
            left, right = (np.array([[at[way[k]] for way in row] for row in ways], np.int32) for k in (0, 1))
            phases, signs = (np.array([[way[k] for way in row] for row in ways], float) for k in (2, 3))
            row = {factors: k for k, factors in enumerate(names)}
            places = [(row[factors] * len(u) + number, f) for factors, number, f in members]
            tables.append((left, right, phases, signs, u, places))
        target = [f for *_, places in tables for _, f in places]
        offsets = np.cumsum([0, *(len(left) * len(u) for left, _, _, _, u, _ in tables)])
        source = [o + p for o, (*_, places) in zip(offsets, tables, strict=False) for p, _ in places]
        picked = np.empty(len(self.invariants), np.int32)
        picked[target] = source
        return [table[:5] for table in tables], picked

    def halves(self, real: Array, imaginary: Array) -> tuple[Array, Array]:
        """Real and imaginary parts of all halves, (N,) each.

        Args:
            real, imaginary: of A of each channel, in the order of `channels`, m = 0 ... l running faster.
        """
        for left, left_sign, right, right_sign in self._steps:
            a, b = real[left], imaginary[left] * jnp.asarray(left_sign, real.dtype)
            c, d = real[right], imaginary[right] * jnp.asarray(right_sign[0], real.dtype)
            phase = jnp.asarray(right_sign[1], real.dtype)
            real, imaginary = (
                jnp.concatenate([real, phase * (a * c - b * d)]),
                jnp.concatenate([imaginary, phase * (a * d + b * c)]),
            )
        return real, imaginary

    def matrices(self, coefficients: Array) -> list[tuple[Array, Array]]:
        """D_M for the real and for the imaginary parts, of weights (F,); the two differ at M = 0."""
        terms = coefficients[self._which] * jnp.asarray(self._values, coefficients.dtype)
        signed = terms * jnp.asarray(self._signs, terms.dtype)
        flat, other = (jnp.zeros(self._size, terms.dtype).at[self._positions].add(t) for t in (terms, signed))
        shapes = [(len(block), len(block)) for block in self._blocks]
        ends = self._starts
        return [
            (flat[a:b].reshape(shape), other[a:b].reshape(shape))
            for a, b, shape in zip(ends, ends[1:], shapes, strict=False)
        ]

    def weighted_sum(self, real: Array, imaginary: Array, coefficients: Array) -> Array:
        """sum_f w_f B_f, ()."""
        real, imaginary = self.halves(real, imaginary)
        total = jnp.zeros((), real.dtype)
        for block, (d, e) in zip(self._blocks, self.matrices(coefficients), strict=True):
            total = total + quadratic_form(d, real[block]) + quadratic_form(e, imaginary[block])
        return total

    def each(self, real: Array, imaginary: Array) -> Array:
        """B, (F,)."""
        real, imaginary = self.halves(real, imaginary)
        tables, picked = self._groups
        values = []
        for left, right, phases, signs, u in tables:
            factor, sign = (jnp.asarray(a, real.dtype) for a in (phases, signs))
            terms = factor * (real[left] * real[right] + sign * imaginary[left] * imaginary[right])
            values.append(product(terms, jnp.asarray(u.T, real.dtype)).ravel())
        return jnp.concatenate(values)[picked]


@jax.custom_jvp
def quadratic_form(matrix: Array, x: Array) -> Array:
    """x . D x, () of a symmetric matrix (n, n)."""
    return jnp.sum(x * product(matrix, x))


@quadratic_form.defjvp
def _quadratic_jvp(values, changes):
    (matrix, x), (changed, moved) = values, changes
    slope = product(matrix, x)
    return jnp.sum(x * slope), 2.0 * jnp.sum(slope * moved) + jnp.sum(x * product(changed, x))


@lru_cache(maxsize=32)
def invariant_products(invariants: tuple[Invariant, ...]) -> InvariantProducts:
    """`InvariantProducts` of these, made once."""
    return InvariantProducts(invariants)


def _cost(halves, used, pair):
    """What a pair of halves adds to those that are made already; otherwise, those that many need come first."""
    names = {_canonical(half)[0] for half in pair}
    return sum(len(name) > 1 and name not in halves for name in names), -sum(used[name] for name in names), pair


def _monomial(factors, orders):
    """Factors with their orders, sorted."""
    return tuple(sorted(zip(factors, orders, strict=True)))


def _order(half):
    return sum(m for _, m in half)


def _canonical(half: Iterable) -> tuple[tuple, float, bool]:
    """The half with M >= 0 that this one is, the phase between them, and whether one is conjugated.

    A_-m = (-1)^m A_m^*, so that a product with all orders reversed is (-1)^M times the conjugate.
    """
    same = tuple(sorted(half))
    turned = tuple(sorted((c, -m) for c, m in half))
    order = _order(same)
    # A single factor of order 0 is real.
    if order > 0 or (order == 0 and same >= turned):
        return same, 1.0, False
    return turned, -1.0 if order % 2 else 1.0, True


@lru_cache(maxsize=65536)
def _splits(monomial):
    """All ways to divide a monomial into two halves, the longer one first."""
    count = len(monomial)
    longer = count - count // 2
    ways = set()
    for chosen in itertools.combinations(range(count), longer):
        left = tuple(monomial[k] for k in chosen)
        right = tuple(monomial[k] for k in range(count) if k not in chosen)
        ways.add((left, right))
    return sorted(ways)


def _step(level, at):
    """How halves of one length come from shorter ones: places and signs of the imaginary parts."""
    left, left_sign, right, right_sign, phases = [], [], [], [], []
    for half in level:
        first, phase_first, turned_first = _canonical(half[:-1])
        last, phase_last, turned_last = _canonical(half[-1:])
        left.append(at[first])
        left_sign.append(-1.0 if turned_first else 1.0)
        right.append(at[last])
        right_sign.append(-1.0 if turned_last else 1.0)
        phases.append(phase_first * phase_last)
    places = (np.array(left, np.int32), np.array(right, np.int32))
    return places[0], np.array(left_sign), places[1], (np.array(right_sign), np.array(phases))
