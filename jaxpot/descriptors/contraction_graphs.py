"""Contractions of moments as graphs: nodes are moments, edges pairs of indices that are summed over."""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import combinations, combinations_with_replacement, permutations, product
from typing import NamedTuple


class Tensor(NamedTuple):
    """Connected graph: (mu, nu, open indices) of each node, and the edges (i, j) between nodes, repeated."""

    nodes: tuple[tuple[int, int, int], ...]
    edges: tuple[tuple[int, int], ...]


def level_of(graph: Tensor) -> int:
    """Sum of the levels of its moments."""
    return sum(2 + 4 * mu + nu for mu, nu, _ in graph.nodes)


def connected_scalars(level: int, most: int) -> list[Tensor]:
    """Connected graphs up to a level, of at most so many moments and without open indices, the smallest first."""
    different = {graph for nodes in _node_sets(level, most) for graph in _graphs(nodes)}
    return sorted(different, key=lambda graph: (len(graph.nodes), level_of(graph), graph))


def _node_sets(level: int, most: int) -> Iterator[tuple]:
    """Moments (mu, nu), ascending, that a connected scalar up to a level may have."""
    yield from (((mu, 0),) for mu in range((level - 2) // 4 + 1))
    kinds = [(mu, nu) for mu in range(level // 4) for nu in range(1, level) if 2 + 4 * mu + nu <= level - 3]
    for count in range(2, min(most, (level + 2) // 4) + 1):  # a tree has 2 (count - 1) ends
        for nodes in combinations_with_replacement(kinds, count):
            ranks = [nu for _, nu in nodes]
            enough = 2 * max(ranks) <= sum(ranks) >= 2 * (count - 1)
            if enough and sum(ranks) % 2 == 0 and sum(2 + 4 * mu + nu for mu, nu in nodes) <= level:
                yield nodes


def _graphs(nodes: tuple) -> Iterator[Tensor]:
    """Connected graphs without loops whose nodes have nu edges each."""
    def filled(first, left, edges):
        while first < len(left) and not left[first]:
            first += 1
        if first == len(left):
            if _connected(range(len(left)), edges):
                yield _canonical([(mu, nu, 0) for mu, nu in nodes], edges)[0]
            return
        least = edges[-1][1] if edges and edges[-1][0] == first else first + 1
        for other in range(least, len(left)):
            if left[other]:
                rest = [n - (k in (first, other)) for k, n in enumerate(left)]
                yield from filled(first, rest, [*edges, (first, other)])

    yield from filled(0, [nu for _, nu in nodes], [])


def _connected(members, edges):
    members = list(members)
    reached, before = {members[0]}, 0
    while len(reached) > before:
        before = len(reached)
        reached |= {node for edge in edges if set(edge) <= set(members) and set(edge) & reached for node in edge}
    return len(reached) == len(members)


@cache
def ways(tensor: Tensor) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Pairs of connected parts, as numbers of nodes, that a connected graph can be cut into."""
    everything = range(len(tensor.nodes))
    pairs = []
    for count in range(1, len(everything)):
        for second in combinations(everything[1:], count):
            first = tuple(n for n in everything if n not in second)
            if _connected(first, tensor.edges) and _connected(second, tensor.edges):
                pairs.append((first, second))
    return pairs


@cache
def part_of(tensor: Tensor, members: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """Part of a graph with the edges that leave it open, and the nodes of the graph in its order."""
    inside = [edge for edge in tensor.edges if set(edge) <= set(members)]
    at = {node: k for k, node in enumerate(members)}
    degree = Counter(node for edge in inside for node in edge)
    nodes = [(*tensor.nodes[n][:2], tensor.nodes[n][1] - degree[n]) for n in members]
    part, order = _canonical(nodes, [(at[a], at[b]) for a, b in inside])
    return part, tuple(members[k] for k in order)


def _canonical(nodes, edges):
    """One of all graphs that differ in the order of their nodes, and its nodes in the order given."""
    best = min((_reordered(edges, order), order) for order in _orders(nodes))
    return Tensor(tuple(nodes[k] for k in best[1]), best[0]), best[1]


@cache
def symmetries(tensor: Tensor) -> list[tuple[int, ...]]:
    """Orders of the nodes that leave a graph what it is."""
    return [order for order in _orders(tensor.nodes) if _reordered(tensor.edges, order) == tensor.edges]


def _orders(nodes):
    """Orders in which nodes ascend."""
    kinds = sorted(set(nodes))
    groups = [[k for k, node in enumerate(nodes) if node == kind] for kind in kinds]
    for parts in product(*map(permutations, groups)):
        yield tuple(k for part in parts for k in part)


def _reordered(edges, order):
    place = {node: k for k, node in enumerate(order)}
    return tuple(sorted(tuple(sorted((place[a], place[b]))) for a, b in edges))


@cache
def exponents_of(degree: int) -> list[tuple[int, int, int]]:
    """(a, b, c) of all products x^a y^b z^c of a degree."""
    return [(a, b, degree - a - b) for a in range(degree, -1, -1) for b in range(degree - a, -1, -1)]
