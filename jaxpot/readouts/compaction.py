"""Shorter SOAP vectors for a sparse Gaussian process, as short as its energies allow."""

import warnings
from typing import Any

import numpy as np

from jaxpot.errors import JaxpotWarning
from jaxpot.kernels.base import Kernel
from jaxpot.typing import AnyArray

_TOLERANCES = [10.0**-k for k in range(6, 19)]
_ROUNDING = 3.0  # how much further from the given vectors than an exact rotation of them
_EPSILONS = 100.0  # times the sum of weights: more than rounding ever makes
_PROBES = 256


def compact(soap: Any, kernel: Kernel, points: AnyArray, weights: AnyArray, allowed: float = 0.0) -> tuple:
    """The compact SOAP of the fewest components with which a dot product kernel gives the same energies.

    With few components, energies sum_s weights_s k(x, x_s) are computed at sparse points (up to 256 of them) and
    compared with those from the given vectors. Rounding alone, which weights of 10^5 eV amplify, makes a difference
    between these and an exact rotation of them: up to three times that, energies count as the same.

    Args:
        soap: with vectors in QUIP's order.
        kernel: a function of scalar products.
        points: (M, D) in QUIP's order.
        weights: (M,) eV.
        allowed: eV; differences that are accepted, if that is more.

    Returns:
        The compact SOAP and the points (M, d). A warning tells differences beyond rounding.
    """
    probes = np.unique(np.linspace(0, len(points) - 1, _PROBES).astype(int))
    expected = _energies(kernel, points, probes, weights)

    def shortened(**changes):
        shorter = soap.replace(compact=True, **changes)
        vectors = shorter.compress(points)
        return shorter, vectors, np.abs(_energies(kernel, vectors, probes, weights) - expected).max(initial=0.0)

    exact = shortened()
    # Points that are no SOAP vectors lie outside the exact space too: what that changes is not rounding.
    rounding = min(_ROUNDING * exact[2], _EPSILONS * np.finfo(np.float64).eps * np.abs(weights).sum())
    for tolerance in _TOLERANCES:
        shorter, vectors, error = shortened(compact_tolerance=tolerance)
        if error <= max(rounding, allowed):
            break
    else:
        shorter, vectors, error = exact
    if vectors is not exact[1] and error > rounding:
        warnings.warn(
            f"vectors of {vectors.shape[1]} instead of {exact[1].shape[1]} components: site energies of "
            f"{len(probes)} sparse points change by up to {error:.1e} eV (allowed {allowed:.1e} eV)",
            JaxpotWarning, stacklevel=2,
        )
    return shorter, vectors


def _energies(kernel, points, probes, weights):
    return np.asarray(kernel.matrix(points[probes], points)) @ weights
