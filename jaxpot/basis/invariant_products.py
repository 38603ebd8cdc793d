"""Invariant products of the parts of tensors A, of any order: what the atomic cluster expansion is made of.

    B_f = sum_m1,m2,... U_f[m1, m2, ...] A_c1,m1 A_c2,m2 ...,  m1 + m2 + ... = 0

for channels c, each with a degree l and complex harmonics; U couples the factors to an invariant and is symmetric where
they are equal. Each product is one of two halves, which many products share and which are made of A in the same way;
by `RowProducts`, so that the few of all products that occur are rows over the atoms. Sums with weights that all atoms
share are sooner made by `forms`.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpot.basis.coupling import real_from_complex
from jaxpot.basis.product_forms import Entry, ProductForms
from jaxpot.basis.symmetric_products import coupled_in_turn, symmetric_combinations
from jaxpot.core.precision import product
from jaxpot.core.row_products import RowProducts, row_squares
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
    """Number of independent invariants of the factors; none where the degrees add up to an odd number."""
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
        self._monomials, halves = self._split()
        monomials = self._monomials
        singles = [((channel, m),) for channel in self.channels for m in range(channel[0] + 1)]
        self._levels = levels = _levels(halves)
        # Places of the real and of the imaginary part.
        at = {half: (k, len(singles) + k) for k, half in enumerate(singles)}
        size, self._steps = 2 * len(singles), []
        for level in levels:
            self._steps.append(_step(level, at, size))
            at |= {half: (size + k, size + len(level) + k) for k, half in enumerate(level)}
            size += 2 * len(level)
        place = {monomial: t for t, monomial in enumerate(monomials)}
        entries = []
        for monomial, (left, right, phase, sign) in monomials.items():
            entries.append((at[left][0], at[right][0], place[monomial], phase))
            if not (_is_real(left) or _is_real(right)):
                entries.append((at[left][1], at[right][1], place[monomial], phase * sign))
        self._products = RowProducts(*zip(*entries, strict=True), (size, size, len(place)))
        which, positions, values = [], [], []
        for f, (factors, number) in enumerate(self.invariants):
            orders, u = orders_and_couplings(factors)
            which += [f] * len(orders)
            positions += [place[_monomial(factors, ms)] for ms in orders]
            values += u[number].tolist()
        self._which, self._positions = np.array(which, np.int32), np.array(positions, np.int32)
        self._values = np.array(values)
        self._groups = self._grouped(place)

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

    def _grouped(self, place):
        """Products of invariants whose factors have the same pattern, with U; and where each invariant then is."""
        groups = defaultdict(list)
        for f, (factors, number) in enumerate(self.invariants):
            groups[_pattern(factors)].append((factors, number, f))
        tables, picked, start = [], np.empty(len(self.invariants), np.int32), 0
        for pattern, members in groups.items():
            orders, u = _couplings(*pattern)
            row = {factors: k for k, factors in enumerate(sorted({factors for factors, _, _ in members}))}
            places = np.array([[place[_monomial(factors, ms)] for ms in orders] for factors in row], np.int32)
            tables.append((places, u))
            for factors, number, f in members:
                picked[f] = start + row[factors] * len(u) + number
            start += len(row) * len(u)
        return tables, picked

    def forms(self, singles: Sequence[tuple[Channel, int]]) -> ProductForms:
        """The same sums as bilinear forms.

        Args:
            singles: (channel, m >= 0), all that occur and perhaps more, in the order in which parts of A will be given.
        """
        phases: dict = {((channel, m),): 1.0 for channel, m in singles}
        made_of = {}
        for half in itertools.chain.from_iterable(self._levels):
            (first, a, turned_first), (last, b, turned_last) = _canonical(half[:-1]), _canonical(half[-1:])
            made_of[half] = (first, turned_first), (last, turned_last)
            phases[half] = a * b * phases[first]
        entries = []
        for f, (factors, number) in enumerate(self.invariants):
            orders, u = orders_and_couplings(factors)
            for ms, value in zip(orders, u[number].tolist(), strict=True):
                left, right, phase, sign = self._monomials[_monomial(factors, ms)]
                plain = sign < 0.0 and not (_is_real(left) or _is_real(right))
                entries.append(Entry(left, right, plain, f, value * phase * phases[left] * phases[right]))
        return ProductForms([((channel, m),) for channel, m in singles], self._levels, made_of, entries)

    def _all(self, real, imaginary):
        """All products, (T,)."""
        values = jnp.concatenate([real, imaginary])
        for table in self._steps:
            values = jnp.concatenate([values, row_squares(table, values)])
        return row_squares(self._products, values)

    def weighted_sum(self, real: Array, imaginary: Array, coefficients: Array) -> Array:
        """sum_f w_f B_f, ().

        Args:
            real, imaginary: of A of each channel, in the order of `channels`, m = 0 ... l running faster.
            coefficients: w, (F,).
        """
        products = self._all(real, imaginary)
        terms = coefficients[self._which] * jnp.asarray(self._values, coefficients.dtype)
        return product(products, jnp.zeros(len(products), terms.dtype).at[self._positions].add(terms))

    def each(self, real: Array, imaginary: Array) -> Array:
        """B, (F,), of A as of `weighted_sum`."""
        products = self._all(real, imaginary)
        tables, picked = self._groups
        values = [product(products[places], jnp.asarray(u.T, real.dtype)).ravel() for places, u in tables]
        return jnp.concatenate(values)[picked]


@lru_cache(maxsize=32)
def invariant_products(invariants: tuple[Invariant, ...]) -> InvariantProducts:
    """`InvariantProducts` of these, made once."""
    return InvariantProducts(invariants)


def _cost(halves, used, pair):
    """Number of halves that a pair adds to those that are made already; otherwise, those that many need come first."""
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


def _levels(halves):
    """Halves of two factors, of three, ..., with those that they are made of."""
    needed, levels = set(halves), []
    for length in range(max(map(len, needed)), 1, -1):
        level = sorted(half for half in needed if len(half) == length)
        levels.append(level)
        needed |= {_canonical(half[:-1])[0] for half in level}
    return levels[::-1]


def _is_real(half):
    return len(half) == 1 and half[0][1] == 0


def _step(level, at, size):
    """Table of halves by ones that are shorter by a factor, times that factor: real parts, then imaginary ones."""
    entries = []
    for k, half in enumerate(level):
        first, phase_first, turned_first = _canonical(half[:-1])
        last, phase_last, turned_last = _canonical(half[-1:])
        (a, b), (c, d) = at[first], at[last]
        phase = phase_first * phase_last
        s, t = (-1.0 if turned else 1.0 for turned in (turned_first, turned_last))
        entries.append((a, c, k, phase))
        if not (_is_real(first) or _is_real(last)):
            entries.append((b, d, k, -phase * s * t))
        if not _is_real(last):
            entries.append((a, d, len(level) + k, phase * t))
        if not _is_real(first):
            entries.append((b, c, len(level) + k, phase * s))
    return RowProducts(*zip(*entries, strict=True), (size, size, 2 * len(level)))
