"""Targets of a fit: labels minus what is not fitted, and the standard deviations that they are fitted with."""

from dataclasses import dataclass

import numpy as np

from jaxpot.data.dataset import Dataset
from jaxpot.errors import DataError
from jaxpot.observables import evaluate_many
from jaxpot.potentials.base import Potential


@dataclass(frozen=True)
class Sigmas:
    """Standard deviations of the targets where a frame gives none of its own.

    Args:
        energy: eV/atom; a total energy of N atoms has sqrt(N) times this, as in gap_fit.
        forces: eV/A.
        stress: eV/A^3; None: stresses are not fitted.
    """

    energy: float = 0.001
    forces: float = 0.05
    stress: float | None = None


def check_data(dataset: Dataset, baseline: Potential | None) -> None:
    """Refuse a data set without labels, and a baseline that is no potential.

    Raises:
        DataError: one of these.
    """
    if not isinstance(dataset, Dataset):
        raise DataError(f"expected a Dataset (jp.read_dataset, jp.Dataset.of), got {type(dataset).__name__}")
    if not any(f.energy is not None or f.forces is not None for f in dataset):
        raise DataError("no frame has an energy or forces: there is nothing to fit")
    if baseline is not None and not isinstance(baseline, Potential):
        raise DataError(f"baseline: expected a potential, got {type(baseline).__name__}")


def fit_targets(dataset: Dataset, baseline: Potential | None = None) -> tuple[list, list, list]:
    """Labels minus e0 and the baseline: lists of energies (eV, or None), forces and stresses (or None)."""
    e0 = np.array([sum(dataset.e0[int(z)] for z in f.numbers) for f in dataset])
    energies, *others = (
        ([f.energy for f in dataset], [f.forces for f in dataset], [f.stress for f in dataset])
        if baseline is None else labels_minus(dataset, baseline)
    )
    return [None if energy is None else energy - e for energy, e in zip(energies, e0, strict=True)], *others


def labels_minus(dataset: Dataset, potential: Potential) -> tuple[list, list, list]:
    """Labels minus predictions of a potential: lists of energies (eV, or None), forces and stresses (or None)."""
    predictions = evaluate_many(potential, [f.structure for f in dataset])

    def differences(kind):
        return [
            None if label is None else label - np.asarray(getattr(predicted, kind))
            for label, predicted in zip((getattr(f, kind) for f in dataset), predictions, strict=True)
        ]

    return differences("energy"), differences("forces"), differences("stress")
