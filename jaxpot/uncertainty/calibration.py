"""Are the error bars right? Predictions of frames that a fit has not seen, with their bars, against the labels."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpot.core.numbers import as_whole
from jaxpot.data.dataset import Dataset
from jaxpot.data.padded_frames import prepare_frames
from jaxpot.data.predictions import KINDS
from jaxpot.errors import DataError
from jaxpot.fitting.linear.stress_offsets import without_offsets
from jaxpot.observables import evaluate
from jaxpot.potentials.posterior import Posterior
from jaxpot.potentials.terms import inner_cutoffs
from jaxpot.typing import AnyArray
from jaxpot.uncertainty.deviations import padded_std

LEVELS = (0.5, 0.9, 0.95)
CURVE = tuple(np.round(np.linspace(0.05, 0.95, 19), 2).tolist())
_MOST = 20_000  # components that factors are chosen by
_FLOOR = 1e-6  # of the largest bar: smaller ones count as this
_SYMMETRY = 1e-4  # of the largest bar: forces with smaller ones are zero but for the digits of the positions


@dataclass(frozen=True)
class HeldOut:
    """Differences and bars of frames that were left out.

    Attributes:
        differences: kind -> prediction less label, (N,): eV (of a whole frame), eV/A, eV/A^3.
        epistemic, noise: kind -> standard deviations, (N,), as `std` gives them.
        frames: kind -> which frame each belongs to, (N,).
        atoms: number of atoms of each frame.
    """

    differences: dict
    epistemic: dict
    noise: dict
    frames: dict
    atoms: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """Factors that make bars right on frames that were left out, and how right they are.

    Attributes:
        epistemic, noise: kind -> factor of these parts of the bar of a label: by maximum likelihood, and then both so
            that the central 90 % interval covers 90 %.
        misspecification: the factor with which the epistemic part alone would cover 90 % of the errors of forces (of
            energies where there are none): a potential whose form is wrong errs by more than its parameters are
            uncertain. Bars of properties are multiplied with it.
        scores: kind -> {"before" and "after": {"coverage": {level: fraction}, "curve": fractions at the levels `CURVE`,
            "crps", "nll"}}. Those after are of each half of the frames with factors from the other half.
        count: kind -> number of components.
    """

    epistemic: dict
    noise: dict
    misspecification: float
    scores: dict
    count: dict

    def apply(self, posterior: Posterior) -> Posterior:
        """The posterior with these factors."""
        factors = {kind: jnp.array([self.epistemic[kind], self.noise[kind]]) for kind in self.epistemic}
        return posterior.replace(calibration=factors | {"property": jnp.asarray(self.misspecification)})

    def __str__(self) -> str:
        lines = [f"calibration on frames left out; errors of properties times {self.misspecification:.3g}"]
        for kind, found in self.scores.items():
            lines.append(
                f"  {kind}: epistemic part times {self.epistemic[kind]:.3g}, noise times {self.noise[kind]:.3g}"
            )
            for when, row in found.items():
                inside = ", ".join(f"{100 * share:.0f} % in {100 * at:g} %" for at, share in row["coverage"].items())
                lines.append(f"    {when:<6}  {inside}; CRPS {row['crps']:.3g}, NLL {row['nll']:.3g}")
        return "\n".join(lines)


def calibrate(
    fit: Any, dataset: Dataset, progress: Callable[..., None] | None = None, most: int = 300, seed: int = 0
) -> Calibration:
    """Compare bars with errors, on frames of the training set that were left out of the fit, fold by fold.

    The label is taken as normally distributed about the prediction with the variance a^2 epistemic^2 + b^2 noise^2;
    a and b of each kind maximise the likelihood of all its components. A last factor for both makes 90 % intervals
    cover 90 %: errors of potentials have heavier tails.

    Args:
        fit: `Fit` made with `keep_folds=True`.
        dataset: the training set.
        progress: called with a sentence.
        most: frames that are looked at: of a larger set, as many at random. A bar of all forces of a frame takes about
            a second with 2,000 sparse points.
        seed: of that choice.

    Returns:
        `Calibration`; its `apply` puts the factors into a posterior.

    Raises:
        DataError: no folds were kept, or fewer than four frames.

    References:
        T. Gneiting, A. E. Raftery, J. Am. Stat. Assoc. 102, 359 (2007), equation 21 (CRPS).
        V. Kuleshov, N. Fenner, S. Ermon, Proc. ICML (2018) (recalibration on held-out data).
        J. Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018), algorithm 2 (which of few errors the last factor is).
        D. Perez et al., arXiv:2502.07104 (2025) (why a Bayesian variance is too small where the model is wrong).
    """
    parts, most = fit.left_out(), as_whole(most, "most", 4, 10**9)
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:most]
    parts = [(np.intersect1d(members, chosen), posterior) for members, posterior in parts]
    return calibration_of(held_out(parts, without_offsets(dataset, fit.stress_offsets), progress))


def held_out(
    parts: Sequence[tuple[Any, Posterior]], dataset: Dataset, progress: Callable[..., None] | None = None
) -> HeldOut:
    """Predictions and bars of frames, each by a posterior that has not seen it.

    Args:
        parts: pairs (numbers of the frames, `Posterior`).
        dataset: `Dataset`, its stresses without offsets.
        progress: called with a sentence.
    """
    names = ("differences", "epistemic", "noise", "frames")
    columns: dict[str, dict[str, list[np.ndarray]]] = {name: {kind: [] for kind in KINDS} for name in names}
    done, frames = 0, list(dataset)
    potential = parts[0][1].potential
    prepared = prepare_frames([f.structure for f in frames], potential.cutoff, inner_cutoffs(potential))
    for members, posterior in parts:
        for k in np.asarray(members).tolist():
            for kind, *own in _compared(frames[k], posterior, *prepared[k]):
                for name, array in zip(names, (*own, np.full(len(own[0]), k)), strict=True):
                    columns[name][kind].append(array)
            done += 1
            if progress and done % 10 == 0:
                progress(f"calibration: {done} of {sum(len(m) for m, _ in parts)} frames")
    joined = {
        name: {kind: np.concatenate(found) for kind, found in column.items() if found}
        for name, column in columns.items()
    }
    return HeldOut(**joined, atoms=np.array([len(frame) for frame in frames]))


def _compared(frame, posterior, structure, neighbors):
    """Kind, differences, epistemic and noise deviations of one frame, (N,) each."""
    found, n = evaluate(posterior.potential, structure, neighbors), len(frame)
    found = found.replace(forces=np.asarray(found.forces)[:n])
    bars, upper = padded_std(posterior, structure, neighbors, n), np.triu_indices(3)
    labels = {
        "energy": (frame.energy, lambda e: np.array([float(e.energy)])),
        "forces": (frame.forces, lambda e: np.asarray(e.forces).ravel()),
        "stress": (frame.stress, lambda e: np.asarray(e.stress)[upper]),
    }
    for kind, (label, of) in labels.items():
        # Kinds that were not fitted have no noise, and no bar of a label.
        if label is not None and kind in posterior.sigmas:
            own = np.asarray(label)[upper] if kind == "stress" else np.ravel(label)
            yield kind, of(found) - own, of(bars.epistemic), of(bars.noise)


def calibration_of(found: HeldOut) -> Calibration:
    """`Calibration` of `HeldOut`."""
    if not found.differences or len(np.unique(next(iter(found.frames.values())))) < 4:
        raise DataError("a calibration needs at least four frames with labels that were left out of a fit")
    epistemic, noise, scores, count = {}, {}, {}, {}
    for kind, difference in found.differences.items():
        parts, frames = (found.epistemic[kind], found.noise[kind]), found.frames[kind]
        epistemic[kind], noise[kind] = _factors(difference, *parts)
        count[kind] = len(difference)
        present, index = np.unique(frames, return_inverse=True)
        half = np.random.default_rng(0).permutation(len(present))[index] % 2 == 0  # data often come in turns
        bars = np.empty(len(difference))
        for own in (half, ~half):
            a, b = _factors(difference[~own], *(p[~own] for p in parts))
            bars[own] = np.hypot(a * parts[0][own], b * parts[1][own])
        scores[kind] = {"before": score(difference, np.hypot(*parts)), "after": score(difference, bars)}
    main = "forces" if "forces" in found.differences else "energy"
    bars = found.epistemic[main]
    told = bars > _SYMMETRY * bars.max()
    ratio = np.abs(found.differences[main][told]) / bars[told]
    return Calibration(epistemic, noise, _factor_of(ratio), scores, count)


def _factor_of(ratios):
    """Factor of bars with which 90 % intervals cover 90 % of errors to come; errors are given over bars.

    The next error is as likely to come before, between or after n known ones: the ceil(0.9 (n + 1))th of them.
    """
    count = len(ratios)
    place = min(math.ceil(0.9 * (count + 1)), count)
    return float(np.sort(ratios)[place - 1] / normal_quantile(0.9)) if count else 1.0


def score(differences: AnyArray, deviations: AnyArray) -> dict[str, Any]:
    """Coverage of central intervals, mean CRPS and mean negative log likelihood, errors taken as normal."""
    deviations = _positive(deviations)
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


def _factors(differences, epistemic, noise):
    """Factors of both parts."""
    keep = np.linspace(0, len(differences) - 1, min(len(differences), _MOST)).astype(int)
    square, first, second = differences[keep] ** 2, _positive(epistemic[keep]) ** 2, noise[keep] ** 2
    if not second.any():
        a, b = float(np.sqrt(np.mean(square / first))), 1.0
    else:
        centre, width = np.zeros(2), 6.0
        for _ in range(6):
            grid = np.linspace(-width, width, 13)
            best = min(
                ((_cost(square, first, second, centre + (x, y)), x, y) for x in grid for y in grid), key=lambda t: t[0]
            )
            centre, width = centre + best[1:], width / 4.0
        a, b = np.exp(centre).tolist()
    bars = _positive(np.hypot(a * epistemic, b * noise))
    interval = _factor_of(np.abs(differences) / bars)
    return a * interval, b * interval


def _cost(square, first, second, logs):
    a, b = np.exp(2.0 * np.asarray(logs))
    variance = a * first + b * second
    return float(np.mean(square / variance + np.log(variance)))


def _positive(deviations):
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
