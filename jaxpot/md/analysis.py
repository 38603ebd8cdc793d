"""Analysis of trajectories: distances, coordination, diffusion, vibrations; a reason for each that cannot be had."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jaxpot.core.elements import symbol
from jaxpot.core.numbers import as_length, as_number, as_positive, as_whole
from jaxpot.errors import DataError
from jaxpot.md.curves import (
    LEAST,
    Displacement,
    PairDistribution,
    Spectrum,
    diffusion_coefficients,
    displacement,
    displacements,
    elements,
    first_minimum,
    mean_distribution,
    pair_distribution,
    paths_without_drift,
    spectrum,
)
from jaxpot.md.frames import Frames, read_frames
from jaxpot.units import THz, cm2_per_s, ps

_EVEN = 1e-3  # of an interval: how much intervals may differ
_FOLDED = 0.2  # of the mean square velocity, by which differences of positions may differ from it


@dataclass(frozen=True)
class Analysis:
    """Analysis of a trajectory (`md.analyse`), in internal units; `to_dict()` has ps, THz and cm2/s.

    Attributes:
        frames, atoms, elements: how many were looked at, and symbols.
        interval: time between frames; None: not known.
        pairs: `PairDistribution`, or None.
        coordination: "A-B" -> (mean number of B atoms around an A atom, the cutoff in A); without the pairs of elements
            whose g(r) has no minimum.
        displacement: `Displacement`, or None.
        diffusion: "all", and symbols where there are several elements -> `Diffusion`; without those whose displacement
            does not grow as a straight line.
        spectrum: `Spectrum`, or None.
        notes: name of a quantity -> sentences: why it is None, or what is to be kept in mind.
    """

    frames: int
    atoms: int
    elements: tuple
    interval: float | None
    pairs: PairDistribution | None
    coordination: dict
    displacement: Displacement | None
    diffusion: dict
    spectrum: Spectrum | None
    notes: dict

    def to_dict(self) -> dict:
        """Lists and numbers for JSON, with the unit in the name; None for a quantity without a value."""
        pairs, moved, seen = self.pairs, self.displacement, self.spectrum
        coefficients = {
            name: {"D_cm2_per_s": d.coefficient / cm2_per_s, "D_cm2_per_s_sd": d.error / cm2_per_s}
            for name, d in self.diffusion.items()
        }
        return {
            "frames": self.frames, "atoms": self.atoms, "elements": list(self.elements),
            "interval_ps": None if self.interval is None else self.interval / ps,
            "rdf": pairs and {
                "r_A": pairs.distances.tolist(), "g": pairs.total.tolist(), "partial": _lists(pairs.partial)
            },
            "coordination": {k: {"number": n, "cutoff_A": r} for k, (n, r) in self.coordination.items()} or None,
            "msd": moved and {
                "time_ps": (moved.times / ps).tolist(), "msd_A2": moved.total.tolist(),
                "by_element_A2": _lists(moved.by_element),
            },
            "diffusion": coefficients or None,
            "vdos": seen and {
                "frequency_THz": (seen.frequencies / THz).tolist(), "density_per_THz": (seen.total * THz).tolist(),
                "by_element_per_THz": {name: (d * THz).tolist() for name, d in seen.by_element.items()},
            },
            "notes": {name: list(said) for name, said in self.notes.items()},
        }


def analyse(
    frames: str | os.PathLike | Frames | Sequence, cutoff: float = 8.0, bins: int = 200, start: int = 0,
    skip: float = 0.0, interval: float | None = None, coordination_cutoff: float | None = None, blocks: int = 5,
    wrapped: bool | None = None, progress: Callable[[str], None] | None = None,
) -> Analysis:
    """Analyse a trajectory: g(r), coordination, mean square displacement, diffusion, vibrational density of states.

    Args:
        frames: path of a trajectory (see `md.read_frames`), `Frames`, or a list of `ase.Atoms`, `Structure` or `State`.
        cutoff: A, of g(r).
        bins: of g(r).
        start: how many frames to leave out in front.
        skip: time to leave out in front, in internal units (2 * units.ps); instead of `start`.
        interval: time between frames in internal units (100 * units.fs), where frames do not say when they are.
        coordination_cutoff: A; by default the first minimum of g(r) of each pair of elements.
        blocks: of the run, for the standard errors of diffusion coefficients.
        wrapped: whether atoms that leave the cell come back on its other side; by default told from how they move.
        progress: called with a sentence now and then.

    Returns:
        `Analysis`. What cannot be computed (no velocities, too few frames, no density) is None, and `notes` says why.

    Raises:
        FormatError: no such file, or a damaged one.
        DataError: wrong arguments; frames of different atoms; nothing left to look at.
    """
    edges = np.linspace(0.0, as_length(cutoff, "cutoff"), as_whole(bins, "bins", 2, 10**5) + 1)
    start, skip = as_whole(start, "start", 0, 10**12), as_number(skip, "skip")
    given = None if interval is None else as_positive(interval, "interval", "a positive time, such as 100 * units.fs")
    within = None if coordination_cutoff is None else as_length(coordination_cutoff, "coordination_cutoff")
    blocks = as_whole(blocks, "blocks", 2, 1000)
    if within is not None and within > edges[-1]:
        raise DataError(f"coordination_cutoff: expected at most the cutoff of g(r), {edges[-1]:g} A, got {within:g}")
    frames = read_frames(frames) if isinstance(frames, str | os.PathLike) else Frames.of(frames)
    say = progress or (lambda sentence: None)
    step, uneven = _interval(frames, given)
    frames = frames[_first(frames, start, skip, step or given) :]
    notes: dict[str, tuple[str, ...]] = {}
    say(f"{len(frames)} frames of {len(frames.numbers)} atoms: distances")
    pairs, coordination = _pairs(frames, edges, within, notes, say)
    if wrapped is None:
        wrapped, said = frames.jumps()
        notes |= {} if said is None else {"msd": (said,)}
    moved, coefficients = _displacement(frames, step, uneven, blocks, wrapped, notes, say)
    seen = _spectrum(frames, step, uneven, wrapped, notes, say)
    names = tuple(symbol(z) for z in elements(frames.numbers))
    return Analysis(
        len(frames), len(frames.numbers), names, step, pairs, coordination, moved, coefficients, seen, notes
    )


def _interval(frames, given):
    """Time between frames, and a note where there is none that serves."""
    if given is not None:
        return given, None
    if len(frames) < 2:
        return None, "one frame has no time in it: expected a trajectory"
    if frames.times is None:
        return None, "the frames do not say when they are: give the time between them (interval=, --time-step-fs)"
    steps = np.diff(frames.times)
    middle = float(np.median(steps))
    if not (middle > 0.0 and np.abs(steps - middle).max() <= _EVEN * middle):
        return None, (
            f"frames are not at equal intervals ({steps.min() / ps:.4g} to {steps.max() / ps:.4g} ps): remove those "
            "that are there twice, or give the time between them (interval=, --time-step-fs)"
        )
    return middle, None


def _first(frames, start, skip, interval):
    """The first frame to look at."""
    if skip < 0.0:
        raise DataError(f"skip: expected a time that is not negative, got {skip / ps:g} ps")
    if skip and start:
        raise DataError("give either `skip`, a time, or `start`, a number of frames")
    if skip and frames.times is None and interval is None:
        raise DataError(
            f"{frames.name}: the frames do not say when they are: leave out a number of them (start=, --start), or "
            "give the time between them (interval=, --time-step-fs)"
        )
    times = np.arange(len(frames)) * interval if interval is not None else frames.times
    if skip:
        start = int(np.count_nonzero(times - times[0] < skip * (1.0 - 1e-9)))
    if start >= len(frames):
        length = "" if times is None or len(frames) < 2 else f", {(times[-1] - times[0]) / ps:.4g} ps"
        what = f"{skip / ps:g} ps are to be left out" if skip else f"{start} frames are to be left out"
        raise DataError(f"{frames.name}: {what}, and there are {len(frames)} frames{length}: nothing is left")
    return start


def _pairs(frames, edges, within, notes, say):
    """g(r) and coordination numbers."""
    if not all(frames.pbc):
        reason = f"g(r) needs a density, periodic along all three axes; these frames have pbc={frames.pbc}"
        notes["rdf"] = notes["coordination"] = (reason,)
        return None, {}
    half = 0.5 * float(frames.heights.min())
    if edges[-1] > half:
        notes["rdf"] = (f"beyond {half:.4g} A, half of the least height of the cell, atoms meet their own images",)
    kinds, atoms = np.unique(frames.numbers, return_counts=True)
    mean = counts = 0.0
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    for k, (positions, cell) in enumerate(zip(frames.positions, frames.cells, strict=True)):
        table = pair_distribution(positions, cell, frames.pbc, frames.numbers, edges)
        mean = mean + table
        counts = counts + table * shells * atoms[:, None] / abs(np.linalg.det(cell))
        if k % 100 == 99:
            say(f"distances: {k + 1} of {len(frames)} frames")
    mean, counts = mean / len(frames), counts / len(frames)
    pairs = mean_distribution(mean, frames.numbers, edges)
    names, coordination, missing = [symbol(int(z)) for z in kinds], {}, []
    for a, one in enumerate(names):
        for b, other in enumerate(names):
            end = first_minimum(pairs.distances, mean[a, b]) if within is None else within
            if end is None:
                missing.append(f"{one}-{other}")
                continue
            reached = np.interp(end, edges, np.concatenate([[0.0], np.cumsum(counts[a, b])]))
            coordination[f"{one}-{other}"] = (float(reached), end)
    if missing:
        notes["coordination"] = (
            f"g(r) of {', '.join(missing)} has no minimum after its first peak below {edges[-1]:g} A: give "
            "coordination_cutoff (--coordination-cutoff) or a longer cutoff",
        )
    return pairs, coordination


def _displacement(frames, step, uneven, blocks, wrapped, notes, say):
    """Mean square displacements and diffusion coefficients."""
    few = None if len(frames) > 1 else "one frame shows no motion"
    if uneven or few:
        notes["msd"] = notes["diffusion"] = (few or uneven,)
        return None, {}
    say("displacements")
    paths = paths_without_drift(displacements(frames.positions, frames.cells, frames.pbc, wrapped), frames.masses)
    moved = displacement(paths, frames.numbers, step)
    if len(frames.numbers) == 1:
        notes["msd"] = (*notes.get("msd", ()), "of one atom, motion is that of the centre of mass, which is left out")
    if len(frames) < blocks * LEAST:
        notes["diffusion"] = (
            f"{len(frames)} frames are too few for {blocks} blocks of at least {LEAST}: simulate for longer or write "
            "frames more often",
        )
        return moved, {}
    coefficients, said = diffusion_coefficients(paths, frames.numbers, step, blocks)
    if said:
        notes["diffusion"] = said
    return moved, coefficients


def _spectrum(frames, step, uneven, wrapped, notes, say):
    """The vibrational density of states."""
    reason = uneven
    if frames.velocities is None:
        reason = "the frames have no velocities (momenta in extended XYZ, velocities in NetCDF)"
    elif len(frames) < LEAST:
        reason = f"too few frames ({len(frames)}): at least {LEAST}"
    elif not frames.velocities.any():
        reason = "nothing moves: all velocities are zero"
    if reason:
        notes["vdos"] = (reason,)
        return None
    say("velocities")
    seen = spectrum(frames.velocities * np.sqrt(frames.masses)[:, None], frames.numbers, step)
    if _folded(frames, step, wrapped):
        notes["vdos"] = (
            f"velocities change faster than frames follow them: vibrations above {0.5 / (step * THz):.3g} THz (half a "
            "cycle in the time between frames) are folded to lower frequencies; write frames more often",
        )
    return seen


def _folded(frames, step, wrapped):
    """Whether vibrations are too fast for the frames: velocities are not what positions change by.

    Of a vibration of frequency f they differ by (sin x / x - cos x)^2 of its mean square velocity, x = pi f step.
    """
    moves = displacements(frames.positions, frames.cells, frames.pbc, wrapped)
    means = 0.5 * (frames.velocities[1:] + frames.velocities[:-1])
    means, moves = (paths_without_drift(array, frames.masses) for array in (means, np.diff(moves, axis=0) / step))
    whole = np.sum(frames.masses[:, None] * paths_without_drift(frames.velocities, frames.masses)[1:] ** 2)
    return bool(np.sum(frames.masses[:, None] * (means - moves) ** 2) > _FOLDED * whole)


def _lists(curves):
    return {name: curve.tolist() for name, curve in curves.items()}
