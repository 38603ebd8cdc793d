"""The report of a fit: what it was made of, how far it is from the data, as a document and as one HTML page."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from jaxpot import units
from jaxpot.core.elements import symbol
from jaxpot.core.versions import versions
from jaxpot.fitting.linear.core_repulsion import described_cores
from jaxpot.fitting.networks.result import Trained
from jaxpot.potentials.base import terms_of
from jaxpot.potentials.described import leaves_residual
from jaxpot.readouts.neural import Neural
from jaxpot.report import fit_plots
from jaxpot.report.fit_html import fit_page
from jaxpot.report.style import Picture
from jaxpot.uncertainty.scores import CURVE

UNITS = {"energy": ("meV/atom", units.meV), "forces": ("eV/A", 1.0), "stress": ("GPa", units.GPa)}
_SIGMA_UNITS = {"energy": ("eV/atom", 1.0), "forces": ("eV/A", 1.0), "stress": ("GPa", units.GPa)}


def fit_document(
    fit: Any,
    *,
    summary: Any = None,
    baseline: str | None = None,
    seed: int | None = None,
    peak_memory: int | None = None,
    curve: Sequence = (),
    calibration: Any = None,
) -> dict:
    """Contents of a report, as plain dicts, lists and numbers for JSON.

    Args:
        fit: `Fit` or `Trained`.
        summary: `Summary` of the training set.
        baseline: name of what was fitted on top of.
        seed: of the fit.
        peak_memory: bytes.
        curve: `Point`s of a learning curve.
        calibration: `Calibration` of the error bars.

    Returns:
        dict; energies in meV/atom, forces in eV/A, stresses in GPa, as the entries themselves say. `interval_90` is
        that of the mean absolute error.
    """
    potential = fit.potential
    sets = {"train": fit.train, "test": fit.test}
    shortest = getattr(fit.recipe, "shortest", None)
    return {
        "recipe": {"name": fit.recipe.name} | recipe_tables(fit.recipe),
        "model": {
            "elements": [symbol(z) for z in potential.species],
            "cutoff_A": float(potential.cutoff),
            "baseline": baseline,
            "core": described_cores(dict(shortest)) if shortest else None,
            "lowered": list(getattr(fit.recipe, "lowered", ())),
            "seed": seed,
        },
        "errors": {name: _errors(part.errors()) for name, part in sets.items() if part is not None},
        "frames": {name: len(part.config_types) for name, part in sets.items() if part is not None},
        "sigmas": {kind: _sigma(kind, float(value)) for kind, value in fit.sigmas.items()},
        "terms": _terms(fit),
        "stress_offsets_GPa": {name: float(value / units.GPa) for name, value in fit.stress_offsets.items()},
        "e0_eV": {symbol(z): float(energy) for z, energy in fit.e0.items()},
        "e0_origin": fit.e0_origin,
        "choice": _choice(fit),
        "training": _training(fit) if isinstance(fit, Trained) else None,
        "seconds": {name: float(value) for name, value in fit.seconds.items()},
        "peak_memory_bytes": peak_memory,
        "learning_curve": [{"frames": point.frames, "errors": _errors(point.errors)["all"]} for point in curve],
        "fewer_components": [asdict(size) for size in getattr(fit, "path", ())],
        "error_bars": None if calibration is None else _error_bars(calibration),
        "data": None if summary is None else summary.to_dict(),
        "data_text": None if summary is None else str(summary),
        "versions": versions(),
    }


def recipe_tables(recipe: Any) -> dict:
    """A recipe as the tables of its file."""
    sigma = {key: value for key, value in asdict(recipe.sigmas).items() if value is not None}
    return recipe.tables() | {"sigma": sigma}


def figures(fit: Any, document: dict) -> list[tuple[str, Picture]]:
    """Pairs (caption, figure) of what there is to show."""
    made = [
        (_ENERGY, fit_plots.plot_energies(fit.train, fit.test)),
        (_FORCES, fit_plots.plot_forces(fit.train, fit.test)),
        (_STRESS if "stress" in fit.sigmas else f"{_STRESS} They took no part in the fit.",
         fit_plots.plot_stresses(fit.train, fit.test)),
    ]
    if document["training"] is not None:
        made.insert(0, (_TRAINING, fit_plots.plot_training(fit.history, fit.best)))
    if document["error_bars"] is not None:
        made.append((_CALIBRATION, fit_plots.plot_calibration(CURVE, document["error_bars"]["kinds"])))
    curve = [(point["frames"], _with_interval(point["errors"])) for point in document["learning_curve"]]
    if len(curve) > 1:
        made.append((_CURVE, fit_plots.plot_learning_curve(curve)))
    if document["fewer_components"]:
        made.append((_FEWER, fit_plots.plot_fewer_components(document["fewer_components"])))
    return [(caption, figure) for caption, figure in made if figure is not None]


def fit_html(fit: Any, document: dict) -> str:
    """The report as the text of one HTML page with its pictures inside.

    Args:
        fit: `Fit`.
        document: of `fit_document`.
    """
    return fit_page(document, [(caption, figure.base64()) for caption, figure in figures(fit, document)])


def _errors(table):
    """Errors in the units of the report: {"all" or config type: {kind: {mae, rmse, interval_90, count, unit}}}."""
    return {
        name: {
            kind: {
                "mae": float(found["mae"] / UNITS[kind][1]), "rmse": float(found["rmse"] / UNITS[kind][1]),
                "interval_90": [float(end / UNITS[kind][1]) for end in found["interval"]],
                "count": found["count"], "unit": UNITS[kind][0],
            }
            for kind, found in row.items()
        }
        for name, row in table.items()
    }


def _error_bars(calibration):
    return {
        "property_factor": calibration.property_factor, "text": str(calibration),
        "away": {
            name: number if np.isfinite(number) else None
            for name in ("far", "usual", "largest_force", "alike") for number in (getattr(calibration, name),)
        } | {"levels": [list(level) for level in calibration.levels]},
        "kinds": {
            kind: {
                "epistemic_factor": calibration.epistemic[kind], "noise_factor": calibration.noise[kind],
                "count": calibration.count[kind],
                **{
                    when: row | {"coverage": {f"{level:g}": share for level, share in row["coverage"].items()}}
                    for when, row in found.items()
                },
            }
            for kind, found in calibration.scores.items()
        },
        "clusters": list(calibration.clusters),
    }


def _with_interval(errors):
    return {kind: {"mae": found["mae"], "interval": found["interval_90"]} for kind, found in errors.items()}


def _sigma(kind, value):
    unit, size = _SIGMA_UNITS.get(kind, ("in its own unit", 1.0))
    return {"value": value / size, "unit": unit}


def _training(trained):
    return {
        "epochs": len(trained.history), "best_epoch": int(trained.best), "validation_frames": len(trained.validation),
        "history": [
            {
                "epoch": int(epoch), "loss": _finite(loss), "energy_meV_per_atom": _finite(energy / units.meV),
                "forces_eV_per_A": _finite(forces),
            }
            for epoch, loss, energy, forces in trained.history
        ],
    }


def _finite(value):
    return float(value) if np.isfinite(value) else None


def _terms(fit):
    """The fitted terms; those of a baseline come after them in the sum."""
    if isinstance(fit, Trained):
        terms = [term for term in terms_of(fit.potential) if isinstance(getattr(term, "readout", None), Neural)]
        return [
            {
                "descriptor": type(term.descriptor).__name__, "elements": _elements(term.descriptor),
                "dimension": int(term.descriptor.dimension), "cutoff_A": float(term.cutoff),
                "networks": len(fit.committee), "layers": list(fit.recipe.hidden), "activation": fit.recipe.activation,
            }
            for term in terms
        ]
    linear = [term for term in terms_of(fit.potential) if term.weight_mask() is not None]
    return [
        {
            "descriptor": type(term.descriptor).__name__,
            "elements": _elements(term.descriptor),
            "dimension": int(term.descriptor.dimension),
            "cutoff_A": float(term.cutoff),
            "readout": type(term.readout).__name__, "weights": int(count),
            "sparse_points": int(count) if leaves_residual(term) else None,
            "delta_eV": np.asarray(delta, float).tolist(),
            "jitter": None if jitter is None else float(jitter),
        }
        for term, count, delta, jitter in zip(linear, fit.sparse, fit.deltas, fit.jitter, strict=False)
    ]


def _elements(descriptor):
    found = getattr(descriptor, "elements", None) or descriptor.centers
    return None if found is None else ["any" if z is None else symbol(z) for z in found]


def _choice(fit):
    if isinstance(fit, Trained):
        return {"method": "the recipe"}
    found = {"method": fit.recipe.choice}
    if fit.choice is None:
        return found
    value = None if fit.choice.value is None or not np.isfinite(fit.choice.value) else float(fit.choice.value)
    return found | {
        "trials": int(fit.choice.tried), "value": value,
        "sigma_factors": {kind: float(factor) for kind, factor in fit.choice.noise.items()},
        "delta_factors": [float(factor) for factor in fit.choice.scales],
    }


_TRAINING = (
    "Training: the loss, and mean absolute errors of the validation frames, against the epoch; the weights are of the "
    "epoch that is marked."
)
_ENERGY = "Energies per atom: fit against labels, and the difference."
_FORCES = (
    "Force components: fit against labels, and how the differences are distributed; the outermost bars hold "
    "whatever lies beyond them."
)
_STRESS = "Stress components: fit against labels, and the difference."
_CALIBRATION = (
    "Error bars: how many labels of frames left out of the fit lie within their central intervals, against how many "
    "should; after calibration with the factors of the other half of the frames."
)
_CURVE = (
    "Learning curve: mean absolute errors on the test set against the number of training frames, with 90 % intervals "
    "from bootstrap samples of the test frames."
)
_FEWER = (
    "Fewer components: root mean square errors of frames that were left out, over those with all components; the "
    "components that matter least to the other frames are eliminated. The recipe may ask for a number of them."
)
