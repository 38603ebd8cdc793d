"""Are the error bars right? Predictions of frames that a fit has not seen, with their bars, against the labels."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpot.data.dataset import Dataset
from jaxpot.data.predictions import KINDS
from jaxpot.errors import DataError
from jaxpot.potentials.posterior import Posterior
from jaxpot.uncertainty.extrapolated import asked_by, factors_by_level, joint_factor, largest_factor, per_atom
from jaxpot.uncertainty.familiarity import FAMILIAR, LIMIT
from jaxpot.uncertainty.held_out import HeldOut, frames_left_out
from jaxpot.uncertainty.inflation import Inflation, largest_of
from jaxpot.uncertainty.misfit import COMMITTEE, Misfit
from jaxpot.uncertainty.scores import normal_quantile, positive, score

_MOST = 20_000  # components that factors are chosen by
_HALVINGS, _WIDEST = 8, 4.0  # of correlations; mean half-width over the 90 % quantile of errors
_LARGEST = 0.99  # of the components of the forces are below the largest bar of one
_SYMMETRY = 1e-4  # of the largest bar: forces with smaller ones are zero but for the digits of the positions


@dataclass(frozen=True)
class Calibration:
    """Factors that make bars right on frames that were left out, and how right they are.

    Attributes:
        epistemic: kind -> factor of the epistemic part of bars. One number for all kinds, since they follow from one
            covariance, but of fixed functions, see `calibrate`. Site energies have that of energies.
        noise: kind -> factor of the noise of a label, with which the central 90 % interval covers 90 %.
        scores: kind -> {"before" and "after": {"coverage": {level: fraction}, "curve": fractions at the levels `CURVE`,
            "crps", "nll"}}. Those after are of each half of the frames with factors from the other half.
        count: kind -> number of components.
        clusters: of each cluster of frames that look alike, left out as a whole: {"frames": number, "config_types":
            the most frequent names, kind: {"coverage": fraction in 90 % intervals, "half_width": mean of these,
            "error": that 90 % of the errors are below}}.
        site_limit: eV, standard deviation that 99 % of the site energies of frames left out stay below, see
            `unfamiliar_atoms`; None: not known.
        far, usual, largest_force: of frames away from the data, see `Inflation`: what their bars are multiplied with
            beside `epistemic`, the deviation of energies (eV/atom, as computed) that most frames left out by chance
            stay below, and the largest bar of a force (eV/A).
        levels: of `Inflation`, of a committee, for which `far` is the largest of several factors.
        alike: correlation of the errors of atoms there beyond that of the posterior.
        property_factor: factor of draws and of bars of properties, which have no noise beside them: what the noise of
            labels makes up for, where a model cannot fit what it is shown, is an error of a property.
    """

    epistemic: dict
    noise: dict
    scores: dict
    count: dict
    clusters: tuple = ()
    site_limit: float | None = None
    far: float = 1.0
    levels: tuple[tuple[float, float], ...] = ()
    usual: float = np.inf
    largest_force: float = np.inf
    alike: float = 0.0
    property_factor: float = 1.0

    @property
    def inflation(self) -> Inflation:
        """All that epistemic deviations are widened by."""
        return Inflation(
            self.epistemic, self.far, self.levels, self.usual, largest_of(self.largest_force), self.alike
        )

    def apply(self, posterior: Posterior) -> Posterior:
        """The posterior with these factors."""
        factors: dict[str, Any] = {k: jnp.array([self.epistemic[k], self.noise.get(k, 1.0)]) for k in KINDS}
        ranges = {} if self.site_limit is None else {LIMIT: np.array([0.0, self.site_limit])}
        factors |= {"property": jnp.asarray(self.property_factor)} | self.inflation.entries()
        return posterior.replace(calibration=factors, ranges=posterior.ranges | ranges)

    def _range_of_far(self):
        """The smallest and the largest f, or the only one."""
        return sorted({min((f for _, f in self.levels), default=self.far), self.far})

    def __str__(self) -> str:
        largest = max(self.epistemic.values())
        parts = "parts of all bars times {energy:.3g}"
        if any(factor != largest for factor in self.epistemic.values()):
            parts = "parts of bars of energies times {energy:.3g}, forces {forces:.3g}, stresses {stress:.3g}"
        lines = [f"calibration on frames left out; epistemic {parts.format(**self.epistemic)}, "
                 f"bars of properties {self.property_factor:.3g}"]
        if np.isfinite(self.usual):
            usual = 1e3 * self.epistemic["energy"] * self.usual
            lines.append(
                f"  away from the data (energies less certain than {usual:.3g} meV/atom) "
                f"times {' to '.join(f'{largest * f:.3g}' for f in self._range_of_far())}"
                + (f", and errors of atoms with a correlation of {self.alike:g} or more" if self.alike else "")
            )
        for kind, scores in self.scores.items():
            lines.append(f"  {kind}: noise times {self.noise[kind]:.3g}")
            for when, row in scores.items():
                inside = ", ".join(f"{100 * share:.0f} % in {100 * at:g} %" for at, share in row["coverage"].items())
                lines.append(f"    {when:<6}  {inside}; CRPS {row['crps']:.3g}, NLL {row['nll']:.3g}")
        for k, cluster in enumerate(self.clusters, 1):
            shares = ", ".join(
                f"{100 * cluster[kind]['coverage']:.0f} % of {kind}" for kind in self.scores if kind in cluster
            )
            lines.append(
                f"  left out together, cluster {k} ({cluster['frames']} frames, {', '.join(cluster['config_types'])}): "
                f"{shares} inside 90 % intervals"
            )
        return "\n".join(lines)


def calibrate(
    fit: Any, dataset: Dataset, progress: Callable[..., None] | None = None, most: int = 300, seed: int = 0
) -> Calibration:
    """Compare bars with errors, on frames of the training set that were left out of the fit.

    The label is taken as normally distributed about the prediction with the variance a^2 epistemic^2 + b^2 noise^2.
    a is one number for all kinds: bars of energies and forces are those of one covariance. It is what clusters of
    frames that look alike, left out as a whole, ask for, so that 90 % of their errors are covered: errors of frames
    that the fit has to extrapolate to; but no more than covers 90 % of frames left out by chance, be it of
    their energies or of their forces, by itself. (Without clusters: what forces of frames left out by chance ask for,
    by maximum likelihood with their noise beside it.) Frames away from the data have all that the clusters ask for, of
    committees by the spread of their members (`factors_by_level`), and their energies allow for errors of atoms that
    are alike (`Inflation`), of committees as far as bars of energies of frames left out by chance are at most four
    times as wide as errors. b, of each kind, is what intervals need beside all that to cover 90 % of frames left out by
    chance. Bars of properties have the factor that would cover these without any noise.

    Models of fixed functions alone (ACE, SNAP, MTP, without a Gaussian process) have that factor for bars of labels
    too: what functions cannot fit is no noise of labels, and errors far away grow with it. Of such errors no covariance
    of weights says how those of energies and of forces are related: each kind has the factor that covers its own frames
    left out by chance, stresses and whatever is away from the data the larger one. It becomes no smaller with the
    number of frames N, as bars do by N^(-1/2): those of fits that lack some count as what the fit to all would have.
    Nor are errors of their atoms taken for alike: energies are known better than how they divide among atoms.

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
    left_out = frames_left_out(fit, dataset, progress, most, seed)
    return calibration_of(*left_out, [f.config_type for f in dataset], Misfit.of(fit))


