"""How well errors and error bars agree."""

import math
from typing import Any

import numpy as np

from jaxpot.typing import AnyArray

LEVELS = (0.5, 0.9, 0.95)
CURVE = tuple(np.round(np.linspace(0.05, 0.95, 19), 2).tolist())
_FLOOR = 1e-6  # of the largest bar: smaller ones count as this


def score(differences: AnyArray, deviations: AnyArray) -> dict[str, Any]:
    """Coverage of central intervals, mean CRPS and mean negative log likelihood, errors taken as normal."""
    deviations = positive(deviations)
    z = differences / deviations
    density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    cumulative = 0.5 * (1.0 + _erf(z / math.sqrt(2.0)))
    crps = deviations * (z * (2.0 * cumulative - 1.0) + 2.0 * density - 1.0 / math.sqrt(math.pi))
    return {
        "coverage": {level: float(np.mean(np.abs(z) <= normal_quantile(level))) for level in LEVELS},
        "curve": [float(np.mean(np.abs(z) <= normal_quantile(level))) for level in CURVE],
        "crps": float(crps.mean()),
        "nll": float(np.mean(0.5 * z * z + np.log(deviations) + 0.5 * math.log(2.0 * math.pi))),
    }


def positive(deviations: AnyArray) -> np.ndarray:
    """Deviations, those that are next to nothing beside the largest as large as that."""
    return np.maximum(deviations, _FLOOR * max(float(np.max(deviations, initial=0.0)), 1e-300))


def _erf(x):
    return np.array([math.erf(v) for v in np.ravel(x)]).reshape(np.shape(x))


def normal_quantile(level: float) -> float:
    """Half-width of the central interval of a normal distribution in standard deviations, by bisection."""
    low, high = 0.0, 10.0
    while high - low > 1e-12:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if math.erf(middle / math.sqrt(2.0)) < level else (low, middle)
    return low
