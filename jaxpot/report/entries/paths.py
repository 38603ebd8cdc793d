"""Properties along the path of the Brillouin zone, and at its special points: one call for both compiles once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxpot.report.entries.record import Study


def path_vectors(study: Study) -> np.ndarray:
    """Wave vectors of the path, followed by the special points: (nq, 3)."""
    return np.concatenate([study.route.q_points, np.array(list(study.special.values()))])


def split(bands: type, study: Study, result: Any, *names: str) -> tuple[Any, dict[str, np.ndarray]]:
    """The parts of a result for `path_vectors`: `bands` along the path, and {name: values at the special points}."""
    route, count = study.route, len(study.route.q_points)
    values = {name: np.asarray(getattr(result, name)) for name in names}
    along = {name: value[:count] for name, value in values.items()}
    path = {"q": route.q_points, "distances": route.distances, "ticks": tuple(route.ticks), "labels": route.labels}
    return bands(**path, **along), {name: value[count:] for name, value in values.items()}


def by_point(study: Study, table: Sequence) -> dict[str, list[float | None]]:
    """Rows of a table by their special points; None for what is not finite."""
    return {
        name: [float(x) if np.isfinite(x) else None for x in row]
        for name, row in zip(study.special, table, strict=True)
    }


def spaced(distances: Sequence[float], count: int) -> np.ndarray:
    """Indices of about `count` points of a path, the two sides of each of its jumps among them."""
    x = np.asarray(distances)
    jumps = np.flatnonzero(np.diff(x) <= 1e-9 * x[-1])
    even = np.searchsorted(x, np.linspace(x[0], x[-1], count))
    return np.unique(np.clip(np.concatenate([even, jumps, jumps + 1]), 0, len(x) - 1))
