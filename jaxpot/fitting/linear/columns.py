"""`Columns`: which columns of the rows of a fit belong to which term, and which of them share a scale."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxpot.fitting.linear.stress_offsets import offset_factor
from jaxpot.typing import AnyArray


@dataclass(frozen=True)
class Columns:
    """Columns of the rows: the weights of each term, and behind them the stress offsets.

    Attributes:
        factors: lower Cholesky factors of the prior precisions of the terms' weights.
        n_offsets: number of offsets.
        blocks: for each term, how many weights share a scale, or None: all.
        removable: for each term, whether weights, and their components, can be left out.
        names: of the terms: the scales of those without sparse points that have one name are chosen together; None: a
            name of its own.
    """

    factors: list
    n_offsets: int
    blocks: list
    removable: list
    names: list

    @property
    def shared(self) -> list[int]:
        """For each block the number of its scale, ascending: those of terms of one name, block by block, are one."""
        numbers: dict[object, int] = {}
        return [
            numbers.setdefault((k if name is None else name, block), len(numbers))
            for k, (name, blocks) in enumerate(zip(self.names, self._by_term, strict=True))
            for block in range(len(blocks))
        ]

    @property
    def priors(self) -> list:
        """Cholesky factors of the prior precisions of all columns, block by block."""
        return [*self.factors, offset_factor(range(self.n_offsets))] if self.n_offsets else self.factors

    @property
    def widths(self) -> list[int]:
        """Number of columns that share a scale, and of the offsets."""
        return [width for blocks in self._by_term for width in blocks] + [self.n_offsets] * (self.n_offsets > 0)

    @property
    def n_blocks(self) -> int:
        """Number of scales."""
        return sum(map(len, self._by_term))

    @property
    def of_terms(self) -> list[np.ndarray]:
        """Numbers of the columns of each term."""
        ends = np.cumsum([0, *map(len, self.factors)])
        return [np.arange(begin, end) for begin, end in zip(ends[:-1], ends[1:], strict=True)]

    @property
    def _by_term(self):
        return [(len(f),) if parts is None else parts for f, parts in zip(self.factors, self.blocks, strict=True)]

    def scales(self, of_blocks: Sequence[float], common: float) -> tuple:
        """Factor of delta of each term, or one for each of its weights."""
        parts = self._split(of_blocks)
        return tuple(
            common * (part[0] if blocks is None else np.repeat(part, blocks))
            for part, blocks in zip(parts, self.blocks, strict=True)
        )

    def deltas(self, terms: Sequence, of_blocks: Sequence[float], common: float) -> tuple:
        """Standard deviation of each term, or of each of its blocks."""
        return tuple(
            term.delta * part[0] * common if blocks is None else tuple((np.array(term.delta) * part * common).tolist())
            for term, part, blocks in zip(terms, self._split(of_blocks), self.blocks, strict=True)
        )

    def picked(self, places: Sequence[AnyArray]) -> "Columns":
        """Columns of some weights of each term, by their places among those of the term, ascending."""
        factors, blocks = [], []
        for factor, parts, chosen in zip(self.factors, self.blocks, places, strict=True):
            whole = len(chosen) == len(factor)
            factors.append(factor if whole else np.asarray(factor)[np.ix_(chosen, chosen)])
            if parts is not None and not whole:
                of_block = np.repeat(np.arange(len(parts)), parts)[chosen]
                parts = tuple(np.bincount(of_block, minlength=len(parts)).tolist())
            blocks.append(parts)
        return replace(self, factors=factors, blocks=blocks)

    def numbers(self, places: Sequence[AnyArray]) -> np.ndarray:
        """Numbers of the columns of some weights of each term, as of `picked`, and of all offsets."""
        behind = np.arange(self.n_offsets) + sum(map(len, self.factors))
        return np.concatenate([*(group[chosen] for group, chosen in zip(self.of_terms, places, strict=True)), behind])

    def _split(self, of_blocks):
        return np.split(np.asarray(of_blocks, float), np.cumsum([len(widths) for widths in self._by_term])[:-1])
