"""Sets of components of the atomic cluster expansion, and how large their weights are a priori."""

import math
from collections.abc import Sequence

import numpy as np

from jaxpot.basis.invariant_products import n_couplings


def components_by_orders(
    elements: int, radials: Sequence[int], degrees: Sequence[int], totals: Sequence[int] | None = None
) -> tuple:
    """All components of 1, 2, ... factors with n and l up to numbers that depend on how many factors there are.

    Args:
        elements: how many there are.
        radials: highest n of components of one factor, of two, ... (pacemaker's nradmax_by_orders).
        degrees: highest l likewise; that of one factor is 0.
        totals: highest sum of n - 1 + l over the factors likewise (the total degree); None: any.

    Returns:
        (factors, number of the coupling) of each, as `ClusterExpansion` takes them.
    """
    components: list = []

    def extend(chosen, allowed, left, more):
        """Append what begins with the channels chosen, with `more` of those allowed behind them."""
        if not more:
            factors = tuple((e, n, ell) for ell, e, n in chosen)
            components.extend((factors, k) for k in range(1 if len(chosen) == 1 else n_couplings(chosen)))
            return
        for k, (ell, e, n) in enumerate(allowed):
            if ell + n - 1 <= left:
                extend((*chosen, (ell, e, n)), allowed[k:], left - ell - n + 1, more - 1)

    for order, (most, degree) in enumerate(zip(radials, degrees, strict=True), 1):
        top = 0 if order == 1 else degree
        single = [(ell, e, n) for ell in range(top + 1) for e in range(elements) for n in range(1, most + 1)]
        extend((), single, order * (most + top) if totals is None else totals[order - 1], order)
    return tuple(components)


def smooth_scales(components: tuple, smoothness: float, neighbors: float) -> np.ndarray:
    """Factors of components by which those of many factors, and of fine detail, have small weights a priori, (d,).

    s = N^(-v / 2) prod (1 + ((n - 1)^2 + l^2)^(1/2) )^-p  for v factors (n, l): A of N neighbours in random directions
    is of the size of N^(1/2).

    Args:
        components: as of a `ClusterExpansion`.
        smoothness: p.
        neighbors: N.

    References:
        W. C. Witt et al., J. Chem. Phys. 159, 164101 (2023): algebraic smoothness priors.
    """
    return np.array([
        math.prod(neighbors**-0.5 * (1.0 + math.hypot(n - 1, ell)) ** -smoothness for _, n, ell in factors)
        for factors, _ in components
    ])
