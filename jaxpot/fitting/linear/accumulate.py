"""Moments of the rows of a whole data set, frame by frame."""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from jaxpot.core.neighbors import Neighbors
from jaxpot.core.structure import Structure
from jaxpot.data.dataset import Dataset
from jaxpot.data.frame import Frame
from jaxpot.data.targets import Sigmas
from jaxpot.fitting.linear.checkpoint import FitCheckpoint
from jaxpot.fitting.linear.moments import Accumulator, Moments
from jaxpot.fitting.linear.rows import DesignRows, design_rows
from jaxpot.fitting.linear.stress_offsets import offset_columns, offset_factor
from jaxpot.potentials.base import Potential
from jaxpot.typing import AnyArray

VOIGT = (np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1]))


def accumulate(
    potential: Potential, dataset: Dataset, prepared: Sequence[tuple[Structure, Neighbors]],
    targets: tuple[list, list, list], sigmas: Sigmas, factors: Sequence[AnyArray],
    groups: Sequence[tuple[int, ...]] | None = None,
    progress: Callable[[str], None] | None = None, checkpoint: FitCheckpoint | None = None,
    offsets: Sequence[str] = (),
) -> dict[tuple, Moments]:
    """Moments of all rows: (kind, group) -> `Moments`, a frame's rows counting in each of its `groups` (a fold, say).

    The last columns are those of `offsets`, config types whose stresses have one.
    """
    accumulator = Accumulator([*factors, offset_factor(offsets)] if offsets else factors)
    done = 0 if checkpoint is None else checkpoint.restore(accumulator)
    last = time.monotonic()
    for k, (frame, (structure, neighbors)) in enumerate(zip(dataset, prepared, strict=True)):
        if k < done:
            continue
        rows = design_rows(potential, structure, neighbors, sigmas.stress is not None)
        for kind, select, values, sigma in target_rows(frame, [column[k] for column in targets], sigmas):
            columns = np.asarray(select(rows))
            if offsets:
                further = offset_columns(offsets, kind, frame.config_type, len(columns))
                columns = np.concatenate([columns, further], axis=1)
            for group in (None,) if groups is None else groups[k]:
                accumulator.add((kind, group), columns, values, sigma)
        if progress and time.monotonic() - last > 5.0:
            last = time.monotonic()
            progress(f"rows of {k + 1} of {len(dataset)} frames")
        if checkpoint is not None:
            checkpoint.offer(k + 1, accumulator)
    if checkpoint is not None:
        checkpoint.complete(len(dataset), accumulator)
    return accumulator.finish()


def target_rows(
    frame: Frame, targets: Sequence, sigmas: Sigmas
) -> Iterator[tuple[str, Callable[[DesignRows], AnyArray], Sequence[float] | np.ndarray, float]]:
    """Iterate over the targets of a frame: kind, a function from its `DesignRows` to (R, M), values (R,), their sigma.

    Args:
        frame: `Frame`.
        targets: what is left of its energy, forces and stress, each may be None.
        sigmas: `Sigmas`.
    """
    energy, forces, stress = targets
    n = len(frame)
    if energy is not None:
        yield "energy", lambda rows: rows.energy[None], [energy], (frame.sigma_energy or sigmas.energy) * np.sqrt(n)
    if forces is not None:
        def own(rows):
            return np.asarray(rows.forces)[:n].reshape(3 * n, -1)

        yield "forces", own, forces.reshape(-1), frame.sigma_forces or sigmas.forces
    if stress is not None and sigmas.stress is not None:
        def upper(rows):
            return np.asarray(rows.stress)[VOIGT]

        yield "stress", upper, stress[VOIGT], frame.sigma_stress or sigmas.stress
