"""Errors and error bars of frames that were left out of a fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jaxpot.core.neighbors import Neighbors
from jaxpot.core.numbers import as_whole
from jaxpot.core.structure import Structure
from jaxpot.data.dataset import Dataset
from jaxpot.data.padded_frames import prepare_frames
from jaxpot.data.predictions import KINDS
from jaxpot.fitting.linear.stress_offsets import without_offsets
from jaxpot.observables import evaluate
from jaxpot.potentials.posterior import Posterior
from jaxpot.potentials.terms import inner_cutoffs
from jaxpot.uncertainty.deviations import padded_std
from jaxpot.uncertainty.inflation import Inflation

_SHARE = 20  # of the frames that are looked at, in each cluster


@dataclass(frozen=True)
class HeldOut:
    """Differences and bars of frames that were left out.

    Attributes:
        differences: kind -> prediction less label, (N,): eV (of a whole frame), eV/A, eV/A^3.
        epistemic, noise: kind -> standard deviations, (N,), as `std` gives them.
        frames: kind -> which frame each belongs to, (N,).
        atoms: number of atoms of each frame.
        sites: epistemic standard deviations of the site energies of all these frames, (sum n,) eV.
        whole: epistemic standard deviation of the energy, and the sum of those of the site energies, of each frame of
            the data set, (F, 2) eV; zero of frames that were not looked at.
        labels: kind -> labels, (N,).
        share: of all frames, that each of these fits lacked.
    """

    differences: dict
    epistemic: dict
    noise: dict
    frames: dict
    atoms: np.ndarray
    sites: np.ndarray = field(default_factory=lambda: np.zeros(0))
    whole: np.ndarray | None = None
    labels: dict = field(default_factory=dict)
    share: float = 0.0

    def as_of_all(self) -> "HeldOut":
        """Bars that a fit to all frames would have of frames like these: smaller by (1 - share)^(1/2)."""
        smaller = np.sqrt(1.0 - self.share)
        return replace(
            self, epistemic={kind: smaller * bars for kind, bars in self.epistemic.items()},
            sites=smaller * self.sites, whole=None if self.whole is None else smaller * self.whole, share=0.0,
        )

    def inflated(self, kind: str, inflation: Inflation) -> np.ndarray:
        """Epistemic deviations of a kind, widened."""
        frames, bars = self.frames[kind], self.epistemic[kind]
        energies, sums = np.zeros((2, len(self.atoms))) if self.whole is None else self.whole.T
        if kind == "energy":
            return inflation.energy(bars, sums[frames], self.atoms[frames])
        return inflation.others(kind, bars, inflation.away(energies, self.atoms)[:, frames])


def frames_left_out(
    fit: Any, dataset: Dataset, progress: Callable[..., None] | None = None, most: int = 300, seed: int = 0
) -> tuple[HeldOut, list[HeldOut]]:
    """Frames left out by chance, and those of each cluster left out as a whole; arguments as of `calibrate`."""
    folds, most = fit.left_out(), as_whole(most, "most", 4, 10**9)  # the first says why a fit has none
    data, chosen = without_offsets(dataset, fit.stress_offsets), np.random.default_rng(seed).permutation(len(dataset))
    parts = [(np.intersect1d(members, chosen[:most]), posterior) for members, posterior in folds]
    of_clusters, share = fit.clusters_left_out(), max(1, most // _SHARE)
    # A parameter of a formula may be its cutoff.
    widest = max((posterior.potential for _, posterior in (*parts, *of_clusters)), key=lambda p: p.cutoff)
    prepared = prepare_frames([frame.structure for frame in data], widest.cutoff, inner_cutoffs(widest))
    clusters = [
        held_out([(np.random.default_rng(seed).permutation(members)[:share], posterior)], data, progress, prepared)
        for members, posterior in of_clusters
    ]
    lacked = float(np.mean([len(members) for members, _ in folds])) / len(data)
    return replace(held_out(parts, data, progress, prepared), share=lacked), clusters


def held_out(
    parts: Sequence[tuple[Any, Posterior]], dataset: Dataset, progress: Callable[..., None] | None = None,
    prepared: Sequence[tuple[Structure, Neighbors]] | None = None,
) -> HeldOut:
    """Predictions and bars of frames, each by a posterior that has not seen it.

    Args:
        parts: pairs (numbers of the frames, `Posterior`).
        dataset: `Dataset`, its stresses without offsets.
        progress: called with a sentence.
        prepared: all frames as `prepare_frames` gives them.
    """
    names = ("differences", "labels", "epistemic", "noise", "frames")
    columns: dict[str, dict[str, list[np.ndarray]]] = {name: {kind: [] for kind in KINDS} for name in names}
    done, frames, sites = 0, list(dataset), [np.zeros(0)]
    whole = np.zeros((len(frames), 2))
    potential = parts[0][1].potential
    if prepared is None:
        prepared = prepare_frames([f.structure for f in frames], potential.cutoff, inner_cutoffs(potential))
    for members, posterior in parts:
        for k in np.asarray(members).tolist():
            structure, neighbors = prepared[k]
            bars = padded_std(posterior, structure, neighbors, len(frames[k]))
            sites.append(np.asarray(bars.epistemic.energies))
            whole[k] = bars.epistemic.energy, sites[-1].sum()
            for kind, *own in _compared(frames[k], posterior, bars, structure, neighbors):
                for name, array in zip(names, (*own, np.full(len(own[0]), k)), strict=True):
                    columns[name][kind].append(array)
            done += 1
            if progress and done % 10 == 0:
                progress(f"calibration: {done} of {sum(len(m) for m, _ in parts)} frames")
    joined = {
        name: {kind: np.concatenate(found) for kind, found in column.items() if found}
        for name, column in columns.items()
    }
    atoms = np.array([len(frame) for frame in frames])
    return HeldOut(**joined, atoms=atoms, sites=np.concatenate(sites), whole=whole, share=0.0)


def _compared(frame, posterior, bars, structure, neighbors):
    """Kind, differences, labels, epistemic and noise deviations of one frame, (N,) each."""
    found, n = evaluate(posterior.potential, structure, neighbors), len(frame)
    found = found.replace(forces=np.asarray(found.forces)[:n])
    upper = np.triu_indices(3)
    labels = {
        "energy": (frame.energy, lambda e: np.array([float(e.energy)])),
        "forces": (frame.forces, lambda e: np.asarray(e.forces).ravel()),
        "stress": (frame.stress, lambda e: np.asarray(e.stress)[upper]),
    }
    for kind, (label, of) in labels.items():
        # Kinds that were not fitted have no noise, and no bar of a label.
        if label is not None and kind in posterior.sigmas:
            own = np.asarray(label)[upper] if kind == "stress" else np.ravel(label)
            yield kind, of(found) - own, own, of(bars.epistemic), of(bars.noise)
