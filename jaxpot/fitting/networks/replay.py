"""Replay: what a published model says of other structures, which a fine-tuning sees beside the data."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from jaxpot.core.elements import name_species
from jaxpot.core.structure import Structure
from jaxpot.data.dataset import Dataset
from jaxpot.data.frame import Frame
from jaxpot.errors import DataError
from jaxpot.observables import evaluate_many
from jaxpot.potentials.base import Potential, Sum
from jaxpot.potentials.constants import Constants
from jaxpot.typing import StructureLike

GROUP = "replay"


def with_replay(
    dataset: Dataset, structures: Iterable[StructureLike], members: Sequence[Potential], baseline: Potential | None
) -> Dataset:
    """Data, and behind them frames with the energies, forces and stresses of the mean of some potentials.

    Energies count from the zero of the data, e0; of elements that these lack, from that of the potentials.

    Raises:
        DataError: an element that the potentials do not know, or another periodicity than that of the data.
    """
    frames = [Structure.of(structure) for structure in structures]
    if not frames:
        raise DataError("replay: expected structures, got none")
    mean = Sum.or_one([(1.0 / len(members)) * member for member in members])
    strange = {int(z) for frame in frames for z in np.unique(frame.numbers)} - set(mean.species or ())
    if mean.species is not None and strange:
        raise DataError(f"replay: the start does not know {name_species(strange)}")
    if {tuple(frame.pbc) for frame in frames} != {tuple(frame.structure.pbc) for frame in dataset}:
        raise DataError("replay: expected structures of the periodicity of the data: batches have one kind of pbc")
    e0 = {int(z): 0.0 for frame in frames for z in np.unique(frame.numbers)} | dataset.e0
    whole = mean + Constants(e0) if baseline is None else mean + baseline + Constants(e0)
    labelled = [
        Frame(
            structure, float(result.energy), np.asarray(result.forces),
            np.asarray(result.stress) if all(structure.pbc) else None, GROUP, f"replay, structure {k}",
        )
        for k, (structure, result) in enumerate(zip(frames, evaluate_many(whole, frames), strict=True))
    ]
    return replace(dataset, frames=(*dataset, *labelled), e0=e0)
