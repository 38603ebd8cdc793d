"""Predictions beside labels, and their errors: by kind, by config type, with intervals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jaxpot.checks import check_potential
from jaxpot.data.frame import Frame
from jaxpot.data.padded_frames import Prepared
from jaxpot.errors import DataError
from jaxpot.observables import evaluate
from jaxpot.potentials.base import Potential

KINDS = ("energy", "forces", "stress")


@dataclass(frozen=True)
class Predictions:
    """Labels and predictions of a data set, frame by frame.

    Attributes:
        config_types: of the frames.
        labels, predicted: kind -> list over frames of arrays (or None without a label): energy () eV/atom, forces
            (n, 3) eV/A, stress (3, 3) eV/A^3.
    """

    config_types: tuple
    labels: dict
    predicted: dict

    def differences(self, kind: str, frames: Iterable[int] | None = None) -> list[np.ndarray]:
        """Predictions less labels of some frames, an array for each frame that has one."""
        frames = range(len(self.config_types)) if frames is None else frames
        return [
            np.atleast_1d(self.predicted[kind][k] - self.labels[kind][k]).ravel()
            for k in frames if self.labels[kind][k] is not None
        ]

    def errors(self) -> dict:
        """{"all" or config type: {kind: {"mae", "rmse", "count", "interval"}}}.

        `mae` and `rmse` in eV/atom, eV/A and eV/A^3 over all components; `interval` is the central 90 % of the MAE of
        1000 bootstrap samples of the frames (frames, not components: those of one frame err together).
        """
        groups: dict[str, Sequence[int]] = {"all": range(len(self.config_types))}
        for name in sorted(set(self.config_types)):
            groups[name] = [k for k, config_type in enumerate(self.config_types) if config_type == name]
        table = {}
        for name, frames in groups.items():
            row = {kind: _error(self.differences(kind, frames)) for kind in KINDS}
            table[name] = {kind: error for kind, error in row.items() if error}
        return table


def predict(potential: Potential, dataset: Iterable[Frame], prepared: Prepared | None = None) -> Predictions:
    """Predict energies, forces and stresses of all frames, beside their labels.

    Args:
        potential: any potential.
        dataset: `Dataset`, or any frames.
        prepared: the structures of these frames, if they have been made ready already.
    """
    check_potential(potential)
    frames = list(dataset)
    if prepared is None:
        prepared = Prepared.for_potential([f.structure for f in frames], potential)
    labels: dict[str, list] = {kind: [] for kind in KINDS}
    predicted: dict[str, list] = {kind: [] for kind in KINDS}
    for frame, (structure, neighbors) in zip(frames, prepared.serving(potential), strict=True):
        evaluation, n = evaluate(potential, structure, neighbors), len(frame)
        labels["energy"].append(None if frame.energy is None else frame.energy / n)
        labels["forces"].append(frame.forces)
        labels["stress"].append(frame.stress)
        predicted["energy"].append(float(evaluation.energy) / n)
        predicted["forces"].append(np.asarray(evaluation.forces)[:n])
        predicted["stress"].append(np.asarray(evaluation.stress))
    return Predictions(tuple(f.config_type for f in frames), labels, predicted)


def _error(differences):
    if not differences:
        return None
    sums = np.array([[np.abs(d).sum(), len(d)] for d in differences])
    squares = sum((d * d).sum() for d in differences)
    count = sums[:, 1].sum()
    if not np.isfinite(sums).all():
        raise DataError("a prediction is not finite: the potential has no value for one of the frames")
    draws = np.random.default_rng(0).integers(len(sums), size=(_SAMPLES, len(sums)))
    drawn = sums[draws].sum(1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.05, 0.95))
    return {
        "mae": float(sums[:, 0].sum() / count), "rmse": float(np.sqrt(squares / count)), "count": int(count),
        "interval": (float(low), float(high)),
    }


_SAMPLES = 1000
