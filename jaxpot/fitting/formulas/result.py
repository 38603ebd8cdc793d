"""`FormFit`: the result of a fit of a formula, and its table."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior

_SAME_MINIMUM = 1e-6  # relative difference of costs


@dataclass(frozen=True)
class Parameter:
    """One parameter that was searched for.

    value, first: found, and given first; low, high: its bounds; error: its standard error, see `fit_form`, infinite
    where data and targets do not determine it, NaN at a bound; at_bound, determined: bool.
    """

    value: float
    error: float
    first: float
    low: float
    high: float
    at_bound: bool
    determined: bool


@dataclass(frozen=True)
class Refinement:
    """One search from a start: the cost there and in the end, its parameters, its steps, whether it has converged."""

    start: float
    cost: float
    parameters: dict
    steps: int
    converged: bool


@dataclass(frozen=True)
class FormFit:
    """Formula whose parameters were fitted; `print` shows them as a table.

    Attributes:
        potential: of the form that was given, with the parameters found.
        parameters: name -> `Parameter`.
        cost: what was minimised, see `fit_form`.
        shares: "energy", "forces", "stress" or "targets" -> its part of the cost.
        targets: name -> (value wanted, value reached), arrays.
        e0: atomic number -> eV: `potential + jp.potentials.Constants(found.e0)` has energies like those of the data.
        train, test: `Predictions` of that, or None.
        starts: costs of all starts, the one that was given first; infinite where there is none.
        descents: `Refinement`s from the best of them, the lowest first.
        seconds: name of a step -> time it took.
        posterior: `Posterior` of the potential with its constants, from the standard errors of all parameters and how
            they are correlated, see `fit_form`: orders of magnitude, unless calibrated. None where some parameters are
            not determined, in which directions there is no end to them, and where there are no more labels than
            parameters.
        folds: pairs (numbers of the frames of a part of the data, `Posterior` of the fit to the other parts).
        clusters: likewise, of clusters of frames that look alike (`frame_clusters`).
    """

    potential: Potential
    parameters: dict
    cost: float
    shares: dict
    targets: dict
    e0: dict
    train: object = field(repr=False)
    test: object = field(repr=False)
    starts: np.ndarray = field(repr=False)
    descents: tuple = field(repr=False)
    seconds: dict = field(repr=False)
    posterior: Posterior | None = field(repr=False)
    folds: tuple = field(default=(), repr=False)
    clusters: tuple = field(default=(), repr=False)

    stress_offsets: ClassVar[dict] = {}  # none are found
    fixed_functions: ClassVar[bool] = True  # what the form cannot fit is no noise of labels

    def winners(self) -> int:
        """Number of descents that have ended in the lowest minimum."""
        most = self.cost * (1.0 + _SAME_MINIMUM) + 1e-12
        return sum(descent.cost <= most for descent in self.descents)

    def left_out(self) -> list[tuple[np.ndarray, Posterior]]:
        """Pairs (numbers of the frames of a fold, `Posterior` of the fit to all others), for `jp.calibrate`.

        Raises:
            DataError: data and targets do not determine all parameters, or the fit was not asked to keep folds
                (`keep_folds=True`).
        """
        unsure = [name for name, parameter in self.parameters.items() if not parameter.determined]
        if unsure:
            raise DataError(
                f"this fit has no error bars: data and targets do not determine {', '.join(unsure)}; leave some out of "
                "free, or add data that tell"
            )
        if self.posterior is None:
            raise DataError("this fit has no error bars: there are no more labels and targets than parameters")
        if not self.folds:
            raise DataError("no fits to all folds but one were kept: give keep_folds=True to fit_form")
        return list(self.folds)

    def clusters_left_out(self) -> list[tuple[np.ndarray, Posterior]]:
        """Likewise, of the fits without a cluster of frames that look alike (`frame_clusters`)."""
        return list(self.clusters)

    def __str__(self) -> str:
        return "\n".join(_table(self))


def _table(fit):
    """Lines of the printed form."""
    many = len(fit.descents)
    ends = f"{fit.winners()} of {many} descents end in the lowest minimum" if many > 1 else "one descent"
    shares = ", ".join(f"{kind} {share:.3g}" for kind, share in fit.shares.items())
    yield f"{fit.potential!r}"
    yield f"cost {fit.cost:.6g} ({shares}); {len(fit.starts)} starts, {ends}; {sum(fit.seconds.values()):.0f} s"
    width = max(map(len, [*fit.parameters, "parameter"]))
    yield ""
    yield f"{'parameter':{width}}  {'value':>12}  {'+-':>9}  {'first':>12}  bounds"
    for name, p in fit.parameters.items():
        note = "  at a bound" if p.at_bound else "" if p.determined else "  not determined"
        yield f"{name:{width}}  {p.value:12.7g}  {p.error:9.2g}  {p.first:12.7g}  {p.low:.4g} to {p.high:.4g}{note}"
    for name, predictions in (("training", fit.train), ("test", fit.test)):
        if predictions is not None:
            errors = predictions.errors()["all"]
            units = {"energy": (1e3, "meV/atom"), "forces": (1.0, "eV/A"), "stress": (160.21766208, "GPa")}
            yield ""
            yield f"{name + ' set':14} {'mae':>10} {'rmse':>10}"
            for kind, error in errors.items():
                factor, unit = units[kind]
                yield f"{kind:14} {factor * error['mae']:10.4g} {factor * error['rmse']:10.4g} {unit}"
    if fit.targets:
        yield ""
        yield f"{'target':24} {'wanted':>12} {'reached':>12}"
        for name, (value, reached) in fit.targets.items():
            for index in np.ndindex(value.shape):
                label = name if value.ndim == 0 else f"{name}[{','.join(map(str, index))}]"
                yield f"{label:24} {value[index]:12.6g} {reached[index]:12.6g}"
