"""Moments, products and scalars of an MTP of a level, as `MomentTensors` takes them.

A scalar is a product of moments whose indices are contracted in pairs: a graph with a node for each moment, whose edges
are the pairs. It is computed as a contraction of two tensors, parts of the graph whose cut edges are open indices, and
these likewise, down to the moments. Components are numbered as they are asked for, and shared by all that ask.
"""

from collections import Counter
from functools import lru_cache
from itertools import product
from math import comb, factorial, prod
from typing import NamedTuple

import numpy as np

from jaxpot.descriptors.contraction_graphs import connected_scalars, exponents_of, level_of, part_of, symmetries, ways
from jaxpot.errors import DataError

HIGHEST_LEVEL = 24
_POINTS = 2000
_MOST = 4  # moments in a scalar, as in the untrained files of MLIP


class MomentBasis(NamedTuple):
    """Fields of `MomentTensors`, and of each scalar the number of its moments and its level."""

    basic: tuple[tuple[int, int, int, int], ...]
    products: tuple[tuple[int, int, int, int], ...]
    scalars: tuple[int, ...]
    orders: tuple[int, ...]
    levels: tuple[int, ...]

    @property
    def functions(self) -> int:
        """Number of radial functions."""
        return 1 + max(moment[0] for moment in self.basic)


def moments_of_level(level: int) -> MomentBasis:
    """All scalars of up to four moments, of a level that is the sum over these, by number of moments and level.

    level M_{mu nu} = 2 + 4 mu + nu, for the tensors of rank nu M_{mu nu} = sum_j f_mu(r_j) r_j/|r_j| x ... x r_j/|r_j|

    Args:
        level: even, 2 to 24.

    Raises:
        DataError: another level.

    References:
        A. V. Shapeev, Multiscale Model. Simul. 14, 1153 (2016), section 3; I. S. Novikov et al., Mach. Learn.: Sci.
        Technol. 2, 025002 (2021), equations 5 and 6.
    """
    if type(level) is not int or level % 2 or not 2 <= level <= HIGHEST_LEVEL:
        raise DataError(f"level: expected an even number from 2 to {HIGHEST_LEVEL}, got {level!r}")
    return _basis(level)


@lru_cache(maxsize=8)
def _basis(level: int) -> MomentBasis:
    connected = connected_scalars(level, _MOST)
    moments = _Moments(connected)
    single = [(len(graph.nodes), level_of(graph), moments.number(graph, ((0, 0, 0),) * len(graph.nodes)))
              for graph in connected]
    products_of: list[tuple] = [((k,), *scalar) for k, scalar in enumerate(single)]
    for members, order, reached, number in products_of:  # which grow while they are looked at
        for k in range(members[-1], len(single)):
            if reached + single[k][1] <= level and order + single[k][0] <= _MOST:
                further = moments.multiplied(number, single[k][2])
                products_of.append(((*members, k), order + single[k][0], reached + single[k][1], further))
    orders, levels, scalars = zip(*sorted(scalar for _, *scalar in products_of), strict=True)
    basic, products, numbers = moments.numbered(scalars)
    return MomentBasis(basic, products, numbers, orders, levels)


def orthonormal_polynomials(functions: int, size: int, shortest: float, cutoff: float) -> np.ndarray:
    """Coefficients (functions, size) of radial functions of `MomentTensors` that are orthonormal between two distances.

    int f_m f_n r^2 dr / int r^2 dr = delta_mn for f_m = (1 - x)^2 sum_k C_mk T_k(2 x - 1), x = (r - S) / (R - S), with
    k <= m: what neighbours give to moments of different m is uncorrelated then, and of one size.

    Args:
        functions: number of m.
        size: number of polynomials, at least as many.
        shortest, cutoff: S and R, A.

    Raises:
        DataError: fewer polynomials than functions.
    """
    if size < functions:
        raise DataError(f"radial_basis_size: expected at least {functions}, one for each radial function; got {size}")
    x = (np.arange(_POINTS) + 0.5) / _POINTS
    r = shortest + (cutoff - shortest) * x
    terms = np.polynomial.chebyshev.chebvander(2.0 * x - 1.0, functions - 1).T * (1.0 - x) ** 2
    upper = np.linalg.qr((terms * (r / np.linalg.norm(r))).T, mode="r")
    inverse = np.linalg.inv(upper).T
    return np.pad(inverse * np.sign(np.diag(upper))[:, None], ((0, 0), (0, size - functions)))


class _Moments:
    """Numbers of the components of tensors: those of moments negative until all are known, as they come first."""

    def __init__(self, graphs):
        self.basic: dict = {}
        self.products: list = []
        self.known: dict = {}
        self.ways: dict = {}
        self.count = 0
        for graph in graphs:
            self._plan(graph)

    def number(self, tensor, components):
        """Number of one component, the exponents of x, y and z of the open indices of each node."""
        if len(tensor.nodes) == 1:
            return self.basic.setdefault((tensor.nodes[0][0], *components[0]), -1 - len(self.basic))
        components = min(tuple(components[n] for n in order) for order in symmetries(tensor))
        if (tensor, components) not in self.known:
            first, second = self.ways[tensor]
            between = Counter(edge for edge in tensor.edges if (edge[0] in first) != (edge[1] in first))
            parts = [part_of(tensor, members) for members in (first, second)]
            addends: Counter = Counter()
            for chosen in product(*(exponents_of(times) for times in between.values())):
                exponents, weight = list(map(list, components)), 1
                for (edge, times), powers in zip(between.items(), chosen, strict=True):
                    weight *= factorial(times) // prod(map(factorial, powers))
                    for node in edge:
                        exponents[node] = [a + b for a, b in zip(exponents[node], powers, strict=True)]
                factors = sorted(
                    self.number(part, tuple(tuple(exponents[n]) for n in order)) for part, order in parts
                )
                addends[tuple(factors)] += weight
            self.known[tensor, components] = self._sum(addends)
        return self.known[tensor, components]

    def multiplied(self, first, second):
        """Number of a product of two scalars."""
        return self._sum({(first, second): 1})

    def numbered(self, scalars):
        """Moments, products and scalars with moments in front."""
        order = sorted(self.basic, key=lambda moment: (moment[0], sum(moment[1:]), [-n for n in moment[1:]]))
        places = {self.basic[moment]: n for n, moment in enumerate(order)}

        def place(number):
            return places[number] if number < 0 else number + len(order)

        products = tuple((place(p), place(q), w, place(target)) for p, q, w, target in self.products)
        return tuple(order), products, tuple(map(place, scalars))

    def _sum(self, addends):
        target, self.count = self.count, self.count + 1
        self.products += [(p, q, w, target) for (p, q), w in addends.items()]
        return target

    def _plan(self, tensor):
        """Choose the way with the fewest multiplications; tensors that are there already cost none."""
        if len(tensor.nodes) > 1 and tensor not in self.ways:
            way = min(ways(tensor), key=lambda way: (self._cost(tensor, way), way))
            self.ways[tensor] = way
            for members in way:
                self._plan(part_of(tensor, members)[0])

    def _cost(self, tensor, way):
        """Multiplications of all components of a tensor that is cut in two, and of its parts."""
        cut = Counter(edge for edge in tensor.edges if (edge[0] in way[0]) != (edge[1] in way[0]))
        components = prod(comb(open_ + 2, 2) for *_, open_ in tensor.nodes)
        cost = components * prod(comb(times + 2, 2) for times in cut.values())
        for part in (part_of(tensor, members)[0] for members in way):
            if len(part.nodes) > 1 and part not in self.ways:
                cost += min(self._cost(part, further) for further in ways(part))
        return cost