def calibration_of(
    by_chance: HeldOut, clusters: Sequence[HeldOut] = (), config_types: Sequence[str] = (), misfit: Misfit = COMMITTEE
) -> Calibration:
    """`Calibration` of frames left out by chance, and of clusters left out as a whole.

    Args:
        by_chance, clusters: what was left out.
        config_types: names of the frames.
        misfit: of the kind of model.
    """
    if not by_chance.differences or len(np.unique(next(iter(by_chance.frames.values())))) < 4:
        raise DataError("a calibration needs at least four frames with labels that were left out of a fit")
    if misfit.fixed:
        by_chance = by_chance.as_of_all()
    kinds = set(by_chance.differences)
    # Clusters without a label of those that frames left out by chance have tell nothing.
    clusters = [cluster for cluster in clusters if set(cluster.differences) & kinds]
    calibrated = partial(_calibrated, by_chance, clusters, config_types)
    if not misfit.together:
        return calibrated(misfit)
    if clusters:
        for halvings in range(_HALVINGS):
            calibration = calibrated(replace(misfit, alike=misfit.alike * 0.5**halvings))
            if not _too_wide(by_chance, calibration):
                return calibration
    return calibrated(replace(misfit, alike=0.0))


def _calibrated(by_chance, clusters, config_types, misfit):
    """`Calibration` of a kind of model."""
    factors, (far, levels), of_properties = _epistemic_factors(by_chance, clusters, misfit)
    largest = np.abs(by_chance.labels.get("forces", np.zeros(0)))
    sites = factors["energy"] * by_chance.sites
    calibration = Calibration(
        factors, {}, {}, {kind: len(by_chance.differences[kind]) for kind in by_chance.differences}, (),
        float(np.quantile(sites, FAMILIAR)) if len(sites) else None, far, levels,
        _usual(by_chance, misfit.usual),
        float(np.quantile(largest, _LARGEST)) if misfit.bounded and largest.any() else np.inf, misfit.alike,
        of_properties,
    )
    inflated = {kind: by_chance.inflated(kind, calibration.inflation) for kind in by_chance.differences}
    noise = {kind: _noise_of(by_chance, kind, bars) for kind, bars in inflated.items()}
    return replace(
        calibration, noise=noise, scores={kind: _scores(by_chance, kind, bars) for kind, bars in inflated.items()},
        clusters=tuple(_row_of_cluster(cluster, calibration.inflation, noise, config_types) for cluster in clusters),
    )


