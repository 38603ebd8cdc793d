"""By how much bars of clusters of frames, left out as a whole, are too small: what a fit has to extrapolate to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jaxpot.uncertainty.held_out import HeldOut
from jaxpot.uncertainty.inflation import Inflation
from jaxpot.uncertainty.scores import normal_quantile

_TOWARDS_LARGEST = 0.25  # of the way, in logarithms, from what is asked for to the largest
_GROWTH = 0.25  # exponent of the factor beyond the largest spread of a cluster
_LEAST = 0.1  # of the largest factor


@dataclass(frozen=True)
class Asked:
    """Factors of epistemic parts that the errors of one cluster ask for.

    Attributes:
        per_atom: median of the deviations of its energies per atom, eV; 0 if not known.
        ratios: of each kind of label, (N,): with such a factor the 90 % interval ends at the label.
    """

    per_atom: float
    ratios: tuple[np.ndarray, ...]


def asked_by(cluster: HeldOut, noise: Mapping[str, float], usual: Mapping[str, float], unit: Inflation) -> Asked:
    """Factors that the errors of a cluster ask for.

    Labels count whose bars are as large as usual: those that the fit has to extrapolate to, not forces that are nearly
    zero by symmetry.

    Args:
        cluster: left out as a whole.
        noise: kind -> factor of the noise.
        usual: kind -> median deviation of frames left out by chance, as `per_atom` gives them.
        unit: `Inflation` with factors of 1.
    """
    ratios = []
    for kind in (set(cluster.differences) & set(usual)) - {"stress"}:
        far = per_atom(cluster, kind) >= usual[kind]
        bars, sigmas = cluster.inflated(kind, unit)[far], noise[kind] * cluster.noise[kind][far]
        squares = (cluster.differences[kind][far] / normal_quantile(0.9)) ** 2 - sigmas**2
        if far.any():
            ratios.append(np.sqrt(np.maximum(squares, 0.0)) / np.maximum(bars, 1e-300))
    frames = np.unique(np.concatenate([np.zeros(0, int), *cluster.frames.values()]))
    known = cluster.whole is not None and len(frames) > 0
    spread = float(np.median(cluster.whole[frames, 0] / cluster.atoms[frames])) if known else 0.0  # type: ignore[index]
    return Asked(spread, tuple(ratios))


def per_atom(held: HeldOut, kind: str) -> np.ndarray:
    """Epistemic deviations of a kind; those of energies for one atom, so that frames of all sizes can be compared."""
    bars = held.epistemic[kind]
    return bars / held.atoms[held.frames[kind]] if kind == "energy" else bars


def joint_factor(asked: Sequence[Asked]) -> float:
    """Factor that covers 90 % of all errors, each cluster and kind counting alike; 0 without any."""
    return _covering([part for cluster in asked for part in cluster.ratios])


def largest_factor(asked: Sequence[Asked]) -> float:
    """Largest of the factors that cover 90 % of the errors of each cluster and kind; 0 without any."""
    return max((_covering([part]) for cluster in asked for part in cluster.ratios), default=0.0)


def factors_by_level(asked: Sequence[Asked]) -> tuple[tuple[float, float], ...]:
    """Pairs (deviation of energies per atom, factor), as `Inflation.levels` has them; none if these are not known.

    At the spread of a cluster the factor is what covers 90 % of its errors, of each kind, and of those of all clusters
    with larger spreads; few clusters tell little, so that it is moved a quarter of the way to the largest. Beyond the
    largest spread it grows as its fourth root, up to that: nothing has been tried there.
    """
    points = sorted((c.per_atom, max(_covering([part]) for part in c.ratios)) for c in asked if c.ratios)
    largest = max((factor for _, factor in points), default=0.0)
    if largest <= 0.0 or points[0][0] <= 0.0:
        return ()
    spreads, factors = np.array(points).T
    upper = np.maximum(np.maximum.accumulate(factors[::-1])[::-1], _LEAST * largest)
    factors = upper * (largest / upper) ** _TOWARDS_LARGEST
    end = spreads[-1] * (largest / factors[-1]) ** (1.0 / _GROWTH)
    return (*zip(spreads.tolist(), factors.tolist(), strict=True), (float(end), float(largest)))


def _covering(parts):
    """Number that 90 % of the numbers in each part stay below, the parts counting alike; 0 without any."""
    if not parts:
        return 0.0
    joined = np.concatenate(parts)
    weight = np.concatenate([np.full(len(part), 1.0 / len(part)) for part in parts])
    order = np.argsort(joined)
    reached = np.cumsum(weight[order]) >= 0.9 * len(parts) * (1.0 - 1e-12)
    return float(joined[order][reached.argmax()])
