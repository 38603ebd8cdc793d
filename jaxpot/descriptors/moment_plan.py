"""The order in which the moments of `MomentTensors` are computed."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from jaxpot.basis.unit_monomials import exponents, on_sphere
from jaxpot.core.row_products import RowProducts
from jaxpot.errors import DataError


@lru_cache(maxsize=32)
def products_table(products: str) -> np.ndarray:
    """The numbers of a text, (n, 4).

    Raises:
        DataError: not numbers, or not four for each addend.
    """
    try:
        return np.array(products.split(), np.int64).reshape(-1, 4)
    except ValueError as error:
        raise DataError(f"products: expected four whole numbers for each addend ({error})") from error


class Block(NamedTuple):
    """Sums of y^b z^c of some degrees times the first radial functions, and times x and the first ones."""

    degrees: tuple[int, ...]
    plain: int
    along_x: int


class Plan(NamedTuple):
    """Order of the computation of moments: sums over neighbours, others that follow from these, products by depth.

    Attributes:
        highest: degree of y^b z^c.
        blocks: few, so that matrices are large; several, as few radial functions have moments of a high degree.
        others: moments with x^2, as sums of those without.
        tables: of each depth, from all moments before it.
        components: places of the components.
    """

    highest: int
    blocks: list[Block]
    others: RowProducts | None
    tables: list[RowProducts]
    components: np.ndarray


@lru_cache(maxsize=32)
def moment_plan(basic: tuple[tuple[int, ...], ...], products: str, scalars: tuple[int, ...]) -> Plan:
    """Plan of the fields of a `MomentTensors`, made once."""
    table = products_table(products)
    expanded = [{(m, *powers): w for powers, w in on_sphere(*rest).items()} for m, *rest in basic]
    blocks, at = _blocks({moment for sums in expanded for moment in sums})
    place, size = {}, len(at)
    for number, sums in enumerate(expanded):
        place[number] = at[next(iter(sums))] if len(sums) == 1 else size
        size += len(sums) > 1
    entries = [(at[moment], place[k] - len(at), w) for k, sums in enumerate(expanded) if len(sums) > 1
               for moment, w in sums.items()]
    others = None
    if entries:
        moments, rows, factors = np.array(entries).T
        others = RowProducts(moments, 0 * moments, rows, factors, (len(at), 1, size - len(at)))
    depth = dict.fromkeys(range(len(basic)), 0)
    for p, q, _, target in table.tolist():
        depth[target] = max(depth.get(target, 0), 1 + max(depth[p], depth[q]))
    tables = []
    for level in range(1, max(depth.values()) + 1):
        targets = [number for number in depth if depth[number] == level]
        row = {number: k for k, number in enumerate(targets)}
        of_level = table[[depth[target] == level for target in table[:, 3].tolist()]]
        first, second = ([place[number] for number in column.tolist()] for column in of_level.T[:2])
        target = [row[number] for number in of_level[:, 3].tolist()]
        tables.append(RowProducts(first, second, target, of_level[:, 2], (size, size, len(targets))))
        place |= {number: size + k for number, k in row.items()}
        size += len(targets)
    components = np.array([place[number] for number in scalars], np.int32)
    return Plan(max(q + r for _, _, q, r in at), blocks, others, tables, components)


def _blocks(needed):
    """Blocks of sums that hold all that are needed, and the place of each sum, (m, p, q, r): x^p y^q z^r."""
    highest = max(q + r for _, _, q, r in needed)
    middle = (highest + 2) // 2 if highest > 3 else highest + 1
    blocks, at = [], {}
    for degrees in (range(middle), range(middle, highest + 1)):
        if not degrees:
            continue
        plain, along_x = (
            max((m + 1 for m, p, q, r in needed if p == x and q + r in degrees), default=0) for x in (0, 1)
        )
        blocks.append(Block(tuple(degrees), plain, along_x))
        for m, p in [*((m, 0) for m in range(plain)), *((m, 1) for m in range(along_x))]:
            for q, r in [powers for degree in degrees for powers in exponents(degree)]:
                at[m, p, q, r] = len(at)
    return blocks, at