def _too_wide(held, calibration):
    """Whether bars of energies of frames left out by chance are several times as wide as errors are."""
    if "energy" not in held.differences:
        return False
    atoms = held.atoms[held.frames["energy"]]
    noise = calibration.noise["energy"] * held.noise["energy"]
    bars = np.hypot(held.inflated("energy", calibration.inflation), noise) / atoms
    errors = np.abs(held.differences["energy"]) / atoms
    return normal_quantile(0.9) * bars.mean() > _WIDEST * np.quantile(errors, 0.9)


def _epistemic_factors(by_chance, clusters, misfit):
    """Factor of each kind, `Calibration.far` and `Calibration.levels`, factor of properties."""
    kinds = list(by_chance.differences)
    main = "forces" if "forces" in kinds else "energy"
    a = _epistemic_factor(by_chance.differences[main], by_chance.epistemic[main], by_chance.noise[main])
    alone = {kind: _alone(by_chance, kind) for kind in kinds}
    of_properties = max(alone.values()) if clusters or misfit.fixed else a
    if not clusters:
        return _of_kinds(a, alone, of_properties, misfit), (1.0, ()), of_properties
    noise = {kind: _noise_of(by_chance, kind, a * by_chance.epistemic[kind]) for kind in kinds}
    usual = {kind: np.median(per_atom(by_chance, kind)) for kind in kinds}
    unit = Inflation(usual=_usual(by_chance, misfit.usual), alike=misfit.alike)
    asked = [asked_by(cluster, noise, usual, unit) for cluster in clusters]
    levels = factors_by_level(asked) if misfit.together else ()
    wanted = largest_factor(asked) if misfit.together else joint_factor(asked)
    if levels:
        wanted = float(Inflation(levels=levels).far_at(unit.usual))
    wanted = wanted or a
    factors = _of_kinds(min(wanted, of_properties), alone, of_properties, misfit)
    most = max(factors.values())
    if most <= 0.0:
        return factors, (1.0, ()), of_properties
    scaled = tuple((s, f / most) for s, f in levels)
    return factors, (max((f for _, f in scaled), default=max(wanted / most, 1.0)), scaled), of_properties


def _of_kinds(common, alone, of_properties, misfit):
    """Factor of each kind: one for all, but of fixed functions."""
    return {kind: (alone.get(kind) or of_properties) if misfit.fixed else common for kind in KINDS}


def _usual(held, part):
    """eV/atom, deviation of energies that this part of the frames that were looked at stays below."""
    if held.whole is None or not held.whole.any():
        return np.inf
    frames = np.unique(np.concatenate(list(held.frames.values())))
    return float(np.quantile(held.whole[frames, 0] / held.atoms[frames], part))


def _noise_of(held, kind, epistemic):
    """`_noise_factor` of a kind."""
    return _noise_factor(held.differences[kind], epistemic, held.noise[kind])


def _scores(held, kind, epistemic):
    """Scores before and after, those after of each half of the frames with factors of noise from the other half."""
    difference, noise = held.differences[kind], held.noise[kind]
    present, index = np.unique(held.frames[kind], return_inverse=True)
    half = np.random.default_rng(0).permutation(len(present))[index] % 2 == 0  # data often come in turns
    bars = np.empty(len(difference))
    for part in (half, ~half):
        b = _noise_factor(difference[~part], epistemic[~part], noise[~part])
        bars[part] = np.hypot(epistemic[part], b * noise[part])
    return {"before": score(difference, np.hypot(held.epistemic[kind], noise)), "after": score(difference, bars)}


def _alone(held, kind):
    """Factor with which the epistemic part alone covers 90 % of the errors of a kind; 0 of stresses."""
    bars = held.epistemic[kind]
    known = bars > _SYMMETRY * bars.max(initial=0.0)  # the others are zero by symmetry
    return 0.0 if kind == "stress" else _factor_of(np.abs(held.differences[kind][known]) / bars[known])


def _row_of_cluster(cluster, inflation, noise, config_types):
    """Row of `Calibration.clusters`."""
    frames = np.unique(np.concatenate(list(cluster.frames.values())))
    names = Counter(config_types[k] for k in frames if config_types[k]).most_common(3)
    row: dict[str, Any] = {"frames": len(frames), "config_types": [name for name, _ in names]}
    for kind in set(cluster.differences) & set(noise):
        difference = cluster.differences[kind]
        half_widths = normal_quantile(0.9) * np.hypot(
            cluster.inflated(kind, inflation), noise[kind] * cluster.noise[kind]
        )
        row[kind] = {
            "coverage": float(np.mean(np.abs(difference) <= half_widths)), "half_width": float(half_widths.mean()),
            "error": float(np.quantile(np.abs(difference), 0.9)),
        }
    return row


def _factor_of(ratios):
    """Factor of bars with which 90 % intervals cover 90 % of errors to come; errors are given over bars.

    The next error is as likely to come before, between or after n known ones: the ceil(0.9 (n + 1))th of them.
    """
    count = len(ratios)
    place = min(math.ceil(0.9 * (count + 1)), count)
    return float(np.sort(ratios)[place - 1] / normal_quantile(0.9)) if count else 1.0


def _epistemic_factor(differences, epistemic, noise):
    """Factor of the epistemic part: by maximum likelihood beside one of the noise, and then that 90 % are covered."""
    known = np.flatnonzero(epistemic > _SYMMETRY * epistemic.max(initial=0.0))  # the others are zero by symmetry
    if not len(known):
        return 1.0
    keep = known[np.linspace(0, len(known) - 1, min(len(known), _MOST)).astype(int)]
    square, first, second = differences[keep] ** 2, epistemic[keep] ** 2, noise[keep] ** 2
    if second.any():
        centre, width = np.zeros(2), 6.0
        for _ in range(6):
            grid = np.linspace(-width, width, 13)
            trials = [centre + (x, y) for x in grid for y in grid]
            centre, width = min(trials, key=partial(_cost, square, first, second)), width / 4.0
        a, b = np.exp(centre).tolist()
    else:
        a, b = float(np.sqrt(np.mean(square / first))), 0.0
    return a * _factor_of(np.abs(differences[known]) / np.hypot(a * epistemic[known], b * noise[known]))


def _cost(square, first, second, logs):
    a, b = np.exp(2.0 * logs)
    variance = a * first + b * second
    return float(np.mean(square / variance + np.log(variance)))


def _noise_factor(differences, epistemic, noise):
    """Factor of the noise with which 90 % intervals cover 90 %; 1 where there is no noise, 0 where none is needed."""
    if not noise.any():
        return 1.0
    square, count = (np.abs(differences) / normal_quantile(0.9)) ** 2 - positive(epistemic) ** 2, len(differences)
    needed = np.sort(square / np.maximum(noise, 1e-300) ** 2)
    place = min(math.ceil(0.9 * (count + 1)), count)
    return math.sqrt(max(float(needed[place - 1]), 0.0))
